"""What limits a sweep of 1,000 runs on 100 machines: a simulation of its checkpoints, its head node, and machines that fail.

    python -m benchmarks.sweep_scale              simulates for a minute, and draws
    python -m benchmarks.sweep_scale --measure    measures how long the head node takes for one evaluation; needs the extra `sweep`

Writes sweep_scale.csv and sweep_scale.png to the folder of this file.

A run trains, is evaluated, and writes a checkpoint now and then.  Checkpoints go to one shared storage, which writes them one
after the other; a run goes on training meanwhile, but waits when its next checkpoint is due before the last one is written.  Each
evaluation is reported to Ray Tune's loop on the head node, which takes them one after the other, and the run waits until its own
is taken.  When a machine fails, its runs lose what they did since their last checkpoint, read it, and go on.  What is simulated is
the useful fraction: steps that were not lost, divided by those of undisturbed runs.
"""

import csv
import dataclasses
import heapq
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import FOLDER
from training.cli import run_cli
from viewing import style

RUNS = [30, 100, 300, 1000, 2000, 4000, 10_000]


@dataclass(frozen=True)
class Setup:
    """A cluster and the settings of a sweep on it.

    Attributes:
        steps_per_second: of one run on one core, without all that is simulated here.
        eval_freq: steps between evaluations.
        checkpoint_minutes: between checkpoints.
        checkpoint_bytes: of one checkpoint; 211 MB is a full replay buffer of 800,000 transitions of the ant.
        storage_rate: bytes per second of the shared storage; 1.25e9 is a file server with a network of 10 Gbit/s.
        report_seconds: of the head node for one evaluation, as `--measure` says.
        runs_per_machine: that share its fate.
        machine_hours: mean time between failures of a machine.
        restart_seconds: until a lost machine is noticed and a run is started again.
    """

    steps_per_second: float = 900.0
    eval_freq: int = 50_000
    checkpoint_minutes: float = 3.0
    checkpoint_bytes: float = 211e6
    storage_rate: float = 1.25e9
    report_seconds: float = 0.0014
    runs_per_machine: int = 10
    machine_hours: float = 100.0
    restart_seconds: float = 60.0


SETUPS = {
    "defaults": Setup(),
    "buffer_size=200_000": Setup(checkpoint_bytes=53e6),
    "checkpoint_minutes=15": Setup(checkpoint_minutes=15),
    "storage ten times as fast": Setup(storage_rate=12.5e9),
    "these three": Setup(checkpoint_minutes=15, checkpoint_bytes=53e6, storage_rate=12.5e9),
    "these three, eval_freq=5_000": Setup(checkpoint_minutes=15, checkpoint_bytes=53e6, storage_rate=12.5e9, eval_freq=5_000),
}
"""The default values of `main()` and a storage of 10 Gbit/s, and what is changed."""


