"""The TD3 of stable-baselines3 and of SBX on the stock ant."""

import importlib
import time
from contextlib import closing
from typing import Any, Literal

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks.speed import RANDOM_STEPS, make_upstream_ant
from envs.registry import make_envs
from main import exploration_noise
from training.args import RECIPES
from training.curve import CURVE_COLUMNS, append_row
from training.run import is_due
from training.streams import integer, integers, spawn_streams
from utils import MAX_EVAL_ENVS, eval_policy

Peer = Literal["sb3_matched", "sb3", "sbx"]
FAST = RECIPES["fast"]

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

MATCHED = {
    "gamma": FAST.discount,
    "learning_rate": FAST.lr,
    "tau": FAST.tau,
    "batch_size": FAST.batch_size,
    "buffer_size": FAST.buffer_size,
    "n_steps": FAST.n_step,
    "policy_delay": FAST.policy_freq,
    "target_policy_noise": FAST.policy_noise,
    "target_noise_clip": FAST.noise_clip,
    "train_freq": 1,
    "gradient_steps": round(FAST.utd_ratio * FAST.num_envs),
    "policy_kwargs": {"net_arch": [FAST.hidden, FAST.hidden]},
}
"""The fast recipe, as far as stable-baselines3 has it.

Also matched: 16 environments, four updates for 16 steps, the exploration noise of each environment, 10,000 random steps.  Not
matched, because stable-baselines3 has no such thing: symmetries and saturation penalty (ours is compared without them as well),
bfloat16, episodes that start apart, and a worker, so its environments wait while it learns.
"""


def make_model(peer: Peer, seed: int = 0, learning_starts: int = FAST.start_timesteps) -> Any:
    """The TD3 of a library, with the settings of RL Baselines3 Zoo (one environment, one update a step) or of the fast recipe.

    The library gives environment i its seed + i, so that it gets a seed which is far from those of other runs.
    """
    TD3 = importlib.import_module("sbx" if peer == "sbx" else "stable_baselines3").TD3
    settings, deviations = (MATCHED, exploration_noise(FAST)) if peer == "sb3_matched" else (ZOO, np.full((1, 1), 0.1))
    noise = VectorizedActionNoise(NormalActionNoise(np.zeros(8), np.zeros(8)), len(deviations))
    noise.noises = [NormalActionNoise(np.zeros(8), np.full(8, deviation)) for deviation in deviations[:, 0]]
    envs = DummyVecEnv([make_upstream_ant] * len(deviations))
    own_seed = integer(spawn_streams(seed).environments) % 2**31
    return TD3("MlpPolicy", envs, seed=own_seed, learning_starts=learning_starts, action_noise=noise, **settings)


class Evaluations(BaseCallback):
    """Evaluates as `main()` does: after as many steps, and on the same episodes of as many as the run with this seed of ours.

    Args:
        curve: file of the learning curve, with `CURVE_COLUMNS`.
        seed: of the run.
        max_timesteps: after which there is a last evaluation.
        eval_freq: environment steps between evaluations.
        eval_episodes: of each evaluation.
    """

    def __init__(self, curve: str, seed: int, max_timesteps: int, eval_freq: int, eval_episodes: int) -> None:
        super().__init__()
        self.curve, self.max_timesteps, self.eval_freq = curve, max_timesteps, eval_freq
        self.seeds = integers(spawn_streams(seed).evaluation, eval_episodes)
        self.envs = make_envs(FAST.env, min(eval_episodes, MAX_EVAL_ENVS), workers=0)
        self.rows: list[list[float]] = []

    def _on_training_start(self) -> None:
        self.started = time.perf_counter()
        self.rated_at = 0, self.started
        append_row(self.curve, CURVE_COLUMNS)

    def select_action(self, states: np.ndarray) -> np.ndarray:
        """The actions (N, 8) of the policy for states (N, 28), without noise."""
        return self.model.predict(states, deterministic=True)[0]

    def _on_step(self) -> bool:
        t = self.num_timesteps
        if t < self.max_timesteps and not is_due(t, self.rows, self.eval_freq):
            return True
        steps, since = self.rated_at
        rate = (t - steps) / (time.perf_counter() - since)
        found = eval_policy(self, self.envs, self.seeds, len(self.seeds))
        returns, now = found.returns, time.perf_counter()
        row = [now - self.started, returns.mean(), returns.min(), returns.max(), found.lengths.mean(), rate]
        self.rows.append([t] + [round(float(x), 1) for x in row])
        append_row(self.curve, self.rows[-1])
        self.rated_at = t, now
        return True


def train(
    curve: str,
    peer: Peer,
    seed: int,
    max_timesteps: int,
    eval_freq: int = FAST.eval_freq,
    eval_episodes: int = FAST.eval_episodes,
    **settings: Any,
) -> None:
    """Trains a peer and writes its learning curve.

    Args:
        curve, seed, max_timesteps, eval_freq, eval_episodes: as for `Evaluations`.
        peer: who is trained.
        **settings: as for `make_model`.
    """
    callback = Evaluations(curve, seed, max_timesteps, eval_freq, eval_episodes)
    with closing(callback.envs):
        make_model(peer, seed, **settings).learn(max_timesteps, callback=callback)


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


def training_speed(peer: Peer, seconds: float = 25.0, random_steps: int = RANDOM_STEPS) -> dict[str, Any]:
    """Environment steps and updates per second in training, with the library's own number of threads.

    The clock starts 200 steps after the random steps, when everything is compiled.
    """
    clock = Clock(random_steps + 200, seconds)
    model = make_model(peer, learning_starts=random_steps)
    model.learn(1_000_000_000, callback=clock)
    return {"steps": clock.rate, "updates": clock.rate * model.gradient_steps / model.n_envs}
