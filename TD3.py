"""Twin Delayed Deep Deterministic policy gradients (TD3): the algorithm and nothing else.

Fujimoto, van Hoof, Meger: "Addressing Function Approximation Error in Actor-Critic Methods", 2018, arXiv:1802.09477.
With its default arguments this is the published algorithm to the letter.  The three keyword arguments that depart from it
(`layer_norm`, `n_step`, `bf16`) are off by default.

Shapes below: `B` is the batch size, `S` the size of a state, `A` the size of an action.  Tensors are float32.
"""

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from bf16_update import Bf16Update
from cuda_graph import CudaGraph


class Actor(nn.Module):
    """The policy: state in, action out (paper, section 6.1: two hidden layers, ReLU, a tanh at the end).

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        max_action: largest absolute value of each component of an action.
        hidden: units of each hidden layer.
    """

    def __init__(self, state_dim: int, action_dim: int, max_action: float, hidden: int = 256) -> None:
        super().__init__()
        self.l1 = nn.Linear(state_dim, hidden)
        self.l2 = nn.Linear(hidden, hidden)
        self.l3 = nn.Linear(hidden, action_dim)
        self.max_action = max_action

    def forward(self, state: Tensor) -> Tensor:
        """(B, S) -> (B, A), each component within [-max_action, max_action]."""
        a = F.relu(self.l1(state))
        a = F.relu(self.l2(a))
        # in float32: a bfloat16 tanh is exactly 1 from 3.5 on, no gradient comes back from there, and the actor stays there
        return self.max_action * torch.tanh(self.l3(a).float())


