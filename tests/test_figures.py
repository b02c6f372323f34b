"""The figures show what they are given: classes, sums, angles, paths."""

import itertools

import numpy as np
import pytest
from helpers import Still, Walk
from pybullet_envs_gymnasium.gym_locomotion_envs import WalkerBaseBulletEnv
from pybullet_envs_gymnasium.robot_locomotors import WalkerBase

import override_ant_random_points
from override_ant import MyAnt, MyAntBulletEnv, MyWalkerBase
from viewing.figures import (
    plot_angle_term,
    plot_classes,
    plot_delay,
    plot_estimates,
    plot_losses,
    plot_paths,
    plot_smoothing,
    plot_target_networks,
    plot_targets,
    plot_terms,
    plot_to_go,
)
from viewing.recording import random_path, record


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_class_diagram_is_read_from_the_classes():
    shown = texts(plot_classes(MyAntBulletEnv, MyAnt))
    for cls in (MyAntBulletEnv, WalkerBaseBulletEnv, MyAnt, MyWalkerBase, WalkerBase):
        assert shown.count(cls.__name__) == 1
    methods = " ".join(shown)
    assert "alive_bonus" in methods and "set_target" in methods and "BatchedWalker" not in methods
    assert shown.index("Env") < shown.index("WalkerBaseBulletEnv") < shown.index("MyAntBulletEnv"), "base classes first"


def test_a_class_of_a_notebook_is_in_the_class_diagram():
    class Crab(override_ant_random_points.MyAntBulletEnv):
        def reward_terms(self, action, state):
            return {}

    Crab.__module__ = "__main__"
    shown = texts(plot_classes(Crab, MyAnt))
    assert shown[shown.index("Crab") + 1] == "reward_terms" and shown.count("MyAntBulletEnv") == 2
    modules = [shown[k + 1].splitlines()[0] for k, text in enumerate(shown) if text == "MyAntBulletEnv"]
    assert modules == ["override_ant", "override_ant_random_points"], "the names alone would not tell them apart"
    assert "override_ant_random_points.MyAntBulletEnv from override_ant.MyAntBulletEnv" in plot_classes(Crab, MyAnt).alt


def test_terms_are_drawn_with_their_sums():
    run = record(Still(), "MyAntBulletEnv-v0", max_steps=60)
    run.reward_terms["alive"][:] = 2.0
    figure = plot_terms(run, seconds=0.2)
    lines, bars = figure.axes
    names = [text.get_text() for text in lines.get_legend().get_texts()]
    assert names == [name for name, values in run.reward_terms.items() if values.any()] and "feet_collision" not in names
    assert texts(figure)[names.index("alive")] == f"{2 * run.length}"
    np.testing.assert_allclose(lines.lines[names.index("alive")].get_ydata(), 2.0)
    progress = lines.lines[names.index("progress")]
    window = round(0.2 / run.dt)
    assert progress.get_ydata()[0] == pytest.approx(run.reward_terms["progress"][:window].mean())


def test_an_environment_without_terms_is_named():
    run = record(Still(), "AntBulletEnv-v0", max_steps=3)
    with pytest.raises(ValueError, match="AntBulletEnv-v0 gives no reward terms"):
        plot_terms(run)


def test_the_angle_term_is_drawn_with_the_angles_it_was_given():
    figure = plot_angle_term(90.0, 60.0)
    assert {"90°", "60°"} <= set(texts(figure))
    points = [tuple(line.get_xydata()[0]) for line in figure.axes[1].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [(90, 0), (60, 0.5)], atol=1e-9)


def test_targets_are_drawn_at_their_positions():
    targets = np.array([[1.0, 2.0], [-3.0, 4.0]])
    np.testing.assert_array_equal(plot_targets(targets).axes[0].lines[0].get_xydata(), targets)


def test_estimates_are_drawn_as_shares_with_their_mean_and_the_truth():
    rng = np.random.default_rng(0)
    values = {"low": rng.normal(-1, 1, 500), "high": rng.normal(2, 1, 500)}
    for ax, (title, each) in zip(plot_estimates(values, truth=0.5).axes, values.items(), strict=True):
        assert ax.get_title(loc="left") == title
        assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
        assert [line.get_xdata()[0] for line in ax.lines] == [0.5, pytest.approx(each.mean())]
        assert ax.get_legend().get_texts()[1].get_text() == f"mean: {each.mean():+.2f}"


