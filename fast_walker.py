"""The same ant with fewer calls: upstream's observations, torques and contacts, through Bullet's batched functions.

Upstream asks Bullet for each link and each joint on its own, some ninety calls a step, and there most of a step's time goes.
Nothing here changes what is computed; `tests/test_override_ant.py` holds it to upstream, bit for bit.  You need not read this
file to change the ant: that is what `override_ant.py` is for.
"""

from math import isfinite
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike

from vector import quiet

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
    """Goes before upstream's `WalkerBase` in a list of base classes and asks Bullet for all links and joints at once."""

    # what it finds in upstream's class
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
        """Upstream's; then the numbers by which Bullet knows joints and links, which are fixed from here on."""
        super().robot_specific_reset(bullet_client)  # type: ignore[misc]  # the next class in the list has it
        self.client = bullet_client._client
        self.body = self.objects[0]
        self.joint_numbers = [joint.jointIndex for joint in self.ordered_joints]
        self.link_numbers = list(range(pybullet.getNumJoints(self.body, physicsClientId=self.client)))
        self.lower = np.array([joint.lowerLimit for joint in self.ordered_joints])
        self.range = np.array([joint.upperLimit for joint in self.ordered_joints]) - self.lower
        self.full_power = np.array([self.power * joint.power_coef for joint in self.ordered_joints])
        self.turned = np.eye(3)
        self.find_parts()

    def find_parts(self) -> None:
        """Where each part's position will be found in [*links, the robot's base, *what belongs to other bodies and never moves]."""
        self.part_places: list[int] = []
        self.fixed_places: list[np.ndarray] = []
        for part in self.parts.values():
            if part.bodies[part.bodyIndex] != self.body:
                self.part_places.append(len(self.link_numbers) + 1 + len(self.fixed_places))
                self.fixed_places.append(part.current_position())
            else:
                self.part_places.append(part.bodyPartIndex if part.bodyPartIndex >= 0 else len(self.link_numbers))

    def apply_action(self, a: ArrayLike) -> None:
        """Sets the torque of every motor.

        Args:
            a: (A,) floats, cut to -1 ... 1; 1 is full power.
        """
        a = np.asarray(a, np.float64)
        if not isfinite(np.add.reduce(a)):
            raise ValueError(f"action is {a}: expected {len(self.full_power)} finite numbers.")
        torques = self.full_power * between(-1, a, +1)
        pybullet.setJointMotorControlArray(
            self.body, self.joint_numbers, pybullet.TORQUE_CONTROL, forces=torques, physicsClientId=self.client
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
        base, base_turn = pybullet.getBasePositionAndOrientation(self.body, physicsClientId=self.client)
        if len(self.part_places) != len(self.parts):
            self.find_parts()  # upstream counts the floor among the parts, but only after the first reset
        places = [link[0] for link in links]
        places += [base, *self.fixed_places]
        parts_xyz = np.array([places[k] for k in self.part_places])
        if torso == -1:
            place, turn = base, base_turn
            velocity = pybullet.getBaseVelocity(self.body, physicsClientId=self.client)[0]
        else:
            place, turn, velocity = links[torso][0], links[torso][1], links[torso][6]
        self.body_real_xyz = np.array(place)
        self.body_xyz = mean(parts_xyz[:, 0]), mean(parts_xyz[:, 1]), self.body_real_xyz[2]
        self.body_rpy = pybullet.getEulerFromQuaternion(turn)
        z = self.body_xyz[2]
        if self.initial_z is None:
            self.initial_z = z
        r, p, yaw = self.body_rpy
        self.look_at_target()
        angle_to_target = self.walk_target_theta - yaw

        turned, cos, sin = self.turned, np.cos(-yaw), np.sin(-yaw)
        turned[0, 0], turned[0, 1], turned[1, 0], turned[1, 1] = cos, -sin, sin, cos
        vx, vy, vz = np.dot(turned, velocity).tolist()
        state[:8] = [z - self.initial_z, np.sin(angle_to_target), np.cos(angle_to_target), 0.3 * vx, 0.3 * vy, 0.3 * vz, r, p]
        state[-len(self.feet) :] = self.feet_contact
        return between(-5, state, +5)

    def look_at_target(self) -> None:
        """Direction (radians, in the world) and distance (metres) from where the ant is to its target."""
        dx, dy = self.walk_target_x - self.body_xyz[0], self.walk_target_y - self.body_xyz[1]
        self.walk_target_theta = np.arctan2(dy, dx)
        there = np.array([dy, dx])
        self.walk_target_dist = np.sqrt(there.dot(there))  # what np.linalg.norm does

    def touching(self, ground: set[tuple[int, int]]) -> list[bool]:
        """Which feet touch the ground.

        Args:
            ground: set of (body, link) numbers that count as ground.

        Returns:
            a list with True or False for each foot.
        """
        contacts = pybullet.getContactPoints(bodyA=self.body, physicsClientId=self.client)
        on_ground = {contact[3] for contact in contacts if (contact[2], contact[4]) in ground}
        return [foot.bodyPartIndex in on_ground for foot in self.feet]


class BatchedAnt(BatchedWalker, Ant):
    """Upstream's ant, the same but faster."""


def hasten(env: gym.Env) -> None:
    """Gives the stock ant of an environment, `AntBulletEnv-v0`, the batched calls; leaves every other robot as it is."""
    robot = getattr(env.unwrapped, "robot", None)
    if type(robot) is Ant:
        robot.__class__ = BatchedAnt
