"""Ours beside its peers: one table from one run, on a machine that does nothing else.

    make bench                      a few minutes
    make bench-full                 hours: what is learned, and how soon
    make bench ARGS="--write"       and puts the table into benchmarks/RESULTS.md

Every measurement runs in a process of its own (`measure.py`), one after the other.
"""

import argparse
import contextlib
import csv
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.append(str(ROOT))
import style  # noqa: E402
from utils import read_curve  # noqa: E402

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
"""Between these lines of RESULTS.md, sections are written by this program; all else there is written by hand."""

# --- the table ---------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: is measured, and in what unit.
        ours, peer: figures as text; the peer's name goes with its figure.
        ratio: how many times better ours is, if there is a peer.
        bound: the figure or ratio that was aimed at, as text.
        met: whether it was reached, if there is a bound and a figure.
    """

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    bound: str = ""
    met: bool | None = None

    def cells(self):
        """The five texts of the line."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2g}x" if self.ratio < 10 else f"{self.ratio:.0f}x"
        verdict = "" if self.met is None else ": met" if self.met else ": not met"
        return [self.what, self.ours, self.peer, ratio, self.bound + verdict]


def table(rows):
    """The rows as a Markdown table whose columns are also straight in a terminal."""
    lines = [["what", "ours", "peer", "ratio", "bound"]] + [[cell.replace("|", "/") for cell in row.cells()] for row in rows]
    widths = [max(len(line[k]) for line in lines) for k in range(5)]
    text = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def not_run(what, result):
    """The row of a measurement that failed."""
    return Row(what, f"not run: {result['error']}")


# --- the machine -------------------------------------------------------------------------------------------------------------


def others_cpu(seconds=2.0):
    """How much of one core, in percent, is in use while this process only waits."""
    return sum(psutil.cpu_percent(interval=seconds, percpu=True))


def check_idle(force=False, limit=20.0):
    """Refuses to measure beside other work, or with `force` returns a sentence to print above the table, empty if all is well.

    Raises:
        SystemExit: other processes take more than `limit` percent of a core.
    """
    used = others_cpu()
    if used <= limit:
        return ""
    if not force:
        sys.exit(f"Other processes use {used:.0f} % of a core here, so nothing was measured: end them, or go on with --force.")
    return f"Measured beside other processes that used {used:.0f} % of a core, so these figures mean little."


