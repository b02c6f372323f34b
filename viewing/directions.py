"""Evaluation of a policy in many directions: which targets it reaches, how fast and how straight.

    from viewing.directions import eval_directions, plot_directions
    result = eval_directions(load_policy("random_circle_final"), "MyAntRandomPointsBulletEnv-v0")
    print(result)
    plot_directions({"any point": result})

or, in a terminal: `python -m viewing.directions random_circle_final --count 360`.  Several names are compared in a table.
"""

import copy
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector.utils import CloudpickleWrapper
from tabulate import tabulate

from envs.registry import find_env, make_env
from override_ant import REACHED
from override_ant_random_points import RADIUS
from training.cli import run_cli
from training.display import progress
from training.files import atomic_write
from utils import SCORE_SEED, load_policy
from viewing import style
from viewing.recording import record
from viewing.style import GREY, INK, LARGE, LINE, OKABE_ITO, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(repr=False, eq=False)
class DirectionEvaluation:
    """One episode for each of N directions.

    Attributes:
        targets: (N, 2) float64, in metres.
        paths: N arrays (T + 1, 2) float32, the centre of the torso seen from above, in metres.
        reached: (N,) bool, whether the torso came within `REACHED` of the target, which ended the episode.
        fell: (N,) bool.
        dt: duration of a step, in seconds.
        env: id of the environment.
    """

    targets: np.ndarray
    paths: list[np.ndarray]
    reached: np.ndarray
    fell: np.ndarray
    dt: float
    env: str = ""

    @property
    def degrees(self) -> np.ndarray:
        """(N,) float64, the directions, counter-clockwise from +x."""
        return np.degrees(np.arctan2(self.targets[:, 1], self.targets[:, 0])) % 360

    @property
    def steps(self) -> np.ndarray:
        """(N,) int, length of each episode.  If the target was reached, it is the number of steps to it."""
        return np.array([len(path) - 1 for path in self.paths])

    @property
    def median_steps(self) -> float:
        """Median over all directions of the number of steps to the target, which is infinite for a target not reached."""
        return float(np.median(np.where(self.reached, self.steps, np.inf)))

    @property
    def nearest(self) -> np.ndarray:
        """(N,) float64, smallest distance to the target, in metres."""
        pairs = zip(self.paths, self.targets, strict=True)
        return np.array([np.linalg.norm(path - target, axis=1).min() for path, target in pairs])

    @property
    def speed(self) -> np.ndarray:
        """(N,) float64, straight-line distance from start to end over time, in metres a second."""
        return np.array([np.linalg.norm(path[-1] - path[0]) / (self.dt * (len(path) - 1)) for path in self.paths])

    @property
    def straightness(self) -> np.ndarray:
        """(N,) float64, straight-line distance over path length.  The path is sampled every half second, without the wobble."""
        every = round(0.5 / self.dt)
        sampled = [np.concatenate([path[:-1:every], path[-1:]]) for path in self.paths]
        lengths = np.array([np.linalg.norm(np.diff(path, axis=0), axis=1).sum() for path in sampled])
        return np.array([np.linalg.norm(path[-1] - path[0]) for path in sampled]) / np.maximum(lengths, 1e-9)

    def __str__(self) -> str:
        reached = self.reached
        text = f"{reached.sum()} of {len(reached)} targets reached within {REACHED:g} m, {_falls(self)}"
        if not reached.any():
            return f"{text}; nearest {self.nearest.min():.1f} m"
        steps = self.steps[reached]
        text += f"; steps: median {self.median_steps:.0f}, " if np.isfinite(self.median_steps) else "; steps to those reached: "
        return (
            f"{text}{steps.min()} to {steps.max()}; "
            f"{np.median(self.speed[reached]):.2f} m/s, straightness {np.median(self.straightness[reached]):.2f}"
        )


