"""Learning curves are drawn from their files."""

import numpy as np
import pytest

from viewing.curves import plot_curve, plot_seeds


def test_plot_curve_draws_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text("timesteps,seconds,mean_return,min_return,max_return\n1e6,1,10,5,20\n2e6,2,30,25,40\n")
    figure = plot_curve(tmp_path / "a.csv", "one")
    figure = plot_curve(tmp_path / "a.csv", "two", figure)
    lines = figure.axes[0].lines
    assert len(lines) == 2 and lines[0].get_color() != lines[1].get_color()
    np.testing.assert_allclose(lines[0].get_xydata(), [[1, 10], [2, 30]])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} == {(1, 5), (1, 20), (2, 25), (2, 40)}


def test_seeds_are_drawn_each_and_as_their_mean(tmp_path):
    """The mean ends where the shortest run ends."""
    for name, returns in {"a0": [0, 10, 20], "a1": [20, 30], "b0": [5, 5, 5]}.items():
        rows = [f"{1_000_000 * (k + 1)},{value}" for k, value in enumerate(returns)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["timesteps,mean_return", *rows]) + "\n")
    groups = {"with": sorted(tmp_path.glob("a*.csv")), "without": sorted(tmp_path.glob("b*.csv"))}
    lines = plot_seeds(groups).axes[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [[0, 10, 20], [20, 30], [10, 20], [5, 5, 5], [5, 5, 5]]
    assert lines[2].get_xdata().tolist() == [1, 2] and lines[2].get_linewidth() > lines[0].get_linewidth()
    with pytest.raises(ValueError, match=r"groups\['none'\] is empty"):
        plot_seeds({"none": []})
