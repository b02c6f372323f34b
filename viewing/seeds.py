"""What several seeds say: the statistics of many runs, and their figures.

    groups = read_groups("sweeps/NAME/evaluations.csv", by="tau")
    plot_seeds(groups)
    plot_solved(groups, threshold=2500)

A group has the learning curves of runs that differ in their seed alone.  The statistics are those that Agarwal et al. recommend
("Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021): interquartile means, bootstrap intervals over the
seeds, and probabilities of improvement.  All intervals have a confidence of 95 %.
"""

import csv
import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.curve import CURVE_COLUMNS, read_curve, solved_row, summarize
from viewing import style
from viewing.style import GREY, LINE, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = dict[str, np.ndarray]
Groups = Mapping[str, Sequence[Curve | str | Path]]
"""A list of learning curves for each label, as arrays or as paths of `results/NAME.csv`."""

FEW = 10
"""Below this number of seeds, each one is drawn."""

# --- statistics ------------------------------------------------------------------------------------------------------------


def read_groups(
    path: str | Path, by: str | Sequence[str] = (), label: str = "", max_timesteps: float = np.inf
) -> dict[str, list[Curve]]:
    """The learning curves of a sweep, grouped by some of its arguments.  Those of several sweeps are joined by `|`:

        read_groups("sweeps/default/evaluations.csv", label="tau=0.005") | read_groups("sweeps/tau/evaluations.csv", by="tau")

    Args:
        path: the `evaluations.csv` of a sweep.
        by: name of an argument, or several, or none, with which all runs are one group.
        label: what the label of each group begins with.
        max_timesteps: evaluations after more steps are left out, so that longer runs can be compared with shorter ones.

    Returns:
        a dict from a label such as "tau=0.01" to the curves of these runs, in the order of the file.

    Raises:
        ValueError: the file has no column of that name.
    """
    names = [by] if isinstance(by, str) else list(by)
    runs: dict[str, dict[str, list[list[float]]]] = {}
    with open(path, newline="", encoding="utf-8") as f:
        reader = csv.DictReader(f)
        if missing := [name for name in names if name not in (reader.fieldnames or [])]:
            raise ValueError(f"'{path}' has no column '{missing[0]}': expected one of {', '.join(reader.fieldnames or [])}.")
        for row in reader:
            if float(row["timesteps"]) > max_timesteps:
                continue
            group = ", ".join([label] * bool(label) + [f"{name}={row[name]}" for name in names])
            runs.setdefault(group, {}).setdefault(row["trial"], []).append([float(row[name]) for name in CURVE_COLUMNS])
    return {
        group: [dict(zip(CURVE_COLUMNS, np.array(rows).T, strict=True)) for rows in of_group.values()]
        for group, of_group in runs.items()
    }


