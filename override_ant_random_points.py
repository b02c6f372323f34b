"""The ant with a new target in every episode: what changes against `override_ant.py`, and nothing else."""

from typing import Any

import numpy as np

from envs.symmetry import ANT_SYMMETRIES, Symmetry
from override_ant import MyAnt as OnePointAnt
from override_ant import MyAntBulletEnv as OnePointEnv

RADIUS = float(np.hypot(20, 20))
"""Distance of every target from the start, in metres."""


class MyAnt(OnePointAnt):
    """An ant that measures the direction to its target from its torso.

    Upstream measures it from the mean of 22 parts and counts the floor, which is at the origin, as one of them.  That point is
    4.5 % nearer to the origin than the ant: 1.3 m at a distance of 28 m.
    """

    def look_at_target(self) -> None:
        dx, dy = self.walk_target_x - self.body_real_xyz[0], self.walk_target_y - self.body_real_xyz[1]
        self.walk_target_theta = np.arctan2(dy, dx)
        self.walk_target_dist = np.hypot(dx, dy)


class MyAntBulletEnv(OnePointEnv):
    """A new target on a circle in every episode, and a reward for turning toward it.

    Args:
        render_mode: None, "rgb_array" or "human".
        angle_progress: whether the reward has the term of that name.
        reset_target: whether a new target is chosen when the ant reaches the current one.
    """

    def __init__(self, render_mode: str | None = None, angle_progress: bool = True, reset_target: bool = False) -> None:
        self.angle_progress = angle_progress
        super().__init__(render_mode, reset_target=reset_target)

    def make_robot(self) -> OnePointAnt:
        return MyAnt(self.target)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """All three without `angle_progress`.  With it, front and back differ: left-right alone."""
        return super().symmetries if self.angle_progress else ANT_SYMMETRIES

    def choose_target(self) -> tuple[float, float]:
        """A point on the circle, uniformly distributed."""
        angle = self.np_random.uniform(0, 2 * np.pi)
        return RADIUS * np.cos(angle), RADIUS * np.sin(angle)

    def next_target(self) -> tuple[float, float]:
        """A point on such a circle around the ant."""
        x, y = self.choose_target()
        return self.robot.body_real_xyz[0] + x, self.robot.body_real_xyz[1] + y

    def angle_to_target(self) -> float:
        """Angle from the heading of the ant to the direction of its target, in radians."""
        return self.robot.walk_target_theta - self.robot.body_rpy[2]

    def reset(  # type: ignore[override]
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        state, info = super().reset(seed=seed, options=options)
        self.angle = self.angle_to_target()
        return state, info

    def set_target(self, x: float, y: float) -> None:
        super().set_target(x, y)
        self.angle = self.angle_to_target()

    def reward_terms(self, action: np.ndarray, state: np.ndarray) -> dict[str, float]:
        terms = super().reward_terms(action, state)
        before, self.angle = self.angle, self.angle_to_target()
        if self.angle_progress:
            # The cosine is 1 toward the target and -1 away from it.  The term is a rate, so it is divided by the time of a step.
            terms["angle_progress"] = float((np.cos(self.angle) - np.cos(before)) / self.scene.dt)
        return terms
