"""The page on which one steers, before a crowd: eight look on, click a hundred times a second, and some vanish.

    .venv/bin/python benchmarks/steer_load.py              a minute, as it should be held
    .venv/bin/python benchmarks/steer_load.py --seconds 10

The server has a process of its own, as `make steer` gives it; the visitors share this one.  Needs the packages of `make test`.
"""

import multiprocessing
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
sys.path.append(str(ROOT / "benchmarks"))

VISITORS, CLICKS_A_SECOND = 8, 100


@dataclass
class Seen:
    """What was measured.

    Attributes:
        rates: steps a second, one for each second.
        memory: bytes of the server's process that were in use at the end of each second.
        clicks: how many were made.
        arrived: how many of them sent the ant somewhere.
        vanished: visitors that were cut off without a goodbye.
        received: bytes sent to the visitors that stayed, in a second and to each.
    """

    rates: list = field(default_factory=list)
    memory: list = field(default_factory=list)
    clicks: int = 0
    arrived: int = 0
    vanished: int = 0
    received: float = 0.0

    def __str__(self):
        warm = min(10, len(self.memory) // 2)
        return (
            f"{np.mean(self.rates):.1f} steps a second, in the slowest second {min(self.rates):.1f}\n"
            f"{self.arrived} of {self.clicks} clicks arrived; {self.vanished} visitors vanished\n"
            f"memory: {self.memory[warm] / 1e6:.1f} MB after {warm + 1} s, {self.memory[-1] / 1e6:.1f} MB after "
            f"{len(self.memory)} s\n"
            f"{self.received / 1e3:.0f} kB a second to each visitor"
        )


def serve(pipe, model):
    """In a process of its own: the page, and an answer (steps, clicks that arrived, bytes in use, clock) whenever one asks."""
    import psutil
    import torch

    from stage import serving
    from steer import Life, Page
    from viewer import load_policy

    torch.set_num_threads(1)
    life, arrived = Life({model: load_policy(model)}), 0
    send = life.send

    def count(*click):
        nonlocal arrived
        arrived += 1
        send(*click)

    life.send = count
    with serving() as server:
        page, stop = Page(server, life), threading.Event()
        thread = threading.Thread(target=page.run, kwargs={"stop": stop})
        thread.start()
        pipe.send(server.get_port())
        while pipe.recv():
            pipe.send((life.steps, arrived, psutil.Process().memory_info().rss, time.perf_counter()))
        stop.set()
        thread.join()
    life.close()


def load(seconds=60, model="random_circle_final"):
    """Lets a crowd at the page.

    Args:
        seconds: for so long, at least 4.
        model: the policy of the ant.

    Returns:
        a `Seen`.
    """
    from browser import wait
    from visitor import Visitor

    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, model), daemon=True)
    server.start()
    theirs.close()
    try:
        port, seen = pipe.recv(), Seen()

        def ask():
            pipe.send(True)
            return pipe.recv()

        visitors = [Visitor(port) for _ in range(VISITORS)]
        wait(lambda: all(visitor.received > 10_000 for visitor in visitors), 60, "someone sees nothing")
        steps, _, _, clock = ask()
        rng, begun, before = np.random.default_rng(0), time.perf_counter(), visitors[0].received
        for second in range(seconds):
            for k in range(CLICKS_A_SECOND):
                angle = rng.uniform(0, 2 * np.pi)
                visitors[rng.integers(VISITORS - 2)].click((np.cos(angle), np.sin(angle), -0.4))  # 7.5 m from the ant
                seen.clicks += 1
                time.sleep(max(0.0, begun + second + (k + 1) / CLICKS_A_SECOND - time.perf_counter()))
            now, seen.arrived, memory, clock_now = ask()
            seen.rates.append((now - steps) / (clock_now - clock))
            seen.memory.append(memory)
            steps, clock = now, clock_now
            if second in (
                seconds // 3,
                2 * seconds // 3,
            ):  # one of the two that never click, so that every click can be counted
                visitors.pop(VISITORS - 2).vanish()
                seen.vanished += 1
                visitors.append(Visitor(port))
        seen.received = (visitors[0].received - before) / (time.perf_counter() - begun)
        deadline = time.perf_counter() + 5
        while seen.arrived < seen.clicks and time.perf_counter() < deadline:  # what is still on its way
            time.sleep(0.1)
            seen.arrived = ask()[1]
        pipe.send(False)
        server.join(20)
        return seen
    finally:
        server.kill()


def main(seconds: int = 60, model: str = "random_circle_final"):
    """Lets eight visitors at the page and prints how the ant fared.

    Args:
        seconds: for so long, at least 4
        model: name of a run or a shipped model
    """
    print(load(seconds, model))


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
