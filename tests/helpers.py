"""Policies that need no training, and a measure of images, for several test files."""

import gymnasium as gym
import numpy as np

from envs.bullet import quiet


class Still:
    """A policy that does nothing."""

    def select_action(self, state):
        return np.zeros(8, np.float32)


class Walk:
    """A gait made by hand: the hips swing, and the feet are lifted in turn.  It keeps the states that it was given."""

    def __init__(self):
        self.states = []

    def select_action(self, state):
        self.states.append(state)
        swing = 11 * 0.0165 * len(self.states) + np.array([0, np.pi, 0, np.pi])
        goal = np.empty(8)
        goal[0::2] = 0.7 * np.sin(swing) * [1, 1, -1, -1]
        goal[1::2] = 0.8 * np.maximum(0, np.cos(swing)) * [-1, 1, 1, -1]
        return np.clip(3 * (goal - state[8:24:2]) - 1.5 * state[9:24:2], -1, 1).astype(np.float32)


def near_color(image, color, tolerance=45):
    """Number of pixels of an image whose colour is close to `color`, (3,)."""
    return int((np.abs(np.asarray(image)[..., :3].astype(int) - color).max(axis=-1) <= tolerance).sum())


def train_with_stable_baselines3(id, steps):
    """Trains stable-baselines3's TD3 in an environment, unmodified; its actor has to have learned something."""
    from stable_baselines3 import TD3

    with quiet():
        env = gym.make(id)
        model = TD3("MlpPolicy", env, learning_starts=steps // 4, buffer_size=1000, policy_kwargs={"net_arch": [16]}, seed=0)
        before = model.actor.mu[0].weight.detach().clone()
        model.learn(steps)
    assert (model.actor.mu[0].weight != before).any()
    env.close()


class Linear:
    """A policy for the ant, in which each action depends on all of the state.  The motors clip it."""

    weights = np.random.default_rng(0).normal(size=(8, 28)).astype(np.float32)

    def select_action(self, state):
        return self.weights @ state
