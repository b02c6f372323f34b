"""Updates per second of TD3, and the rate of matrix products that limits it."""

import functools
import statistics
import time
from typing import Any

import numpy as np
import torch

from benchmarks.plain_td3 import PlainBuffer, PlainTD3
from TD3 import TD3
from training.args import fast_bf16
from training.bf16_update import Bf16TD3
from training.cuda_graph import CudaGraphTD3
from utils import ReplayBuffer

S, A = 28, 8
"""Sizes of the ant's state and action."""

AGENTS: dict[str, Any] = {
    "plain": PlainTD3,
    "float32": TD3,
    "float32_by_hand": functools.partial(Bf16TD3, dtype=torch.float32),
    "bf16": Bf16TD3,
    "cuda": CudaGraphTD3,
}
"""The plain transcription, PyTorch's own gradients, gradients written by hand, and CUDA graphs."""


def agent_of_main(device: str = "cpu") -> str:
    """The name in `AGENTS` of the agent that `main()` chooses on this machine."""
    return "cuda" if device == "cuda" else "bf16" if fast_bf16() else "float32"


def flops_of_update(
    state_dim: int = S, action_dim: int = A, hidden: int = 256, batch_size: int = 256, policy_freq: int = 2
) -> float:
    """Floating-point operations in the matrix products of a TD3 update, the mean over updates with and without the actor.

    A linear layer from m to n units costs 2 B m n forward, as much again for the gradient of its weights, and as much for the
    gradient of its input.  A first layer needs the latter only if something learns through it.

        critics: 1 actor and 2 critics forward for the target, 2 critics forward, 2 backward (weights and inner inputs)
        actor, once in `policy_freq` updates: 1 actor and 1 critic forward; back through all inputs of that critic, and
            through the actor (weights and inner inputs)

    Activations, losses, Adam and the target networks are left out: they cost far less than the products.
    """
    actor = [state_dim * hidden, hidden * hidden, hidden * action_dim]
    critic = [(state_dim + action_dim) * hidden, hidden * hidden, hidden]
    critics = sum(actor) + 2 * sum(critic) + 2 * (sum(critic) + sum(critic) + sum(critic[1:]))
    actors = sum(actor) + sum(critic) + sum(critic) + sum(actor) + sum(actor[1:])
    return 2 * batch_size * (critics + actors / policy_freq)


def matrix_rate(dtype: torch.dtype, size: int = 1024, seconds: float = 1.0) -> float:
    """Floating-point operations per second in the product of two square matrices, from the fastest product in `seconds`."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def random_buffer(buffer_class: type, size: int = 100_000, **kwargs: Any) -> Any:
    """A `ReplayBuffer` or `PlainBuffer` of `size` random transitions of the ant's shape, none of them terminal."""
    rng, buffer = np.random.default_rng(0), buffer_class(S, A, size, seed=0, **kwargs)
    transitions = [rng.normal(size=(size, S)), rng.uniform(-1, 1, (size, A)), rng.normal(size=(size, S))]
    transitions += [rng.normal(size=(size, 1)), np.full((size, 1), 1.0 if buffer_class is PlainBuffer else 0.99)]
    for column, values in zip(buffer.columns, transitions, strict=True):
        torch.as_tensor(column).copy_(torch.from_numpy(values))
    buffer.size = size
    return buffer


def alternate(
    agents: dict[str, tuple[Any, Any]], batch_size: int = 256, seconds: float = 1.0, rounds: int = 5
) -> dict[str, float]:
    """Updates per second, sampling included: {name: median over the rounds}.

    The agents take turns, so that a change of the clock rate affects all of them.

    Args:
        agents: {name: (agent, its buffer)}.
        batch_size: transitions of an update.
        seconds: duration of a turn.
        rounds: turns of each agent.
    """
    rates: dict[str, list[float]] = {name: [] for name in agents}
    for k in range(rounds + 1):  # the first round warms up
        for name, (agent, buffer) in agents.items():
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < (seconds if k else seconds / 4):
                for _ in range(agent.policy_freq):  # whole cycles of critic and actor updates
                    agent.train(buffer, batch_size)
                count += agent.policy_freq
                if agent.device.type == "cuda":
                    torch.cuda.synchronize()
            if k:
                rates[name].append(count / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}


def updates_per_second(
    names: list[str],
    threads: int = 1,
    batch_size: int = 256,
    hidden: int = 256,
    device: str = "cpu",
    seconds: float = 1.0,
    rounds: int = 5,
) -> dict[str, float]:
    """Updates per second of some `AGENTS`, and on a CPU the matrix rates of both formats.

    Args:
        names: keys of `AGENTS`.
        threads: number of PyTorch threads.
        batch_size, hidden, device: as for `TD3` and its `train`.
        seconds, rounds: as for `alternate`.

    Returns:
        {name: updates per second}, and "float32_rate" and "bf16_rate" in FLOP/s.

    Raises:
        RuntimeError: there is no CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device")
    torch.set_num_threads(threads)
    plain, buffer = random_buffer(PlainBuffer, device=device), random_buffer(ReplayBuffer, device=device)
    agents = {
        name: (AGENTS[name](S, A, 1.0, hidden=hidden, device=device), plain if name == "plain" else buffer) for name in names
    }
    result = alternate(agents, batch_size, seconds, rounds)
    if device == "cpu":
        result["float32_rate"] = matrix_rate(torch.float32, seconds=seconds)
        result["bf16_rate"] = matrix_rate(torch.bfloat16, seconds=seconds)
    return result
