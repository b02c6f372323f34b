"""The comparison of ants with `angle_progress` and without."""

import csv

import numpy as np
import pytest
from helpers import Still

from benchmarks import angle_progress
from benchmarks.angle_progress import COLUMNS, ENVS, main, outcomes, summary_table
from TD3 import TD3
from training import trials
from viewing.directions import DirectionEvaluation, eval_directions


def to(share, start=(0, 0)):
    """A path of 100 steps, `share` of the way to (10, 0)."""
    return np.linspace(start, np.add(start, share * np.subtract((10, 0), start)), 101)


def test_each_direction_has_one_outcome():
    """A fall is one however near it came; a target that was reached counts as reached, and half of the way is not enough."""
    shares = {
        0.95: "reached",
        0.9: "fell",
        0.2: "fell",
        0.6: "slow",
        0.5: "cannot turn",
        0.0: "cannot turn",
        -1.0: "cannot turn",
    }
    paths = [to(share) for share in shares]
    fell = np.array([False, True, True, False, False, False, False])
    targets = np.tile([10.0, 0.0], (len(paths), 1))
    found = DirectionEvaluation(targets, paths, np.arange(len(paths)) == 0, fell, dt=0.0165)
    assert outcomes(found).tolist() == list(shares.values())


def test_an_ant_without_motors_falls():
    assert outcomes(eval_directions(Still(), count=3, max_steps=20, workers=0)).tolist() == ["fell"] * 3


def rows(**reached):
    """Rows of runs, of which only the directions that were reached differ; all others are missed by a fall."""
    return [
        dict.fromkeys(COLUMNS, 0) | {"term": term, "seed": seed, "directions": 72, "reached": count, "fell": 72 - count}
        for term, counts in reached.items()
        for seed, count in enumerate(counts)
    ]


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_says_how_many_seeds_and_which_is_better():
    header, _, reached, *_, falls, slow, stuck = cells(summary_table(rows(**{"with": (0, 10, 20), "without": (70, 60, 72)})))
    assert header[0].startswith("3 pairs of seeds")
    assert [cell.split()[0] for cell in reached[1:]] == ["10", "67", "0.00"] and reached[3] == "0.00 [0.00, 0.00]"
    assert falls[1:3] == ["186 of 216", "14 of 216"] and slow[1:3] == stuck[1:3] == ["0 of 216"] * 2
    low, high = map(int, reached[1].split("[")[1].strip("]").split(", "))
    assert 0 <= low < 10 < high <= 20


def test_one_pair_has_no_interval():
    header, _, reached, *_ = cells(summary_table(rows(**{"with": (5,), "without": (5,)})))
    assert header[0].startswith("1 pair of seeds") and reached[1:] == ["5 [one seed]", "5 [one seed]", "0.50 [one seed]"]


@pytest.fixture
def trained(tmp_path):
    """A sweep of three seeds that was interrupted when three of six runs were finished, two of them of seed 0."""
    given = {"env": list(ENVS.values()), "seeds": 3, "max_timesteps": 20_000, "symmetries": False}
    _, runs, place = trials.plan(**given, name="angle_progress", root=tmp_path / "sweeps")
    for run in runs:
        if (run.varied["env"], run.varied["seed"]) not in [(ENVS["with"], 0), (ENVS["without"], 0), (ENVS["with"], 1)]:
            continue
        models, results = place / run.name / "models" / "run" / "latest_20000", place / run.name / "results"
        models.mkdir(parents=True)
        results.mkdir()
        TD3(28, 8, 1.0).save(models / "latest")
        (results / "run.csv").write_text("timesteps,seconds,mean_return\n10000,1,5\n20000,2,10\n")
        trials.write_state(place / run.name, arguments=run.arguments, until_return=None, finished=True)
    return {"seeds": 3, "max_timesteps": 20_000, "root": tmp_path / "sweeps", "folder": tmp_path / "results"}


def test_the_pairs_that_are_finished_are_scored(trained, capsys, monkeypatch):
    short = lambda *args, **kwargs: eval_directions(*args, max_steps=20, workers=0, **kwargs)  # noqa: E731
    monkeypatch.setattr(angle_progress, "eval_directions", short)
    trained["folder"].mkdir()
    (trained["folder"] / "with_seed9.csv").write_text("of an earlier run")
    main(directions=4, score_only=True, **trained)
    assert "1 of 3 pairs of seeds are finished." in capsys.readouterr().out
    names = ["directions.csv", "summary.md", "with_seed0.csv", "without_seed0.csv"]
    assert sorted(path.name for path in trained["folder"].iterdir()) == names
    with open(trained["folder"] / "directions.csv", encoding="utf-8") as f:
        table = list(csv.DictReader(f))
    assert [(row["term"], row["seed"], row["last_three"], row["area_under_curve"]) for row in table] == [
        ("with", "0", "7.5", "7.5"),
        ("without", "0", "7.5", "7.5"),
    ]
    assert all(sum(int(row[name]) for name in COLUMNS[3:7]) == 4 == int(row["directions"]) for row in table)
    assert (trained["folder"] / "summary.md").read_text().startswith("| 1 pair of seeds")


def test_without_a_finished_pair_nothing_is_written(tmp_path):
    with pytest.raises(RuntimeError, match="^No pair of runs in '.*' is finished: "):
        main(score_only=True, root=tmp_path / "sweeps", folder=tmp_path / "results")
    assert list(tmp_path.iterdir()) == []
