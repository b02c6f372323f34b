"""Episodes of a policy, recorded so that everything else can be drawn from them.

from viewing.recording import record
recording = record(load_policy("base_ant_final"))
"""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from envs.bullet import quiet
from envs.registry import make_env
from envs.world import Shape, total_mass
from override_ant import REACHED, check_target


@dataclass(repr=False, eq=False)
class Recording:
    """One episode of T steps: everything needed to draw it, without the policy.

    Attributes:
        env: id of the environment.
        seed: seed of its reset.
        dt: duration of a step, in seconds.
        model: file in `pybullet_data/mjcf` that describes the robot, such as "ant.xml".
        links: names of the L links, the base first.
        poses: (T + 1, L, 7) float32, the frame of each link in the world: x, y, z in metres, then a quaternion x, y, z, w.
            Row 0 is the start, row t the state after step t.
        joints: (T + 1, L - 1) float32, angle of the joint that holds link i + 1, in radians; 0 for a fixed joint.
        torso: (T + 1, 3) float32, centre of the torso, in metres.
        targets: (T + 1, 2) float32, the target, in metres.
        actions: (T, A) float32, as the policy gave them.
        torques: (T, L - 1) float32, torque of the motor at the joint that holds link i + 1, in N m; 0 at a joint without a motor,
            and nan if the robot does not tell.
        rewards: (T,) float64.
        reward_terms: the terms of the reward, (T,) float64 each, if the environment gives `info["reward_terms"]`.
        terminated: whether the environment ended the episode because the ant fell.
        truncated: whether a time limit ended it.
        mass: of the robot with its load, in kg.
        shapes: what stands on the floor, see `envs/world.py`.
    """

    env: str
    seed: int
    dt: float
    model: str
    links: tuple[str, ...]
    poses: np.ndarray
    joints: np.ndarray
    torso: np.ndarray
    targets: np.ndarray
    actions: np.ndarray
    torques: np.ndarray
    rewards: np.ndarray
    reward_terms: dict[str, np.ndarray]
    terminated: bool
    truncated: bool
    mass: float
    shapes: tuple[Shape, ...] = ()

    def __repr__(self) -> str:
        end = "fell" if self.fell else "reached its target" if self.reached else "did not fall"
        return (
            f"<Recording of {self.env}, seed {self.seed}: {self.length} steps, {self.seconds:.1f} s, {self.distance:.1f} m, "
            f"return {self.total_reward:,.0f}, {end}>"
        )

    @property
    def total_reward(self) -> float:
        """The return, an undiscounted sum of the rewards."""
        return float(self.rewards.sum())

    @property
    def length(self) -> int:
        """Number of steps, T."""
        return len(self.rewards)

    @property
    def seconds(self) -> float:
        """Simulated time, in seconds."""
        return self.length * self.dt

    @property
    def path(self) -> np.ndarray:
        """(T + 1, 2) float32, the torso seen from above, in metres."""
        return self.torso[:, :2]

    @property
    def smooth_path(self) -> np.ndarray:
        """(T + 1, 2) float64, `path` averaged over 1.8 seconds: the path of a camera that follows the ant."""
        window = np.hanning(2 * round(0.9 / self.dt) + 1)
        padded = np.pad(self.path, ((len(window) // 2,) * 2, (0, 0)), mode="edge")
        return np.stack([np.convolve(x, window / window.sum(), mode="valid") for x in padded.T], axis=1)

    @property
    def distance(self) -> float:
        """Straight-line distance from the start to the end, in metres."""
        return float(np.linalg.norm(self.path[-1] - self.path[0]))

    @property
    def speed(self) -> float:
        """Straight-line distance over time, in metres a second."""
        return self.distance / self.seconds

    @property
    def energy(self) -> float:
        """Mechanical work of the motors, in joules.  A motor that is pushed back costs as much as one that pushes."""
        return float(np.abs(self.torques * np.diff(self.joints.astype(float), axis=0)).sum())

    @property
    def cost_of_transport(self) -> float:
        """Energy for each metre of `distance` and each kilogram, in J/(m kg)."""
        return self.energy / (self.distance * self.mass)

    @property
    def upright(self) -> np.ndarray:
        """(T + 1,) bool, whether the upper side of the base is up."""
        x, y = self.poses[:, 0, 3], self.poses[:, 0, 4]
        return 1 - 2 * (x**2 + y**2) > 0  # the vertical component of its z axis

    @property
    def fell(self) -> bool:
        """Whether the environment ended the episode because the ant fell."""
        return self.terminated

    @property
    def distance_to_target(self) -> np.ndarray:
        """(T + 1,) float32, distance from the torso to the target seen from above, in metres."""
        return np.linalg.norm(self.targets - self.path, axis=1)

    @property
    def reached(self) -> bool:
        """Whether the torso was ever within `REACHED` of the target."""
        return bool((self.distance_to_target <= REACHED).any())

    @property
    def points(self) -> np.ndarray:
        """(N, 2) float32, the targets in their order; of one that moves by itself, where it was first."""
        return self.targets[np.append(0, self._target_changes + 1)]

    @property
    def arrivals(self) -> np.ndarray:
        """(points_reached,) int, the number of steps until the ant reached each of `points`."""
        changes = self._target_changes
        return np.append(changes, self.length) if self.distance_to_target[-1] <= REACHED else changes

    @property
    def points_reached(self) -> int:
        """How many of `points` the ant reached."""
        return len(self.arrivals)

    @property
    def _target_changes(self):
        """The steps after which there was a new target.  One that flees or circles moves by less than `JUMP` in a step."""
        return np.flatnonzero(np.linalg.norm(np.diff(self.targets, axis=0), axis=1) > JUMP)


JUMP = 0.2
"""Distance, in metres, by which a target that moves by itself stays below in a step: it is slower than 12 m/s."""


def record(
    policy: Any,
    env: str | Any = "AntBulletEnv-v0",
    seed: int = 0,
    max_steps: int = 1000,
    target: Iterable[float] | None = None,
    stop_at_target: float | None = None,
    path: ArrayLike | None = None,
) -> Recording:
    """Runs one episode without exploration noise and records it.

    Args:
        policy: anything with `select_action(state)`, (S,) -> (A,).
        env: id of one of Bullet's walking environments, "module:id" if it is registered when `module` is imported, or
            such an environment itself, which stays open.
        seed: seed of the reset.  The same policy and seed give the same recording.
        max_steps: largest number of steps.  For an id, it replaces the registered time limit.
        target: (x, y) in metres, the target from the first observation on.  The default is the environment's own.
        stop_at_target: distance from the target at which the episode ends, in metres.  By default it goes on.
        path: (N, 2) points in metres, targets one after the other in place of `target`.  When the torso is within `REACHED`
            of one, the next becomes the target; the episode ends at the last.

    An environment with `reset_target` chooses new targets itself only if target, stop_at_target and path are all None.

    Raises:
        ValueError: the environment does not exist or is not one of Bullet's walkers, or an argument does not fit it.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}: expected at least 1.")
    points = deque([] if path is None else _check_path(path))
    fixed_targets = any(x is not None for x in (target, stop_at_target, path))
    with _open_env(env, int(max_steps), fixed_targets) as env:
        if points:
            if not hasattr(env.unwrapped, "set_target"):
                raise ValueError(
                    f"{_name(env)} cannot be given a new target during an episode: record a path in MyAntBulletEnv-v0 or a "
                    "subclass of its class."
                )
            target, stop_at_target = points.popleft(), REACHED
        state = _reset(env, seed, target)
        robot: Any = env.unwrapped.robot
        snapshots, steps, terms, torques = [snapshot(robot)], [], [], []
        terminated = truncated = False
        while len(steps) < max_steps and not (terminated or truncated):
            action = policy.select_action(state)
            state, reward, terminated, truncated, info = env.step(action)
            steps.append((action, reward))
            terms.append(info.get("reward_terms", {}))
            snapshots.append(snapshot(robot))
            torques.append(motor_torques(robot))
            _, _, torso, current_target = snapshots[-1]
            if stop_at_target is not None and np.hypot(*np.subtract(torso[:2], current_target)) <= stop_at_target:
                if not points:
                    break
                env.unwrapped.set_target(*points.popleft())
        poses, joints, torso, targets = (np.array(column, np.float32) for column in zip(*snapshots, strict=True))
        actions, rewards = zip(*steps, strict=True)
        body, p = robot.objects[0], robot._p
        links = [p.getBodyInfo(body)[0], *(p.getJointInfo(body, j)[12] for j in range(p.getNumJoints(body)))]
        return Recording(
            env=_name(env),
            seed=seed,
            dt=env.unwrapped.scene.dt,
            model=robot.model_xml,
            links=tuple(link.decode() for link in links),
            poses=poses,
            joints=joints,
            torso=torso,
            targets=targets,
            actions=np.array(actions, np.float32),
            torques=np.array(torques, np.float32),
            rewards=np.array(rewards, np.float64),
            reward_terms={term: np.array([t[term] for t in terms], np.float64) for term in terms[0]},
            terminated=bool(terminated),
            truncated=bool(truncated),
            mass=total_mass(p, body),
            shapes=getattr(env.unwrapped, "shapes", ()),
        )


def random_path(count: int = 20, nearest: float = 5.0, farthest: float = 28.0, seed: int = 0) -> np.ndarray:
    """A path of random points, each in a random direction from the one before and at a random distance.

    Args:
        count: number of points.
        nearest, farthest: bounds of that distance, in metres.
        seed: seed of directions and distances.

    Returns:
        (count, 2) float64, in metres.
    """
    rng = np.random.default_rng(seed)
    angles, distances = rng.uniform(0, 2 * np.pi, count), rng.uniform(nearest, farthest, count)
    return np.cumsum(distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)


def sharpest_corner(run: Recording) -> tuple[int, float]:
    """The index of the point at which a recorded path turns most, and by how many degrees.

    Only points that were reached count, and the last point of a path is no corner.

    Raises:
        ValueError: there is no such point.
    """
    legs = np.diff(np.vstack([run.path[:1], run.points]), axis=0)
    headings = np.degrees(np.arctan2(legs[:, 1], legs[:, 0]))
    turns = np.abs((np.diff(headings) + 180) % 360 - 180)[: run.points_reached]
    if not len(turns):
        raise ValueError(f"run has {len(run.points)} points, of which {run.points_reached} were reached: expected a corner.")
    return int(turns.argmax()), float(turns.max())


def snapshot(robot: Any) -> tuple[list, list, Any, tuple[float, float]]:
    """The present state of a robot: one row each of a recording's poses, joints, torso and targets."""
    body, p = robot.objects[0], robot._p
    joints = range(p.getNumJoints(body))
    base = sum(p.getBasePositionAndOrientation(body), ())
    # entries 4 and 5 are the link frame; 0 and 1 are the centre of mass
    poses = [base] + [link[4] + link[5] for link in p.getLinkStates(body, joints, computeForwardKinematics=True)]
    angles = [joint[0] for joint in p.getJointStates(body, joints)]
    return poses, angles, robot.robot_body.pose().xyz(), (robot.walk_target_x, robot.walk_target_y)


def motor_torques(robot: Any) -> np.ndarray:
    """(L - 1,) float64, the torques of the last step, in N m, as a row of a recording's `torques`."""
    joints = robot._p.getNumJoints(robot.objects[0])
    if not hasattr(robot, "torques"):
        return np.full(joints, np.nan)
    torques = np.zeros(joints)
    torques[robot.joint_numbers] = robot.torques
    return torques


@contextlib.contextmanager
def _open_env(env: Any, max_steps: int, fixed_targets: bool) -> Iterator[Any]:
    """The environment of a recording: made and closed here for an id, and without `reset_target` if the targets are fixed."""
    opened: Any = make_env(env, max_episode_steps=max_steps) if isinstance(env, str) else env
    resets_target = getattr(opened.unwrapped, "reset_target", False)
    try:
        if resets_target:
            opened.unwrapped.reset_target = not fixed_targets
        yield opened
    finally:
        if resets_target:
            opened.unwrapped.reset_target = True
        if opened is not env:
            opened.close()


def _reset(env, seed, target):
    """Resets one of Bullet's walking environments, with a target if one is given, and returns the first state, (S,)."""
    robot: Any = getattr(env.unwrapped, "robot", None)
    options = None
    if not hasattr(robot, "walk_target_x"):
        raise ValueError(f"{_name(env)} has no walking robot: expected an environment such as AntBulletEnv-v0.")
    if target is not None:
        target = check_target(target)
        if hasattr(env.unwrapped, "set_target"):
            options = {"target": target}
        else:  # reset computes the first state and the potential of the first reward from the target
            robot.walk_target_x, robot.walk_target_y = target
    with quiet():  # Bullet prints at the first reset
        state, _ = env.reset(seed=seed, options=options)
    chosen = (robot.walk_target_x, robot.walk_target_y)
    if target is not None and not np.allclose(chosen, target):
        raise ValueError(f"{_name(env)} chose the target {chosen} itself at reset, not {target}: it cannot be given one.")
    return state


def _name(env):
    return env.spec.id if env.spec else type(env.unwrapped).__name__


def _check_path(path):
    """The points of a path as a list of (x, y), or a ValueError."""
    try:
        points = [check_target(point) for point in path]
    except (TypeError, ValueError):
        points = []
    if not points:
        raise ValueError(f"path is {path!r}: expected a list of points (x, y), finite numbers in metres.")
    return points
