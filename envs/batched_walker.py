"""Upstream's observations, torques and contacts through Bullet's batched functions: the same numbers with fewer calls.

Upstream asks Bullet for each link and each joint separately, some ninety calls a step, which take most of the time of a step.
The results are equal bit for bit, which `tests/test_override_ant.py` checks.  You need not read this file to change the ant:
that is what `override_ant.py` is for.
"""

from math import isfinite
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike

from envs.bullet import quiet
from envs.symmetry import LEFT_RIGHT

with quiet():
    import pybullet
    from pybullet_envs_gymnasium.robot_locomotors import Ant


def mean(x: np.ndarray) -> np.floating:
    """`x.mean()` of a vector, to the last bit, in a quarter of the time."""
    return np.add.reduce(x) / len(x)


def between(lowest: float, x: np.ndarray, highest: float) -> np.ndarray:
    """`np.clip`, to the last bit, in a quarter of the time."""
    return np.minimum(np.maximum(x, lowest), highest)


class BatchedWalker:
    """A mixin before upstream's `WalkerBase` that asks Bullet for all links and joints at once."""

    # attributes of upstream's class
    objects: Any
    parts: dict[str, Any]
    ordered_joints: list[Any]
    feet: list[Any]
    feet_contact: np.ndarray
    robot_body: Any
    power: float
    initial_z: float | None
    walk_target_x: float
    walk_target_y: float

    def robot_specific_reset(self, bullet_client: Any) -> None:
        """Upstream's reset; then Bullet's indices of joints and links, which do not change from here on."""
        super().robot_specific_reset(bullet_client)  # type: ignore[misc]  # of the next base class
        self.client = bullet_client._client
        self.body = self.objects[0]
        self.joint_numbers = [joint.jointIndex for joint in self.ordered_joints]
        self.link_numbers = list(range(pybullet.getNumJoints(self.body, physicsClientId=self.client)))
        self.lower = np.array([joint.lowerLimit for joint in self.ordered_joints])
        self.range = np.array([joint.upperLimit for joint in self.ordered_joints]) - self.lower
        self.full_power = np.array([self.power * joint.power_coef for joint in self.ordered_joints])
        self.rotation = np.eye(3)
        self.find_parts()

    def find_parts(self) -> None:
        """The index of each part's position in [*links, the robot's base, *parts of other bodies, which never move]."""
        self.part_indices: list[int] = []
        self.fixed_positions: list[np.ndarray] = []
        for part in self.parts.values():
            if part.bodies[part.bodyIndex] != self.body:
                self.part_indices.append(len(self.link_numbers) + 1 + len(self.fixed_positions))
                self.fixed_positions.append(part.current_position())
            else:
                self.part_indices.append(part.bodyPartIndex if part.bodyPartIndex >= 0 else len(self.link_numbers))

    def apply_action(self, a: ArrayLike) -> None:
        """Sets the torque of every motor.

        Args:
            a: (A,) floats, clipped to -1 ... 1; 1 is full power.
        """
        a = np.asarray(a, np.float64)
        if not isfinite(np.add.reduce(a)):
            raise ValueError(f"action is {a}: expected {len(self.full_power)} finite numbers.")
        self.torques = self.full_power * between(-1, a, +1)  # of `joint_numbers`, in N m
        pybullet.setJointMotorControlArray(
            self.body, self.joint_numbers, pybullet.TORQUE_CONTROL, forces=self.torques, physicsClientId=self.client
        )

    def calc_state(self) -> np.ndarray:
        """Upstream's observation, (28,) for the ant (`WalkerBase.calc_state`), and the attributes that upstream sets on the way."""
        joints = pybullet.getJointStates(self.body, self.joint_numbers, physicsClientId=self.client)
        state = np.empty(8 + 2 * len(joints) + len(self.feet), np.float32)
        positions, self.joint_speeds = state[8 : -len(self.feet) : 2], state[9 : -len(self.feet) : 2]
        positions[:] = 2 * (np.array([joint[0] for joint in joints]) - self.lower) / self.range - 1.0
        self.joint_speeds[:] = [0.1 * joint[1] for joint in joints]
        self.joints_at_limit = np.count_nonzero(np.abs(positions) > 0.99)

        torso = self.robot_body.bodyPartIndex
        links = pybullet.getLinkStates(
            self.body, self.link_numbers, computeLinkVelocity=torso >= 0, physicsClientId=self.client
        )
        base, base_orientation = pybullet.getBasePositionAndOrientation(self.body, physicsClientId=self.client)
        if len(self.part_indices) != len(self.parts):
            self.find_parts()  # upstream counts the floor among the parts, but only after the first reset
        positions_xyz = [link[0] for link in links]
        positions_xyz += [base, *self.fixed_positions]
        parts_xyz = np.array([positions_xyz[k] for k in self.part_indices])
        if torso == -1:
            position, orientation = base, base_orientation
            velocity = pybullet.getBaseVelocity(self.body, physicsClientId=self.client)[0]
        else:
            position, orientation, velocity = links[torso][0], links[torso][1], links[torso][6]
        self.body_real_xyz = np.array(position)
        self.body_xyz = mean(parts_xyz[:, 0]), mean(parts_xyz[:, 1]), self.body_real_xyz[2]
        self.body_rpy = pybullet.getEulerFromQuaternion(orientation)
        z = self.body_xyz[2]
        if self.initial_z is None:
            self.initial_z = z
        r, p, yaw = self.body_rpy
        self.look_at_target()
        angle_to_target = self.walk_target_theta - yaw

        rotation, cos, sin = self.rotation, np.cos(-yaw), np.sin(-yaw)
        rotation[0, 0], rotation[0, 1], rotation[1, 0], rotation[1, 1] = cos, -sin, sin, cos
        vx, vy, vz = np.dot(rotation, velocity).tolist()
        state[:8] = [z - self.initial_z, np.sin(angle_to_target), np.cos(angle_to_target), 0.3 * vx, 0.3 * vy, 0.3 * vz, r, p]
        state[-len(self.feet) :] = self.feet_contact
        return between(-5, state, +5)

    def look_at_target(self) -> None:
        """Direction, in radians of the world, and distance, in metres, from the ant to its target."""
        dx, dy = self.walk_target_x - self.body_xyz[0], self.walk_target_y - self.body_xyz[1]
        self.walk_target_theta = np.arctan2(dy, dx)
        offset = np.array([dy, dx])
        self.walk_target_dist = np.sqrt(offset.dot(offset))  # as np.linalg.norm computes it

    def touching(self, ground: set[tuple[int, int]]) -> list[bool]:
        """Whether each foot touches the ground.

        Args:
            ground: set of (body, link) numbers that count as ground.

        Returns:
            a bool for each foot.
        """
        contacts = pybullet.getContactPoints(bodyA=self.body, physicsClientId=self.client)
        on_ground = {contact[3] for contact in contacts if (contact[2], contact[4]) in ground}
        return [foot.bodyPartIndex in on_ground for foot in self.feet]


class BatchedAnt(BatchedWalker, Ant):
    """Upstream's ant with batched calls."""


def use_batched_calls(env: gym.Env) -> None:
    """Gives the stock ant of an environment, `AntBulletEnv-v0`, the batched calls; leaves every other robot as it is."""
    robot = getattr(env.unwrapped, "robot", None)
    if type(robot) is Ant:
        robot.__class__ = BatchedAnt
        env.unwrapped.symmetries = (LEFT_RIGHT,)  # type: ignore[attr-defined]
