"""The two halves of TD3's update on a CPU that multiplies bfloat16: the same arithmetic as `TD3.py`, with the gradients by hand.

PyTorch's autograd and autocast spend nearly half of such an update between the matrix products: a record of every call, a cast
of every tensor, two critics one after the other.  Written out for three linear layers with ReLUs, the twin critics side by
side in one tensor and all weights in one vector, it is about half as fast again (`benchmarks/RESULTS.md`).
`tests/test_bf16_update.py` holds it to `TD3.py` in float32.  You need not read this file to understand TD3.

Shapes: `K` networks side by side (2 critics, or 1 actor), `B` the batch, `I`, `H`, `O` the inputs, hidden units and outputs.
"""

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from TD3 import TD3

INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
"""Integers of the same width.  Their sign is the number's sign, so that a ReLU is a maximum of integers: faster in bfloat16."""


class Networks:
    """`K` networks of the same sizes, each three linear layers with ReLUs between, and a copy of their weights in `dtype`.

    All weights and biases lie in one vector, so that what is done to each of them is done in one call: `weights`, `biases` and
    the networks' own parameters are views of it.

    Args:
        networks: K lists of three `nn.Linear`, whose parameters are moved to that vector.
        dtype: torch.bfloat16, or torch.float32 for comparison.
    """

    def __init__(self, networks: list[list[nn.Linear]], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.parameters = [p for layers in networks for layer in layers for p in (layer.weight, layer.bias)]
        self.shapes = [(len(networks), *p.shape) for p in self.parameters[:6]]
        self.master = torch.empty(sum(map(prod, self.shapes)))
        self.copy, self.gradient = torch.empty_like(self.master, dtype=dtype), torch.empty_like(self.master, dtype=dtype)
        for p, place in zip(self.parameters, self.one_by_one(self.master), strict=True):
            p.data = place.copy_(p.data)
        stacks, self.gradients = self.stacks(self.copy), self.stacks(self.gradient)
        self.weights = stacks[0::2]  # (K, H, I), (K, H, H), (K, O, H)
        self.biases = [bias.unsqueeze(1) for bias in stacks[1::2]]  # (K, 1, H), (K, 1, H), (K, 1, O)
        self.refresh()

    def stacks(self, vector: Tensor) -> list[Tensor]:
        """The six parts of a vector, weight and bias of each layer, with `K` in front."""
        return [part.view(shape) for part, shape in zip(vector.split(list(map(prod, self.shapes))), self.shapes, strict=True)]

    def one_by_one(self, vector: Tensor) -> list[Tensor]:
        """The same parts for each network on its own, in the order of `parameters`."""
        return [stack[k] for k in range(self.shapes[0][0]) for stack in self.stacks(vector)]

    def refresh(self) -> None:
        """Copies the weights anew."""
        self.copy.copy_(self.master)

    def follow(self, network: "Networks", tau: float) -> None:
        """As `TD3.follow`."""
        self.master.lerp_(network.master, tau)
        self.refresh()

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

    def through_relu_(self, d: Tensor, h: Tensor) -> Tensor:
        """`d` where `h`, a ReLU's output, is above 0; elsewhere 0.  In place; of integers, for the same reason."""
        d.view(INTEGER[self.dtype]).mul_(h.view(INTEGER[self.dtype]).clamp_max(1))
        return d

    def backward(self, d: Tensor) -> None:
        """(K, B, O), the gradient of the loss by the outputs: finds those by the sums that went into each layer's ReLU."""
        _, w2, w3 = self.weights
        self.d3 = d.to(self.dtype)
        by_h2 = self.d3 * w3 if w3.shape[1] == 1 else torch.bmm(self.d3, w3)
        self.d2 = self.through_relu_(by_h2, self.h2)
        self.d1 = self.through_relu_(torch.bmm(self.d2, w2), self.h1)

    def by_inputs(self, first: int) -> Tensor:
        """After `backward`: (K, B, I - first), the gradient by the inputs from number `first` on."""
        return self.d1 @ self.weights[0][:, :, first:]

    def descend(self, adam: "Adam") -> None:
        """After `backward`: one step of `Adam` along the gradients by weights and biases."""
        for k, (d, h) in enumerate(((self.d1, self.x), (self.d2, self.h1), (self.d3, self.h2))):
            torch.bmm(d.mT, h, out=self.gradients[2 * k])
            torch.sum(d, 1, out=self.gradients[2 * k + 1])
        adam.step(self.gradient)
        self.refresh()


class Adam:
    """PyTorch's fused Adam on the one vector of a `Networks`.

    Its state stays the optimizer's, parameter by parameter, so that a checkpoint holds what it always held.

    Args:
        optimizer: a `torch.optim.Adam` of the networks' parameters.
        networks: a `Networks`.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, networks: Networks) -> None:
        self.settings, self.master = optimizer.param_groups[0], networks.master
        self.gradient, self.exp_avg, self.exp_avg_sq = (torch.zeros_like(self.master) for _ in range(3))
        self.steps = []
        moments = (networks.one_by_one(self.exp_avg), networks.one_by_one(self.exp_avg_sq))
        for p, exp_avg, exp_avg_sq in zip(networks.parameters, *moments, strict=True):
            before = optimizer.state[p]
            self.steps.append(before.get("step", torch.zeros(())))
            if before:
                exp_avg.copy_(before["exp_avg"])
                exp_avg_sq.copy_(before["exp_avg_sq"])
            before.update(step=self.steps[-1], exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)

    def step(self, gradient: Tensor) -> None:
        """One step along `gradient`, a vector as long as all weights together."""
        self.gradient.copy_(gradient)
        torch._foreach_add_(self.steps, 1)
        beta1, beta2 = self.settings["betas"]
        torch._fused_adam_(
            [self.master], [self.gradient], [self.exp_avg], [self.exp_avg_sq], [], self.steps[:1],
            lr=self.settings["lr"], beta1=beta1, beta2=beta2, eps=self.settings["eps"], weight_decay=0.0, amsgrad=False,
            maximize=False,
        )  # fmt: skip


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
        self.actor_adam, self.critic_adam = Adam(policy.actor_optimizer, self.actor), Adam(policy.critic_optimizer, self.critic)

    @torch.no_grad()
    def update_critics(
        self, state: Tensor, action: Tensor, next_state: Tensor, reward: Tensor, not_done: Tensor
    ) -> dict[str, Tensor]:
        policy, limit = self.policy, self.policy.max_action
        noise = (torch.randn_like(action) * policy.policy_noise).clamp_(-policy.noise_clip, policy.noise_clip)
        next_action = torch.tanh(self.actor_target.forward(next_state)[0]).float().mul_(limit)
        next_action = next_action.add_(noise).clamp_(-limit, limit)
        target_Q = self.critic_target.forward(torch.cat([next_state, next_action], 1)).float().amin(0)
        target_Q = reward + not_done * policy.discount * target_Q

        current_Q = self.critic.forward(torch.cat([state, action], 1)).float()
        error = current_Q - target_Q
        self.critic.backward(error * (2 / len(state)))
        self.critic.descend(self.critic_adam)
        return {"critic_loss": 2 * error.square().mean(), "Q": current_Q[0].mean()}

    @torch.no_grad()
    def update_actor_and_targets(self, state: Tensor) -> dict[str, Tensor]:
        policy = self.policy
        action = torch.tanh(self.actor.forward(state)[0]).float()
        Q = self.Q1.forward(torch.cat([state, policy.max_action * action], 1))
        self.Q1.backward(torch.full_like(Q, -1 / len(state)))
        by_action = policy.max_action * self.Q1.by_inputs(first=state.shape[1])
        self.actor.backward(by_action * (1 - action.square()))
        self.actor.descend(self.actor_adam)

        for target, network in ((self.critic_target, self.critic), (self.actor_target, self.actor)):
            target.follow(network, policy.tau)
        return {"actor_loss": -Q.float().mean()}
