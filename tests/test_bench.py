"""The benchmark's own arithmetic and bookkeeping; nothing here asks how fast anything is."""

import copy
import functools
import itertools
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn as nn
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import bench  # noqa: E402
import growth  # noqa: E402
import measure  # noqa: E402
from plain_td3 import PlainBuffer, PlainTD3  # noqa: E402

from main import Args  # noqa: E402
from TD3 import TD3  # noqa: E402

S, A = 5, 3

# --- the plain transcription -------------------------------------------------------------------------------------------------


def layers(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def pairs(ours, plain):
    """Linear layers of both agents that mean the same."""
    for suffix in ("", "_target"):
        critic = layers(getattr(ours, "critic" + suffix))
        yield from zip(layers(getattr(ours, "actor" + suffix)), layers(getattr(plain, "actor" + suffix)), strict=True)
        yield from zip(critic[:3], layers(getattr(plain, "critic_1" + suffix)), strict=True)
        yield from zip(critic[3:], layers(getattr(plain, "critic_2" + suffix)), strict=True)


@pytest.mark.parametrize("max_action", [1.0, 2.5])
def test_the_plain_transcription_ends_on_the_same_weights_as_ours(full_buffer, max_action):
    """Ten updates, five of them delayed, from the same weights, batches and noise; 2e-5 is for another order of sums."""
    torch.manual_seed(0)
    ours, plain = TD3(S, A, max_action, lr=1e-3), PlainTD3(S, A, max_action, lr=1e-3)
    for a, b in pairs(ours, plain):
        b.load_state_dict(a.state_dict())
    start = copy.deepcopy(ours.actor_target.state_dict())
    buffers = [full_buffer(S, A) for _ in range(2)]  # seeded alike, so they draw the same rows
    for k in range(10):
        for agent, buffer in zip((ours, plain), buffers, strict=True):
            torch.manual_seed(100 + k)
            agent.train(buffer, 64)
    assert not torch.equal(start["l1.weight"], ours.actor_target.l1.weight), "no delayed update took place"
    assert len(list(pairs(ours, plain))) == 18
    for a, b in pairs(ours, plain):
        torch.testing.assert_close(a.weight, b.weight, rtol=0, atol=2e-5)
        torch.testing.assert_close(a.bias, b.bias, rtol=0, atol=2e-5)
    states = np.random.default_rng(0).normal(size=(4, S))
    np.testing.assert_allclose(ours.select_action(states), plain.select_action(states), atol=1e-4)


def test_the_plain_buffer_gives_back_what_it_was_given():
    """Seven transitions into room for five: the last five are drawn, whole."""
    buffer = PlainBuffer(2, 1, 5, seed=0)
    for k in range(7):
        buffer.add(np.full(2, k), np.array([k]), np.full(2, k + 1), k, float(k == 6))
    state, action, next_state, reward, not_done = buffer.sample(200)
    assert {x.dtype for x in (state, action, next_state, reward, not_done)} == {torch.float32}
    assert state.shape == (200, 2) and reward.shape == not_done.shape == (200, 1)
    assert set(reward[:, 0].tolist()) == {2, 3, 4, 5, 6}
    assert (state == reward).all() and (action == reward).all() and (next_state == reward + 1).all()
    assert (not_done == (reward != 6)).all()


# --- the update and its arithmetic -------------------------------------------------------------------------------------------


def test_every_agent_of_the_update_row_is_updated_in_whole_cycles(monkeypatch):
    """From buffers that give batches of the same shapes and types."""
    monkeypatch.setattr(measure, "filled", functools.partial(measure.filled, size=300))
    monkeypatch.setattr(measure, "matmul_rate", lambda *args, **kwargs: 1e9)
    seen, alternate = {}, measure.alternate
    monkeypatch.setattr(measure, "alternate", lambda agents, *rest: seen.update(agents) or alternate(agents, *rest))
    result = measure.update(threads=1, seconds=0.01, rounds=1, batch_size=16, hidden=16)
    assert set(seen) == {"ours", "plain"} and all(result[name] > 0 for name in seen)
    assert all(agent.total_it >= 4 and agent.total_it % 2 == 0 for agent, _ in seen.values())
    for a, b in zip(seen["ours"][1].sample(8), seen["plain"][1].sample(8), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


@pytest.mark.parametrize("hidden, batch_size, layer_norm", [(256, 256, False), (256, 256, True), (64, 100, False)])
def test_flops_are_those_that_torch_counts(hidden, batch_size, layer_norm):
    agent = TD3(28, 8, 1.0, hidden=hidden, layer_norm=layer_norm)
    buffer = measure.filled(measure.ReplayBuffer, 500)
    agent.train(buffer, batch_size)
    with FlopCounterMode(display=False) as counter:
        for _ in range(2):  # one cycle
            agent.train(buffer, batch_size)
    assert measure.flops_of_update(28, 8, hidden, batch_size) == pytest.approx(counter.get_total_flops() / 2, rel=0.02)


def test_the_rate_of_a_product_counts_what_torch_counts():
    a = torch.ones(32, 32)
    with FlopCounterMode(display=False) as counter:
        a @ a
    assert counter.get_total_flops() == 2 * 32**3
    assert measure.matmul_rate(torch.float32, size=32, seconds=0.01) > 0


# --- the table ---------------------------------------------------------------------------------------------------------------


def test_table_is_markdown_with_straight_columns():
    rows = [
        bench.Row("update", "480/s", "plain 147/s", 480 / 147, "3x", True),
        bench.Row("training | ant", "2,600 steps/s", "sb3 100", 26.0, "2,700 steps/s", False),
        bench.Row("memory", "not run: no CUDA device"),
    ]
    lines = bench.table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1 and all(line.count("|") == 6 for line in lines)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["what", "ours", "peer", "ratio", "bound"]
    assert cells[2] == ["update", "480/s", "plain 147/s", "3.3x", "3x: met"]
    assert cells[3] == ["training / ant", "2,600 steps/s", "sb3 100", "26x", "2,700 steps/s: not met"]
    assert cells[4] == ["memory", "not run: no CUDA device", "", "", ""]


def test_ratios_and_bounds_of_the_update(monkeypatch):
    found = {"ours": 300.0, "plain": 100.0, "bf16": True}
    found |= {"flops": 1e9, "bf16_flops": 1e12, "float32_flops": 4e11}
    monkeypatch.setattr(bench, "measure", lambda name, threads, seconds: found if threads == 1 else {"error": "too few cores"})
    speed, share, failed = bench.update_rows(1)
    assert (speed.ratio, speed.met) == (3.0, True)
    assert share.ours == "30% of 1000 GFLOP/s in bf16" and share.peer == "25% of 400 GFLOP/s in float32"
    assert failed.ours == "not run: too few cores"


def test_rows_of_the_environment(monkeypatch):
    monkeypatch.setattr(bench, "measure", lambda name, seconds: {"upstream": 3000.0, "stock": 4500.0, "ours": 5000.0})
    ours, stock = bench.walk_rows(1)
    assert (ours.ours, ours.ratio, ours.met) == ("5,000/s", pytest.approx(5 / 3), False)
    assert (stock.ratio, stock.bound) == (1.5, "")


def test_the_three_ants_of_that_row_are_measured():
    found = measure.walk(seconds=0.05, rounds=1)
    assert set(found) == {"upstream", "stock", "ours"} and min(found.values()) > 0


def test_rows_of_training(monkeypatch):
    def measured(name, seconds, **arguments):
        if arguments.get("library") == "sbx":
            return {"error": "No module named 'sbx'"}
        steps = 2600.0 if not arguments else 130.0
        return {"steps": steps, "updates": 325.0, "cpu": [97.0, 93.0], "memory": 0.9e9, "buffer_bytes": 264_000_000}

    monkeypatch.setattr(bench, "measure", measured)
    sb3, sbx, processes, memory = bench.training_rows(25)
    assert sb3.ours == "2,600 steps/s, 325 updates/s, cores 97 + 93 %" and sb3.met and sbx.met is None
    assert sb3.ratio == processes.ratio == 20
    assert sbx.ratio is None and sbx.peer == "SBX's TD3 not run: No module named 'sbx'"
    assert memory.ours == "1.16 GB: 0.90 GB in use + 0.26 GB to fill the buffer" and memory.met


def curve(*points):
    minutes, means = np.array(points, dtype=float).reshape(-1, 2).T
    return {"seconds": 60 * minutes, "mean_return": means}


def test_minutes_to_a_level_and_best_until():
    points = curve((5, 900), (10, 2600), (20, 2400), (40, 3310))
    assert bench.minutes_to(points, 2500) == 10 and bench.minutes_to(points, 4000) is None
    assert bench.best_until(points, 30) == 2600 and bench.best_until(points, 60) == 3310
    assert bench.minutes_to(curve(), 0) is None and np.isnan(bench.best_until(points, 1)), "nothing was evaluated by then"


def test_rows_of_learning(monkeypatch, tmp_path):
    curves = [curve((12, 2600)), curve((9, 2000), (60, 2200)), curve((8, 2550))]
    hour = curve((12, 2600), (50, 3400))

    def learned(seed, minutes, stop_at=None, name=None):
        assert (stop_at == 2500) != (name == "hour")
        return hour if name else curves[seed]

    monkeypatch.setattr(bench, "learn_ant", learned)
    monkeypatch.setattr(bench, "HERE", tmp_path)
    peer = tmp_path / "sb3_to_2500_seed0.csv"
    peer.write_text("timesteps,seconds,mean_return\n10000,60.0,9.8\n20000,2880.0,2569.0\n30000,29")  # a row half written
    solved, high, best = bench.learning_rows(seeds=(0, 1, 2))
    assert solved.ours == "median 12.0; 12.0, not within 60, 8.0" and solved.ratio == 4.0
    assert solved.peer == "stable-baselines3, seed 0, recorded earlier: 48.0"
    assert (solved.bound, solved.met) == ("at most 4", False)
    assert high.ours == "50.0" and not high.met, "within 30 minutes was asked"
    assert best.ours == "2,600 at 30 minutes, 3,400 at 60 minutes"


def test_rows_of_the_same_result(monkeypatch, tmp_path):
    """Of each pendulum run the steps to the level, and how often it fell below; the best of each ant up to the shortest."""
    monkeypatch.setattr(bench, "HERE", tmp_path)
    ends = {"plain": [-900, -150, -150, -600, -150, -250], "float32": [-300, -100, -100, -100, -100, -200], "bf16": [-900] * 6}

    def found(name, agent, seed):
        return {"curve": [(1000 * (k + 1), float(mean - seed)) for k, mean in enumerate(ends[agent])]}

    monkeypatch.setattr(bench, "measure", found)
    rows = bench.same_result_rows(seeds=(0, 1))
    assert [row.what for row in rows[::2]] == [
        "steps of the pendulum to a mean return of -200, seeds 0, 1",
        "evaluations after that which fall below it, seeds 0, 1",
    ]
    assert {row.peer for row in rows[:2]} == {"plain transcription: 2,000, 2,000"}
    assert {row.peer for row in rows[2:]} == {"plain transcription: 4 of 8"}
    assert [row.ours for row in rows] == [
        "TD3.py in float32: 2,000, 2,000",
        "bf16_update.py: never, never",
        "TD3.py in float32: 1 of 8",
        "bf16_update.py: 0 of 0",
    ]
    head = "timesteps,seconds,mean_return\n"
    for seed in range(3):
        (tmp_path / f"ours_seed{seed}.csv").write_text(f"{head}10,1,5\n20,2,{seed}\n30,3,9000\n")
        (tmp_path / f"ours_float32_seed{seed}.csv").write_text(f"{head}10,1,{seed}\n20,2,7\n")
    monkeypatch.setattr(bench, "measure", None)
    ant = bench.same_result_rows(seeds=(0, 1), again=False)[-1]
    assert (ant.what, ant.ours, ant.peer) == (
        "best mean return of the ant until 20 steps, seeds 0, 1, 2",
        "bf16_update.py: 5, 5, 5",
        "TD3.py in float32: 7, 7, 7",
    )
    assert (tmp_path / "same_result.png").stat().st_size > 10_000


# --- RESULTS.md --------------------------------------------------------------------------------------------------------------


def test_sections_are_put_and_replaced_between_the_markers_only(monkeypatch):
    monkeypatch.setattr(bench, "machine", lambda: "A processor, 2 cores")
    before, after = "# Results\n\nBy hand.\n\n", "\n\n## What was tried\n\n| a |\n|---|\n| by hand |\n"
    document = f"{before}{bench.BEGIN}\n\n{bench.END}{after}"

    def put(document, ours, date, kind="quick"):
        return bench.put(document, *bench.section([bench.Row("update", ours)], kind, date=date))

    document = put(document, "first", "2030-01-01")
    document = put(document, "second", "2030-01-02")
    document = put(document, "long", "2030-01-01", "full")
    once = put(document, "third", "2030-01-01")
    assert once == put(once, "third", "2030-01-01"), "writing the same again changes the file"
    assert once.startswith(before + bench.BEGIN) and once.endswith(bench.END + after)
    inside = once[len(before) : -len(after)]
    headings = [line for line in inside.splitlines() if line.startswith("### ")]
    assert headings == ["### 2030-01-01, full", "### 2030-01-02, quick", "### 2030-01-01, quick"]
    assert "first" not in inside and all(word in inside for word in ("second", "third", "long"))
    assert inside.count("A processor, 2 cores.") == 3


def test_missing_markers_are_named():
    with pytest.raises(ValueError, match="RESULTS.md lacks the lines"):
        bench.put("# Results\n", "### today", "### today\n\ntext")


def test_the_real_file_takes_a_section_and_keeps_its_log(root):
    document = (root / "benchmarks" / "RESULTS.md").read_text()
    changed = bench.put(document, "### 2030-01-01, quick", "### 2030-01-01, quick\n\ntext")
    assert changed.partition(bench.END)[2] == document.partition(bench.END)[2]
    assert "| recipe difference | seed | steps | minutes | mean return | remark |" in changed.partition(bench.END)[2]


def test_a_busy_machine_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(bench, "others_cpu", lambda: 143.2)
    with pytest.raises(SystemExit, match=r"^Other processes use 143 % of a core here, .*--force\.$"):
        bench.check_idle()
    warning = bench.check_idle(force=True)
    assert warning == "Measured beside other processes that used 143 % of a core, so these figures mean little."
    assert warning in bench.section([], "quick", warning)[1]
    monkeypatch.setattr(bench, "others_cpu", lambda: 3.0)
    assert bench.check_idle() == "" == bench.check_idle(force=True)


def test_another_process_at_work_is_seen():
    load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert max(bench.others_cpu(0.5) for _ in range(3)) > 20
    finally:
        load.kill()
        load.wait()


def test_machine_names_no_host():
    assert "torch 2" in bench.machine() and platform.node() not in bench.machine()


# --- running a measurement ---------------------------------------------------------------------------------------------------


def test_watched_sees_output_and_the_memory_of_descendants(tmp_path):
    """A child that keeps 60 MB through a child of its own."""
    child = "b = b'x' * 60_000_000; import time; time.sleep(4)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('done')"
    seen = bench.watched([sys.executable, "-c", code], tmp_path, memory_every=1)
    assert seen["stdout"] == "done\n" and seen["returncode"] == 0
    assert 60e6 < seen["memory"] < 120e6 and seen["wall"] > 4


def test_a_measurement_that_fails_says_why():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert bench.gpu_row(1).ours == "not run: no CUDA device"


@pytest.mark.slow
@pytest.mark.parametrize("one_process_per_ant", [False, True])
def test_training_is_measured_with_the_learner_at_work(one_process_per_ant):
    found = bench.measure("train", seconds=4, one_process_per_ant=one_process_per_ant)
    assert "error" not in found, found["error"]
    assert found["steps"] > 0 and found["updates"] > 0
    assert 0 < found["buffer_bytes"] < 4 * 66 * Args().buffer_size, "what the run filled is in use already"


def test_the_same_loop_learns_with_every_agent(monkeypatch):
    """Sixty steps, 20 of them random: the evaluations fall where they should, after 10 and after 40 updates."""
    monkeypatch.setattr(measure, "eval_policy", lambda policy, env, workers: type("", (), {"mean": float(policy.total_it)}))
    for agent in ("plain", "float32"):
        curve = measure.learn(agent, seed=1, steps=60, start=20, every=30)["curve"]
        assert curve == [(30, 10.0), (60, 40.0)]


def test_pictures_of_growth(tmp_path):
    rows = [[axis, value, line, 1000.0 / value + 1]
            for axis, values, lines in (("ants", growth.ANTS, ["ants alone", "with the learner"]),
                                        ("batch", growth.BATCHES, ["ours", "plain transcription"]),
                                        ("width", growth.WIDTHS, ["ours", "plain transcription"]))
            for value, line in itertools.product(values, lines)]  # fmt: skip
    paths = growth.draw(rows, tmp_path)
    assert [path.name for path in paths] == ["growth_ants.png", "growth_updates.png"]
    for path in paths:
        picture = Image.open(path)
        assert picture.width == 800 and picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