def eval_directions(
    policy: Any,
    env: str = "MyAntRandomPointsBulletEnv-v0",
    count: int = 36,
    radius: float = RADIUS,
    seed: int = SCORE_SEED,
    max_steps: int = 1000,
    workers: int = 2,
) -> DirectionEvaluation:
    """Runs one episode toward each of `count` points on a circle around the start, evenly spaced, the first one in +x.

    Args:
        policy: anything with `select_action(state)`, (S,) -> (A,).
        env: id of one of Bullet's walking environments.
        count: number of directions.
        radius: distance of the points, in metres.
        seed: the episode of direction i is reset with seed + i.
        max_steps: largest number of steps of an episode.
        workers: number of processes that share the directions; 0 runs them in this one.  The result is the same.

    Raises:
        ValueError: count, radius or max_steps is out of range, or the environment does not exist or has no walking robot.
    """
    for name, value in {"count": count, "max_steps": max_steps}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: expected at least 1.")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius is {radius}: expected metres, a number above 0.")
    angles = 2 * np.pi * np.arange(count) / count
    targets = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    seeds = seed + np.arange(count)
    # cloudpickle takes classes that are defined in a notebook, and the specification of an id that is registered there
    spec = find_env(env)
    job: Any = CloudpickleWrapper((policy, spec, max_steps))  # type: ignore[arg-type]  # declared for functions
    with ExitStack() as stack:
        if workers < 1:
            walker = stack.enter_context(closing(Walker(job)))
            results: Iterator[Any] = map(walker.walk, targets, seeds)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(min(workers, count), initializer=_start_worker, initargs=(job,)))
            results = pool.map(_walk, targets, seeds)
        episodes = list(progress(results, count, "directions"))
    paths, reached, fell, dt = zip(*episodes, strict=True)
    return DirectionEvaluation(targets, list(paths), np.array(reached), np.array(fell), dt[0], spec.id)


class Walker:
    """A policy in an environment that stays open.

    Args:
        job: a wrapper of (policy, Gymnasium's specification of the environment, largest number of steps).
    """

    def __init__(self, job: Any) -> None:
        self.policy, spec, self.max_steps = job.fn
        self.env = make_env(spec, max_episode_steps=self.max_steps)

    def walk(self, target: np.ndarray, seed: int | np.integer) -> tuple[np.ndarray, bool, bool, float]:
        """One episode toward a target: path, whether it was reached, whether the ant fell before, and the duration of a step."""
        policy = copy.deepcopy(self.policy)  # one that remembers does not know which episodes this process had before
        run = record(policy, self.env, int(seed), self.max_steps, target, stop_at_target=REACHED)
        return run.path, run.reached, run.fell and not run.reached, self.env.unwrapped.scene.dt  # type: ignore[attr-defined]

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()


_of_worker: dict[str, Any] = {}
"""In a worker process: its job, and its `Walker` from the first episode on."""


def _start_worker(job):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    torch.set_num_threads(1)
    _of_worker["job"] = job


def _walk(target, seed):
    if "walker" not in _of_worker:  # not when the process starts, where an error would not reach the main process
        _of_worker["walker"] = Walker(_of_worker["job"])
    return _of_worker["walker"].walk(target, seed)


# --- tables and figures ----------------------------------------------------------------------------------------------------


def comparison_table(results: dict[str, DirectionEvaluation]) -> str:
    """A Markdown table with a column for each policy.

    Args:
        results: a dict whose keys become the header.
    """
    rows = {
        f"reached within {REACHED:g} m": lambda r: f"{r.reached.sum()} of {len(r.targets)}",
        "falls": lambda r: f"{r.fell.sum()}",
        "steps to reach it, median": lambda r: f"{r.median_steps:.0f}" if np.isfinite(r.median_steps) else "never",
        "steps to reach it, slowest": lambda r: f"{r.steps[r.reached].max()}" if r.reached.any() else "never",
        "speed, median (m/s)": lambda r: f"{np.median(r.speed):.2f}",
        "straightness, median": lambda r: f"{np.median(r.straightness):.2f}",
    }
    cells = [[name, *map(value, results.values())] for name, value in rows.items()]
    return tabulate(cells, ["", *results], tablefmt="github", disable_numparse=True)


REACHED_COLOR, MISSED_COLOR = OKABE_ITO[:2]


