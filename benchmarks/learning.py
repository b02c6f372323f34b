"""How soon the stock ant learns to run: the fast recipe, and the TD3 of other libraries.

    python -m benchmarks.learning                                          every agent with five seeds: days
    python -m benchmarks.learning --agents ours sb3_matched --seeds 0 1

Each run trains for all of its steps, is evaluated on ten episodes every 50,000 steps, and leaves its learning curve as
curves/AGENT_seedN.csv.  A run whose curve is there is not repeated, so the same command continues after an interrupt; a run that
was interrupted begins anew.  At the end curves/summary.md and curves/curves.png are made from all curves that are there.

The peers have as many threads as OMP_NUM_THREADS says, by default one for each core.  Where other processes need these cores, set
it to 1, because threads that wait for each other are slow then.
"""

import shutil
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from tabulate import tabulate

from benchmarks.process import MeasurementError, measure
from benchmarks.table import FOLDER, Row
from main import main as train
from training.cli import run_cli
from training.curve import read_curve, summarize
from viewing.seeds import Curve, bootstrap_interval, iqm, plot_seeds, scores

Agent = Literal["ours", "ours_basic", "sb3_matched", "sb3", "sbx"]
AGENTS: dict[Agent, str] = {
    "ours": "ours, the fast recipe",
    "ours_basic": "ours, without symmetries and saturation penalty",
    "sb3_matched": "stable-baselines3's TD3, matched to ours without symmetries and saturation penalty",
    "sb3": "stable-baselines3's TD3, settings of RL Baselines3 Zoo",
    "sbx": "SBX's TD3, settings of RL Baselines3 Zoo",
}
"""What is compared.  `benchmarks.peers.MATCHED` says what is matched and what is not."""

CURVES = FOLDER / "curves"
BASIC = {"symmetries": False, "saturation_penalty": 0.0}


def train_ant(curve: str, **arguments: Any) -> dict[str, Any]:
    """Trains the stock ant with `main(**arguments)` and copies its learning curve to the path `curve`."""
    train(name="ant", save_model=False, **arguments)
    shutil.copy("results/ant.csv", curve)
    return {}


def train_agent(agent: Agent, seed: int, curve: str, max_timesteps: int) -> dict[str, Any]:
    """Trains one of `AGENTS` on the stock ant, and writes its learning curve to the path `curve` at the end."""
    if agent in ("ours", "ours_basic"):
        return train_ant(curve, seed=seed, max_timesteps=max_timesteps, **BASIC if agent == "ours_basic" else {})
    from benchmarks import peers  # here, because its libraries would add to the memory of every measurement

    peers.train("peer.csv", agent, seed, max_timesteps)
    shutil.copy("peer.csv", curve)
    return {}


