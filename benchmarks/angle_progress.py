"""Does the reward term `angle_progress` help?  Trains pairs of ants with it and without, and sends them in all directions.

    python -m benchmarks.angle_progress                 ten pairs of runs, as many at a time as there are cores
    python -m benchmarks.angle_progress --score-only    only scores the pairs that are trained so far

Needs the extra `sweep`.  The runs are a sweep in `sweeps/angle_progress`, which the same command continues.  A run counts as
soon as both runs of its pair are finished.  Writes to `results/angle_progress`: the learning curve of each run, directions.csv
with a row for each run, and summary.md.
"""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from sweep import sweep
from training import trials
from training.cli import run_cli
from training.curve import read_curve, summarize
from training.trials import RUN
from utils import REPO_ROOT, UNSEEN_SEED, load_policy
from viewing.directions import DirectionEvaluation, eval_directions
from viewing.seeds import bootstrap_interval, iqm, probability_of_improvement

ENVS = {
    "with": "MyAntRandomPointsResetTargetBulletEnv-v0",
    "without": "MyAntRandomPointsResetTargetNoAngleBulletEnv-v0",
}
EVAL_ENV = "MyAntRandomPointsBulletEnv-v0"

OUTCOMES = ["reached", "fell", "slow", "cannot turn"]
COLUMNS = ["term", "seed", "directions", *(outcome.replace(" ", "_") for outcome in OUTCOMES), "median_steps", "last_three",
           "area_under_curve"]  # fmt: skip
"""A row for each run: how many directions had each outcome, the median of the steps to the target, and two of the scores of the
learning curve (`training.curve.summarize`)."""


def outcomes(found: DirectionEvaluation) -> np.ndarray:
    """What came of each episode.

    Returns:
        (N,) array of `OUTCOMES`: "reached"; "fell", the episode ended by a fall; "slow", it did more than half of the way, but
        did not arrive within the steps of an episode; "cannot turn", none of these.
    """
    way = np.array([np.linalg.norm(target - path[0]) for target, path in zip(found.targets, found.paths, strict=True)])
    return np.select([found.reached, found.fell, found.nearest < way / 2], OUTCOMES[:3], OUTCOMES[3])


def score(run: Path, directions: int) -> dict[str, Any]:
    """The columns of one run after `seed`, from the folder of its trial.

    The policy is the latest, because the notebook takes that one: a return says little about passing within a metre of a point.
    """
    found = eval_directions(load_policy(run / "models" / RUN / "latest", EVAL_ENV), EVAL_ENV, directions, seed=UNSEEN_SEED)
    kinds = outcomes(found).tolist()
    counts = {outcome.replace(" ", "_"): kinds.count(outcome) for outcome in OUTCOMES}
    curve = summarize(read_curve(run / "results" / f"{RUN}.csv"))
    last = {name: curve[name] for name in ("last_three", "area_under_curve")}
    return {"directions": directions, **counts, "median_steps": found.median_steps, **last}


def summary_table(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of the runs with the term, those without, and the probability that the term improves a run.

    Args:
        rows: with `COLUMNS`, the same seeds for both terms.
    """

    def values(name):
        return [np.array([row[name] for row in rows if row["term"] == term], dtype=float) for term in ENVS]

    seeds, lines = len(rows) // len(ENVS), []
    for name, label in {
        "reached": "directions reached",
        "last_three": "mean return of the last three evaluations",
        "area_under_curve": "area under the learning curve, per step",
    }.items():
        groups = values(name)
        means = [f"{iqm(group):z,.0f} {_interval(iqm, group)}" for group in groups]
        better = f"{probability_of_improvement(*groups):.2f} {_interval(probability_of_improvement, *groups, digits=2)}"
        lines.append([f"{label}: interquartile mean", *means, better])
    for outcome in OUTCOMES:
        counts = zip(values(outcome.replace(" ", "_")), values("directions"), strict=True)
        shares = [f"{of_outcome.sum():.0f} of {of_all.sum():.0f}" for of_outcome, of_all in counts]
        lines.append([f"directions of all seeds: {outcome}", *shares, ""])
    head = [f"{seeds} pair{'s' if seeds > 1 else ''} of seeds, 95 % intervals", *(f"{term} the term" for term in ENVS)]
    return tabulate(lines, [*head, "probability that the term improves a run"], tablefmt="github", disable_numparse=True)


def _interval(statistic, *samples, digits=0):
    """A bootstrap interval in brackets."""
    low, high = bootstrap_interval(statistic, *samples)
    return f"[{low:z,.{digits}f}, {high:z,.{digits}f}]" if np.isfinite([low, high]).all() else "[one seed]"


def main(
    seeds: int = 10,
    max_timesteps: int = 1_200_000,
    directions: int = 72,
    symmetries: bool = False,
    score_only: bool = False,
    root: Path = REPO_ROOT / "sweeps",
    folder: Path = REPO_ROOT / "results" / "angle_progress",
) -> None:
    """Trains and scores.

    Args:
        seeds: Number of pairs of runs.
        max_timesteps: Environment steps of each run.
        directions: Number of directions of the evaluation.
        symmetries: Whether the replay buffer mirrors transitions.  These runs and their results have folders of their own.
        score_only: Scoring of the pairs that are finished, without training.
        root: Folder of the sweep.
        folder: Folder of the results.
    """
    name, folder = ("angle_progress_symmetries", folder / "symmetries") if symmetries else ("angle_progress", folder)
    given = {"env": list(ENVS.values()), "seeds": seeds, "max_timesteps": max_timesteps, "symmetries": symmetries}
    given |= {"name": name, "root": root}
    if not score_only and sweep(**given).interrupted:
        raise RuntimeError("Interrupted: the same command continues, and --score-only scores the pairs that are finished.")
    _, runs, place = trials.plan(**given)
    finished = {
        (run.varied["env"], run.varied["seed"]): place / run.name for run in runs if trials.is_finished(place, run, None)
    }
    pairs = [seed for seed in range(seeds) if all((env, seed) in finished for env in ENVS.values())]
    if not pairs:
        raise RuntimeError(f"No pair of runs in '{place}' is finished: run this without --score-only, or wait.")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*_seed*.csv"):
        old.unlink()
    rows = []
    for seed in pairs:
        for term, env in ENVS.items():
            run = finished[env, seed]
            shutil.copy(run / "results" / f"{RUN}.csv", folder / f"{term}_seed{seed}.csv")
            rows.append({"term": term, "seed": seed} | score(run, directions))
            print(", ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    with open(folder / "directions.csv", "w", newline="", encoding="utf-8") as f:
        table = csv.DictWriter(f, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    (folder / "summary.md").write_text(summary_table(rows) + "\n", encoding="utf-8")
    print(f"{len(pairs)} of {seeds} pairs of seeds are finished.", summary_table(rows), folder, sep="\n")


if __name__ == "__main__":
    run_cli(main, description=__doc__)
