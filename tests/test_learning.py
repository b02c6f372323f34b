"""The learning curves of the benchmark."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import learning
from benchmarks.learning import AGENTS, learning_rows, solved, train_ant
from benchmarks.process import MeasurementError, measure
from benchmarks.same_result import learn_pendulum, read_pendulums, same_result_rows
from main import exploration_noise
from TD3 import TD3
from training.args import RECIPES
from training.curve import CURVE_COLUMNS, read_curve
from training.streams import integers, spawn_streams
from utils import Evaluation, eval_policy

HEAD = ",".join(CURVE_COLUMNS)


def write_curve(path, *means):
    """A learning curve with an evaluation every 100 steps and every minute."""
    rows = [f"{100 * k},{60 * k},{mean},0,0,0,0" for k, mean in enumerate(means, start=1)]
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return read_curve(path)


def test_every_seed_counts_and_one_evaluation_above_the_level_is_luck(tmp_path):
    curves = [
        write_curve(tmp_path / "a.csv", 0, 2600, 2600, 0, 0),
        write_curve(tmp_path / "b.csv", 0, 2600, 0, 2600, 2600),
        write_curve(tmp_path / "c.csv", 2600, 0, 2600, 0, 2600),
    ]
    assert solved(curves, "steps_to_threshold", 2500) == (500, "2 of 3 solved, median 500")
    assert solved(curves, "minutes_to_threshold", 2500) == (5, "2 of 3 solved, median 5.0")
    assert solved(curves[1:], "steps_to_threshold", 2500) == (math.inf, "1 of 2 solved, median never"), "of an even number"
    assert solved(curves, "steps_to_threshold", 2700) == (math.inf, "0 of 3 solved, median never")


@pytest.fixture
def curves(tmp_path):
    """Two agents were run, one of them for longer: what it did later does not count."""
    write_curve(tmp_path / "ours_seed0.csv", 0, 3000, 3000, 3000)
    write_curve(tmp_path / "ours_seed1.csv", 0, 0, 2700, 2700)
    write_curve(tmp_path / "sb3_seed0.csv", 0, 0, 3000, 3000, 9000)
    write_curve(tmp_path / "sb3_seed1.csv", 0, 1000, 2000, 1000, 9000, 9000)
    write_curve(tmp_path / "sb3_matched_seed4.csv", 0, 0, 0, 0)
    return tmp_path


def test_rows_of_learning(curves):
    rows = list(learning_rows(again=False, folder=curves))
    peers = [AGENTS["ours_basic"], *[AGENTS["sb3_matched"]] * 4, *[AGENTS["sb3"]] * 4, AGENTS["sbx"]]
    assert [row.peer for row in rows] == peers
    assert rows[0].peer_figure == rows[-1].peer_figure == "not run: there are no curves"
    steps, minutes, last, area = rows[5:9]
    assert (steps.what, minutes.unit) == ("steps to 2,500 twice in a row, 400 steps a run", "")
    assert (steps.ours, steps.peer_figure, steps.ratio) == ("2 of 2 solved, median 350", "1 of 2 solved, median never", None)
    assert (minutes.ours, minutes.bound, minutes.met) == ("2 of 2 solved, median 3.5", "at most 4", True)
    assert (last.ours.split()[0], last.peer_figure.split()[0]) == ("2,400", "1,667")
    assert (area.ours.split()[0], area.peer_figure.split()[0]) == ("1,925", "1,333")
    assert rows[3].peer_figure == "0, one seed"
    (curves / "sb3_seed1.csv").unlink()
    steps, minutes, *_ = list(learning_rows(again=False, folder=curves))[5:]
    assert steps.ratio == pytest.approx(400 / 350) and minutes.ratio == pytest.approx(4 / 3.5)


def test_without_curves_the_command_that_makes_them_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="^There is no learning curve in '.*': run 'python -m benchmarks.learning' first"
    ):
        list(learning_rows(again=False, folder=tmp_path))


def test_only_what_is_missing_is_trained_seed_by_seed(curves, monkeypatch, capsys):
    """A run that is too short is trained again, and an agent that cannot run is tried once and leaves the others alone."""
    started = []

    def measure(function, agent, seed, curve, max_timesteps):
        started.append((agent, seed))
        if agent == "sbx":
            raise MeasurementError("No module named 'sbx'")
        write_curve(Path(curve), *[2600] * (max_timesteps // 100))

    monkeypatch.setattr(learning, "measure", measure)
    with pytest.raises(RuntimeError, match="^sbx was not run: No module named 'sbx'$"):
        learning.main(agents=("sbx", "ours", "sb3"), seeds=(0, 1, 2), max_timesteps=500, folder=curves)
    assert started == [("sbx", 0), ("ours", 0), ("ours", 1), ("ours", 2), ("sb3", 2)]
    table = (curves / "summary.md").read_text()
    assert (curves / "curves.png").stat().st_size > 10_000
    assert table.rstrip("\n") == capsys.readouterr().out.rstrip("\n")
    lines = [[cell.strip() for cell in line.split("|")[1:5]] for line in table.splitlines()[2:5]]
    assert lines == [
        [AGENTS["ours"], "3", "3 of 3 solved, median 200", "3 of 3 solved, median 2.0"],
        [AGENTS["sb3_matched"], "1", "0 of 1 solved, median never", "0 of 1 solved, median never"],
        [AGENTS["sb3"], "3", "2 of 3 solved, median 400", "2 of 3 solved, median 4.0"],
    ]
    assert "400 steps each" in table


def test_a_peer_is_evaluated_as_we_are(tmp_path, monkeypatch):
    """After as many steps, and on the same episodes."""
    from benchmarks import peers

    asked = []

    def eval_policy(policy, envs, seeds, count):
        asked.append((list(seeds), count, policy.select_action(np.zeros((2, 28), np.float32)).shape))
        return Evaluation(np.arange(count, dtype=float), np.full(count, 7))

    monkeypatch.setattr(peers, "eval_policy", eval_policy)
    peers.train(str(tmp_path / "a.csv"), "sb3_matched", 3, 96, eval_freq=32, eval_episodes=4, learning_starts=32)
    found = read_curve(tmp_path / "a.csv")
    assert list(found) == CURVE_COLUMNS and found["timesteps"].tolist() == [32, 64, 96]
    assert set(found["mean_return"]) == {1.5} and set(found["max_return"]) == {3} and set(found["mean_length"]) == {7}
    assert asked == [(integers(spawn_streams(3).evaluation, 4), 4, (2, 8))] * 3


def test_the_matched_peer_has_the_settings_of_the_fast_recipe():
    from benchmarks.peers import make_model

    model, fast = make_model("sb3_matched", learning_starts=16), RECIPES["fast"]
    updates = []
    train = model.train
    model.train = lambda gradient_steps, batch_size: (updates.append((gradient_steps, batch_size)), train(1, 8))
    model.learn(48)
    model.env.close()
    assert updates == [(4, fast.batch_size)] * 2, "four for the 16 environments' steps, after the random ones"
    assert model.n_envs == fast.num_envs and 4 / model.n_envs == fast.utd_ratio
    assert [noise._sigma[0] for noise in model.action_noise.noises] == exploration_noise(fast)[:, 0].tolist()
    assert (model.gamma, model.tau, model.learning_rate) == (fast.discount, fast.tau, fast.lr)
    assert (model.policy_delay, model.target_policy_noise, model.target_noise_clip) == (2, fast.policy_noise, fast.noise_clip)
    assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (fast.n_step, fast.discount)
    assert model.replay_buffer.buffer_size * model.n_envs == fast.buffer_size
    layers = [tuple(layer.weight.shape) for layer in model.actor.mu if hasattr(layer, "weight")]
    assert layers == [(fast.hidden, 28), (fast.hidden, fast.hidden), (8, fast.hidden)]


def test_runs_of_a_peer_share_no_environment():
    """stable-baselines3 gives environment i its seed + i."""
    from benchmarks.peers import make_model

    models = [make_model("sb3", seed) for seed in range(4)]
    seeds = [model.seed for model in models]
    for model in models:
        model.env.close()
    assert min(abs(a - b) for k, a in enumerate(seeds) for b in seeds[:k]) > 16


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
        (tmp_path / f"ours_bf16_seed{seed}.csv").write_text(f"{head}10,1,5\n20,2,{seed}\n30,3,9000\n")
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
def test_our_curve_is_kept_where_it_is_asked_for(tmp_path):
    path = tmp_path / "curve.csv"
    measure(train_ant, curve=str(path), eval_freq=1_000, eval_episodes=1, start_timesteps=0, max_timesteps=1_000)
    found = read_curve(path)
    assert list(found) == CURVE_COLUMNS and found["timesteps"].tolist() == [1008]