def train_missing(agents: Sequence[Agent], seeds: Sequence[int], max_timesteps: int, folder: Path = CURVES) -> dict[Agent, str]:
    """Trains each agent with each seed, one after the other and seed by seed, unless its curve is long enough already.

    Returns:
        for each agent that failed, why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[Agent, str] = {}
    for seed, agent in product(seeds, agents):
        path = folder.resolve() / f"{agent}_seed{seed}.csv"
        if agent in failed or (path.exists() and summarize(read_curve(path))["timesteps"] >= max_timesteps):
            continue
        try:
            measure(train_agent, agent=agent, seed=seed, curve=str(path), max_timesteps=max_timesteps)
        except MeasurementError as error:
            failed[agent] = str(error)
    return failed


def up_to_shortest(groups: dict[Any, list[Curve]]) -> dict[Any, list[Curve]]:
    """Learning curves up to the last evaluation of the shortest, because longer runs solve more and have a larger area."""
    end = min(curve["timesteps"][-1] for curves in groups.values() for curve in curves)
    return {
        name: [{column: values[curve["timesteps"] <= end] for column, values in curve.items()} for curve in curves]
        for name, curves in groups.items()
    }


def read_curves(folder: Path = CURVES) -> dict[Agent, list[Curve]]:
    """The learning curves of every seed of each agent that was run, up to the end of the shortest.

    Raises:
        FileNotFoundError: there is none.
    """
    found = {agent: [read_curve(path) for path in sorted(folder.glob(f"{agent}_seed*.csv"))] for agent in AGENTS}
    if not any(found.values()):
        raise FileNotFoundError(f"There is no learning curve in '{folder}': run 'python -m benchmarks.learning' first.")
    return up_to_shortest({agent: curves for agent, curves in found.items() if curves})


def solved(curves: Sequence[Curve], what: str, level: float) -> tuple[float, str]:
    """The median over all seeds of what it took to solve the task, where an unsolved run took longer than any other.

    Args:
        curves: of one agent.
        what: "steps_to_threshold" or "minutes_to_threshold".
        level: mean return that two evaluations in a row should have.

    Returns:
        the median, infinite if it is that of an unsolved run, and words such as "3 of 5 solved, median 450,000".
    """
    values = scores(curves, what, level)
    median, digits = float(np.median(values)), 1 if what.startswith("minutes") else 0
    words = f"{median:,.{digits}f}" if np.isfinite(median) else "never"
    return median, f"{np.isfinite(values).sum()} of {len(values)} solved, median {words}"


def typical(curves: Sequence[Curve], what: str) -> tuple[float, str]:
    """The interquartile mean over all seeds of a score of learning curves, and its words with a bootstrap interval."""
    values = scores(curves, what)
    low, high = bootstrap_interval(iqm, values)
    interval = f" [{low:z,.0f}, {high:z,.0f}]" if len(values) > 1 else ", one seed"
    return float(iqm(values)), f"{iqm(values):z,.0f}{interval}"


def figures(curves: Sequence[Curve], level: float) -> dict[str, tuple[float, str]]:
    """What is said of an agent, by the name of the figure: a number and its words."""
    return {
        f"steps to {level:,.0f} twice in a row": solved(curves, "steps_to_threshold", level),
        f"minutes to {level:,.0f} twice in a row": solved(curves, "minutes_to_threshold", level),
        "mean return of the last three evaluations": typical(curves, "last_three"),
        "area under the curve, per step": typical(curves, "area_under_curve"),
    }


def summary_table(curves: dict[Agent, list[Curve]], level: float) -> str:
    """A Markdown table with a row for each agent."""
    found = {agent: figures(of_agent, level) for agent, of_agent in curves.items()}
    head = ["", "seeds", *next(iter(found.values()))]
    rows = [[AGENTS[agent], len(curves[agent]), *(words for _, words in found[agent].values())] for agent in found]
    table = tabulate(rows, head, tablefmt="github", disable_numparse=True)
    return f"{table}\n\n{longest(curves):,.0f} steps each.  Interquartile means with 95 % bootstrap intervals over the seeds."


def longest(curves: dict[Agent, list[Curve]]) -> float:
    """The last step at which an agent was evaluated."""
    return max(curve["timesteps"][-1] for of_agent in curves.values() for curve in of_agent)


def learning_rows(
    again: bool = True,
    seeds: Sequence[int] = range(5),
    level: float = 2500,
    max_timesteps: int = 1_000_000,
    folder: Path = CURVES,
) -> Iterator[Row]:
    """The fast recipe beside each other agent, by all seeds whose curves are there.

    Args:
        again: whether to train what is missing.  Otherwise the curves are those of earlier runs.
        seeds: of the runs.
        level: mean return of a solved run.
        max_timesteps: environment steps of each run.
        folder: where the curves are, AGENT_seedN.csv.
    """
    failed = train_missing(list(AGENTS), seeds, max_timesteps, folder) if again else {}
    curves = read_curves(folder)
    if "ours" not in curves:
        raise FileNotFoundError(f"There is no 'ours_seedN.csv' in '{folder}': run 'python -m benchmarks.learning' first.")
    ours, end = figures(curves["ours"], level), longest(curves)
    for agent, name in list(AGENTS.items())[1:]:
        if agent not in curves:
            yield Row("learning", "", "", name, f"not run: {failed.get(agent, 'there are no curves')}")
            continue
        for (what, (mine, words)), (theirs, their_words) in zip(
            ours.items(), figures(curves[agent], level).values(), strict=True
        ):
            bound = ("at most 4", mine <= 4) if what.startswith("minutes") else ("", None)
            both_solved = what.startswith(("steps", "minutes")) and np.isfinite([mine, theirs]).all()
            ratio = theirs / mine if both_solved else None
            yield Row(f"{what}, {end:,.0f} steps a run", words, "", name, their_words, ratio, *bound)


def main(
    agents: tuple[Agent, ...] = get_args(Agent),
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    max_timesteps: int = 1_000_000,
    level: float = 2500.0,
    folder: Path = CURVES,
) -> None:
    """Trains what is missing, and writes the summary.

    Args:
        agents: Who is trained.
        seeds: Seeds of the runs.
        max_timesteps: Environment steps of each run.
        level: Mean return that two evaluations in a row should have.
        folder: Folder of the learning curves.
    """
    failed = train_missing(agents, seeds, max_timesteps, folder)
    curves = read_curves(folder)
    summary = summary_table(curves, level)
    (folder / "summary.md").write_text(summary + "\n", encoding="utf-8")
    plot_seeds(curves, threshold=level).savefig(folder / "curves.png", dpi=160)
    print(summary)
    if failed:
        raise RuntimeError("\n".join(f"{agent} was not run: {why}" for agent, why in failed.items()))


if __name__ == "__main__":
    run_cli(main, description=__doc__)