class Critic(nn.Module):
    """Two independent estimates of Q(state, action), the discounted return still to come (paper, section 4.2).

    Layers `l1`, `l2`, `l3` are the first critic and `l4`, `l5`, `l6` the second.

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        hidden: units of each hidden layer.
        layer_norm: normalise each hidden layer before its ReLU.  Not in the paper.  It has no weights of its own: a scale
            would be the next layer's to learn.
    """

    def __init__(self, state_dim: int, action_dim: int, hidden: int = 256, layer_norm: bool = False) -> None:
        super().__init__()
        self.l1 = nn.Linear(state_dim + action_dim, hidden)
        self.l2 = nn.Linear(hidden, hidden)
        self.l3 = nn.Linear(hidden, 1)

        self.l4 = nn.Linear(state_dim + action_dim, hidden)
        self.l5 = nn.Linear(hidden, hidden)
        self.l6 = nn.Linear(hidden, 1)

        self.layer_norm = layer_norm

    def activate(self, q: Tensor) -> Tensor:
        """(..., hidden) -> the same, after the ReLU and, if so chosen, a LayerNorm before it."""
        return F.relu(F.layer_norm(q, q.shape[-1:]) if self.layer_norm else q)

    def forward(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S), (B, A) -> (B, 1), (B, 1): what each of the two critics thinks."""
        sa = torch.cat([state, action], 1)
        q1 = self.activate(self.l1(sa))
        q1 = self.activate(self.l2(q1))

        q2 = self.activate(self.l4(sa))
        q2 = self.activate(self.l5(q2))
        return self.l3(q1), self.l6(q2)

    def Q1(self, state: Tensor, action: Tensor) -> Tensor:
        """(B, S), (B, A) -> (B, 1): the first critic alone, which is all that the actor learns from."""
        q1 = self.activate(self.l1(torch.cat([state, action], 1)))
        q1 = self.activate(self.l2(q1))
        return self.l3(q1)


class TD3:
    """The agent: an actor, twin critics, a slowly following target copy of each, and the update (paper, algorithm 1).

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        max_action: largest absolute value of each component of an action.
        discount: gamma, what a reward one step later is worth.
        tau: how far the targets move toward the networks at each delayed update.
        policy_noise: standard deviation of the noise on the target action, in units of max_action.
        noise_clip: bound of that noise, in units of max_action.
        policy_freq: one update of the actor and the targets for so many of the critics.
        lr: learning rate of both Adam optimizers.
        hidden: units of each hidden layer of actor and critics.
        layer_norm: a LayerNorm in the critics (see `Critic`).  Not in the paper.
        n_step: how many rewards the buffer's `reward` already sums; the target then looks n_step steps ahead.  Paper: 1.
        bf16: multiply matrices in bfloat16 (weights, sums and optimizers stay float32).  Not in the paper.  On a CPU the two
            halves of the update are then those of `bf16_update.py`: the same, but faster, unless there is a LayerNorm.
        device: where the networks live, such as "cpu" or "cuda".
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        max_action: float,
        discount: float = 0.99,
        tau: float = 0.005,
        policy_noise: float = 0.2,
        noise_clip: float = 0.5,
        policy_freq: int = 2,
        *,
        lr: float = 3e-4,
        hidden: int = 256,
        layer_norm: bool = False,
        n_step: int = 1,
        bf16: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        adam: dict[str, Any] = {"lr": lr, "fused": True, "capturable": self.device.type == "cuda"}

        self.actor = Actor(state_dim, action_dim, max_action, hidden).to(self.device)
        self.actor_target = copy.deepcopy(self.actor)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), **adam)

        self.critic = Critic(state_dim, action_dim, hidden, layer_norm).to(self.device)
        self.critic_target = copy.deepcopy(self.critic)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), **adam)

        self.max_action = max_action
        self.discount = discount**n_step
        self.tau = tau
        self.policy_noise = policy_noise * max_action
        self.noise_clip = noise_clip * max_action
        self.policy_freq = policy_freq
        self.bf16 = bf16

        self.total_it = 0
        self.losses: dict[str, Tensor] = {}
        self._choose_update()

    def _choose_update(self):
        """The two halves of the update: as they stand below, or the same made faster for this machine."""
        critics, actor_and_targets = self._update_critics, self._update_actor_and_targets
        if self.device.type == "cuda":
            critics, actor_and_targets = CudaGraph(critics), CudaGraph(actor_and_targets)
        elif self.bf16 and not self.critic.layer_norm:
            by_hand = Bf16Update(self)
            critics, actor_and_targets = by_hand.update_critics, by_hand.update_actor_and_targets
        self.update_critics, self.update_actor_and_targets = critics, actor_and_targets

    @torch.no_grad()
    def select_action(self, state: ArrayLike) -> np.ndarray:
        """The actor's choice, without exploration noise.

        Args:
            state: one state, shape (S,), or many, shape (N, S); any float dtype.

        Returns:
            float32 array of shape (A,) or (N, A).
        """
        state = torch.as_tensor(np.asarray(state, dtype=np.float32), device=self.device)
        return self.actor(state).cpu().numpy()

    def train(self, replay_buffer: Any, batch_size: int = 256) -> dict[str, Tensor]:
        """One update: the critics, and at every `policy_freq`-th call the actor and the targets too.

        Args:
            replay_buffer: its `sample(batch_size)` gives state (B, S), action (B, A), next_state (B, S), reward (B, 1)
                and not_done (B, 1), which is 0 where next_state is terminal.
            batch_size: `B`.

        Returns:
            dict of 0-dimensional tensors: `critic_loss`, `actor_loss` (that of the latest delayed update) and `Q`,
            the mean of the first critic over the batch.
        """
        self.total_it += 1
        state, action, next_state, reward, not_done = replay_buffer.sample(batch_size)

        self.losses |= self.update_critics(state, action, next_state, reward, not_done)

        # Delayed policy updates (section 5.2)
        if self.total_it % self.policy_freq == 0:
            self.losses |= self.update_actor_and_targets(state)

        return self.losses

    def _update_critics(self, state, action, next_state, reward, not_done):
        """Moves both critics toward the reward plus what their targets expect of the next state."""
        with self.autocast():
            with torch.no_grad():
                # Target policy smoothing: a little clipped noise on the target action (section 5.3)
                noise = (torch.randn_like(action) * self.policy_noise).clamp(-self.noise_clip, self.noise_clip)
                next_action = (self.actor_target(next_state) + noise).clamp(-self.max_action, self.max_action)

                # Clipped double Q-learning: the smaller of the two target critics (section 4.2)
                target_Q1, target_Q2 = self.critic_target(next_state, next_action)
                target_Q = reward + not_done * self.discount * torch.min(target_Q1, target_Q2).float()

            current_Q1, current_Q2 = self.critic(state, action)
            critic_loss = F.mse_loss(current_Q1.float(), target_Q) + F.mse_loss(current_Q2.float(), target_Q)

        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()
        return {"critic_loss": critic_loss.detach(), "Q": current_Q1.detach().float().mean()}

    def _update_actor_and_targets(self, state):
        """Moves the actor toward what the first critic likes, and all targets a little toward their networks."""
        with self.autocast():
            actor_loss = -self.critic.Q1(state, self.actor(state)).float().mean()

        self.actor_optimizer.zero_grad()
        actor_loss.backward(inputs=list(self.actor.parameters()))
        self.actor_optimizer.step()

        # The targets follow slowly: target <- (1 - tau) target + tau network
        follow(self.critic_target, self.critic, self.tau)
        follow(self.actor_target, self.actor, self.tau)
        return {"actor_loss": actor_loss.detach()}

    def autocast(self) -> torch.autocast:
        """The context in which matrices are multiplied: bfloat16 if so chosen, else as they are."""
        # a cache of converted weights must not outlive the recording of a CUDA graph
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=self.device.type != "cuda")

    def save(self, filename: str | Path) -> None:
        """Writes the four files FILENAME_actor, _critic, _actor_optimizer and _critic_optimizer.

        They hold plain state dicts, the same as the original TD3's.  Each is written beside its place and then renamed, so
        that an interrupted save leaves the old files whole.  The folder is made if it is missing.
        """
        Path(filename).parent.mkdir(parents=True, exist_ok=True)
        names = [f"{filename}_{part}" for part in self._parts()]
        for name, part in zip(names, self._parts().values(), strict=True):
            torch.save(part.state_dict(), name + ".part")
        for name in names:
            os.replace(name + ".part", name)

    def load(self, filename: str | Path, inference: bool = False) -> None:
        """Reads what `save` or the original TD3 wrote; the targets become copies of the networks, as in the original.

        Args:
            filename: the path without the endings `_actor` and so on.
            inference: read only the actor, which is enough to watch a policy.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is not a checkpoint, or one of a network with other sizes.
        """
        parts = self._parts()
        for part in ["actor"] if inference else parts:
            _load_into(parts[part], f"{filename}_{part}", self.device)
        self.actor_target = copy.deepcopy(self.actor)
        self.critic_target = copy.deepcopy(self.critic)
        self._choose_update()  # anew, because an earlier choice works on the tensors of before

    def _parts(self):
        return {
            "critic": self.critic,
            "critic_optimizer": self.critic_optimizer,
            "actor": self.actor,
            "actor_optimizer": self.actor_optimizer,
        }


@torch.no_grad()
def follow(target: nn.Module, network: nn.Module, tau: float) -> None:
    """Moves every parameter of `target` the fraction `tau` of the way to that of `network`, all of them in one call."""
    torch._foreach_lerp_(list(target.parameters()), list(network.parameters()), tau)


def _load_into(part, path, device):
    """Fills a network or an optimizer from a file, without running any code from that file."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"There is no checkpoint file '{path}': give the path of a saved policy without its ending '_actor'."
        )
    try:
        state_dict = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"'{path}' is not a checkpoint of weights alone, so it was not loaded: expected a file that TD3.save wrote."
        ) from error
    try:
        if isinstance(part, nn.Module):
            expected = {name: tuple(p.shape) for name, p in part.state_dict().items()}
            found = {name: tuple(p.shape) for name, p in state_dict.items()}
            if found != expected:
                wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
                raise ValueError(
                    f"{wrong[0]} is {found.get(wrong[0], 'missing')} there and {expected.get(wrong[0], 'missing')} here"
                )
        part.load_state_dict(state_dict)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"'{path}' does not fit this agent ({error}): give the env, the hidden size and the layer_norm it was trained with."
        ) from error
