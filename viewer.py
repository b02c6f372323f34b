"""A saved policy made visible: one episode is recorded, and everything is drawn from the recording.

    from viewer import animate, load_policy, record, show
    run = record(load_policy("base_ant_final"))
    show(animate(run, "animations/my_ant_run.gif", seconds=10))

or, in a terminal: `python viewer.py ant`.  Nothing here ever needs a display.

The ant is drawn by Bullet's software renderer, and only the rectangle of the picture that it fills.  The ground, which
would take most of the time and look worst, is painted with NumPy, and the flag, the path and the words with Pillow.
"""

import contextlib
import functools
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import style
from style import LINE, OKABE_ITO, SMALL
from TD3 import TD3
from utils import checkpoint
from vector import dimensions, make_env, quiet

if TYPE_CHECKING:
    from IPython.display import Image as EmbeddedImage
    from matplotlib.figure import Figure

with quiet():
    import pybullet
    import pybullet_data
    from pybullet_utils.bullet_client import BulletClient

REACHED = 1.0
"""A target is reached when the middle of the torso is so near, in metres."""


# --- recording -------------------------------------------------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class Recording:
    """One episode: all that is needed to draw it, and nothing of the policy.  T is its number of steps.

    Attributes:
        env: id of the environment.
        seed: it was reset with.
        dt: seconds between two steps.
        model: file in `pybullet_data/mjcf` that describes the robot, such as "ant.xml".
        links: names of the L links, the base first.
        poses: (T + 1, L, 7) float32, of each link's frame in the world: x, y, z in metres, then a quaternion x, y, z, w.
            Row 0 is the start, row t the state after step t.
        joints: (T + 1, L - 1) float32, angle of the joint that holds link i + 1, in radians; 0 where it is fixed.
        torso: (T + 1, 3) float32, where the middle of the torso is, in metres.
        targets: (T + 1, 2) float32, where the ant is asked to go, in metres.
        actions: (T, A) float32.
        rewards: (T,) float64.
        reward_terms: the parts of the reward, where the environment gives them as `info["reward_terms"]`: (T,) float64 each.
        terminated: whether the environment ended the episode because the ant fell.
        truncated: whether a time limit ended it.
    """

    env: str
    seed: int
    dt: float
    model: str
    links: tuple
    poses: np.ndarray
    joints: np.ndarray
    torso: np.ndarray
    targets: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    reward_terms: dict
    terminated: bool
    truncated: bool

    def __repr__(self) -> str:
        end = "fell" if self.fell else "reached its target" if self.reached else "did not fall"
        return (
            f"<Recording of {self.env}, seed {self.seed}: {self.length} steps, {self.seconds:.1f} s, {self.distance:.1f} m, "
            f"return {self.total_reward:,.0f}, {end}>"
        )

    @property
    def total_reward(self) -> float:
        """Sum of the rewards, undiscounted: the return."""
        return float(self.rewards.sum())

    @property
    def length(self) -> int:
        """Number of steps, T."""
        return len(self.rewards)

    @property
    def seconds(self) -> float:
        """Duration in the ant's time."""
        return self.length * self.dt

    @property
    def path(self) -> np.ndarray:
        """(T + 1, 2) float32, the torso seen from above, in metres."""
        return self.torso[:, :2]

    @property
    def distance(self) -> float:
        """Metres from the start to the end, as the crow flies."""
        return float(np.linalg.norm(self.path[-1] - self.path[0]))

    @property
    def speed(self) -> float:
        """Metres a second from the start to the end, as the crow flies."""
        return self.distance / self.seconds

    @property
    def fell(self) -> bool:
        """Whether the environment ended the episode because the ant fell."""
        return self.terminated

    @property
    def to_go(self) -> np.ndarray:
        """(T + 1,) float32, metres from the torso to the target, seen from above."""
        return np.linalg.norm(self.targets - self.path, axis=1)

    @property
    def reached(self) -> bool:
        """Whether the torso was ever within `REACHED` of the target."""
        return bool((self.to_go <= REACHED).any())

    @property
    def points(self) -> np.ndarray:
        """(N, 2) float32, the targets in their order: one, or those of the path that the ant was sent to."""
        new = np.any(np.diff(self.targets, axis=0) != 0, axis=1)
        return self.targets[np.concatenate([[True], new])]

    @property
    def points_reached(self) -> int:
        """How many of `points` it came to."""
        return len(self.points) - 1 + bool(self.to_go[-1] <= REACHED)


