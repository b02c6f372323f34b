"""Compares speed, memory and learning with other libraries.  The machine should do nothing else.

    python -m benchmarks.bench                   some minutes
    python -m benchmarks.bench --full            hours: what is learned, and how soon
    python -m benchmarks.bench --write           also writes results.csv and the tables of RESULTS.md

Each measurement runs in a process of its own, one after the other.
"""

import datetime
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import speed, update
from benchmarks.learning import learning_rows
from benchmarks.machine import check_idle, describe
from benchmarks.process import MeasurementError, measure
from benchmarks.same_result import same_result_rows
from benchmarks.table import Row, append_cells, as_cells, render, write_tables
from training.cli import run_cli
from utils import REPO_ROOT

LOWEST_SHARE = {1: 50, 2: 40}
"""For each number of threads: the share of the matrix rate that an update should reach, in percent."""


def update_rows(seconds: float) -> Iterator[Row]:
    """The update on one thread and on two, and gradients written by hand next to PyTorch's in float32."""
    ours, flops, plain = update.agent_of_main(), update.flops_of_update(), "plain transcription, float32"
    kind = "bf16" if ours == "bf16" else "float32"
    names = sorted({"plain", "float32", "float32_by_hand", ours})
    for threads, lowest in LOWEST_SHARE.items():
        found = measure(update.updates_per_second, names=names, threads=threads, seconds=seconds)
        setting = f"{kind}, {threads} thread{'s' * (threads > 1)}"
        what, ratio = f"updates, batch 256, {setting}", found[ours] / found["plain"]
        yield Row(what, found[ours], "updates/s", plain, found["plain"], ratio)
        rate, plain_rate = found[f"{kind}_rate"], found["float32_rate"]
        yield Row(f"matrix rate, {setting}", rate / 1e9, "GFLOP/s", "float32", plain_rate / 1e9)
        what, bound = f"share of the matrix rate, {flops / 1e6:.0f} MFLOP an update, {setting}", f"at least {lowest} %"
        share, plain_share = 100 * found[ours] * flops / rate, 100 * found["plain"] * flops / plain_rate
        yield Row(what, share, "%", plain, plain_share, bound=bound, met=share >= lowest)
        what = f"updates with gradients written by hand, {setting.replace(kind, 'float32')}"
        by_hand, autograd = found["float32_by_hand"], found["float32"]
        ratio = by_hand / autograd
        yield Row(what, by_hand, "updates/s", "TD3.py, float32", autograd, ratio, "1.1x", ratio >= 1.1)


def env_rows(seconds: float) -> Iterator[Row]:
    """One environment: the same ant, the same actions, the same results."""
    found = measure(speed.env_speed, seconds=seconds)
    peer, ratio = ("upstream's AntBulletEnv-v0", found["upstream"]), found["ours"] / found["upstream"]
    yield Row("MyAntBulletEnv-v0 on one core", found["ours"], "steps/s", *peer, ratio, "1.7x", ratio >= 1.7)
    yield Row("AntBulletEnv-v0 of make_env on one core", found["stock"], "steps/s", *peer, found["stock"] / found["upstream"])


def training_rows(seconds: float) -> Iterator[Row]:
    """Speed and memory of training with the fast recipe, and the speed of its peers."""
    from benchmarks import peers  # here, because stable-baselines3 would add to the memory of every measurement

    ours = measure(speed.training_speed, seconds=seconds)
    bound = "at least 2,500", ours["steps"] >= 2500
    others: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "stable-baselines3's TD3": (peers.training_speed, {"peer": "sb3"}),
        "stable-baselines3's TD3, matched": (peers.training_speed, {"peer": "sb3_matched"}),
        "SBX's TD3": (peers.training_speed, {"peer": "sbx"}),
        "ours, a process for each environment": (speed.training_speed, {"one_process_per_env": True}),
    }
    for name, (function, arguments) in others.items():
        try:
            peer = measure(function, seconds=seconds, **arguments)
        except MeasurementError as error:
            yield Row("training, fast recipe", ours["steps"], "steps/s", name, f"not run: {error}", None, *bound)
            continue
        ratio = ours["steps"] / peer["steps"]
        yield Row("training, fast recipe", ours["steps"], "steps/s", name, peer["steps"], ratio, *bound)
        yield Row("updates during training", ours["updates"], "updates/s", name, peer["updates"])
        yield Row("use of each core during training", cores(ours), "%", name, cores(peer))
    used, empty = ours["memory"] / 1e6, ours["buffer_bytes"] / 1e6
    yield Row("memory in use after training (PSS of all processes)", used, "MB")
    yield Row("memory until the replay buffer is full", empty, "MB")
    yield Row("memory with a full buffer", used + empty, "MB", bound="at most 1,200", met=used + empty <= 1200)


