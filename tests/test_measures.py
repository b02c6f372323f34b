"""Measures against recordings, and the figures against invented tables."""

import csv

import numpy as np
import pytest
from helpers import Walk

from utils import SCORE_SEED
from viewing.measures import (
    MEASURES,
    by_arm,
    means,
    measure,
    plot_matrix,
    plot_measure,
    plot_tradeoff,
    read_arms,
    read_measures,
)
from viewing.recording import record

ENV = "MyAntNearBulletEnv-v0"


def test_a_measure_is_the_mean_over_episodes():
    runs = [record(Walk(), ENV, SCORE_SEED + k, max_steps=400) for k in range(2)]

    class Each(Walk):
        """Begins anew with each episode."""

        def select_action(self, state):
            if len(self.states) == 400:
                self.states.clear()
            return super().select_action(state)

    found = measure(Each(), ENV, episodes=2, max_steps=400)
    assert found.keys() == MEASURES.keys()
    assert not any(run.fell for run in runs)
    for name, values in {
        "return": [run.total_reward for run in runs],
        "pace": [run.speed for run in runs],
        "last_pace": [np.hypot(*(run.path[-1] - run.path[-304])) / (303 * run.dt) for run in runs],
        "energy": [run.energy for run in runs],
        "cost_of_transport": [sum(run.energy for run in runs) / sum(run.distance * run.mass for run in runs)],
        "away": [np.hypot(*(run.targets[-303:] - run.path[-303:]).T).mean() for run in runs],
        "upright": [1, 1],
        "fell": [0, 0],
        "steps": [400, 400],
    }.items():
        assert found[name] == pytest.approx(np.mean(values), rel=1e-5), name
    with pytest.raises(ValueError, match="episodes is 0: expected at least 1"):
        measure(Walk(), ENV, episodes=0)


@pytest.fixture
def table(tmp_path):
    """Two recipes; the ants of "worlds" were tested in both of their worlds."""
    rows = [
        {"recipe": recipe, "arm": arm, "tested_in": place, "seed": seed} | dict.fromkeys(MEASURES, 10 * (arm == place) + seed)
        for recipe, arms in (("worlds", ("Earth", "Moon")), ("other", ("x",)))
        for arm in arms
        for place in arms
        for seed in range(5)
    ]
    path = tmp_path / "measures.csv"
    with open(path, "w", newline="") as f:
        writer = csv.DictWriter(f, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_is_read_by_recipe(table):
    rows = read_measures(table, "worlds")
    assert len(rows) == 20
    found = by_arm(rows, "pace")
    assert list(found) == ["Earth", "Earth in Moon", "Moon in Earth", "Moon"]
    np.testing.assert_array_equal(found["Moon"], [10, 11, 12, 13, 14])
    with pytest.raises(ValueError, match="recipe is 'cake', which .*: expected one of other, worlds"):
        read_measures(table, "cake")


def test_a_fall_of_one_seed_of_five_is_in_the_table(table):
    rows = [row | {"fell": float(row["seed"] == "3")} for row in read_measures(table, "worlds") if row["tested_in"] == "Moon"]
    found = means(rows, "pace", "fell")
    assert [row["trained in"] for row in found] == ["Earth in Moon", "Moon"]
    assert [row[MEASURES["fell"]] for row in found] == ["0.20", "0.20"]
    assert [row[MEASURES["pace"]] for row in found] == ["2.00", "12.00"]


def test_the_figures_show_the_table(table):
    rows = read_measures(table, "worlds")
    texts = [text.get_text() for text in plot_matrix(rows).axes[0].texts]
    assert texts == ["12.00", "2.00", "2.00", "12.00"]
    labels = [text.get_text() for text in plot_measure(rows, "pace").axes[0].get_yticklabels()]
    assert labels == ["Earth", "Earth in Moon", "Moon in Earth", "Moon"]
    ax = plot_tradeoff([row for row in rows if row["arm"] == row["tested_in"]]).axes[0]
    assert ax.get_xlabel() == "pace (m/s)" and ax.get_ylabel() == "cost of transport (J per m and kg)"
    assert sum(len(line.get_xdata()) == 5 for line in ax.lines) == 2, "the seeds of both arms"
    still = [row | {"pace": 0.01, "cost_of_transport": 900.0} for row in rows if row["arm"] == row["tested_in"] == "Moon"]
    ax = plot_tradeoff([row for row in rows if row["arm"] == row["tested_in"] == "Earth"] + still).axes[0]
    triangles = [line for line in ax.lines if line.get_marker() == "^" and len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in triangles] == [5, 1], "an ant that stands is at the upper edge"
    assert {height for line in triangles for height in line.get_ydata()} == {36.0}, "three times the cost of the other"
    some = plot_matrix([row for row in rows if row["tested_in"] == "Moon"] + rows[:5])
    assert len(some.axes[0].texts) == 3, "an ant that was not tested somewhere has an empty cell"


def test_learning_curves_are_read_by_arm(tmp_path):
    path = tmp_path / "worlds.csv"
    columns = "trial,arm,seed,timesteps,seconds,mean_return,min_return,max_return,mean_length,steps_per_second"
    path.write_text(columns + "".join(f"\n{arm}{seed},{arm},{seed},100,1,{seed},0,9,10,5" for arm in "ab" for seed in (0, 1)))
    arms = read_arms(path)
    assert {arm: [curve["mean_return"].tolist() for curve in curves] for arm, curves in arms.items()} == {
        "a": [[0], [1]],
        "b": [[0], [1]],
    }
