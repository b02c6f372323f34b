"""Learning curves are drawn from their files."""

import numpy as np

from viewing.curves import plot_curve


def test_plot_curve_draws_a_csv(tmp_path):
    (tmp_path / "a.csv").write_text("timesteps,seconds,mean_return,min_return,max_return\n1e6,1,10,5,20\n2e6,2,30,25,40\n")
    figure = plot_curve(tmp_path / "a.csv", "one")
    figure = plot_curve(tmp_path / "a.csv", "two", figure)
    lines = figure.axes[0].lines
    assert len(lines) == 2 and lines[0].get_color() != lines[1].get_color()
    np.testing.assert_allclose(lines[0].get_xydata(), [[1, 10], [2, 30]])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} == {(1, 5), (1, 20), (2, 25), (2, 40)}
