"""The ant's environment with its pieces laid open: the target, the alive bonus, and the reward as named terms.

What inherits from what:

    MyAntBulletEnv(WalkerBaseBulletEnv)          the environment: reset, step, and the terms of the reward
        self.robot = MyAnt()
            MyAnt(MyWalkerBase)                  the ant: its file, its motors, what counts as alive
                MyWalkerBase(WalkerBase)         any walker: where it is asked to go, and what it senses

To change something, subclass the class where it lives and override that method alone; `override_ant_random_points.py` does so.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from fast_walker import BatchedWalker, mean
from vector import quiet

with quiet():
    from pybullet_envs_gymnasium.gym_locomotion_envs import WalkerBaseBulletEnv
    from pybullet_envs_gymnasium.robot_locomotors import WalkerBase

TARGET = (20.0, 20.0)
"""Where this ant is asked to go unless it is told otherwise, in metres."""

REACHED = 1.0
"""A target counts as reached when the torso is so near, in metres."""


class MyWalkerBase(BatchedWalker, WalkerBase):
    """A walking robot that is asked to go to a point.

    Args: as upstream's `WalkerBase`; further keywords:
        target: (x, y) in metres.
    """

    def __init__(
        self, fn: str, robot_name: str, action_dim: int, obs_dim: int, power: float, target: Iterable[float] = TARGET
    ) -> None:
        WalkerBase.__init__(self, fn, robot_name, action_dim, obs_dim, power)
        self.set_target(*point(target))

    def set_target(self, x: float, y: float) -> None:
        """Asks the robot to go to (x, y), in metres, from now on."""
        self.walk_target_x, self.walk_target_y = point((x, y))

    def to_go(self) -> float:
        """Metres from the torso to the target."""
        x, y, _ = self.body_real_xyz
        return float(np.hypot(self.walk_target_x - x, self.walk_target_y - y))


class MyAnt(MyWalkerBase):
    """The ant: 28 observations, 8 motors."""

    foot_list: ClassVar = ["front_left_foot", "front_right_foot", "left_back_foot", "right_back_foot"]

    def __init__(self, target: Iterable[float] = TARGET) -> None:
        MyWalkerBase.__init__(self, "ant.xml", "torso", action_dim=8, obs_dim=28, power=2.5, target=target)

    def alive_bonus(self, z: float, pitch: float) -> float:
        """Reward for being alive at torso height z (metres); if it is negative, the episode ends."""
        return +1 if z > 0.26 else -1  # the torso is a ball of radius 0.25: below that it scrapes the ground


class MyAntBulletEnv(WalkerBaseBulletEnv):
    """Upstream's walking environment with a target of one's own and a reward made of named terms.

    `info["reward_terms"]` holds every term of the step; their sum is the reward.

    Args:
        render_mode: None, "rgb_array" or "human".
        target: (x, y) in metres, for every episode whose `reset` does not say otherwise.
        onward: whether a target that the ant reaches gives way to the next one; otherwise it stays to the episode's end.

    Raises:
        ValueError: a target is not two finite numbers.
    """

    def __init__(self, render_mode: str | None = None, target: Iterable[float] = TARGET, onward: bool = False) -> None:
        self.target = point(target)
        self.onward = onward
        self.robot = self.make_robot()
        WalkerBaseBulletEnv.__init__(self, self.robot, render_mode=render_mode)

    def make_robot(self) -> MyWalkerBase:
        """The robot of this environment."""
        return MyAnt(self.target)

    def choose_target(self) -> tuple[float, float]:
        """The target of an episode, (x, y) in metres.  Draw from `self.np_random` if you want it to be random."""
        return self.target

    def next_target(self) -> tuple[float, float]:
        """Where an ant that has reached its target is sent if the environment is `onward`: as far again, the same way."""
        return self.robot.walk_target_x + self.target[0], self.robot.walk_target_y + self.target[1]

    def reset(  # type: ignore[override]  # by name alone, as Gymnasium has it
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: of everything random in the environment.
            options: {"target": (x, y)} sets the target of this episode.

        Returns:
            the first state, (28,) float32, and an empty dict.
        """
        if seed is not None:
            self.seed(seed)
        given = (options or {}).get("target")
        self.robot.set_target(*point(self.choose_target() if given is None else given))
        with quiet() if self.physicsClientId < 0 else nullcontext():  # Bullet announces itself when it connects
            return WalkerBaseBulletEnv.reset(self, options=options)

    def set_target(self, x: float, y: float) -> None:
        """Asks the ant to go to (x, y), in metres, from now on; progress is counted toward the new target from here."""
        self.robot.set_target(x, y)
        self.robot.look_at_target()
        self.potential = self.robot.calc_potential()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Sets the motors, lets 0.0165 seconds pass, and says what came of it.

        Args:
            action: (8,) floats; what is beyond -1 ... 1 does not count.

        Returns:
            state (28,) float32, reward, terminated (the ant fell), truncated (always False: time limits are a wrapper's),
            and {"reward_terms": {name: value}}.
        """
        self.robot.apply_action(action)
        self.scene.global_step()
        state = self.robot.calc_state()
        terms = self.reward_terms(action, state)
        self.robot.feet_contact[:] = self.robot.touching(self.ground_ids)  # sensed one step later, as upstream has it
        self.rewards = list(terms.values())
        reward = float(sum(self.rewards))
        self.reward += reward
        if self.onward and self.robot.to_go() < REACHED:
            self.set_target(*self.next_target())
            state = self.robot.calc_state()  # the angle in it is now that to the new target
        return state, reward, self._isDone(), False, {"reward_terms": terms}

    def reward_terms(self, action: np.ndarray, state: np.ndarray) -> dict[str, float]:
        """The reward of this step, term by term.  Subclasses add to it: `super().reward_terms(...) | {"mine": ...}`.

        Args:
            action: (8,) as given to `step`.
            state: (28,) as it will be returned.

        Returns:
            dict of floats, whose order is the order in which they are summed.
        """
        robot = self.robot
        self._alive = float(robot.alive_bonus(state[0] + robot.initial_z, robot.body_rpy[1]))
        before, self.potential = self.potential, robot.calc_potential()
        electricity = self.electricity_cost * float(mean(np.abs(action * robot.joint_speeds)))
        electricity += self.stall_torque_cost * float(mean(np.square(action)))
        return {
            "alive": self._alive,
            "progress": float(self.potential - before),  # metres a second toward the target
            "electricity": electricity,
            "joints_at_limit": float(self.joints_at_limit_cost * robot.joints_at_limit),
            "feet_collision": 0.0,  # upstream has switched it off
        }


def point(target: Iterable[float]) -> tuple[float, float]:
    """A target as two floats.

    Raises:
        ValueError: it is not two finite numbers.
    """
    try:
        x, y = (float(value) for value in target)
    except (TypeError, ValueError):
        x = y = np.nan
    if not np.isfinite([x, y]).all():
        raise ValueError(f"target is {target!r}: expected two finite numbers, x and y in metres.")
    return x, y


def register(id: str, **kwargs: Any) -> None:
    """Registers an environment with Gymnasium.  Again is fine, as when a cell is run twice: the latest definition counts."""
    gym.registry.pop(id, None)
    gym.register(id=id, **kwargs)


register("MyAntBulletEnv-v0", entry_point="override_ant:MyAntBulletEnv", max_episode_steps=1000, reward_threshold=2500.0)
register(
    "MyAntOnwardBulletEnv-v0",
    entry_point="override_ant:MyAntBulletEnv",
    max_episode_steps=1000,
    reward_threshold=2500.0,
    kwargs={"onward": True},
)
