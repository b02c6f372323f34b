"""A policy walks the same way with every instruction set, and on every processor of its kind."""

import platform
import sys

import pytest

from benchmarks import rounding

DIGEST = "e8d9ac861cd2"
"""Of the sprinter's positions on its way to one point, from an AMD EPYC (Zen 5)."""


@pytest.mark.slow
def test_in_float64_the_ant_walks_the_same_way_with_every_instruction_set(monkeypatch):
    monkeypatch.delitem(rounding.INSTRUCTIONS, "AVX2")
    rows = rounding.main("base_ant_final", directions=1)
    assert [row[:2] for row in rows] == [(kind, each) for kind in ("float32", "float64") for each in rounding.INSTRUCTIONS]
    assert rows[2][3] == rows[3][3]
    assert rows[0][3] != rows[2][3], "float32 gives other paths than float64"
    if (sys.platform, platform.machine()) == ("linux", "x86_64"):
        assert rows[2][3] == DIGEST
