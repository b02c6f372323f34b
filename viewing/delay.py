"""A figure of the article: an actor that follows a critic, with and without delay."""

from typing import TYPE_CHECKING

import numpy as np

from viewing import style
from viewing.style import GREY, LINE, OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    return figure