def cores(found: dict) -> str:
    """The use of each core, such as "89 + 93"."""
    return " + ".join(f"{core:.0f}" for core in found["cpu"])


FIRST_FRAME = """
from TD3 import TD3
from viewing.animation import animate
from viewing.recording import record
animate(record(TD3(28, 8, 1.0), max_steps=1), {path!r}, workers=0, verbose=False)
"""


def start_rows(repetitions: int = 3, make_ant: tuple[str, ...] = ()) -> Iterator[Row]:
    """From nothing to the first frame, and `make ant` when everything is installed.

    Args:
        repetitions: measurements of the first frame, of which the median counts.
        make_ant: more arguments of `make ant`.
    """
    with tempfile.TemporaryDirectory() as folder:
        first_frame = ["-c", FIRST_FRAME.format(path=f"{folder}/frame.png")]
        wall = statistics.median(wall_clock("the first frame", first_frame) for _ in range(repetitions))
        yield Row("import to first frame", wall, "s", bound="less than 3", met=wall < 3)
        wall = wall_clock("make ant", ["-m", "viewing.animation", "--out", f"{folder}/ant.gif", *make_ant])
        yield Row("make ant, installed", wall, "s", bound="less than 60", met=wall < 60)


def wall_clock(what: str, words: list[str]) -> float:
    """Seconds that `python WORDS` takes in the root of the repository."""
    print(f"measuring: {what}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=REPO_ROOT, capture_output=True, text=True)
    if done.returncode:
        raise MeasurementError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return time.perf_counter() - started


def gpu_rows(seconds: float) -> Iterator[Row]:
    """The update on a CUDA device."""
    found = measure(update.updates_per_second, names=["cuda", "plain"], device="cuda", seconds=seconds)
    ratio, peer = found["cuda"] / found["plain"], "plain transcription, the same device"
    yield Row("updates, batch 256, CUDA device", found["cuda"], "updates/s", peer, found["plain"], ratio)


def collect(groups: dict[str, Iterator[Row]]) -> list[Row]:
    """The rows of all groups.  A group in which a measurement fails ends with a row that says why; the others go on."""
    rows = []
    for name, group in groups.items():
        try:
            for row in group:
                rows.append(row)
        except (MeasurementError, OSError) as error:
            rows.append(Row(name, f"not run: {error}"))
    return rows


def main(full: bool = False, write: bool = False, force: bool = False, recorded: bool = False, seconds: float = 25.0) -> None:
    """Measures and prints the table.

    Args:
        full: Also the learning curves, which take hours.
        write: Rows of this run at the end of results.csv, and its table in RESULTS.md.
        force: Measurement on a busy machine, with a warning.
        recorded: With --full, the learning curves of earlier runs.
        seconds: Duration of each training, in seconds.  Shorter ones give less exact results.
    """
    warning = check_idle(force)
    date = datetime.datetime.now().isoformat(" ", "minutes")
    run = {"date": date, "section": "full" if full else "quick", "machine": f"{describe()}. {warning}".rstrip(". ")}
    turn = seconds / 25
    groups = {"update": update_rows(turn), "environment": env_rows(turn), "training": training_rows(seconds)}
    groups |= {"start": start_rows(), "CUDA device": gpu_rows(turn)}
    if full:
        groups |= {"learning": learning_rows(not recorded), "the same result": same_result_rows(not recorded)}
    cells = [as_cells(row, **run) for row in collect(groups)]
    print(render(cells))
    if write:
        append_cells(cells)
        write_tables()


if __name__ == "__main__":
    run_cli(main, description=__doc__)