def test_losses_are_drawn_for_each_update_with_their_mean():
    losses = [{"critic_loss": 1.0 + k % 2, "Q": float(k)} for k in range(200)]
    top, bottom = plot_losses(losses, first_step=1_000).axes
    each, mean = (line.get_xydata() for line in top.lines)
    np.testing.assert_array_equal(each[:, 0], 1_000 + np.arange(200))
    np.testing.assert_array_equal(each[:, 1], [loss["critic_loss"] for loss in losses])
    np.testing.assert_allclose(mean, [(1_000 + k, 1.5) for k in range(99, 200)])
    np.testing.assert_array_equal(bottom.lines[0].get_ydata(), np.arange(200))


def test_losses_without_an_update_are_refused():
    with pytest.raises(ValueError, match="losses is empty"):
        plot_losses([])


def test_smoothing_marks_the_best_action_of_each():
    action = np.linspace(-1, 1, 21)
    figure = plot_smoothing(action, -np.abs(action + 0.5), -np.abs(action - 0.3))
    assert texts(figure) == ["best: -0.50", "best: 0.30"]
    marked = [tuple(line.get_xydata()[0]) for line in figure.axes[0].lines if line.get_marker() != "None"]
    np.testing.assert_allclose(marked, [(-0.5, 0), (0.3, 0)], atol=1e-9)


