"""Twin Delayed Deep Deterministic policy gradients (TD3): the paper's algorithm in plain PyTorch.

Fujimoto, van Hoof, Meger: "Addressing Function Approximation Error in Actor-Critic Methods", 2018, arXiv:1802.09477.

Shapes: `B` is the batch size, `S` the size of a state, `A` the size of an action.  Tensors are float32, unless said otherwise.
"""

import copy
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

PARTS = ("critic", "critic_optimizer", "actor", "actor_optimizer")
"""The files of a checkpoint, as in the original TD3."""

TARGETS = ("critic_target", "actor_target")
"""Two more, with which training goes on as if it had not stopped."""


class Actor(nn.Module):
    """The policy: two hidden layers of `hidden` units with ReLUs, and a tanh at the end (paper, section 6.1)."""

    def __init__(self, state_dim: int, action_dim: int, max_action: float, hidden: int = 256) -> None:
        super().__init__()
        self.l1 = nn.Linear(state_dim, hidden)
        self.l2 = nn.Linear(hidden, hidden)
        self.l3 = nn.Linear(hidden, action_dim)
        self.max_action = max_action

    def forward(self, state: Tensor) -> Tensor:
        """(B, S) -> (B, A), each component within [-max_action, max_action]."""
        return self.max_action * torch.tanh(self.pre_tanh(state))

    def pre_tanh(self, state: Tensor) -> Tensor:
        """(B, S) -> (B, A), what goes into the tanh."""
        a = F.relu(self.l1(state))
        a = F.relu(self.l2(a))
        return self.l3(a)


