"""Policies that act in float32 and in float64."""

import numpy as np
import pytest

from benchmarks import rounding
from TD3 import TD3


def test_float32_acts_as_the_policy_does_and_float64_nearly_so():
    states = np.random.default_rng(0).normal(size=(50, 28)).astype(np.float32)
    policy = TD3(28, 8, 1.0)
    expected = [policy.select_action(state) for state in states]
    in_float32 = rounding.Acting(policy, "float32")
    assert np.array_equal([in_float32.select_action(state) for state in states], expected)
    in_float64 = rounding.Acting(policy, "float64")
    actions = [in_float64.select_action(state) for state in states]
    assert actions[0].dtype == np.float32 and not np.array_equal(actions, expected)
    np.testing.assert_allclose(actions, expected, atol=1e-6)


@pytest.mark.slow
def test_in_float64_the_ant_walks_the_same_way_with_every_instruction_set(monkeypatch):
    monkeypatch.delitem(rounding.INSTRUCTIONS, "AVX2")
    rows = rounding.main("base_ant_final", directions=1)
    assert [row[:2] for row in rows] == [(kind, each) for kind in ("float32", "float64") for each in rounding.INSTRUCTIONS]
    assert len({row[3] for row in rows[2:]}) == 1
