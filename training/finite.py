"""The checks that stop a run at the first number that is nan or infinite, before it reaches the replay buffer or a checkpoint."""

import math
from typing import Any

import numpy as np
import torch


class NonFiniteError(ValueError):
    """A number in training became nan or infinite."""


def check_actions(actions: np.ndarray, timesteps: int, policy: Any) -> None:
    """Actions before they are taken.

    Args:
        actions: (N, A).
        timesteps: environment steps so far.
        policy: the agent, which is blamed for its part.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    if not np.isfinite(actions).all():
        env, motor = np.argwhere(~np.isfinite(actions))[0]
        raise NonFiniteError(
            f"Action {motor} for environment {env} is {actions[env, motor]} after {timesteps:,} steps"
            f"{_since(policy)}: training has diverged, so try a smaller lr."
        )


def check_steps(states: np.ndarray, rewards: np.ndarray, timesteps: int, envs: Any) -> None:
    """What the environments returned.

    Args:
        states: (N, S), the states to which the steps led.
        rewards: (N,).
        timesteps: environment steps so far, these included.
        envs: vector environments, which are asked for the terms of a reward.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    # one sum is several times quicker than a look at each number, and is not finite if one of them is not
    if math.isfinite(float(states.sum()) + float(rewards.sum())):
        return
    where = f"in the environment's step {timesteps // len(rewards):,}, {timesteps:,} steps in all"
    if not np.isfinite(rewards).all():
        env = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise NonFiniteError(
            f"The reward of environment {env} is {rewards[env]} {where}{_terms(envs, env)}: look at how the environment computes it."
        )
    if not np.isfinite(states).all():
        env, index = np.argwhere(~np.isfinite(states))[0]
        raise NonFiniteError(
            f"Observation {index} of environment {env} is {states[env, index]} {where}: look at how the environment computes it."
        )


def check_losses(losses: dict[str, torch.Tensor], policy: Any, timesteps: int) -> None:
    """The losses after some updates.

    Args:
        losses: as `train` returned them.
        policy: the agent.
        timesteps: environment steps so far.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"{name} is {float(loss)} after {timesteps:,} steps{_since(policy)}: training has diverged, so try a smaller lr."
            )


def check_weights(policy: Any, timesteps: int) -> None:
    """Every weight of an agent, because bfloat16 products can hide a nan from the losses.  It takes a twentieth of an update.

    Args:
        policy: the agent.
        timesteps: environment steps so far.

    Raises:
        NonFiniteError: one of them is not finite.
    """
    networks = {"actor": policy.actor, "critic": policy.critic}
    # Bf16TD3 has all weights in two vectors, and a sum is not finite if one number in it is not
    vectors = getattr(policy, "vectors", None) or [p.detach() for network in networks.values() for p in network.parameters()]
    if math.isfinite(sum(float(vector.sum()) for vector in vectors)):
        return
    for part, network in networks.items():
        for name, parameter in network.named_parameters():
            if not torch.isfinite(parameter).all():
                raise NonFiniteError(
                    f"A weight in {part}.{name} is not finite after {timesteps:,} steps{_since(policy)}: "
                    "training has diverged, so try a smaller lr."
                )


def _since(policy):
    return f" and {policy.total_it:,} updates"


def _terms(envs, env):
    """The terms of a reward, where the environment keeps them by name or, as upstream's do, in a list."""
    name = next((name for name in ("terms", "rewards") if all(envs.call("has_wrapper_attr", name))), None)
    if name is None:
        return ""
    terms = envs.call(name)[env]
    pairs = terms.items() if isinstance(terms, dict) else enumerate(terms)
    return ", with the terms " + ", ".join(f"{key} {value:.4g}" for key, value in pairs)
