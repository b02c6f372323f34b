"""Trains for an hour with many evaluations, and follows memory, open files and physics clients.

    python -m benchmarks.endurance [--minutes 60]

After the replay buffer is full, none of them should grow.
"""

import os
import tempfile
import time

import numpy as np
import psutil
import pybullet
import tyro

from benchmarks.machine import describe
from benchmarks.process import pss
from main import main

MAX_CLIENTS = 1024
"""PyBullet's limit, in its pybullet.c."""


def clients() -> int:
    """Number of physics clients of this process."""
    return sum(pybullet.getConnectionInfo(client)["isConnected"] for client in range(MAX_CLIENTS))


def endurance(minutes: float = 60, eval_freq: int = 5_000, buffer_size: int = 100_000) -> None:
    """Prints a line a minute and, at the end, the growth since the buffer was full.

    Args:
        minutes: Duration.
        eval_freq: Environment steps between evaluations of two episodes.
        buffer_size: Transitions in the replay buffer.
    """
    print(describe())
    process, rows, printed = psutil.Process(), [], 0.0

    def look(row):
        nonlocal printed
        memory = [pss(each) / 1e6 for each in (process, *process.children(recursive=True))]
        rows.append([row["timesteps"], memory[0], sum(memory[1:]), process.num_fds(), clients(), process.num_threads()])
        if time.perf_counter() - printed > 60:
            printed = time.perf_counter()
            print("{:>10,} steps  {:.0f} + {:.0f} MB  {} files  {} clients  {} threads".format(*rows[-1]), flush=True)

    os.chdir(tempfile.mkdtemp())
    main(
        eval_freq=eval_freq,
        eval_episodes=2,
        buffer_size=buffer_size,
        max_minutes=minutes,
        max_timesteps=10**9,
        on_evaluation=look,
    )
    full = np.array([row for row in rows if row[0] > 2 * buffer_size])
    tenth = max(1, len(full) // 10)
    first, last = full[:tenth].mean(0), full[-tenth:].mean(0)
    print(f"{len(rows)} evaluations, {rows[-1][0]:,} steps.  Mean of the first and of the last tenth with a full buffer:")
    for name, a, b in zip(("learner MB", "workers MB", "files", "clients", "threads"), first[1:], last[1:], strict=True):
        print(f"{name:>12}: {a:.1f} -> {b:.1f}")


if __name__ == "__main__":
    tyro.cli(endurance)
