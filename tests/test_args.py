"""The arguments of a run: what is accepted, what is refused and how, and the command that repeats a run."""

import contextlib
import dataclasses
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from conftest import child_processes
from hypothesis import given, settings
from hypothesis import strategies as st

from main import main
from training.args import RECIPES, Args, fast_bf16, make_args, reproduction_command, seconds_of_product
from training.finite import NonFiniteError


@pytest.mark.parametrize(
    "args, sentence",
    [
        ({"batchsize": 256}, "There is no argument 'batchsize': did you mean 'batch_size'?"),
        ({"xyz": 1}, "There is no argument 'xyz': expected one of recipe, policy, env"),
        ({"recipe": "quick"}, "recipe is 'quick': it should be 'fast' or 'paper'."),
        ({"recipe": ["fast"]}, "recipe is ['fast']: it should be 'fast' or 'paper'."),
        ({"policy": "SAC"}, "policy is 'SAC': it should be 'TD3'."),
        ({"max_timesteps": 0}, "max_timesteps is 0: it should be greater than or equal to 1."),
        ({"num_envs": -2}, "num_envs is -2: it should be greater than or equal to 1."),
        ({"batch_size": 0}, "batch_size is 0: it should be greater than or equal to 1."),
        ({"start_timesteps": -1}, "start_timesteps is -1: it should be greater than or equal to 0."),
        ({"max_timesteps": "many"}, "max_timesteps is 'many': it should be a valid integer."),
        ({"max_timesteps": 10.5}, "max_timesteps is 10.5: it should be a valid integer."),
        ({"seed": True}, "seed is True: it should be a valid integer."),
        ({"seed": None}, "seed is None: it should be a valid integer."),
        ({"discount": "0.9"}, "discount is '0.9': it should be a valid number."),
        ({"discount": float("nan")}, "discount is nan: it should be a finite number."),
        ({"discount": 1.5}, "discount is 1.5: it should be less than or equal to 1."),
        ({"tau": 0}, "tau is 0: it should be greater than 0."),
        ({"lr": float("inf")}, "lr is inf: it should be a finite number."),
        ({"utd_ratio": 0}, "utd_ratio is 0: it should be greater than 0."),
        ({"expl_noise": -0.1}, "expl_noise is -0.1: it should be greater than or equal to 0."),
        ({"expl_noise": 0}, "expl_noise is 0.0: it should be greater than 0, because a geometric ladder up to expl_noise_max"),
        ({"expl_noise_max": 0.01}, "expl_noise_max is 0.01: it should be at least expl_noise, 0.02."),
        ({"save_model": "yes"}, "save_model is 'yes': it should be a valid boolean."),
        ({"name": "../a"}, "name is '../a': it should be a file name that every system allows, without folders"),
        ({"name": "n" * 201}, "name is 'nnnn"),
        ({"name": "a\udc80"}, "name is 'a\\udc80': it should be a file name that every system allows"),
        ({"name": "con"}, "name is 'con': it should be a file name that every system allows"),
        ({"name": "a?"}, "name is 'a?': it should be a file name that every system allows"),
        ({"max_timesteps": 2**64}, "max_timesteps is 18446744073709551616: it should be less than or equal to 1000000000000."),
        ({"seed": 10**5000}, "seed is an integer of 16,610 bits: it should be less than or equal to 9223372036854775808."),
        ({"env": "..:x"}, "env is '..:x', but '..' cannot be imported"),
        ({"start_timesteps": 500, "max_timesteps": 500}, "start_timesteps is 500: it should be less than max_timesteps, 500"),
        ({"n_step": 1001}, "n_step is 1001: it should be at most 1000, the steps of an episode."),
        ({"lr": 1e12}, "lr is 1000000000000: it should be less than or equal to 1."),
        ({"expl_noise_max": 11}, "expl_noise_max is 11: it should be less than or equal to 10."),
        ({"policy_noise": 1e300}, "policy_noise is 10000000000000000525"),
        ({"load_model": "no_such"}, "There is no checkpoint 'no_such'"),
        ({"load_model": "\0"}, "There is no checkpoint '\\x00'"),
        ({"load_model": "n" * 5000}, "There is no checkpoint 'nnn"),
        ({"resume": "no_such"}, "resume is 'no_such': expected the name of a run in models/"),
        ({"resume": "../models/x"}, "resume is '../models/x': expected the name of a run in models/"),
        ({"buffer_size": 10**11, "max_timesteps": 10**11}, "buffer_size is 100000000000: such a run needs about 52,80"),
        ({"batch_size": 10**9}, "batch_size is 1000000000: such a run needs about 25,8"),
        ({"hidden": 10**6}, "hidden is 1000000: such a run needs about 96,"),
        ({"num_envs": 1000, "workers": 1000}, "num_envs is 1000: such a run needs about 18"),
        ({"saturation_penalty": -1}, "saturation_penalty is -1: it should be greater than or equal to 0."),
        ({"symmetries": 1}, "symmetries is 1: it should be a valid boolean."),
        ({"env": 3}, "env is 3: it should be a valid string."),
    ],
)
def test_bad_input_ends_in_one_sentence(args, sentence):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        make_args(**args)
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def test_whole_floats_and_numpy_numbers_count_as_integers():
    args = make_args(max_timesteps=1e6, seed=np.int64(3), discount=1)
    assert (args.max_timesteps, args.seed, args.discount) == (10**6, 3, 1.0)
    assert isinstance(args.max_timesteps, int) and isinstance(args.seed, int)


