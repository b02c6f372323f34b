"""The ant that is asked to go somewhere else every episode.  Only what changes is here; all else is `override_ant.py`'s."""

from typing import Any

import numpy as np

from override_ant import MyAnt as OnePointAnt
from override_ant import MyAntBulletEnv as OnePointEnv
from override_ant import register

RADIUS = float(np.hypot(20, 20))
"""Distance of every target from the start, in metres."""


class MyAnt(OnePointAnt):
    """An ant that looks at its target from where its torso is.

    Upstream's looks from the mean of its parts and counts the floor, which lies at the origin, as one of the 22: it takes
    itself for 4.5 % nearer to the origin than it is.  Straight ahead that is all the same, but 28 m out it is 1.3 m.
    """

    def look_at_target(self) -> None:
        dx, dy = self.walk_target_x - self.body_real_xyz[0], self.walk_target_y - self.body_real_xyz[1]
        self.walk_target_theta = np.arctan2(dy, dx)
        self.walk_target_dist = np.hypot(dx, dy)


class MyAntBulletEnv(OnePointEnv):
    """A new target on the circle every episode, and a reward for turning toward it.

    Args:
        render_mode: None, "rgb_array" or "human".
        angle_progress: whether the reward has the term of that name.
    """

    def __init__(self, render_mode: str | None = None, angle_progress: bool = True, onward: bool = False) -> None:
        self.angle_progress = angle_progress
        super().__init__(render_mode, onward=onward)

    def make_robot(self) -> OnePointAnt:
        return MyAnt(self.target)

    def choose_target(self) -> tuple[float, float]:
        """A point on the circle, every direction as likely as any other."""
        angle = self.np_random.uniform(0, 2 * np.pi)
        return RADIUS * np.cos(angle), RADIUS * np.sin(angle)

    def next_target(self) -> tuple[float, float]:
        """A point on such a circle around where the ant is now."""
        x, y = self.choose_target()
        return self.robot.body_real_xyz[0] + x, self.robot.body_real_xyz[1] + y

    def angle_to_target(self) -> float:
        """From the way the ant looks to the way to its target, in radians."""
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
            # cosine: 1 where the ant looks at its target, -1 where it looks away; a rate, so divided by the time of a step
            terms["angle_progress"] = float((np.cos(self.angle) - np.cos(before)) / self.scene.dt)
        return terms


settings = {"entry_point": "override_ant_random_points:MyAntBulletEnv", "max_episode_steps": 1000, "reward_threshold": 2500.0}
register("MyAntRandomPointsBulletEnv-v0", **settings)
register("MyAntRandomPointsNoAngleBulletEnv-v0", **settings, kwargs={"angle_progress": False})
register("MyAntRandomPointsOnwardBulletEnv-v0", **settings, kwargs={"onward": True})
register("MyAntRandomPointsOnwardNoAngleBulletEnv-v0", **settings, kwargs={"onward": True, "angle_progress": False})
