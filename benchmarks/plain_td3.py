"""TD3 as a reader of the paper would write it down, to compare `TD3.py` with.

Fujimoto, van Hoof, Meger: "Addressing Function Approximation Error in Actor-Critic Methods", 2018, arXiv:1802.09477,
algorithm 1, with the sizes and rates of `TD3.py`.  Nothing is optimized: the two critics are two modules, the replay buffer
consists of NumPy float64 arrays, Adam has its default arguments, and a loop over the parameters updates the target networks.

Shapes: `B` is the batch size, `S` the size of a state, `A` the size of an action.
"""

import copy
import itertools
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers with ReLUs: (B, inputs) -> (B, outputs)."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Actor(nn.Module):
    """The policy: (B, S) -> (B, A), each component within [-max_action, max_action]."""

    def __init__(self, state_dim: int, action_dim: int, max_action: float, hidden: int = 256) -> None:
        super().__init__()
        self.net = mlp(state_dim, hidden, action_dim)
        self.max_action = max_action

    def forward(self, state: Tensor) -> Tensor:
        return self.max_action * torch.tanh(self.net(state))


class Critic(nn.Module):
    """One estimate of Q: (B, S), (B, A) -> (B, 1)."""

    def __init__(self, state_dim: int, action_dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.net = mlp(state_dim + action_dim, hidden, 1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        return self.net(torch.cat([state, action], dim=1))


class PlainTD3:
    """The agent.  Arguments, `select_action` and `train` are those of `TD3.TD3`, except that it has the `discount` itself."""

    def __init__(self, state_dim: int, action_dim: int, max_action: float, *, discount: float = 0.99, tau: float = 0.005,
                 policy_noise: float = 0.2, noise_clip: float = 0.5, policy_freq: int = 2, lr: float = 3e-4,
                 hidden: int = 256, device: str = "cpu") -> None:  # fmt: skip
        self.device = torch.device(device)
        self.actor = Actor(state_dim, action_dim, max_action, hidden).to(self.device)
        self.critic_1 = Critic(state_dim, action_dim, hidden).to(self.device)
        self.critic_2 = Critic(state_dim, action_dim, hidden).to(self.device)
        self.networks = [self.actor, self.critic_1, self.critic_2]
        self.targets = self.actor_target, self.critic_1_target, self.critic_2_target = copy.deepcopy(self.networks)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=lr)
        critics = itertools.chain(self.critic_1.parameters(), self.critic_2.parameters())
        self.critic_optimizer = torch.optim.Adam(critics, lr=lr)

        self.max_action = max_action
        self.discount = discount
        self.tau = tau
        self.policy_noise = policy_noise * max_action
        self.noise_clip = noise_clip * max_action
        self.policy_freq = policy_freq
        self.total_it = 0

    def select_action(self, state: ArrayLike) -> np.ndarray:
        """(S,) -> (A,) or (N, S) -> (N, A), without exploration noise."""
        return self.actor(torch.FloatTensor(state).to(self.device)).cpu().detach().numpy()

    def train(self, replay_buffer: Any, batch_size: int = 256) -> None:
        """One update with a batch of `replay_buffer.sample(batch_size)`; see `PlainBuffer`."""
        self.total_it += 1
        state, action, next_state, reward, not_done = replay_buffer.sample(batch_size)

        with torch.no_grad():
            noise = (torch.randn_like(action) * self.policy_noise).clamp(-self.noise_clip, self.noise_clip)
            next_action = (self.actor_target(next_state) + noise).clamp(-self.max_action, self.max_action)
            target_1 = self.critic_1_target(next_state, next_action)
            target_2 = self.critic_2_target(next_state, next_action)
            target = reward + not_done * self.discount * torch.min(target_1, target_2)

        loss = F.mse_loss(self.critic_1(state, action), target) + F.mse_loss(self.critic_2(state, action), target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()

        if self.total_it % self.policy_freq == 0:
            actor_loss = -self.critic_1(state, self.actor(state)).mean()
            self.actor_optimizer.zero_grad()
            actor_loss.backward()
            self.actor_optimizer.step()

            for network, target_network in zip(self.networks, self.targets, strict=True):
                for p, target_p in zip(network.parameters(), target_network.parameters(), strict=True):
                    target_p.data.copy_(self.tau * p.data + (1 - self.tau) * target_p.data)


class PlainBuffer:
    """The last `max_size` transitions in NumPy's default float64, converted when a batch is sampled."""

    def __init__(
        self, state_dim: int, action_dim: int, max_size: int = 1_000_000, *, seed: int | None = None, device: str = "cpu"
    ) -> None:
        self.max_size, self.device = max_size, torch.device(device)
        self.ptr, self.size = 0, 0
        widths = [state_dim, action_dim, state_dim, 1, 1]  # state, action, next_state, reward, not_done
        self.columns = [np.zeros((max_size, width)) for width in widths]
        self.rng = np.random.default_rng(seed)

    def add(self, state: ArrayLike, action: ArrayLike, next_state: ArrayLike, reward: float, done: float) -> None:
        """Stores one transition: (S,), (A,), (S,), a number, and whether next_state is terminal."""
        for column, value in zip(self.columns, (state, action, next_state, reward, 1.0 - done), strict=True):
            column[self.ptr] = value
        self.ptr = (self.ptr + 1) % self.max_size
        self.size = min(self.size + 1, self.max_size)

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        """state (B, S), action (B, A), next_state (B, S), reward (B, 1), not_done (B, 1): float32 tensors on `device`."""
        rows = self.rng.integers(0, self.size, batch_size)
        return tuple(torch.FloatTensor(column[rows]).to(self.device) for column in self.columns)
