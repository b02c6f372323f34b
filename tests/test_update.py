"""The plain transcription of the paper, and the arithmetic of the update's measurement."""

import copy

import numpy as np
import pytest
import torch
import torch.nn as nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import update
from benchmarks.plain_td3 import PlainBuffer, PlainTD3
from TD3 import TD3
from utils import ReplayBuffer

S, A = 5, 3


def layers(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def pairs(ours, plain):
    """The corresponding linear layers of both agents."""
    for suffix in ("", "_target"):
        critic = layers(getattr(ours, "critic" + suffix))
        yield from zip(layers(getattr(ours, "actor" + suffix)), layers(getattr(plain, "actor" + suffix)), strict=True)
        yield from zip(critic[:3], layers(getattr(plain, "critic_1" + suffix)), strict=True)
        yield from zip(critic[3:], layers(getattr(plain, "critic_2" + suffix)), strict=True)


class NotDone:
    """A `ReplayBuffer` whose batches say whether the next state is not terminal, as those of `PlainBuffer` do."""

    def __init__(self, buffer):
        self.buffer = buffer

    def sample(self, batch_size):
        *batch, discount = self.buffer.sample(batch_size)
        return *batch, (discount > 0).float()


@pytest.mark.parametrize("max_action", [1.0, 2.5])
def test_the_plain_transcription_ends_on_the_same_weights_as_ours(full_buffer, max_action):
    """Ten updates, five of them delayed, from the same weights, batches and noise; 2e-5 allows for another order of sums."""
    torch.manual_seed(0)
    ours, plain = TD3(S, A, max_action, lr=1e-3), PlainTD3(S, A, max_action, lr=1e-3)
    for a, b in pairs(ours, plain):
        b.load_state_dict(a.state_dict())
    start = copy.deepcopy(ours.actor_target.state_dict())
    buffers = full_buffer(S, A), NotDone(full_buffer(S, A))  # the same seed, so they sample the same rows
    for k in range(10):
        for agent, buffer in zip((ours, plain), buffers, strict=True):
            torch.manual_seed(100 + k)
            agent.train(buffer, 64)
    assert not torch.equal(start["l1.weight"], ours.actor_target.l1.weight), "no delayed update took place"
    assert len(list(pairs(ours, plain))) == 18
    for a, b in pairs(ours, plain):
        torch.testing.assert_close(a.weight, b.weight, rtol=0, atol=2e-5)
        torch.testing.assert_close(a.bias, b.bias, rtol=0, atol=2e-5)
    states = np.random.default_rng(0).normal(size=(4, S))
    np.testing.assert_allclose(ours.select_action(states), plain.select_action(states), atol=1e-4)


def test_the_plain_buffer_samples_what_was_added():
    """Seven transitions into room for five: the last five are sampled, whole."""
    buffer = PlainBuffer(2, 1, 5, seed=0)
    for k in range(7):
        buffer.add(np.full(2, k), np.array([k]), np.full(2, k + 1), k, float(k == 6))
    state, action, next_state, reward, not_done = buffer.sample(200)
    assert {x.dtype for x in (state, action, next_state, reward, not_done)} == {torch.float32}
    assert state.shape == (200, 2) and reward.shape == not_done.shape == (200, 1)
    assert set(reward[:, 0].tolist()) == {2, 3, 4, 5, 6}
    assert (state == reward).all() and (action == reward).all() and (next_state == reward + 1).all()
    assert (not_done == (reward != 6)).all()


def test_agents_take_turns_in_whole_cycles_with_batches_of_the_same_kind():
    buffers = {"plain": update.random_buffer(PlainBuffer, 300), "float32": update.random_buffer(ReplayBuffer, 300)}
    agents = {name: (update.AGENTS[name](update.S, update.A, 1.0, hidden=16), buffers[name]) for name in buffers}
    rates = update.alternate(agents, batch_size=16, seconds=0.01, rounds=1)
    assert set(rates) == set(agents) and min(rates.values()) > 0
    assert all(agent.total_it >= 4 and agent.total_it % 2 == 0 for agent, _ in agents.values())
    for a, b in zip(*(buffer.sample(8) for buffer in buffers.values()), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype


@pytest.mark.parametrize("hidden, batch_size", [(256, 256), (64, 100)])
def test_flops_are_those_that_torch_counts(hidden, batch_size):
    agent, buffer = TD3(28, 8, 1.0, hidden=hidden), update.random_buffer(ReplayBuffer, 500)
    agent.train(buffer, batch_size)
    with FlopCounterMode(display=False) as counter:
        for _ in range(2):  # one cycle
            agent.train(buffer, batch_size)
    assert update.flops_of_update(28, 8, hidden, batch_size) == pytest.approx(counter.get_total_flops() / 2, rel=0.02)


def test_a_product_has_as_many_operations_as_torch_counts():
    a = torch.ones(32, 32)
    with FlopCounterMode(display=False) as counter:
        a @ a
    assert counter.get_total_flops() == 2 * 32**3
    assert update.matrix_rate(torch.float32, size=32, seconds=0.01) > 0
