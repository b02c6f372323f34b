"""The ant's environment in pieces that can be changed: the target, the reward as named terms, the start, and the world.

The classes and their base classes:

    MyAntBulletEnv(WalkerBaseBulletEnv)          the environment: reset, step, and the methods that these call
        self.robot = MyAnt()
            MyAnt(MyWalkerBase)                  the ant: its file, its motors, and whether it is alive
                MyWalkerBase(WalkerBase)         any walker: its target, and its observations

To change something, subclass its class and override that method only, as `override_ant_random_points.py` and `cookbook.py` do:

    ground            what stands on the floor                         once, when the physics starts
    choose_target     the target                                       at the start of each episode
    choose_world      gravity, friction and load                       at the start of each episode
    choose_start      where the ant is, and how it is turned           at the start of each episode
    before_step       what the motors get, and forces from outside     before each step
    reward_terms      the reward                                       after each step
    observe           what the policy sees                             after each step, and at the start of each episode
    next_target       the target after one that was reached            with reset_target
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from envs.batched_walker import BatchedWalker, mean
from envs.bullet import quiet
from envs.mistakes import check_shape, check_start, sum_of_terms
from envs.symmetry import LEFT_RIGHT, Symmetry
from envs.world import Physics, Shape, World, ground_heights

with quiet():
    from pybullet_envs_gymnasium.gym_locomotion_envs import WalkerBaseBulletEnv
    from pybullet_envs_gymnasium.robot_locomotors import WalkerBase

TARGET = (20.0, 20.0)
"""Default target, in metres."""

REACHED = 1.0
"""Distance of the torso at which a target counts as reached, in metres."""

Pose = tuple[Sequence[float], Sequence[float]]
"""Position of the torso, (x, y, z) in metres, and its roll, pitch and yaw in radians."""

START: Pose = (0.0, 0.0, 0.75), (0.0, 0.0, 0.0)
"""Where upstream's ant starts: above the origin, looking along x."""


class MyWalkerBase(BatchedWalker, WalkerBase):
    """A walking robot with a target.

    Args: as upstream's `WalkerBase`; further keywords:
        target: (x, y) in metres.
    """

    def __init__(
        self, fn: str, robot_name: str, action_dim: int, obs_dim: int, power: float, target: Iterable[float] = TARGET
    ) -> None:
        WalkerBase.__init__(self, fn, robot_name, action_dim, obs_dim, power)
        self.set_target(*target)

    def set_target(self, x: float, y: float) -> None:
        """Makes (x, y), in metres, the target from now on."""
        self.walk_target_x, self.walk_target_y = check_target((x, y))

    def distance_to_target(self) -> float:
        """Distance from the torso to the target, in metres."""
        x, y, _ = self.body_real_xyz
        return float(np.hypot(self.walk_target_x - x, self.walk_target_y - y))


class MyAnt(MyWalkerBase):
    """The ant: 28 observations, 8 motors."""

    foot_list: ClassVar = ["front_left_foot", "front_right_foot", "left_back_foot", "right_back_foot"]

    def __init__(self, target: Iterable[float] = TARGET) -> None:
        MyWalkerBase.__init__(self, "ant.xml", "torso", action_dim=8, obs_dim=28, power=2.5, target=target)

    def alive_bonus(self, z: float, pitch: float) -> float:
        """Reward for being alive at torso height z, in metres.  If it is negative, the episode ends."""
        return +1 if z > 0.26 else -1  # the torso is a sphere of radius 0.25, so below that it touches the ground


