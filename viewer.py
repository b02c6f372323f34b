"""A saved policy made visible: one episode is recorded, and everything is drawn from the recording.

    from viewer import animate, load_policy, record, show
    run = record(load_policy("base_ant_final"))
    show(animate(run, "animations/my_ant_run.gif", seconds=10))

or, in a terminal: `python viewer.py ant`.  Nothing here ever needs a display.  How the pictures
are painted: `painter.py`.
"""

import contextlib
import errno
import functools
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

import style
from override_ant import REACHED
from painter import Scene, painters, shared_palette, write_pictures
from style import LINE, OKABE_ITO, SMALL
from TD3 import TD3
from utils import checkpoint
from vector import dimensions, make_env, quiet

if TYPE_CHECKING:
    from IPython.display import Image as EmbeddedImage
    from matplotlib.figure import Figure

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
        return self.targets[np.append(0, self._changes + 1)]

    @property
    def arrivals(self) -> np.ndarray:
        """(points_reached,) int, after how many steps it came to each of `points`."""
        return np.append(self._changes, self.length) if self.to_go[-1] <= REACHED else self._changes

    @property
    def points_reached(self) -> int:
        """How many of `points` it came to."""
        return len(self.arrivals)

    @property
    def _changes(self) -> np.ndarray:
        """The steps after which the ant was sent to its next point."""
        return np.flatnonzero(np.any(np.diff(self.targets, axis=0) != 0, axis=1))


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
    chosen = any(x is not None for x in (target, stop_at_target, path))
    if chosen and getattr(env.unwrapped, "onward", False):
        env.unwrapped.onward = False  # whoever says where the ant shall go says when it shall go elsewhere
        try:
            return record(policy, env, seed, max_steps, target, stop_at_target, path)
        finally:
            env.unwrapped.onward = True
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
    from the start.  On a path it is the number of the point to which the ant is going, and a map of all points is in a corner.

    Args:
        recordings: a `Recording` or a list of them.  One that ends before the others stays at its last state.
        path: of the file.  Its ending says what is written: .gif or .png (animated, few colours), .webp or .mp4.
        width, height: of each recording's picture, in pixels.
        fps: pictures for each second of film.
        seconds: of the ant's time to show; by default all that there is.
        start: in the ant's time, in seconds.
        speed: 2.0 shows the ant twice as fast as it was.
        workers: processes that paint; 0 paints in this one.
        titles: one string for each recording, written above it.  By default several are told apart by their targets, and a
            `speed` that is not the ant's own is said.
        yaw: compass direction in which the camera looks, in degrees; 0 is +x, 90 is +y.  By default it looks past the left
            side of one that runs to its target, and of +x where there are several; on a path it looks toward +y.
        verbose: say beforehand how long it takes, and in a terminal show a bar.

    Returns:
        the path, a `pathlib.Path`.

    Raises:
        ValueError: an argument makes no sense, such as an unknown ending.
        OSError: the file cannot be written, which is tried before the painting begins, or the disk became full.  What was
            there before is left as it was, and nothing half-written beside it.
    """
    recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
    path = Path(path)
    steps = _check(recordings, path, width, height, fps, seconds, start, speed)
    if titles is None:
        goals = [np.round(run.targets[0].astype(float), 1) + 0.0 for run in recordings]  # + 0.0, or a zero may read -0
        titles = ["target ({:g}, {:g})".format(*goal) if len(recordings) > 1 else "" for goal in goals]
        if speed != 1:
            titles = [f"{title}{', ' if title else ''}{speed:.3g} times as fast" for title in titles]
    if len(titles) != len(recordings):
        raise ValueError(f"got {len(titles)} titles for {len(recordings)} recordings: give one for each.")
    if yaw is None:
        way = recordings[0].targets[0] - recordings[0].path[0] if len(recordings) == 1 else (1, 0)
        yaw = np.degrees(np.arctan2(way[1], way[0])) + 40 if len(recordings[0].points) == 1 else 90
    size, few_colors = (width, height), path.suffix.lower() in (".gif", ".png")
    with beside(path) as part:
        if verbose:
            needed = render_seconds(len(steps) * len(recordings), width, height, workers)
            print(f"Painting {len(steps)} pictures, about {max(needed, 1):.0f} s ...", flush=True)
        with painters(workers, [(*run_title, size, yaw) for run_title in zip(recordings, titles, strict=True)]) as paint:
            sample = steps[:: max(1, len(steps) // 8)]
            palette = shared_palette(paint(sample, None)) if few_colors else None
            pictures = paint(steps, palette)
            if verbose:
                from tqdm import tqdm

                pictures = tqdm(pictures, total=len(steps), leave=False, disable=None, unit=" pictures")
            write_pictures(pictures, part, fps)
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
    scene = Scene(run, width, height, 0.0)
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
    if not 0 < fps <= 50 or not 0 < speed < np.inf or not start >= 0 or (seconds is not None and not seconds > 0):
        given = f"fps={fps}, seconds={seconds}, start={start}, speed={speed}"
        raise ValueError(f"{given}: expected positive numbers, and not more than 50 fps.")
    there = max(run.seconds for run in recordings)
    if start >= there:
        raise ValueError(f"start is {start} s, but the recording ends after {there:.1f} s.")
    shown = min(there - start, np.inf if seconds is None else seconds)
    times = start + np.arange(max(1, round(shown * fps / speed))) * speed / fps
    steps = np.round(times / recordings[0].dt).astype(int).tolist()
    if shown == there - start and len(steps) > 1:
        steps[-1] = max(run.length for run in recordings)  # how it ended is seen, also in fast forward
    return steps


OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What the system says where a file could be begun but not finished: no space, no quota, too large, read-only, broken."""


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` if all went well and else leaves nothing behind.

    Raises:
        OSError: `path` cannot be written, or not to its end.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        part.touch()
    except OSError as error:
        why = "its folder is a file" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
        raise OSError(f"'{path}' cannot be written ({why}): give a file in a folder that is yours.") from error
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno not in OUT_OF_ROOM:
            raise
        raise OSError(
            f"'{path}' could not be written to its end ({error.strerror}), so nothing of it was kept: "
            "make room there, or give a file elsewhere."
        ) from error
    finally:
        part.unlink(missing_ok=True)


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
                    away = 15 * _outward(np.vstack([run.path[0], run.points]), k + 1)
                    middle = {"ha": "center", "va": "center", "fontsize": SMALL, "weight": "bold", "zorder": 5}
                    ax.annotate(f"{k + 1}", target, away, textcoords="offset points", **middle)
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


def _outward(corners, k):
    """A unit vector away from both lines that meet in corner `k` of a path: there a number lies on neither."""
    ways = [corners[k] - corners[j] for j in (k - 1, k + 1) if j < len(corners)]
    away = sum(way / max(np.linalg.norm(way), 1e-9) for way in ways)
    if np.linalg.norm(away) < 0.1:  # straight on, so to the left
        away = np.array([-ways[0][1], ways[0][0]])
    return away / max(np.linalg.norm(away), 1e-9)


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


def trained_in(name: str | Path) -> str:
    """The id of the environment in which a policy was trained; the stock ant's if that is not known, as for a checkpoint of others.

    Args:
        name: as for `load_policy`.
    """
    try:
        return str(json.loads((checkpoint(name).parent / "args.json").read_text())["env"])
    except (OSError, ValueError, KeyError, TypeError):
        return "AntBulletEnv-v0"


MODEL = "random_circle_final"
"""The model that `python viewer.py ant` shows."""

FILM_SECONDS = 14.0
"""How long the animation of a path is; the ant is shown as much faster as that takes."""


def ant(
    model: str = MODEL,
    env: str = "",
    seed: int = 0,
    target: tuple[float, float] | None = None,
    points: int | None = None,
    seconds: float = 10.0,
    out: str = "",
) -> None:
    """Runs a saved policy and animates it.

    A policy that was trained for any point walks a path of random points, shown in fast forward from its beginning to its
    end.  Any other runs one episode, of which the beginning is shown.  `animations/long_path.gif` is what
    `python viewer.py ant --out animations/long_path.gif` writes.

    Args:
        model: name of a run or a shipped model, its folder, or a path without "_actor"
        env: id of the environment; by default the one in which the policy was trained
        seed: of the random points; the episode is reset with it too
        target: where the ant is asked to go for one episode, in metres; by default where the environment says
        points: how many random points to walk, 5 to 28 m apart; 0 for one episode, as for a policy trained for one target
        seconds: of one episode to animate
        out: file to write, .gif, .png, .webp or .mp4; by default animations/my_ant_path.gif or animations/my_ant_run.gif
    """
    env = env or trained_in(model)
    if points is None:
        points = 20 if "RandomPoints" in env and target is None else 0
    if points < 0 or (points and target is not None):
        raise ValueError(f"points is {points} and target {target}: expected a number of random points, or a target.")
    policy = load_policy(model, env)
    path = random_path(points, seed=seed) if points else None
    run = record(policy, env, seed, max_steps=1000 * max(points, 1), target=target, path=path)
    if points:
        end = f"it fell on the way to point {len(run.points)}" if run.fell else "it did not fall"
        print(f"{run.points_reached} of {points} points in {run.length} steps ({run.seconds:.1f} s, {end})")
        speed = max(1, round(run.seconds / FILM_SECONDS))
        print(animate(run, out or "animations/my_ant_path.gif", fps=12, speed=speed))
        return
    end = "it fell" if run.fell else "it did not fall"
    print(f"return {run.total_reward:,.0f} in {run.length} steps ({run.seconds:.1f} s, {end})")
    print(f"distance {run.distance:.1f} m, mean speed {run.speed:.2f} m/s")
    print(animate(run, out or "animations/my_ant_run.gif", seconds=seconds))


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
