"""Evaluations in many directions against geometry, with paths that are made up."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn as nn
from helpers import Still, Walk
from PIL import Image

from training.display import progress
from utils import load_policy
from viewing.directions import (
    MISSED_COLOR,
    REACHED_COLOR,
    DirectionEvaluation,
    comparison_table,
    eval_directions,
    plot_directions,
    plot_steps,
)


def cells(line):
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def straight(target, steps=100, share=1.0):
    """A path from the origin, `share` of the way to a target."""
    return np.linspace([0, 0], share * np.asarray(target), steps + 1).astype(np.float32)


def example():
    """Four directions: two reached, after 100 and 200 steps, one fall half way, and one that only followed a square."""
    targets = 10.0 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    corners = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
    square = np.concatenate([np.linspace(a, b, 51) for a, b in itertools.pairwise(corners)])
    paths = [straight(targets[0]), straight(targets[1], 200), straight(targets[2], 50, 0.5), square]
    return DirectionEvaluation(
        targets, paths, np.array([True, True, False, False]), np.array([False, False, True, False]), dt=0.0165
    )


def test_each_quantity_is_computed_from_the_paths():
    result = example()
    np.testing.assert_allclose(result.degrees, [0, 90, 180, 270])
    np.testing.assert_array_equal(result.steps, [100, 200, 50, 203])
    np.testing.assert_allclose(result.nearest, [0, 0, 5, 10], atol=1e-6)
    np.testing.assert_allclose(result.speed[:3], [10 / 1.65, 10 / 3.3, 5 / 0.825])
    np.testing.assert_allclose(result.straightness, [1, 1, 1, 0], atol=1e-6)
    assert result.median_steps == np.inf, "half of the targets were missed, so the median is infinite"
    assert str(result).startswith("2 of 4 targets reached within 1 m, 1 fall; steps to those reached: 100 to 200; ")


def test_a_miss_counts_as_infinite_in_the_median():
    result = example()
    result.reached[:] = [True, True, True, False]  # 100, 200, 50 and never
    assert result.median_steps == 150
    assert "median 150, 50 to 200" in str(result)


@pytest.mark.parametrize("env", ["AntBulletEnv-v0", "MyAntRandomPointsBulletEnv-v0"])
def test_a_policy_that_does_nothing_stays(env):
    """Every direction is in its place, in whichever process it ran."""
    here, shared = (eval_directions(Still(), env, count=5, radius=6.0, max_steps=20, workers=n) for n in (0, 2))
    np.testing.assert_allclose(here.degrees, [0, 72, 144, 216, 288])
    np.testing.assert_allclose(np.hypot(*here.targets.T), 6)
    assert not here.reached.any() and (here.steps == 20).all()
    assert here.nearest.min() > 5 and here.nearest.max() < 7
    for a, b in zip(here.paths, shared.paths, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "0 of 5 targets reached" in str(here)


def test_a_policy_that_remembers_begins_each_episode_anew():
    """Its gait depends on the number of steps that it has done, and so would the paths."""
    runs = [eval_directions(Walk(), count=4, radius=6.0, max_steps=30, workers=n) for n in (0, 2)]
    for a, b in zip(*(run.paths for run in runs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_target_is_reached_where_the_torso_is_within_a_metre():
    result = eval_directions(Still(), count=3, radius=0.9, max_steps=50, workers=0)
    assert result.reached.all() and (result.steps < 5).all()


@pytest.mark.parametrize("wrong, message", [({"count": 0}, "count is 0: expected at least 1"), ({"radius": -1}, "radius is -1"), ({"max_steps": 0}, "max_steps is 0")])  # fmt: skip
def test_bad_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        eval_directions(Still(), **wrong)


def test_an_environment_without_a_walker_is_refused():
    with pytest.raises(ValueError, match="InvertedPendulumBulletEnv-v0 has no walking robot"):
        eval_directions(Still(), "InvertedPendulumBulletEnv-v0", workers=0)


def test_the_figure_has_a_line_for_each_path_and_the_number_reached():
    figure = plot_directions({"one": example(), "other": example()})
    left, right = figure.axes
    assert left.get_title() == "one: 2 of 4" and right.get_title() == "other: 2 of 4"
    paths = [line for line in left.lines if len(line.get_xdata()) > 10]
    assert sorted(line.get_color() for line in paths) == [REACHED_COLOR] * 2 + [MISSED_COLOR] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["reached", "not reached", "fell", "start"]
    assert len(plot_directions(example()).axes) == 1


def test_a_map_marks_each_outcome_at_its_target_so_that_misses_do_not_cover_each_other():
    result = example()
    marks = [
        (line.get_marker(), *line.get_xydata()[0])
        for line in plot_directions(result).axes[0].lines
        if line.get_marker() != "None"
    ]
    expected = [(marker, *target) for marker, target in zip("ooXo", result.targets, strict=True)]
    assert marks[:4] == expected and marks[4] == ("o", 0, 0), "and the start"


def test_a_map_says_how_many_tries_and_which_environment():
    one = example()
    one.env = "AntBulletEnv-v0"
    figure = plot_directions(one)
    assert figure.get_suptitle() == "one try in each direction, targets 10.0 m away\nAntBulletEnv-v0"
    assert "2 of 4 targets reached, at 0, 90 degrees, 1 fall" in figure.alt
    other = example()
    other.env = "MyAntBulletEnv-v0"
    figure = plot_directions({"a": one, "b": other})
    assert [ax.texts[0].get_text() for ax in figure.axes] == [one.env, other.env] and "Env" not in figure.get_suptitle()
    assert eval_directions(Still(), "AntBulletEnv-v0", count=1, max_steps=2, workers=0).env == "AntBulletEnv-v0"


def test_the_legend_fills_the_empty_quarter_of_a_map_of_three():
    figure = plot_directions({name: example() for name in "abc"})
    assert not figure.legends and figure.axes[3].get_legend() and not figure.axes[3].axison
    figure.draw_without_rendering()
    label = figure.axes[0].xaxis.label
    assert not label.get_text() and figure.axes[2].get_xlabel() == "x (m)" and figure.axes[1].get_xlabel() == "x (m)"


def test_the_table_has_a_column_for_each():
    header, line, *rows = map(cells, comparison_table({"one": example(), "other": example()}).splitlines())
    assert header == ["", "one", "other"] and set("".join(line)) == {"-"}
    assert rows[:4] == [
        ["reached within 1 m", "2 of 4", "2 of 4"],
        ["falls", "1", "1"],
        ["steps to reach it, median", "never", "never"],
        ["steps to reach it, slowest", "200", "200"],
    ]


def test_the_polar_plot_has_the_steps_and_a_cross_for_each_miss():
    figure = plot_steps({"one": example(), "other": example()})
    line, missed = figure.axes[0].lines[:2]
    np.testing.assert_allclose(line.get_ydata(), [100, 200, np.nan, np.nan, 100])
    np.testing.assert_allclose(missed.get_xdata(), [np.pi, 1.5 * np.pi])
    ticks = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert ticks and max(text.get_position()[1] for text in ticks) < min(missed.get_ydata()), "no number is under the crosses"
    angle = np.degrees(ticks[0].get_position()[0])
    assert min(abs(angle - degrees) for degrees in (0, 90)) > 12, "and none is on a line, which there is at 0 and 90 degrees"


class OriginalsActor(nn.Module):
    """The shape of the original TD3's actor, whose state dict is what it saves."""

    def __init__(self, hidden=(256, 256)):
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(28, hidden[0]), nn.Linear(hidden[0], hidden[1]), nn.Linear(hidden[1], 8)

    def forward(self, state):
        return torch.tanh(self.l3(torch.relu(self.l2(torch.relu(self.l1(state))))))

    @torch.no_grad()
    def select_action(self, state):
        return self(torch.as_tensor(state, dtype=torch.float32)).numpy()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "the format before torch 1.6"])
