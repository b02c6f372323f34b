"""Stable-baselines3's TD3 on the stock ant with the zoo's settings, until it passes gym's own "solved" line.

    python benchmarks/sb3_to_2500.py --seed 0 --csv benchmarks/sb3_to_2500_seed0.csv

Evaluated every 10,000 steps over 10 episodes.  Two clocks are written: training alone, and evaluation included.
Settings: RL Baselines3 Zoo, hyperparams/td3.yml, AntBulletEnv-v0.
"""

import argparse
import csv
import time

import gymnasium as gym
import numpy as np
import pybullet_envs_gymnasium  # noqa: F401  (registers AntBulletEnv-v0)
from measure import ZOO
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--target", type=float, default=2500.0, help="stop at the first evaluation with this mean return")
parser.add_argument("--max-timesteps", type=int, default=1_000_000)
parser.add_argument("--csv", required=True)
args = parser.parse_args()


def evaluate(model, env, episodes=10):
    """Mean return and length of `episodes` episodes without exploration noise."""
    returns, lengths = [], []
    for k in range(episodes):
        state, _ = env.reset(seed=10_000 + k)
        total, length, over = 0.0, 0, False
        while not over:
            action, _ = model.predict(state, deterministic=True)
            state, reward, terminated, truncated, _ = env.step(action)
            total, length, over = total + reward, length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
    return float(np.mean(returns)), float(np.mean(lengths))


class Clock(BaseCallback):
    """Evaluates every 10,000 steps and keeps the two clocks apart."""

    def __init__(self):
        super().__init__()
        self.eval_env = gym.make("AntBulletEnv-v0")
        self.started, self.evaluating = time.perf_counter(), 0.0

    def _on_step(self):
        if self.num_timesteps % 10_000:
            return True
        now = time.perf_counter()
        mean_return, mean_length = evaluate(self.model, self.eval_env)
        self.evaluating += time.perf_counter() - now
        total = time.perf_counter() - self.started
        row = [self.num_timesteps, f"{total - self.evaluating:.1f}", f"{total:.1f}", f"{mean_return:.1f}", f"{mean_length:.1f}"]
        print(*row, flush=True)
        with open(args.csv, "a", newline="") as f:
            csv.writer(f).writerow(row)
        return mean_return < args.target


with open(args.csv, "w", newline="") as f:
    csv.writer(f).writerow(["timesteps", "train_seconds", "seconds", "mean_return", "mean_length"])
env = gym.make("AntBulletEnv-v0")
model = TD3(
    "MlpPolicy",
    env,
    seed=args.seed,
    learning_starts=10_000,
    **ZOO,
    action_noise=NormalActionNoise(np.zeros(8), 0.1 * np.ones(8)),
)
model.learn(args.max_timesteps, callback=Clock())
