"""Figures that explain: classes, the reward and its terms, the ideas of TD3, and the paths of recordings."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from override_ant import REACHED
from viewing import style
from viewing.recording import Recording
from viewing.style import GREY, INK, LARGE, LINE, MEDIUM, OKABE_ITO, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# --- the environment -------------------------------------------------------------------------------------------------------


def plot_classes(environment: type, robot: type) -> "Figure":
    """Two columns of boxes, the base classes of the environment and of the robot, with the methods that ours define.

    Two classes of the same name also have that of their module.  Everything is read from the classes: their bases (without mixins), their modules, and the methods in their bodies.

    Args:
        environment, robot: two classes.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell, like those of all functions here.
    """
    from matplotlib.patches import FancyBboxPatch

    columns = [_ancestors(environment), _ancestors(robot)]
    texts = {cls: _methods(cls) if _is_ours(cls) else cls.__module__.split(".")[0] for cls in itertools.chain(*columns)}
    counts = [Counter(cls.__name__ for cls in column) for column in columns]
    twice = {cls for column, count in zip(columns, counts, strict=True) for cls in column if count[cls.__name__] > 1}
    texts |= {cls: f"{cls.__module__}\n{texts[cls]}" for cls in twice}
    gap, line = 0.32, 0.24
    height = {cls: 0.42 + line * text.count("\n") + (line if text else 0) for cls, text in texts.items()}
    lowest = -max(sum(height[cls] + gap for cls in column) for column in columns)
    figure, ax = style.figure(6, 0.6 - 0.72 * lowest)
    centers = []
    for column, (title, classes) in enumerate(zip(("the environment", "the robot"), columns, strict=True)):
        x, y = 4.3 * column, 0.0
        ax.text(x + 1.7, y + 0.15, title, ha="center", fontsize=LARGE, color=INK, weight="bold")
        for cls in classes:
            box: dict[str, Any] = {
                "facecolor": "#EEEFF1",
                "edgecolor": "#9AA1AB",
                "boxstyle": "round,pad=0.02,rounding_size=0.08",
            }
            if _is_ours(cls):
                box |= {"facecolor": "#DCEBF7", "edgecolor": OKABE_ITO[0]}
            ax.add_patch(FancyBboxPatch((x, y - height[cls]), 3.4, height[cls], linewidth=1.5, **box))
            ax.text(x + 1.7, y - 0.24, cls.__name__, fontsize=SMALL, color=INK, weight="bold", ha="center", va="center")
            ax.text(x + 1.7, y - 0.4, texts[cls], fontsize=10, color=GREY, linespacing=1.15, ha="center", va="top")
            if cls is not classes[0]:
                arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.5}
                ax.annotate("", (x + 1.7, y + gap), (x + 1.7, y + 0.03), arrowprops=arrow)
            y -= height[cls] + gap
        centers.append(y + gap + height[classes[-1]] / 2)
    arrow = {"arrowstyle": "-|>", "color": OKABE_ITO[1], "linewidth": 2, "linestyle": "--"}
    ax.annotate("", (4.28, centers[1]), (3.42, centers[0]), arrowprops=arrow)
    ax.text(3.85, max(centers) + 0.1, "self.\nrobot", ha="center", fontsize=SMALL, color=OKABE_ITO[1], family="monospace")
    ax.set(xlim=(-0.1, 7.8), ylim=(lowest + gap - 0.1, 0.5))
    ax.axis("off")
    names = {cls: f"{cls.__module__}.{cls.__name__}" if cls in twice else cls.__name__ for cls in texts}
    chains = [" from ".join(names[cls] for cls in column[::-1]) for column in columns]
    figure.alt = f"Inheritance, two columns of boxes. The environment: {chains[0]}. The robot, its self.robot: {chains[1]}."
    return figure


def _ancestors(cls):
    """The chain of base classes down to `cls`, along the base that has bases of its own, from `gymnasium` or below `object`."""
    chain = [cls]
    while not chain[-1].__module__.startswith("gymnasium."):
        bases = [base for base in chain[-1].__bases__ if base.__bases__ != (object,)] or list(chain[-1].__bases__)
        if bases == [object]:
            break
        chain.append(bases[0])
    return chain[::-1]


def _is_ours(cls):
    """Whether a class is defined in a module of this repository or in a notebook, and not in an installed package."""
    return "." not in cls.__module__


def _methods(cls):
    """The names of the public methods in the body of a class, two on a line."""
    names = [name for name, value in vars(cls).items() if callable(value) and not name.startswith("_")]
    return "\n".join(", ".join(names[k : k + 2]) for k in range(0, len(names), 2))


def plot_terms(recording: Recording, seconds: float = 0.5) -> "Figure":
    """The terms of the reward over an episode, and the sum of each.

    Args:
        recording: from an environment that gives `info["reward_terms"]`.
        seconds: duration of the moving average, which hides the jumps of each stride.

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
    style.legend(lines, ncols=3, loc="lower center", bbox_to_anchor=(0.45, 1.0), columnspacing=1.2, handlelength=1.2)
    bars.set_yticks(range(len(terms)), list(terms))
    bars.invert_yaxis()
    bars.axvline(0, color=GREY, linewidth=0.8)
    bars.margins(x=0.2)
    bars.set_xlabel("sum over the episode")
    bars.grid(False, axis="y")
    sums = ", ".join(f"{name} {values.sum():,.0f}" for name, values in terms.items())
    figure.alt = f"Terms of the reward over the {recording.seconds:.1f} s of an episode; their sums: {sums}."
    return figure


