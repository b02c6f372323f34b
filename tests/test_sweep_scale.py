"""The simulation of large sweeps, against what one can work out by hand."""

import dataclasses

import pytest

from benchmarks.sweep_scale import SETUPS, Setup, draw, simulate

CALM = Setup(machine_hours=1e9)
"""No machine fails."""


def test_few_runs_lose_only_what_their_reports_take():
    found = simulate(dataclasses.replace(CALM, report_seconds=5.0), runs=1)
    assert found["useful"] == pytest.approx(1 - 5 / (5 + 50_000 / 900), abs=0.01)
    assert found["lost"] == 0


@pytest.mark.parametrize("runs", [2000, 4000])
def test_a_busy_storage_lets_each_run_train_one_interval_for_each_of_its_checkpoints(runs):
    found = simulate(CALM, runs, hours=4)
    assert found["storage"] == pytest.approx(1, abs=0.01)
    per_run = runs * 211e6 / 1.25e9  # seconds from one checkpoint of a run to its next
    assert found["useful"] == pytest.approx(180 / per_run, rel=0.15)


def test_a_busy_head_node_takes_its_reports_and_no_more():
    found = simulate(dataclasses.replace(CALM, report_seconds=1.0, storage_rate=1e12), runs=200, hours=4)
    assert found["head"] == pytest.approx(1, abs=0.02)
    assert found["useful"] == pytest.approx((50_000 / 900) / 200, rel=0.1), "200 reports, one a second, for each interval"


def test_a_failure_costs_half_an_interval_and_the_restart():
    setup = Setup(machine_hours=2, storage_rate=1e12, report_seconds=0, restart_seconds=60)
    found = simulate(setup, runs=500, hours=20)
    failures_per_second = 1 / (2 * 3600)
    assert found["lost"] == pytest.approx(90 * failures_per_second, rel=0.15)
    assert found["useful"] == pytest.approx(1 - (90 + 60) * failures_per_second, abs=0.003)


def test_the_figure_has_a_line_for_each_setup(tmp_path):
    rows = [[name, runs, 0.5, 0, 0, 0] for name in SETUPS for runs in (10, 1000)]
    assert draw(rows, tmp_path / "a.png").stat().st_size > 10_000
