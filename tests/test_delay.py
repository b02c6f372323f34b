"""The figure of delayed actor updates shows what it is given."""

import numpy as np

from viewing.delay import plot_delay


def test_each_actor_has_its_line_and_the_best_action_is_marked():
    actions = {"at every update": np.array([-1.0, 0.5, 0.1]), "at every second": np.array([-1.0, -1.0, -0.2])}
    (ax,) = plot_delay(actions, best=0.25).axes
    best, *lines = ax.lines
    assert set(best.get_ydata()) == {0.25}
    for line, values in zip(lines, actions.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["the best action", *actions]
