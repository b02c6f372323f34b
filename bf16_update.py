"""The two halves of TD3's update on a CPU that multiplies bfloat16: the same arithmetic as `TD3.py`, with the gradients by hand.

PyTorch's autograd and autocast spend nearly half of such an update between the matrix products: a record of every call, a cast
of every tensor, two critics one after the other.  Written out for three linear layers with ReLUs, the twin critics side by
side in one tensor, it is a quarter to a third faster (`benchmarks/RESULTS.md`).  `tests/test_bf16_update.py` holds it to `TD3.py`
in float32.  You need not read this file to understand TD3.

Shapes: `K` networks side by side (2 critics, or 1 actor), `B` the batch, `I`, `H`, `O` the inputs, hidden units and outputs.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from TD3 import TD3

aten = torch.ops.aten

INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
"""Integers of the same width.  Their sign is the number's sign, so that a ReLU is a maximum of integers: faster in bfloat16."""


class Networks:
    """`K` networks of the same sizes, each three linear layers with ReLUs between, with their weights in `dtype`.

    Args:
        networks: K lists of three `nn.Linear`; theirs are the weights that count, here is a copy of them.
        dtype: torch.bfloat16, or torch.float32 for comparison.
    """

    def __init__(self, networks: list[list[nn.Linear]], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.masters = [p for layers in networks for layer in layers for p in (layer.weight, layer.bias)]
        self.gradients = [torch.zeros_like(p) for p in self.masters]
        stacks = [torch.empty((len(networks), *p.shape), dtype=dtype) for p in self.masters[:6]]
        self.weights = stacks[0::2]  # (K, H, I), (K, H, H), (K, O, H)
        self.biases = [bias.unsqueeze(1) for bias in stacks[1::2]]  # (K, 1, H), (K, 1, H), (K, 1, O)
        self.copies = self.unstack(stacks)

    def unstack(self, stacks: list[Tensor]) -> list[Tensor]:
        """Six tensors with `K` in front -> a list in the order of `masters`."""
        return [stack[k] for k in range(len(self.masters) // 6) for stack in stacks]

    def refresh(self) -> None:
        """Copies the weights anew."""
        torch._foreach_copy_(self.copies, self.masters)

    def first(self) -> "Networks":
        """The first of the networks alone, with the same copy of its weights."""
        one = object.__new__(Networks)
        one.dtype, one.weights, one.biases = self.dtype, [w[:1] for w in self.weights], [b[:1] for b in self.biases]
        return one

    def forward(self, x: Tensor) -> Tensor:
        """(B, I) -> (K, B, O), in `dtype`; what `backward` needs is kept."""
        w1, w2, w3 = self.weights
        b1, b2, b3 = self.biases
        self.x = x.to(self.dtype).expand(len(w1), -1, -1)
        self.h1 = self.relu_(torch.baddbmm(b1, self.x, w1.mT))
        self.h2 = self.relu_(torch.baddbmm(b2, self.h1, w2.mT))
        return torch.baddbmm(b3, self.h2, w3.mT)

    def relu_(self, h: Tensor) -> Tensor:
        """In place."""
        h.view(INTEGER[self.dtype]).clamp_min_(0)
        return h

    def backward(self, d: Tensor) -> None:
        """(K, B, O), the gradient of the loss by the outputs: finds those by the sums that went into each layer's ReLU."""
        _, w2, w3 = self.weights
        self.d3 = d.to(self.dtype)
        self.d2 = aten.threshold_backward(self.d3 @ w3, self.h2, 0)
        self.d1 = aten.threshold_backward(self.d2 @ w2, self.h1, 0)

    def by_inputs(self, first: int) -> Tensor:
        """After `backward`: (K, B, I - first), the gradient by the inputs from number `first` on."""
        return self.d1 @ self.weights[0][:, :, first:]

    def descend(self, optimizer: torch.optim.Optimizer) -> None:
        """After `backward`: one step of the optimizer along the gradients by weights and biases."""
        gradients = []
        for d, h in ((self.d1, self.x), (self.d2, self.h1), (self.d3, self.h2)):
            gradients += [d.mT @ h, d.sum(1)]
        torch._foreach_copy_(self.gradients, self.unstack(gradients))
        for p, gradient in zip(self.masters, self.gradients, strict=True):
            p.grad = gradient
        optimizer.step()


class Bf16Update:
    """`_update_critics` and `_update_actor_and_targets` of a `TD3.TD3`, which says what they do.

    Args:
        policy: the agent, on a CPU and without a LayerNorm; its weights, optimizers and settings are used and changed.
        dtype: torch.bfloat16, or torch.float32 for comparison.
    """

    def __init__(self, policy: "TD3", dtype: torch.dtype = torch.bfloat16) -> None:
        self.policy = policy

        def side_by_side(network, *names):
            return Networks([[getattr(network, layer) for layer in layers] for layers in names], dtype)

        first, second = ("l1", "l2", "l3"), ("l4", "l5", "l6")
        self.actor = side_by_side(policy.actor, first)
        self.actor_target = side_by_side(policy.actor_target, first)
        self.critic = side_by_side(policy.critic, first, second)
        self.critic_target = side_by_side(policy.critic_target, first, second)
        self.Q1 = self.critic.first()

    @torch.no_grad()
    def update_critics(
        self, state: Tensor, action: Tensor, next_state: Tensor, reward: Tensor, not_done: Tensor
    ) -> dict[str, Tensor]:
        policy, limit = self.policy, self.policy.max_action
        for networks in (self.actor_target, self.critic_target, self.critic):
            networks.refresh()

        noise = (torch.randn_like(action) * policy.policy_noise).clamp_(-policy.noise_clip, policy.noise_clip)
        next_action = torch.tanh(self.actor_target.forward(next_state)[0]).float().mul_(limit)
        next_action = next_action.add_(noise).clamp_(-limit, limit)
        target_Q = self.critic_target.forward(torch.cat([next_state, next_action], 1)).float().amin(0)
        target_Q = reward + not_done * policy.discount * target_Q

        current_Q = self.critic.forward(torch.cat([state, action], 1)).float()
        error = current_Q - target_Q
        self.critic.backward(error * (2 / len(state)))
        self.critic.descend(policy.critic_optimizer)
        return {"critic_loss": 2 * error.square().mean(), "Q": current_Q[0].mean()}

    @torch.no_grad()
    def update_actor_and_targets(self, state: Tensor) -> dict[str, Tensor]:
        policy = self.policy
        for networks in (self.actor, self.critic):
            networks.refresh()

        action = torch.tanh(self.actor.forward(state)[0]).float()
        Q = self.Q1.forward(torch.cat([state, policy.max_action * action], 1))
        self.Q1.backward(torch.full_like(Q, -1 / len(state)))
        by_action = policy.max_action * self.Q1.by_inputs(first=state.shape[1])
        self.actor.backward(by_action * (1 - action.square()))
        self.actor.descend(policy.actor_optimizer)

        for target, network in ((self.critic_target, self.critic), (self.actor_target, self.actor)):
            torch._foreach_lerp_(target.masters, network.masters, policy.tau)
        return {"actor_loss": -Q.float().mean()}
