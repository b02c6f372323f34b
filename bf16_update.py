"""The two halves of TD3's update on a CPU that multiplies bfloat16: the same arithmetic as `TD3.py`, with the gradients by hand.

PyTorch's autograd and autocast spend nearly half of such an update between the matrix products: a record of every call, a cast
of every tensor, two critics and their targets one after the other.  Written out for three linear layers with ReLUs, all four
critics side by side in one tensor and all weights in one vector, it is more than half as fast again
(`benchmarks/RESULTS.md`).  `tests/test_bf16_update.py` holds it to `TD3.py` in float32.  You need not read this file to
understand TD3.

Shapes: `K` networks side by side, `B` the batch, `I`, `H`, `O` the inputs, hidden units and outputs.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from TD3 import TD3

INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
"""Integers of the same width.  Their sign is the number's sign, so that a ReLU is a maximum of integers: faster in bfloat16."""


class Layers:
    """`K` networks of the same sizes side by side, each three linear layers with ReLUs between, in `dtype`.

    `forward` and `backward` work on as many of the networks, from the first on, as their argument has.

    Args:
        shapes: of the weight and the bias of each layer in turn, (H, I), (H,), (H, H), (H,), (O, H), (O,).
        count: K.
        dtype: torch.bfloat16, or torch.float32 for comparison.
    """

    def __init__(self, shapes: list[torch.Size], count: int, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.parts = [torch.empty(count, *shape, dtype=dtype) for shape in shapes]
        # the parts of the first n networks, cut here once, because cutting takes as long as a small product
        rows = [part if part.dim() == 3 else part.unsqueeze(1) for part in self.parts]  # a bias is (K, 1, H)
        self.of_first = {n: [part[:n] for part in rows] for n in range(1, count + 1)}

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, I) -> (K, B, O), in `dtype`; what `backward` needs is kept."""
        w1, b1, w2, b2, w3, b3 = self.of_first[len(x)]
        self.x = x.to(self.dtype)
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
        _, _, w2, _, w3, _ = self.of_first[len(d)]
        self.d3 = d.to(self.dtype)
        by_h2 = self.d3 * w3 if w3.shape[1] == 1 else torch.bmm(self.d3, w3)
        self.d2 = self.through_relu_(by_h2, self.h2[: len(d)])
        self.d1 = self.through_relu_(torch.bmm(self.d2, w2), self.h1[: len(d)])

    def by_inputs(self) -> Tensor:
        """After `backward`: (K, B, I), the gradient by the inputs."""
        return torch.bmm(self.d1, self.of_first[len(self.d1)][0])

    def by_parts(self, out: list[Tensor]) -> None:
        """After `backward`: writes the gradients by weights and biases into tensors of their shapes, `K` in front."""
        for k, (d, h) in enumerate(((self.d1, self.x), (self.d2, self.h1), (self.d3, self.h2))):
            torch.bmm(d.mT, h[: len(d)], out=out[2 * k])
            torch.sum(d, 1, out=out[2 * k + 1])


class Weights:
    """The weights and biases of some networks in float32, all in one vector, so that what is done to each is done in one call.

    The networks' own parameters become views of it.

    Args:
        networks: lists of three `nn.Linear`.
        layers: gets a copy of the weights in its dtype.
        first: the number there of the first of these networks.
    """

    def __init__(self, networks: list[list[nn.Linear]], layers: Layers, first: int = 0) -> None:
        self.parameters = [p for linears in networks for linear in linears for p in (linear.weight, linear.bias)]
        self.copies = [part[first : first + len(networks)] for part in layers.parts]
        self.vector = torch.empty(sum(copy.numel() for copy in self.copies))
        for p, place in zip(self.parameters, self.one_by_one(self.vector), strict=True):
            p.data = place.copy_(p.data)
        self.parts = self.side_by_side(self.vector)
        self.refresh()

    def side_by_side(self, vector: Tensor) -> list[Tensor]:
        """The six parts of a vector, weight and bias of each layer, with the number of the network in front."""
        parts = vector.split([copy.numel() for copy in self.copies])
        return [part.view(copy.shape) for part, copy in zip(parts, self.copies, strict=True)]

    def one_by_one(self, vector: Tensor) -> list[Tensor]:
        """The same parts for each network on its own, in the order of `parameters`."""
        parts = self.side_by_side(vector)
        return [part[k] for k in range(len(parts[0])) for part in parts]

    def refresh(self) -> None:
        """Copies the weights to the layers anew."""
        torch._foreach_copy_(self.copies, self.parts)

    def follow(self, other: "Weights", tau: float) -> None:
        """As `TD3.follow`."""
        self.vector.lerp_(other.vector, tau)
        self.refresh()


class Adam:
    """PyTorch's fused Adam on the one vector of a `Weights`.

    Its state stays the optimizer's, parameter by parameter, so that a checkpoint holds what it always held.

    Args:
        optimizer: a `torch.optim.Adam` of the networks' parameters.
        weights: a `Weights`.
        dtype: of the gradients.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, weights: Weights, dtype: torch.dtype) -> None:
        self.settings, self.weights = optimizer.param_groups[0], weights
        self.computed = torch.empty_like(weights.vector, dtype=dtype)
        self.gradients = weights.side_by_side(self.computed)
        self.gradient, self.exp_avg, self.exp_avg_sq = (torch.zeros_like(weights.vector) for _ in range(3))
        self.steps = torch.zeros(len(weights.parameters))
        moments = (weights.one_by_one(self.exp_avg), weights.one_by_one(self.exp_avg_sq))
        for p, step, exp_avg, exp_avg_sq in zip(weights.parameters, self.steps, *moments, strict=True):
            before = optimizer.state[p]
            if before:
                step.copy_(before["step"])
                exp_avg.copy_(before["exp_avg"])
                exp_avg_sq.copy_(before["exp_avg_sq"])
            before.update(step=step, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)

    def step(self, layers: Layers) -> None:
        """After `layers.backward`: one step along the gradients by weights and biases."""
        layers.by_parts(self.gradients)
        self.gradient.copy_(self.computed)
        self.steps.add_(1)
        beta1, beta2 = self.settings["betas"]
        torch._fused_adam_(
            [self.weights.vector], [self.gradient], [self.exp_avg], [self.exp_avg_sq], [], [self.steps[0]],
            lr=self.settings["lr"], beta1=beta1, beta2=beta2, eps=self.settings["eps"], weight_decay=0.0, amsgrad=False,
            maximize=False,
        )  # fmt: skip
        self.weights.refresh()


