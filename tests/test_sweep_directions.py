"""The ants of a sweep in all directions."""

import csv

import pytest

from benchmarks import sweep_directions
from TD3 import TD3
from training import trials
from viewing.directions import eval_directions

ENV = "MyAntFourFrontsResetTargetBulletEnv-v0"


@pytest.fixture
def folders(tmp_path):
    """A sweep of three seeds, of which two are finished, and the folder of the results."""
    place = tmp_path / "sweeps" / "some"
    for seed in (10, 2, 3):
        models, results = place / f"seed={seed}" / "models" / "run" / "latest_20000", place / f"seed={seed}" / "results"
        models.mkdir(parents=True)
        results.mkdir()
        TD3(28, 8, 1.0).save(models / "latest")
        (results / "run.csv").write_text("timesteps,seconds,mean_return\n10000,1,5\n20000,2,10\n")
        trials.write_state(place / f"seed={seed}", arguments={"env": ENV, "seed": seed}, finished=seed != 3)
    for table in ("evaluations.csv", "trials.csv"):
        (place / table).write_text(table)
    return {"root": tmp_path / "sweeps", "folder": tmp_path / "results"}


def test_each_finished_run_has_a_row_in_the_order_of_the_seeds(folders, monkeypatch, capsys):
    scored = []

    def short(policy, env, *args, **kwargs):
        scored.append(eval_directions(policy, env, *args, max_steps=20, workers=0, **kwargs))
        assert env == "MyAntFourFrontsBulletEnv-v0", "the target stays"
        return scored[-1]

    monkeypatch.setattr(sweep_directions, "eval_directions", short)
    sweep_directions.main(("some",), directions=4, **folders)
    with open(folders["folder"] / "some" / "directions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["seed"], row["timesteps"], row["directions"]) for row in rows] == [
        ("seed=2", "2", "20000", "4"),
        ("seed=10", "10", "20000", "4"),
    ]
    for row, found in zip(rows, scored, strict=True):
        assert (int(row["reached"]), int(row["falls"])) == (found.reached.sum(), found.fell.sum())
        assert float(row["median_steps"]) == found.median_steps and int(row["slowest_steps"]) == found.steps.max()
    for table in ("evaluations.csv", "trials.csv"):
        assert (folders["folder"] / "some" / table).read_text() == table
    assert capsys.readouterr().out.startswith("trial seed=2, ")


def test_a_sweep_that_does_not_exist_is_named_and_nothing_is_written(folders):
    with pytest.raises(ValueError, match="^names is empty"):
        sweep_directions.main((), **folders)
    with pytest.raises(ValueError, match="^There is no finished run in '.*other': expected the name of a sweep in "):
        sweep_directions.main(("other",), **folders)
    assert not folders["folder"].exists()
