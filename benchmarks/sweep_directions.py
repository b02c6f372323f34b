"""Sends the ants of sweeps in all directions.

    python -m benchmarks.sweep_directions four_fronts any_point

Writes to `results/sweeps/NAME` copies of the two tables of `sweeps/NAME`, and directions.csv, with a row for each run that is finished.
"""

import csv
import shutil
from pathlib import Path
from typing import Any

from training.cli import run_cli
from training.curve import read_curve
from training.files import atomic_write
from training.trials import RUN, read_state
from utils import REPO_ROOT, UNSEEN_SEED, load_policy
from viewing.directions import eval_directions

COLUMNS = ["trial", "seed", "timesteps", "directions", "reached", "falls", "median_steps", "slowest_steps"]


def score(run: Path, directions: int) -> dict[str, Any]:
    """`COLUMNS` of one run, from the folder of its trial.

    The policy is the latest, because a return says little about passing within a metre of a point.  It walks in the environment
    in which it was trained, except that the target stays.
    """
    arguments = read_state(run)["arguments"]
    env = arguments["env"].replace("ResetTarget", "")
    found = eval_directions(load_policy(run / "models" / RUN / "latest", env), env, directions, seed=UNSEEN_SEED)
    timesteps = int(read_curve(run / "results" / f"{RUN}.csv")["timesteps"][-1])
    counts = directions, int(found.reached.sum()), int(found.fell.sum())
    return dict(
        zip(COLUMNS, (run.name, arguments["seed"], timesteps, *counts, found.median_steps, found.steps.max()), strict=True)
    )


def main(
    names: tuple[str, ...],
    directions: int = 72,
    root: Path = REPO_ROOT / "sweeps",
    folder: Path = REPO_ROOT / "results" / "sweeps",
) -> None:
    """Scores.

    Args:
        names: Names of sweeps of ants for any point.
        directions: Number of directions of the evaluation.
        root: Folder of the sweeps.
        folder: Folder of the results.
    """
    if not names:
        raise ValueError("names is empty: give the name of at least one sweep, such as four_fronts.")
    for name in names:
        runs = [path.parent for path in (root / name).glob("*/trial.json") if read_state(path.parent).get("finished")]
        if not runs:
            raise ValueError(f"There is no finished run in '{root / name}': expected the name of a sweep in '{root}'.")
        rows = []
        for run in sorted(runs, key=lambda run: read_state(run)["arguments"]["seed"]):
            rows.append(score(run, directions))
            print(", ".join(f"{column} {value}" for column, value in rows[-1].items()), flush=True)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for table in ("evaluations.csv", "trials.csv"):
            shutil.copy(root / name / table, folder / name)
        with atomic_write(folder / name / "directions.csv") as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    import tyro

    run_cli(main, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,))
