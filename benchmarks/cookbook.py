"""Trains and measures the ants of the cookbook, several seeds each, and writes tables of the results.

    python -m benchmarks.cookbook                       # all recipes, one after the other
    python -m benchmarks.cookbook --only reward start   # these two, in this order
    python -m benchmarks.cookbook --only reward --seeds 10

The tables of a recipe are written as soon as it is finished, and those of the others are kept, so the recipes may come from several
commands.  An ant that several recipes need is trained once, whatever command comes first.  Given again, the same command continues
where it was interrupted.

Every run starts from the same policy with the same arguments, and differs in its environment and its seed alone.  The tables are
`results/cookbook/RECIPE.csv`, the learning curves, and `results/cookbook/measures.csv`, what each best policy does in the
environments in which it is tested.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from envs.registry import cookbook_id
from sweep import sweep
from training.cli import run_cli
from training.curve import CURVE_COLUMNS
from training.files import atomic_write
from utils import REPO_ROOT, find_checkpoint, fit_observations, load_policy
from viewing.measures import MEASURES, measure

FOLDER = REPO_ROOT / "results" / "cookbook"

WORLDS = ["Sprinter", "Moon", "Ice", "Loaded"]
TERRAINS = ["Hills", "Steps", "Ramps"]

Known = dict[tuple[Path, str], dict[str, float]]
"""What a policy, by its folder, does in an environment of `envs.registry.COOKBOOK`: its `MEASURES`."""


@dataclass
class Recipe:
    """What is compared in one figure.

    Attributes:
        arms: names of environments in `envs.registry.COOKBOOK` that an ant is trained in.
        tested_in: for each arm, the environments in which its best policies are measured.  The default is its own.
    """

    arms: list[str]
    tested_in: dict[str, list[str]] = field(default_factory=dict)


RECIPES = {
    "reward": Recipe(["Sprinter", "Electricity4", "Electricity16"]),
    "observation": Recipe(["Sprinter", "NoContacts", "Noisy", "Delayed"]),
    "distance": Recipe(["Near", "NearWithDistance"]),
    "lost_leg": Recipe(["Sprinter", "LosesLeg"], dict.fromkeys(["Sprinter", "LosesLeg"], ["Sprinter", "LosesLeg"])),
    "action": Recipe(["Sprinter", "DeadMotor", "HalfTorque", "Smooth"]),
    "start": Recipe(["MayLie", "OnItsBack"], dict.fromkeys(["MayLie", "OnItsBack"], ["MayLie", "OnItsBack"])),
    "heading": Recipe(["Sprinter", "AnyHeading"], dict.fromkeys(["Sprinter", "AnyHeading"], ["Sprinter", "AnyHeading"])),
    "dynamics": Recipe([*WORLDS, "AnyWorld"], dict.fromkeys([*WORLDS, "AnyWorld"], WORLDS)),
    "terrain": Recipe(["Sprinter", "Hills", "HillsAhead", "Steps", "StepsAhead", "Ramps"], {"Sprinter": TERRAINS}),
    "goal": Recipe(["Sprinter", "Fleeing", "Circling"], {"Sprinter": ["Fleeing", "Circling"]}),
    "stay": Recipe(["Near", "NearWithDistance", "StopAndStay"]),
    "path": Recipe(["OnPath", "OnPathTwoAhead"]),
    "curriculum": Recipe(
        ["Sprinter", "Hurdles", "HurdlesCurriculum"], dict.fromkeys(["Sprinter", "HurdlesCurriculum"], ["Hurdles"])
    ),
}
"""In the order of `TD3notebook-cookbook.ipynb`."""

START = "base_ant_final"
"""The policy from which every training starts, see `utils.fit_observations`.

An ant that begins with nothing does not run yet after 100,000 steps, so its figures would say nothing about the change: see
`benchmarks/RESULTS.md`.
"""

ARGUMENTS: dict[str, Any] = {
    "lr": 3e-4,
    "symmetries": False,
    "eval_freq": 20_000,
    "eval_episodes": 5,
}
"""Arguments of every run, besides its environment, its seed, its start and its length.

