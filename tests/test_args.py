"""The arguments of a run: what is accepted, what is refused and how, and the command that repeats a run."""

import dataclasses
import os

import numpy as np
import pytest
import torch
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st

from training.args import RECIPES, Args, make_args, reproduction_command


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
        ({"name": "../a"}, "name is '../a': it should be a file name without folders."),
        ({"seed": 10**6}, "seed is 1000000: it should be at most 999984, because the seeds of evaluations begin at 1000000."),
        ({"env": 3}, "env is 3: it should be a valid string."),
    ],
)
def test_bad_input_ends_in_one_sentence(args, sentence):
    with pytest.raises(ValueError) as error:
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


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2))


@settings(max_examples=500, deadline=None)
@given(name=st.sampled_from([field.name for field in dataclasses.fields(Args)]), value=ANYTHING)
def test_any_value_of_any_argument_is_accepted_or_refused_in_one_sentence(name, value):
    try:
        args = make_args(**{name: value})
    except ValueError as error:
        sentence = str(error)
        spellings = {repr(value)} | ({repr(float(value)), f"{value:.0f}"} if isinstance(value, (int, float)) else set())
        assert any(each in sentence for each in spellings), "it names the value"
        assert "\n" not in sentence and (name in sentence or name == "env")
    else:
        assert isinstance(args, Args) and args.num_envs >= 1 and 0 <= args.discount <= 1 and args.device in ("cpu", "cuda")
