"""What the checks for nan and infinity cost, as a share of the learner's CPU time.

python -m benchmarks.finite_checks
"""

import os
import tempfile
import time
from collections import Counter

import training.finite
from benchmarks.machine import describe
from main import main

CHECKS = ("check_actions", "check_losses", "check_weights", "check_steps")


def timed(function, spent):
    """The function, which adds its CPU time to a `Counter`."""

    def wrapper(*args):
        before = time.thread_time()
        function(*args)
        spent[function.__name__] += time.thread_time() - before

    return wrapper


if __name__ == "__main__":
    print(describe())
    os.chdir(tempfile.mkdtemp())
    spent: Counter = Counter()
    for name in CHECKS:
        setattr(training.finite, name, timed(getattr(training.finite, name), spent))
    for bf16 in (True, False):
        spent.clear()
        before = time.thread_time()
        main(bf16=bf16, max_timesteps=40_000, start_timesteps=5_000, eval_freq=40_000, eval_episodes=1)
        total = time.thread_time() - before
        shares = ", ".join(f"{name} {100 * seconds / total:.2f} %" for name, seconds in spent.items())
        print(f"bf16={bf16}: {100 * sum(spent.values()) / total:.2f} % of {total:.1f} s ({shares})")