class MyAntBulletEnv(WalkerBaseBulletEnv):
    """Upstream's walking environment with a target that can be chosen and a reward made of named terms.

    `info["reward_terms"]` holds every term of the step; their sum is the reward.

    Args:
        render_mode: None, "rgb_array" or "human".
        target: (x, y) in metres, for every episode whose `reset` does not say otherwise.
        reset_target: whether a new target is chosen when the ant reaches the current one; otherwise it stays to the end of
            the episode.

    Raises:
        ValueError: a target is not two finite numbers.
    """

    def __init__(self, render_mode: str | None = None, target: Iterable[float] = TARGET, reset_target: bool = False) -> None:
        self.target = check_target(target)
        self.reset_target = reset_target
        self.robot = self.make_robot()
        self.terrain: list[int] = []  # Bullet's numbers of the bodies of `ground`
        self.shapes: tuple[Shape, ...] = ()
        self.physics: Physics | None = None
        WalkerBaseBulletEnv.__init__(self, self.robot, render_mode=render_mode)

    def make_robot(self) -> MyWalkerBase:
        """The robot of this environment."""
        return MyAnt(self.target)

    def ground(self) -> Sequence[Shape]:
        """What stands on the floor: boxes and height fields of `envs/world.py`.  The floor, at height 0, stays below them."""
        return ()

    def choose_world(self) -> World:
        """Gravity, friction and load of an episode.  Draw from `self.np_random` to make them random."""
        return World()

    def choose_start(self) -> Pose:
        """Where the torso starts, (x, y, z) in metres, and its roll, pitch and yaw in radians."""
        return START

    def before_step(self, action: np.ndarray) -> np.ndarray:
        """Called before each step: apply a force, move something, or change the action.  `self.frame` counts the steps from 1.

        Args:
            action: (8,) as given to `step`.

        Returns:
            (8,), what the motors get, and what `reward_terms` is given.
        """
        return action

    def observe(self, state: np.ndarray) -> np.ndarray:
        """What the policy sees.  If it has another length, set `self.observation_space` in `__init__`.

        Args:
            state: (28,) float32.  It is not changed: the reward is made of it.

        Returns:
            the observation, float32.
        """
        return state

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The mirror images of an experience that are true as well, and from which training learns too.

        A change that tells left from right, such as a motor that does not work, has to override this with `()`.
        """
        return (LEFT_RIGHT,)

    def choose_target(self) -> tuple[float, float]:
        """The target of an episode, (x, y) in metres.  Draw from `self.np_random` to make it random."""
        return self.target

    def next_target(self) -> tuple[float, float]:
        """The target after the current one is reached, with `reset_target`: as far again in the same direction."""
        return self.robot.walk_target_x + self.target[0], self.robot.walk_target_y + self.target[1]

    def reset(  # type: ignore[override]  # keyword-only, as in Gymnasium
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: seed of everything random in the environment.
            options: {"target": (x, y)} sets the target of this episode.

        Returns:
            what `observe` makes of the first state, (28,) float32, and an empty dict.

        Raises:
            ValueError: a method returned what cannot be used, or the ground reaches into the ant at its start.
        """
        if seed is not None:
            self.seed(seed)
        given = (options or {}).get("target")
        self.robot.set_target(*check_target(self.choose_target() if given is None else given))
        with quiet() if self.physicsClientId < 0 else nullcontext():  # Bullet prints when it connects
            state, info = WalkerBaseBulletEnv.reset(self, options=options)
        self.ground_ids |= {(body, -1) for body in self.terrain}
        if self.physics is None:
            ground = [*self.stadium_scene.ground_plane_mjcf, *self.terrain]
            self.physics = Physics(self._p, self.robot.objects[0], self.robot.robot_body.bodyPartIndex, ground)
        self.physics.set(self.choose_world())
        start = self.choose_start()
        if self.terrain or start is not START:
            state = self._start_at(*start)
        return self._observation(state), info

    def create_single_player_scene(self, bullet_client: Any) -> Any:
        """Upstream's floor, and the `ground` of this environment."""
        self.shapes = tuple(self.ground())
        self.terrain = [shape.add(bullet_client) for shape in self.shapes]
        return WalkerBaseBulletEnv.create_single_player_scene(self, bullet_client)

    def _start_at(self, position, turned):
        """Puts the robot at its start, and returns the state there."""
        self.physics.place(position, turned)
        check_start(self, self.physics.overlap())
        state = self._calc_state()
        self.potential = self.robot.calc_potential()
        return state

    def ground_heights(self, points: ArrayLike) -> np.ndarray:
        """The height of the ground at points (N, 2), in metres: (N,) float64."""
        return ground_heights(self._p, points)

    def _calc_state(self):
        """The state, (28,), in which the height of the torso is that above the ground below it."""
        state = self.robot.calc_state()
        if self.terrain:
            x, y, z = self.robot.body_real_xyz
            state[0] = np.clip(z - self.ground_heights((x, y))[0] - self.robot.initial_z, -5, 5)
        return state

    def _observation(self, state):
        """What `observe` makes of a state."""
        seen = self.observe(state)
        check_shape(self, "observe", seen, self.observation_space.shape, ", that of `self.observation_space`")
        return np.asarray(seen, np.float32)

    def set_target(self, x: float, y: float) -> None:
        """Makes (x, y), in metres, the target from now on.  Progress is then counted from here toward the new target."""
        self.robot.set_target(x, y)
        self.robot.look_at_target()
        self.potential = self.robot.calc_potential()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Sets the motors and simulates 0.0165 seconds.

        Args:
            action: (8,) floats, clipped to -1 ... 1.

        Returns:
            what `observe` makes of the state, (28,) float32, reward, terminated (the ant fell), truncated (always False, because a
            wrapper has the time limit), and {"reward_terms": {name: value}}.

        Raises:
            ValueError: a method returned what cannot be used.
        """
        self.frame += 1
        given, action = action, self.before_step(action)
        if action is not given:
            check_shape(self, "before_step", action, np.shape(given))
        self.robot.apply_action(action)
        self.scene.global_step()
        state = self._calc_state()
        self.terms = terms = self.reward_terms(action, state)
        reward = sum_of_terms(self, terms, state)
        self.robot.feet_contact[:] = self.robot.touching(self.ground_ids)  # observed one step later, as upstream
        self.rewards = list(terms.values())
        self.reward += reward
        if self.reset_target and self.robot.distance_to_target() < REACHED:
            self.set_target(*self.next_target())
            state = self._calc_state()  # now with the angle to the new target
        return self._observation(state), reward, self._isDone(), False, {"reward_terms": terms}

    def reward_terms(self, action: np.ndarray, state: np.ndarray) -> dict[str, float]:
        """The reward of this step, term by term.  Subclasses add to it: `super().reward_terms(...) | {"mine": ...}`.

        Args:
            action: (8,) as the motors get it, from `before_step`.
            state: (28,), before `observe`.

        Returns:
            dict of floats, which are summed in this order.
        """
        robot = self.robot
        self._alive = float(robot.alive_bonus(state[0] + robot.initial_z, robot.body_rpy[1]))
        before, self.potential = self.potential, robot.calc_potential()
        electricity = self.electricity_cost * float(mean(np.abs(action * robot.joint_speeds)))
        electricity += self.stall_torque_cost * float(mean(np.square(action)))
        return {
            "alive": self._alive,
            "progress": float(self.potential - before),  # metres per second toward the target
            "electricity": electricity,
            "joints_at_limit": float(self.joints_at_limit_cost * robot.joints_at_limit),
            "feet_collision": 0.0,  # switched off upstream
        }


def check_target(target: Iterable[float]) -> tuple[float, float]:
    """A target as two floats, in metres.

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
