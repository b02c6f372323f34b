"""The learning curve of a run; `viewing.seeds` has those of several seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.curve import read_curve
from viewing import style
from viewing.style import GREY, LINE, OKABE_ITO, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curve(curve: dict[str, np.ndarray] | str | Path, label: str | None = None, figure: "Figure | None" = None) -> "Figure":
    """A learning curve: the mean return of each evaluation, and the range of its episodes.

    Args:
        curve: arrays as in `Result.curve`, or the path of a `results/NAME.csv`.
        label: for the legend.
        figure: the figure of an earlier call, to draw into.

    Returns:
        the Matplotlib figure, which a notebook shows as the value of a cell.
    """
    curve = read_curve(curve) if isinstance(curve, (str, Path)) else curve
    drawn: Any = figure
    if drawn is None:
        drawn, ax = style.figure(6, 3.6)
        ax.set_ylabel("return of an episode")
    ax = drawn.axes[0]
    steps, color = curve["timesteps"] / 1e6, OKABE_ITO[len(ax.lines) % len(OKABE_ITO)]
    marker = "o" if len(steps) < 10 else None
    ax.plot(steps, curve["mean_return"], color=color, linewidth=LINE, marker=marker, label=label or "mean of an evaluation")
    band = None if label else "lowest to highest episode"  # of several curves, the title says it once for all
    ax.fill_between(steps, curve["min_return"], curve["max_return"], color=color, alpha=0.2, linewidth=0, label=band)
    style.steps_axis(ax)
    if label:
        ax.set_title("line: mean of an evaluation; band: its episodes", fontsize=SMALL, color=GREY)
        style.legend(ax, loc="best")
    else:  # above the axes, because inside it would lie on a falling curve
        style.legend(ax, loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, columnspacing=1.2, handlelength=1.2)
    best = np.argmax(curve["mean_return"])
    text = f"{label or 'mean return'}: from {curve['mean_return'][0]:,.0f} to {curve['mean_return'][-1]:,.0f} after "
    text += f"{curve['timesteps'][-1]:,.0f} steps, best {curve['mean_return'][best]:,.0f} after {curve['timesteps'][best]:,.0f}"
    drawn.alt = f"{getattr(drawn, 'alt', 'Learning curve')}; {text}"
    return drawn