def plot_targets(targets: ArrayLike) -> "Figure":
    """Targets seen from above, with the ant at the start, which looks to the right.

    Args:
        targets: (N, 2), in metres.
    """
    figure, ax = style.figure(5, 5)
    ax.plot(*np.asarray(targets).T, "o", color=OKABE_ITO[0], markersize=6, alpha=0.6, markeredgewidth=0)
    ax.plot(0, 0, "o", color=INK, markersize=12)
    ax.annotate("", (8, 0), (0, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 2})
    ax.text(0, -3.2, "the ant", ha="center", fontsize=SMALL, color=INK)
    ax.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    distances = sorted({f"{distance:.1f}" for distance in np.linalg.norm(targets, axis=1)}, key=float)
    away = " to ".join(dict.fromkeys((distances[0], distances[-1])))
    figure.alt = f"{len(np.asarray(targets))} targets from above, {away} m from the ant, which looks to the right."
    return figure


def plot_angle_term(before: float = 115.0, after: float = 80.0) -> "Figure":
    """The term `angle_progress` of one step: the angle from the ant's heading to its target, and the cosine of that angle.

    Args:
        before, after: the angle before and after the step, in degrees.  The difference is exaggerated.
    """
    figure, (top, bottom) = style.figure(5, 7.4, rows=2)
    target = np.radians(100)
    x, y = 2.3 * np.array([np.cos(target), np.sin(target)])
    top.plot(x, y, "*", color=OKABE_ITO[2], markersize=24, markeredgecolor=INK)
    top.plot([0, x], [0, y], color=OKABE_ITO[2], linewidth=LINE, linestyle="--")
    top.text(x + 0.25, y - 0.05, "target", fontsize=SMALL, color=INK, va="center")
    for angle, color, name, radius in ((before, OKABE_ITO[1], "before", 1.15), (after, OKABE_ITO[0], "after", 0.7)):
        heading = target - np.radians(angle)
        end = 2.2 * np.array([np.cos(heading), np.sin(heading)])
        top.annotate("", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 2.5})
        top.text(*(end * 1.06), f" heading\n {name}", fontsize=SMALL, color=color, va="center")
        arc = np.linspace(heading, target, 60)
        top.plot(radius * np.cos(arc), radius * np.sin(arc), color=color, linewidth=LINE)
        middle = heading + 0.62 * (target - heading)
        label = (radius + 0.02) * np.array([np.cos(middle), np.sin(middle)])
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        top.text(*label, f"{angle:.0f}°", fontsize=SMALL, color=color, ha="center", va="center", bbox=box)
    top.plot(0, 0, "o", color=INK, markersize=14)
    top.set(xlim=(-1.2, 3.9), ylim=(-1.0, 2.7), aspect="equal")
    top.axis("off")

    angles = np.linspace(-180, 180, 361)
    bottom.plot(angles, np.cos(np.radians(angles)), color=GREY, linewidth=LINE)
    low, high = np.cos(np.radians([before, after]))
    for angle, cosine, color in ((before, low, OKABE_ITO[1]), (after, high, OKABE_ITO[0])):
        bottom.plot(angle, cosine, "o", color=color, markersize=11)
    bottom.annotate("", (before, high), (before, low), arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 2})
    bottom.plot([after, before], [high, high], color=INK, linewidth=1, linestyle=":")
    bottom.text(1.35 * before - 32, high + 0.1, "reward\nof the step", fontsize=SMALL, color=INK, va="bottom", ha="center")
    bottom.set(xlabel="angle from heading to target (degrees)", ylabel="cosine", xticks=range(-180, 181, 90))
    figure.alt = (
        f"The ant turns toward its target: the angle between its heading and the target falls from {before:.0f} to {after:.0f} "
        f"degrees. Below, the cosine of the angle, which rises from {low:.2f} to {high:.2f}; this rise is the reward of the step."
    )
    return figure


