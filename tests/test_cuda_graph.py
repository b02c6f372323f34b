"""The update as CUDA graphs: warm-up, recording and replay with a stand-in for CUDA, and the numbers on a real device."""

import contextlib
import warnings

import pytest
import torch

from TD3 import TD3
from training.cuda_graph import WARM_UP, CudaGraphTD3


class FakeStream:
    def wait_stream(self, other):
        pass


class FakeGraph:
    """Replays by calling the update on the recorded inputs and writing into the recorded results."""

    replayed = 0
    agent: CudaGraphTD3

    def replay(self):
        FakeGraph.replayed += 1
        (losses,) = (losses for graph, losses in self.agent.graphs.values() if graph is self)
        new = TD3.train(self.agent, self.agent.inputs, 32)
        self.agent.total_it -= 1
        for name, value in new.items():
            losses[name].copy_(value)


@pytest.fixture
def agent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext())
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="experimental"):
        FakeGraph.agent, FakeGraph.replayed = CudaGraphTD3(5, 3, 1.0, hidden=16), 0
    for optimizer in (FakeGraph.agent.actor_optimizer, FakeGraph.agent.critic_optimizer):
        assert optimizer.param_groups[0]["capturable"] is True
        optimizer.param_groups[0]["capturable"] = False  # PyTorch refuses it on a CPU
    return FakeGraph.agent


def test_both_kinds_of_update_are_recorded_once_and_replayed_on_the_batch_they_get(agent, full_buffer):
    buffer, seen = full_buffer(5, 3), []
    for k in range(2 * WARM_UP + 6):
        losses = agent.train(buffer, 32)
        assert agent.total_it == k + 1 and ("actor_loss" in losses) == (k % 2 == 1)
        seen.append(losses)
    assert sorted(agent.graphs) == [False, True] and FakeGraph.replayed == 6
    assert len({float(losses["critic_loss"]) for losses in seen}) == len(seen), "each dict keeps its own losses"
    state = agent.inputs.batch[0].clone()
    agent.train(buffer, 32)
    assert (agent.inputs.batch[0] != state).any(), "the batch is copied into the recorded tensors"


def test_another_batch_size_is_refused(agent, full_buffer):
    agent.train(full_buffer(5, 3), 32)
    with pytest.raises(ValueError, match="batch_size is 16: expected 32"):
        agent.train(full_buffer(5, 3), 16)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_updates_equal_plain_ones(full_buffer):
    """On a CUDA device: 20 updates as graphs and 20 without, from the same weights, batches and noise-free targets."""
    agents = []
    for cls in (CudaGraphTD3, TD3):
        torch.manual_seed(0)
        with warnings.catch_warnings(action="ignore"):
            agent = cls(5, 3, 1.0, policy_noise=0.0, device="cuda")
        buffer = full_buffer(device="cuda")
        for _ in range(20):
            agent.train(buffer, 64)
        agents.append(agent)
    assert sorted(agents[0].graphs) == [False, True]
    for a, b in zip(agents[0].critic.parameters(), agents[1].critic.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
