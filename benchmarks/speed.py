"""Steps per second: of training, of one environment, and of many."""

import statistics
import time
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np

from envs.bullet import quiet
from envs.registry import make_env, make_envs
from main import main
from training.args import RECIPES
from utils import ReplayBuffer

RANDOM_STEPS = 1_000
"""Steps before the first update: fewer than in a real run, so that the learner takes part in nearly all of the measurement."""


def training_speed(seconds: float = 25.0, num_envs: int = 16, one_process_per_env: bool = False) -> dict[str, Any]:
    """Environment steps and updates per second of `main()` with the fast recipe.

    Args:
        seconds: duration.
        num_envs: number of environments.
        one_process_per_env: Gymnasium's `AsyncVectorEnv` in place of `WorkerVectorEnv`.

    Returns:
        dict of `steps` and `updates` per second, and `buffer_bytes`, the memory that the replay buffer will still take.
    """

    def make_async_envs(env, num_envs, workers, staggered=False):
        same_step = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
        return gym.make_vec(env, num_envs, vectorization_mode="async", vector_kwargs=same_step)

    # main() imports make_envs when it is called
    with mock.patch("envs.registry.make_envs", make_async_envs if one_process_per_env else make_envs):
        result = main(
            num_envs=num_envs,
            start_timesteps=RANDOM_STEPS,
            max_timesteps=1_000_000_000,
            eval_freq=1_000_000_000,  # the one evaluation, at the end, is not counted in `steps_per_second`
            max_minutes=seconds / 60,
            save_model=False,
        )
    steps, rate = int(result.curve["timesteps"][-1]), float(result.curve["steps_per_second"][-1])
    transition = ReplayBuffer(28, 8, 1).table.nbytes
    empty = max(RECIPES["fast"].buffer_size - steps, 0)
    return {"steps": rate, "updates": result.policy.total_it * rate / steps, "buffer_bytes": transition * empty}


def make_upstream_ant(seed: int | None = None) -> gym.Env:
    """Upstream's AntBulletEnv-v0 after a first reset, in which Bullet prints messages."""
    with quiet():
        env = gym.make("AntBulletEnv-v0", disable_env_checker=True)
        env.reset(seed=seed)
    return env


def env_speed(seconds: float = 1.0, rounds: int = 5) -> dict[str, float]:
    """Steps per second of one environment with random actions.

    Returns:
        the median over the rounds of the environments, which take turns: `upstream`, `stock` (the same ant, made by
        `make_env`) and `ours` (MyAntBulletEnv-v0).
    """
    envs = {
        "upstream": make_upstream_ant(),
        "stock": make_env("AntBulletEnv-v0"),
        "ours": make_env("MyAntBulletEnv-v0", target=(1000, 0)),
    }
    rng, rates = np.random.default_rng(0), {name: [] for name in envs}
    for k in range(rounds + 1):  # the first round warms up
        actions = rng.uniform(-1, 1, (1000, 8)).astype(np.float32)  # the same for each environment
        for name, env in envs.items():
            env.reset(seed=k)
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                _, _, terminated, truncated, _ = env.step(actions[count % 1000])
                count += 1
                if terminated or truncated:
                    env.reset()
            if k:
                rates[name].append(count / (time.perf_counter() - started))
    for env in envs.values():
        env.close()
    return {name: statistics.median(values) for name, values in rates.items()}


def vector_env_speed(num_envs: int = 16, seconds: float = 10.0) -> dict[str, float]:
    """Steps per second of environments in one worker, with random actions and no learner."""
    envs, rng = make_envs("AntBulletEnv-v0", num_envs, workers=1), np.random.default_rng(0)
    envs.reset(seed=0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        envs.step(rng.uniform(-1, 1, (num_envs, 8)).astype(np.float32))
        steps += num_envs
    rate = steps / (time.perf_counter() - started)
    envs.close()
    return {"steps": rate}