def plot_directions(results: DirectionEvaluation | dict[str, DirectionEvaluation]) -> "Figure":
    """The paths seen from above, a panel for each policy, and at each target the outcome of the one try in its direction.

    A path is blue if it leads to its target, and orange and dashed otherwise.  Misses are marked at their targets and not where
    they end, because many end near the start, where their marks would cover each other.

    Args:
        results: a `DirectionEvaluation`, or a dict of them whose keys become titles.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell.
    """
    from matplotlib.lines import Line2D

    results = {"": results} if isinstance(results, DirectionEvaluation) else results
    n, rows, columns = len(results), -(-len(results) // 2), min(len(results), 2)  # a third column would be too small on a phone
    size = (4.8, 5.6) if n == 1 else (6.4, 1.2 + 3.3 * rows)
    figure, panels = style.figure(*size, rows=rows, columns=columns, squeeze=False, sharex=True, sharey=True)
    envs = list(dict.fromkeys(result.env for result in results.values()))
    for ax, (title, result) in zip(panels.flat, results.items(), strict=False):
        _plot_paths(ax, result)
        reached = f"{result.reached.sum()} of {len(result.targets)}"
        lines = [f"{title}: {reached}" if title else f"{reached} targets reached"]
        if len(envs) > 1:
            lines.append(result.env)
        _set_titles(ax, lines)
    for ax in panels[:, 0]:
        ax.set_ylabel("y (m)")
    for ax in panels.flat[max(n - columns, 0) : n]:  # the lowest of each column
        ax.set_xlabel("x (m)")
        ax.tick_params(labelbottom=True)
    looks: dict[str, tuple[str, dict[str, Any]]] = {
        "reached": ("o", {"markerfacecolor": REACHED_COLOR, "color": REACHED_COLOR}),
        "not reached": ("o", {"markerfacecolor": "white", "color": MISSED_COLOR, "linestyle": "--"}),
        "fell": ("X", {"markerfacecolor": MISSED_COLOR, "color": MISSED_COLOR, "linestyle": "--"}),
    }
    seen = {_outcome(*each) for result in results.values() for each in zip(result.reached, result.fell, strict=True)}
    handles = [
        Line2D([], [], label=label, marker=marker, markeredgecolor=_edge(label), markersize=9, **look)
        for label, (marker, look) in looks.items()
        if label in seen
    ]
    handles.append(Line2D([], [], label="start", marker="o", color=INK, markersize=6, linestyle=""))
    if n < panels.size:  # the legend fills the place of a panel
        for ax in panels.flat[n:]:
            ax.axis("off")
        style.legend(panels.flat[n], handles=handles, loc="center", fontsize=LARGE, labelspacing=1.2)
    else:
        style.legend(figure, handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2, handlelength=1.6)
    radii = sorted({f"{np.linalg.norm(result.targets[0]):.1f}" for result in results.values()})
    tries = f"one try in each direction, targets {' and '.join(radii)} m away"
    figure.suptitle("\n".join([tries, *envs] if len(envs) == 1 and envs[0] else [tries]), fontsize=SMALL, color=GREY)
    figure.alt = "Paths from above, " + "; ".join([f"{tries}", *(_in_words(*item) for item in results.items())]) + "."
    return figure


def _outcome(reached, fell):
    return "reached" if reached else "fell" if fell else "not reached"


def _edge(outcome):
    """The colour of a marker's edge: a filled one is set off by black, a hollow one has its path's colour."""
    return MISSED_COLOR if outcome == "not reached" else "black"


def _set_titles(ax, lines):
    """A title, and below it a second line in small grey letters, if there is one."""
    first, *second = lines
    ax.set_title(first, fontsize=LARGE, color=INK, pad=22 if second else 6)
    for line in second:
        look = {"fontsize": 10, "color": GREY, "ha": "center", "va": "bottom"}
        ax.annotate(line, (0.5, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points", **look)


def _falls(result):
    """Their number in words."""
    return f"{result.fell.sum()} fall{'' if result.fell.sum() == 1 else 's'}"


def _in_words(title, result):
    """One result, for the description of a figure."""
    name = f"{title}, in {result.env}" if title and result.env else title or result.env
    where = ", ".join(f"{angle:.0f}" for angle in result.degrees[result.reached])
    text = f"{name + ': ' if name else ''}{result.reached.sum()} of {len(result.targets)} targets reached"
    if result.reached.all() or not result.reached.any() or result.reached.sum() > 12:
        where = ""
    return f"{text}{f', at {where} degrees' if where else ''}, {_falls(result)}"


def _plot_paths(ax, result):
    """The paths of one policy, those that missed their target on top, and at each target what became of the try."""
    for path, target, reached, fell in zip(result.paths, result.targets, result.reached, result.fell, strict=True):
        outcome = _outcome(reached, fell)
        color, line = (REACHED_COLOR, "-") if reached else (MISSED_COLOR, "--")
        ax.plot(*path.T, line, color=color, linewidth=1.4, zorder=2 if reached else 3)
        look = {"color": "white" if outcome == "not reached" else color, "markeredgecolor": _edge(outcome)}
        ax.plot(*target, "X" if outcome == "fell" else "o", markersize=8, markeredgewidth=1.3, zorder=5, **look)
    ax.plot(*np.mean([path[0] for path in result.paths], axis=0), "o", color=INK, markersize=6, zorder=4)
    extent = 1.15 * np.abs(result.targets).max()
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")


def _label_places(results, ticks, room):
    """The angle in degrees, between two of the usual directions, for the labels of ticks, and those that are on no line there."""

    def free(angle):
        lengths = [
            steps
            for result in results
            for degrees, steps, reached in zip(result.degrees, result.steps, result.reached, strict=True)
            if reached and abs((degrees - angle + 180) % 360 - 180) < 12
        ]
        return [tick for tick in ticks if all(abs(tick - steps) > room for steps in lengths)]

    angle = max(np.arange(67.5, 427.5, 45) % 360, key=lambda angle: len(free(angle)))
    return angle, free(angle)


def plot_steps(results: DirectionEvaluation | dict[str, DirectionEvaluation]) -> "Figure":
    """A polar plot of the number of steps to the target by direction.  Crosses outside are targets that were not reached.

    A ring has no label where the label would lie on a line.

    Args:
        results: a `DirectionEvaluation`, or a dict of them whose keys become the legend.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell.
    """
    from matplotlib.ticker import MaxNLocator

    results = {"": results} if isinstance(results, DirectionEvaluation) else results
    figure, ax = style.figure(5.6, 6, subplot_kw={"projection": "polar"})
    longest = max(result.steps.max() for result in results.values())
    ring = longest
    for (title, result), color in zip(results.items(), OKABE_ITO, strict=False):
        ring += 0.08 * longest  # a ring of crosses for each policy
        angles, missed = np.radians(result.degrees), ~result.reached
        steps = np.where(missed, np.nan, result.steps)
        closed_angles, closed_steps = np.append(angles, angles[0]), np.append(steps, steps[0])
        ax.plot(closed_angles, closed_steps, ".-", color=color, linewidth=LINE, markersize=11, label=title or None)
        ax.plot(angles[missed], np.full(missed.sum(), ring), "X", color=color, markersize=7)
    ax.set_rmax(ring + 0.06 * longest)
    ax.set_rmin(0)
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, longest) if 0 < tick < 0.97 * longest]
    ax.set_rgrids(ticks, [""] * len(ticks))  # labels follow; none is under the crosses
    angle, free = _label_places(results.values(), ticks, room=0.07 * longest)
    for tick in free:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        ax.text(np.radians(angle), tick, f"{tick:.0f}", fontsize=SMALL, color=INK, ha="center", va="center", bbox=box, zorder=4)
    ax.set_title("steps to the target, by direction", fontsize=LARGE, color=INK)
    if not all(result.reached.all() for result in results.values()):
        ax.plot([], [], "X", color="grey", markersize=7, label="not reached")
    if ax.get_legend_handles_labels()[0]:
        style.legend(figure, loc="outside lower center", ncols=min(len(results) + 1, 4), columnspacing=1.2, handlelength=1.6)
    medians = {title: f"{result.median_steps:.0f}" for title, result in results.items() if np.isfinite(result.median_steps)}
    words = [
        f"{_in_words(*item)}{f', median {medians[item[0]]} steps' if item[0] in medians else ''}" for item in results.items()
    ]
    figure.alt = f"Steps to the target by direction, a polar plot; {'; '.join(words)}."
    return figure


# --- command line ----------------------------------------------------------------------------------------------------------


def main(
    models: tuple[str, ...],
    env: str = "MyAntRandomPointsBulletEnv-v0",
    count: int = 36,
    max_steps: int = 1000,
    seed: int = SCORE_SEED,
    workers: int = 2,
    out: str = "",
) -> None:
    """Evaluates saved policies in many directions and prints the results.

    Args:
        models: Names of runs or shipped models, their folders, or paths without "_actor".
        env: Id of the environment.
        count: Number of directions, evenly spaced, with targets 28.28 m away.
        max_steps: Largest number of steps of an episode.
        seed: Seed of the first episode.
        workers: Number of processes that share the work.
        out: File for the polar plot, .png, .pdf or .svg.  The default is none.
    """
    if not models:
        raise ValueError("models is empty: give the name of at least one policy, such as base_ant_final.")
    if out and Path(out).suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"out is '{out}': expected a name that ends in .png, .pdf or .svg.")
    policies = {model: load_policy(model, env) for model in models}
    with atomic_write(out) if out else nullcontext() as part:  # raises before the episodes if it cannot be written
        results = {
            model: eval_directions(policy, env, count, seed=seed, max_steps=max_steps, workers=workers)
            for model, policy in policies.items()
        }
        for model, result in results.items():
            print(f"{model}: {result}")
            for k in np.flatnonzero(~result.reached):
                end = ", fell" if result.fell[k] else ""
                print(f"{result.degrees[k]:5.0f} degrees: not reached, nearest {result.nearest[k]:.1f} m{end}")
        print(comparison_table(results))
        if part:
            plot_steps(results).savefig(part, dpi=150)
    if out:
        print(out)


if __name__ == "__main__":
    import tyro

    run_cli(main, prog="python -m viewing.directions", config=(tyro.conf.PositionalRequiredArgs,))