@pytest.mark.parametrize("recipe", ["paper", "fast"])
def test_the_command_repeats_the_run(recipe):
    usual = make_args(recipe=recipe)
    other = {"bf16": not usual.bf16, "workers": usual.workers + 1}  # not what this machine would choose
    for arguments in ({"save_model": False, "env": "InvertedPendulumBulletEnv-v0", "max_minutes": 2}, other):
        args = make_args(recipe=recipe, seed=3, **arguments)
        words = reproduction_command(args).split()
        assert words[:2] == ["python", "main.py"] and ("paper" in words) == (recipe == "paper")
        again = tyro.cli(Args, args=[word for word in words[2:] if word != "paper"], default=RECIPES[recipe])
        assert make_args(**vars(again)) == args
    assert "--workers" not in reproduction_command(usual) and "bf16" not in reproduction_command(usual)


def test_auto_is_the_cpu_and_a_cuda_device_leaves_the_other_cores_to_the_environments(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert (make_args().device, make_args().workers) == ("cpu", 1)
    args = make_args(device="cuda")
    assert (args.device, args.bf16, args.workers) == ("cuda", False, 15)
    assert make_args(device="cuda", workers=3).workers == 3
    with pytest.raises(ValueError, match="bf16 is True: it should be False or None with device='cuda'"):
        make_args(device="cuda", bf16=True)


@pytest.mark.parametrize(
    "has_instructions, bf16, float32, faster", [(True, 1, 2, True), (True, 2, 1, False), (False, 1, 2, False)]
)
def test_bfloat16_is_chosen_where_it_is_faster(has_instructions, bf16, float32, faster, monkeypatch):
    seconds = {torch.bfloat16: bf16, torch.float32: float32}
    monkeypatch.setattr("training.args.seconds_of_product", seconds.get)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fast_bf16.__wrapped__() == faster


def test_a_product_is_timed_on_one_thread_and_the_number_of_threads_is_kept(monkeypatch):
    threads, set_to = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    assert 1e-6 < seconds_of_product(torch.float32) < 1
    assert set_to == [1, threads]


HUGE = st.sampled_from([2**31, 2**63, 2**64, 10**30, -(2**64), 1e-300, 1e300, -1e300, float("inf"), float("nan")])
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    HUGE,
    st.text(st.characters(exclude_categories=[])),
    st.builds(lambda text, count: text * count, st.text(min_size=1), st.integers(1, 300)),
    st.lists(st.integers(), max_size=2),
)
FIELDS = [field.name for field in dataclasses.fields(Args)]


