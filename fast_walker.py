"""The same ant with fewer calls: upstream's observations, torques and contacts, through Bullet's batched functions.

Upstream asks Bullet for each link and each joint on its own, some ninety calls a step, and there most of a step's time goes.
Nothing here changes what is computed; `tests/test_override_ant.py` holds it to upstream, bit for bit.  You need not read this
file to change the ant: that is what `override_ant.py` is for.
"""

import numpy as np

from vector import quiet

with quiet():
    import pybullet


class BatchedWalker:
    """Goes before upstream's `WalkerBase` in a list of base classes and asks Bullet for all links and joints at once."""

    def robot_specific_reset(self, bullet_client):
        """Upstream's; then the numbers by which Bullet knows joints and links, which are fixed from here on."""
        super().robot_specific_reset(bullet_client)
        self.client = bullet_client._client
        self.body = self.objects[0]
        self.joint_numbers = [joint.jointIndex for joint in self.ordered_joints]
        self.link_numbers = list(range(pybullet.getNumJoints(self.body, physicsClientId=self.client)))
        self.lower = np.array([joint.lowerLimit for joint in self.ordered_joints])
        self.upper = np.array([joint.upperLimit for joint in self.ordered_joints])
        self.full_power = np.array([self.power * joint.power_coef for joint in self.ordered_joints])

    def apply_action(self, a):
        """Sets the torque of every motor.

        Args:
            a: (A,) floats, cut to -1 ... 1; 1 is full power.
        """
        if not np.isfinite(a).all():
            raise ValueError(f"action is {a}: expected {len(self.full_power)} finite numbers.")
        torques = self.full_power * np.clip(a, -1, +1).astype(np.float64)
        pybullet.setJointMotorControlArray(
            self.body, self.joint_numbers, pybullet.TORQUE_CONTROL, forces=torques, physicsClientId=self.client
        )

    def calc_state(self):
        """Upstream's observation, (28,) for the ant (`WalkerBase.calc_state`), and the attributes that upstream sets on the way."""
        joints = pybullet.getJointStates(self.body, self.joint_numbers, physicsClientId=self.client)
        position, speed = np.array([joint[:2] for joint in joints]).T
        j = np.empty(2 * len(joints), np.float32)
        j[0::2] = 2 * (position - self.lower) / (self.upper - self.lower) - 1.0
        j[1::2] = 0.1 * speed
        self.joint_speeds = j[1::2]
        self.joints_at_limit = np.count_nonzero(np.abs(j[0::2]) > 0.99)

        links = pybullet.getLinkStates(self.body, self.link_numbers, computeLinkVelocity=1, physicsClientId=self.client)
        xyz = [self._where(part, links) for part in self.parts.values()]
        torso = self.robot_body
        if torso.bodyPartIndex == -1:
            place, turn = pybullet.getBasePositionAndOrientation(self.body, physicsClientId=self.client)
            velocity = pybullet.getBaseVelocity(self.body, physicsClientId=self.client)[0]
        else:
            place, turn, velocity = (links[torso.bodyPartIndex][k] for k in (0, 1, 6))
        parts_xyz = np.array(xyz).flatten()
        self.body_real_xyz = np.array(place)
        self.body_xyz = (parts_xyz[0::3].mean(), parts_xyz[1::3].mean(), self.body_real_xyz[2])
        self.body_rpy = pybullet.getEulerFromQuaternion(turn)
        z = self.body_xyz[2]
        if self.initial_z is None:
            self.initial_z = z
        r, p, yaw = self.body_rpy
        self.look_at_target()
        angle_to_target = self.walk_target_theta - yaw

        rot_speed = np.array([[np.cos(-yaw), -np.sin(-yaw), 0], [np.sin(-yaw), np.cos(-yaw), 0], [0, 0, 1]])
        vx, vy, vz = np.dot(rot_speed, np.array(velocity))
        more = np.array(
            [z - self.initial_z, np.sin(angle_to_target), np.cos(angle_to_target), 0.3 * vx, 0.3 * vy, 0.3 * vz, r, p],
            dtype=np.float32,
        )
        return np.clip(np.concatenate([more, j, self.feet_contact]), -5, +5)

    def look_at_target(self):
        """Direction (radians, in the world) and distance (metres) from where the ant is to its target."""
        dx, dy = self.walk_target_x - self.body_xyz[0], self.walk_target_y - self.body_xyz[1]
        self.walk_target_theta = np.arctan2(dy, dx)
        self.walk_target_dist = np.linalg.norm([dy, dx])

    def _where(self, part, links):
        """Position of a part; those that are not links of this body, such as the floor, are asked for one by one."""
        body = part.bodies[part.bodyIndex]
        if body == self.body and part.bodyPartIndex >= 0:
            return links[part.bodyPartIndex][0]
        return pybullet.getBasePositionAndOrientation(body, physicsClientId=self.client)[0]

    def touching(self, ground):
        """Which feet touch the ground.

        Args:
            ground: set of (body, link) numbers that count as ground.

        Returns:
            a list with True or False for each foot.
        """
        contacts = pybullet.getContactPoints(bodyA=self.body, physicsClientId=self.client)
        on_ground = {contact[3] for contact in contacts if (contact[2], contact[4]) in ground}
        return [foot.bodyPartIndex in on_ground for foot in self.feet]
