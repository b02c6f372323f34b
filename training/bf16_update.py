"""TD3 on a CPU that multiplies bfloat16: the update of `TD3.py` with its gradients written by hand.

In such an update, PyTorch's autograd and autocast spend nearly half of the time between the matrix products: a record of every
call, a cast of every tensor, the two critics and their targets one after the other.  Written by hand for three linear layers
with ReLUs, with all four critics in one tensor and all weights in one vector, the update is more than half as fast again
(`benchmarks/RESULTS.md`).  `tests/test_bf16_update.py` compares it with `TD3.py` in float32.  You need not read this file to
understand TD3.

Shapes: `K` networks in one tensor, `B` the batch, `I`, `H`, `O` the inputs, hidden units and outputs.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from TD3 import TD3

INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
"""Integers of the same width.  Their sign is the number's sign, so a ReLU is a maximum of integers, which is faster in bfloat16."""


class Layers:
    """`K` networks of the same sizes, each three linear layers with ReLUs between them, in `dtype`.

    `forward` and `backward` use the first networks, as many as their argument has.

    Args:
        shapes: shapes of the weight and the bias of each layer, (H, I), (H,), (H, H), (H,), (O, H), (O,).
        count: K.
        dtype: torch.bfloat16, or torch.float32 for comparison.

    Attributes:
        vectors: all weights of the actor, and all of the critic, float32.
    """

    def __init__(self, shapes: list[torch.Size], count: int, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.parts = [torch.empty(count, *shape, dtype=dtype) for shape in shapes]
        # slices of the first n networks, made once, because slicing takes as long as a small product
        rows = [part if part.dim() == 3 else part.unsqueeze(1) for part in self.parts]  # a bias is (K, 1, H)
        self.of_first = {n: [part[:n] for part in rows] for n in range(1, count + 1)}

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, I) -> (K, B, O), in `dtype`.  Keeps what `backward` needs."""
        w1, b1, w2, b2, w3, b3 = self.of_first[len(x)]
        self.x = x.to(self.dtype)
        self.h1 = self.relu_(torch.baddbmm(b1, self.x, w1.mT))
        self.h2 = self.relu_(torch.baddbmm(b2, self.h1, w2.mT))
        return torch.baddbmm(b3, self.h2, w3.mT)

    def relu_(self, h: Tensor) -> Tensor:
        """In place."""
        h.view(INTEGER[self.dtype]).clamp_min_(0)
        return h

    def relu_backward_(self, d: Tensor, h: Tensor) -> Tensor:
        """`d` where `h`, the output of a ReLU, is above 0, and 0 elsewhere.  In place."""
        d.view(INTEGER[self.dtype]).mul_(h.view(INTEGER[self.dtype]).clamp_max(1))
        return d

    def backward(self, d: Tensor) -> None:
        """Takes the gradient of the loss with respect to the outputs, (K, B, O), and keeps that with respect to each layer's output."""
        _, _, w2, _, w3, _ = self.of_first[len(d)]
        self.d3 = d.to(self.dtype)
        grad_h2 = self.d3 * w3 if w3.shape[1] == 1 else torch.bmm(self.d3, w3)
        self.d2 = self.relu_backward_(grad_h2, self.h2[: len(d)])
        self.d1 = self.relu_backward_(torch.bmm(self.d2, w2), self.h1[: len(d)])

    def input_gradient(self) -> Tensor:
        """After `backward`: the gradient with respect to the inputs, (K, B, I)."""
        return torch.bmm(self.d1, self.of_first[len(self.d1)][0])

    def parameter_gradients(self, out: list[Tensor]) -> None:
        """After `backward`: writes the gradients of weights and biases into tensors of their shapes, with `K` in front."""
        for k, (d, h) in enumerate(((self.d1, self.x), (self.d2, self.h1), (self.d3, self.h2))):
            torch.bmm(d.mT, h[: len(d)], out=out[2 * k])
            torch.sum(d, 1, out=out[2 * k + 1])


