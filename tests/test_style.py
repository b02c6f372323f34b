"""The style of all figures: white, with large text and no frame.  Matplotlib is imported with the first of them."""

import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from viewing import style


@pytest.mark.parametrize("projection", [None, "polar"])
def test_a_figure_is_white_and_its_text_is_large_enough_for_a_phone(projection):
    made, ax = style.figure(6, 4, subplot_kw={"projection": projection})
    ax.plot([0, 1], [2, 3], label="a line")
    ax.set(xlabel="x (m)", ylabel="y (m)")
    legend = style.legend(ax, loc="upper left")
    made.canvas.draw()
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label, *legend.get_texts()]
    on_a_phone = 360 / made.get_figwidth() / 72  # pixels a point
    assert min(text.get_fontsize() for text in texts) * on_a_phone >= 9
    assert made.get_facecolor() == ax.get_facecolor() == (1, 1, 1, 1) and not legend.get_frame_on()
    assert not [side for side in ("top", "right") if side in ax.spines and ax.spines[side].get_visible()]


def test_a_figure_is_a_card_with_round_corners_on_any_page():
    """As a notebook stores it, and as a file: white, and transparent at the corners alone.  Also when it is drawn again, although
    Matplotlib then gives the card new bounds."""
    made, ax = style.figure(3, 2)
    ax.plot([0, 1])
    file = io.BytesIO()
    made.savefig(file)
    for stored in (made._repr_mimebundle_()[0]["image/png"], made._repr_mimebundle_()[0]["image/png"], file.getvalue()):
        opacity = np.asarray(Image.open(io.BytesIO(stored)).convert("RGBA"))[..., 3]
        assert [opacity[row, column] for row in (0, -1) for column in (0, -1)] == [0] * 4
        assert (opacity[20:-20] == 255).all() and (opacity[:, 20:-20] == 255).all()


def test_a_notebook_shows_a_figure_once():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    made, axes = style.figure(rows=2, columns=3)
    assert plt.get_fignums() == before and axes.shape == (2, 3) and len(made.axes) == 6


@pytest.mark.parametrize("module", ["animation", "directions", "figures", "curves", "seeds", "steer", "scene3d"])
def test_matplotlib_is_not_imported_before_the_first_figure(module):
    code = f"import sys, viewing.{module}; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "False\n"


def test_a_notebook_stores_what_a_figure_shows_as_alternative_text():
    """Under the key at which nbconvert looks for it."""
    from IPython.core.formatters import DisplayFormatter

    made, (top, bottom) = style.figure(6, 4, rows=2)
    top.plot([1, 2], label="with the term")
    style.legend(top)
    top.set(ylabel="mean return", xlabel="environment\nsteps", title="two seeds")
    bottom.set(xlabel="x (m)")
    data, metadata = DisplayFormatter().format(made)
    text = "Two seeds. Mean return over environment steps. Shown are with the term. X (m)"
    assert data["image/png"] and data["text/plain"] == text and metadata == {"image/png": {"alt": text}}
    made.alt = "An ant"
    assert DisplayFormatter().format(made)[1] == {"image/png": {"alt": "An ant"}}
