"""Frames of a recording: `Renderer` draws one state of the ant as an image.

    Renderer(recording, width=480, height=320).render(step=100).save("ant.png")

Bullet's software renderer draws only the ant, in the rectangle that it covers.  NumPy computes the ground, which would take
most of Bullet's time and flicker; Pillow draws the trail, the target, the map and the text.  A GPU is not used: through EGL
Bullet would draw the ant faster, but that is half of a frame's time, and several processes render at once instead.
"""

import os

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from envs.bullet import connect, quiet
from override_ant import REACHED
from viewing.recording import Recording
from viewing.style import DARK_TILE, HIND_LEG, INK, LIGHT_TILE, SKY, TARGET, TERRAIN, TORSO, TRAIL, link_color

with quiet():
    import pybullet
    import pybullet_data

FOG = 20.0
"""Distance at which the ground fades into the sky, in metres.  An arrow points to a target beyond it."""

SIGHT = 40.0
"""Distance up to which a target has its flag, in metres.  Beyond `FOG` there is an arrow as well, because the flag is small."""


class Camera:
    """A camera that follows a path at a constant height and always looks in the same direction.

    Args:
        path: (T + 1, 2) float64, the point of the ground that the camera follows at each step, in metres.
        width, height: size of a frame, in pixels.
        yaw: compass direction in which the camera looks, in radians; 0 is +x.

    Attributes:
        axes: (3, 3), unit vectors to the right, forward and up, as rows.
        eye: (3,), position relative to the point that it follows, in metres.
        pixel_to_ground: (3, 3), maps a pixel (column, row, 1) to the ground point that it shows while the camera follows (0, 0),
            both in homogeneous coordinates.
    """

    fov, pitch, distance = np.radians(38), np.radians(18), 4.6  # so the horizon is just in the frame, and with it far flags

    def __init__(self, path: np.ndarray, width: int, height: int, yaw: float) -> None:
        self.path, self.width, self.height = path, width, height
        c, s = np.cos(yaw), np.sin(yaw)
        self.level_axes = np.array([[s, -c, 0], [c, s, 0], [0, 0, 1]])
        tilt = np.array([[1, 0, 0], [0, np.cos(self.pitch), -np.sin(self.pitch)], [0, np.sin(self.pitch), np.cos(self.pitch)]])
        self.axes = tilt @ self.level_axes
        self.eye = np.array([0, 0, 0.25]) - self.distance * self.axes[1]
        self.focal = 1 / np.tan(self.fov / 2)  # in half heights of a frame
        half = height / 2
        pixel = np.array([[1 / half, 0, -width / half / 2], [0, 0, self.focal], [0, -1 / half, 1]])
        rays = self.axes.T @ pixel
        self.pixel_to_ground = self.eye[2] * rays - np.outer(self.eye, rays[2])
        self.pixel_to_ground[2] = -rays[2]

    def project(self, points: ArrayLike, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) world points -> (N, 2) pixels and (N,) depths in metres.  Pixels of points behind the camera are NaN."""
        right, depth, up = ((np.asarray(points) - self.eye - [*self.path[step], 0]) @ self.axes.T).T
        scale = np.where(depth > 0.2, self.focal * self.height / 2 / np.maximum(depth, 0.2), np.nan)
        return np.stack([self.width / 2 + right * scale, self.height / 2 - up * scale], axis=1), depth

    def view_matrix(self, step: int) -> np.ndarray:
        """(4, 4), world -> camera coordinates."""
        return view_matrix(self.axes, self.eye + [*self.path[step], 0])

    def projection_matrix(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """(4, 4), camera -> clip coordinates, for the part of a frame in a rectangle of pixels."""
        crop, width, height = np.eye(4), right - left, bottom - top
        crop[0, [0, 3]] = self.width / width, (self.width - left - right) / width
        crop[1, [1, 3]] = self.height / height, (top + bottom - self.height) / height
        return crop @ projection_matrix(self.focal, self.width / self.height)


def view_matrix(axes: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """(4, 4), world -> camera coordinates, for a camera at `eye` whose right, forward and up are the rows of `axes`."""
    view = np.eye(4)
    view[:3, :3] = axes[0], axes[2], -axes[1]
    view[:3, 3] = -view[:3, :3] @ eye
    return view


def projection_matrix(focal: float, aspect: float, near: float = 0.1, far: float = 100.0) -> np.ndarray:
    """(4, 4), camera -> clip coordinates.  At a distance of 1 m, the frame ends 1 / focal metres above its centre."""
    depth = [(far + near) / (near - far), 2 * far * near / (near - far)]
    return np.array([[focal / aspect, 0, 0, 0], [0, focal, 0, 0], [0, 0, *depth], [0, 0, -1, 0]])


class Ground:
    """Tiles of one metre, which fade into the sky in the distance.

    The camera keeps its height and direction, so everything that depends only on a pixel's direction is computed once.

    Args:
        camera: the camera.
    """

    haze_levels, tile_levels = 10, 4  # few colours and even areas make a small GIF

    def __init__(self, camera: Camera) -> None:
        self.path = camera.path
        columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        x, y, w = np.moveaxis(np.stack([columns, rows, np.ones_like(rows)], axis=2) @ camera.pixel_to_ground.T, 2, 0)
        points = np.stack([x, y], axis=2) / np.maximum(w, 1e-3)[..., None]
        extent = [np.abs(np.gradient(points, axis=a)).max(axis=2) for a in (0, 1)]
        self.footprint = np.maximum(*extent)[..., None].astype(np.float32)  # metres of ground in a pixel
        haze = np.clip((np.linalg.norm(points, axis=2) - 5) / (FOG - 5), 0, 1)
        self.haze = (np.round(haze**0.6 * self.haze_levels) / self.haze_levels)[..., None].astype(np.float32)
        self.points = points.astype(np.float32)

    def render(self, step: int) -> np.ndarray:
        """The ground as (height, width, 3) uint8.  A pixel is the mean over the ground that it covers, so nothing flickers."""
        points, covers = self.points + self.path[step].astype(np.float32), self.footprint
        # |x - floor(x) - 1/2| is the integral of a square wave of period 1, and a difference of integrals gives the mean
        low, high = (np.abs(x - np.floor(x) - 0.5) for x in ((points - covers / 2) / 2, (points + covers / 2) / 2))
        waves = 2 * (low - high) / covers
        light = 0.5 + 0.5 * waves[..., :1] * waves[..., 1:]
        light = np.round(light * self.tile_levels) / self.tile_levels
        dark, bright, sky = np.array([DARK_TILE, LIGHT_TILE, SKY], np.float32)
        tiles = dark + light * (bright - dark)
        return (tiles + self.haze * (sky - tiles)).astype(np.uint8)


class Ant:
    """The recorded robot in a physics engine of its own, which draws it, its shadow and what stands on the floor.

    Nothing is simulated.

    Args:
        recording: whose robot and poses to draw.
        camera: the camera.
    """

    oversampling = 2  # for smooth edges
    sun = np.array([-0.5, -0.3, 1.0])  # direction to the sun, to the camera's right, forward and up

    def __init__(self, recording: Recording, camera: Camera) -> None:
        self.recording, self.camera, self.client = recording, camera, connect()
        data = pybullet_data.getDataPath()
        with quiet():
            model = os.path.join(data, "mjcf", recording.model)
            self.body = self.client.loadMJCF(model, flags=pybullet.URDF_GOOGLEY_UNDEFINED_COLORS)[0]
        for j, link in enumerate(recording.links):
            self.client.changeVisualShape(self.body, j - 1, rgbaColor=[*np.array(link_color(j, link)) / 255, 1])
        # the renderer's own spheres are coarse, so a finer one hides the torso
        torso = next(shape for shape in self.client.getVisualShapeData(self.body) if shape[2] == pybullet.GEOM_SPHERE)
        sphere = self.client.createVisualShape(
            pybullet.GEOM_MESH,
            fileName=os.path.join(data, "sphere_smooth.obj"),
            meshScale=[1.03 * torso[3][0]] * 3,
            rgbaColor=[*np.array(TORSO) / 255, 1],
        )
        self.torso = self.client.createMultiBody(baseVisualShapeIndex=sphere)
        for shape in recording.shapes:
            self._add_terrain(*shape.mesh())
        self.to_sun = self.sun @ camera.level_axes
        forward = -self.to_sun / np.linalg.norm(self.to_sun)
        right = np.cross(forward, [0, 0, 1]) / np.linalg.norm(forward[:2])
        self.sun_axes = np.array([right, forward, np.cross(right, forward)])

    def _add_terrain(self, vertices, faces):
        """Adds a mesh in pieces, because a piece has at most 8192 vertices.  Each face has vertices of its own, so edges are sharp."""
        for part in np.array_split(faces, -(-len(faces) // 2000)):
            corners = vertices[part]
            normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            shape = self.client.createVisualShape(
                pybullet.GEOM_MESH,
                vertices=corners.reshape(-1, 3).tolist(),
                indices=np.arange(corners.size // 3).tolist(),
                normals=np.repeat(normals / np.linalg.norm(normals, axis=1, keepdims=True), 3, axis=0).tolist(),
                rgbaColor=[*np.array(TERRAIN) / 255, 1],
            )
            self.client.createMultiBody(baseVisualShapeIndex=shape)

    def set_pose(self, step: int) -> None:
        """Puts the robot into its recorded state after `step` steps."""
        base = self.recording.poses[step, 0].tolist()
        self.client.resetBasePositionAndOrientation(self.body, base[:3], base[3:])
        for j, angle in enumerate(self.recording.joints[step].tolist()):
            self.client.resetJointState(self.body, j, angle)
        self.client.resetBasePositionAndOrientation(self.torso, self.recording.torso[step].tolist(), base[3:])

    def draw(self, image: Image.Image, step: int) -> None:
        """Draws the robot in the rectangle of the image that it covers."""
        camera, k = self.camera, self.oversampling
        pixels = camera.project(self.recording.poses[step, :, :3], step)[0]
        if not np.isfinite(pixels).all():
            return
        margin = 0.65 * camera.focal * camera.height / 2 / camera.distance  # the feet extend 0.57 m beyond their link frames
        margin = np.inf if self.recording.shapes else margin
        left, top = np.clip(np.floor(pixels.min(axis=0) - margin), 0, image.size).astype(int)
        right, bottom = np.clip(np.ceil(pixels.max(axis=0) + margin), 0, image.size).astype(int)
        if left >= right or top >= bottom:
            return
        projection = camera.projection_matrix(left, top, right, bottom)
        colors, bodies = self._render((right - left) * k, (bottom - top) * k, camera.view_matrix(step), projection)
        mask = bodies >= 0
        colors[~mask] = TORSO  # mixes into the edge of the ant when the image is reduced, as a fine dark outline
        opacity = Image.fromarray(mask.astype(np.uint8) * 255).reduce(k)
        image.paste(Image.fromarray(colors).reduce(k), (left, top), opacity)

    def draw_shadow(self, image: Image.Image, step: int) -> None:
        """Draws what the sun sees of the ant onto the ground, blurred."""
        size, half_width, distance = 160, 1.5, 30.0  # pixels; half the width of the sun's image and its distance, in metres
        view = view_matrix(self.sun_axes, self.recording.torso[step] - distance * self.sun_axes[1])
        projection = projection_matrix(distance / half_width, 1)
        bodies = self._render(size, size, view, projection)[1]
        mask = Image.fromarray(np.isin(bodies, (self.body, self.torso)).astype(np.uint8) * 90)
        x, y = self.camera.path[step]
        ground_to_sun = (projection @ view)[np.ix_([0, 1, 3], [0, 1, 3])]  # for points of the ground, where z is 0
        sun_to_pixel = np.array([[size / 2, 0, size / 2], [0, -size / 2, size / 2], [0, 0, 1]])
        to_mask = sun_to_pixel @ ground_to_sun @ [[1, 0, x], [0, 1, y], [0, 0, 1]] @ self.camera.pixel_to_ground
        to_mask = (to_mask / to_mask[2, 2]).ravel()[:8]
        mask = mask.filter(ImageFilter.GaussianBlur(1.5))
        image.paste(INK, mask=mask.transform(image.size, Image.Transform.PERSPECTIVE, to_mask, Image.Resampling.BILINEAR))

    def _render(self, width, height, view, projection):
        """Bullet's image: colours (height, width, 3) uint8, and the number of the body in each pixel, -1 where there is none."""
        _, _, colors, _, body = self.client.getCameraImage(
            width,
            height,
            viewMatrix=view.T.ravel().tolist(),
            projectionMatrix=projection.T.ravel().tolist(),
            lightDirection=self.to_sun.tolist(),
            lightAmbientCoeff=0.8,
            lightDiffuseCoeff=0.5,
            lightSpecularCoeff=0.1,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
        )
        # `colors` is a tuple where Bullet was built without NumPy; through a bytearray it becomes an array in less time
        colors = np.frombuffer(bytearray(colors), np.uint8).reshape(height, width, 4)
        return colors[..., :3], np.reshape(body, (height, width))