def record(
    policy: Any,
    env: str | Any = "AntBulletEnv-v0",
    seed: int = 0,
    max_steps: int = 1000,
    target: Iterable[float] | None = None,
    stop_at_target: float | None = None,
    path: ArrayLike | None = None,
) -> Recording:
    """Runs one episode without exploration noise and keeps all of it.

    Args:
        policy: anything with `select_action(state)`, (S,) -> (A,).
        env: id of one of Bullet's walking environments, "module:id" where it is registered when `module` is imported, or
            such an environment itself, which then stays open.
        seed: it is reset with: the same policy and seed give the same recording.
        max_steps: where the episode ends at the latest.  For an id, this replaces the registered time limit.
        target: (x, y) in metres where the ant is asked to go, from the first observation on.  By default it is the
            environment's own.
        stop_at_target: end when the torso is within so many metres of the target.  By default the episode goes on.
        path: (N, 2) points in metres to walk one after the other, instead of one target: when the torso is within `REACHED` of
            one, the ant is sent to the next, and the episode ends at the last.

    Returns:
        a `Recording`.

    Raises:
        ValueError: there is no such environment, or it is not one of Bullet's walkers, or its target cannot be chosen.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps is {max_steps}: expected at least 1.")
    if isinstance(env, str):
        env = make_env(env, max_episode_steps=int(max_steps))
        try:
            return record(policy, env, seed, max_steps, target, stop_at_target, path)
        finally:
            env.close()
    to_walk = [] if path is None else _points(path)
    if to_walk and not hasattr(env.unwrapped, "set_target"):
        raise ValueError(
            f"{env.spec.id} cannot be given a new target on the way: walk a path in MyAntBulletEnv-v0 or one like it."
        )
    if to_walk:
        target, stop_at_target = to_walk.pop(0), None
    state = start_episode(env, seed, target)
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    robot = env.unwrapped.robot
    snapshots, steps, terms = [snapshot(robot)], [], []
    terminated = truncated = False
    while len(steps) < max_steps and not (terminated or truncated):
        action = policy.select_action(state)
        state, reward, terminated, truncated, info = env.step(action)
        steps.append((action, reward))
        terms.append(info.get("reward_terms", {}))
        snapshots.append(snapshot(robot))
        _, _, torso, goal = snapshots[-1]
        to_go = np.hypot(*np.subtract(torso[:2], goal))
        if path is not None and to_go <= REACHED:
            if not to_walk:
                break
            env.unwrapped.set_target(*to_walk.pop(0))
        elif stop_at_target is not None and to_go <= stop_at_target:
            break

    poses, joints, torso, targets = (np.array(column, np.float32) for column in zip(*snapshots, strict=True))
    actions, rewards = zip(*steps, strict=True)
    body, p = robot.objects[0], robot._p
    links = [p.getBodyInfo(body)[0], *(p.getJointInfo(body, j)[12] for j in range(p.getNumJoints(body)))]
    return Recording(
        env=name,
        seed=seed,
        dt=env.unwrapped.scene.dt,
        model=robot.model_xml,
        links=tuple(link.decode() for link in links),
        poses=poses,
        joints=joints,
        torso=torso,
        targets=targets,
        actions=np.array(actions, np.float32),
        rewards=np.array(rewards, np.float64),
        reward_terms={term: np.array([t[term] for t in terms], np.float64) for term in terms[0]},
        terminated=bool(terminated),
        truncated=bool(truncated),
    )


def _points(path):
    """The points of a path as a list of (x, y), or a ValueError."""
    try:
        points = np.array(path, dtype=float)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"path is {path!r}: expected a list of points (x, y), finite numbers in metres.")
    return [tuple(point) for point in points.tolist()]


def random_path(count: int = 20, nearest: float = 5.0, farthest: float = 28.0, seed: int = 0) -> np.ndarray:
    """Points to walk one after the other, each in a random direction from the one before and at a random distance.

    Args:
        count: how many.
        nearest, farthest: bounds of that distance, in metres.
        seed: of the choice.

    Returns:
        (count, 2) float64, in metres.
    """
    rng = np.random.default_rng(seed)
    angles, distances = rng.uniform(0, 2 * np.pi, count), rng.uniform(nearest, farthest, count)
    return np.cumsum(distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0)


def start_episode(env: Any, seed: int, target: Iterable[float] | None = None) -> np.ndarray:
    """Resets one of Bullet's walking environments, whether or not it knows how to be given a target.

    Args:
        env: the environment.
        seed: given to its `reset`.
        target: (x, y) in metres; by default where the environment says.

    Returns:
        the first state, (S,).

    Raises:
        ValueError: it has no walking robot, or the target is not two finite numbers, or the environment chose another.
    """
    robot: Any = getattr(env.unwrapped, "robot", None)
    options = None
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    if not hasattr(robot, "walk_target_x"):
        raise ValueError(f"{name} has no walking robot: an environment such as AntBulletEnv-v0 is needed.")
    if target is not None:
        target = tuple(float(x) for x in target)
        if len(target) != 2 or not np.isfinite(target).all():
            raise ValueError(f"target is {target}: expected two finite numbers, x and y in metres.")
        if hasattr(env.unwrapped, "set_target"):
            options = {"target": target}
        else:  # before the reset, because the first state and the potential of the first reward are computed in there
            robot.walk_target_x, robot.walk_target_y = target
    with quiet():  # Bullet announces itself at the first reset
        state, _ = env.reset(seed=seed, options=options)
    if target is not None and not np.allclose((robot.walk_target_x, robot.walk_target_y), target):
        raise ValueError(f"{name} chose ({robot.walk_target_x}, {robot.walk_target_y}) itself at reset, not {target}.")
    return state


def snapshot(robot: Any) -> tuple[list, list, Any, tuple[float, float]]:
    """One row each of a recording's poses, joints, torso and targets."""
    body, p = robot.objects[0], robot._p
    joints = range(p.getNumJoints(body))
    base = sum(p.getBasePositionAndOrientation(body), ())
    # 4 and 5 are the frame's position and orientation; 0 and 1 would be those of the centre of mass
    poses = [base] + [link[4] + link[5] for link in p.getLinkStates(body, joints, computeForwardKinematics=True)]
    angles = [joint[0] for joint in p.getJointStates(body, joints)]
    return poses, angles, robot.robot_body.pose().xyz(), (robot.walk_target_x, robot.walk_target_y)


