"""Everything random in a run has a stream of its own, which no other run has."""

import gymnasium as gym
import numpy as np
import torch

import utils
from envs.registry import make_envs
from main import main
from training.streams import Streams, integer, integers, spawn_streams

SEEDS, EPISODES = range(50), 1000
"""Of each stream of so many runs, so many integers are compared."""


def test_no_two_streams_of_two_runs_coincide():
    seen = [number for seed in SEEDS for stream in spawn_streams(seed) for number in integers(stream, EPISODES)]
    assert len(seen) == len(SEEDS) * len(Streams._fields) * EPISODES
    assert len(set(seen)) == len(seen)
    assert not set(seen) & {*range(len(SEEDS)), *range(utils.EVAL_SEED, utils.SCORE_SEED + 10**6)}


def test_pytorchs_generators_start_apart():
    """Its Mersenne twister takes 32 bits of a seed."""
    streams = [each for seed in SEEDS for each in (spawn_streams(seed).networks, spawn_streams(seed).target_noise)]
    streams += [spawn_streams(seed).sampling for seed in SEEDS]
    first = {torch.rand(4, generator=torch.Generator().manual_seed(integer(stream))).numpy().tobytes() for stream in streams}
    assert len(first) == 3 * len(SEEDS)


class Recorder(gym.Env):
    """An environment that writes down what its generator gives from the first reset with a seed on.

    `make_env` resets each new environment once without a seed.  What that draws is different in each process and no part of a run.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1, 1, (2,))
    numbers: list[float] = []  # noqa: RUF012
    actions: list[float] = []  # noqa: RUF012
    seeded = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeded |= seed is not None
        if self.seeded:
            self.numbers.extend(self.np_random.uniform(-1, 1, 4))
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.actions.extend(action.tolist())
        return np.zeros(2, np.float32), 0.0, False, False, {}


def test_the_random_numbers_of_two_runs_have_nothing_in_common(tmp_path, monkeypatch):
    """What really reaches environments, networks, batches and actions in two short runs with neighbouring seeds."""
    monkeypatch.chdir(tmp_path)
    gym.register("Recorder-v0", Recorder, max_episode_steps=5)
    monkeypatch.setattr(Recorder, "numbers", [])
    monkeypatch.setattr(Recorder, "actions", [])
    drawn = []
    try:
        for seed in (0, 1):
            result = main(env="Recorder-v0", seed=seed, max_timesteps=60, start_timesteps=32, eval_freq=30, num_envs=4, workers=0,
                          hidden=8, batch_size=4, eval_episodes=2, bf16=False, save_model=False)  # fmt: skip
            weights = result.policy.actor.l1.weight.detach().flatten().tolist()
            numbers, actions = np.array(Recorder.numbers), np.array(Recorder.actions[:64])  # the random ones
            drawn += [*np.unique(numbers), *actions, *weights]
            Recorder.numbers.clear()
            Recorder.actions.clear()
    finally:
        gym.registry.pop("Recorder-v0")
    numbers = np.round(np.abs(drawn), 6)
    ratios = numbers[numbers > 0]
    assert len(np.unique(ratios)) > 0.999 * len(ratios)


def test_first_episodes_have_different_lengths_and_later_ones_the_whole_time_limit():
    gym.register("Recorder-v0", Recorder, max_episode_steps=8)
    try:
        for staggered, first in ((True, [2, 4, 6, 8]), (False, [8, 8, 8, 8])):
            for workers in (0, 2):
                envs = make_envs("Recorder-v0", 4, workers, staggered=staggered)
                envs.reset(seed=[1, 2, 3, 4])
                ends = [[] for _ in range(4)]
                for t in range(1, 17):
                    envs.step_async(np.zeros((4, 2), np.float32))
                    _, _, terminated, truncated, _ = envs.step_wait()
                    assert not terminated.any()
                    for index in np.flatnonzero(truncated):
                        ends[index].append(t)
                envs.close()
                assert ends == [[length, length + 8] for length in first]
    finally:
        gym.registry.pop("Recorder-v0")


def test_eval_policy_takes_a_seed_for_each_episode():
    policy = utils.load_policy("base_ant_final")
    counted, listed, other = (
        utils.eval_policy(policy, "AntBulletEnv-v0", seed=seed, eval_episodes=3).returns
        for seed in (40, [40, 41, 42], [40, 43, 42])
    )
    np.testing.assert_array_equal(listed, counted)
    np.testing.assert_array_equal(listed == other, [True, False, True])
