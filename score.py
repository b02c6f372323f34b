"""Where a policy gets to: it is sent in many directions, one after the other, and what comes of it is counted and drawn.

    from score import plot_directions, walk_directions
    walks = walk_directions(load_policy("random_circle_final"), "MyAntRandomPointsBulletEnv-v0")
    print(walks)
    plot_directions({"any point": walks})

or, in a terminal: `python score.py random_circle_final --count 360`; several names are put side by side.
"""

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import style
from override_ant_random_points import RADIUS
from style import INK, LARGE, LINE, OKABE_ITO
from utils import SCORE_SEED
from vector import make_env
from viewer import REACHED, beside, load_policy, record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(repr=False, eq=False)
class Directions:
    """One episode for each of N directions.

    Attributes:
        targets: (N, 2) float64, where the ant was sent, in metres.
        paths: N arrays (T + 1, 2) float32, where the middle of its torso was, seen from above, in metres.
        reached: (N,) bool, whether it came within `viewer.REACHED` of its target; there the episode was ended.
        fell: (N,) bool.
        dt: seconds of a step.
    """

    targets: np.ndarray
    paths: list
    reached: np.ndarray
    fell: np.ndarray
    dt: float

    @property
    def degrees(self) -> np.ndarray:
        """(N,) float64, the directions, counter-clockwise from +x."""
        return np.degrees(np.arctan2(self.targets[:, 1], self.targets[:, 0])) % 360

    @property
    def steps(self) -> np.ndarray:
        """(N,) int, how long each episode was: where the target was reached, the steps it took."""
        return np.array([len(path) - 1 for path in self.paths])

    @property
    def median_steps(self) -> float:
        """Median over all directions of the steps to the target; infinite where it was not reached."""
        return float(np.median(np.where(self.reached, self.steps, np.inf)))

    @property
    def nearest(self) -> np.ndarray:
        """(N,) float64, how near each came to its target, in metres."""
        return np.array(
            [np.linalg.norm(path - target, axis=1).min() for path, target in zip(self.paths, self.targets, strict=True)]
        )

    @property
    def speed(self) -> np.ndarray:
        """(N,) float64, metres a second from where it started to where it ended, as the crow flies."""
        return np.array([np.linalg.norm(path[-1] - path[0]) / (self.dt * (len(path) - 1)) for path in self.paths])

    @property
    def straightness(self) -> np.ndarray:
        """(N,) float64, the way as the crow flies over the way walked, looked at every half second so that no wobble counts."""
        every = round(0.5 / self.dt)
        ways = [np.concatenate([path[:-1:every], path[-1:]]) for path in self.paths]
        walked = np.array([np.linalg.norm(np.diff(way, axis=0), axis=1).sum() for way in ways])
        return np.array([np.linalg.norm(way[-1] - way[0]) for way in ways]) / np.maximum(walked, 1e-9)

    def __str__(self) -> str:
        n, reached = len(self.targets), self.reached
        text = f"{reached.sum()} of {n} targets reached within {REACHED:g} m, {self.fell.sum()} falls"
        if not reached.any():
            return f"{text}; nearest {self.nearest.min():.1f} m"
        steps = self.steps[reached]
        text += f"; steps: median {self.median_steps:.0f}, " if np.isfinite(self.median_steps) else "; steps of those: "
        return (
            f"{text}{steps.min()} to {steps.max()}; "
            f"{np.median(self.speed[reached]):.2f} m/s, straightness {np.median(self.straightness[reached]):.2f}"
        )


