"""One sentence about what a method of an environment returned, where it cannot be used."""

from math import isfinite
from typing import Any

import numpy as np


class EnvironmentMistake(ValueError):
    """What a method of an environment returned cannot be used.  The sentence names the method."""


def sum_of_terms(env: Any, terms: dict[str, float], state: np.ndarray) -> float:
    """The reward.

    Args:
        env: whose `reward_terms` returned `terms`.
        terms: the terms of the reward by name.
        state: (S,), to tell a wrong term from a physics engine that has diverged.

    Raises:
        EnvironmentMistake: a term is not a finite number.
    """
    try:
        reward = sum(terms.values())
        if not isinstance(reward, np.ndarray) and isfinite(reward):
            return float(reward)
    except (AttributeError, TypeError, ValueError):
        pass
    name = type(env).__name__
    if not np.isfinite(state).all():
        which = int(np.flatnonzero(~np.isfinite(state))[0])
        raise EnvironmentMistake(
            f"The physics has diverged: component {which} of the state is {state[which]}, so look at `before_step`, `ground` and "
            f"`choose_world` of {name}."
        )
    if not isinstance(terms, dict):
        raise EnvironmentMistake(f"`reward_terms` of {name} returned {terms!r:.80}: expected a dict of numbers.")
    for term, value in terms.items():
        if np.shape(value):
            shape = np.shape(value)
            raise EnvironmentMistake(
                f"The reward term '{term}' has shape {shape}: look at `reward_terms` of {name}, which should give a number."
            )
        if not isinstance(value, (int, float, np.number, np.bool_)) or not isfinite(value):
            raise EnvironmentMistake(
                f"The reward term '{term}' is {value!r:.80}: look at `reward_terms` of {name}, which should give a finite number."
            )
    raise EnvironmentMistake(f"The terms of the reward sum to {reward}: look at `reward_terms` of {name}.")


def check_shape(env: Any, method: str, value: Any, shape: tuple[int, ...], hint: str = "") -> None:
    """Compares the shape of what a method returned with the one that is expected.

    Raises:
        EnvironmentMistake: it is another one.
    """
    if np.shape(value) != shape:
        found = "nothing" if value is None else f"shape {np.shape(value)}"
        raise EnvironmentMistake(f"`{method}` of {type(env).__name__} returned {found}: expected shape {shape}{hint}.")


def check_start(env: Any, overlap: float) -> None:
    """Refuses a start at which the ground would throw the robot out.

    Args:
        env: the environment.
        overlap: how deep the ground reaches into the robot, in metres.

    Raises:
        EnvironmentMistake: it is more than 5 cm.
    """
    if overlap > 0.05:
        raise EnvironmentMistake(
            f"The ground reaches {overlap:.2f} m into the ant at its start and would throw it out: look at `ground` and "
            f"`choose_start` of {type(env).__name__}."
        )
