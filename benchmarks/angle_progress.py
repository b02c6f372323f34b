"""Does it help to pay the ant for turning?  Trains with the term `angle_progress` and without, several seeds each, and scores all.

    python benchmarks/angle_progress.py            # six runs, two at a time: some 50 minutes on two cores

A run whose curve is already in `results/angle_progress/` is not repeated; delete the file to have it made again.
"""

import csv
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from score import walk_directions  # noqa: E402
from viewer import load_policy  # noqa: E402

OUT = ROOT / "results" / "angle_progress"
ENVS = {"with": "MyAntRandomPointsOnwardBulletEnv-v0", "without": "MyAntRandomPointsOnwardNoAngleBulletEnv-v0"}
SCORED_IN = "MyAntRandomPointsBulletEnv-v0"


def train(term, seed, max_timesteps):
    """One run of `main.py` in a process of its own, ants and learner on one core.  Returns the name of the run."""
    name = f"angle_progress_{term}_seed{seed}"
    curve = OUT / f"{term}_seed{seed}.csv"
    if not curve.exists():
        options = {"--env": ENVS[term], "--seed": seed, "--max-timesteps": max_timesteps, "--workers": 0, "--name": name}
        words = [str(word) for option in options.items() for word in option]
        run = subprocess.run([sys.executable, "main.py", *words], cwd=ROOT, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"The run {name} failed: {run.stderr[-500:]}")
        shutil.copy(ROOT / "results" / f"{name}.csv", curve)
    return name


def score(seeds, directions):
    """Sends the best policy of each run in all directions; writes a row for each to directions.csv and prints it."""
    with open(OUT / "directions.csv", "w", newline="") as f:
        table = csv.writer(f)
        table.writerow(("term", "seed", "directions", "reached", "falls", "median_steps"))
        for term in ENVS:
            for seed in seeds:
                walks = walk_directions(load_policy(f"angle_progress_{term}_seed{seed}", SCORED_IN), SCORED_IN, directions)
                table.writerow((term, seed, directions, walks.reached.sum(), walks.fell.sum(), f"{walks.median_steps:g}"))
                print(f"{term} the term, seed {seed}: {walks}", flush=True)


def main(seeds: tuple[int, ...] = (0, 1, 2), max_timesteps: int = 2_000_000, directions: int = 72, at_once: int = 2):
    """Trains and scores.

    Args:
        seeds: of the runs.
        max_timesteps: environment steps of each run.
        directions: how many the scored ants are sent in.
        at_once: how many runs at the same time, a core each.
    """
    OUT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(train, term, seed, max_timesteps) for seed in seeds for term in ENVS]
        for job in jobs:
            print(job.result(), "is trained", flush=True)
    score(seeds, directions)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