class Critic(nn.Module):
    """Two independent estimates of Q(state, action), the discounted return (paper, section 4.2).

    Layers `l1`, `l2`, `l3` are the first critic, and `l4`, `l5`, `l6` the second.
    """

    def __init__(self, state_dim: int, action_dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.l1 = nn.Linear(state_dim + action_dim, hidden)
        self.l2 = nn.Linear(hidden, hidden)
        self.l3 = nn.Linear(hidden, 1)
        self.l4 = nn.Linear(state_dim + action_dim, hidden)
        self.l5 = nn.Linear(hidden, hidden)
        self.l6 = nn.Linear(hidden, 1)

    def forward(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S), (B, A) -> (B, 1), (B, 1): the estimates of both critics."""
        q2 = F.relu(self.l4(torch.cat([state, action], 1)))
        q2 = F.relu(self.l5(q2))
        return self.Q1(state, action), self.l6(q2)

    def Q1(self, state: Tensor, action: Tensor) -> Tensor:
        """(B, S), (B, A) -> (B, 1): the estimate of the first critic, from which the actor learns."""
        q1 = F.relu(self.l1(torch.cat([state, action], 1)))
        q1 = F.relu(self.l2(q1))
        return self.l3(q1)


class TD3:
    """The agent: an actor, twin critics, a target network of each, and the update (paper, algorithm 1).

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        max_action: largest absolute value of each component of an action.
        tau: fraction of the way that the target networks move to the networks at each delayed update.
        policy_noise: standard deviation of the target action noise, in units of max_action.
        noise_clip: bound of the target action noise, in units of max_action.
        policy_freq: number of critic updates for each update of the actor and the target networks.
        clipped_double_q: whether the target has the smaller of the two target critics.  If False, it has the first one, as in
            DDPG, and the second critic has no influence on anything.
        saturation_penalty: weight of a penalty on what goes into the actor's tanh beyond 2, in units of the mean |Q|.  Where a tanh
            is saturated, its gradient vanishes, and the actor stops learning.  The paper has none.
        lr: learning rate of both Adam optimizers.
        hidden: units of each hidden layer.
        device: where the networks are, such as "cpu" or "cuda".
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        max_action: float,
        *,
        tau: float = 0.005,
        policy_noise: float = 0.2,
        noise_clip: float = 0.5,
        policy_freq: int = 2,
        clipped_double_q: bool = True,
        saturation_penalty: float = 0.0,
        lr: float = 3e-4,
        hidden: int = 256,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.actor = Actor(state_dim, action_dim, max_action, hidden).to(self.device)
        self.actor_target = copy.deepcopy(self.actor)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=lr, fused=True)
        self.critic = Critic(state_dim, action_dim, hidden).to(self.device)
        self.critic_target = copy.deepcopy(self.critic)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=lr, fused=True)

        self.max_action = max_action
        self.tau = tau
        self.policy_noise = policy_noise * max_action
        self.noise_clip = noise_clip * max_action
        self.policy_freq = policy_freq
        self.clipped_double_q = clipped_double_q
        self.saturation_penalty = saturation_penalty
        self.total_it = 0

    @torch.no_grad()
    def select_action(self, state: np.ndarray) -> np.ndarray:
        """The actor's action, without exploration noise: (S,) -> (A,) or (N, S) -> (N, A), float32.

        The actor computes in the type of its weights, float32 or float64.
        """
        states = torch.as_tensor(np.asarray(state, dtype=np.float32), device=self.device)
        return self.actor(states.to(self.actor.l1.weight.dtype)).float().cpu().numpy()

    def train(self, replay_buffer: Any, batch_size: int = 256) -> dict[str, Tensor]:
        """Updates the critics, and at every `policy_freq`-th call the actor and the target networks.

        Args:
            replay_buffer: its `sample(batch_size)` gives state (B, S), action (B, A), next_state
                (B, S), reward (B, 1) and discount (B, 1), the factor of the next state's value:
                gamma, or 0 where next_state is terminal.
            batch_size: `B`.

        Returns:
            a new dict of 0-dimensional tensors: `critic_loss`, `Q`, the mean of the first critic over
            the batch, and after an update of the actor `actor_loss`.
        """
        self.total_it += 1
        state, action, next_state, reward, discount = replay_buffer.sample(batch_size)

        with torch.no_grad():
            # Target policy smoothing: clipped noise on the target action (section 5.3)
            noise = torch.randn_like(action) * self.policy_noise
            next_action = self.actor_target(next_state) + noise.clamp(-self.noise_clip, self.noise_clip)
            next_action = next_action.clamp(-self.max_action, self.max_action)
            # Clipped double Q-learning: the smaller of the two target critics (section 4.2)
            target_Q1, target_Q2 = self.critic_target(next_state, next_action)
            next_Q = torch.min(target_Q1, target_Q2) if self.clipped_double_q else target_Q1
            target_Q = reward + discount * next_Q

        current_Q1, current_Q2 = self.critic(state, action)
        critic_loss = F.mse_loss(current_Q1, target_Q) + F.mse_loss(current_Q2, target_Q)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()
        losses = {"critic_loss": critic_loss.detach(), "Q": current_Q1.detach().mean()}

        # Delayed policy updates (section 5.2)
        if self.total_it % self.policy_freq == 0:
            z = self.actor.pre_tanh(state)
            Q = self.critic.Q1(state, self.max_action * torch.tanh(z))
            # Not in the paper: a penalty on actions whose value before the tanh is beyond -2 or 2
            saturation = F.relu(z.abs() - 2).square().mean()
            penalty = self.saturation_penalty * Q.detach().abs().mean() * saturation
            actor_loss = -Q.mean() + penalty
            self.actor_optimizer.zero_grad()
            actor_loss.backward(inputs=list(self.actor.parameters()))
            self.actor_optimizer.step()

            polyak_update(self.critic, self.critic_target, self.tau)
            polyak_update(self.actor, self.actor_target, self.tau)
            losses["actor_loss"] = actor_loss.detach()
        return losses

    def save(self, filename: str | Path, targets: bool = False) -> None:
        """Writes the four files of the original TD3: FILENAME_critic, _critic_optimizer, _actor and _actor_optimizer.

        Args:
            filename: path without these endings.
            targets: also write the target networks, FILENAME_critic_target and FILENAME_actor_target.
        """
        for part in PARTS + TARGETS * targets:
            with open(f"{filename}_{part}", "wb") as f:  # Python's own errors are clearer than those of torch.save
                torch.save(getattr(self, part).state_dict(), f)

    def load(self, filename: str | Path, inference: bool = False, targets: bool = False) -> None:
        """Reads the files that `save` or the original TD3 wrote.  lr and the other settings of the optimizers stay as they are.

        Args:
            filename: path without the endings `_actor` and so on.
            inference: read the actor only, which is enough to watch a policy.
            targets: also read the target networks.  Otherwise they become copies of the networks, as in the original.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is not a checkpoint, or one of networks of another size, or a number in it is not finite.
        """
        for part in ("actor",) if inference else PARTS:
            load_state_dict(getattr(self, part), f"{filename}_{part}", self.device)
        self.critic_target = copy.deepcopy(self.critic)
        self.actor_target = copy.deepcopy(self.actor)
        for part in TARGETS * targets:
            load_state_dict(getattr(self, part), f"{filename}_{part}", self.device)


