"""Pictures of a recorded ant: the ground, the ant on it, the flag, the path and the words; and films made of them.

The ant is drawn by Bullet's software renderer, and only the rectangle of the picture that it fills.  The ground, which
would take most of the time and look worst, is painted with NumPy, and the flag, the path and the words with Pillow.
No GPU is used where there is one: Bullet could draw the ant through EGL, but that is half of a picture's time, and the
other half would still be painted here.  Several worker processes paint at once instead.
"""

import contextlib
import errno
import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from override_ant import REACHED
from vector import quiet

if TYPE_CHECKING:
    from viewer import Recording

with quiet():
    import pybullet
    import pybullet_data
    from pybullet_utils.bullet_client import BulletClient

# --- one picture -----------------------------------------------------------------------------------------------------------

SKY, LIGHT_TILE, DARK_TILE = (236, 243, 249), (222, 230, 236), (190, 204, 216)
TORSO, FRONT_LEG, HIND_LEG = (62, 70, 92), (240, 165, 40), (205, 85, 25)
TRAIL, TARGET, INK = (0, 114, 178), (0, 140, 105), (30, 36, 48)
SUN = np.array([-0.5, -0.3, 1.0])
"""Direction toward the sun, to the camera's right, forward and up: it shines over the viewer's left shoulder."""
FRONT_LEGS = ("front_left_leg", "aux_1", "front_left_foot", "right_back_leg", "aux_4", "right_back_foot")
"""The legs on the ant's +x side.  Upstream calls one of them a back leg, but this is the way the stock ant runs."""


