"""The training loop: what it leaves behind, how it ends, and what it says to bad input."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_gone, child_processes

from envs.registry import make_env
from main import exploration_noise, main
from TD3 import TD3
from training.args import Args
from training.curve import CURVE_COLUMNS
from training.streams import integer, integers, spawn_streams
from utils import ReplayBuffer, check_digests, eval_policy, find_checkpoint

PENDULUM = "InvertedPendulumBulletEnv-v0"
SMALL = {"env": PENDULUM, "num_envs": 4, "start_timesteps": 200, "eval_freq": 400, "max_timesteps": 800, "eval_episodes": 2,
         "hidden": 16, "batch_size": 32, "buffer_size": 5000}  # fmt: skip


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    """Every run leaves its files in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def test_a_run_leaves_curve_checkpoints_arguments_and_tensorboard(tmp_path):
    result = main(**SMALL, name="a", seed=3)
    assert result.name == "a" and not result.interrupted
    with open("results/a.csv") as f:
        rows = list(csv.reader(f))
    assert rows[0] == CURVE_COLUMNS and [row[0] for row in rows[1:]] == ["400", "800"]
    np.testing.assert_allclose(result.curve["mean_return"], [float(row[2]) for row in rows[1:]])
    assert result.best == pytest.approx(result.curve["mean_return"].max(), abs=0.06)
    endings = ["actor", "actor_optimizer", "critic", "critic_optimizer"]
    folders = {which: find_checkpoint(f"a/{which}").parent for which in ("best", "latest")}
    assert set(os.listdir("models/a")) == {".lock", "args.json", *(folder.name for folder in folders.values())}
    assert folders["latest"].name == "latest_800" and folders["best"].name in ("best_400", "best_800")
    for which, folder in folders.items():
        assert {f"{which}_{ending}" for ending in endings} < set(os.listdir(folder)), "the files of the original TD3"
        check_digests(folder)
        if shutil.which("sha256sum"):
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    kept = json.loads((tmp_path / "models/a/args.json").read_text())
    assert kept["seed"] == 3 and kept["hidden"] == 16 and kept["command"].startswith("python main.py --env Inverted")
    assert any(name.startswith("events.out.tfevents") for name in os.listdir("runs/a"))

    latest = TD3(5, 1, 1.0, hidden=16)
    latest.load(find_checkpoint("a/latest"), inference=True)
    states = np.random.default_rng(0).normal(size=(5, 5))
    np.testing.assert_array_equal(latest.select_action(states), result.policy.select_action(states))
    assert not child_processes(), "no worker is left"


def test_tensorboard_holds_the_curve():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = main(**SMALL, name="a")
    board = EventAccumulator("runs/a")
    board.Reload()
    events = board.Scalars("eval/mean_return")
    assert [event.step for event in events] == [400, 800]
    np.testing.assert_allclose([event.value for event in events], result.curve["mean_return"], rtol=1e-4)
    assert {"train/critic_loss", "train/actor_loss"} <= set(board.Tags()["scalars"])


def test_the_best_policy_is_kept_when_later_ones_are_worse():
    """Evaluated again, models/a/best_* gives the best return of the curve."""
    result = main(**SMALL | {"max_timesteps": 2400}, name="a")
    best = TD3(5, 1, 1.0, hidden=16)
    best.load(find_checkpoint("a"))
    seen = eval_policy(best, PENDULUM, integers(spawn_streams(0).evaluation, 2), eval_episodes=2)
    assert seen.mean == pytest.approx(result.best)


