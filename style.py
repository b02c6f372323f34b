"""How every figure of this project looks: white, so that it can be read in light and dark, and large enough for a phone.

    ax = figure(width=6, height=4)[1]
    ax.plot(x, y, color=OKABE_ITO[0])

Matplotlib is imported when the first figure is made, and not before: whoever only wants an animation need not wait for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
"""Colours that colour-blind readers tell apart (Okabe and Ito, 2008)."""

INK, GREY, GRID = "#1E2430", "#5B6472", "#DDDDDD"
"""Of words, of what is beside the point, and of the lines behind it."""

SMALL, MEDIUM, LARGE = 12, 13, 14
"""Points of numbers and legends, of what is written at the axes, and of titles.  On a phone, which shows a figure of 6 inches
about 360 pixels wide, 12 points are 10 pixels high."""

LINE = 2.2
"""Points, the width of a line that matters."""


def figure(width: float = 6.0, height: float = 4.0, rows: int = 1, columns: int = 1, **subplots: Any) -> tuple["Figure", Any]:
    """A white figure with axes of this style, which a notebook shows once: as the value of a cell.

    Args:
        width, height: in inches; more than 6.5 wide, and its words are too small on a phone.
        rows, columns: of axes.
        **subplots: further arguments of `matplotlib.pyplot.subplots`, such as `subplot_kw={"projection": "polar"}`.

    Returns:
        the Matplotlib figure and its axes: one, or an array of them, as `subplots` gives it.
    """
    import matplotlib.pyplot as plt

    made, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", facecolor="white", **subplots)
    plt.close(made)  # or a notebook would show it a second time
    for ax in made.axes:
        tidy(ax)
    return made, axes


def tidy(ax: "Axes") -> None:
    """Gives axes the style: words large enough, a light grid behind what is drawn, no frame at the top and the right."""
    ax.set_facecolor("white")
    ax.grid(color=GRID)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL, colors=INK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=MEDIUM, color=INK)
    for side, spine in ax.spines.items():
        spine.set(color=GREY, visible=side not in ("top", "right"))


def legend(of: "Axes | Figure", **where: Any) -> "Legend":
    """The legend of axes or of a figure: large enough, without a frame.

    Args:
        of: axes or a figure.
        **where: further arguments of its `legend`, such as `loc`.

    Returns:
        the Matplotlib legend.
    """
    return of.legend(**{"fontsize": SMALL, "labelcolor": INK, "frameon": False, **where})