def smooth_path(recording: "Recording") -> np.ndarray:
    """(T + 1, 2) float64, the way of a camera that follows: the torso's, without the wobble."""
    window = np.hanning(2 * round(0.9 / recording.dt) + 1)
    padded = np.pad(recording.path, ((len(window) // 2,) * 2, (0, 0)), mode="edge")
    return np.stack([np.convolve(x, window / window.sum(), mode="valid") for x in padded.T], axis=1)


class Scene:
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

    def __init__(self, recording: "Recording", width: int, height: int, yaw: float, title: str = "") -> None:
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
        self.points, self.arrivals = recording.points, recording.arrivals

        c, s = np.cos(yaw), np.sin(yaw)
        level = np.array([[s, -c, 0], [c, s, 0], [0, 0, 1]])  # rows: right, forward and up, as seen by the camera
        self.compass = level[:2, :2]
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

    def pose(self, step: int) -> None:
        """Puts the ant into the state after `step` steps; nothing is simulated."""
        base = self.recording.poses[step, 0].tolist()
        self.p.resetBasePositionAndOrientation(self.body, base[:3], base[3:])
        for j, angle in enumerate(self.recording.joints[step].tolist()):
            self.p.resetJointState(self.body, j, angle)
        self.p.resetBasePositionAndOrientation(self.ball, self.recording.torso[step].tolist(), base[3:])

    def project(self, points: ArrayLike, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) points of the world -> (N, 2) pixels and (N,) depth in metres; what is not in front of the camera is NaN."""
        right, depth, up = ((np.asarray(points) - self.eye - [*self.camera[step], 0]) @ self.axes.T).T
        scale = np.where(depth > 0.2, self.focal * self.height / 2 / np.maximum(depth, 0.2), np.nan)
        return np.stack([self.width / 2 + right * scale, self.height / 2 - up * scale], axis=1), depth

    def picture(self, step: int) -> Image.Image:
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
        if len(self.points) > 1:
            self._draw_map(image, step)
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

    def _draw_map(self, image, step):
        """All of a path seen from above, in a corner: the points that were reached blue, the next one green, the others grey.

        What is to the right in the picture is to the right on the map.
        """
        fine, side, pad = 3, round(0.42 * self.height), max(13, self.height // 18) // 2
        around = np.concatenate([self.points, self.recording.path]) @ self.compass.T
        low, high = around.min(axis=0), around.max(axis=0)
        scale = 0.84 * side * fine / max(*(high - low), 1.0)

        def pixels(places):
            right, forward = ((np.atleast_2d(places) @ self.compass.T - (low + high) / 2) * scale).T
            return [(side * fine / 2 + x, side * fine / 2 - y) for x, y in zip(right, forward, strict=True)]

        plan = Image.new("RGB", (side * fine, side * fine), SKY)
        draw = ImageDraw.Draw(plan)
        draw.line(pixels(self.recording.path[np.unique(np.r_[0 : step + 1 : 10, step])]), fill=TRAIL, width=2 * fine)
        next_point = np.searchsorted(self.arrivals, step)
        for k, xy in enumerate(pixels(self.points)):
            color = TRAIL if k < next_point else TARGET if k == next_point else DARK_TILE
            draw.circle(xy, (0.035 if k == next_point else 0.022) * side * fine, fill=color)
        draw.circle(pixels(self.recording.path[step])[0], 0.032 * side * fine, fill=HIND_LEG, outline="white", width=fine)
        draw.rectangle((0, 0, side * fine - 1, side * fine - 1), outline=DARK_TILE, width=fine)
        image.paste(plan.reduce(fine), (self.width - pad - side, pad))

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
        """The title above, and below it time, speed, and the distance from the start or the point to which the ant is going."""
        run = self.recording
        before, after = max(step - 8, 0), min(step + 8, run.length)
        speed = np.linalg.norm(self.camera[after] - self.camera[before]) / max(after - before, 1) / run.dt
        distance = np.linalg.norm(run.path[step] - run.path[0])
        point = min(np.searchsorted(self.arrivals, step) + 1, len(self.points))
        words = [
            f"{step * run.dt:.1f} s",
            f"{speed:.1f} m/s",
            f"point {point}" if len(self.points) > 1 else f"{distance:.1f} m",
        ]
        if step == run.length and (run.fell or run.to_go[-1] <= REACHED):
            words.append("fell" if run.fell else "reached")
        draw, size = ImageDraw.Draw(image), max(13, self.height // 18)
        font, pad = ImageFont.load_default(size), size // 2
        columns = [3.8, 7.9, 12.3, 16.3] if len(self.points) > 1 else [3.2, 7.3, 11.0, 15.0]
        bottom, ends = self.height - pad, pad + size * np.array(columns)[: len(words)]
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


# --- many of them ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def painters(workers: int, panels: list) -> Iterator[Callable]:
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


_scenes = []
"""What this process paints, side by side."""


def _begin(panels, is_worker=False):
    if is_worker:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    _scenes[:] = [Scene(run, *size, np.radians(yaw), title) for run, title, size, yaw in panels]


def _paint(step, palette):
    """All panels after `step` steps: an RGB picture, or one with the colours of `palette`, as packed by `shared_palette`."""
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


def shared_palette(pictures: Iterable[Image.Image], colors: int = 96) -> bytes:
    """The colours that suit all of some pictures: bytes, three for each.  More of them hardly show, and make a larger file."""
    pictures = list(pictures)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (0, i * height))
    return bytes(sheet.quantize(colors, method=Image.Quantize.FASTOCTREE).getpalette() or ())


def write_pictures(pictures: Iterable[Image.Image], path: Path, fps: float) -> None:
    """Writes an iterator over Pillow images as the kind of file that the path's ending says."""
    if path.suffix.lower() == ".mp4":
        return _write_film(pictures, path, fps)
    pictures = list(pictures)
    # A GIF counts in hundredths of a second: round the moments and not the durations, or the film runs at another speed
    moments = np.round(100 / fps * np.arange(len(pictures) + 1)).astype(int)
    durations = (10 * np.diff(moments)).tolist()
    durations[-1] += 1000  # rests at the end, before it begins again
    extra: dict[str, Any] = {"quality": 75, "method": 3} if path.suffix.lower() == ".webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0, **extra)


def _write_film(pictures, path, fps):
    """Writes H.264 with the ffmpeg that imageio-ffmpeg brings, whose own writer does not say when ffmpeg fails."""
    import imageio_ffmpeg

    first = next(pictures := iter(pictures))
    size, rate = "{}x{}".format(*first.size), str(Fraction(fps).limit_denominator(1000))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", rate, "-i", "-"]
    command += ["-c:v", "libx264", "-crf", "15", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    ffmpeg = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        with contextlib.suppress(BrokenPipeError):  # it has given up, and says below why
            for picture in itertools.chain([first], pictures):
                ffmpeg.stdin.write(picture.tobytes())
    except BaseException:
        ffmpeg.kill()
        raise
    finally:
        said = ffmpeg.communicate()[1].decode(errors="replace").split("\n")
    if ffmpeg.returncode:
        raise OSError(errno.EIO, f"ffmpeg: {said[0].split('] ')[-1]}")  # without the name of its part that failed
