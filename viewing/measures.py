"""What an ant does, in numbers that its reward does not decide: pace, cost of transport, falls, and where it is at the end.

    from viewing.measures import measure
    measure(load_policy("base_ant_final"), "MyAntMoonBulletEnv-v0")

The functions below draw the tables that `benchmarks/cookbook.py` writes to `results/cookbook/`.
"""

import csv
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.registry import make_env
from utils import SCORE_SEED
from viewing import style
from viewing.recording import Recording, record
from viewing.seeds import Curve, iqm, plot_values, read_groups
from viewing.style import GREY, INK, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {
    "return": "return",
    "steps": "steps until the end of the episode",
    "fell": "fraction of episodes that ended in a fall",
    "distance": "distance from start to end (m)",
    "pace": "pace (m/s)",
    "last_pace": "pace in the last 5 s (m/s)",
    "energy": "work of the motors (J)",
    "cost_of_transport": "cost of transport (J per m and kg)",
    "points": "points reached",
    "away": "distance to the target in the last 5 s (m)",
    "upright": "fraction of the last 5 s spent upright",
}
"""What `measure` gives, and how a figure calls it."""

LAST = 5.0
"""Duration of the end of an episode, in seconds, for `last_pace`, `away` and `upright`."""


def measures_of(run: Recording) -> dict[str, float]:
    """The `MEASURES` of one episode.

    `pace` and `cost_of_transport` count the straight line from start to end: an ant that goes round in circles gets nowhere.
    `last_pace` is the same for the end of the episode alone, for what happens to an ant on its way.
    """
    last = min(round(LAST / run.dt), run.length)
    return {
        "return": run.total_reward,
        "steps": run.length,
        "fell": float(run.fell),
        "distance": run.distance,
        "pace": run.speed,
        "last_pace": float(np.linalg.norm(run.path[-1] - run.path[-1 - last])) / (last * run.dt),
        "energy": run.energy,
        "cost_of_transport": run.cost_of_transport,
        "points": run.points_reached,
        "away": float(run.distance_to_target[-last:].mean()),
        "upright": float(run.upright[-last:].mean()),
    }