With the `lr` of the recipe the ant forgets at first how to run.  Mirrored experience is left out because it is not true of every arm.
"""


def train(recipe: Recipe, **given: Any) -> tuple[list[dict[str, Any]], dict[tuple[str, int], Path]]:
    """Trains every arm of a recipe, unless it was trained before.

    All ants with the same observations share one sweep.  A trial is named after its environment and its seed, so what one recipe has
    trained is there for the next one.  The sweep's own tables have the runs of the latest recipe only.

    Args:
        recipe: with its arms.
        **given: for `sweep.sweep`.

    Returns:
        the rows of all learning curves in the order of the arms, and the folder of each run by arm and seed.

    Raises:
        RuntimeError: it was interrupted, or a run failed.
    """
    starts: dict[Path, dict[str, str]] = {}
    for arm in recipe.arms:
        start = fit_observations(START, cookbook_id(arm), given["root"] / "cookbook_starts")
        starts.setdefault(start, {})[cookbook_id(arm)] = arm
    rows, folders = [], {}
    for start, arms in starts.items():
        name = "cookbook" if start == find_checkpoint(START) else f"cookbook_{start.name}"
        result = sweep(env=list(arms), load_model=str(start), name=name, **ARGUMENTS, **given)
        summaries = result.trials.to_pylist()
        if unfinished := [row["trial"] for row in summaries if row["status"] != "finished"]:
            raise RuntimeError(f"{len(unfinished)} of {len(summaries)} runs have not finished: the same command continues.")
        rows += [row | {"arm": arms[row["env"]]} for row in result.evaluations.to_pylist()]
        folders |= {(arms[row["env"]], row["seed"]): result.folder / row["trial"] / "models" / "run" for row in summaries}
    order = recipe.arms.index
    return sorted(rows, key=lambda row: order(row["arm"])), dict(sorted(folders.items(), key=lambda item: order(item[0][0])))


def write_table(path: Path, columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    """Writes a CSV file, all of it or nothing."""
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8") as f:
        table = csv.DictWriter(f, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def measure_all(recipe: Recipe, folders: dict[tuple[str, int], Path], episodes: int, known: Known) -> list[dict[str, Any]]:
    """The `MEASURES` of a recipe's best policies: a row for each arm, environment of its test and seed.

    Args:
        recipe: with its arms and where each is tested.
        folders: of the runs, by arm and seed.
        episodes: number of episodes in which each policy is measured.
        known: what other recipes have measured already; what is measured here is added.
    """
    rows = []
    for (arm, seed), folder in folders.items():
        for place in recipe.tested_in.get(arm, [arm]):
            env = cookbook_id(place)
            if (folder, place) not in known:
                found = measure(load_policy(folder, env), env, episodes)
                known[folder, place] = {key: float(f"{value:.5g}") for key, value in found.items()}
            rows.append({"arm": arm, "tested_in": place, "seed": seed} | known[folder, place])
            print(rows[-1], flush=True)
    return rows


def write_measures(path: Path, recipe: str, rows: list[dict[str, Any]]) -> None:
    """Puts the rows of one recipe into the table of measures, which has the order of `RECIPES`, and keeps those of the others."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [row for row in csv.DictReader(lines) if row["recipe"] != recipe and row["recipe"] in RECIPES]
    order = list(RECIPES)
    new = [row | {"recipe": recipe} for row in rows]
    write_table(
        path, ["recipe", "arm", "tested_in", "seed", *MEASURES], sorted(kept + new, key=lambda row: order.index(row["recipe"]))
    )


def main(
    only: tuple[str, ...] = (),
    seeds: int = 5,
    max_timesteps: int = 60_000,
    until_return: float | None = None,
    episodes: int = 5,
    concurrent: int | None = None,
    root: Path = Path("sweeps"),
) -> None:
    """Trains, measures, and writes the tables, one recipe after the other.

    Args:
        only: Names of recipes, in the order in which they are computed.  The default is all of them.
        seeds: Number of seeds of each environment.
        max_timesteps: Environment steps of each run.
        until_return: Mean return at which a run ends, if two evaluations in a row have it.
        episodes: Number of episodes in which each best policy is measured.
        concurrent: Highest number of runs at the same time.
        root: Folder of the sweeps.
    """
    if wrong := set(only) - set(RECIPES):
        raise ValueError(f"only has '{min(wrong)}': expected some of {', '.join(RECIPES)}.")
    length = {
        "seeds": seeds,
        "max_timesteps": max_timesteps,
        "until_return": until_return,
        "concurrent": concurrent,
        "root": root,
    }
    torch.set_num_threads(1)  # a policy of one ant is too small for more
    known: Known = {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in only or RECIPES:
        rows, folders = train(RECIPES[name], **length)
        write_table(FOLDER / f"{name}.csv", ["trial", "arm", "seed", *CURVE_COLUMNS], rows)
        write_measures(FOLDER / "measures.csv", name, measure_all(RECIPES[name], folders, episodes, known))
        print(f"{name}: {FOLDER / name}.csv and {FOLDER}/measures.csv", flush=True)


if __name__ == "__main__":
    run_cli(main, description=__doc__)
