"""How many runs an hour a sweep does, from one at a time to as many as this machine has cores.

    python -m benchmarks.sweep_speed            measures for some minutes, and draws
    python -m benchmarks.sweep_speed --draw-only  only draws

Writes sweep_speed.csv and sweep_speed.png to the folder of this file.  Needs the extra `sweep`.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import FOLDER, measured_rows
from sweep import sweep
from training.cli import run_cli
from viewing import style

COLUMNS = ["cpus_per_trial", "concurrent", "steps_per_second", "runs_per_hour"]
RUN_STEPS = 600_000
"""Environment steps of the runs that are counted."""


def measure(cpus_per_trial: int, concurrent: int, steps: int, **arguments: Any) -> list[float]:
    """One row of `COLUMNS`: runs of the fast recipe, each of so many steps, all at the same time.

    The start of Ray and of the processes counts, as in any sweep; with the runs of `steps` it is spread over fewer steps than
    with those of `RUN_STEPS`, so the result is a little too low.

    Args:
        cpus_per_trial, concurrent: as for a sweep.
        steps: environment steps of each run.
        **arguments: others of the runs.

    Raises:
        RuntimeError: a run was interrupted, or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments |= {"max_timesteps": steps, "root": folder}
        started = time.perf_counter()
        result = sweep(seeds=concurrent, concurrent=concurrent, cpus_per_trial=cpus_per_trial, **arguments)
        rate = concurrent * steps / (time.perf_counter() - started)
    if (states := set(result.trials["status"].to_pylist())) != {"finished"}:
        raise RuntimeError(f"Nothing was written, because of {concurrent} runs some are {', '.join(states - {'finished'})}.")
    return [cpus_per_trial, concurrent, round(rate, 1), round(3600 * rate / RUN_STEPS, 2)]


def draw(rows: list[list[float]], path: Path) -> Path:
    """Runs per hour over the number of runs at a time, a line for each number of CPUs of a run."""
    figure, ax = style.figure(5, 3.8, dpi=160)
    for cpus, color, marker in zip(sorted({row[0] for row in rows}), style.OKABE_ITO, "os^D", strict=False):
        points = [(row[1], row[3]) for row in rows if row[0] == cpus]
        label = f"{cpus:.0f} CPU{'s' if cpus > 1 else ''} a run"
        ax.plot(*zip(*points, strict=True), label=label, color=color, marker=marker, linewidth=style.LINE, markersize=8)
    ax.margins(0.1)
    ax.set(xlabel="runs at the same time", ylabel=f"runs of {RUN_STEPS:,} steps an hour", ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    style.legend(ax, loc="upper left")
    figure.savefig(path)
    return path


def main(draw_only: bool = False, force: bool = False, steps: int = 150_000, folder: Path = FOLDER) -> None:
    """Measures and draws.

    Args:
        draw_only: Drawing of sweep_speed.csv without measuring.
        force: Measurement on a busy machine, with a warning.
        steps: Environment steps of each run.
        folder: Folder of the files.
    """
    cores = os.cpu_count() or 1
    counts = sorted({2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores})
    pairs: list[tuple[int, int]] = [(1, n) for n in counts] + [(2, n) for n in counts if 2 * n <= cores]
    rows = measured_rows(
        folder / "sweep_speed.csv", COLUMNS, lambda: [measure(cpus, n, steps) for cpus, n in pairs], draw_only, force
    )
    print(draw([[float(value) for value in row] for row in rows], folder / "sweep_speed.png"))


if __name__ == "__main__":
    run_cli(main, description=__doc__)
