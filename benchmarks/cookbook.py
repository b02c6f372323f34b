"""Trains and measures the ants of the cookbook, several seeds each, and writes tables of the results.

    python -m benchmarks.cookbook                       # all of them
    python -m benchmarks.cookbook --only reward --seeds 10

Given again, the same command continues where it was interrupted.  Every run of a recipe has the same arguments and differs in its
environment and its seed alone.  The tables are `results/cookbook/RECIPE.csv`, the learning curves, and
`results/cookbook/measures.csv`, what each best policy does in the environments in which it is tested.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.registry import cookbook_id
from sweep import sweep
from training.cli import run_cli
from training.curve import CURVE_COLUMNS
from training.files import atomic_write
from utils import REPO_ROOT, load_policy
from viewing.measures import MEASURES, measure

FOLDER = REPO_ROOT / "results" / "cookbook"

WORLDS = ["Sprinter", "Moon", "Ice", "Loaded"]
TERRAINS = ["Hills", "Steps", "Ramps"]


@dataclass
class Recipe:
    """What is compared in one figure.

    Attributes:
        arms: names of environments in `envs.registry.COOKBOOK` that an ant is trained in.
        tested_in: for each arm, the environments in which its best policies are measured.  The default is its own.
        symmetries: whether training learns from mirrored experience.  It may not if one of the arms has a left side.
    """

    arms: list[str]
    tested_in: dict[str, list[str]] = field(default_factory=dict)
    symmetries: bool = True


RECIPES = {
    "reward": Recipe(["Sprinter", "Electricity4", "Electricity16"]),
    "observation": Recipe(["Sprinter", "NoContacts", "Noisy", "Delayed"], symmetries=False),
    "distance": Recipe(["Near", "NearWithDistance"]),
    "action": Recipe(["Sprinter", "DeadMotor", "HalfTorque", "Smooth"], symmetries=False),
    "lost_leg": Recipe(["Sprinter", "LosesLeg"], {arm: ["Sprinter", "LosesLeg"] for arm in ("Sprinter", "LosesLeg")}),
    "start": Recipe(
        ["MayLie", "OnItsBack"], {arm: ["MayLie", "OnItsBack"] for arm in ("MayLie", "OnItsBack")}, symmetries=False
    ),
    "heading": Recipe(["Sprinter", "AnyHeading"], {arm: ["Sprinter", "AnyHeading"] for arm in ("Sprinter", "AnyHeading")}),
    "dynamics": Recipe([*WORLDS, "AnyWorld"], dict.fromkeys([*WORLDS, "AnyWorld"], WORLDS)),
    "terrain": Recipe(["Sprinter", *(arm for each in TERRAINS for arm in (each, f"{each}Ahead"))], {"Sprinter": TERRAINS}),
    "goal": Recipe(["Near", "Fleeing", "Circling"], {"Near": ["Fleeing", "Circling"]}, symmetries=False),
    "stay": Recipe(["Near", "NearWithDistance", "StopAndStay"]),
    "path": Recipe(["OnPath", "OnPathTwoAhead"], symmetries=False),
    "curriculum": Recipe(
        ["Sprinter", "Hurdles", "HurdlesCurriculum"], {arm: ["Hurdles"] for arm in ("Sprinter", "HurdlesCurriculum")}
    ),
}

ARGUMENTS: dict[str, Any] = {"eval_freq": 40_000}
"""Arguments of every run, besides its environment, its seed and its length."""


def train(
    recipes: Iterable[Recipe], symmetries: bool, **given: Any
) -> tuple[list[dict[str, Any]], dict[tuple[str, int], Path]]:
    """Trains every arm of some recipes, each once.

    Args:
        recipes: with this value of `symmetries`.
        symmetries: as in `Recipe`.
        **given: for `sweep.sweep`.

    Returns:
        the rows of all learning curves, and the folder of each run by arm and seed.

    Raises:
        RuntimeError: it was interrupted, or a run failed.
    """
    arms = {cookbook_id(arm): arm for recipe in recipes for arm in recipe.arms}
    if not arms:
        return [], {}
    name = f"cookbook_{'mirrored' if symmetries else 'plain'}"
    result = sweep(env=list(arms), symmetries=symmetries, name=name, **ARGUMENTS, **given)
    summaries = result.trials.to_pylist()
    if unfinished := [row["trial"] for row in summaries if row["status"] != "finished"]:
        raise RuntimeError(f"{len(unfinished)} of {len(summaries)} runs have not finished: the same command continues.")
    rows = [row | {"arm": arms[row["env"]]} for row in result.evaluations.to_pylist()]
    return rows, {(arms[row["env"]], row["seed"]): result.folder / row["trial"] / "models" / "run" for row in summaries}


def write_table(path: Path, columns: list[str], rows: Iterable[dict[str, Any]]) -> None:
    """Writes a CSV file, or nothing."""
    with atomic_write(path) as part, open(part, "w", newline="", encoding="utf-8") as f:
        table = csv.DictWriter(f, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def measure_all(recipes: dict[str, Recipe], folders: dict[tuple[bool, str, int], Path], episodes: int) -> list[dict[str, Any]]:
    """A row for each recipe, arm, environment of its test and seed.  What several recipes need is measured once."""
    known: dict[tuple[Path, str], dict[str, float]] = {}
    rows = []
    for name, recipe in recipes.items():
        for (symmetries, arm, seed), folder in folders.items():
            if arm not in recipe.arms or symmetries != recipe.symmetries:
                continue
            for place in recipe.tested_in.get(arm, [arm]):
                env = cookbook_id(place)
                if (folder, place) not in known:
                    found = measure(load_policy(folder, env), env, episodes)
                    known[folder, place] = {key: float(f"{value:.5g}") for key, value in found.items()}
                rows.append({"recipe": name, "arm": arm, "tested_in": place, "seed": seed} | known[folder, place])
                print(rows[-1], flush=True)
    return rows


def main(
    only: tuple[str, ...] = (),
    seeds: int = 5,
    max_timesteps: int = 400_000,
    until_return: float | None = None,
    episodes: int = 10,
    concurrent: int | None = None,
    root: Path = Path("sweeps"),
) -> None:
    """Trains, measures, and writes the tables.

    Args:
        only: Names of recipes.  The default is all of them.  With some, measures.csv keeps its rows of the others.
        seeds: Number of seeds of each environment.
        max_timesteps: Environment steps of each run.
        until_return: Mean return at which a run ends, if two evaluations in a row have it.
        episodes: Number of episodes in which each best policy is measured.
        concurrent: Highest number of runs at the same time.
        root: Folder of the sweeps.
    """
    if wrong := set(only) - set(RECIPES):
        raise ValueError(f"only has '{min(wrong)}': expected some of {', '.join(RECIPES)}.")
    recipes = {name: recipe for name, recipe in RECIPES.items() if not only or name in only}
    length = {
        "seeds": seeds,
        "max_timesteps": max_timesteps,
        "until_return": until_return,
        "concurrent": concurrent,
        "root": root,
    }
    folders: dict[tuple[bool, str, int], Path] = {}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for symmetries in (True, False):
        of_kind = {name: recipe for name, recipe in recipes.items() if recipe.symmetries == symmetries}
        rows, found = train(of_kind.values(), symmetries, **length)
        folders |= {(symmetries, *key): folder for key, folder in found.items()}
        for name, recipe in of_kind.items():
            mine = [row for arm in recipe.arms for row in rows if row["arm"] == arm]
            write_table(FOLDER / f"{name}.csv", ["trial", "arm", "seed", *CURVE_COLUMNS], mine)
    path = FOLDER / "measures.csv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [row for row in csv.DictReader(lines) if row["recipe"] not in recipes]
    columns = ["recipe", "arm", "tested_in", "seed", *MEASURES]
    write_table(path, columns, [*kept, *measure_all(recipes, folders, episodes)])
    print(f"Tables: {FOLDER}/*.csv")


if __name__ == "__main__":
    run_cli(main, description=__doc__)
