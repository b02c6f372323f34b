"""The TD3 of stable-baselines3 and of SBX on the stock ant."""

import importlib
import time
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

from benchmarks.speed import RANDOM_STEPS, make_upstream_ant

ZOO = {
    "gamma": 0.98,
    "learning_rate": 7e-4,
    "batch_size": 256,
    "buffer_size": 200_000,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [400, 300]},
}
"""RL Baselines3 Zoo, hyperparams/td3.yml, AntBulletEnv-v0.  Its noise is 0.1, and it starts after 10,000 random steps."""


def make_model(library: Literal["sb3", "sbx"], seed: int = 0, learning_starts: int = 10_000) -> Any:
    """The TD3 of a library with the settings of RL Baselines3 Zoo: one environment and one update a step."""
    TD3 = importlib.import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[library]).TD3
    noise = NormalActionNoise(np.zeros(8), np.full(8, 0.1))
    return TD3("MlpPolicy", make_upstream_ant(), seed=seed, learning_starts=learning_starts, action_noise=noise, **ZOO)


class Clock(BaseCallback):
    """Measures environment steps per second from step `first` on, and ends the training after `seconds`."""

    def __init__(self, first: int, seconds: float) -> None:
        super().__init__()
        self.first, self.seconds, self.rate = first, seconds, float("nan")

    def _on_step(self) -> bool:
        if self.num_timesteps <= self.first:
            self.started = time.perf_counter()
            return True
        elapsed = time.perf_counter() - self.started
        self.rate = (self.num_timesteps - self.first) / elapsed
        return elapsed < self.seconds


def training_speed(library: Literal["sb3", "sbx"], seconds: float = 25.0, random_steps: int = RANDOM_STEPS) -> dict[str, Any]:
    """Environment steps and updates per second in training, with the library's own number of threads.

    The clock starts 200 updates after the random steps, when everything is compiled.
    """
    clock = Clock(random_steps + 200, seconds)
    make_model(library, learning_starts=random_steps).learn(1_000_000_000, callback=clock)
    return {"steps": clock.rate, "updates": clock.rate}