# --- the ideas of TD3 ------------------------------------------------------------------------------------------------------


def plot_estimates(estimates: dict[str, np.ndarray], truth: float = 0.0) -> "Figure":
    """Histograms of estimates of one value, a panel for each kind, with their mean and the true value.

    Args:
        estimates: a dict whose keys become titles, of arrays (N,).
        truth: the true value.
    """
    figure, axes = style.figure(6, 1.5 + 1.5 * len(estimates), rows=len(estimates), squeeze=False, sharex=True, sharey=True)
    every = np.concatenate(list(estimates.values()))
    bins = np.linspace(every.min(), every.max(), 60)
    for ax, (title, values), color in zip(axes[:, 0], estimates.items(), OKABE_ITO, strict=False):
        ax.hist(values, bins, weights=np.full(len(values), 100 / len(values)), color=color, alpha=0.45)
        ax.axvline(truth, color=INK, linewidth=LINE, linestyle="--", label="true value")
        ax.axvline(values.mean(), color=color, linewidth=1.5 * LINE, label=f"mean: {values.mean():+.2f}")
        ax.set_title(title, fontsize=MEDIUM, color=INK, loc="left")
        ax.set_ylabel("share (%)")
        style.legend(ax, loc="upper left", handlelength=1.4)
    axes[-1, 0].set_xlabel("estimated value of the chosen action")
    means = "; ".join(f"{title}, mean {values.mean():+.2f}" for title, values in estimates.items())
    figure.alt = f"Histograms of estimates whose true value is {truth:g}: {means}."
    return figure


def plot_smoothing(action: np.ndarray, critic: np.ndarray, smoothed: np.ndarray) -> "Figure":
    """A critic over one action, its average over noise, and the best action of each.

    Args:
        action: (N,).
        critic, smoothed: (N,), the values of those actions.
    """
    figure, ax = style.figure(6, 3.8)
    looks = {"the critic": (critic, GREY, "o", 9), "averaged over the noise": (smoothed, OKABE_ITO[0], "s", -20)}
    for label, (values, color, marker, offset) in looks.items():
        best = np.argmax(values)
        ax.plot(action, values, color=color, linewidth=LINE, label=label)
        ax.plot(action[best], values[best], marker, color=color, markeredgecolor=INK, markersize=10, zorder=3)
        near = {"xytext": (0, offset), "textcoords": "offset points", "ha": "center"}
        ax.annotate(f"best: {action[best]:.2f}", (action[best], values[best]), fontsize=SMALL, color=INK, **near)
    ax.set(xlabel="action", ylabel="Q, arbitrary units")
    ax.locator_params("x", nbins=5)  # more labels would touch
    ax.margins(y=0.14)
    style.legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    found = ", ".join(f"{action[np.argmax(values)]:.2f} for {label}" for label, (values, *_) in looks.items())
    figure.alt = f"Q over the action, of the critic and averaged over noise. The best action is {found}."
    return figure