class Bf16Update:
    """`_update_critics` and `_update_actor_and_targets` of a `TD3.TD3`, which says what they do.

    Args:
        policy: the agent, on a CPU and without a LayerNorm; its weights, optimizers and settings are used and changed.
        dtype: torch.bfloat16, or torch.float32 for comparison.
    """

    def __init__(self, policy: "TD3", dtype: torch.dtype = torch.bfloat16) -> None:
        self.policy = policy
        first, second = ("l1", "l2", "l3"), ("l4", "l5", "l6")

        def linears(network, *names):
            return [[getattr(network, layer) for layer in layers] for layers in names]

        def layers(network, count):
            return Layers(
                [p.shape for linear in linears(network, first)[0] for p in (linear.weight, linear.bias)], count, dtype
            )

        self.actor, self.actor_target = layers(policy.actor, 1), layers(policy.actor, 1)
        self.critics = layers(policy.critic, 4)  # the two critics, then the two targets

        self.actor_weights = Weights(linears(policy.actor, first), self.actor)
        self.actor_target_weights = Weights(linears(policy.actor_target, first), self.actor_target)
        self.critic_weights = Weights(linears(policy.critic, first, second), self.critics)
        self.critic_target_weights = Weights(linears(policy.critic_target, first, second), self.critics, first=2)
        self.actor_adam = Adam(policy.actor_optimizer, self.actor_weights, dtype)
        self.critic_adam = Adam(policy.critic_optimizer, self.critic_weights, dtype)

    @torch.no_grad()
    def update_critics(
        self, state: Tensor, action: Tensor, next_state: Tensor, reward: Tensor, not_done: Tensor
    ) -> dict[str, Tensor]:
        policy, limit = self.policy, self.policy.max_action
        noise = torch.randn_like(action).mul_(policy.policy_noise).clamp_(-policy.noise_clip, policy.noise_clip)
        next_action = torch.tanh(self.actor_target.forward(next_state.unsqueeze(0))[0].float())
        next_action = noise.add_(next_action, alpha=limit).clamp_(-limit, limit)

        now, then = torch.cat([state, action], 1), torch.cat([next_state, next_action], 1)
        current_Q, target_Q = self.critics.forward(torch.stack([now, now, then, then])).float().chunk(2)
        target_Q = reward + not_done * policy.discount * target_Q.amin(0)  # as there: one call for it would round otherwise
        error = current_Q - target_Q
        self.critics.backward(error * (2 / len(state)))
        self.critic_adam.step(self.critics)
        return {"critic_loss": 2 * error.square().mean(), "Q": current_Q[0].mean()}

    @torch.no_grad()
    def update_actor_and_targets(self, state: Tensor) -> dict[str, Tensor]:
        policy = self.policy
        action = torch.tanh(self.actor.forward(state.unsqueeze(0)).float())
        Q = self.critics.forward(torch.cat([state.unsqueeze(0), policy.max_action * action], 2))
        self.critics.backward(torch.full_like(Q, -policy.max_action / len(state)))
        by_action = self.critics.by_inputs()[:, :, state.shape[1] :]
        self.actor.backward(by_action * (1 - action.square()))
        self.actor_adam.step(self.actor)

        self.critic_target_weights.follow(self.critic_weights, policy.tau)
        self.actor_target_weights.follow(self.actor_weights, policy.tau)
        return {"actor_loss": -Q.float().mean()}
