"""Numbers that become nan or infinite: training stops at once, names where, and keeps the last good checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import child_processes

from envs.registry import register
from main import main
from TD3 import TD3
from training.bf16_update import Bf16TD3
from training.finite import NonFiniteError, check_losses, check_weights
from training.streams import integers, spawn_streams
from utils import check_digests, find_checkpoint, newest_checkpoint

SMALL = {"num_envs": 4, "start_timesteps": 80, "eval_freq": 200, "max_timesteps": 600, "eval_episodes": 1,
         "hidden": 16, "batch_size": 16, "checkpoint_minutes": 0}  # fmt: skip


BAD_SEEDS = integers(spawn_streams(0).environments, 4)[2], 6
"""That of environment 2 of a run with seed 0, and another one."""


class Breaking(gym.Env):
    """Gives a bad number at step 75 of an episode with one of `BAD_SEEDS`; `part` says where."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, part, value):
        self.part, self.value = part, float(value)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bad, self.t = seed in BAD_SEEDS, 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.t += 1
        state, self.terms = np.full(3, 0.1, np.float32), {"alive": 1.0, "progress": 2.0}
        if self.bad and self.t == 75:
            if self.part == "state":
                state[1] = self.value
            else:
                self.terms["progress"] = self.value
        return state, sum(self.terms.values()), False, False, {}


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in ("state", "reward"):
        for value in ("nan", "inf"):
            register(
                f"Breaking-{part}-{value}-v0",
                entry_point=Breaking,
                kwargs={"part": part, "value": value},
                max_episode_steps=100,
            )
    yield
    for part in ("state", "reward"):
        for value in ("nan", "inf"):
            gym.registry.pop(f"Breaking-{part}-{value}-v0")


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "part, sentence",
    [
        (
            "reward",
            "The reward of environment 2 is {} in the environment's step 75, 300 steps in all, with the terms alive 1, progress {}",
        ),
        ("state", "Observation 1 of environment 2 is {} in the environment's step 75, 300 steps in all: look at how"),
    ],
)
def test_a_bad_number_from_an_environment_is_named_and_nothing_of_it_is_kept(part, value, workers, sentence):
    with pytest.raises(NonFiniteError) as error:
        main(**SMALL, env=f"Breaking-{part}-{value}-v0", workers=workers, name="a")
    assert str(error.value).startswith(sentence.format(value, value)) and "\n" not in str(error.value)
    assert error.value.__notes__ == ["models/a has the last checkpoint before that."]
    latest = newest_checkpoint(Path("models/a"), "latest").parent
    check_digests(latest)
    assert 280 <= int(latest.name.removeprefix("latest_")) <= 296
    memory = torch.load(latest / "latest_replay_buffer", weights_only=True)
    assert len(memory) and torch.isfinite(memory).all()
    assert not child_processes()


def test_the_command_line_says_it_and_exits_with_1(root):
    Path("breaking.py").write_text(f"""
import sys
sys.path.insert(0, {str(root / "tests")!r})
from envs.registry import register
from test_finite import Breaking
register("B-v0", entry_point=Breaking, kwargs={{"part": "reward", "value": "nan"}}, max_episode_steps=100)
""")
    options = [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), str(value))]
    words = [sys.executable, str(root / "main.py"), "--env", "breaking:B-v0", "--name", "a", *options]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), str(root)])}
    seen = subprocess.run(words, capture_output=True, text=True, env=env)
    assert seen.returncode == 1 and "Traceback" not in seen.stderr
    sentences = seen.stderr.splitlines()[-2:]
    assert sentences[0].startswith("The reward of environment 2 is nan") and sentences[1].startswith("models/a has the last")


@pytest.mark.parametrize("agent", [TD3, Bf16TD3])
@pytest.mark.parametrize("network, layer", [("actor", "l1"), ("critic", "l5")])
def test_a_bad_weight_is_named_also_where_bfloat16_hides_it_from_the_losses(agent, network, layer, full_buffer):
    policy, buffer = agent(5, 3, 1.0, hidden=16), full_buffer()
    losses = policy.train(buffer, 32) | policy.train(buffer, 32)
    check_losses(losses, policy, 1000)
    check_weights(policy, 1000)
    with torch.no_grad():
        getattr(getattr(policy, network), layer).weight[3, 2] = float("nan")
    with pytest.raises(
        NonFiniteError, match=rf"A weight in {network}.{layer}.weight is not finite after 1,000 steps and 2 updates"
    ):
        check_weights(policy, 1000)
    with pytest.raises(NonFiniteError, match=r"critic_loss is inf after 1,000 steps and 2 updates: training has diverged"):
        check_losses(losses | {"critic_loss": torch.tensor(float("inf"))}, policy, 1000)


def test_a_run_that_diverges_stops_before_it_saves_or_acts(monkeypatch):
    """An agent whose tenth update goes wrong."""

    class Diverging(TD3):
        def train(self, *args):
            losses = super().train(*args)
            if self.total_it == 10:
                with torch.no_grad():
                    self.actor.l3.bias[0] = float("nan")
            return losses

    monkeypatch.setattr("TD3.TD3", Diverging)
    with pytest.raises(
        NonFiniteError, match="A weight in actor.l3.bias is not finite after|Action 0 for environment 0 is nan after"
    ):
        main(**SMALL, env="InvertedPendulumBulletEnv-v0", utd_ratio=0.25, bf16=False, workers=0, name="a")
    TD3(5, 1, 1.0, hidden=16).load(find_checkpoint("a/latest"))


@pytest.mark.parametrize("part", ["actor", "critic_optimizer"])
def test_a_file_with_a_bad_number_is_not_loaded(tmp_path, part, full_buffer):
    policy = TD3(5, 3, 1.0, hidden=16)
    policy.train(full_buffer(), 32)
    policy.save(tmp_path / "ant")
    path = f"{tmp_path}/ant_{part}"
    contents = torch.load(path, weights_only=True)
    (contents["l1.weight"] if part == "actor" else contents["state"][0]["exp_avg"]).fill_(float("nan"))
    torch.save(contents, path)
    with pytest.raises(ValueError, match=f"ant_{part}' holds a number that is nan or infinite: take an earlier checkpoint"):
        policy.load(tmp_path / "ant")


def test_an_evaluation_with_a_bad_return_is_refused():
    from utils import eval_policy

    class Still:
        def select_action(self, states):
            return np.zeros((len(states), 1), np.float32)

    with pytest.raises(ValueError, match="The return of the evaluation episode with seed 6 is nan: look at the reward"):
        eval_policy(Still(), "Breaking-reward-nan-v0", seed=5, eval_episodes=3)