def iqm(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """The interquartile mean: the mean without the lowest and the highest quarter.  Of fewer than four scores, all count."""
    from scipy import stats

    return stats.trim_mean(scores, 0.25, axis=axis)


def bootstrap_interval(
    statistic: Callable[..., np.ndarray], *samples: np.ndarray, n_resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """The percentile bootstrap interval of a statistic over seeds.

    Args:
        statistic: takes as many arrays as there are samples, and `axis`, along which the seeds are.
        *samples: the scores of a group, with the seeds along the last axis, and all other axes equal.
        n_resamples: number of resamples.  Their random numbers are the same each time.

    Returns:
        the lower and the upper bound; both NaN if a sample has one seed only, which says nothing about the others.
    """
    from scipy import stats

    if min(sample.shape[-1] for sample in samples) < 2:
        return (np.full(samples[0].shape[:-1], np.nan),) * 2
    found = stats.bootstrap(
        samples, statistic, axis=-1, vectorized=True, method="percentile", n_resamples=n_resamples, batch=100, rng=0
    )
    return found.confidence_interval.low, found.confidence_interval.high


def at_common_steps(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """The mean returns of runs at the same steps.

    A run that ended before others keeps its last mean return, because leaving it out would change of which runs a mean is.
    Between evaluations, where runs were evaluated at different steps, it is interpolated.

    Args:
        curves: of one group.

    Returns:
        environment steps (T,), from the first at which all runs were evaluated, and mean returns (T, N).
    """
    steps = np.unique(np.concatenate([curve["timesteps"] for curve in curves]))
    steps = steps[steps >= max(curve["timesteps"][0] for curve in curves)]
    returns = [np.interp(steps, curve["timesteps"], curve["mean_return"]) for curve in curves]
    return steps, np.stack(returns, axis=1)


def solved_fraction(curves: Sequence[Curve], threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fraction of runs that are solved, over environment steps, by the estimator of Kaplan and Meier.

    A run that ended unsolved counts as not solved for as long as it was trained, and as unknown from there on (censored).  It is
    never left out.

    Args:
        curves: of one group.
        threshold: mean return of a solved run, see `training.curve.solved_row`.

    Returns:
        steps, fractions, and lower and upper bounds, (K,) each: 0, the steps at which a fraction begins, and the last step of
        the longest run.  The bounds are Greenwood's with a log-log transform, which is undefined where the fraction is 0 or 1;
        there they are the exact binomial ones (Clopper and Pearson).
    """
    from scipy import stats

    rows = [solved_row(curve, threshold) for curve in curves]
    censored = np.array([row is None for row in rows])
    ends = [curve["timesteps"][-1 if row is None else row] for curve, row in zip(curves, rows, strict=True)]
    estimate = stats.ecdf(stats.CensoredData.right_censored(ends, censored)).cdf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the interval is undefined somewhere
        interval = estimate.confidence_interval(method="log-log")
    horizon = max(curve["timesteps"][-1] for curve in curves)
    steps = np.concatenate([[0], estimate.quantiles, [horizon]])
    fraction, low, high = (
        np.concatenate([[first], each, each[-1:]])
        for first, each in (
            (0, estimate.probabilities),
            (np.nan, interval.low.probabilities),
            (np.nan, interval.high.probabilities),
        )
    )
    for k in np.flatnonzero(np.isnan(low) | np.isnan(high)):
        exact = stats.binomtest(round(fraction[k] * len(curves)), len(curves)).proportion_ci()
        low[k], high[k] = exact.low, exact.high
    return steps, fraction, low, high


def median_steps(curves: Sequence[Curve], threshold: float) -> tuple[float, float, float]:
    """The environment steps after which half of the runs are solved, with a 95 % interval (Brookmeyer and Crowley, 1982).

    Args:
        curves: of one group.
        threshold: mean return of a solved run, see `training.curve.solved_row`.

    Returns:
        the steps at which `solved_fraction`, its upper and its lower bound reach one half; infinite where they do not.
    """
    steps, fraction, low, high = solved_fraction(curves, threshold)
    reached = [steps[(fraction > 0) & (each >= 0.5)] for each in (fraction, high, low)]
    first, lower, upper = (float(each[0]) if len(each) else np.inf for each in reached)
    return first, lower, upper


def probability_of_improvement(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """The probability that a run of `a` has a higher score than a run of `b`; a tie counts as half.

    Args:
        a, b: scores, with the seeds along `axis`; an infinite one is a score as well.
        axis: the last one.
    """
    first, second = np.moveaxis(a, axis, -1)[..., :, None], np.moveaxis(b, axis, -1)[..., None, :]
    return ((first > second) + 0.5 * (first == second)).mean(axis=(-2, -1))


def scores(curves: Sequence[Curve], what: str, threshold: float | None = None) -> np.ndarray:
    """One number for each run, (N,).

    Args:
        curves: of one group.
        what: one of `training.curve.SUMMARY_COLUMNS`, such as "last_three" or "steps_to_threshold".
        threshold: mean return of a solved run.

    Returns:
        float64 array; infinite where a run has no such number, because it never reached the threshold.
    """
    values = [summarize(curve, threshold)[what] for curve in curves]
    return np.array([np.inf if value is None else value for value in values], dtype=float)


def improvement(
    a: Sequence[Curve], b: Sequence[Curve], what: str = "last_three", threshold: float | None = None
) -> tuple[float, float, float, float]:
    """Whether runs of one group are better than those of another.

    Args:
        a, b: learning curves of each group.
        what, threshold: as for `scores`.  Of steps and minutes, fewer are better, and a run that never reached the threshold is
            worse than any that did.

    Returns:
        the probability of improvement, the bounds of its bootstrap interval, and the p-value of the two-sided test of Mann and
        Whitney, which is exact for few seeds without ties: how often groups of one and the same recipe differ as much.
    """
    from scipy import stats

    sign = -1 if what.startswith(("steps", "minutes", "timesteps")) else 1
    first, second = (sign * scores(curves, what, threshold) for curves in (a, b))
    low, high = bootstrap_interval(probability_of_improvement, first, second)
    return float(probability_of_improvement(first, second)), float(low), float(high), stats.mannwhitneyu(first, second).pvalue


def compare(groups: Groups, against: str, threshold: float, what: str = "last_three") -> list[dict[str, str]]:
    """A table with one row for each group, for `tabulate`.

    Args:
        groups: learning curves by label.
        against: label of the group with which the others are compared.
        threshold: mean return of a solved run, see `training.curve.solved_row`.
        what: the score that is compared, as for `scores`.

    Returns:
        dicts of texts: the label, the number of seeds, how many runs are solved, the median of the steps to the threshold
        (`median_steps`), interquartile means of the last three evaluations and of the area under the curve, and the probability
        of improvement with its p-value (`improvement`); intervals in brackets.

    Raises:
        ValueError: a group is empty, or there is no group `against`.
    """
    loaded = _load(groups)
    _check_label(against, loaded)
    rows = []
    for label, curves in loaded.items():
        longest = max(curve["timesteps"][-1] for curve in curves)
        solved = sum(solved_row(curve, threshold) is not None for curve in curves)
        row = {"": label, "seeds": str(len(curves)), "solved": f"{solved} of {len(curves)}"}
        row[f"steps to {threshold:,.0f}"] = (
            _with_interval(*median_steps(curves, threshold), longest=longest) if solved else f"> {longest:,.0f}"
        )
        for name, score in (("last three", "last_three"), ("area under the curve", "area_under_curve")):
            values = scores(curves, score)
            row[name] = _with_interval(iqm(values), *bootstrap_interval(iqm, values))
        if label != against:
            chance, low, high, p = improvement(curves, loaded[against], what, threshold)
            row |= {f"better than {against}": _with_interval(chance, low, high, digits=2), "p": f"{p:.2g}"}
        rows.append(row)
    return rows


# --- figures ---------------------------------------------------------------------------------------------------------------


def plot_seeds(groups: Groups, threshold: float | None = None, each: bool | None = None) -> "Figure":
    """Learning curves: the interquartile mean over the seeds with its bootstrap interval, and each seed where there are few.

    A run that ended before the others of its group keeps its last mean return in the interquartile mean (`at_common_steps`).

    Args:
        groups: learning curves by label.
        threshold: mean return at which to draw a line.
        each: whether to draw each seed.  By default those of groups with fewer than ten are.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell.

    Raises:
        ValueError: a group is empty.
    """
    loaded = _load(groups)
    figure, ax = style.figure(6.4, 4.6)
    ends = []
    few = {label for label, curves in loaded.items() if (len(curves) < FEW if each is None else each)}
    for (label, curves), color in zip(loaded.items(), itertools.cycle(OKABE_ITO)):
        for curve in curves if label in few else ():
            ax.plot(curve["timesteps"] / 1e6, curve["mean_return"], color=color, linewidth=0.9, alpha=0.5)
        steps, returns = at_common_steps(curves)
        means, (low, high) = iqm(returns), bootstrap_interval(iqm, returns)
        ax.fill_between(steps / 1e6, low, high, color=color, alpha=0.18, linewidth=0)
        ax.plot(steps / 1e6, means, color=color, linewidth=3, label=_label(label, loaded))
        ends.append(f"{label or 'mean'}, {means[-1]:,.0f} after {steps[-1]:,.0f} steps")
    if any(len(loaded[label]) > 1 for label in few):
        ax.plot([], [], color=GREY, linewidth=0.9, label="a single run")
    if threshold is not None:
        ax.axhline(threshold, color=GREY, linewidth=1, linestyle="--", label=f"threshold, {threshold:,.0f}")
    style.steps_axis(ax)
    ax.set_ylabel("mean return of an evaluation")
    _title(ax, "Interquartile mean and 95 % interval", loaded)
    style.legend(figure, loc="outside lower center", ncols=2)  # inside, it would lie on lines
    runs = sum(map(len, loaded.values()))
    figure.alt = f"Learning curves of {runs} run{'s' if runs > 1 else ''}; interquartile means: {'; '.join(ends)}."
    return figure


def plot_solved(groups: Groups, threshold: float) -> "Figure":
    """The fraction of solved runs over environment steps, with 95 % intervals (`solved_fraction`).

    The axis begins at the first evaluation.  The lines go on for a short piece after the last one, so that what happened there can
    be seen.  A short vertical line marks where a run ended unsolved, or the end of that piece if it was at the last evaluation.
    The interval is left out where no run is solved yet.  Each group has a thinner line than the group before, which is seen under
    it where both have the same fraction.

    Args:
        groups: learning curves by label.
        threshold: mean return of a solved run, see `training.curve.solved_row`.

    Raises:
        ValueError: a group is empty.
    """
    loaded = _load(groups)
    steps_of_all = [curve["timesteps"] for curves in loaded.values() for curve in curves]
    first, horizon = min(steps[0] for steps in steps_of_all), max(steps[-1] for steps in steps_of_all)
    piece = 0.06 * horizon
    mark = {"linestyle": "", "marker": "|", "markersize": 12, "markeredgewidth": LINE}
    figure, ax = style.figure(6.4, 4.6)
    counts, unsolved = [], False
    widths = LINE * np.linspace(1 + 0.6 * (len(loaded) - 1), 1, len(loaded))
    for (label, curves), color, width in zip(loaded.items(), itertools.cycle(OKABE_ITO), widths):
        steps, fraction, low, high = solved_fraction(curves, threshold)
        last = steps[-1]
        steps[-1] = (horizon if fraction[-1] == 1 else last) + piece  # where all are solved, it stays so
        ax.fill_between(steps / 1e6, low, high, where=fraction > 0, step="post", color=color, alpha=0.15, linewidth=0)
        ax.step(steps / 1e6, fraction, where="post", color=color, linewidth=width, label=_label(label, loaded))
        ends = np.array([curve["timesteps"][-1] for curve in curves if solved_row(curve, threshold) is None])
        heights = fraction[np.searchsorted(steps, ends, side="right") - 1]
        ax.plot(np.where(ends == last, last + piece, ends) / 1e6, heights, color=color, **mark)
        counts.append(f"{label or 'of all'}, {len(curves) - len(ends)} of {len(curves)}")
        unsolved |= len(ends) > 0
    ax.set(ylabel="fraction of runs", ylim=(-0.03, 1.03))
    if unsolved:
        ax.plot([], [], color=GREY, label="a run ended unsolved", **mark)
    ax.set_xlim(left=first / 1e6)
    style.steps_axis(ax)
    _title(ax, f"Solved: {threshold:,.0f}, twice in a row", loaded)
    style.legend(figure, loc="outside lower center", ncols=2)
    figure.alt = (
        f"The fraction of runs that are solved, a mean return of {threshold:,.0f} twice in a row, over environment steps; after "
        f"{horizon:,.0f} steps: {'; '.join(counts)}."
    )
    return figure


def plot_scores(groups: Groups, what: str = "last_three", threshold: float | None = None) -> "Figure":
    """One score of each group: the interquartile mean with its bootstrap interval, and each seed where there are few.

    Args:
        groups: learning curves by label.
        what, threshold: as for `scores`.

    Raises:
        ValueError: a group is empty, or a run has no such score.
    """
    found = {}
    for label, curves in _load(groups).items():
        found[label] = values = scores(curves, what, threshold)
        if not np.isfinite(values).all():
            raise ValueError(f"what is '{what}', which {np.isinf(values).sum()} of {len(values)} runs lack: use plot_solved.")
    return plot_values(found, WHAT.get(what, what))


def plot_values(groups: Mapping[str, np.ndarray], what: str) -> "Figure":
    """One number of each run: the interquartile mean with its bootstrap interval, and each seed where there are few.

    Args:
        groups: (N,) numbers by label, an entry for each seed.
        what: label of the axis.
    """
    figure, ax = style.figure(6.4, 1.6 + 0.5 * len(groups))
    means, digits = [], 2 if all(np.abs(values).max() < 100 for values in groups.values()) else 0
    colors = OKABE_ITO[: 6 if len(groups) <= 6 else 1]  # the axis names them, and the last colours are pale
    for k, ((label, values), color) in enumerate(zip(groups.items(), itertools.cycle(colors))):
        mean, (low, high) = iqm(values), bootstrap_interval(iqm, values)
        means.append(f"{label}, {_with_interval(mean, low, high, digits)}")
        ax.plot([low, high], [k, k], color=color, linewidth=8, alpha=0.3, solid_capstyle="butt")
        ax.plot([mean] * 2, [k - 0.25, k + 0.25], color=color, linewidth=3)
        if len(values) < FEW:
            ax.plot(values, np.full(len(values), k), color=color, linestyle="", marker="o", markersize=5, alpha=0.7)
    ax.set_yticks(range(len(groups)), [_label(label, groups) for label in groups])
    ax.set(xlabel=what, ylim=(len(groups) - 0.5, -0.5))
    _title(figure, "Interquartile mean and 95 % interval", groups)
    figure.alt = f"Interquartile means, {what}: {'; '.join(means)}."
    return figure


def plot_improvement(
    groups: Groups, what: str = "last_three", threshold: float | None = None, against: str | None = None
) -> "Figure":
    """For each pair of groups, the probability that a run of the one is better than a run of the other, with 95 % intervals.

    Args:
        groups: learning curves by label.
        what, threshold: as for `improvement`.
        against: label of a group; only the pairs of another group with this one are drawn.

    Raises:
        ValueError: a group is empty, or there is one group only, or no group `against`.
    """
    loaded = _load(groups)
    pairs = list(itertools.combinations(loaded, 2))
    if not pairs:
        raise ValueError(f"There is one group only, '{next(iter(loaded))}': expected at least two to compare.")
    if against is not None:
        _check_label(against, loaded)
        pairs = [(label, against) for label in loaded if label != against]
    figure, ax = style.figure(6.4, 1.8 + 0.5 * len(pairs))
    found = []
    for k, (a, b) in enumerate(pairs):
        chance, low, high, _ = improvement(loaded[a], loaded[b], what, threshold)
        found.append(f"{a} better than {b}, {_with_interval(chance, low, high, digits=2)}")
        ax.plot([low, high], [k, k], color=OKABE_ITO[0], linewidth=8, alpha=0.3, solid_capstyle="butt")
        ax.plot([chance] * 2, [k - 0.25, k + 0.25], color=OKABE_ITO[0], linewidth=3)
    ax.axvline(0.5, color=GREY, linewidth=1, linestyle="--")
    ax.set_yticks(range(len(pairs)), [f"{_label(a, loaded)}\nbetter than {_label(b, loaded)}" for a, b in pairs])
    ax.set(xlabel="probability", xlim=(-0.02, 1.02), ylim=(len(pairs) - 0.5, -0.5))
    _title(figure, f"Probability of improvement and 95 % interval\n{WHAT.get(what, what)}", loaded)
    figure.alt = f"Probability of improvement, {WHAT.get(what, what)}: {'; '.join(found)}."
    return figure


WHAT = {
    "last_three": "mean return of the last three evaluations",
    "best": "mean return of the best evaluation",
    "area_under_curve": "area under the learning curve, per step",
    "steps_to_threshold": "steps to the threshold",
    "minutes_to_threshold": "minutes to the threshold",
}
"""Labels of the scores."""


def _load(groups):
    """The groups with all curves as arrays."""
    for label, curves in groups.items():
        if not len(curves):
            raise ValueError(
                f"groups['{label}'] is empty: expected learning curves, as arrays or as paths of results/NAME.csv."
            )
    return {
        label: [read_curve(curve) if isinstance(curve, (str, Path)) else curve for curve in curves]
        for label, curves in groups.items()
    }


def _with_interval(value, low, high, digits=0, longest=np.inf):
    """A number with its interval, if it has one, as text; a number of steps beyond the longest run is not known."""
    value, low, high = (f"> {longest:,.0f}" if each > longest else f"{each:,.{digits}f}" for each in (value, low, high))
    return value if low == "nan" else f"{value} ({low} to {high})"


def _check_label(against, groups):
    if against not in groups:
        raise ValueError(f"against is '{against}': expected the label of a group, {', '.join(groups)}.")


def _label(label, groups):
    """The label, with the number of seeds if the groups have different numbers of them."""
    same = len({len(curves) for curves in groups.values()}) == 1
    return label if same else f"{label} ({_count(len(groups[label]))})"


def _count(seeds):
    return f"{seeds} seed{'s' if seeds > 1 else ''}"


def _title(owner, text, groups):
    """A title with the number of seeds, of axes or, where labels take much of the width, of the whole figure."""
    counts = sorted({len(curves) for curves in groups.values()})
    seeds = f"{counts[0]} to {_count(counts[-1])}" if len(counts) > 1 else _count(counts[0])
    write = owner.set_title if hasattr(owner, "set_title") else owner.suptitle
    write(f"{text} ({seeds}{' each' if len(groups) > 1 else ''})", fontsize=style.MEDIUM, color=style.INK)