def simulate(setup: Setup, runs: int, hours: float = 2.0, seed: int = 0) -> dict[str, float]:
    """One sweep, with all of its runs at the same time.

    Args:
        setup: the cluster and the settings.
        runs: number of runs.
        hours: simulated time.
        seed: of the random phases of the runs and the failures.

    Returns:
        `useful`, the fraction of the steps of undisturbed runs that was done and not lost; `storage` and `head`, the fractions of
        the time in which these were busy; `lost`, the fraction of the steps that was lost with machines.
    """
    rng = np.random.default_rng(seed)
    end, evaluation = 3600 * hours, setup.eval_freq / setup.steps_per_second
    interval, writing = 60 * setup.checkpoint_minutes, setup.checkpoint_bytes / setup.storage_rate
    free = {"storage": 0.0, "head": 0.0}  # when each will have done what it was given
    busy = {"storage": 0.0, "head": 0.0}

    def serve(what, now, seconds):
        """The time at which a queue has done one more job."""
        free[what] = max(free[what], now) + seconds
        busy[what] += seconds
        return free[what]

    done = np.zeros(runs)  # seconds of training
    saved = np.zeros((runs, 3))  # training at the last whole checkpoint; training in, and end of, the one that is being written
    lives = np.zeros(runs, dtype=int)  # a failure ends one, and makes its events void
    lost = 0.0
    # (time, kind, run, life): an evaluation or a checkpoint is due, a machine fails, a run starts again
    events = [(t, "evaluation", run, 0) for run, t in enumerate(rng.uniform(0, evaluation, runs))]
    events += [(t, "checkpoint", run, 0) for run, t in enumerate(rng.uniform(0, interval, runs))]
    machines = -(-runs // setup.runs_per_machine)
    failures = rng.poisson(end * machines / (3600 * setup.machine_hours))
    events += [(t, "failure", int(rng.integers(machines)), 0) for t in rng.uniform(0, end, failures)]
    heapq.heapify(events)
    trained_to = np.zeros(runs)  # up to which time `done` is counted
    waits_until = np.zeros(runs)

    def advance(run, now):
        """Counts the training of a run up to now."""
        done[run] += max(0.0, now - max(trained_to[run], waits_until[run]))
        trained_to[run] = now
        if saved[run, 2] <= now and saved[run, 2] > 0:
            saved[run, 0], saved[run, 2] = saved[run, 1], 0.0

    while events and events[0][0] < end:
        now, kind, run, life = heapq.heappop(events)
        if kind == "failure":
            for each in range(run * setup.runs_per_machine, min(runs, (run + 1) * setup.runs_per_machine)):
                advance(each, now)
                lost += done[each] - saved[each, 0]
                done[each], saved[each, 2] = saved[each, 0], 0.0
                lives[each] += 1
                waits_until[each] = np.inf
                heapq.heappush(events, (now + setup.restart_seconds, "restart", each, int(lives[each])))
            continue
        if life != lives[run]:
            continue
        if kind == "restart":
            waits_until[run] = serve("storage", now, writing)  # it reads its checkpoint
            for again, after in (("evaluation", evaluation), ("checkpoint", interval)):
                heapq.heappush(events, (waits_until[run] + after, again, run, life))
            continue
        if waits_until[run] > now:  # it waits for something, and does this when it goes on
            heapq.heappush(events, (waits_until[run], kind, run, life))
            continue
        advance(run, now)
        if kind == "evaluation":
            waits_until[run] = serve("head", now, setup.report_seconds)
            heapq.heappush(events, (waits_until[run] + evaluation, kind, run, life))
        elif saved[run, 2] > now:  # the last one is not written yet
            waits_until[run] = saved[run, 2]
            heapq.heappush(events, (saved[run, 2], kind, run, life))
        else:
            saved[run, 1], saved[run, 2] = done[run], serve("storage", now, writing)
            heapq.heappush(events, (now + interval, kind, run, life))
    for run in range(runs):
        advance(run, end)
    return {
        "useful": done.sum() / (runs * end),
        "storage": min(1.0, busy["storage"] / end),
        "head": min(1.0, busy["head"] / end),
        "lost": lost / (runs * end),
    }


def measure_report(reports: int = 300, trials: int = 20, waiting: int = 980) -> float:
    """Seconds of the head node for one report: trials that do nothing but report, on Ray Tune on this machine.

    A trial waits until its report is taken, so with so many trials the head node always has one to take.  They begin together,
    when all of them have started, because a start takes seconds.  The trials share the cores with the head node, so the result is
    a little too high.

    Args:
        reports: of each trial.
        trials: at the same time.
        waiting: more trials, which never start, because the head node looks at all trials of a sweep now and then.
    """
    import ray
    from ray import tune

    from sweep import connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def report_only(config):
            (folder / f"{config['trial']}.started").touch()
            while len(list(folder.glob("*.started"))) < trials:
                time.sleep(0.05)
            began = time.time()
            for k in range(reports):
                tune.report({"timesteps": k, "seconds": 1.0 * k, "mean_return": 0.0})
            np.savetxt(folder / f"{config['trial']}.times", [began, time.time()])

        class AllReported(tune.Stopper):
            def __call__(self, trial_id, result):
                return False

            def stop_all(self):
                return len(list(folder.glob("*.times"))) == trials

        connect(None, 1)
        try:
            tune.Tuner(
                tune.with_resources(report_only, {"cpu": 0.01}),
                param_space={"trial": tune.grid_search(list(range(trials + waiting)))},
                tune_config=tune.TuneConfig(max_concurrent_trials=trials),
                run_config=tune.RunConfig(
                    storage_path=name, stop=AllReported(), progress_reporter=tune.CLIReporter(), verbose=0
                ),
            ).fit()
        finally:
            ray.shutdown()
        times = np.array([np.loadtxt(path) for path in folder.glob("*.times")])
    return (times[:, 1].max() - times[:, 0].min()) / (reports * len(times))


COLUMNS = ["setup", "runs", "useful", "storage", "head", "lost"]


def draw(rows: list[list[Any]], path: Path) -> Path:
    """The useful fraction over the number of runs, a line for each setup."""
    figure, ax = style.figure(6.4, 4.4, dpi=160)
    for name, color, marker in zip(SETUPS, style.OKABE_ITO, "os^Dvx", strict=False):
        points = [(float(row[1]), float(row[2])) for row in rows if row[0] == name]
        ax.plot(*zip(*points, strict=True), label=name, color=color, marker=marker, linewidth=style.LINE, markersize=7)
    ax.axvline(1000, color=style.GREY, linewidth=1, linestyle="--", label="1,000 runs")
    ax.set(xlabel="runs at the same time, 10 on each machine", ylabel="useful fraction of the steps", ylim=(0, 1.03))
    ax.set_xscale("log")
    style.legend(ax, loc="lower left")
    figure.savefig(path)
    return path


def main(measure: bool = False, report_seconds: float | None = None, hours: float = 2.0, folder: Path = FOLDER) -> None:
    """Simulates and draws.

    Args:
        measure: Only measure the head node's seconds for one evaluation on this machine.
        report_seconds: These seconds, instead of those measured for this repository.
        hours: Simulated time.
        folder: Folder of the files.
    """
    if measure:
        print(f"{1000 * measure_report():.1f} ms for one evaluation")
        return
    rows = []
    for name, setup in SETUPS.items():
        changed = setup if report_seconds is None else dataclasses.replace(setup, report_seconds=report_seconds)
        for runs in RUNS:
            found = simulate(changed, runs, hours)
            rows.append([name, runs, *(round(found[column], 4) for column in COLUMNS[2:])])
    with open(folder / "sweep_scale.csv", "w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([COLUMNS, *rows])
    print(draw(rows, folder / "sweep_scale.png"))


if __name__ == "__main__":
    run_cli(main, description=__doc__)