class Weights:
    """The float32 weights and biases of some networks in one vector, so that Adam and `polyak_update` need one call.

    The networks' own parameters become views of the vector.

    Args:
        networks: lists of three `nn.Linear`.
        layers: where a copy of the weights in its dtype is kept.
        first: index of the first of these networks in `layers`.
    """

    def __init__(self, networks: list[list[nn.Linear]], layers: Layers, first: int = 0) -> None:
        self.parameters = [p for linears in networks for linear in linears for p in (linear.weight, linear.bias)]
        self.copies = [part[first : first + len(networks)] for part in layers.parts]
        self.vector = torch.empty(sum(copy.numel() for copy in self.copies))
        for p, place in zip(self.parameters, self.separate(self.vector), strict=True):
            p.data = place.copy_(p.data)
        self.parts = self.stacked(self.vector)
        self.refresh()

    def stacked(self, vector: Tensor) -> list[Tensor]:
        """A vector as six tensors, weight and bias of each layer, with the index of the network in front."""
        parts = vector.split([copy.numel() for copy in self.copies])
        return [part.view(copy.shape) for part, copy in zip(parts, self.copies, strict=True)]

    def separate(self, vector: Tensor) -> list[Tensor]:
        """The same tensors for each network, in the order of `parameters`."""
        parts = self.stacked(vector)
        return [part[k] for k in range(len(parts[0])) for part in parts]

    def refresh(self) -> None:
        """Copies the weights to the layers."""
        torch._foreach_copy_(self.copies, self.parts)

    def polyak_update(self, network: "Weights", tau: float) -> None:
        """As `TD3.polyak_update`, with these weights as the target."""
        self.vector.lerp_(network.vector, tau)
        self.refresh()


