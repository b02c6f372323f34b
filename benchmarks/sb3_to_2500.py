"""Trains stable-baselines3's TD3 on the stock ant until it reaches the environment's reward threshold, 2,500.

    python -m benchmarks.sb3_to_2500 --seed 0 --csv benchmarks/sb3_to_2500_seed0.csv

The hyperparameters are those of RL Baselines3 Zoo.  Every 10,000 steps follow 10 episodes of evaluation.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.monitor import Monitor

from benchmarks.peers import make_model
from benchmarks.speed import make_upstream_ant
from training.cli import run_cli
from training.curve import append_row


class TimedEvalCallback(EvalCallback):
    """An `EvalCallback` that also writes a learning curve, with the time of training alone and with evaluations."""

    def __init__(self, csv: Path, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.csv, self.started, self.evaluating = csv, time.perf_counter(), 0.0

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq:
            return True
        before = time.perf_counter()
        continue_training = super()._on_step()
        now = time.perf_counter()
        self.evaluating += now - before
        total = now - self.started
        figures = total - self.evaluating, total, self.last_mean_reward, np.mean(self.evaluations_length[-1])
        append_row(self.csv, [self.num_timesteps, *(f"{figure:.1f}" for figure in figures)])
        return continue_training


def main(csv: Path, seed: int = 0, target: float = 2500.0, max_timesteps: int = 1_000_000, eval_freq: int = 10_000) -> None:
    """Trains and writes a learning curve.

    Args:
        csv: File for the learning curve.
        seed: Seed of the run.
        target: Mean return of an evaluation that ends the run.
        max_timesteps: Environment steps after which the run ends.
        eval_freq: Environment steps between evaluations.
    """
    csv.unlink(missing_ok=True)
    append_row(csv, ["timesteps", "train_seconds", "seconds", "mean_return", "mean_length"])
    model = make_model("sb3", seed)
    with tempfile.TemporaryDirectory() as folder:
        eval_env = Monitor(make_upstream_ant(seed=10_000))
        stop = StopTrainingOnRewardThreshold(target)
        callback = TimedEvalCallback(csv, eval_env, stop, n_eval_episodes=10, eval_freq=eval_freq, log_path=folder)
        model.learn(max_timesteps, callback=callback)


if __name__ == "__main__":
    run_cli(main, description=__doc__)
