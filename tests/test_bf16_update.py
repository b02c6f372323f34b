"""The update with gradients written by hand against the one of `TD3.py`, whose gradients are autograd's."""

import copy

import pytest
import torch

from TD3 import TD3
from training.bf16_update import Bf16TD3

S, A, B = 6, 3, 64


class AutocastTD3(TD3):
    """Autograd in bfloat16, as PyTorch does it by itself."""

    def train(self, replay_buffer, batch_size):
        with torch.autocast("cpu", torch.bfloat16):
            return super().train(replay_buffer, batch_size)


def pair(dtype, **kwargs):
    """Two equal agents: the first with autograd, the second with its gradients written by hand, both in `dtype`."""
    agents = []
    for cls, extra in ((TD3 if dtype == torch.float32 else AutocastTD3, {}), (Bf16TD3, {"dtype": dtype})):
        torch.manual_seed(0)
        agents.append(cls(S, A, max_action=2.0, lr=1e-3, hidden=32, **extra, **kwargs))
    return agents


def batches(buffer):
    """A buffer that gives both agents of a pair the same batches and, by its seed, the same smoothing noise."""

    class Seeded:
        def __init__(self):
            self.count, self.kept = 0, {}

        def sample(self, batch_size):
            k, self.count = self.count // 2, self.count + 1
            torch.manual_seed(k)
            self.kept.setdefault(k, buffer.sample(batch_size))
            return self.kept[k]

    return Seeded()


@pytest.mark.parametrize(
    "policy_freq, discount, settings",
    [(2, 0.99, {}), (3, 0.9**3, {}), (1, 0.99, {"clipped_double_q": False}), (2, 0.99, {"saturation_penalty": 0.5})],
)
def test_in_float32_it_is_the_update_of_td3(full_buffer, policy_freq, discount, settings):
    """Twelve updates: losses, weights, targets and the state of the optimizers.

    Tolerance: 2e-5, as against stable-baselines3: sums are taken in another order and Adam divides by small numbers.
    """
    autograd, by_hand = pair(torch.float32, policy_freq=policy_freq, **settings)
    for agent in (autograd, by_hand):
        agent.actor.l3.bias.data.copy_(torch.tensor([3.0, 0.0, -3.0]))  # beyond 2, where the penalty begins
    by_hand.actor_weights.refresh()
    start = copy.deepcopy(autograd.actor.state_dict())
    source = batches(full_buffer(S, A, discount=discount))
    for _ in range(12):
        expected = {name: float(value) for name, value in autograd.train(source, B).items()}
        found = {name: float(value) for name, value in by_hand.train(source, B).items()}
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert not torch.equal(start["l1.weight"], autograd.actor.l1.weight), "no delayed update took place"
    for network in ("actor", "critic", "actor_target", "critic_target"):
        for name, expected in getattr(autograd, network).state_dict().items():
            torch.testing.assert_close(getattr(by_hand, network).state_dict()[name], expected, rtol=0, atol=2e-5)
    for optimizer in ("actor_optimizer", "critic_optimizer"):
        expected, found = (getattr(agent, optimizer).state_dict()["state"] for agent in (autograd, by_hand))
        assert expected.keys() == found.keys() and len(found) > 0
        for k, state in expected.items():
            for name, value in state.items():
                torch.testing.assert_close(found[k][name], value, rtol=0, atol=2e-5)


def test_in_bfloat16_the_first_gradients_are_those_of_autocast(full_buffer):
    """One update of each half, the gradients compared by direction: bfloat16 keeps 8 bits, so they are not equal."""
    autograd, by_hand = pair(torch.bfloat16)
    source = batches(full_buffer(S, A))
    for _ in range(2):
        autograd.train(source, B), by_hand.train(source, B)
        for network in ("critic", "actor"):
            adam = getattr(by_hand, f"{network}_adam")
            gradients = adam.weights.separate(adam.computed)
            for a, b in zip(getattr(autograd, network).parameters(), gradients, strict=True):
                if a.grad is not None:
                    assert torch.cosine_similarity(a.grad.flatten(), b.float().flatten(), 0) > 0.99
    assert gradients[0].abs().max() > 0, "the actor's"


def test_an_actor_far_out_on_its_tanh_gets_a_gradient(full_buffer):
    """At 5 a bfloat16 tanh is exactly 1 and its gradient 0: the actor would give the same action for ever.

    This happened: seed 3 of the ant, whose return was then 4.5 in every evaluation.
    """
    torch.manual_seed(0)
    agent = Bf16TD3(S, A, max_action=1.0, hidden=32)
    with torch.no_grad():
        agent.actor.l3.bias.fill_(5.0)
    agent.actor_weights.refresh()
    before = agent.actor.l3.bias.detach().clone()
    for _ in range(2):
        agent.train(full_buffer(S, A), B)
    assert agent.actor.l3.bias.detach().sub(before).abs().min() > 1e-5


def test_bf16_stays_close_to_float32(full_buffer):
    """The same update in both: the weights move in the same direction, and stay float32."""
    moved = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        agent, buffer = Bf16TD3(S, A, 1.0, dtype=dtype), full_buffer(S, A)
        before = agent.critic.l2.weight.detach().clone()
        for k in range(20):
            torch.manual_seed(k)
            agent.train(buffer, 128)
        assert agent.critic.l2.weight.dtype == torch.float32
        moved.append((agent.critic.l2.weight - before).detach().flatten())
    assert torch.cosine_similarity(*moved, dim=0) > 0.9


def test_a_checkpoint_holds_weights_and_moments_one_by_one_and_a_plain_agent_continues_it(full_buffer, tmp_path):
    """In memory they are one vector.  A plain `TD3` reads the files, and its Adam counts one step an update."""
    agent, other = Bf16TD3(S, A, 1.0, hidden=32), TD3(S, A, 1.0, hidden=32)
    for _ in range(4):
        agent.train(full_buffer(S, A), B)
    agent.save(tmp_path / "x")
    other.load(tmp_path / "x")
    for name, value in agent.critic.state_dict().items():
        assert torch.equal(value, other.critic.state_dict()[name])
    other.train(full_buffer(S, A), B)
    for optimizer, steps in (("critic_optimizer", 5), ("actor_optimizer", 2)):
        states = getattr(other, optimizer).state_dict()["state"].values()
        assert {float(state["step"]) for state in states} == {steps}
        assert all(state["exp_avg"].abs().max() > 0 for state in states)
    agent.load(tmp_path / "x")
    agent.train(full_buffer(S, A), B)
    assert {float(state["step"]) for state in agent.critic_optimizer.state_dict()["state"].values()} == {5}


def test_it_goes_on_from_a_loaded_checkpoint(full_buffer, tmp_path):
    """After `load` the target networks are new tensors, which the update must move."""
    agent = Bf16TD3(S, A, 1.0, hidden=32)
    agent.save(tmp_path / "x")
    agent.load(tmp_path / "x")
    before = copy.deepcopy(agent.critic_target.state_dict())
    for _ in range(2):
        agent.train(full_buffer(S, A), B)
    after = agent.critic_target.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)
