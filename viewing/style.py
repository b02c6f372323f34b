"""The look of all figures and scenes: colours, sizes of text, and axes.

    figure, ax = style.figure(width=6, height=4)
    ax.plot(x, y, color=OKABE_ITO[0])

A figure is a white card with round corners, and their outside is transparent: on a light page the card does not show, on a dark
one it looks meant.  Without the card, text and lines would need colours that are faint on both.  Text is large enough for a phone.
Matplotlib is imported with the first figure, because an animation does not need it.
"""

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# --- the ant and its surroundings, in red, green and blue from 0 to 255 ----------------------------------------------------

SKY, LIGHT_TILE, DARK_TILE = (236, 243, 249), (222, 230, 236), (190, 204, 216)
TORSO, FRONT_LEG, HIND_LEG = (62, 70, 92), (240, 165, 40), (205, 85, 25)
TERRAIN = (150, 168, 145)
TRAIL, TARGET = (0, 114, 178), (0, 140, 105)

FRONT_LEGS = ("front_left_leg", "aux_1", "front_left_foot", "right_back_leg", "aux_4", "right_back_foot")
"""Links on the ant's +x side, which is ahead of the stock ant.  Upstream calls some of them "back"."""


def link_color(number: int, name: str) -> tuple[int, int, int]:
    """The colour of a link: the torso dark, the front legs yellow, the hind legs orange.

    Args:
        number: index of the link, 0 for the base.
        name: name of the link.
    """
    return TORSO if number == 0 else FRONT_LEG if name in FRONT_LEGS else HIND_LEG


# --- figures ---------------------------------------------------------------------------------------------------------------

OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
"""Colours that colour-blind readers can tell apart (Okabe and Ito, 2008)."""

INK, GREY, GRID = "#1E2430", "#5B6472", "#DDDDDD"
"""Colours of text, of secondary lines, and of the grid."""

SMALL, MEDIUM, LARGE = 12, 13, 14
"""Font sizes in points: of numbers and legends, of axis labels, and of titles.  On a phone, where a figure of 6 inches is about
360 pixels wide, 12 points are 10 pixels."""

LINE = 2.2
"""Width of a main line, in points."""

CORNER, MARGIN = 0.1, 0.1
"""Radius of a figure's corners, and its margin, in inches."""


def describe(figure: "Figure") -> str:
    """What a figure shows, for readers who cannot see it: its attribute `alt`, or the titles, labels and legends in it."""
    if alt := getattr(figure, "alt", ""):
        return alt

    def shown(legend):
        return "Shown are " + ", ".join(text.get_text() for text in legend.get_texts()) if legend else ""

    parts = [figure.get_suptitle()]
    for ax in figure.axes:
        x, y = ax.get_xlabel(), ax.get_ylabel()
        parts += [ax.get_title(), ax.get_title(loc="left"), f"{y} over {x}" if x and y else x or y, shown(ax.get_legend())]
    parts += map(shown, figure.legends)
    sentences = dict.fromkeys(" ".join(part.split()) for part in parts if part.strip())  # each once, in this order
    return ". ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def mimebundle(figure: "Figure", include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A figure as a notebook shows it, with its description as alternative text (`_repr_mimebundle_` of IPython)."""
    from IPython.core.pylabtools import print_figure

    alt = describe(figure)
    png = print_figure(figure)  # where Matplotlib's inline backend is active, it does the same
    return {"image/png": png, "text/plain": alt}, {"image/png": {"alt": alt}}


@functools.cache
def figure_class() -> type["Figure"]:
    """Matplotlib's figure with `mimebundle`, made with the first figure."""
    from matplotlib.figure import Figure

    return type("DescribedFigure", (Figure,), {"_repr_mimebundle_": mimebundle})


def figure(width: float = 6.0, height: float = 4.0, rows: int = 1, columns: int = 1, **subplots: Any) -> tuple[Any, Any]:
    """A white card with axes in this style.  A notebook shows it once, as the value of a cell.

    Args:
        width, height: in inches.  Text is too small on a phone if the figure is wider than 6.5.
        rows, columns: numbers of axes.
        **subplots: for `matplotlib.pyplot.subplots`, such as `subplot_kw={"projection": "polar"}`.

    Returns:
        the Matplotlib figure, whose attribute `alt` is for a description, and its axes, one or an array as from `subplots`.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    made: Any
    made, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", facecolor="white", FigureClass=figure_class(), **subplots
    )
    plt.close(made)  # otherwise a notebook shows it a second time
    made.get_layout_engine().set(w_pad=MARGIN, h_pad=MARGIN)
    # In the figure's coordinates, because Matplotlib resets the card to (0, 0, 1, 1) when a figure was saved with a tight box.
    corner = f"round,pad=0,rounding_size={CORNER / width}"
    made.patch = FancyBboxPatch(
        (0, 0), 1, 1, corner, fc="white", ec="none", mutation_aspect=width / height, transform=made.transFigure
    )
    for ax in made.axes:
        style_axes(ax)
    return made, axes


def style_axes(ax: "Axes") -> None:
    """Gives axes large text, a light grid behind the data, and no frame at the top and on the right."""
    ax.set_facecolor("white")
    ax.grid(color=GRID)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL, colors=INK)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(fontsize=MEDIUM, color=INK)
    for side, spine in ax.spines.items():
        spine.set(color=GREY, visible=side not in ("top", "right"))


def steps_axis(ax: "Axes") -> None:
    """Labels an x axis of environment steps, whose data are in millions: in thousands if it ends before 100,000.

    To be called after each line that is drawn, because a later line may be longer.
    """
    from matplotlib.ticker import ScalarFormatter

    short = ax.get_xlim()[1] < 0.1
    ax.xaxis.set_major_formatter((lambda millions, _: f"{1000 * millions:g}") if short else ScalarFormatter())
    ax.set_xlabel(f"environment steps ({'thousands' if short else 'millions'})")


def legend(owner: "Axes | Figure", **options: Any) -> "Legend":
    """Adds a legend with large text and without a frame.

    Args:
        owner: axes or a figure.
        **options: for its `legend` method, such as `loc`.

    Returns:
        the Matplotlib legend.
    """
    return owner.legend(**{"fontsize": SMALL, "labelcolor": INK, "frameon": False, **options})
