"""A policy walks the same way with every instruction set."""

import pytest

from benchmarks import rounding


@pytest.mark.slow
def test_in_float64_the_ant_walks_the_same_way_with_every_instruction_set(monkeypatch):
    monkeypatch.delitem(rounding.INSTRUCTIONS, "AVX2")
    rows = rounding.main("base_ant_final", directions=1)
    assert [row[:2] for row in rows] == [(kind, each) for kind in ("float32", "float64") for each in rounding.INSTRUCTIONS]
    assert len({row[3] for row in rows[2:]}) == 1
    assert rows[0][3] != rows[2][3], "float32 gives other paths than float64"
