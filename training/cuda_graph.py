"""TD3 on a CUDA device: the update of `TD3.py`, recorded once as a CUDA graph and then replayed.

An update of two small networks is some two hundred tiny kernels, and starting each from Python takes far longer than running
it.  A graph starts all of them at once, as LeanRL does (see PyTorch's notes on CUDA graphs).
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from TD3 import TD3

WARM_UP = 3
"""Updates of each kind before the recording, in which libraries allocate what they need, as PyTorch advises."""


class FixedBatch:
    """A replay buffer whose batch stays in the same tensors, which a CUDA graph needs."""

    def __init__(self, batch: tuple[Tensor, ...]) -> None:
        self.batch = tuple(tensor.clone() for tensor in batch)

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        return self.batch


class CudaGraphTD3(TD3):
    """`TD3.TD3` with its update recorded as two CUDA graphs: one of the critics alone, and one of everything.

    Args:
        *args, **kwargs: as for `TD3.TD3`; `device` is a CUDA device.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        warnings.warn("device='cuda' is experimental: it was tested without a CUDA device.", stacklevel=2)
        self._forget_graphs()

    def _forget_graphs(self):
        for optimizer in (self.actor_optimizer, self.critic_optimizer):
            optimizer.param_groups[0]["capturable"] = True  # its step count is on the device then
        self.warm_ups = {False: 0, True: 0}
        self.graphs: dict[bool, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}
        self.inputs: FixedBatch | None = None

    def load(self, filename: str | Path, inference: bool = False, targets: bool = False) -> None:
        super().load(filename, inference, targets)
        self._forget_graphs()  # they work on the tensors of before

    def train(self, replay_buffer: Any, batch_size: int = 256) -> dict[str, Tensor]:
        """As `TD3.TD3.train`.

        Raises:
            ValueError: batch_size differs from that of the first call.
        """
        batch = replay_buffer.sample(batch_size)
        if self.inputs is None:
            self.inputs = FixedBatch(batch)
        for fixed, new in zip(self.inputs.batch, batch, strict=True):
            if fixed.shape != new.shape:
                raise ValueError(f"batch_size is {len(new)}: expected {len(fixed)}, with which the CUDA graph was recorded.")
            fixed.copy_(new)
        delayed = (self.total_it + 1) % self.policy_freq == 0
        if self.warm_ups[delayed] < WARM_UP:
            self.warm_ups[delayed] += 1
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                losses = super().train(self.inputs, batch_size)
            torch.cuda.current_stream().wait_stream(stream)
            return losses
        if delayed not in self.graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                losses = super().train(self.inputs, batch_size)  # recorded, not run
            self.total_it -= 1
            self.graphs[delayed] = graph, losses
        graph, losses = self.graphs[delayed]
        graph.replay()
        self.total_it += 1
        return {name: value.clone() for name, value in losses.items()}