def test_the_same_seed_trains_the_same_policy_and_another_seed_another():
    weights = [main(**SMALL, seed=seed, save_model=False).policy.actor.l2.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not os.path.exists("models")


def test_each_of_the_papers_three_ideas_can_be_left_out():
    """Each of them changes what is learned, so its argument arrives."""
    ideas: list[dict] = [{}, {"clipped_double_q": False}, {"policy_noise": 0}, {"policy_freq": 1}]
    policies = [main(**SMALL, **idea, save_model=False).policy for idea in ideas]
    assert len({float(policy.actor.l2.weight.detach().double().sum()) for policy in policies}) == 4
    assert [policy.clipped_double_q for policy in policies] == [True, False, True, True]


def test_the_paper_recipe_is_the_plain_loop_of_the_article():
    """One environment, one update a step, against the loop written by hand with the same random numbers."""
    args = {"env": PENDULUM, "recipe": "paper", "start_timesteps": 60, "max_timesteps": 160, "eval_freq": 160,
            "eval_episodes": 1, "hidden": 16, "batch_size": 8, "seed": 4}  # fmt: skip
    result = main(**args, threads=1, save_model=False)

    streams = spawn_streams(4)
    torch.manual_seed(integer(streams.networks))
    rng = np.random.default_rng(streams.exploration)
    policy, buffer = TD3(5, 1, 1.0, hidden=16), ReplayBuffer(5, 1, seed=integer(streams.sampling))
    torch.manual_seed(integer(streams.target_noise))
    env = make_env(PENDULUM)
    state, _ = env.reset(seed=integer(streams.environments))
    for t in range(160):
        if t < 60:
            action = rng.uniform(-1, 1, 1).astype(np.float32)
        else:
            action = (policy.select_action(state) + 0.1 * rng.standard_normal(1)).clip(-1, 1).astype(np.float32)
        if t > 60:
            policy.train(buffer, 8)
        next_state, reward, terminated, truncated, _ = env.step(action)
        buffer.add(state, action, next_state, reward, terminated)
        state = env.reset()[0] if terminated or truncated else next_state
    env.close()
    assert policy.total_it == result.policy.total_it == 99
    for ours, plain in zip(result.policy.actor.parameters(), policy.actor.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-6)


def test_a_time_limit_is_not_stored_as_terminal(monkeypatch):
    """In an environment that only a time limit ends, no stored transition is terminal, and none leads into the next episode."""
    kept = []
    real = ReplayBuffer.__init__
    monkeypatch.setattr(ReplayBuffer, "__init__", lambda self, *a, **k: (real(self, *a, **k), kept.append(self))[0])
    main(**SMALL | {"env": "ReacherBulletEnv-v0", "max_timesteps": 1600}, n_step=1, save_model=False)
    (buffer,) = kept
    assert len(buffer) == 1600 > 4 * 150, "the time limit of 150 steps was reached"
    assert (buffer.discount[: len(buffer)] == buffer.discount[0]).all() and buffer.discount[0] > 0
    jumps = (buffer.next_state[: len(buffer)].reshape(-1, 4, 9)[:-1] != buffer.state[: len(buffer)].reshape(-1, 4, 9)[1:]).any(
        -1
    )
    # first episodes end after 38, 75, 113 and 150 steps, later ones after 150 more each
    assert jumps.sum(0).tolist() == [3, 3, 2, 2], "so many new episodes began, and no reset is stored"


def test_a_second_run_of_the_same_name_overwrites_nothing():
    first = main(**SMALL, name="a")
    path = f"{find_checkpoint('a')}_actor"
    before = Path(path).read_bytes()
    second = main(**SMALL, name="a", seed=9)
    assert (first.name, second.name) == ("a", "a-2")
    assert f"{find_checkpoint('a')}_actor" == path and Path(path).read_bytes() == before
    assert os.path.exists("results/a-2.csv")


def test_load_model_starts_from_a_policy():
    first = main(**SMALL, name="a")
    second = main(**SMALL | {"max_timesteps": 204}, name="b", load_model="models/a/latest")  # ends before its first update
    for a, b in zip(first.policy.actor.parameters(), second.policy.actor.parameters(), strict=True):
        assert torch.equal(a, b)


def test_max_minutes_ends_a_run():
    result = main(**SMALL | {"max_timesteps": 10**9, "max_minutes": 0.02}, save_model=False)
    assert 1.2 <= result.seconds < 30 and len(result.curve["timesteps"])


def test_the_ladder_gives_each_environment_its_noise():
    args = Args(num_envs=3, expl_noise=0.1, expl_noise_max=0.4)
    np.testing.assert_allclose(exploration_noise(args), [[0.1], [0.2], [0.4]])
    np.testing.assert_allclose(exploration_noise(Args(num_envs=2, expl_noise=0.1, expl_noise_max=None)), [[0.1], [0.1]])


# --- a real process, interrupted ------------------------------------------------------------------------------------------------


def start(root, *extra):
    """`python main.py` in a process of its own, after its first evaluation; returns it and its workers."""
    words = [sys.executable, str(root / "main.py"), "--env", PENDULUM, "--start-timesteps", "200", "--eval-freq", "2000"]
    words += ["--num-envs", "4", "--hidden", "16", "--name", "a", *extra]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.time() + 60
    while not list(Path("models/a").glob("best_*")):
        assert process.poll() is None, process.stderr.read()
        assert time.time() < deadline
        time.sleep(0.05)
    return process, child_processes(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_cleanly_with_everything_saved(root, number):
    process, workers = start(root)
    assert workers
    os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Interrupted." in out and "Traceback" not in err
    assert not any(worker.is_running() for worker in workers)
    assert not list(Path("models/a").glob(".tmp-*"))
    for which in ("best", "latest"):
        TD3(5, 1, 1.0, hidden=16).load(find_checkpoint(f"a/{which}"))
    assert out.endswith("Continue with: python main.py --resume a\n")


def test_a_killed_run_leaves_a_whole_checkpoint_and_no_worker(root):
    process, workers = start(root)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert_gone(workers, seconds=10)
    TD3(5, 1, 1.0, hidden=16).load(find_checkpoint("a"))


# --- bad input -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, sentence",
    [
        ({"env": "AntBuletEnv-v0"}, "There is no environment 'AntBuletEnv-v0': did you mean 'AntBulletEnv-v0'?"),
        ({"env": "CartPole-v1"}, "env 'CartPole-v1' has actions Discrete(2): expected a flat Box"),
        ({"batch_size": 0}, "batch_size is 0: it should be greater than or equal to 1."),
        ({"load_model": "no_such_run"}, "There is no checkpoint 'no_such_run'"),
    ],
)
def test_bad_input_ends_in_one_sentence_and_leaves_nothing(args, sentence):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        main(**args)
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)
    assert os.listdir() == [] and not child_processes()


