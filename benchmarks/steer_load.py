"""Load test of the steering page: eight visitors, a hundred clicks a second, and two hundred connections that break.

    python -m benchmarks.steer_load                   a minute
    python -m benchmarks.steer_load --seconds 10

The server has a process of its own, as with `make steer`; the visitors share this one.  Needs the packages of `make test`.
"""

import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np
import psutil
import torch
import viser
from viser import _messages
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from training.cli import run_cli
from utils import load_policy
from viewing.server import serving
from viewing.steer import Simulation, SteeringApp

VISITORS, CLICKS_PER_SECOND = 8, 100


@dataclass
class LoadResult:
    """What was measured.

    Attributes:
        rates: simulation steps per second, one value for each second.
        memory: bytes in use by the server's process at the end of each second.
        clicks: number of clicks made.
        arrived: number of clicks that gave the ant a target.
        lost: number of further visitors, whose connections were cut.
        received: bytes per second sent to each visitor.
    """

    rates: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    clicks: int = 0
    arrived: int = 0
    lost: int = 0
    received: float = 0.0

    def __str__(self) -> str:
        warm = min(10, len(self.memory) // 2)
        return (
            f"{np.mean(self.rates):.1f} steps per second, {min(self.rates):.1f} in the slowest second\n"
            f"{self.arrived} of {self.clicks} clicks arrived; {self.lost} connections were cut\n"
            f"memory: {self.memory[warm] / 1e6:.1f} MB after {warm + 1} s, {self.memory[-1] / 1e6:.1f} MB after "
            f"{len(self.memory)} s\n"
            f"{self.received / 1e3:.0f} kB per second to each visitor"
        )


class Visitor:
    """A client of a viser server without a browser: it sends its camera, reads all messages, and clicks."""

    def __init__(self, port: int) -> None:
        self.socket = connect(
            f"ws://127.0.0.1:{port}", subprotocols=[Subprotocol(f"viser-v{viser.__version__}")], max_size=None
        )
        camera: dict[str, Any] = {"wxyz": (1, 0, 0, 0), "position": (0, 0, 3), "fov": 1.0, "near": 0.1, "far": 100.0}
        camera |= {"image_height": 300, "image_width": 400, "look_at": (1, 0, 0), "up_direction": (0, 0, 1)}
        self.send(_messages.ViewerCameraMessage(**camera))
        self.received = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Counts the bytes that arrive, until the connection ends."""
        try:
            for message in self.socket:
                self.received += len(message)
        except Exception:  # it ended without a closing handshake
            pass

    def send(self, message: Any) -> None:
        """Sends a message of viser's protocol."""
        self.socket.send(msgspec.msgpack.encode(message.as_serializable_dict([])))

    def click(self, direction: tuple[float, float, float]) -> None:
        """Clicks where a ray from 3 m above the ant meets the ground."""
        self.send(_messages.ScenePointerMessage("click", (0.0, 0.0, 3.0), direction, ((0.5, 0.5),), None))

    def cut(self) -> None:
        """Ends the connection without a closing handshake, like a phone that loses its network."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)


def serve(pipe: Connection, model: str) -> None:
    """The server's process: answers each True with (steps, clicks that arrived, bytes in use, clock), and ends at False."""
    torch.set_num_threads(1)
    simulation, arrived = Simulation({model: load_policy(model)}), 0
    add_target = simulation.add_target

    def count(*click: Any) -> None:
        nonlocal arrived
        arrived += 1
        add_target(*click)

    simulation.add_target = count  # type: ignore[assignment, method-assign]
    with serving() as server:
        app, stop = SteeringApp(server, simulation), threading.Event()
        thread = threading.Thread(target=app.run, kwargs={"stop": stop})
        thread.start()
        pipe.send(server.get_port())
        while pipe.recv():
            pipe.send((simulation.steps, arrived, psutil.Process().memory_info().rss, time.perf_counter()))
        stop.set()
        thread.join()
    simulation.close()


def load(seconds: int = 60, model: str = "random_circle_final", vanishing: int = 200) -> LoadResult:
    """Runs the server and the visitors.

    Args:
        seconds: duration, at least 4.
        model: name of a run or a shipped model.
        vanishing: number of further visitors, whose connections are cut.

    Raises:
        TimeoutError: a visitor receives nothing.
    """
    with server_process(model) as (port, ask):
        return click_around(port, ask, seconds, vanishing)


@contextlib.contextmanager
def server_process(model: str) -> Iterator[tuple[int, Callable[[], tuple[int, int, int, float]]]]:
    """The page in a process of its own: its port, and a function that asks for what `serve` answers."""
    context = multiprocessing.get_context("spawn")
    pipe, servers_pipe = context.Pipe()
    server = context.Process(target=serve, args=(servers_pipe, model), daemon=True)
    server.start()
    servers_pipe.close()

    def ask() -> tuple[int, int, int, float]:
        pipe.send(True)
        return pipe.recv()

    try:
        yield pipe.recv(), ask
        pipe.send(False)
        server.join(20)
    finally:
        server.kill()


def click_around(port: int, ask: Callable[[], tuple[int, int, int, float]], seconds: int, vanishing: int) -> LoadResult:
    """The visitors.  Those that vanish never click, so that every click can be counted."""
    result = LoadResult()
    visitors = [Visitor(port) for _ in range(VISITORS)]
    deadline = time.perf_counter() + 60
    while not all(visitor.received > 10_000 for visitor in visitors):
        if time.perf_counter() > deadline:
            raise TimeoutError("A visitor of the steering page received nothing within 60 s.")
        time.sleep(0.1)
    steps, _, _, clock = ask()
    rng, begun, before = np.random.default_rng(0), time.perf_counter(), visitors[0].received
    leaving: list[Visitor] = []
    arrivals = [*np.diff(np.linspace(0, vanishing, seconds).astype(int)), 0]  # each stays for a second
    for second, count in enumerate(arrivals):
        for visitor in leaving:
            visitor.cut()
        result.lost += len(leaving)
        leaving = [Visitor(port) for _ in range(count)]
        for k in range(CLICKS_PER_SECOND):
            angle = rng.uniform(0, 2 * np.pi)
            visitors[rng.integers(VISITORS)].click((np.cos(angle), np.sin(angle), -0.4))  # 7.5 m from the ant
            result.clicks += 1
            time.sleep(max(0.0, begun + second + (k + 1) / CLICKS_PER_SECOND - time.perf_counter()))
        steps_now, result.arrived, memory, clock_now = ask()
        result.rates.append((steps_now - steps) / (clock_now - clock))
        result.memory.append(memory)
        steps, clock = steps_now, clock_now
    result.received = (visitors[0].received - before) / (time.perf_counter() - begun)
    deadline = time.perf_counter() + 5
    while result.arrived < result.clicks and time.perf_counter() < deadline:  # the last clicks are still on their way
        time.sleep(0.1)
        result.arrived = ask()[1]
    return result


def main(seconds: int = 60, model: str = "random_circle_final", vanishing: int = 200) -> None:
    """Runs the load test and prints the result.

    Args:
        seconds: Duration in seconds, at least 4.
        model: Name of a run or a shipped model.
        vanishing: Number of further visitors, whose connections are cut.
    """
    print(load(seconds, model, vanishing))


if __name__ == "__main__":
    run_cli(main, description=__doc__)