def plot_delay(actions: dict[str, np.ndarray], best: float = 0.0) -> "Figure":
    """The action of an actor after each update of its critic.

    Args:
        actions: a dict whose keys become the legend, of arrays (N,).
        best: the action with the highest value.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell.
    """
    figure, ax = style.figure(6, 3.8)
    ax.axhline(best, color=GREY, linewidth=LINE, linestyle="--", label="the best action")
    for (label, values), color in zip(actions.items(), (OKABE_ITO[1], OKABE_ITO[0], OKABE_ITO[2]), strict=False):
        ax.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=LINE, label=label)
    ax.set(xlabel="updates of the critic", ylabel="action")
    style.legend(ax, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, columnspacing=1.2)
    highest = "; ".join(f"{label}, {values.max():+.2f}" for label, values in actions.items())
    figure.alt = f"Action of an actor over updates of its critic; the best action is {best:g}; highest action: {highest}."
    return figure


def plot_target_networks(critic: np.ndarray, targets: dict[str, np.ndarray]) -> "Figure":
    """The estimates of a critic and of its target networks, update by update.

    Args:
        critic: (N,), one estimate after each update.
        targets: a dict whose keys become the legend, of arrays (N,).
    """
    figure, ax = style.figure(6, 3.8)
    updates = np.arange(1, len(critic) + 1)
    ax.plot(updates, critic, color="#B4BAC4", linewidth=0.6, label="the critic")
    for k, (label, values) in enumerate(targets.items()):
        ax.plot(updates, values, color=OKABE_ITO[k], linewidth=LINE if k == 0 else 1, label=label, zorder=4 - k)
    ax.set(xlabel="updates of the critic", ylabel="Q, arbitrary units")
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2, "columnspacing": 1.2}
    for line in style.legend(ax, **above).get_lines():
        line.set_linewidth(LINE)
    spread = ", ".join(f"{label}: {np.std(np.diff(values)):.2g}" for label, values in {"the critic": critic, **targets}.items())
    figure.alt = f"Estimates over {len(critic):,} updates; standard deviation of the change in one update, {spread}."
    return figure


