"""Statistics over seeds, against independent computations, and their figures."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.curve import CURVE_COLUMNS, append_row, solved_row, summarize
from viewing.seeds import (
    at_common_steps,
    bootstrap_interval,
    compare,
    improvement,
    iqm,
    median_steps,
    plot_improvement,
    plot_scores,
    plot_seeds,
    plot_solved,
    probability_of_improvement,
    read_groups,
    scores,
    solved_fraction,
)

RETURNS = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


def curve(returns, every=100):
    steps = every * np.arange(1, len(returns) + 1.0)
    return {"timesteps": steps, "seconds": steps / 10, "mean_return": np.array(returns, float)}


def first_two_in_a_row(returns, threshold):
    """The index of the second of two values in a row, found by walking along."""
    for k in range(1, len(returns)):
        if returns[k] >= threshold and returns[k - 1] >= threshold:
            return k
    return None


@settings(deadline=None)
@given(RETURNS, st.integers(-5, 5))
def test_solved_means_two_evaluations_in_a_row(returns, threshold):
    assert solved_row(curve(returns), threshold) == first_two_in_a_row(returns, threshold)


def test_one_evaluation_above_the_threshold_is_luck():
    """The next evaluations of five real runs after the first one above 2,500."""
    assert [solved_row(curve([0, 2510, after]), 2500) for after in (2536, 2596, 2434, 2475, 1355)] == [2, 2, None, None, None]


@settings(deadline=None)
@given(RETURNS, st.integers(-5, 5))
def test_the_summary_of_a_run(returns, threshold):
    found, row = summarize(curve(returns), threshold), first_two_in_a_row(returns, threshold)
    assert found["best"] == max(returns) and found["timesteps"] == 100 * len(returns)
    assert found["last_three"] == pytest.approx(sum(returns[-3:]) / len(returns[-3:]), abs=0.06)
    pairs = list(itertools.pairwise(returns)) or [(returns[0], returns[0])]
    assert found["area_under_curve"] == pytest.approx(sum((a + b) / 2 for a, b in pairs) / len(pairs), abs=0.06)
    assert found["solved"] is (row is not None)
    assert found["steps_to_threshold"] == (None if row is None else 100 * (row + 1))
    assert found["minutes_to_threshold"] == (None if row is None else pytest.approx(10 * (row + 1) / 60, abs=0.006))


def test_the_summary_without_threshold_and_without_evaluations():
    assert summarize(curve([1, 2]))["solved"] is None
    empty = summarize({}, 5)
    assert empty["timesteps"] == 0 and empty["best"] is None and empty["steps_to_threshold"] is None


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=13))
def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side(values):
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    assert iqm(np.array(values)) == pytest.approx(sum(kept) / len(kept), abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_the_probability_of_improvement_counts_pairs(a, b):
    wins = sum(1.0 if x > y else 0.5 if x == y else 0.0 for x, y in itertools.product(a, b))
    assert probability_of_improvement(np.array(a), np.array(b)) == pytest.approx(wins / (len(a) * len(b)))


def test_the_bootstrap_interval_is_that_of_resampled_seeds():
    """Against a loop over resamples; and one seed has no interval."""
    rng = np.random.default_rng(1)
    sample = rng.normal(size=10)
    means = np.sort([iqm(rng.choice(sample, 10)) for _ in range(20_000)])
    low, high = bootstrap_interval(iqm, sample, n_resamples=20_000)
    assert [low, high] == pytest.approx([means[500], means[19_500]], abs=0.03)
    assert np.isnan(bootstrap_interval(iqm, np.array([[1.0], [2.0]]))).all()


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    """Means of 30 normal values, 300 times: 95 % of the intervals, give or take sampling and the small sample."""
    samples = np.random.default_rng(0).normal(3, 1, (300, 30))
    low, high = bootstrap_interval(np.mean, samples, n_resamples=500)
    assert 0.90 <= ((low <= 3) & (high >= 3)).mean() <= 0.985


def kaplan_meier(curves, threshold, at):
    """The estimator by its formula: one minus the product of the fractions of runs at risk that stay unsolved."""
    runs = [(c["timesteps"][-1 if (row := solved_row(c, threshold)) is None else row], row is not None) for c in curves]
    unsolved = 1.0
    for time in sorted({time for time, solved in runs if solved and time <= at}):
        at_risk = sum(end >= time for end, _ in runs)
        unsolved *= 1 - sum(end == time and solved for end, solved in runs) / at_risk
    return 1 - unsolved


@settings(deadline=None)
@given(st.lists(RETURNS, min_size=1, max_size=6), st.integers(-5, 5))
def test_the_solved_fraction_is_the_estimator_of_kaplan_and_meier(all_returns, threshold):
    curves = [curve(returns) for returns in all_returns]
    steps, fraction, low, high = solved_fraction(curves, threshold)
    assert steps[0] == fraction[0] == 0 and steps[-1] == max(c["timesteps"][-1] for c in curves)
    for at, value in zip(steps, fraction, strict=True):
        assert value == pytest.approx(kaplan_meier(curves, threshold, at))
    assert ((low <= fraction + 1e-9) & (fraction <= high + 1e-9) & (low >= 0) & (high <= 1)).all()


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_without_shorter_runs_the_solved_fraction_is_the_plain_one(solved):
    """Runs of equal length that never got there count in the denominator to the end."""
    curves = [curve([0, 9, 9, 0] if each else [0, 9, 0, 9]) for each in solved]
    assert solved_fraction(curves, 9)[1][-1] == pytest.approx(sum(solved) / len(solved))


@settings(deadline=None)
@given(st.lists(RETURNS, min_size=1, max_size=6), st.integers(-5, 5))
def test_the_median_of_the_steps_is_where_half_of_the_runs_are_solved(all_returns, threshold):
    curves = [curve(returns) for returns in all_returns]
    median, low, high = median_steps(curves, threshold)
    ends = sorted({100 * k for returns in all_returns for k in range(len(returns) + 1)})
    assert median == next((at for at in ends if kaplan_meier(curves, threshold, at) >= 0.5 - 1e-9), np.inf)
    assert 200 <= low <= median <= high, "no run is solved before its second evaluation"


def test_the_interval_of_the_median_covers_the_truth_about_as_often_as_it_says():
    """Groups of 12 runs, each solved after 2 to 41 evaluations with equal chances, and cut after 30."""
    rng, covered = np.random.default_rng(0), []
    for _ in range(300):
        curves = [curve((np.arange(1, 31) >= solved - 1).astype(float)) for solved in rng.integers(2, 42, 12)]
        _, low, high = median_steps(curves, 1)
        covered.append(low <= 2150 and high >= 2100)
    assert np.mean(covered) >= 0.93


def test_the_p_value_is_the_share_of_relabellings_that_differ_as_much():
    """Against all ways of dividing the runs of both groups."""
    rng = np.random.default_rng(2)
    values = [*rng.normal(0, 1, 4), *rng.normal(1, 1, 6)]
    a, b = ([curve([1000 * value]) for value in each] for each in (values[:4], values[4:]))

    def distance(chosen):
        rest = [value for k, value in enumerate(values) if k not in chosen]
        pairs = itertools.product([values[k] for k in chosen], rest)
        return abs(np.mean([x > y for x, y in pairs]) - 0.5)

    divided = [distance(chosen) for chosen in itertools.combinations(range(10), 4)]
    chance, low, high, p = improvement(a, b)
    assert abs(chance - 0.5) == pytest.approx(distance(range(4))) and low <= chance <= high
    assert p == pytest.approx(np.mean(np.array(divided) >= distance(range(4)) - 1e-9))
    assert improvement(b, a)[0] == pytest.approx(1 - chance)


def test_the_table_has_a_row_for_each_group_and_unsolved_runs_count():
    groups = {"default": [curve([0, 5, 5, k]) for k in range(4)], "worse": [curve([0, 0, 0, -k]) for k in range(1, 4)]}
    first, second = compare(groups, "default", 5, "area_under_curve")
    assert first == {"": "default", "seeds": "4", "solved": "4 of 4", "steps to 5": "300 (300 to > 400)",
                     "last three": "4 (3 to 4)", "area under the curve": "4 (3 to 4)"}  # fmt: skip
    assert (second["solved"], second["steps to 5"]) == ("0 of 3", "> 400")
    assert second["better than default"] == "0.00 (0.00 to 0.00)"
    assert float(second["p"]) == pytest.approx(2 / 35, abs=0.001), "2 of the 35 ways of dividing seven runs"
    half = compare({"default": [curve([0, 5, 5]), curve([0, 5, 0])], "one": [curve([0, 5, 5])]}, "default", 5)
    assert half[0]["solved"] == "1 of 2" and half[0]["steps to 5"].startswith("300 (")
    assert half[1]["last three"] == "3" and half[1]["better than default"] == "0.75", "one seed has no interval"


def test_a_run_that_ended_keeps_its_last_return():
    """Dropped instead, the mean of the others would fall at the moment when the best run is solved."""
    steps, returns = at_common_steps([curve([1, 9]), curve([2, 3, 4, 5])])
    np.testing.assert_array_equal(steps, [100, 200, 300, 400])
    np.testing.assert_array_equal(returns.T, [[1, 9, 9, 9], [2, 3, 4, 5]])


def test_runs_evaluated_at_other_steps_are_interpolated():
    steps, returns = at_common_steps([curve([0, 10], every=100), curve([0, 30, 60], every=50)])
    np.testing.assert_array_equal(steps, [100, 150, 200])
    np.testing.assert_allclose(returns.T, [[0, 5, 10], [30, 60, 60]])


def test_scores_of_unsolved_runs_are_infinite():
    np.testing.assert_array_equal(scores([curve([0, 5, 5]), curve([0, 5])], "steps_to_threshold", 5), [300, np.inf])


def write_evaluations(path):
    """A table of a sweep with two arguments, two values of tau and three seeds."""
    append_row(path, ["trial", "tau", "lr", "seed", *CURVE_COLUMNS])
    for tau, seed, k in itertools.product((0.005, 0.01), range(3), range(1, 4)):
        append_row(path, [f"tau={tau}_seed={seed}", tau, 1e-4, seed, 100 * k, k, 1000 * tau * k + seed, 0, 0, 0, 0])


def test_a_table_is_read_in_groups(tmp_path):
    path = tmp_path / "evaluations.csv"
    write_evaluations(path)
    groups = read_groups(path, by="tau")
    assert list(groups) == ["tau=0.005", "tau=0.01"] and [len(curves) for curves in groups.values()] == [3, 3]
    np.testing.assert_allclose(groups["tau=0.01"][2]["mean_return"], [12, 22, 32])
    assert list(read_groups(path, by=["tau", "lr"])) == ["tau=0.005, lr=0.0001", "tau=0.01, lr=0.0001"]
    for curve_ in read_groups(path, max_timesteps=200)[""]:
        assert list(curve_["timesteps"]) == [100, 200], "longer runs are cut to the length of shorter ones"
    everything = read_groups(path, label="all") | read_groups(path, by="tau", label="again")
    assert {label: len(curves) for label, curves in everything.items()} == {
        "all": 6,
        "again, tau=0.005": 3,
        "again, tau=0.01": 3,
    }
    with pytest.raises(ValueError, match="has no column 'batch_size': expected one of trial, tau, lr, seed, timesteps"):
        read_groups(path, by="batch_size")


@pytest.mark.parametrize("count", [2, 10])
def test_each_of_a_few_seeds_is_drawn_and_their_number_is_in_the_title(count, tmp_path):
    """Curves may be files; of ten seeds or more only the interquartile mean is drawn."""
    paths = []
    for seed in range(count):
        paths.append(tmp_path / f"{seed}.csv")
        append_row(paths[-1], ["timesteps", "mean_return"])
        for k in (1, 2):
            append_row(paths[-1], [1_000_000 * k, seed + k])
    figure = plot_seeds({"a": paths, "b": [curve([0, 1])]}, threshold=1)
    ax = figure.axes[0]
    assert ax.get_title() == f"Interquartile mean and 95 % interval (1 to {count} seeds each)"
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert ([0.0 + 1, 0.0 + 2] in drawn) == (count < 10)
    for each in (True, False):
        drawn_now = [list(line.get_ydata()) for line in plot_seeds({"a": paths}, each=each).axes[0].lines]
        assert ([0.0 + 1, 0.0 + 2] in drawn_now) is each
    middle = {2: 0.5, 10: 4.5}[count]
    assert [middle + 1, middle + 2] in drawn
    (legend,) = figure.legends  # below the axes, where it lies on no line
    thin = ["a single run"] if count < 10 else []
    assert [text.get_text() for text in legend.get_texts()] == [f"a ({count} seeds)", "b (1 seed)", *thin, "threshold, 1"]
    assert f"of {count + 1} runs" in figure.alt and f"a, {middle + 2:,.0f} after 2,000,000 steps" in figure.alt


def test_the_solved_fraction_is_drawn_to_the_end_with_the_unsolved_runs_marked():
    groups = {"quick": [curve([5, 5])] * 3, "slow": [curve([0, 0, 5, 5]), curve([0, 0, 0, 0])]}
    ax = plot_solved(groups, 5).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    quick, slow = lines["quick (3 seeds)"], lines["slow (2 seeds)"]
    assert quick.get_xydata()[-1].tolist() == [424 / 1e6, 1], "all are solved, and stay so"
    assert slow.get_xydata()[-1].tolist() == [424 / 1e6, 0.5]
    assert quick.get_linewidth() > slow.get_linewidth(), "a line under one that equals it is seen"
    marks = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() == "|"]
    assert marks == [[], [[424 / 1e6, 0.5]], []], "the last one is for the legend"
    assert ax.get_xlim()[0] == 100 / 1e6, "the first evaluation"
    assert "quick, 3 of 3; slow, 1 of 2" in ax.figure.alt
    assert "2 to 3 seeds each" in ax.get_title()


def test_scores_and_pairs_are_drawn():
    groups = {"a": [curve([0, k]) for k in range(4)], "b": [curve([0, 10 + k]) for k in range(4)]}
    ax = plot_scores(groups).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"] and "4 seeds each" in ax.figure.get_suptitle()
    assert "last three evaluations: a, 0.75 (0.00 to 1.50); b, 5.75 (5.00 to 6.50)." in ax.figure.alt
    assert sorted(ax.lines[2].get_xdata()) == pytest.approx([0, 0.5, 1, 1.5])
    ax = plot_improvement(groups).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a\nbetter than b"]
    assert ax.lines[1].get_xdata()[0] == 0, "no run of a is better than any of b"
    three = groups | {"c": [curve([0, 1])]}
    pairs = [label.get_text() for label in plot_improvement(three, against="b").axes[0].get_yticklabels()]
    assert pairs == ["a (4 seeds)\nbetter than b (4 seeds)", "c (1 seed)\nbetter than b (4 seeds)"]
    sooner = plot_improvement({"a": [curve([5, 5])] * 2, "b": [curve([0, 5, 5])] * 2}, "steps_to_threshold", 5)
    assert sooner.axes[0].lines[1].get_xdata()[0] == 1, "fewer steps are better"


def test_what_cannot_be_drawn_ends_in_a_sentence():
    with pytest.raises(ValueError, match=r"groups\['none'\] is empty"):
        plot_seeds({"none": []})
    with pytest.raises(ValueError, match="There is one group only, 'a'"):
        plot_improvement({"a": [curve([1])]})
    with pytest.raises(ValueError, match="against is 'c': expected the label of a group, a, b."):
        plot_improvement({"a": [curve([1])], "b": [curve([1])]}, against="c")
    with pytest.raises(ValueError, match="against is 'c': expected the label of a group, a."):
        compare({"a": [curve([1])]}, "c", 5)
    with pytest.raises(ValueError, match="which 1 of 2 runs lack: use plot_solved"):
        plot_scores({"a": [curve([5, 5]), curve([0, 0])]}, "steps_to_threshold", 5)