@settings(max_examples=1000, deadline=None)
@given(values=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, min_size=1, max_size=2))
def test_any_value_of_any_argument_is_accepted_or_refused_in_one_sentence(values):
    try:
        args = make_args(**values)
    except (ValueError, FileNotFoundError) as error:
        sentence = str(error)
        assert "\n" not in sentence and len(sentence) < 1000
        assert any(name in sentence for name in values) or "env" in values or "load_model" in values
        sentence.encode()  # it can be printed
    else:
        assert isinstance(args, Args) and args.device in ("cpu", "cuda")
        assert all(getattr(args, name) == value for name, value in values.items() if type(value) in (int, bool) or value)


OPTIONS = ["--" + name.replace("_", "-") for name in FIELDS if name not in ("recipe", "resume")]
WORDS = st.one_of(st.text(), st.integers().map(str), st.floats().map(str), st.just("1e999"), st.just("None"))


@settings(max_examples=200, deadline=None)
@given(option=st.sampled_from(OPTIONS), word=WORDS)
def test_any_word_on_the_command_line_is_accepted_or_refused(option, word):
    """tyro refuses with exit code 2 what is no number; the rest is one sentence of `make_args`."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            parsed = tyro.cli(Args, args=[option, word], default=RECIPES["fast"])
        except SystemExit as ended:
            assert ended.code in (0, 2)
            return
    try:
        assert isinstance(make_args(**vars(parsed)), Args)
    except (ValueError, FileNotFoundError) as error:
        assert "\n" not in str(error)


SMALL = {"env": "InvertedPendulumBulletEnv-v0", "start_timesteps": 8, "max_timesteps": 40, "eval_episodes": 1, "eval_freq": 40}
TINY = {
    "seed": st.integers(0, 10**5),
    "start_timesteps": st.integers(0, 39),
    "eval_freq": st.integers(15, 10**12),
    "max_timesteps": st.integers(1, 60),
    "expl_noise": st.floats(0, 10),
    "expl_noise_max": st.none() | st.floats(0, 10),
    "batch_size": st.integers(1, 50),
    "discount": st.floats(0, 1),
    "tau": st.floats(0, 1),
    "policy_noise": st.floats(0, 10),
    "noise_clip": st.floats(0, 10),
    "policy_freq": st.integers(1, 10**12),
    "clipped_double_q": st.booleans(),
    "save_model": st.booleans(),
    "save_replay_buffer": st.booleans(),
    "checkpoint_minutes": st.sampled_from([0, 3]),
    "num_envs": st.integers(1, 5),
    "utd_ratio": st.floats(0.001, 4),
    "lr": st.floats(0, 1),
    "hidden": st.integers(1, 20),
    "n_step": st.integers(1, 60),
    "bf16": st.booleans(),
    "buffer_size": st.integers(1, 100),
    "recipe": st.sampled_from(["fast", "paper"]),
}


@settings(max_examples=60, deadline=None)
@given(values=st.fixed_dictionaries({}, optional=TINY))
def test_what_is_accepted_is_a_valid_run(values):
    """Also at the ends of what each argument allows: it ends by itself, or says in one sentence that training has diverged."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            result = main(**SMALL | values, workers=0, threads=1)
        except ValueError as error:
            assert "\n" not in str(error)
            assert isinstance(error, NonFiniteError) or " is " in str(error)
        else:
            expected = values.get("max_timesteps", 40)
            assert expected <= result.curve["timesteps"][-1] < expected + 16 and np.isfinite(result.best)
        assert not list(Path("models").glob("**/.tmp-*")) and not child_processes()
