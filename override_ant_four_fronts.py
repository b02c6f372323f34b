"""The ant for any point with four fronts: what changes against `override_ant_random_points.py`, and nothing else."""

from typing import Any

import numpy as np

from envs.symmetry import ANT_TURNS, LEFT_RIGHT, Symmetry
from override_ant_random_points import MyAntBulletEnv as AnyPointEnv

MARGIN = np.deg2rad(15)
"""How far beyond the border between two sides a target may be before the ant takes the other side for its front, in radians.

Without it, an ant whose target is near the border changes its front whenever its body sways, and sometimes falls.
"""


def facing_side(angle: float, front: int | None = None) -> int:
    """The side of the ant that faces a target: 0 is the front, 1 the left side, 2 the back, 3 the right side.

    Args:
        angle: from the heading of the ant to its target, in radians.
        front: the side that faced it so far, which remains the front until the target is further than `MARGIN` beyond its border.
    """
    if front is not None and np.cos(angle - front * np.pi / 2) > np.cos(np.pi / 4 + MARGIN):
        return front
    return round(angle / (np.pi / 2)) % 4


class MyAntBulletEnv(AnyPointEnv):
    """An ant that takes the side that faces its target for its front, so that its target is always ahead, within 60 degrees.

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

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self.front: Any = None  # a side from the first observation on
        return super().reset(seed=seed, options=options)

    def choose_front(self) -> int:
        """The side that is the front from now on, see `facing_side`."""
        return facing_side(self.angle_to_target(), self.front)

    def observe(self, state: np.ndarray) -> np.ndarray:
        self.front = self.choose_front()
        return ANT_TURNS[self.front].state(state)

    def before_step(self, action: np.ndarray) -> np.ndarray:
        # The front of the last observation counts, also if the target was moved since.
        return ANT_TURNS[-self.front % 4].action(action)


class FourFronts:
    """A policy that was trained with four fronts, for the ant with one: it turns what it sees and what it does by itself.

    Args:
        policy: anything with `select_action(state)`, (28,) -> (8,).
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.front: int | None = None

    def select_action(self, state: np.ndarray) -> np.ndarray:
        """The action, (8,), in a state, (28,)."""
        self.front = facing_side(np.arctan2(state[1], state[2]), self.front)
        return ANT_TURNS[-self.front % 4].action(self.policy.select_action(ANT_TURNS[self.front].state(state)))