# --- drawing ---------------------------------------------------------------------------------------------------------------

SKY, LIGHT_TILE, DARK_TILE = (236, 243, 249), (222, 230, 236), (190, 204, 216)
TORSO, FRONT_LEG, HIND_LEG = (62, 70, 92), (240, 165, 40), (205, 85, 25)
TRAIL, TARGET, INK = (0, 114, 178), (0, 140, 105), (30, 36, 48)
SUN = np.array([-0.5, -0.3, 1.0])
"""Direction toward the sun, to the camera's right, forward and up: it shines over the viewer's left shoulder."""
FRONT_LEGS = ("front_left_leg", "aux_1", "front_left_foot", "right_back_leg", "aux_4", "right_back_foot")
"""The legs on the ant's +x side.  Upstream calls one of them a back leg, but this is the way the stock ant runs."""


def smooth_path(recording: Recording) -> np.ndarray:
    """(T + 1, 2) float64, the way of a camera that follows: the torso's, without the wobble."""
    window = np.hanning(2 * round(0.9 / recording.dt) + 1)
    padded = np.pad(recording.path, ((len(window) // 2,) * 2, (0, 0)), mode="edge")
    return np.stack([np.convolve(x, window / window.sum(), mode="valid") for x in padded.T], axis=1)


class _Scene:
    """Paints the states of one recording as pictures.

    The camera always looks in the same direction and stays at the same height, so that all of the ground that depends
    on the direction of a pixel is computed once.

    Args:
        recording: what to draw.
        width, height: of a picture, in pixels.
        yaw: compass direction in which the camera looks, in radians; 0 is +x.
        title: written above.
    """

    fov, pitch, distance, fog = np.radians(38), np.radians(24), 4.6, 15.0
    detail = 2  # how much finer the ant is rendered than shown, which makes its edges smooth
    hazes, shades = 10, 4  # steps between near and far and between two tiles: a GIF has few colours and packs even areas well

    def __init__(self, recording, width, height, yaw, title=""):
        self.recording, self.width, self.height, self.title = recording, width, height, title
        with quiet():
            self.p = BulletClient(connection_mode=pybullet.DIRECT)
            flags = pybullet.URDF_GOOGLEY_UNDEFINED_COLORS
            model = os.path.join(pybullet_data.getDataPath(), "mjcf", recording.model)
            self.body = self.p.loadMJCF(model, flags=flags)[0]
        for j, link in enumerate(recording.links):
            rgb = TORSO if j == 0 else FRONT_LEG if link in FRONT_LEGS else HIND_LEG
            self.p.changeVisualShape(self.body, j - 1, rgbaColor=[*(np.array(rgb) / 255), 1])

        ball = next(v for v in self.p.getVisualShapeData(self.body) if v[2] == pybullet.GEOM_SPHERE)
        shape = self.p.createVisualShape(
            pybullet.GEOM_MESH,
            fileName=os.path.join(pybullet_data.getDataPath(), "sphere_smooth.obj"),
            meshScale=[1.03 * ball[3][0]] * 3,  # the renderer's own spheres are coarse: this one hides it
            rgbaColor=[*np.array(TORSO) / 255, 1],
        )
        self.ball = self.p.createMultiBody(baseVisualShapeIndex=shape)

        self.camera = smooth_path(recording)

        c, s = np.cos(yaw), np.sin(yaw)
        level = np.array([[s, -c, 0], [c, s, 0], [0, 0, 1]])  # rows: right, forward and up, as seen by the camera
        tilt = np.array([[1, 0, 0], [0, np.cos(self.pitch), -np.sin(self.pitch)], [0, np.sin(self.pitch), np.cos(self.pitch)]])
        self.axes = tilt @ level
        self.sun = SUN @ level
        forward = -self.sun / np.linalg.norm(self.sun)
        right = np.cross(forward, [0, 0, 1]) / np.linalg.norm(forward[:2])
        self.sun_axes = np.array([right, forward, np.cross(right, forward)])
        self.eye = np.array([0, 0, 0.25]) - self.distance * self.axes[1]
        self.focal = 1 / np.tan(self.fov / 2)  # in half heights of the picture

        # A pixel (column, row, 1) times `rays` is its line of sight; times `to_ground` it is, in homogeneous coordinates, where
        # that line meets the ground if the camera looks at (0, 0)
        half = height / 2
        pixel = np.array([[1 / half, 0, -width / half / 2], [0, 0, self.focal], [0, -1 / half, 1]])
        rays = self.axes.T @ pixel
        self.to_ground = self.eye[2] * rays - np.outer(self.eye, rays[2])
        self.to_ground[2] = -rays[2]

        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x, y, w = np.moveaxis(np.stack([columns, rows, np.ones_like(rows)], axis=2) @ self.to_ground.T, 2, 0)
        self.ground = np.stack([x, y], axis=2) / np.maximum(w, 1e-3)[..., None]
        across = [np.abs(np.gradient(self.ground, axis=a)).max(axis=2) for a in (0, 1)]
        self.footprint = np.maximum(*across)[..., None].astype(np.float32)
        haze = np.clip((np.linalg.norm(self.ground, axis=2) - 5) / (self.fog - 5), 0, 1)
        self.haze = (np.round(haze**0.6 * self.hazes) / self.hazes)[..., None].astype(np.float32)
        self.ground = self.ground.astype(np.float32)

    def pose(self, step):
        """Puts the ant into the state after `step` steps; nothing is simulated."""
        base = self.recording.poses[step, 0].tolist()
        self.p.resetBasePositionAndOrientation(self.body, base[:3], base[3:])
        for j, angle in enumerate(self.recording.joints[step].tolist()):
            self.p.resetJointState(self.body, j, angle)
        self.p.resetBasePositionAndOrientation(self.ball, self.recording.torso[step].tolist(), base[3:])

    def project(self, points, step):
        """(N, 3) points of the world -> (N, 2) pixels and (N,) depth in metres; what is not in front of the camera is NaN."""
        right, depth, up = ((np.asarray(points) - self.eye - [*self.camera[step], 0]) @ self.axes.T).T
        scale = np.where(depth > 0.2, self.focal * self.height / 2 / np.maximum(depth, 0.2), np.nan)
        return np.stack([self.width / 2 + right * scale, self.height / 2 - up * scale], axis=1), depth

    def picture(self, step):
        """The state after `step` steps (the last one, if there are not so many) as a Pillow image, RGB."""
        step = min(step, self.recording.length)
        self.pose(step)
        image = Image.fromarray(self._paint_ground(step))
        target = np.array([*self.recording.targets[step], 0.0])
        self._draw_trail(image, step)
        near = np.linalg.norm(target[:2] - self.camera[step]) < self.fog
        (x, y), flag_depth = (v[0] for v in self.project([target], step))
        seen = near and -20 < x < self.width + 20 and 0 < y < self.height + 20
        if seen:
            self._draw_disc(image, step, target)
        else:
            self._draw_arrow(image, step, target)
        self._cast_shadow(image, step)
        in_front = flag_depth < self.project(self.recording.torso[step : step + 1], step)[1][0]
        if seen and not in_front:
            self._draw_flag(image, step, target)
        self._draw_ant(image, step)
        if seen and in_front:
            self._draw_flag(image, step, target)
        self._write(image, step)
        return image

    def _paint_ground(self, step):
        """Tiles of one metre.  Each pixel is the mean over what it covers, so that nothing flickers in the distance."""
        ground, covers = self.ground + self.camera[step].astype(np.float32), self.footprint
        # |x - floor(x) - 1/2| is the integral of a square wave of period 1, and a difference of integrals gives the mean
        low, high = (np.abs(x - np.floor(x) - 0.5) for x in ((ground - covers / 2) / 2, (ground + covers / 2) / 2))
        waves = 2 * (low - high) / covers
        light = 0.5 + 0.5 * waves[..., :1] * waves[..., 1:]
        light = np.round(light * self.shades) / self.shades
        tiles = np.float32(DARK_TILE) + light * np.subtract(LIGHT_TILE, DARK_TILE, dtype=np.float32)
        return (tiles + self.haze * (np.float32(SKY) - tiles)).astype(np.uint8)

    def _fill(self, image, step, color, outlines=(), lines=(), width=1.0):
        """Fills polygons and draws lines, given as (N, 3) points of the world; painted twice as fine, for smooth edges."""
        mask = Image.new("L", (2 * self.width, 2 * self.height))
        draw = ImageDraw.Draw(mask)
        for points in outlines:
            pixels = self.project(points, step)[0]
            if np.isfinite(pixels).all():
                draw.polygon([tuple(2 * xy) for xy in pixels], fill=255)
        for points in lines:
            pixels = self.project(points, step)[0]
            for run in np.ma.clump_unmasked(np.ma.masked_invalid(pixels[:, 0])):  # the stretches before the camera
                draw.line([tuple(2 * xy) for xy in pixels[run]], fill=255, width=round(2 * width), joint="curve")
        image.paste(color, mask=mask.resize(image.size, Image.Resampling.BOX))

    def _draw_trail(self, image, step):
        """Where the torso has been."""
        path = self.recording.torso[np.unique(np.r_[0 : step + 1 : 3, step])].astype(float)
        path[:, 2] = 0
        if len(path) > 1:
            self._fill(image, step, TRAIL, lines=[path], width=max(2, self.height / 110))

    def _draw_disc(self, image, step, target):
        """The target, as large as `REACHED`."""
        angle = np.linspace(0, 2 * np.pi, 48)
        circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        self._fill(image, step, TARGET, lines=[target + REACHED * circle], width=max(2, self.height / 130))
        self._fill(image, step, TARGET, outlines=[target + 0.12 * circle])

    def _draw_flag(self, image, step, target):
        """A pole with a pennant on the target."""
        up, right = np.array([0, 0, 1.0]), self.axes[0]
        pennant = target + np.array([1.5 * up, 1.25 * up + 0.55 * right, 1.0 * up])
        pole = np.array([target, target + 1.5 * up])
        self._fill(image, step, TARGET, outlines=[pennant], lines=[pole], width=max(2, self.height / 110))

    def _draw_arrow(self, image, step, target):
        """An arrow on the ground, from the ant toward a target that is out of sight."""
        here = np.array([*self.recording.path[step], 0.0])
        ahead = (target - here) / max(np.linalg.norm(target - here), 1e-6)
        side = np.array([-ahead[1], ahead[0], 0])
        outline = [(1.3, 0.07), (1.75, 0.07), (1.75, 0.22), (2.15, 0), (1.75, -0.22), (1.75, -0.07), (1.3, -0.07)]
        self._fill(image, step, TARGET, outlines=[np.array([here + a * ahead + b * side for a, b in outline])])

    def _cast_shadow(self, image, step):
        """Where the sun does not see the ground: its picture of the ant, laid on the ground and blurred."""
        n, half, away = 160, 1.5, 30.0  # pixels; metres to the edge of the sun's picture, and to the sun
        view, lens = _look(self.sun_axes, self.recording.torso[step] - away * self.sun_axes[1]), _lens(away / half, 1)
        mask = Image.fromarray(self._render(n, n, view, lens)[1].astype(np.uint8) * 90).filter(ImageFilter.GaussianBlur(1.5))
        x, y = self.camera[step]
        sun_sees = (lens @ view)[np.ix_([0, 1, 3], [0, 1, 3])]  # of the points of the ground, where z is 0
        pixels = np.array([[n / 2, 0, n / 2], [0, -n / 2, n / 2], [0, 0, 1]])
        to_mask = pixels @ sun_sees @ [[1, 0, x], [0, 1, y], [0, 0, 1]] @ self.to_ground
        to_mask = (to_mask / to_mask[2, 2]).ravel()[:8]
        shadow = mask.transform(image.size, Image.Transform.PERSPECTIVE, to_mask, Image.Resampling.BILINEAR)
        image.paste(INK, mask=shadow)

    def _draw_ant(self, image, step):
        """Renders the rectangle in which the ant is, finer than it will be seen, and lays it onto the picture."""
        pixels = self.project(self.recording.poses[step, :, :3], step)[0]
        margin = 0.65 * self.focal * self.height / 2 / self.distance  # the feet reach 0.57 m beyond the frames of their links
        size = (self.width, self.height)
        if not np.isfinite(pixels).all():
            return
        left, top = np.clip(np.floor(pixels.min(axis=0) - margin), 0, size).astype(int)
        right, bottom = np.clip(np.ceil(pixels.max(axis=0) + margin), 0, size).astype(int)
        if left >= right or top >= bottom:
            return
        x, y, k = right - left, bottom - top, self.detail
        view = _look(self.axes, self.eye + [*self.camera[step], 0])
        lens = _lens(self.focal, self.width / self.height)
        crop = np.eye(4)  # of the whole picture, the rectangle
        crop[0, [0, 3]] = self.width / x, (self.width - left - right) / x
        crop[1, [1, 3]] = self.height / y, (top + bottom - self.height) / y
        colors, mask = self._render(x * k, y * k, view, crop @ lens)
        colors[~mask] = TORSO  # seeps into the edge of the ant when it is made coarser: a fine dark outline
        opacity = Image.fromarray(mask.astype(np.uint8) * 255).reduce(k)
        image.paste(Image.fromarray(colors).reduce(k), (left, top), opacity)

    def _render(self, width, height, view, projection):
        """Bullet's picture of the ant alone: colours (height, width, 3) and where it is, (height, width) bool."""
        _, _, colors, _, body = self.p.getCameraImage(
            width,
            height,
            viewMatrix=view.T.ravel().tolist(),
            projectionMatrix=projection.T.ravel().tolist(),
            lightDirection=self.sun.tolist(),
            lightAmbientCoeff=0.8,
            lightDiffuseCoeff=0.5,
            lightSpecularCoeff=0.1,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        colors, body = np.reshape(colors, (height, width, 4)), np.reshape(body, (height, width))
        return colors[..., :3].astype(np.uint8), body >= 0

    def _write(self, image, step):
        """The title above, and below it time, speed and distance."""
        run = self.recording
        before, after = max(step - 8, 0), min(step + 8, run.length)
        speed = np.linalg.norm(self.camera[after] - self.camera[before]) / max(after - before, 1) / run.dt
        distance = np.linalg.norm(run.path[step] - run.path[0])
        words = [f"{step * run.dt:.1f} s", f"{speed:.1f} m/s", f"{distance:.1f} m"]
        if step == run.length and (run.fell or run.to_go[-1] <= REACHED):
            words.append("fell" if run.fell else "reached")
        draw, size = ImageDraw.Draw(image), max(13, self.height // 18)
        font, pad = ImageFont.load_default(size), size // 2
        bottom, ends = self.height - pad, pad + size * np.array([3.2, 7.3, 11.0, 15.0])[: len(words)]
        draw.rounded_rectangle((pad, bottom - 1.7 * size, ends[-1] + pad, bottom), pad, fill=SKY)
        for word, end in zip(words, ends, strict=True):  # in columns, so that the numbers do not dance
            draw.text((end, bottom - 0.85 * size), word, fill=INK, font=font, anchor="rm")
        if self.title:
            wide = draw.textlength(self.title, font=font)
            draw.rounded_rectangle((pad, pad, 3 * pad + wide, pad + 1.7 * size), pad, fill=SKY)
            draw.text((2 * pad, pad + 0.85 * size), self.title, fill=INK, font=font, anchor="lm")


def _look(axes, eye):
    """View matrix of a camera at `eye` whose right, forward and up are the rows of `axes`."""
    view = np.eye(4)
    view[:3, :3] = axes[0], axes[2], -axes[1]
    view[:3, 3] = -view[:3, :3] @ eye
    return view


def _lens(focal, aspect, near=0.1, far=100.0):
    """Projection matrix of a camera that sees 1 / focal metres above the middle at a distance of one metre."""
    return np.array(
        [
            [focal / aspect, 0, 0, 0],
            [0, focal, 0, 0],
            [0, 0, (far + near) / (near - far), 2 * far * near / (near - far)],
            [0, 0, -1, 0],
        ]
    )


# --- animations ------------------------------------------------------------------------------------------------------------


def animate(
    recordings: Recording | Iterable[Recording],
    path: str | Path,
    width: int = 480,
    height: int = 320,
    fps: float = 18,
    seconds: float | None = None,
    start: float = 0.0,
    speed: float = 1.0,
    workers: int = 2,
    titles: Sequence[str] | None = None,
    yaw: float | None = None,
    verbose: bool = True,
) -> Path:
    """Writes an animation of one recording, or of several side by side.

    The tiles are one metre wide, the front legs yellow, the way behind the ant blue.  The target is a green flag in a circle
    of radius `REACHED`, or an arrow toward it where it is out of sight.  Below stand the time, the speed and the distance
    from the start.

    Args:
        recordings: a `Recording` or a list of them.  One that ends before the others stays at its last state.
        path: of the file.  Its ending says what is written: .gif or .png (animated, few colours), .webp or .mp4.
        width, height: of each recording's picture, in pixels.
        fps: pictures for each second of film.
        seconds: of the ant's time to show; by default all that there is.
        start: in the ant's time, in seconds.
        speed: 2.0 shows the ant twice as fast as it was.
        workers: processes that paint; 0 paints in this one.
        titles: one string for each recording, written above it.  By default several are told apart by their targets.
        yaw: compass direction in which the camera looks, in degrees; 0 is +x, 90 is +y.  By default it looks past the left
            side of one that runs to its target, and of +x where there are several.
        verbose: say beforehand how long it takes, and in a terminal show a bar.

    Returns:
        the path, a `pathlib.Path`.

    Raises:
        ValueError: an argument makes no sense, such as an unknown ending.
        OSError: the file cannot be written.  This is tried before the painting begins.
    """
    recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
    path = Path(path)
    steps = _check(recordings, path, width, height, fps, seconds, start, speed)
    if titles is None:
        goals = [np.round(run.targets[0].astype(float), 1) + 0.0 for run in recordings]  # + 0.0, or a zero may read -0
        titles = ["target ({:g}, {:g})".format(*goal) if len(recordings) > 1 else "" for goal in goals]
    if len(titles) != len(recordings):
        raise ValueError(f"got {len(titles)} titles for {len(recordings)} recordings: give one for each.")
    if yaw is None:
        way = recordings[0].targets[0] - recordings[0].path[0] if len(recordings) == 1 else (1, 0)
        yaw = np.degrees(np.arctan2(way[1], way[0])) + 40
    size, few_colors = (width, height), path.suffix.lower() in (".gif", ".png")
    with beside(path) as part:
        if verbose:
            needed = render_seconds(len(steps) * len(recordings), width, height, workers)
            print(f"Painting {len(steps)} pictures, about {max(needed, 1):.0f} s ...", flush=True)
        with _painters(workers, [(*run_title, size, yaw) for run_title in zip(recordings, titles, strict=True)]) as paint:
            sample = steps[:: max(1, len(steps) // 8)]
            palette = _palette(paint(sample, None)) if few_colors else None
            pictures = paint(steps, palette)
            if verbose:
                from tqdm import tqdm

                pictures = tqdm(pictures, total=len(steps), leave=False, disable=None, unit=" pictures")
            _write(pictures, part, fps)
    return path


def render_seconds(n_frames: int, width: int = 480, height: int = 320, workers: int = 2) -> float:
    """About how long `animate` takes, from the time that one picture of a resting ant takes here and now.

    Args:
        n_frames: number of pictures; side by side each recording has its own.
        width, height: of a picture, in pixels.
        workers: processes that paint.

    Returns:
        seconds.
    """
    at_once = max(1, min(workers, os.cpu_count() or 1))
    return n_frames * _seconds_a_picture(width, height) / at_once


@functools.lru_cache
def _seconds_a_picture(width, height):
    still = np.zeros((2, 20), np.float32)
    poses = np.tile(np.float32([0, 0, 0.6, 0, 0, 0, 1]), (2, 21, 1))
    torso, target = poses[:, 0, :3], still[:, :2]
    run = Recording("", 0, 0.0165, "ant.xml", ("torso",) * 21, poses, still, torso, target, None, [0], {}, False, False)
    scene = _Scene(run, width, height, 0.0)
    scene.picture(0)
    begin = time.perf_counter()
    scene.picture(1).quantize(64)
    return time.perf_counter() - begin


def _check(recordings, path, width, height, fps, seconds, start, speed):
    """Complains about what makes no sense; otherwise returns the steps to be painted."""
    endings = (".gif", ".png", ".webp", ".mp4")
    if not recordings:
        raise ValueError("recordings is empty: give at least one.")
    if path.suffix.lower() not in endings:
        raise ValueError(f"'{path}' ends in '{path.suffix}': expected one of {', '.join(endings)}.")
    if width < 64 or height < 64 or (path.suffix.lower() == ".mp4" and (width % 2 or height % 2)):
        raise ValueError(f"a picture of {width} x {height} pixels: expected at least 64 x 64, and even numbers for .mp4.")
    if not 0 < fps <= 50 or not speed > 0 or not start >= 0 or (seconds is not None and not seconds > 0):
        given = f"fps={fps}, seconds={seconds}, start={start}, speed={speed}"
        raise ValueError(f"{given}: expected positive numbers, and not more than 50 fps.")
    there = max(run.seconds for run in recordings)
    if start >= there:
        raise ValueError(f"start is {start} s, but the recording ends after {there:.1f} s.")
    shown = min(there - start, np.inf if seconds is None else seconds)
    times = start + np.arange(max(1, round(shown * fps / speed))) * speed / fps
    return np.round(times / recordings[0].dt).astype(int).tolist()


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` if all went well and else leaves nothing behind."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        part.touch()
    except OSError as error:
        raise OSError(f"'{path}' cannot be written ({error.strerror}): give a file in a folder that is yours.") from error
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _painters(workers, panels):
    """A function (steps, palette) -> iterator over pictures in their order, painted by `workers` processes."""
    if workers < 1:
        _begin(panels)
        yield lambda steps, palette: map(_paint, steps, itertools.repeat(palette))
        _scenes.clear()
        return
    # Processes rather than threads: Bullet's renderer keeps Python's lock
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(panels, True))
    try:
        yield lambda steps, palette: pool.map(_paint, steps, itertools.repeat(palette), chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


_scenes: list[Any] = []
"""What this process paints, side by side."""


def _begin(panels, is_worker=False):
    if is_worker:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    _scenes[:] = [_Scene(run, *size, np.radians(yaw), title) for run, title, size, yaw in panels]


def _paint(step, palette):
    """All panels after `step` steps: an RGB picture, or one with the colours of `palette`, as packed by `_palette`."""
    gap = 4
    width, height = _scenes[0].width, _scenes[0].height
    image = Image.new("RGB", (len(_scenes) * (width + gap) - gap, height), "white")
    for i, scene in enumerate(_scenes):
        image.paste(scene.picture(step), (i * (width + gap), 0))
    if palette is None:
        return image
    like = Image.new("P", (1, 1))
    like.putpalette(palette)
    return image.quantize(palette=like, dither=Image.Dither.NONE)  # dither would flicker, and does not pack well


def _palette(pictures, colors=96):
    """The colours that suit all of some pictures: bytes, three for each.  More of them hardly show, and make a larger file."""
    pictures = list(pictures)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (0, i * height))
    return bytes(sheet.quantize(colors, method=Image.Quantize.FASTOCTREE).getpalette())


def _write(pictures, path, fps):
    """Writes an iterator over Pillow images as the kind of file that the path's ending says."""
    if path.suffix.lower() == ".mp4":
        import imageio_ffmpeg

        first = next(pictures := iter(pictures))
        video = imageio_ffmpeg.write_frames(
            str(path), first.size, fps=fps, quality=7, macro_block_size=2, output_params=["-movflags", "+faststart"]
        )
        video.send(None)
        for picture in itertools.chain([first], pictures):
            video.send(picture.tobytes())
        video.close()
        return
    pictures = list(pictures)
    # A GIF counts in hundredths of a second: round the moments and not the durations, or the film runs at another speed
    moments = np.round(100 / fps * np.arange(len(pictures) + 1)).astype(int)
    durations = (10 * np.diff(moments)).tolist()
    durations[-1] += 1000  # rests at the end, before it begins again
    extra = {"quality": 75, "method": 3} if path.suffix.lower() == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **extra)


def show(path: str | Path, alt: str | None = None) -> "EmbeddedImage":
    """Embeds an animation in a notebook, so that it moves in JupyterLab, in VS Code, in exported HTML and on GitHub.

    The bytes are stored in the notebook as `image/png`, also those of a GIF.  Every browser looks at the bytes and not at that
    name, so it plays.  Under the name `image/gif` JupyterLab would play it too, but nbconvert, and with it GitHub and Sphinx,
    know no such output and show the text `<IPython.core.display.Image object>` (jupyter/nbconvert#2270).  GitHub strips
    `<video>` from notebooks (jupyter/notebook#2380), so .mp4 is not for them.

    Args:
        path: of a .gif or .png file, such as `animate` returns.
        alt: what a reader who cannot see it should know.

    Returns:
        an `IPython.display.Image`, which the notebook shows if it is the last value of a cell.

    Raises:
        ValueError: the file is of another kind.
        FileNotFoundError: there is no such file.
    """
    from IPython.display import Image as Embedded

    path = Path(path)
    if path.suffix.lower() not in (".gif", ".png"):
        raise ValueError(f"'{path}' cannot be embedded so that it moves on GitHub: expected a .gif or .png file.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no animation '{path}': make it with animate().")
    return Embedded(data=path.read_bytes(), format="png", alt=alt)


def plot_paths(recordings: Recording | Iterable[Recording], ax: Any = None) -> "Figure":
    """The paths seen from above, in metres.

    Args:
        recordings: a `Recording` or a list of them.
        ax: a Matplotlib axes to draw into; by default a new figure's.

    Returns:
        the Matplotlib figure, which a notebook shows if it is the last value of a cell.
    """
    from matplotlib.lines import Line2D

    recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
    figure, ax = style.figure(6, 6) if ax is None else (ax.figure, ax)
    figure.set_facecolor("white")
    style.tidy(ax)
    for run, color in zip(recordings, itertools.cycle(OKABE_ITO)):
        ax.plot(*run.path.T, color=color, linewidth=LINE)
        ax.plot(*run.path[0], "o", color="white", markeredgecolor="black", markersize=8, zorder=3)
        ax.plot(*run.path[-1], "X" if run.fell else "o", color=color, markeredgecolor="black", markersize=10, zorder=4)
        for k, target in enumerate(run.points):
            if np.linalg.norm(target - run.path[0]) < 500:  # the stock ant's is a kilometre away
                ax.plot(*target, "*", color=color, markeredgecolor="black", markersize=17, zorder=2)
                if len(run.points) > 1:
                    ax.annotate(f"{k + 1}", target, (7, 5), textcoords="offset points", fontsize=SMALL, weight="bold", zorder=5)
    kinds = {"start": ("o", "white", 8), "end": ("o", "grey", 10), "fell": ("X", "grey", 10), "target": ("*", "grey", 15)}
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=color, markeredgecolor="black", markersize=size, label=label)
        for label, (marker, color, size) in kinds.items()
    ]
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 4}
    style.legend(ax, handles=handles, columnspacing=1.2, handletextpad=0.2, **above)
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.08)
    ax.set(xlabel="x (m)", ylabel="y (m)")
    return figure


# --- a saved policy, and the command line ----------------------------------------------------------------------------------


def load_policy(name: str | Path, env: str = "AntBulletEnv-v0") -> TD3:
    """Loads a policy to watch it: one trained here, a shipped one, or one saved by the original TD3.

    Args:
        name: of a run or a shipped model, its folder, or a path without "_actor" (see `utils.checkpoint`).
        env: id of the environment, which says how large states and actions are.

    Returns:
        a `TD3`, of which only the actor is loaded: `select_action` works.

    Raises:
        FileNotFoundError: there is no such policy.
        ValueError: there is no such environment, or the file is not a policy, or one for other states or actions.
    """
    path = checkpoint(name)
    state_dim, action_dim, max_action = dimensions(env)
    hidden = 256
    with contextlib.suppress(Exception):  # whatever is wrong with the file, `load` says it better
        hidden = len(torch.load(f"{path}_actor", map_location="cpu", weights_only=True)["l1.bias"])
    policy = TD3(state_dim, action_dim, max_action, hidden=hidden)
    policy.load(path, inference=True)
    return policy


def ant(
    model: str = "base_ant_final",
    env: str = "AntBulletEnv-v0",
    seed: int = 0,
    target: tuple[float, float] | None = None,
    seconds: float = 10.0,
    out: str = "animations/my_ant_run.gif",
) -> None:
    """Runs a saved policy for one episode and animates the beginning.

    Args:
        model: name of a run or a shipped model, its folder, or a path without "_actor"
        env: id of the environment
        seed: the episode is reset with
        target: where the ant is asked to go, in metres; by default where the environment says
        seconds: of the episode to animate
        out: file to write, .gif, .png, .webp or .mp4
    """
    run = record(load_policy(model, env), env, seed, target=target)
    end = "it fell" if run.fell else "it did not fall"
    print(f"return {run.total_reward:,.0f} in {run.length} steps ({run.seconds:.1f} s, {end})")
    print(f"distance {run.distance:.1f} m, mean speed {run.speed:.2f} m/s")
    print(animate(run, out, seconds=seconds))


def command_line(argv: list[str] | None = None) -> None:
    """`python viewer.py ant ...`; what the user can put right is said in one sentence."""
    import tyro

    app = tyro.extras.SubcommandApp()
    app.command(ant)
    try:
        app.cli(args=argv, description=__doc__.splitlines()[0])
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    command_line()