def measure(policy: Any, env: str, episodes: int = 10, seed: int = SCORE_SEED, max_steps: int = 1000) -> dict[str, float]:
    """The `MEASURES` of a policy, without exploration noise, each the mean over some episodes.

    The cost of transport is that of all episodes together: a mean of ratios would be that of the episode in which the ant stood.

    Args:
        policy: anything with `select_action(state)`, (S,) -> (A,).
        env: id of one of Bullet's walking environments.
        episodes: number of episodes.
        seed: episode i is reset with seed + i.
        max_steps: largest number of steps of an episode.

    Raises:
        ValueError: the environment does not exist or has no walking robot, or a number is below 1.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}: expected at least 1.")
    with closing(make_env(env, max_episode_steps=max_steps)) as made:
        runs = [record(policy, made, seed + k, max_steps) for k in range(episodes)]
    rows = [measures_of(run) for run in runs]
    found = {name: float(np.mean([row[name] for row in rows])) for name in MEASURES}
    moved = sum(run.distance * run.mass for run in runs)
    return found | {"cost_of_transport": sum(run.energy for run in runs) / moved}


# --- tables and figures -----------------------------------------------------------------------------------------------------


def read_arms(path: str | Path) -> dict[str, list[Curve]]:
    """The learning curves of one recipe, for `viewing.seeds`.

    Args:
        path: of `results/cookbook/RECIPE.csv`.

    Returns:
        a dict from the name of each environment that was trained in to the curves of its seeds.
    """
    return {label.removeprefix("arm="): curves for label, curves in read_groups(path, by="arm").items()}


def read_measures(path: str | Path, recipe: str) -> list[dict[str, Any]]:
    """The rows of one recipe in `results/cookbook/measures.csv`: arm, tested_in, seed, and the `MEASURES`.

    Raises:
        ValueError: the table has no such recipe.
    """
    with open(path, newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    found = [row | {name: float(row[name]) for name in MEASURES} for row in rows if row["recipe"] == recipe]
    if not found:
        known = ", ".join(sorted({row["recipe"] for row in rows}))
        raise ValueError(f"recipe is '{recipe}', which '{path}' does not have: expected one of {known}.")
    return found


def by_arm(rows: Sequence[Mapping[str, Any]], what: str) -> dict[str, np.ndarray]:
    """One measure by arm, (N,) with an entry for each seed.  An arm tested in another environment than its own says so."""
    values: dict[str, list[float]] = {}
    for row in rows:
        label = row["arm"] if row["arm"] == row["tested_in"] else f"{row['arm']} in {row['tested_in']}"
        values.setdefault(label, []).append(row[what])
    return {label: np.array(each) for label, each in values.items()}


def means(rows: Sequence[Mapping[str, Any]], *what: str) -> list[dict[str, str]]:
    """A table of interquartile means over the seeds, for `viewing.notebook.table`: a row for each arm.

    `fell` is the mean of all seeds.  An interquartile mean would leave out the one seed of five that falls.

    Args:
        rows: as from `read_measures`.
        *what: some of `MEASURES`, a column for each.
    """
    columns = {each: by_arm(rows, each) for each in what}
    return [
        {"trained in": label}
        | {MEASURES[each]: f"{(np.mean if each == 'fell' else iqm)(found[label]):,.2f}" for each, found in columns.items()}
        for label in columns[what[0]]
    ]


def plot_measure(rows: Sequence[Mapping[str, Any]], what: str) -> "Figure":
    """One measure of each arm: the interquartile mean over the seeds with its bootstrap interval, and each seed.

    Args:
        rows: as from `read_measures`.
        what: one of `MEASURES`.
    """
    return plot_values(by_arm(rows, what), MEASURES[what])


def plot_tradeoff(rows: Sequence[Mapping[str, Any]], x: str = "pace", y: str = "cost_of_transport") -> "Figure":
    """Two measures against each other: each seed, and the interquartile means of the arms joined in their order.

    An ant that hardly moves has a very large cost for each metre.  What is more than three times as high as the lowest arm is drawn
    as a triangle at the upper edge, so that the others can be told apart.
    """
    figure, ax = style.figure(6.4, 4.2)
    across, up = by_arm(rows, x), by_arm(rows, y)
    middles = {label: (iqm(across[label]), iqm(up[label])) for label in across}
    top = 3 * min(height for _, height in middles.values())
    drawn = [(pace, min(height, top)) for pace, height in middles.values()]
    ax.plot(*zip(*drawn, strict=True), color=GREY, linewidth=1.5, zorder=1)
    for (label, values), color in zip(across.items(), OKABE_ITO, strict=False):
        above = up[label] > top
        ax.plot(values[~above], up[label][~above], color=color, linestyle="", marker="o", markersize=5, alpha=0.6)
        ax.plot(values[above], np.full(above.sum(), top), color=color, linestyle="", marker="^", markersize=5, alpha=0.6)
        pace, height = middles[label]
        ax.plot(
            pace, min(height, top), color=color, linestyle="", marker="^" if height > top else "D", markersize=10, label=label
        )
    ax.set(xlabel=MEASURES[x], ylabel=MEASURES[y])
    if max(map(max, up.values())) > top:
        ax.set_ylim(0, 1.05 * top)
        unit = MEASURES[y].partition("(")[2].removesuffix(")")
        ax.set_title(f"triangles: more than {top:.0f} {unit}", fontsize=style.MEDIUM, color=INK)
    style.legend(ax, loc="best")
    places = "; ".join(f"{label}, {iqm(across[label]):,.2f} and {iqm(up[label]):,.2f}" for label in across)
    figure.alt = f"Interquartile means of two measures, {MEASURES[x]} and {MEASURES[y]}: {places}."
    return figure


def plot_matrix(rows: Sequence[Mapping[str, Any]], what: str = "pace") -> "Figure":
    """One measure of each ant in each world: a row for each arm, a column for each environment it was tested in.

    A cell has the interquartile mean over the seeds.  It is empty where an ant was not tested.
    """
    arms, places = (list(dict.fromkeys(row[key] for row in rows)) for key in ("arm", "tested_in"))
    table = np.full((len(arms), len(places)), np.nan)
    for i, j in np.ndindex(table.shape):
        if seeds := [row[what] for row in rows if (row["arm"], row["tested_in"]) == (arms[i], places[j])]:
            table[i, j] = iqm(np.array(seeds))
    figure, ax = style.figure(6.4, 1.8 + 0.55 * len(arms))
    ax.imshow(table, cmap="Blues", vmin=0, vmax=2 * np.nanmax(table), aspect="auto")
    texts = []
    for i, j in np.argwhere(np.isfinite(table)):
        ax.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=style.MEDIUM, color=INK)
        texts.append(f"{arms[i]} in {places[j]}, {table[i, j]:.2f}")
    ax.set_xticks(range(len(places)), places)
    ax.set_yticks(range(len(arms)), arms)
    ax.set(xlabel="tested in", ylabel="trained in")
    ax.set_title(MEASURES[what], fontsize=style.MEDIUM, color=INK)
    ax.grid(False)
    figure.alt = f"A matrix of interquartile means, {MEASURES[what]}, trained in and tested in: {'; '.join(texts)}."
    return figure