def test_a_checkpoint_saved_by_the_original_is_scored_and_drawn(tmp_path, zipped):
    """It has the same paths as the network that saved it, which runs without our loader."""
    torch.manual_seed(0)
    theirs = OriginalsActor()
    torch.save(theirs.state_dict(), tmp_path / "TD3_ant_0_actor", _use_new_zipfile_serialization=zipped)
    ours = load_policy(tmp_path / "TD3_ant_0")
    a, b = (eval_directions(policy, count=3, max_steps=40, workers=0) for policy in (ours, theirs))
    for path_a, path_b in zip(a.paths, b.paths, strict=True):
        np.testing.assert_allclose(path_a, path_b, atol=1e-3)
    assert np.ptp([len(path) for path in a.paths]) or np.abs(a.paths[0][-1] - a.paths[0][0]).max() > 0.01, "it moves"
    assert plot_steps({"a": a, "b": b}).axes and plot_directions(a).axes
    assert cells(comparison_table({"a": a, "b": b}).splitlines()[2])[1:] == ["0 of 3", "0 of 3"]


@pytest.mark.parametrize("content, sentence", [
    (OriginalsActor((400, 300)).state_dict(), "does not fit this agent"),
    ({"policy.0.weight": torch.zeros(3, 3)}, "does not fit this agent"),
    ([1, 2, 3], "does not fit this agent"),
    (OriginalsActor, "is not a checkpoint of weights alone"),
], ids=["other sizes", "other names", "no state dict", "a whole class"])  # fmt: skip
def test_a_foreign_checkpoint_is_refused_in_one_sentence(tmp_path, content, sentence):
    torch.save(content, tmp_path / "foreign_actor")
    with pytest.raises(ValueError, match=sentence) as refused:
        load_policy(tmp_path / "foreign")
    assert "foreign_actor" in str(refused.value) and "\n" not in str(refused.value)