@torch.no_grad()
def polyak_update(network: nn.Module, target_network: nn.Module, tau: float) -> None:
    """target <- (1 - tau) target + tau network, for each parameter."""
    for param, target_param in zip(network.parameters(), target_network.parameters(), strict=True):
        target_param.lerp_(param, tau)


def load_state_dict(module: Any, path: str, device: torch.device) -> None:
    """Fills a network or an optimizer from a file.  Raises as `TD3.load` does."""
    state_dict = read_checkpoint(path, device)
    try:
        if isinstance(module, torch.optim.Optimizer):
            state_dict = with_settings_of(module, state_dict)
        copy.deepcopy(module).load_state_dict(state_dict)  # a copy first: PyTorch fills what fits before it raises
    except (RuntimeError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[-1].strip()
        raise ValueError(f"'{path}' does not fit this agent, so give its env and hidden size: {reason}") from error
    module.load_state_dict(state_dict)


def with_settings_of(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """The state dict of another Adam with the lr, `fused` and `capturable` of this one."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, state in state_dict["state"].items():  # PyTorch does not compare these shapes
        if any(state[name].shape != parameters[index].shape for name in ("exp_avg", "exp_avg_sq")):
            raise ValueError(f"the moments of parameter {index} have another shape than the parameter")
    groups = zip(state_dict["param_groups"], optimizer.param_groups, strict=True)
    return {"state": state_dict["state"], "param_groups": [{**own, "params": saved["params"]} for saved, own in groups]}


def read_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> Any:
    """What `torch.save` wrote to a file.  Runs no code from that file, and needs no more memory than the file has bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else than finite tensors, numbers and text.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint file '{path}': give the path of a policy without its ending '_actor'.")
    try:
        if zipfile.is_zipfile(path) and any(entry.compress_type for entry in zipfile.ZipFile(path).infolist()):
            raise ValueError("torch.save does not compress, so a compressed file may unpack to any size")
        contents = torch.load(path, map_location=device, weights_only=True)
        if any(tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() for tensor in tensors_in(contents)):
            raise ValueError("an expanded tensor repeats its numbers, and would unpack to any size")
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"'{path}' is not a checkpoint of weights alone: expected a file that TD3.save wrote.") from error
    if not all(torch.isfinite(tensor).all() for tensor in tensors_in(contents)):
        raise ValueError(f"'{path}' holds a number that is nan or infinite: take an earlier checkpoint.")
    return contents


def tensors_in(contents: Any) -> Iterator[Tensor]:
    """The tensors in nested dicts and lists."""
    if isinstance(contents, Tensor):
        yield contents
    elif isinstance(contents, (dict, list, tuple)):
        for part in contents.values() if isinstance(contents, dict) else contents:
            yield from tensors_in(part)
