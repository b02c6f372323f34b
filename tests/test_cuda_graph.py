"""What can be tested of CUDA graphs without a CUDA device: warming up, recording once, and replaying on new inputs."""

import contextlib

import pytest
import torch

import cuda_graph
from cuda_graph import WARM_UP, CudaGraph
from TD3 import TD3


class FakeStream:
    def wait_stream(self, other):
        pass


class FakeGraph:
    """Replays by calling the function on the inputs that were recorded, into the results that were recorded."""

    replayed = 0

    def replay(self):
        FakeGraph.replayed += 1
        for name, value in self.owner.function(*self.owner.inputs).items():
            self.owner.results[name].copy_(value)


@pytest.fixture
def fake_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext())
    FakeGraph.replayed = 0


def test_a_function_is_recorded_once_and_replayed_on_what_it_is_given(fake_cuda):
    calls = []

    def double(x):
        calls.append(x)
        return {"twice": 2 * x}

    graph = FakeGraph.owner = CudaGraph(double)
    for k in range(WARM_UP + 3):
        x = torch.full((2,), float(k))
        assert torch.equal(graph(x)["twice"], 2 * x)
    assert FakeGraph.replayed == 3
    assert calls[WARM_UP] is graph.inputs[0], "recorded on tensors of its own"
    with pytest.raises(ValueError, match=r"got a tensor of shape \(3,\) after recording with \(2,\)"):
        graph(torch.zeros(3))


def test_without_cuda_the_update_is_not_recorded():
    agent = TD3(3, 2, 1.0)
    assert agent.update_critics == agent._update_critics
    assert not isinstance(agent.update_actor_and_targets, cuda_graph.CudaGraph)
    assert agent.actor_optimizer.param_groups[0]["capturable"] is False


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_recorded_updates_equal_plain_ones(full_buffer):
    """On a CUDA device: 20 updates as graphs and 20 without, from the same weights, batches and noise-free targets."""
    agents = []
    for recorded in (True, False):
        torch.manual_seed(0)
        agent = TD3(5, 3, 1.0, policy_noise=0.0, device="cuda")
        if not recorded:
            agent.update_critics, agent.update_actor_and_targets = agent._update_critics, agent._update_actor_and_targets
        buffer = full_buffer(device="cuda")
        for _ in range(20):
            agent.train(buffer, 64)
        agents.append(agent)
    assert agents[0].update_critics.graph is not None
    for a, b in zip(agents[0].critic.parameters(), agents[1].critic.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
