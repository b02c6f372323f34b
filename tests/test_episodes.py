"""Episodes that are repeated in another environment: the same states, whatever happened before."""

import gymnasium as gym
import numpy as np
import pytest

from envs.episodes import LONGEST, EpisodeLog
from envs.registry import make_envs


@pytest.mark.parametrize("env", ["AntBulletEnv-v0", "MyAntRandomPointsResetTargetBulletEnv-v0", "ReacherBulletEnv-v0"])
@pytest.mark.parametrize("workers, other_workers", [(0, 2), (2, 0)])
def test_repeated_episodes_lead_to_the_same_states_and_go_on_alike(env, workers, other_workers):
    """After 230 steps, in which episodes ended; from then on both sets of environments get the same actions."""
    envs, others = make_envs(env, 5, workers), make_envs(env, 5, other_workers)
    rng, ended = np.random.default_rng(0), 0
    shape = (5, *envs.single_action_space.shape)
    try:
        envs.reset(seed=3)
        for _ in range(230):
            envs.step_async(rng.uniform(-1, 1, shape).astype(np.float32))
            states, _, terminated, truncated, _ = envs.step_wait()
            ended += (terminated | truncated).sum()
        assert ended
        episodes = envs.log.episodes()
        assert len({len(episode.actions) for episode in episodes}) > 1 or env.startswith("Reacher")
        np.testing.assert_array_equal(others.repeat_episodes(episodes), states)
        for _ in range(160):
            actions = rng.uniform(-1, 1, shape).astype(np.float32)
            for each in (envs, others):
                each.step_async(actions)
            a, b = envs.step_wait(), others.step_wait()
            for x, y in zip(a[:4], b[:4], strict=True):
                np.testing.assert_array_equal(x, y)
        for a, b in zip(envs.log.episodes(), others.log.episodes(), strict=True):
            assert str(a.start) == str(b.start)
            np.testing.assert_array_equal(a.actions, b.actions)
    finally:
        envs.close()
        others.close()


class Endless(gym.Env):
    """Counts its steps, and never ends."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(size=1).astype(np.float32)
        return self.state, {}

    def step(self, action):
        self.state = self.state + action
        return self.state, 0.0, False, False, {}


def test_of_an_endless_episode_only_so_many_steps_are_kept():
    gym.register("Endless-v0", Endless)
    envs = make_envs("Endless-v0", 2, 0)
    try:
        envs.reset(seed=1)
        for _ in range(LONGEST + 5):
            envs.step_async(np.ones((2, 1), np.float32))
            envs.step_wait()
        assert len(envs.log.actions) == LONGEST
        assert [episode.actions for episode in envs.log.episodes()] == [None, None]
        states = envs.repeat_episodes(envs.log.episodes())
        assert (states < 1).all(), "new episodes began"
    finally:
        envs.close()
        gym.registry.pop("Endless-v0")


def test_a_log_restored_from_its_episodes_is_that_log():
    log, rng = EpisodeLog(), np.random.default_rng(0)
    log.reset([{"seed": k, "options": None} for k in range(4)])
    for t in range(50):
        log.step(rng.normal(size=(4, 2)).astype(np.float32), {t % 3: {"seed": 100 + t, "options": None}} if t % 5 == 0 else {})
    other = EpisodeLog()
    other.restore(log.episodes())
    assert len(log.actions) == 50, "the last environment's episode has not ended"
    for a, b in zip(log.episodes(), other.episodes(), strict=True):
        assert a.start == b.start
        np.testing.assert_array_equal(a.actions, b.actions)