class Adam:
    """PyTorch's fused Adam on the vector of a `Weights`.

    Its state is that of the optimizer, parameter by parameter, so a checkpoint has the same contents as without it.

    Args:
        optimizer: a `torch.optim.Adam` of the networks' parameters.
        weights: a `Weights`.
        dtype: dtype of the gradients.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, weights: Weights, dtype: torch.dtype) -> None:
        self.settings, self.weights = optimizer.param_groups[0], weights
        self.computed = torch.empty_like(weights.vector, dtype=dtype)
        self.gradients = weights.stacked(self.computed)
        self.gradient, self.exp_avg, self.exp_avg_sq = (torch.zeros_like(weights.vector) for _ in range(3))
        self.steps = torch.zeros(len(weights.parameters))
        moments = (weights.separate(self.exp_avg), weights.separate(self.exp_avg_sq))
        for p, step, exp_avg, exp_avg_sq in zip(weights.parameters, self.steps, *moments, strict=True):
            before = optimizer.state[p]
            if before:
                step.copy_(before["step"])
                exp_avg.copy_(before["exp_avg"])
                exp_avg_sq.copy_(before["exp_avg_sq"])
            before.update(step=step, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)

    def step(self, layers: Layers) -> None:
        """After `layers.backward`: one step with the gradients of weights and biases."""
        layers.parameter_gradients(self.gradients)
        self.gradient.copy_(self.computed)
        self.steps.add_(1)
        beta1, beta2 = self.settings["betas"]
        torch._fused_adam_(
            [self.weights.vector], [self.gradient], [self.exp_avg], [self.exp_avg_sq], [], [self.steps[0]],
            lr=self.settings["lr"], beta1=beta1, beta2=beta2, eps=self.settings["eps"], weight_decay=0.0, amsgrad=False,
            maximize=False,
        )  # fmt: skip
        self.weights.refresh()


class Bf16TD3(TD3):
    """`TD3.TD3` on a CPU, with matrices multiplied in bfloat16; weights, losses and optimizers stay float32.

    Args:
        *args, **kwargs: as for `TD3.TD3`.
        dtype: torch.bfloat16, or torch.float32 for comparison.

    Attributes:
        vectors: all weights of the actor, and all of the critic, float32.
    """

    def __init__(self, *args: Any, dtype: torch.dtype = torch.bfloat16, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dtype = dtype
        self._stack_weights()

    def _stack_weights(self):
        """Moves the weights of the networks and the states of the optimizers into vectors."""
        first, second = ("l1", "l2", "l3"), ("l4", "l5", "l6")

        def linears(network, *names):
            return [[getattr(network, layer) for layer in layers] for layers in names]

        def layers(network, count):
            shapes = [p.shape for linear in linears(network, first)[0] for p in (linear.weight, linear.bias)]
            return Layers(shapes, count, self.dtype)

        self.actor_layers, self.actor_target_layers = layers(self.actor, 1), layers(self.actor, 1)
        self.critic_layers = layers(self.critic, 4)  # the two critics, then the two target critics

        self.actor_weights = Weights(linears(self.actor, first), self.actor_layers)
        self.actor_target_weights = Weights(linears(self.actor_target, first), self.actor_target_layers)
        self.critic_weights = Weights(linears(self.critic, first, second), self.critic_layers)
        self.critic_target_weights = Weights(linears(self.critic_target, first, second), self.critic_layers, first=2)
        self.vectors = [self.actor_weights.vector, self.critic_weights.vector]
        self.actor_adam = Adam(self.actor_optimizer, self.actor_weights, self.dtype)
        self.critic_adam = Adam(self.critic_optimizer, self.critic_weights, self.dtype)

    def load(self, filename: str | Path, inference: bool = False, targets: bool = False) -> None:
        super().load(filename, inference, targets)
        self._stack_weights()  # the target networks and the optimizer states are new tensors now

    @torch.no_grad()
    def train(self, replay_buffer: Any, batch_size: int = 256) -> dict[str, Tensor]:
        self.total_it += 1
        state, action, next_state, reward, discount = replay_buffer.sample(batch_size)

        noise = torch.randn_like(action).mul_(self.policy_noise).clamp_(-self.noise_clip, self.noise_clip)
        # The tanh is computed in float32.  In bfloat16 it is exactly 1 from 3.5 on, and such an actor would get no gradient.
        next_action = torch.tanh(self.actor_target_layers.forward(next_state.unsqueeze(0))[0].float())
        next_action = noise.add_(next_action, alpha=self.max_action).clamp_(-self.max_action, self.max_action)

        now, then = torch.cat([state, action], 1), torch.cat([next_state, next_action], 1)
        current_Q, target_Q = self.critic_layers.forward(torch.stack([now, now, then, then])).float().chunk(2)
        next_Q = target_Q.amin(0) if self.clipped_double_q else target_Q[0]
        target_Q = reward + discount * next_Q  # not addcmul, which rounds differently from TD3.py
        error = current_Q - target_Q
        self.critic_layers.backward(error * (2 / batch_size))
        self.critic_adam.step(self.critic_layers)
        losses = {"critic_loss": 2 * error.square().mean(), "Q": current_Q[0].mean()}

        if self.total_it % self.policy_freq == 0:
            z = self.actor_layers.forward(state.unsqueeze(0)).float()
            action = torch.tanh(z)
            Q = self.critic_layers.forward(torch.cat([state.unsqueeze(0), self.max_action * action], 2))
            self.critic_layers.backward(torch.full_like(Q, -self.max_action / batch_size))
            action_gradient = self.critic_layers.input_gradient()[:, :, state.shape[1] :]
            excess = z - z.clamp(-2, 2)
            weight = self.saturation_penalty * Q.float().abs().mean()
            self.actor_layers.backward(action_gradient * (1 - action.square()) + excess * (2 * weight / z.numel()))
            self.actor_adam.step(self.actor_layers)

            self.critic_target_weights.polyak_update(self.critic_weights, self.tau)
            self.actor_target_weights.polyak_update(self.actor_weights, self.tau)
            losses["actor_loss"] = -Q.float().mean() + weight * excess.square().mean()
        return losses
