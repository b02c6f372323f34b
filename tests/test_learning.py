"""The learning curves of the benchmark."""

import math

import numpy as np
import pytest
import torch

from benchmarks.learning import best_until, learning_rows, minutes_to, train_ant
from benchmarks.process import measure
from benchmarks.same_result import learn_pendulum, read_pendulums, same_result_rows
from TD3 import TD3
from training.curve import read_curve
from utils import eval_policy


def curve(*points):
    minutes, means = np.array(points, dtype=float).reshape(-1, 2).T
    return {"seconds": 60 * minutes, "mean_return": means}


def test_minutes_to_a_level_and_best_until():
    points = curve((5, 900), (10, 2600), (20, 2400), (40, 3310))
    assert minutes_to(points, 2500) == 10 and minutes_to(points, 4000) is None
    assert best_until(points, 30) == 2600 and best_until(points, 60) == 3310
    assert minutes_to(curve(), 0) is None and np.isnan(best_until(points, 1)), "nothing was evaluated by then"


def test_rows_of_learning(tmp_path):
    curves = {"seed0": [(12, 2600)], "seed1": [(9, 2000), (60, 2200)], "seed2": [(8, 2550)], "hour": [(12, 2600), (50, 3400)]}
    for name, points in curves.items():
        lines = [f"{60 * minutes},{mean}\n" for minutes, mean in points]
        (tmp_path / f"ours_{name}.csv").write_text("seconds,mean_return\n" + "".join(lines))
    peer = "timesteps,seconds,mean_return\n10000,60.0,9.8\n20000,2880.0,2569.0\n30000,29"  # the last row is incomplete
    (tmp_path / "sb3_to_2500_seed0.csv").write_text(peer)
    median, seeds, high, best_30, best_60 = learning_rows(again=False, folder=tmp_path)
    assert (median.ours, median.peer_figure, median.ratio, median.met) == (12, 48, 4, False)
    assert seeds.ours == "12.0, inf, 8.0"
    assert high.ours == 50 and not high.met, "the aim was 30 minutes"
    assert (best_30.ours, best_60.ours) == (2600, 3400)


def test_rows_of_the_same_result(tmp_path):
    """For each pendulum the steps to the level and the evaluations below it later; for each ant the best up to the shortest."""
    means = {"plain": [-900, -150, -150, -600, -150, -250], "float32": [-300, -100, -100, -100, -100, -200], "bf16": [-900] * 6}
    lines = [
        f"{agent},{seed},{1000 * (k + 1)},{mean - seed:.1f}\n"
        for seed in range(2)
        for agent in means
        for k, mean in enumerate(means[agent])
    ]
    (tmp_path / "same_result.csv").write_text("agent,seed,timesteps,mean_return\n" + "".join(lines))
    head = "timesteps,seconds,mean_return\n"
    for seed in range(3):
        (tmp_path / f"ours_seed{seed}.csv").write_text(f"{head}10,1,5\n20,2,{seed}\n30,3,9000\n")
        (tmp_path / f"ours_float32_seed{seed}.csv").write_text(f"{head}10,1,{seed}\n20,2,7\n")
    *rows, ant = same_result_rows(again=False, folder=tmp_path)
    assert {row.peer_figure for row in rows[:2]} == {"2,000, 2,000"} and {row.peer_figure for row in rows[2:]} == {"4 of 8"}
    assert [row.ours for row in rows] == ["2,000, 2,000", "never, never", "1 of 8", "0 of 0"]
    assert ant.what == "ant, bf16_update.py: best mean return within 20 steps, 3 seeds"
    assert (ant.ours, ant.peer_figure) == ("5, 5, 5", "7, 7, 7")
    assert (tmp_path / "same_result.png").stat().st_size > 10_000


def test_the_shipped_curves_of_the_pendulum_are_complete(root):
    curves = read_pendulums(root / "benchmarks" / "same_result.csv")
    assert [len(curve) for of_seeds in curves.values() for curve in of_seeds] == [15] * 15


@pytest.mark.parametrize("agent", ["plain", "float32"])
def test_the_pendulum_is_trained_after_the_random_steps(agent):
    """The first evaluation is that of the untrained policy, the second another one."""
    points = learn_pendulum(agent, seed=1, steps=40, start=20, every=20)["curve"]
    assert [steps for steps, _ in points] == [20, 40] and points[0][1] != points[1][1]
    if agent == "float32":
        torch.manual_seed(1)
        assert points[0][1] == eval_policy(TD3(3, 1, 2.0), "Pendulum-v1").mean


@pytest.mark.slow
def test_a_training_ends_when_it_reaches_the_level(tmp_path):
    """Here at the first evaluation, whatever its mean return; it would go on for five minutes."""
    path = tmp_path / "curve.csv"
    measure(train_ant, curve=str(path), stop_at=-1e9, eval_freq=1_000, start_timesteps=0, max_timesteps=10**9, max_minutes=5.0)
    found = read_curve(path)
    assert found["seconds"][-1] < 60 and not math.isnan(found["mean_return"][0])
