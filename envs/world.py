"""The world of an ant: gravity, friction and load of an episode, and the shapes that stand on the floor.

A world is data, so an environment can draw a new one for each episode, and pictures show the same ground that the physics has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from envs.bullet import quiet
from envs.mistakes import EnvironmentMistake

with quiet():
    import pybullet


@dataclass(frozen=True)
class World:
    """What holds for one episode.  The default is upstream's world.

    Attributes:
        gravity: in m/s^2.
        friction: lateral friction coefficient of the ground.  Bullet multiplies it by that of the ant, which is 1.5.
        load: mass added to the torso, in kg.  The ant has 182 kg.

    Raises:
        EnvironmentMistake: one of them is negative or not finite.
    """

    gravity: float = 9.8
    friction: float = 0.8
    load: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise EnvironmentMistake(f"World has {name}={value}: expected 0 or more, so look at `choose_world`.")


@dataclass(frozen=True)
class Box:
    """A box that does not move.

    Attributes:
        center: (x, y, z) of its middle, in metres.
        size: lengths along its own x, y and z, in metres.
        turned: roll, pitch and yaw, in radians.  With a pitch it is a ramp.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    turned: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def add(self, client: Any) -> int:
        """Adds it to a physics engine and returns Bullet's number of the body."""
        shape = client.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[length / 2 for length in self.size])
        return client.createMultiBody(0, shape, -1, self.center, pybullet.getQuaternionFromEuler(self.turned))

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (8, 3) float32 in the world, in metres, and faces (12, 3) int."""
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.array(self.size) / 2
        rotation = np.reshape(pybullet.getMatrixFromQuaternion(pybullet.getQuaternionFromEuler(self.turned)), (3, 3))
        sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        faces = [triangle for a, b, c, d in sides for triangle in ((a, b, c), (a, c, d))]
        return (corners @ rotation.T + self.center).astype(np.float32), np.array(faces)


@dataclass(frozen=True, eq=False)
class HeightField:
    """Hills.  The flat floor at height 0 stays, so where a height is below 0 the floor is seen and felt in its place.

    Attributes:
        heights: (N, M) in metres; the first index runs along x, the second along y.
        cell: distance between neighbours, in metres.
        center: (x, y) of its middle, in metres.

    Raises:
        EnvironmentMistake: heights are not a table of at least 2 x 2 finite numbers.
    """

    heights: np.ndarray
    cell: float
    center: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.heights.ndim != 2 or min(self.heights.shape) < 2 or not np.isfinite(self.heights).all():
            raise EnvironmentMistake(
                f"HeightField has heights of shape {self.heights.shape}, {(~np.isfinite(self.heights)).sum()} of them not finite: "
                "expected at least 2 x 2 finite numbers, so look at `ground`."
            )

    def add(self, client: Any) -> int:
        """Adds it to a physics engine and returns Bullet's number of the body."""
        rows, columns = self.heights.shape
        shape = client.createCollisionShape(
            pybullet.GEOM_HEIGHTFIELD,
            meshScale=[self.cell, self.cell, 1],
            heightfieldData=self.heights.T.ravel().tolist(),
            numHeightfieldRows=rows,
            numHeightfieldColumns=columns,
        )
        # Bullet puts the middle between the lowest and the highest point at the position of the body.
        middle = (self.heights.min() + self.heights.max()) / 2
        return client.createMultiBody(0, shape, -1, [*self.center, float(middle)])

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (N * M, 3) float32 in the world, in metres, and faces (F, 3) int, without what lies below the floor."""
        rows, columns = self.heights.shape
        x, y = ((np.arange(n) - (n - 1) / 2) * self.cell + c for n, c in zip(self.heights.shape, self.center, strict=True))
        grid = np.stack([*np.meshgrid(x, y, indexing="ij"), np.maximum(self.heights, 0)], axis=2)
        k = np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = k[:-1, :-1].ravel(), k[1:, :-1].ravel(), k[1:, 1:].ravel(), k[:-1, 1:].ravel()
        faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
        return grid.reshape(-1, 3).astype(np.float32), faces[(self.heights.ravel()[faces] > 0).any(axis=1)]


Shape = Box | HeightField
"""A piece of the ground."""


def ground_heights(client: Any, points: ArrayLike) -> np.ndarray:
    """The height of the ground at some points, by rays from above.

    Args:
        client: the physics engine.
        points: (N, 2), x and y in metres.

    Returns:
        (N,) float64, in metres.
    """
    points = np.atleast_2d(points)
    starts, ends = (np.column_stack([points, np.full(len(points), z)]).tolist() for z in (100, -1))
    hits = client.rayTestBatch(starts, ends, collisionFilterMask=STATIC)
    return np.array([hit[3][2] if hit[0] >= 0 else 0.0 for hit in hits])


STATIC = 2
"""Bullet's collision group of bodies that do not move, so that a ray does not meet the ant."""


class Physics:
    """Sets the world of each episode in a physics engine in which a walker is loaded.

    Bullet's saved state has positions and speeds, but neither gravity, friction nor masses: they are set in every episode.

    Args:
        client: the physics engine.
        body, torso: Bullet's numbers of the robot and of its torso's link.
        ground: Bullet's numbers of the bodies that are ground.
    """

    def __init__(self, client: Any, body: int, torso: int, ground: Iterable[int]) -> None:
        self.client, self.body, self.torso, self.ground = client, body, torso, list(ground)
        self.mass, _, self.inertia, *_ = client.getDynamicsInfo(body, torso)
        self.load = 0.0

    def set(self, world: World) -> None:
        """Sets gravity, friction and load."""
        self.client.setGravity(0, 0, -world.gravity)
        for body in self.ground:
            self.client.changeDynamics(body, -1, lateralFriction=world.friction)
        if world.load != self.load:
            self.load, mass = world.load, self.mass + world.load
            # With the mass alone Bullet would compute the inertia anew, by another formula than when it loaded the ant.
            inertia = [moment * mass / self.mass for moment in self.inertia]
            self.client.changeDynamics(self.body, self.torso, mass=mass, localInertiaDiagonal=inertia)

    def place(self, position: Sequence[float], turned: Sequence[float]) -> None:
        """Puts the robot elsewhere.

        Args:
            position: (x, y, z) of the torso, in metres.
            turned: roll, pitch and yaw, in radians.
        """
        self.client.resetBasePositionAndOrientation(self.body, position, pybullet.getQuaternionFromEuler(turned))

    def overlap(self) -> float:
        """How deep the ground reaches into the robot, in metres; 0 if it does not."""
        links = self.client.getLinkStates(self.body, range(self.client.getNumJoints(self.body)), computeForwardKinematics=True)
        points = np.array([self.client.getBasePositionAndOrientation(self.body)[0], *(link[0] for link in links)])
        deep = ground_heights(self.client, points[:, :2]) - points[:, 2]  # Bullet finds no contact far below a height field
        contacts = [contact[8] for body in self.ground for contact in self.client.getClosestPoints(self.body, body, 0.0)]
        return float(max(0.0, *deep, *(-distance for distance in contacts)))


def total_mass(client: Any, body: int) -> float:
    """Mass of a body with all its links, in kg."""
    return float(sum(client.getDynamicsInfo(body, link)[0] for link in range(-1, client.getNumJoints(body))))
