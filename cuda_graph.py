"""On a CUDA machine: a function on tensors recorded once as a CUDA graph and replayed, without Python's time for each kernel.

An update of two small networks is some two hundred tiny kernels, and starting them from Python takes far longer than
running them.  A graph starts all of them at once (as LeanRL does; see PyTorch's notes on CUDA graphs).
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Calls that run as usual before the recording, in which libraries allocate what they need (PyTorch's advice)."""


class CudaGraph:
    """Calls `function` as usual a few times, then records it, and from then on replays the record.

    The function must do the same work on tensors of the same shapes at every call, without looking at their values.

    Args:
        function: takes CUDA tensors by position and returns a dict of CUDA tensors.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *tensors: Tensor) -> dict[str, Tensor]:
        """The dict that `function` returns.  After the recording its tensors are overwritten by the next call."""
        self.calls += 1
        if self.calls <= WARM_UP:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                results = self.function(*tensors)
            torch.cuda.current_stream().wait_stream(stream)
            return results
        if self.graph is None:
            self.inputs = [tensor.clone() for tensor in tensors]
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.results = self.function(*self.inputs)
        for kept, new in zip(self.inputs, tensors, strict=True):
            if kept.shape != new.shape:
                raise ValueError(
                    f"got a tensor of shape {tuple(new.shape)} after recording with {tuple(kept.shape)}: keep batch_size the same."
                )
            kept.copy_(new)
        self.graph.replay()
        return self.results