class Overlay:
    """What Pillow draws over the ground: trail, target, map and text.

    Args:
        recording: what to draw.
        camera: the camera.
        title: text at the top.
    """

    def __init__(self, recording: Recording, camera: Camera, title: str) -> None:
        self.recording, self.camera, self.title = recording, camera, title
        self.points, self.arrivals = recording.points, recording.arrivals
        self.text_size = max(13, camera.height // 18)
        self.padding = self.text_size // 2

    def draw_trail(self, image: Image.Image, step: int) -> None:
        """Draws the torso's path so far on the ground, as far as the ground is seen."""
        path = self.recording.torso[np.unique(np.r_[0 : step + 1 : 3, step])].astype(float)
        path[:, 2] = 0
        path[np.linalg.norm(path[:, :2] - self.camera.path[step], axis=1) > FOG] = np.nan
        if len(path) > 1:
            self._fill(image, step, TRAIL, lines=[path], width=max(2, self.camera.height / 110))

    def draw_circle(self, image: Image.Image, step: int, target: np.ndarray) -> None:
        """Draws a circle of radius `REACHED` around the target, a point (3,) on the ground."""
        angle = np.linspace(0, 2 * np.pi, 48)
        circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        self._fill(image, step, TARGET, lines=[target + REACHED * circle], width=max(2, self.camera.height / 130))
        self._fill(image, step, TARGET, polygons=[target + 0.12 * circle])

    def draw_flag(self, image: Image.Image, step: int, target: np.ndarray) -> None:
        """Draws a flag at the target."""
        up, right = np.array([0, 0, 1.0]), self.camera.axes[0]
        cloth = target + np.array([1.5 * up, 1.25 * up + 0.55 * right, 1.0 * up])
        pole = np.array([target, target + 1.5 * up])
        self._fill(image, step, TARGET, polygons=[cloth], lines=[pole], width=max(2, self.camera.height / 110))

    def draw_arrow(self, image: Image.Image, step: int, target: np.ndarray) -> None:
        """Draws an arrow on the ground that points from the ant to the target."""
        ant = np.array([*self.recording.path[step], 0.0])
        ahead = (target - ant) / max(np.linalg.norm(target - ant), 1e-6)
        side = np.array([-ahead[1], ahead[0], 0])
        outline = [(1.3, 0.07), (1.75, 0.07), (1.75, 0.22), (2.15, 0), (1.75, -0.22), (1.75, -0.07), (1.3, -0.07)]
        arrow = np.array([a * ahead + b * side for a, b in outline])
        left, top, right, bottom = self._box(3)  # of the numbers
        for scale in np.linspace(1, 0.5, 26):  # nearer to the ant and smaller, if it were cut off or behind the numbers
            x, y = self.camera.project(ant + scale * arrow, step)[0].T
            behind = (x.max() > left) & (x.min() < right + 4) & (y.max() > top - 4)
            if x.min() > 2 and x.max() < image.width - 2 and y.min() > 2 and y.max() < image.height - 2 and not behind:
                break
        self._fill(image, step, TARGET, polygons=[ant + scale * arrow])

    def draw_map(self, image: Image.Image, step: int) -> None:
        """Draws a map of the path in a corner, oriented as the camera: points reached blue, the next one green, others grey."""
        oversampling, side, pad = 3, round(0.42 * self.camera.height), self.padding
        axes, size = self.camera.level_axes[:2, :2], side * oversampling
        extent = np.concatenate([self.points, self.recording.path]) @ axes.T
        low, high = extent.min(axis=0), extent.max(axis=0)
        scale = 0.84 * size / max(*(high - low), 1.0)

        def pixels(points):
            right, forward = ((np.atleast_2d(points) @ axes.T - (low + high) / 2) * scale).T
            return [(size / 2 + x, size / 2 - y) for x, y in zip(right, forward, strict=True)]

        plan = Image.new("RGB", (size, size), SKY)
        draw = ImageDraw.Draw(plan)
        trail = self.recording.path[np.unique(np.r_[0 : step + 1 : 10, step])]
        draw.line(pixels(trail), fill=TRAIL, width=2 * oversampling)
        next_point = np.searchsorted(self.arrivals, step)
        for k, xy in enumerate(pixels(self.points)):
            color = TRAIL if k < next_point else TARGET if k == next_point else DARK_TILE
            draw.circle(xy, (0.035 if k == next_point else 0.022) * size, fill=color)
        draw.circle(pixels(self.recording.path[step])[0], 0.032 * size, fill=HIND_LEG, outline="white", width=oversampling)
        draw.rectangle((0, 0, size - 1, size - 1), outline=DARK_TILE, width=oversampling)
        image.paste(plan.reduce(oversampling), (self.camera.width - pad - side, pad))

    def _ends(self, words):
        """Where each of the words at the bottom ends, in pixels: fixed, so that the numbers do not jump."""
        columns = [3.8, 7.9, 12.3, 16.3] if len(self.points) > 1 else [3.2, 7.3, 11.0, 15.0]
        return self.padding + self.text_size * np.array(columns)[:words]

    def _box(self, words):
        """Left, top, right and bottom of the box around these words, in pixels."""
        bottom = self.camera.height - self.padding
        return self.padding, bottom - 1.7 * self.text_size, self._ends(words)[-1] + self.padding, bottom

    def draw_text(self, image: Image.Image, step: int, note: str = "") -> None:
        """Writes title and note at the top, and at the bottom time, speed, and the distance from the start or the next point."""
        run, path, many = self.recording, self.camera.path, len(self.points) > 1
        before, after = max(step - 8, 0), min(step + 8, run.length)
        speed = np.linalg.norm(path[after] - path[before]) / max(after - before, 1) / run.dt
        distance = np.linalg.norm(run.path[step] - run.path[0])
        point = min(np.searchsorted(self.arrivals, step) + 1, len(self.points))
        words = [f"{step * run.dt:.1f} s", f"{speed:.1f} m/s", f"point {point}" if many else f"{distance:.1f} m"]
        if step == run.length and (run.fell or run.distance_to_target[-1] <= REACHED):
            words.append("fell" if run.fell else "reached")
        draw, size, pad, box = ImageDraw.Draw(image), self.text_size, self.padding, self._box(len(words))
        font = ImageFont.load_default(size)
        draw.rounded_rectangle(box, pad, fill=SKY)
        for word, end in zip(words, self._ends(len(words)), strict=True):
            draw.text((end, box[3] - 0.85 * size), word, fill=INK, font=font, anchor="rm")
        if title := ", ".join(filter(None, (self.title, note))):
            width = draw.textlength(title, font=font)
            draw.rounded_rectangle((pad, pad, 3 * pad + width, pad + 1.7 * size), pad, fill=SKY)
            draw.text((2 * pad, pad + 0.85 * size), title, fill=INK, font=font, anchor="lm")

    def _fill(self, image, step, color, polygons=(), lines=(), width=1.0):
        """Fills polygons and draws lines, (N, 3) points of the world each.  Twice the resolution makes their edges smooth."""
        mask = Image.new("L", (2 * image.width, 2 * image.height))
        draw = ImageDraw.Draw(mask)
        for points in polygons:
            pixels = self.camera.project(points, step)[0]
            if np.isfinite(pixels).all():
                draw.polygon([tuple(2 * xy) for xy in pixels], fill=255)
        for points in lines:
            pixels = self.camera.project(points, step)[0]
            for visible in np.ma.clump_unmasked(np.ma.masked_invalid(pixels[:, 0])):
                draw.line([tuple(2 * xy) for xy in pixels[visible]], fill=255, width=round(2 * width), joint="curve")
        image.paste(color, mask=mask.resize(image.size, Image.Resampling.BOX))


class Renderer:
    """Renders the states of one recording as images.

    Args:
        recording: what to draw.
        width, height: size of a frame, in pixels.
        yaw: compass direction in which the camera looks, in radians; 0 is +x.
        title: text at the top.
    """

    def __init__(self, recording: Recording, width: int, height: int, yaw: float = 0.0, title: str = "") -> None:
        self.recording = recording
        self.camera = Camera(recording.smooth_path, width, height, yaw)
        self.ground = Ground(self.camera)
        self.ant = Ant(recording, self.camera)
        self.overlay = Overlay(recording, self.camera, title)

    def render(self, step: int, note: str = "") -> Image.Image:
        """The state after `step` steps, or the last one if the recording is shorter, as an RGB image.

        Args:
            step: number of steps.
            note: text after the title, such as the speed of a film.
        """
        step = min(step, self.recording.length)
        image = Image.fromarray(self.ground.render(step))
        target = np.array([*self.recording.targets[step], 0.0])
        (target_x, target_y), target_depth = (v[0] for v in self.camera.project([target], step))
        distance = np.linalg.norm(target[:2] - self.camera.path[step])
        visible = distance < SIGHT and -20 < target_x < image.width + 20 and 0 < target_y < image.height + 20
        arrow = not visible or distance > FOG
        ant_depth = self.camera.project(self.recording.torso[step : step + 1], step)[1][0]

        self.ant.set_pose(step)
        self.overlay.draw_trail(image, step)
        if visible:
            self.overlay.draw_circle(image, step, target)
        if arrow and not self.recording.shapes:
            self.overlay.draw_arrow(image, step, target)
        self.ant.draw_shadow(image, step)
        if visible and target_depth >= ant_depth:
            self.overlay.draw_flag(image, step, target)
        self.ant.draw(image, step)
        if visible and target_depth < ant_depth:
            self.overlay.draw_flag(image, step, target)
        if arrow and self.recording.shapes:  # which would hide an arrow on the floor
            self.overlay.draw_arrow(image, step, target)
        if len(self.overlay.points) > 1:
            self.overlay.draw_map(image, step)
        self.overlay.draw_text(image, step, note)
        return image
