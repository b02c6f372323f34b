"""The ant for any point with four fronts: what changes against `override_ant_random_points.py`, and nothing else."""

from typing import Any

import numpy as np

from envs.symmetry import ANT_TURNS, LEFT_RIGHT, Symmetry
from override_ant_random_points import MyAntBulletEnv as AnyPointEnv


def side_next_to(angle: float) -> int:
    """The side of the ant next to a target, which is at an angle from its heading, in radians: 0 is the front, 1 the left side, 2
    the back, 3 the right side.
    """
    return round(angle / (np.pi / 2)) % 4


class MyAntBulletEnv(AnyPointEnv):
    """An ant that takes the side next to its target for its front, so that its target is always ahead, within 45 degrees.

    Turned by 90 degrees, the ant looks the same.  So the policy sees the ant turned, and its actions are turned back.

    Args:
        render_mode: None, "rgb_array" or "human".
        reset_target: whether a new target is chosen when the ant reaches the current one.
    """

    def __init__(self, render_mode: str | None = None, reset_target: bool = False) -> None:
        super().__init__(render_mode, angle_progress=False, reset_target=reset_target)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The left-right mirror alone: the others would put the target behind the ant."""
        return (LEFT_RIGHT,)

    def front(self) -> int:
        """The side that is the front now, see `side_next_to`."""
        return side_next_to(self.angle_to_target())

    def observe(self, state: np.ndarray) -> np.ndarray:
        return ANT_TURNS[self.front()].state(state)

    def before_step(self, action: np.ndarray) -> np.ndarray:
        return ANT_TURNS[-self.front() % 4].action(action)


class FourFronts:
    """A policy that was trained with four fronts, for the ant with one: it turns what it sees and what it does by itself.

    Args:
        policy: anything with `select_action(state)`, (28,) -> (8,).
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def select_action(self, state: np.ndarray) -> np.ndarray:
        """The action, (8,), in a state, (28,)."""
        front = side_next_to(np.arctan2(state[1], state[2]))
        return ANT_TURNS[-front % 4].action(self.policy.select_action(ANT_TURNS[front].state(state)))