def plot_losses(losses: Sequence[Mapping[str, float]], first_step: int = 0) -> "Figure":
    """The critics' loss and the mean Q of each update, one update a step.

    Args:
        losses: what `TD3.train` returned, as numbers, in the order of the updates.
        first_step: environment step of the first update.

    Raises:
        ValueError: losses is empty.
    """
    if not losses:
        raise ValueError("losses is empty: there was no update, so take more steps than start_timesteps.")
    loss, Q = (np.array([each[key] for each in losses]) for key in ("critic_loss", "Q"))
    steps = first_step + np.arange(len(losses))
    window = min(100, len(losses))
    figure, (top, bottom) = style.figure(6, 5.4, rows=2, sharex=True)
    top.semilogy(steps, loss, color=GREY, alpha=0.5, linewidth=0.4, label="each update")
    mean = np.convolve(loss, np.ones(window) / window, "valid")
    top.semilogy(steps[window - 1 :], mean, color=OKABE_ITO[0], linewidth=LINE, label=f"mean of {window} updates")
    top.set(ylabel="critic loss")
    style.legend(top, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    bottom.plot(steps, Q, color=OKABE_ITO[1], linewidth=1.5)
    bottom.set(xlabel="environment steps", ylabel="Q, mean of a batch")
    return figure


# --- recordings ------------------------------------------------------------------------------------------------------------


def plot_to_go(recordings: dict[str, Recording]) -> "Figure":
    """The distance to the target over time.

    Args:
        recordings: a dict whose keys become the legend.
    """
    figure, ax = style.figure(6, 3.8)
    for (label, run), color, line in zip(recordings.items(), OKABE_ITO, ("-", "--", "-.", ":") * 2, strict=False):
        distance = run.distance_to_target
        ax.plot(run.dt * np.arange(run.length + 1), distance, line, color=color, linewidth=LINE, label=label)
        ax.plot(run.seconds, distance[-1], "X" if run.fell else "o", color=color, markeredgecolor=INK, markersize=9, zorder=3)
    ax.set(xlabel="time (s)", ylabel="distance to the target (m)")
    ax.set_ylim(bottom=0)
    style.legend(figure, loc="outside upper center", ncols=2)
    ends = "; ".join(
        f"{label}, {run.distance_to_target[-1]:.1f} m after {run.seconds:.1f} s" for label, run in recordings.items()
    )
    figure.alt = f"Distance to the target over time; at the end: {ends}."
    return figure


def plot_paths(recordings: Recording | Iterable[Recording], ax: Any = None) -> "Figure":
    """Paths seen from above, with their targets, which are numbered if a recording has several.

    A star is filled if the ant reached that target, and hollow otherwise.  Where several ants end at their start, they are counted
    there, because their marks would cover one another.

    Args:
        recordings: a `Recording` or a list of them.
        ax: Matplotlib axes to draw into; by default those of a new figure.
    """
    from matplotlib.lines import Line2D

    recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
    targets = [_near_points(run) for run in recordings]
    everything = np.concatenate([*(run.path for run in recordings), *targets])
    low, extent = everything.min(axis=0), np.ptp(everything, axis=0)
    if ax is None:  # as high as what is on the map, so that no part of the figure is empty
        figure, ax = style.figure(6, np.clip(1.2 + 5 * extent[1] / max(extent[0], 1e-9), 2.6, 7))
    else:
        figure = ax.figure
        figure.set_facecolor("white")
        style.style_axes(ax)
    star = 17 if max(map(len, targets)) < 8 else 12
    stayed = [run for run in recordings if np.linalg.norm(run.path[-1] - run.path[0]) < 0.03 * extent.max()]
    stayed = stayed if len(stayed) > 1 else []
    kinds = {"start": ("o", "none", 12), "end": ("o", "grey", 7)}
    for run, points, color in zip(recordings, targets, itertools.cycle(OKABE_ITO)):
        ax.plot(*run.path.T, color=color, linewidth=LINE)
        for k, target in enumerate(points):
            reached = k < run.points_reached or (len(run.points) == 1 and run.reached)
            kind = f"target {'' if reached else 'not '}reached"
            kinds[kind] = ("*", "grey" if reached else "white", 14)
            look = {"color": color if reached else "white", "markeredgecolor": "black" if reached else color}
            ax.plot(*target, "*", markersize=star, zorder=2.5, **look)
        if run in stayed:
            continue
        end = {"color": color, "markeredgecolor": "black", "zorder": 4 if run.fell or len(points) < 2 else 2.4}
        ax.plot(*run.path[-1], "X" if run.fell else "o", markersize=10 if run.fell else 7, **end)
        if run.fell:
            kinds["fell"] = ("X", "grey", 10)
    for run in recordings:
        ax.plot(*run.path[0], "o", color="none", markeredgecolor="black", markersize=12, markeredgewidth=1.5, zorder=5)
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=color, markeredgecolor="black", markersize=size, label=label)
        for label, (marker, color, size) in kinds.items()
    ]
    columns = 4 if len(handles) < 5 else 3
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": columns, "columnspacing": 1.0, "handletextpad": 0.1}
    style.legend(ax, handles=handles, **above)
    around = 0.07 * extent.max()  # as data, because `margins` gives way where the aspect asks for it
    ax.update_datalim([low - around, low + extent + around])
    ax.margins(0)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="x (m)", ylabel="y (m)")
    if stayed:
        _count_at_start(ax, stayed, left=np.mean([run.path[-1, 0] - run.path[0, 0] for run in recordings]) > 0)
    for run, points in zip(recordings, targets, strict=True):
        if len(points) > 1:
            _number(ax, run.path, points, star)
    figure.alt = f"{'Path' if len(recordings) == 1 else 'Paths'} from above: {'; '.join(map(describe_recording, recordings))}."
    return figure