def walk_directions(
    policy: Any,
    env: str = "MyAntRandomPointsBulletEnv-v0",
    count: int = 36,
    radius: float = RADIUS,
    seed: int = SCORE_SEED,
    max_steps: int = 1000,
    workers: int = 2,
) -> Directions:
    """Sends the ant from the start toward points all around it, evenly spaced, the first one in +x.

    Args:
        policy: anything with `select_action(state)`, (S,) -> (A,).
        env: id of one of Bullet's walking environments.
        count: how many directions.
        radius: distance of the points, in metres.
        seed: direction i is walked in an episode reset with seed + i.
        max_steps: where an episode ends at the latest.
        workers: processes that share the directions; 0 walks them in this one.  The result is the same.

    Returns:
        a `Directions`.

    Raises:
        ValueError: count, radius or max_steps make no sense, or the environment has no walker to send anywhere.
    """
    for name, value in {"count": count, "max_steps": max_steps}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}: expected at least 1.")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius is {radius}: expected metres, a number above 0.")
    angles = 2 * np.pi * np.arange(count) / count
    targets = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    seeds, n = seed + np.arange(count), max(1, min(workers, count))
    jobs = [(policy, env, max_steps, targets[k::n], seeds[k::n]) for k in range(n)]
    if workers < 1:
        shares = [_walk(*jobs[0])]
    else:
        with ProcessPoolExecutor(n, initializer=_begin) as pool:
            shares = list(pool.map(_walk, *zip(*jobs, strict=True)))
    walks = [shares[k % n][0][k // n] for k in range(count)]
    paths, reached, fell = zip(*walks, strict=True)
    return Directions(targets, list(paths), np.array(reached), np.array(fell), shares[0][1])


def _begin():
    """In a worker: Ctrl-C is the main process's to handle, and one core is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _walk(policy, env, max_steps, targets, seeds):
    """One episode for each target: a list of (path, reached, fell), and the seconds of a step."""
    made, walks = make_env(env, max_episode_steps=max_steps), []
    try:
        for target, seed in zip(targets, seeds, strict=True):
            run = record(policy, made, int(seed), max_steps, target, stop_at_target=REACHED)
            walks.append((run.path, run.reached, run.fell and not run.reached))
        return walks, made.unwrapped.scene.dt
    finally:
        made.close()


REACHED_COLOR, MISSED_COLOR = OKABE_ITO[:2]


def plot_directions(walks: Directions | dict[str, Directions]) -> "Figure":
    """The ways seen from above, a panel for each policy: blue lines to the targets that were reached, orange ones that were not.

    Args:
        walks: a `Directions`, or a dict of them whose keys become titles.

    Returns:
        the Matplotlib figure, which a notebook shows if it is the last value of a cell.
    """
    from matplotlib.lines import Line2D

    walks = {"": walks} if isinstance(walks, Directions) else walks
    n, columns = len(walks), min(len(walks), 2)  # three abreast would be too small on a phone
    rows = -(-n // 2)
    size = (4.6, 5.2) if n == 1 else (6.4, 0.6 + 3.4 * rows)
    figure, panels = style.figure(*size, rows=rows, columns=columns, squeeze=False, sharey=True)
    for ax in panels.flat[n:]:
        ax.axis("off")
    for ax, (title, each) in zip(panels.flat, walks.items(), strict=False):
        for path, reached, fell in sorted(zip(each.paths, each.reached, each.fell, strict=True), key=lambda walk: walk[1]):
            color = REACHED_COLOR if reached else MISSED_COLOR
            ax.plot(*path.T, color=color, linewidth=1.4, linestyle="-" if reached else "--", zorder=2 if reached else 3)
            if not reached:
                ax.plot(*path[-1], "X" if fell else "s", color=color, markeredgecolor="black", markersize=8, zorder=4)
        for reached, marker, color in ((True, "o", REACHED_COLOR), (False, "o", "white")):
            ax.plot(
                *each.targets[each.reached == reached].T, marker, color=color, markeredgecolor="black", markersize=7, zorder=5
            )
        extent = 1.15 * np.abs(each.targets).max()
        ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xlabel="x (m)")
        ax.set_title(
            (f"{title}: " if title else "") + f"{each.reached.sum()} of {len(each.targets)}", fontsize=LARGE, color=INK
        )
    for ax in panels[:, 0]:
        ax.set_ylabel("y (m)")
    looks: dict[str, dict[str, Any]] = {
        "reached": {"marker": "o", "markerfacecolor": REACHED_COLOR, "color": REACHED_COLOR},
        "not reached": {"marker": "o", "markerfacecolor": "white", "color": MISSED_COLOR, "linestyle": "--"},
        "its end": {"marker": "s", "markerfacecolor": MISSED_COLOR, "linestyle": ""},
        "a fall": {"marker": "X", "markerfacecolor": MISSED_COLOR, "linestyle": ""},
    }
    handles = [Line2D([], [], label=label, markeredgecolor="black", markersize=8, **look) for label, look in looks.items()]
    style.legend(figure, handles=handles, loc="outside lower center", ncols=4 if n > 1 else 2)
    return figure


def table(walks: dict[str, Directions]) -> str:
    """The figures of several policies side by side, as a Markdown table.

    Args:
        walks: a dict of `Directions`, whose keys become the head of the table.
    """
    rows = {
        f"reached within {REACHED:g} m": lambda w: f"{w.reached.sum()} of {len(w.targets)}",
        "falls": lambda w: f"{w.fell.sum()}",
        "steps to reach it, median": lambda w: f"{w.median_steps:.0f}" if np.isfinite(w.median_steps) else "never",
        "the same, slowest": lambda w: f"{w.steps[w.reached].max()}" if w.reached.any() else "never",
        "speed, median (m/s)": lambda w: f"{np.median(w.speed):.2f}",
        "straightness, median": lambda w: f"{np.median(w.straightness):.2f}",
    }
    lines = ["| | " + " | ".join(walks) + " |", "|---|" + "---|" * len(walks)]
    return "\n".join(lines + [f"| {what} | " + " | ".join(map(say, walks.values())) + " |" for what, say in rows.items()])


def plot_steps(walks: Directions | dict[str, Directions]) -> "Figure":
    """How long it takes in each direction, as a polar plot: the nearer to the middle, the sooner; crosses where it was not reached.

    Args:
        walks: a `Directions`, or a dict of them whose keys become the legend.

    Returns:
        the Matplotlib figure, which a notebook shows if it is the last value of a cell.
    """
    walks = {"": walks} if isinstance(walks, Directions) else walks
    figure, ax = style.figure(5.6, 5.8, subplot_kw={"projection": "polar"})
    outside = max(each.steps.max() for each in walks.values())
    for (title, each), color in zip(walks.items(), OKABE_ITO, strict=False):
        outside *= 1.07  # a ring for each policy, or the crosses would hide one another
        angles = np.radians(each.degrees)
        steps = np.where(each.reached, each.steps, np.nan)
        ax.plot(
            np.append(angles, angles[0]),
            np.append(steps, steps[0]),
            ".-",
            color=color,
            linewidth=LINE,
            markersize=11,
            label=title or None,
        )
        ax.plot(angles[~each.reached], np.full((~each.reached).sum(), outside), "X", color=color, markersize=7)
    ax.set_rmax(1.06 * outside)
    ax.set_rmin(0)
    ax.set_rlabel_position(67.5)
    ax.set_title("steps to the target, by direction", fontsize=LARGE, color=INK)
    if not all(each.reached.all() for each in walks.values()):
        ax.plot([], [], "X", color="grey", markersize=7, label="not reached")
    if ax.get_legend_handles_labels()[0]:
        style.legend(figure, loc="outside lower center", ncols=len(walks) + 1)
    return figure


# --- command line ------------------------------------------------------------------------------------------------------------------


def score(
    models: tuple[str, ...],
    env: str = "MyAntRandomPointsBulletEnv-v0",
    count: int = 36,
    max_steps: int = 1000,
    seed: int = SCORE_SEED,
    workers: int = 2,
    out: str = "",
) -> None:
    """Sends saved policies in many directions and prints how it went.

    Args:
        models: of each the name of a run or a shipped model, its folder, or a path without "_actor"
        env: id of the environment
        count: how many directions, evenly spaced, 28.28 m away
        max_steps: where an episode ends at the latest
        seed: of the first episode
        workers: processes that share the work
        out: file for the polar plot, .png, .pdf or .svg; by default none is drawn
    """
    if not models:
        raise ValueError("models is empty: give the name of at least one policy, such as base_ant_final.")
    if out and Path(out).suffix not in (".png", ".pdf", ".svg"):
        raise ValueError(f"out is '{out}': expected a name that ends in .png, .pdf or .svg.")
    policies = {model: load_policy(model, env) for model in models}
    with beside(Path(out)) if out else nullcontext() as part:  # whether it can be written is known before anyone walks
        walks = {
            model: walk_directions(policy, env, count, seed=seed, max_steps=max_steps, workers=workers)
            for model, policy in policies.items()
        }
        for model, each in walks.items():
            print(f"{model}: {each}")
            for k in np.flatnonzero(~each.reached):
                end = ", fell" if each.fell[k] else ""
                print(f"{each.degrees[k]:5.0f} degrees: not reached, nearest {each.nearest[k]:.1f} m{end}")
        print(table(walks))
        if part:
            plot_steps(walks).savefig(part, dpi=150)
    if out:
        print(out)


def command_line() -> None:
    """`python score.py MODEL`: as `score`, with one sentence instead of a traceback."""
    import tyro

    try:
        tyro.cli(tyro.conf.configure(tyro.conf.PositionalRequiredArgs)(score))
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line()