def test_a_foreign_checkpoint_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "x_actor").write_bytes(b"hello")
    (tmp_path / "x_critic").write_bytes(b"hello")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        main(**SMALL, load_model=str(tmp_path / "x"))
    assert sorted(os.listdir()) == ["x_actor", "x_critic"]


def test_help_does_not_wait_for_pytorch(root):
    code = "import sys; sys.argv = ['main.py', '--help']; import runpy\n"
    code += "try: runpy.run_path('main.py', run_name='__main__')\nexcept SystemExit: print('torch' in sys.modules)"
    seen = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert seen.stdout.endswith("False\n"), seen.stdout[-200:]


def run(root, *words):
    wide = os.environ | {"COLUMNS": "300"}
    return subprocess.run([sys.executable, str(root / "main.py"), *words], capture_output=True, text=True, env=wide)


def test_the_command_line_explains_every_argument_and_refuses_in_a_sentence(root):
    seen = run(root, "--help")
    assert seen.returncode == 0
    for field in Args.__dataclass_fields__.keys() - {"recipe"}:  # the recipes are subcommands
        assert "--" + field.replace("_", "-") in seen.stdout
    assert "Standard deviation of the target action noise, in units of max_action." in seen.stdout
    paper = run(root, "paper", "--help").stdout
    assert "default: 0.99" in paper and "default: 0.99" not in seen.stdout

    seen = run(root, "--env", "AntBuletEnv-v0")
    assert seen.returncode == 1
    assert seen.stderr == "There is no environment 'AntBuletEnv-v0': did you mean 'AntBulletEnv-v0'?\n"
    seen = run(root, "--batchsize", "3")
    assert seen.returncode == 2 and "--batchsize" in seen.stderr and "--batch-size" in seen.stderr
    seen = run(root, "--num-envs", "several")
    assert seen.returncode == 2 and "several" in seen.stderr


def test_the_stop_button_of_a_notebook_returns_the_result_so_far(root, monkeypatch):
    """A real kernel, interrupted as JupyterLab does it: the cell ends well, and the next cell has the result."""
    from jupyter_client.manager import start_new_kernel

    monkeypatch.setenv("PYTHONPATH", str(root), prepend=os.pathsep)
    manager, client = start_new_kernel(kernel_name="python3", cwd=os.getcwd())
    try:
        arguments = f"env={PENDULUM!r}, start_timesteps=200, eval_freq=2000, num_envs=4, hidden=16, name='a'"
        client.execute(f"from main import main; result = main({arguments})")
        deadline = time.time() + 60
        while not list(Path("models/a").glob("best_*")):
            assert time.time() < deadline
            time.sleep(0.1)
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=60)["content"]["status"] == "ok"
        client.execute(
            f"import sys; sys.path.append({str(root / 'tests')!r}); from conftest import assert_gone, child_processes"
        )
        assert client.get_shell_msg(timeout=60)["content"]["status"] == "ok"
        client.execute("assert result.interrupted and len(result.curve['timesteps']) and not child_processes()")
        reply = client.get_shell_msg(timeout=60)["content"]
        assert reply["status"] == "ok", reply
        shown = []
        while not any(message["msg_type"] == "update_display_data" for message in shown):
            shown.append(client.get_iopub_msg(timeout=10))
        assert not [m for m in shown if m["msg_type"] == "stream" and m["content"]["name"] == "stderr"], "no litter"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