def machine():
    """Processor, cores, memory and versions in one line, and nothing that tells whose machine it is."""
    model = platform.processor() or platform.machine()
    flags = ""
    with contextlib.suppress(OSError):
        cpuinfo = Path("/proc/cpuinfo").read_text()
        model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)[1] if "model name" in cpuinfo else model
        found = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{name}\b", cpuinfo)]
        flags = f" ({', '.join(found)})" if found else ""
    versions = [f"Python {platform.python_version()}"]
    for name in ("torch", "numpy", "gymnasium", "pybullet", "stable-baselines3", "sbx-rl", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    memory = psutil.virtual_memory().total / 1e9
    return f"{model}{flags}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}; {', '.join(versions)}"


# --- measuring ---------------------------------------------------------------------------------------------------------------


def pss(process):
    """Bytes of memory of a process and all its descendants; what they share is counted once (elsewhere than on Linux, not)."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                info = each.memory_full_info()
                total += getattr(info, "pss", info.uss)
    return total


def watched(command, cwd, memory_every=5):
    """Runs a command and watches what it takes, its memory every so many seconds, because that costs it some milliseconds.

    Returns:
        dict with `stdout`, `stderr`, `returncode`, `wall` (seconds), `cpu` (percent of each core, the median over the seconds
        of the run) and `memory` (bytes, the highest PSS of all its processes).
    """
    started, cpu, memory = time.perf_counter(), [], 0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = psutil.Popen(command, cwd=cwd, stdout=out, stderr=errors)
        psutil.cpu_percent(percpu=True)  # the first reading of psutil is since who knows when
        try:
            while True:
                try:
                    returncode = process.wait(timeout=1.0)
                    wall = time.perf_counter() - started
                    break
                except psutil.TimeoutExpired:
                    cpu.append(psutil.cpu_percent(percpu=True))
                    if len(cpu) % memory_every == 0:
                        memory = max(memory, pss(process))
        finally:
            if process.is_running():
                process.terminate()
                process.wait()
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read())
    cpu = [statistics.median(core) for core in zip(*cpu, strict=True)]
    return {"stdout": texts[0], "stderr": texts[1], "returncode": returncode, "wall": wall, "cpu": cpu, "memory": memory}


def measure(name, **arguments):
    """Runs `measure.py NAME` in an empty folder: its result with `wall`, `cpu`, `memory`, or {"error": why there is none}."""
    words = [word for key, value in arguments.items() for word in (f"--{key.replace('_', '-')}", json.dumps(value).strip('"'))]
    print(f"measuring: {name} {' '.join(words)}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        seen = watched([sys.executable, str(HERE / "measure.py"), name, *words], folder)
    if seen["returncode"]:
        lines = seen["stderr"].strip().splitlines() or [f"exit code {seen['returncode']}"]
        return {"error": lines[-1].partition("Error: ")[2] or lines[-1]}
    return json.loads(seen["stdout"].splitlines()[-1]) | {key: seen[key] for key in ("wall", "cpu", "memory")}


# --- the rows of the quick table ----------------------------------------------------------------------------------------------


def update_rows(seconds):
    """The update on one thread and on two."""
    rows = []
    for threads in (1, 2):
        found = measure("update", threads=threads, seconds=seconds)
        where = f"{threads} thread{'s' * (threads > 1)}"
        if "error" in found:
            rows.append(not_run(f"update, {where}", found))
            continue
        kind = "bf16" if found["bf16"] else "float32"
        plain = f"{found['plain']:.0f}/s, plain transcription, float32"
        ratio = found["ours"] / found["plain"]
        rows.append(Row(f"update of batch 256, {where}", f"{found['ours']:.0f}/s in {kind}", plain, ratio, "3x", ratio >= 3))
        peak = found[f"{kind}_flops"]
        shares = [found["ours"] * found["flops"] / peak, found["plain"] * found["flops"] / found["float32_flops"]]
        rows.append(
            Row(
                f"share of the rate of a 1024 x 1024 product, {found['flops'] / 1e6:.0f} MFLOP an update, {where}",
                f"{shares[0]:.0%} of {peak / 1e9:.0f} GFLOP/s in {kind}",
                f"{shares[1]:.0%} of {found['float32_flops'] / 1e9:.0f} GFLOP/s in float32",
            )
        )
    return rows


def walk_rows(seconds):
    """The environment alone: the same ant, the same actions, the same results, one core."""
    found = measure("walk", seconds=seconds)
    if "error" in found:
        return [not_run("steps of one ant", found)]
    peer, rows = f"{found['upstream']:,.0f}/s, upstream's AntBulletEnv-v0", []
    for name, words, bound in (("ours", "MyAntBulletEnv-v0", 1.7), ("stock", "AntBulletEnv-v0 of make_env", None)):
        row = Row(f"steps of one ant on one core, {words}", f"{found[name]:,.0f}/s", peer, found[name] / found["upstream"])
        if bound:
            row.bound, row.met = f"{bound}x", row.ratio >= bound
        rows.append(row)
    return rows


def training_rows(seconds):
    """Environment steps a second with the learner at work, beside three peers, and the memory of that."""
    ours = measure("train", seconds=seconds)
    if "error" in ours:
        return [not_run("training", ours)]

    def text(found):
        busy = " + ".join(f"{core:.0f}" for core in found["cpu"])
        return f"{found['steps']:,.0f} steps/s, {found['updates']:.0f} updates/s, cores {busy} %"

    peers = {
        "stable-baselines3's TD3": ("train_peer", {"library": "sb3"}),
        "SBX's TD3": ("train_peer", {"library": "sbx"}),
        "ours, a process for each ant": ("train", {"one_process_per_ant": True}),
    }
    rows = []
    for name, (measurement, arguments) in peers.items():
        found = measure(measurement, seconds=seconds, **arguments)
        row = Row("training, fast recipe", text(ours))
        if "error" in found:
            row.peer = f"{name} not run: {found['error']}"
        else:
            row.peer, row.ratio = f"{name}: {text(found)}", ours["steps"] / found["steps"]
        rows.append(row)
    rows[0].bound, rows[0].met = "2,500 steps/s", ours["steps"] >= 2500
    total = ours["memory"] + ours["buffer_bytes"]
    words = (
        f"{total / 1e9:.2f} GB: {ours['memory'] / 1e9:.2f} GB in use + {ours['buffer_bytes'] / 1e9:.2f} GB to fill the buffer"
    )
    rows.append(Row("memory of training (PSS of all processes)", words, bound="at most 1.2 GB", met=total <= 1.2e9))
    return rows


def start_rows():
    """From nothing to the first picture, and `make ant` once everything is installed."""
    tries = [measure("first_frame") for _ in range(3)]
    if "error" in tries[0]:
        rows = [not_run("import to first frame", tries[0])]
    else:
        wall = statistics.median(found["wall"] for found in tries)
        rows = [Row("import to first frame", f"{wall:.1f} s", bound="less than 3 s", met=wall < 3)]
    with tempfile.TemporaryDirectory() as folder:
        print("measuring: viewer.py ant", file=sys.stderr, flush=True)
        seen = watched([sys.executable, "viewer.py", "ant", "--out", f"{folder}/ant.gif"], ROOT)
    if seen["returncode"]:
        return [*rows, not_run("make ant", {"error": (seen["stderr"].strip().splitlines() or ["it failed"])[-1]})]
    return [*rows, Row("make ant, installed", f"{seen['wall']:.0f} s", bound="less than 60 s", met=seen["wall"] < 60)]


def gpu_row(seconds):
    """The update on a CUDA device, if there is one."""
    found = measure("update", device="cuda", seconds=seconds)
    if "error" in found:
        return not_run("update of batch 256 on a GPU", found)
    plain = f"{found['plain']:.0f}/s, plain transcription, the same GPU"
    return Row(f"update of batch 256, {found['device']}", f"{found['ours']:.0f}/s", plain, found["ours"] / found["plain"])


# --- the rows of the full table -----------------------------------------------------------------------------------------------


def minutes_to(curve, level):
    """Minutes of wall clock, evaluations included, until the first evaluation with a mean return of `level`; None if never."""
    reached = curve["seconds"][curve["mean_return"] >= level]
    return reached[0] / 60 if len(reached) else None


def best_until(curve, minutes):
    """The best mean return within so many minutes; NaN if there was no evaluation by then."""
    return max(curve["mean_return"][curve["seconds"] <= 60 * minutes], default=float("nan"))


def learn_ant(seed, minutes, stop_at=float("inf"), name=None):
    """Trains the stock ant with the fast recipe; the curve, also kept as ours_seedN.csv, or as ours_NAME.csv.

    Ends after `minutes`, or when an evaluation's mean return reaches `stop_at`: then by the signal of Ctrl-C, which main.py
    takes as the wish to end in good order.
    """
    print(f"training: seed {seed}, up to {minutes} minutes", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        options = {"seed": seed, "max-minutes": minutes, "max-timesteps": 1_000_000_000, "name": "bench"}
        words = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, str(ROOT / "main.py"), *words, "--no-save-model"]
        path = Path(folder, "results", "bench.csv")
        with open(Path(folder, "log"), "w+") as log:
            run = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            try:
                while run.poll() is None:
                    time.sleep(1)
                    if path.exists() and minutes_to(read_curve(path), stop_at) is not None:
                        run.send_signal(signal.SIGINT)
                        run.wait()
            finally:
                if run.poll() is None:
                    run.terminate()
                    run.wait()
            log.seek(0)
            if run.returncode:
                raise RuntimeError(f"main.py ended with {run.returncode}: {log.read().strip().splitlines()[-1]}")
        shutil.copy(path, HERE / f"ours_{name or f'seed{seed}'}.csv")
        return read_curve(path)


def learning_rows(seeds=(0, 1, 2), level=2500, minutes=60, again=True):
    """Minutes to gym's own "solved" line, and how good the policy of the first seed becomes within an hour.

    Without `again` the rows are made from the curves ours_seedN.csv and ours_hour.csv of earlier runs.
    """
    if again:
        curves = [learn_ant(seed, minutes, level) for seed in seeds]
        hour = learn_ant(seeds[0], minutes, name="hour")
    else:
        *curves, hour = (read_curve(HERE / f"ours_{name}.csv") for name in [*(f"seed{seed}" for seed in seeds), "hour"])
    recorded = HERE / "sb3_to_2500_seed0.csv"
    when = "recorded earlier"
    if not recorded.exists():
        print("training: stable-baselines3, seed 0", file=sys.stderr, flush=True)
        command = [sys.executable, str(HERE / "sb3_to_2500.py"), "--seed", "0", "--csv", str(recorded)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        when = "this run"

    def text(curve, level):
        reached = minutes_to(curve, level)
        if reached is not None:
            return f"{reached:.1f}"
        return f"not within {curve['seconds'][-1] / 60:.0f}" if len(curve["seconds"]) else "never"

    times = [minutes_to(curve, level) or float("inf") for curve in curves]
    median, theirs = statistics.median(times), minutes_to(read_curve(recorded), level)
    words = f"median {median:.1f}" if median < float("inf") else "no median"
    row = Row(
        f"minutes to a mean return of {level:,}, seeds {', '.join(map(str, seeds))}",
        f"{words}; {', '.join(text(curve, level) for curve in curves)}",
    )
    row.peer = f"stable-baselines3, seed 0, {when}: {text(read_curve(recorded), level)}"
    row.bound, row.met = "at most 4", median <= 4
    if theirs is not None and median < float("inf"):
        row.ratio = theirs / median
    to_high = Row(f"minutes to a mean return of 3,300, seed {seeds[0]}", text(hour, 3300))
    to_high.bound, to_high.met = "within 30", (minutes_to(hour, 3300) or float("inf")) <= 30
    best = [f"{best_until(hour, limit):,.0f} at {limit} minutes" for limit in (30, minutes)]
    return [row, to_high, Row(f"best mean return, seed {seeds[0]}", ", ".join(best))]


AGENTS = {"plain": "plain transcription", "float32": "TD3.py in float32", "bf16": "bf16_update.py"}
"""Who learns to swing up the pendulum, in `measure.py learn`."""


def same_result_rows(seeds=(0, 1, 2, 3, 4), ant_seeds=(0, 1, 2), level=-200, again=True, **arguments):
    """Our update and the plain transcription in the same loop: what is learned must not depend on how fast it goes.

    Gymnasium's pendulum with the paper's settings, and the ant with the fast recipe.  Drawn in same_result.png.
    `again` and `arguments` as in `learn_pendulum`.
    """
    try:
        pendulum = learn_pendulum(seeds, again, **arguments)
    except RuntimeError as error:
        return [not_run("learning in the same loop", {"error": error})]
    rows = pendulum_rows(pendulum, seeds, level)
    ants = learn_ants(ant_seeds, again)
    if ants:
        rows.append(ant_row(ants, ant_seeds))
        draw_same_result(pendulum, ants, HERE / "same_result.png")
    return rows


def learn_pendulum(seeds, again, **arguments):
    """Every agent with every seed, an experiment to each core: {(agent, seed): list of (environment steps, mean return)}.

    Without `again` the curves are those in same_result.csv; `arguments` go to `measure.py learn`.

    Raises:
        RuntimeError: an experiment failed.
    """
    path = HERE / "same_result.csv"
    if again:
        jobs = [(agent, seed) for seed in seeds for agent in AGENTS]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(lambda job: measure("learn", agent=job[0], seed=job[1], **arguments), jobs))
        for each in found:
            if "error" in each:
                raise RuntimeError(each["error"])
        lines = [[*job, steps, f"{mean:.1f}"] for job, each in zip(jobs, found, strict=True) for steps, mean in each["curve"]]
        with open(path, "w", newline="") as f:
            csv.writer(f).writerows([["agent", "seed", "timesteps", "mean_return"], *lines])
    curves = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            curves.setdefault((row["agent"], int(row["seed"])), []).append((int(row["timesteps"]), float(row["mean_return"])))
    return curves


def pendulum_rows(curves, seeds, level):
    """How soon each agent reaches the level, and how often it falls below it afterwards."""

    def first(curve):
        return next((k for k, (_, mean) in enumerate(curve) if mean >= level), len(curve))

    def steps_to(agent):
        some = [curves[agent, seed] for seed in seeds]
        return ", ".join(f"{curve[first(curve)][0]:,}" if first(curve) < len(curve) else "never" for curve in some)

    def below_again(agent):
        after = [mean for seed in seeds for _, mean in curves[agent, seed][first(curves[agent, seed]) + 1 :]]
        return f"{sum(mean < level for mean in after)} of {len(after)}"

    rows = []
    for what, figures in (
        (f"steps of the pendulum to a mean return of {level}", steps_to),
        ("evaluations after that which fall below it", below_again),
    ):
        for agent in list(AGENTS)[1:]:
            words = [f"{AGENTS[each]}: {figures(each)}" for each in (agent, "plain")]
            rows.append(Row(f"{what}, seeds {', '.join(map(str, seeds))}", *words))
    return rows


def learn_ants(seeds, again):
    """The curves of `learning_rows` beside those of float32 and autograd, up to the end of the shortest.

    Returns:
        {agent: a list of curves as `read_curve` gives them}, empty if `learning_rows` has left none.
    """
    ours, float32 = ([HERE / f"ours_{kind}seed{seed}.csv" for seed in seeds] for kind in ("", "float32_"))
    if not all(curve.exists() for curve in ours):
        return {}
    if again:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(learn_ant_in_float32, seeds))
    ants = {"bf16": [read_curve(path) for path in ours], "float32": [read_curve(path) for path in float32]}
    end = min(curve["timesteps"][-1] for some in ants.values() for curve in some)
    return {
        agent: [{name: column[curve["timesteps"] <= end] for name, column in curve.items()} for curve in some]
        for agent, some in ants.items()
    }


def ant_row(ants, seeds):
    """The best evaluation of each ant."""
    end = max(curve["timesteps"][-1] for some in ants.values() for curve in some)
    texts = {agent: ", ".join(f"{max(curve['mean_return']):,.0f}" for curve in some) for agent, some in ants.items()}
    what = f"best mean return of the ant until {end:,.0f} steps, seeds {', '.join(map(str, seeds))}"
    return Row(what, f"{AGENTS['bf16']}: {texts['bf16']}", f"{AGENTS['float32']}: {texts['float32']}")


def draw_same_result(pendulum, ants, path):
    """Learning curves, a line for each seed.

    Args:
        pendulum: as `learn_pendulum` gives it.
        ants: as `learn_ants` gives it.
        path: of the picture.
    """
    looks = {
        "plain": {"color": style.GREY, "linestyle": ":"},
        "float32": {"color": style.OKABE_ITO[0], "linestyle": "--"},
        "bf16": {"color": style.OKABE_ITO[1]},
    }
    figure, (top, bottom) = style.figure(5, 7, rows=2, dpi=160)
    for (agent, _), curve in pendulum.items():
        top.plot(*zip(*curve, strict=True), label=AGENTS[agent], linewidth=1.5, **looks[agent])
    for agent, curves in ants.items():
        for curve in curves:
            bottom.plot(curve["timesteps"], curve["mean_return"], label=AGENTS[agent], linewidth=1.5, **looks[agent])
    for axes, title in ((top, "a pendulum to swing up"), (bottom, "the ant, fast recipe")):
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one for each agent
        axes.set(xlabel="environment steps", ylabel="mean return of 10 episodes", title=title)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
        style.legend(axes, handles=handles.values(), labels=handles.keys())
    figure.savefig(path)


def learn_ant_in_float32(seed, steps=300_000):
    """The fast recipe with PyTorch's own gradients in float32, on one core; kept as ours_float32_seedN.csv."""
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--seed={seed}", f"--max-timesteps={steps}", "--name=bench", "--workers=0", "--bf16=False", "--no-save-model"]
        command = [sys.executable, str(ROOT / "main.py"), *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.copy(Path(folder, "results", "bench.csv"), HERE / f"ours_float32_seed{seed}.csv")


# --- RESULTS.md ---------------------------------------------------------------------------------------------------------------


def section(rows, kind, warning="", date=None):
    """(heading, text) of one run's section in RESULTS.md."""
    heading = f"### {date or datetime.date.today().isoformat()}, {kind}"
    return heading, "\n\n".join(part for part in (heading, machine() + ".", warning, table(rows)) if part)


def put(document, heading, text):
    """The document with a section between its markers: in the place of the one with this heading, or before the others.

    Raises:
        ValueError: the markers are not there.
    """
    if not 0 <= document.find(BEGIN) < document.find(END):
        raise ValueError(f"RESULTS.md lacks the lines '{BEGIN}' and '{END}': put them where the tables shall stand.")
    before, _, rest = document.partition(BEGIN)
    inside, _, after = rest.partition(END)
    sections = [part.strip() for part in re.split(r"(?m)^(?=### )", inside) if part.strip()]
    there = [k for k, part in enumerate(sections) if part.splitlines()[0] == heading]
    sections[slice(there[0], there[0] + 1) if there else slice(0, 0)] = [text]
    return before + BEGIN + "\n\n" + "\n\n".join(sections) + "\n\n" + END + after


def command_line():
    """`bench.py`: measures, prints, and with --write keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="add what takes hours: learning curves, quality, equality")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md, under today's date")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy, and say so")
    parser.add_argument(
        "--recorded", action="store_true", help="with --full: the learning curves of an earlier run, beside new speeds"
    )
    parser.add_argument("--seconds", type=float, default=25.0, help="of each training; less gives rougher figures")
    args = parser.parse_args()
    warning = check_idle(args.force)
    short = args.seconds / 25  # the length of a turn of an update
    rows = [*update_rows(short), *walk_rows(short), *training_rows(args.seconds), *start_rows(), gpu_row(short)]
    for group in (learning_rows, same_result_rows) if args.full else ():
        try:
            rows += group(again=not args.recorded)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:  # the rows before it took hours
            rows.append(not_run(group.__name__, {"error": error}))
    heading, text = section(rows, "full" if args.full else "quick", warning)
    print(text)
    if args.write:
        path = HERE / "RESULTS.md"
        path.write_text(put(path.read_text(encoding="utf-8"), heading, text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(command_line())