def _near_points(run):
    """The targets of a recording that fit on a map, (N, 2).  The stock ant's is a kilometre away."""
    return run.points[np.linalg.norm(run.points - run.path[0], axis=1) < 500]


def _count_at_start(ax, stayed, left):
    """Writes how many ants ended at their start, on the side where there are fewer paths."""
    fallen = sum(run.fell for run in stayed)
    verb = {0: "stay", len(stayed): "fall"}.get(fallen, "end")
    look = {"va": "center", "ha": "right" if left else "left", "fontsize": SMALL, "color": INK, "zorder": 6}
    start, offset = stayed[0].path[0], (-11 if left else 11, 0)
    ax.annotate(f"{len(stayed)} {verb} here", start, offset, textcoords="offset points", **look)


def _number(ax, path, points, star):
    """Writes its number next to each point: where it covers the least of stars, path and other numbers."""
    figure = ax.figure
    figure.draw_without_rendering()  # fixes the scale
    to_pixels, point = ax.transData, figure.dpi / 72
    ways = to_pixels.transform(path)
    stars = to_pixels.transform(np.vstack([points, path[:1]]))
    width, height, angles = 0.64 * SMALL * point, 0.8 * SMALL * point, np.linspace(0, 2 * np.pi, 24, endpoint=False)
    placed = np.empty((0, 4))
    for k, at in enumerate(stars[:-1]):
        half = np.array([width * len(f"{k + 1}"), height]) / 2 + point
        best = None
        for distance in (0.62 * star + 5, 0.62 * star + 9, 0.62 * star + 14, 0.62 * star + 20):
            for angle in angles:
                offset = (distance * point + half[0] - half[1] * 0.8) * np.array([np.cos(angle), 0])
                offset[1] = distance * point * np.sin(angle)
                center = at + offset
                numbers = (np.abs(placed[:, :2] - center) < half + placed[:, 2:]).all(axis=1).sum()
                under = (np.abs(stars - center) < half + 0.55 * star * point).all(axis=1).sum()
                crossed = (np.abs(ways - center) < half + point).all(axis=1).any()
                cost = 100 * numbers + 100 * under + 30 * crossed + distance
                if best is None or cost < best[0]:
                    best = cost, offset, center
        placed = np.vstack([placed, [*best[2], *half]])
        look = {"ha": "center", "va": "center", "fontsize": SMALL, "weight": "bold", "color": INK, "zorder": 6}
        ax.annotate(f"{k + 1}", points[k], best[1] / point, textcoords="offset points", annotation_clip=False, **look)


def describe_recording(run: Recording) -> str:
    """A recording in words, as part of a sentence: its environment, its targets, and how it ended."""
    points, time = run.points, f"after {run.seconds:.1f} s"
    if len(points) > 1:
        text = f"an ant in {run.env} reaches {run.points_reached} of {len(points)} points in {run.seconds:.1f} s"
        return f"{text} and falls" if run.fell else text
    x, y = np.round(points[0].astype(float), 1) + 0.0  # + 0.0 turns -0 into 0
    near = run.distance_to_target <= REACHED
    if run.fell:
        end = f"falls {time}, {run.distance:.1f} m from its start"
    elif near.any():
        end = f"reaches it after {run.dt * np.argmax(near):.1f} s"
    else:
        end = f"is {run.distance:.1f} m from its start {time}, and does not reach it"
    return f"an ant in {run.env}, target ({x:g}, {y:g}), {end}"