@pytest.fixture
def command_line(root):
    """Runs `python -m viewing.directions ...` with short episodes."""
    short = ["--env", "AntBulletEnv-v0", "--count", "2", "--max-steps", "30"]
    return lambda *words: subprocess.run(
        [sys.executable, "-m", "viewing.directions", *words, *short], cwd=root, capture_output=True, text=True, timeout=120
    )


def test_the_command_line_compares_policies(command_line, tmp_path):
    done = command_line("base_ant_final", "my_ant_final", "--out", str(tmp_path / "steps.png"))
    out = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert out[0].startswith("base_ant_final: 0 of 2 targets reached") and out[3].startswith("my_ant_final: 0 of 2")
    assert [line.split(":")[0].strip() for line in out[1:3]] == ["0 degrees", "180 degrees"]
    assert cells(out[6]) == ["", "base_ant_final", "my_ant_final"] and out[-1] == str(tmp_path / "steps.png")
    with Image.open(out[-1]) as image:
        assert min(image.size) > 500 and len(image.getcolors(1_000_000)) > 10


def test_the_command_line_names_bad_input_in_one_sentence(command_line, tmp_path):
    (tmp_path / "file").write_text("")
    for words, sentence in (
        (["nobody"], "There is no checkpoint 'nobody'"),
        (["base_ant_final", "--out", "steps.txt"], "out is 'steps.txt': expected a name that ends in"),
        (["base_ant_final", "--out", str(tmp_path / "file" / "steps.png")], "cannot be written (its folder is a file)"),
    ):
        done = command_line(*words)
        assert done.returncode == 1 and sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_long_evaluation_shows_its_progress_in_a_terminal_and_leaves_no_trace(monkeypatch, capsys):
    import tqdm.std

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now = iter(range(1000))  # each look at the clock is a second later
    monkeypatch.setattr(tqdm.std, "time", lambda: float(next(now)))
    assert list(progress(iter("abc"), 3, "directions")) == ["a", "b", "c"]
    shown = capsys.readouterr().err
    assert "directions" in shown and "/3" in shown and shown.endswith("\r")
    assert list(progress(iter("ab"), 2, "directions")) == ["a", "b"]


def test_in_a_notebook_a_line_stays_only_if_it_took_long(monkeypatch):
    import IPython.display

    from training import display

    shown, clock = [], iter([0, 0, 1, 3, 3.5, 9])
    line = SimpleNamespace(update=lambda text, raw: shown.append(text["text/plain"]))
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda text, **_: (line.update(text, True), line)[1])
    monkeypatch.setattr(display.time, "perf_counter", lambda: next(clock))
    assert list(progress(range(4), 4, "directions")) == [0, 1, 2, 3]
    assert shown == ["2 of 4 directions", "4 directions in 9 s"]
    clock = iter([0, 0, 1, 1])
    assert list(progress(range(2), 2, "directions")) == [0, 1] and len(shown) == 2
