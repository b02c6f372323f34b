"""Pictures that explain: what inherits from what, what the reward is made of, what TD3's three ideas do, who gets where how fast."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import style
from style import GREY, INK, LARGE, LINE, MEDIUM, OKABE_ITO, SMALL
from utils import read_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from viewer import Recording


def plot_classes(environment: type, robot: type) -> "Figure":
    """Two columns of boxes, base classes above: the environment's and the robot's, with what each of ours defines itself.

    Everything is read from the classes: their bases (the first one that is not a mixin without bases of its own), their
    modules, and the methods in their bodies.

    Args:
        environment, robot: two classes.

    Returns:
        the Matplotlib figure.
    """
    from matplotlib.patches import FancyBboxPatch

    columns = [_ancestors(environment), _ancestors(robot)]
    words = {cls: _methods(cls) if _is_ours(cls) else cls.__module__.split(".")[0] for column in columns for cls in column}
    gap, line = 0.32, 0.24
    height = {cls: 0.42 + line * text.count("\n") + (line if text else 0) for cls, text in words.items()}
    lowest = -max(sum(height[cls] + gap for cls in column) for column in columns)
    figure, ax = style.figure(6, 0.6 - 0.72 * lowest)
    ends = []
    for column, (title, classes) in enumerate(zip(("the environment", "the robot"), columns, strict=True)):
        x, y = 4.3 * column, 0.0
        ax.text(x + 1.7, y + 0.15, title, ha="center", fontsize=LARGE, color=INK, weight="bold")
        for depth, cls in enumerate(classes):
            ours = _is_ours(cls)
            ax.add_patch(
                FancyBboxPatch(
                    (x, y - height[cls]), 3.4, height[cls], boxstyle="round,pad=0.02,rounding_size=0.08", linewidth=1.5,
                    facecolor="#DCEBF7" if ours else "#EEEFF1", edgecolor=OKABE_ITO[0] if ours else "#9AA1AB",
                )
            )  # fmt: skip
            ax.text(x + 1.7, y - 0.24, cls.__name__, fontsize=SMALL, color=INK, weight="bold", ha="center", va="center")
            ax.text(x + 1.7, y - 0.4, words[cls], fontsize=10, color=GREY, linespacing=1.15, ha="center", va="top")
            if depth:
                arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.5}
                ax.annotate("", (x + 1.7, y + gap), (x + 1.7, y + 0.03), arrowprops=arrow)
            y -= height[cls] + gap
        ends.append(y + gap + height[classes[-1]] / 2)
    arrow = {"arrowstyle": "-|>", "color": OKABE_ITO[1], "linewidth": 2, "linestyle": "--"}
    ax.annotate("", (4.28, ends[1]), (3.42, ends[0]), arrowprops=arrow)
    ax.text(3.85, max(ends) + 0.1, "self.\nrobot", ha="center", fontsize=SMALL, color=OKABE_ITO[1], family="monospace")
    ax.set(xlim=(-0.1, 7.8), ylim=(lowest + gap - 0.1, 0.5))
    ax.axis("off")
    return figure


def _ancestors(cls):
    """From the oldest worth showing to `cls`, along the base that has ancestors of its own; without `object`."""
    line = [cls]
    while (bases := [base for base in line[-1].__bases__ if base.__bases__ != (object,)] or list(line[-1].__bases__)) != [
        object
    ]:
        line.append(bases[0])
        if line[-1].__module__.startswith("gymnasium."):
            break
    return line[::-1]


def _is_ours(cls):
    """Whether a class is written in this repository, or in a notebook, and not in an installed package."""
    return "." not in cls.__module__


def _methods(cls):
    """The names of the methods in the body of a class, in lines of two."""
    names = [name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")]
    return "\n".join(", ".join(names[k : k + 2]) for k in range(0, len(names), 2))


def plot_terms(recording: "Recording", seconds: float = 0.5) -> "Figure":
    """The terms of the reward over an episode, and what each sums to.

    Args:
        recording: a `viewer.Recording` of an environment that gives `info["reward_terms"]`.
        seconds: over which the lines are averaged, because a step's terms jump with every stride.

    Returns:
        the Matplotlib figure.

    Raises:
        ValueError: the environment gave no terms.
    """
    terms = {name: values for name, values in recording.reward_terms.items() if values.any()}
    if not terms:
        raise ValueError(f"{recording.env} gives no reward terms: record an environment such as MyAntBulletEnv-v0.")
    figure, (lines, bars) = style.figure(6, 5.4, rows=2, height_ratios=(2, 1))
    window = max(1, min(round(seconds / recording.dt), recording.length))
    for k, (name, values) in enumerate(terms.items()):
        smooth = np.convolve(values, np.ones(window) / window, mode="valid")
        time = recording.dt * (np.arange(len(smooth)) + window / 2)
        lines.plot(time, smooth, color=OKABE_ITO[k], linewidth=LINE, label=name)
        total = values.sum()
        bars.barh(k, total, color=OKABE_ITO[k])
        right = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        bars.annotate(f"{total:,.0f}", (max(total, 0), k), fontsize=SMALL, color=INK, **right)
    lines.axhline(0, color=GREY, linewidth=0.8)
    lines.set(xlabel="time (s)", ylabel="reward of a step")
    above = {"loc": "lower center", "bbox_to_anchor": (0.45, 1.0), "columnspacing": 1.2, "handlelength": 1.2}
    style.legend(lines, ncols=3, **above)
    bars.set_yticks(range(len(terms)), list(terms))
    bars.invert_yaxis()
    bars.axvline(0, color=GREY, linewidth=0.8)
    bars.margins(x=0.2)
    bars.set_xlabel("sum over the episode")
    bars.grid(False, axis="y")
    return figure


def plot_seeds(groups: dict[str, list[str]]) -> "Figure":
    """Learning curves of several seeds each: every seed a thin line, their mean a thick one.

    Args:
        groups: a dict whose keys become the legend, with a list of paths of `results/NAME.csv` each.

    Returns:
        the Matplotlib figure.

    Raises:
        ValueError: a group is empty.
    """
    figure, ax = style.figure(6, 4)
    for (label, paths), color in zip(groups.items(), OKABE_ITO, strict=False):
        if not paths:
            raise ValueError(f"groups['{label}'] is empty: expected paths of learning curves, results/NAME.csv.")
        tables = [read_curve(path) for path in paths]
        for table in tables:
            ax.plot(table["timesteps"] / 1e6, table["mean_return"], color=color, linewidth=1, alpha=0.6)
        shortest = min((table["timesteps"] for table in tables), key=len)
        mean = np.mean([table["mean_return"][: len(shortest)] for table in tables], axis=0)
        ax.plot(
            shortest / 1e6, mean, color=color, linewidth=3, label=f"{label} ({len(paths)} seed{'s' if len(paths) > 1 else ''})"
        )
    ax.set(xlabel="environment steps (millions)", ylabel="return of an episode")
    style.legend(ax, loc="lower right")
    return figure


def plot_targets(targets: ArrayLike) -> "Figure":
    """Where targets were drawn, seen from above, with the ant at the start looking to the right.

    Args:
        targets: (N, 2), in metres.

    Returns:
        the Matplotlib figure.
    """
    figure, ax = style.figure(5, 5)
    targets = np.asarray(targets)
    ax.plot(*targets.T, "o", color=OKABE_ITO[0], markersize=6, alpha=0.6, markeredgewidth=0)
    ax.plot(0, 0, "o", color=INK, markersize=12)
    ax.annotate("", (8, 0), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 2})
    ax.text(0, -3.2, "the ant", ha="center", fontsize=SMALL, color=INK)
    ax.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    return figure


def plot_angle_term(before: float = 115.0, after: float = 80.0) -> "Figure":
    """What `angle_progress` measures: the angle from where the ant looks to its target, and the cosine of it.

    Args:
        before, after: that angle before and after a step, in degrees; far more is drawn than an ant can turn in one.

    Returns:
        the Matplotlib figure.
    """
    figure, (top, bottom) = style.figure(5, 7.4, rows=2)
    target = np.radians(100)
    place = 2.3 * np.array([np.cos(target), np.sin(target)])
    top.plot(*place, "*", color=OKABE_ITO[2], markersize=24, markeredgecolor=INK)
    top.plot([0, place[0]], [0, place[1]], color=OKABE_ITO[2], linewidth=LINE, linestyle="--")
    top.text(place[0] + 0.25, place[1] - 0.05, "target", fontsize=SMALL, color=INK, va="center")
    for angle, color, name, radius in ((before, OKABE_ITO[1], "before", 1.15), (after, OKABE_ITO[0], "after", 0.7)):
        way = target - np.radians(angle)
        end = 2.2 * np.array([np.cos(way), np.sin(way)])
        top.annotate("", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2.5})
        top.text(*(end * 1.06), f" looks this way\n {name}", fontsize=SMALL, color=color, va="center")
        arc = np.linspace(way, target, 60)
        top.plot(radius * np.cos(arc), radius * np.sin(arc), color=color, linewidth=LINE)
        middle = way + 0.62 * (target - way)
        top.text(
            *((radius + 0.02) * np.array([np.cos(middle), np.sin(middle)])), f"{angle:.0f}°", fontsize=SMALL, color=color,
            ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    top.plot(0, 0, "o", color=INK, markersize=14)
    top.set(xlim=(-1.2, 3.9), ylim=(-1.0, 2.7), aspect="equal")
    top.axis("off")

    angles = np.linspace(-180, 180, 361)
    bottom.plot(angles, np.cos(np.radians(angles)), color=GREY, linewidth=LINE)
    for angle, color in ((before, OKABE_ITO[1]), (after, OKABE_ITO[0])):
        bottom.plot(angle, np.cos(np.radians(angle)), "o", color=color, markersize=11)
    x = 1.35 * before
    low, high = np.cos(np.radians([before, after]))
    bottom.annotate("", (before, high), (before, low), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 2})
    bottom.plot([after, before], [high, high], color=INK, linewidth=1, linestyle=":")
    bottom.text(x - 32, high + 0.1, "what the step\nis paid for", fontsize=SMALL, color=INK, va="bottom", ha="center")
    bottom.set(xlabel="angle from heading to target (degrees)", ylabel="cosine", xticks=range(-180, 181, 90))
    return figure


def plot_estimates(estimates: dict[str, np.ndarray], truth: float = 0.0) -> "Figure":
    """How estimates of one and the same value are spread, a panel for each kind, with their means beside the truth.

    Args:
        estimates: a dict whose keys become titles, of arrays (N,).
        truth: the value that they estimate.

    Returns:
        the Matplotlib figure.
    """
    figure, axes = style.figure(6, 1.5 + 1.5 * len(estimates), rows=len(estimates), squeeze=False, sharex=True, sharey=True)
    every = np.concatenate(list(estimates.values()))
    bins = np.linspace(every.min(), every.max(), 60)
    for ax, (title, values), color in zip(axes[:, 0], estimates.items(), OKABE_ITO, strict=False):
        shares = np.full(len(values), 100 / len(values))
        ax.hist(values, bins, weights=shares, color=color, alpha=0.45)
        ax.axvline(truth, color=INK, linewidth=LINE, linestyle="--", label="the truth")
        ax.axvline(values.mean(), color=color, linewidth=1.5 * LINE, label=f"their mean: {values.mean():+.2f}")
        ax.set_title(title, fontsize=MEDIUM, color=INK, loc="left")
        ax.set_ylabel("share (%)")
        style.legend(ax, loc="upper left", handlelength=1.4)
    axes[-1, 0].set_xlabel("what is expected of the chosen action")
    return figure


def plot_smoothing(action: np.ndarray, critic: np.ndarray, smoothed: np.ndarray) -> "Figure":
    """A critic over one action, the same averaged over noise, and the action that either likes best.

    Args:
        action: (N,).
        critic, smoothed: (N,), the values of those actions.

    Returns:
        the Matplotlib figure.
    """
    figure, ax = style.figure(6, 3.8)
    looks = {"the critic": (critic, GREY, "o", 9), "averaged over the noise": (smoothed, OKABE_ITO[0], "s", -20)}
    for label, (values, color, marker, higher) in looks.items():
        ax.plot(action, values, color=color, linewidth=LINE, label=label)
        best = np.argmax(values)
        ax.plot(action[best], values[best], marker, color=color, markeredgecolor=INK, markersize=10, zorder=3)
        beside = {"xytext": (0, higher), "textcoords": "offset points", "ha": "center"}
        ax.annotate(f"best: {action[best]:.2f}", (action[best], values[best]), fontsize=SMALL, color=INK, **beside)
    ax.set(xlabel="action", ylabel="Q, arbitrary units")
    ax.margins(y=0.14)
    style.legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    return figure


def plot_following(critic: np.ndarray, targets: dict[str, np.ndarray]) -> "Figure":
    """What a critic says, update by update, and the slower copies that follow it.

    Args:
        critic: (N,), one estimate after each update.
        targets: a dict whose keys become the legend, of arrays (N,).

    Returns:
        the Matplotlib figure.
    """
    figure, ax = style.figure(6, 3.8)
    updates = np.arange(1, len(critic) + 1)
    ax.plot(updates, critic, color="#B4BAC4", linewidth=0.6, label="the critic")
    for k, (label, values) in enumerate(targets.items()):
        ax.plot(updates, values, color=OKABE_ITO[k], linewidth=LINE if k == 0 else 1, label=label, zorder=4 - k)
    ax.set(xlabel="updates of the critic", ylabel="Q, arbitrary units")
    shown = style.legend(ax, loc="lower right")
    for line in shown.get_lines():
        line.set_linewidth(LINE)
    return figure


def plot_to_go(recordings: "dict[str, Recording]") -> "Figure":
    """How far ants still have to go, over time: from above to below, until a target is reached.

    Args:
        recordings: a dict of `viewer.Recording` whose keys become the legend.

    Returns:
        the Matplotlib figure.
    """
    figure, ax = style.figure(6, 3.8)
    for (label, run), color, line in zip(recordings.items(), OKABE_ITO, ("-", "--", "-.", ":") * 2, strict=False):
        ax.plot(run.dt * np.arange(run.length + 1), run.to_go, line, color=color, linewidth=LINE, label=label)
        ax.plot(run.seconds, run.to_go[-1], "X" if run.fell else "o", color=color, markeredgecolor=INK, markersize=9, zorder=3)
    ax.set(xlabel="time (s)", ylabel="distance to the target (m)")
    ax.set_ylim(bottom=0)
    style.legend(ax, loc="upper right")
    return figure
