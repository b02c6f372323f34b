"""Does the reward term `angle_progress` help?  Trains with it and without, several seeds each, and evaluates all directions.

    python -m benchmarks.angle_progress            # six runs, two at a time: some 50 minutes on two cores

A run whose curve is already in `results/angle_progress/` is not repeated.  Delete the file to repeat it.
"""

import csv
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from itertools import product

from envs.bullet import quiet
from main import main as train
from training.cli import run_cli
from utils import REPO_ROOT, load_policy
from viewing.directions import eval_directions

FOLDER = REPO_ROOT / "results" / "angle_progress"
ENVS = {
    "with": "MyAntRandomPointsResetTargetBulletEnv-v0",
    "without": "MyAntRandomPointsResetTargetNoAngleBulletEnv-v0",
}
EVAL_ENV = "MyAntRandomPointsBulletEnv-v0"


def run_name(term: str, seed: int) -> str:
    """The name of a run."""
    return f"angle_progress_{term}_seed{seed}"


def train_once(term: str, seed: int, max_timesteps: int) -> str:
    """One run of `main()`, environments and learner in one process, unless its curve is there.  Returns its name."""
    curve, name = FOLDER / f"{term}_seed{seed}.csv", run_name(term, seed)
    if not curve.exists():
        with quiet():
            train(env=ENVS[term], seed=seed, max_timesteps=max_timesteps, workers=0, name=name)
        shutil.copy(f"results/{name}.csv", curve)
    return name


def evaluate(seeds: tuple[int, ...], directions: int) -> None:
    """Sends the best policy of each run in all directions, and writes a row for each to directions.csv."""
    with open(FOLDER / "directions.csv", "w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(("term", "seed", "directions", "reached", "falls", "median_steps"))
        for term, seed in product(ENVS, seeds):
            found = eval_directions(load_policy(run_name(term, seed), EVAL_ENV), EVAL_ENV, directions)
            table.writerow((term, seed, directions, found.reached.sum(), found.fell.sum(), f"{found.median_steps:g}"))
            print(f"{term} the term, seed {seed}: {found}", flush=True)


def main(seeds: tuple[int, ...] = (0, 1, 2), max_timesteps: int = 2_000_000, directions: int = 72, at_once: int = 2) -> None:
    """Trains and evaluates.

    Args:
        seeds: Seeds of the runs.
        max_timesteps: Environment steps of each run.
        directions: Number of directions of the evaluation.
        at_once: Number of runs at the same time, each on one core.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context, max_tasks_per_child=1) as pool:
        runs = [pool.submit(train_once, term, seed, max_timesteps) for seed, term in product(seeds, ENVS)]
        for run in runs:
            print(run.result(), "is trained", flush=True)
    evaluate(seeds, directions)


if __name__ == "__main__":
    run_cli(main, description=__doc__)
