"""The speed of sweeps: its figure, and what stops a measurement."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from benchmarks import sweep_speed
from benchmarks.sweep_speed import COLUMNS, RUN_STEPS, draw, main, measure


def a_sweep(monkeypatch, *states, seconds=2.0):
    """Replaces `sweep` by one that has these states in no time, and the clock by one on which it takes so many seconds."""
    given, clock = {}, iter((100.0, 100.0 + seconds))

    def sweep(**arguments):
        given.update(arguments)
        return SimpleNamespace(trials=pa.table({"status": list(states)}))

    monkeypatch.setattr(sweep_speed, "sweep", sweep)
    monkeypatch.setattr(sweep_speed.time, "perf_counter", lambda: next(clock))
    return given


def test_runs_an_hour_follow_from_the_steps_of_all_runs(monkeypatch):
    given = a_sweep(monkeypatch, "finished", "finished", seconds=2.0)
    row = dict(zip(COLUMNS, measure(1, 2, 5_000, tau=0.01), strict=True))
    assert row == {"cpus_per_trial": 1, "concurrent": 2, "steps_per_second": 5_000, "runs_per_hour": 3600 * 5_000 / RUN_STEPS}
    assert given.pop("root") and given == {
        "seeds": 2,
        "concurrent": 2,
        "cpus_per_trial": 1,
        "max_timesteps": 5_000,
        "tau": 0.01,
    }


@pytest.mark.parametrize("state", ["failed", "unfinished"])
def test_a_run_that_did_not_finish_is_no_measurement(state, monkeypatch):
    a_sweep(monkeypatch, "finished", state)
    with pytest.raises(RuntimeError, match=f"^Nothing was written, because of 2 runs some are {state}\\.$"):
        measure(1, 2, 5_000)


def test_from_one_run_to_as_many_as_there_are_cores(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(sweep_speed, "measure", lambda cpus, n, steps: measured.append((cpus, n, steps)) or [cpus, n, 1, 2])
    monkeypatch.setattr(sweep_speed.os, "cpu_count", lambda: 6)
    main(force=True, steps=7, folder=tmp_path)
    assert measured == [(1, 1, 7), (1, 2, 7), (1, 4, 7), (1, 6, 7), (2, 1, 7), (2, 2, 7)]
    assert (tmp_path / "sweep_speed.csv").read_text().splitlines()[:2] == [",".join(COLUMNS), "1,1,1,2"]
    assert (tmp_path / "sweep_speed.png").stat().st_size > 10_000


def test_the_figure_has_a_line_for_each_number_of_cpus(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda figure, path: lines.extend(line.get_label() for line in figure.axes[0].lines)
    )
    draw([[1, 1, 900, 5], [1, 2, 1800, 11], [2, 1, 1500, 9]], tmp_path / "a.png")
    assert lines == ["1 CPU a run", "2 CPUs a run"]