def test_each_actor_has_its_line_and_the_best_action_is_marked():
    actions = {"at every update": np.array([-1.0, 0.5, 0.1]), "at every second": np.array([-1.0, -1.0, -0.2])}
    (ax,) = plot_delay(actions, best=0.25).axes
    best, *lines = ax.lines
    assert set(best.get_ydata()) == {0.25}
    for line, values in zip(lines, actions.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["the best action", *actions]


def test_target_networks_are_drawn_over_the_critic():
    critic, slow = np.array([1.0, 3.0, 2.0]), np.array([0.5, 1.0, 1.2])
    below, above = plot_target_networks(critic, {"slow": slow}).axes[0].lines
    np.testing.assert_array_equal(below.get_xydata(), [[1, 1], [2, 3], [3, 2]])
    np.testing.assert_array_equal(above.get_ydata(), slow)
    assert above.get_zorder() > below.get_zorder()


def test_the_distance_to_the_target_is_drawn_from_start_to_end():
    run = record(Still(), "MyAntBulletEnv-v0", target=(3.0, 4.0), max_steps=20)
    line, end = plot_to_go({"still": run}).axes[0].lines
    assert line.get_xydata()[0] == pytest.approx([0, 5], abs=0.1)
    assert tuple(end.get_xydata()[0]) == pytest.approx((20 * run.dt, run.distance_to_target[-1]))


def test_paths_are_drawn_in_metres_with_their_ends():
    run = record(Walk(), seed=3, max_steps=80, target=(2, 1))
    far = record(Walk(), max_steps=20)
    far.terminated = True
    figure = plot_paths([run, far])
    (axes,) = figure.axes
    lines = axes.get_lines()
    np.testing.assert_array_equal(lines[0].get_xydata(), run.path)
    assert axes.get_aspect() == 1 and "(m)" in axes.get_xlabel() and "(m)" in axes.get_ylabel()
    assert figure.get_facecolor() == axes.get_facecolor() == (1, 1, 1, 1)
    markers = [(line.get_marker(), *line.get_xydata()[-1]) for line in lines if line.get_marker() != "None"]
    assert ("o", *run.path[-1]) in markers and ("X", *far.path[-1]) in markers
    assert figure.alt.startswith("Paths from above: an ant in AntBulletEnv-v0, target (2, 1), ")
    assert [m[1:] for m in markers if m[0] == "*"] == [(2, 1)]  # the stock ant's target is a kilometre away
    assert min(text.get_fontsize() for text in axes.get_legend().get_texts() + axes.get_xticklabels()) >= 11
    assert plot_paths(run, ax=axes) is figure


def test_ants_that_end_at_their_start_are_counted_there():
    runs = [record(Walk(), "MyAntBulletEnv-v0", max_steps=3, target=target) for target in ((-5, 0), (-5, 5), (5, 5))]
    for run, fell in zip(runs, (False, False, True), strict=True):
        run.terminated = fell
    far = record(Walk(), "MyAntBulletEnv-v0", max_steps=3, target=(5, 0))
    far.torso = np.linspace([0, 0, 0.5], [4, 0, 0.5], far.length + 1)
    assert texts(plot_paths([*runs, far])) == ["3 end here"]
    ax = plot_paths([*runs[:2], far]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["2 stay here"] and ax.texts[0].get_ha() == "right"
    markers = [line.get_marker() for line in ax.lines if line.get_marker() in ("o", "X") and line.get_color() != "none"]
    assert markers == ["o"], "the end of the one that left"
    assert texts(plot_paths([runs[2], runs[2], far])) == ["2 fall here"]
    assert texts(plot_paths([runs[0], far])) == [], "one mark covers nothing"


def test_the_points_of_a_path_are_numbered():
    run = record(Walk(), "MyAntBulletEnv-v0", max_steps=200, path=[(0.9, 0), (1.1, 0.1), (9, 0)])
    assert len(run.points) == 3 and texts(plot_paths(run)) == ["1", "2", "3"]


def test_the_numbers_of_a_path_cover_neither_each_other_nor_a_target():
    run = record(Walk(), "MyAntBulletEnv-v0", max_steps=12)
    points = random_path(20).astype(np.float32)
    corners = np.vstack([[0, 0], points])
    legs = [np.linspace(a, b, 40, dtype=np.float32) for a, b in itertools.pairwise(corners)]
    run.torso = np.concatenate([np.pad(leg, ((0, 0), (0, 1))) for leg in legs])
    run.targets = np.repeat(points, 40, axis=0)
    run.rewards = np.zeros(len(run.torso) - 1)
    figure = plot_paths(run)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_text() for text in ax.texts] == [f"{k + 1}" for k in range(20)]
    assert not [1 for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
    stars = ax.transData.transform(points)
    assert not [1 for box in boxes for star in stars if box.contains(*star)]
    assert run.points_reached == 20 and "reaches 20 of 20 points" in figure.alt


def test_a_map_of_one_path_has_no_empty_half():
    run = record(Walk(), max_steps=20)
    run.torso = np.linspace([0, 0, 0.5], [70, 2, 0.5], run.length + 1)
    figure = plot_paths(run)
    assert figure.get_figheight() < 0.5 * figure.get_figwidth()


def test_a_target_that_was_not_reached_is_hollow():
    missed, hit = (record(Walk(), "MyAntBulletEnv-v0", max_steps=3, target=target) for target in ((5, 5), (0.5, 0)))
    figure = plot_paths([missed, hit])
    fills = [line.get_color() == "white" for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert fills == [True, False]
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["start", "end", "target not reached", "target reached"]


def test_every_figure_describes_itself():
    run = record(Still(), "MyAntBulletEnv-v0", target=(3.0, 4.0), max_steps=20)
    assert (
        "the robot" in plot_classes(MyAntBulletEnv, MyAnt).alt.lower()
        and "from MyWalkerBase" in plot_classes(MyAntBulletEnv, MyAnt).alt
    )
    assert f"alive {run.reward_terms['alive'].sum():,.0f}" in plot_terms(run, seconds=0.1).alt
    assert plot_targets([[3, 4], [0, 10]]).alt == "2 targets from above, 5.0 to 10.0 m from the ant, which looks to the right."
    assert "from 0.00 to 0.50" in plot_angle_term(90, 60).alt
    assert "low, mean +1.00" in plot_estimates({"low": np.array([0.0, 2.0])}).alt
    action = np.linspace(-1, 1, 21)
    assert "-0.50 for the critic" in plot_smoothing(action, -np.abs(action + 0.5), -np.abs(action - 0.3)).alt
    assert "3 updates" in plot_target_networks(np.array([1.0, 3.0, 2.0]), {"slow": np.array([0.5, 1.0, 1.2])}).alt
    assert f"still, {run.distance_to_target[-1]:.1f} m after 0.3 s" in plot_to_go({"still": run}).alt
