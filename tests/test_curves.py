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


def test_a_short_curve_counts_thousands_of_steps():
    def x_axis(*curves):
        figure = None
        for steps in curves:
            returns = dict.fromkeys(("mean_return", "min_return", "max_return"), np.zeros(len(steps)))
            figure = plot_curve(returns | {"timesteps": np.array(steps)}, figure=figure)
        figure.draw_without_rendering()
        ax = figure.axes[0]
        return ax.get_xlabel(), {label.get_text() for label in ax.get_xticklabels()}

    label, ticks = x_axis([20_000, 40_000, 60_000])
    assert label == "environment steps (thousands)" and {"20", "40", "60"} <= ticks
    for curves in ([200_000, 1_000_000],), ([20_000, 60_000], [200_000, 1_000_000]):
        label, ticks = x_axis(*curves)
        assert label == "environment steps (millions)" and {"0.2", "1.0"} <= ticks


def test_the_legend_lies_on_no_line_of_a_falling_curve():
    curve = {key: np.array([3.0, 2.0, 1.0]) for key in ("mean_return", "min_return", "max_return")}
    figure = plot_curve(curve | {"timesteps": np.array([20_000, 40_000, 60_000])})
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert not ax.get_legend().get_window_extent().overlaps(ax.get_window_extent())
