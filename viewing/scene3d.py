"""The ant in a 3-D scene in the browser (viser), and recordings saved as web pages.

    from viewing.scene3d import save_html
    save_html(record(load_policy("base_ant_final")), "animations/my_ant.html")

The file needs no network and no Python.  The page of `viewing/steer.py` shows the same scene.
"""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import viser
from numpy.typing import ArrayLike
from PIL import Image

from envs.bullet import connect, quiet
from envs.world import Shape, ground_heights
from override_ant import REACHED
from training.files import atomic_write
from viewing.recording import Recording
from viewing.server import PREFERS_DARK, serving
from viewing.style import DARK_TILE, LIGHT_TILE, SKY, TARGET, TERRAIN, TRAIL, link_color

with quiet():
    import pybullet
    import pybullet_data


def body_meshes(model: str) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """The bodies of a robot as the physics engine has them.

    Args:
        model: file in `pybullet_data/mjcf`, such as "ant.xml".

    Returns:
        a list of (number of the link as in `Recording.poses`, its name, vertices (V, 3) float32 in the frame of the link in
        metres, faces (F, 3) int).

    Raises:
        ValueError: a body is neither a sphere nor a capsule.
    """
    client = connect()
    with quiet():
        robot = client.loadMJCF(os.path.join(pybullet_data.getDataPath(), "mjcf", model))[0]
    meshes = []
    for _, j, kind, size, *_ in client.getVisualShapeData(robot):
        name = client.getBodyInfo(robot)[0] if j < 0 else client.getJointInfo(robot, j)[12]
        # Bullet gives the length of a capsule but not its direction; it starts at the joint and is centred at the centre of mass
        center = np.array(client.getLinkState(robot, j)[2] if j >= 0 else (0, 0, 0))
        if kind == pybullet.GEOM_SPHERE:
            mesh = trimesh.creation.icosphere(subdivisions=3, radius=size[0])
        elif kind == pybullet.GEOM_CAPSULE and np.isclose(2 * np.linalg.norm(center), size[0]):
            mesh = trimesh.creation.capsule(height=size[0], radius=size[1], count=[16, 10])
            mesh.apply_translation(-mesh.bounds.mean(axis=0))
            mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], center))
        else:
            raise ValueError(
                f"{model} has a body of Bullet's kind {kind} at {center}: expected spheres, and capsules that start at a joint."
            )
        mesh.apply_translation(center)
        meshes.append((j + 1, name.decode(), np.array(mesh.vertices, np.float32), np.array(mesh.faces)))
    return meshes


# --- light and colours -----------------------------------------------------------------------------------------------------

FIELD_OF_VIEW = np.radians(45)
"""Angle of view from top to bottom."""

FOG = 6.0, 75.0
"""Distances from the camera, in metres, at which the ground begins to fade into the sky and at which it has faded."""

SUN, SUN_LIGHT, SKY_LIGHT = (-1.4, 1.1, 2.6), 2.2, 3.0
"""Direction to the sun, and the strength of its light and of the sky's, as three.js counts it."""

GROUND_LIGHT = (SKY_LIGHT + SUN_LIGHT * SUN[2] / np.linalg.norm(SUN)) / np.pi
"""Share of the light on level ground that a white surface sends on.  Above 1, because the tone mapping below dims it."""


def linear(color: ArrayLike) -> np.ndarray:
    """Amounts of light, from 0 to 1, of a colour in red, green and blue (sRGB), from 0 to 255."""
    srgb = np.asarray(color) / 255
    return np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)


def paint(color: ArrayLike) -> tuple[int, int, int]:
    """The colour to give to a surface so that it looks like `color` on level ground in the sun.

    viser draws with three.js, whose ACESFilmicToneMapping makes bright colours pale.  This is the inverse of it.

    Args:
        color: red, green and blue, from 0 to 255.
    """
    to_aces = np.array([[0.59719, 0.35458, 0.04823], [0.07600, 0.90834, 0.01566], [0.02840, 0.13383, 0.83777]])
    from_aces = np.array([[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]])
    y = np.linalg.solve(from_aces, linear(color))  # = (v² + 0.0245786 v - 0.000090537) / (0.983729 v² + 0.432951 v + 0.238081)
    a, b, c = 1 - 0.983729 * y, 0.0245786 - 0.432951 * y, -0.000090537 - 0.238081 * y
    v = (-b + np.sqrt(b**2 - 4 * a * c)) / (2 * a)
    light = np.clip(0.6 * np.linalg.solve(to_aces, v) / GROUND_LIGHT, 0, 1)
    srgb = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    red, green, blue = np.round(255 * srgb).astype(int).tolist()
    return red, green, blue


# --- ground and flag -------------------------------------------------------------------------------------------------------


def ground() -> trimesh.Trimesh:
    """Tiles of one metre, 200 m in each direction: a picture of four tiles, repeated.

    A GPU blurs a picture in the distance, so that nothing flickers.
    """
    is_dark = (np.indices((2, 2)).sum(axis=0) % 2 == 1).repeat(128, axis=0).repeat(128, axis=1)[..., None]
    picture = Image.fromarray(np.where(is_dark, paint(DARK_TILE), paint(LIGHT_TILE)).astype(np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, metallicFactor=0, roughnessFactor=1)
    # in rectangles that are small near the ant, because the depth of a large one is too inexact for what lies on it
    sides = list(itertools.pairwise([-200, -60, -20, -8, 0, 8, 20, 60, 200]))
    corners = np.array([[(a, c), (b, c), (b, d), (a, d)] for a, b in sides for c, d in sides], float).reshape(-1, 2)
    first = np.arange(0, len(corners), 4)[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    visual = trimesh.visual.TextureVisuals(uv=corners / 2, material=material)
    return trimesh.Trimesh(np.pad(corners, [(0, 0), (0, 1)]), faces, visual=visual, process=False)


def pennant() -> trimesh.Trimesh:
    """The cloth of a flag, which points to the right where the camera of the steering page starts."""
    right, ahead, up = np.array([[0.53, -0.85, 0], [0.85, 0.53, 0], [0, 0, 1]])
    front = np.array([1.5 * up, 1.0 * up, 1.25 * up + 0.62 * right])
    return trimesh.convex.convex_hull(np.concatenate([front - 0.01 * ahead, front + 0.01 * ahead]))


FLAG = {
    "pole": trimesh.creation.cylinder(radius=0.025, height=1.5, sections=12).apply_translation([0, 0, 0.75]),
    "cloth": pennant(),
    "disc": trimesh.creation.cylinder(radius=0.12, height=0.01, sections=32).apply_translation([0, 0, 0.012]),
    "ring": trimesh.creation.annulus(REACHED - 0.035, REACHED + 0.035, 0.01, sections=72).apply_translation([0, 0, 0.012]),
}
"""Meshes of the flag at a target, which is reached within the ring."""


class Scene3D:
    """Ground, terrain, ant, targets and trail in a viser scene.

    The ant stays at the origin and the world moves below it, so a camera that a viewer has turned still follows the ant.

    Args:
        scene: the `scene` of a `viser.ViserServer`.
        model: as for `body_meshes`.

    Attributes:
        center: (2,), the point of the world at the origin of the scene, in metres.
    """

    def __init__(self, scene: viser.SceneApi, model: str = "ant.xml") -> None:
        self.scene = scene
        self.center: np.ndarray = np.zeros(2)
        scene.set_up_direction("+z")
        self.world = scene.add_frame("/world", show_axes=False)
        self._add_sky()
        self.ground = scene.add_mesh_trimesh("/world/ground", ground(), cast_shadow=False, receive_shadow=False)
        # a layer of its own, because viser splits the sun into three lights, and on a mesh a shadow is missing from some
        scene.add_grid("/shadow", 8, 8, cell_thickness=0, section_thickness=0, shadow_opacity=0.35, position=(0, 0, 0.005))
        self.bodies = []
        for number, link, vertices, faces in body_meshes(model):
            name = f"/ant/{len(self.bodies)}_{link}"
            self.bodies.append((number, scene.add_mesh_simple(name, vertices, faces, color=paint(link_color(number, link)))))
        self.flags, self.terrain = [], []
        self.physics: Any = None  # a client of Bullet with the terrain alone, if there is any, to look up heights
        self.trail: viser.SplineCatmullRomHandle | None = None

    def _add_sky(self):
        """Adds the sky, into which the ground fades, and the light."""
        self.scene.set_background_image(np.full((2, 2, 3), SKY, np.uint8), format="png")
        self.scene.configure_fog(*FOG, color=np.round(255 * linear(SKY)).astype(int))  # viser takes it for an amount of light
        self.scene.configure_default_lights(False)
        self.scene.configure_environment_map(None)
        self.scene.add_light_directional("/sun", position=SUN, intensity=SUN_LIGHT, cast_shadow=True)
        self.scene.add_light_ambient("/sky", intensity=SKY_LIGHT)

    def set_pose(self, poses: np.ndarray, center: ArrayLike) -> None:
        """Moves the ant and the world.

        Args:
            poses: (L, 7), as a row of `Recording.poses`.
            center: (x, y) in metres, the point of the world to put at the origin.
        """
        self.center = np.asarray(center, float)
        self.world.position = (-self.center[0], -self.center[1], 0.0)
        self.ground.position = (
            *2 * np.round(self.center / 2),
            0.0,
        )  # below the ant, by whole tiles, so that one does not see it
        for number, body in self.bodies:
            x, y, z, *quaternion = poses[number].tolist()
            body.position = (x - self.center[0], y - self.center[1], z)
            body.wxyz = (quaternion[3], *quaternion[:3])

    def set_targets(self, targets: Iterable[Iterable[float]]) -> None:
        """Shows a flag at each of N targets, (N, 2) in metres, in place of the earlier ones.  From the second they have numbers."""
        targets = [tuple(map(float, target)) for target in targets]
        while len(self.flags) > len(targets):
            self.flags.pop().remove()
        for k, (x, y) in enumerate(targets):
            name, (height,), is_new = f"/world/target_{k}", self.heights([(x, y)]), k == len(self.flags)
            if is_new:
                self.flags.append(self.scene.add_frame(name, show_axes=False))
                if k:
                    self.scene.add_label(f"{name}/number", str(k + 1), position=(0, 0, 1.6), anchor="bottom-center")
            self.flags[k].position = (x, y, height)
            for part, mesh in FLAG.items():
                vertices, lies = mesh.vertices.astype(np.float32), part in ("disc", "ring")
                if lies:
                    vertices[:, 2] += self.heights(vertices[:, :2] + (x, y)) - height
                if is_new or (lies and self.physics):
                    self.scene.add_mesh_simple(f"{name}/{part}", vertices, mesh.faces, color=paint(TARGET), flat_shading=True)

    def set_terrain(self, shapes: Iterable[Shape]) -> None:
        """Shows what stands on the floor, in place of what stood there, and takes away the flags.  New ones stand on the terrain."""
        self.set_targets([])
        while self.terrain:
            self.terrain.pop().remove()
        self.physics = None
        for k, shape in enumerate(shapes):
            self.physics = self.physics or connect()
            shape.add(self.physics)
            vertices, faces = shape.mesh()
            self.terrain.append(
                self.scene.add_mesh_simple(f"/world/terrain_{k}", vertices, faces, color=paint(TERRAIN), flat_shading=True)
            )

    def heights(self, points: ArrayLike) -> np.ndarray:
        """The height of the ground at some points.

        Args:
            points: (N, 2), x and y in metres.

        Returns:
            (N,) float64, in metres.
        """
        return np.maximum(0.0, ground_heights(self.physics, points)) if self.physics else np.zeros(len(np.asarray(points)))

    def first_hit(self, start: ArrayLike, end: ArrayLike) -> np.ndarray:
        """Where the line from `start` to `end` first meets the terrain, or `end` if it does not.

        Args:
            start: (3,) in metres.
            end: (3,) in metres, such as a point of the floor.
        """
        if not self.physics:
            return np.array(end)
        body, _, _, position, _ = self.physics.rayTest(np.asarray(start).tolist(), np.asarray(end).tolist())[0]
        return np.array(position if body >= 0 else end)

    def set_trail(self, path: np.ndarray) -> None:
        """Draws a path, (N, 2) in metres, on the ground.  Fewer than two points change nothing."""
        if len(path) > 1:
            points = np.column_stack([path, self.heights(path) + (0.05 if self.physics else 0.02)]).astype(np.float32)
            if self.trail is None:
                self.trail = self.scene.add_spline_catmull_rom(
                    "/world/trail", points, segments=max(400, 3 * len(points)), color=TRAIL, thickness=0.05
                )
            else:
                self.trail.points = points


def save_html(recording: Recording, path: str | Path, fps: float = 30, max_seconds: float = 60.0) -> Path:
    """Writes a recording as an HTML file for any browser, without a network: orbit, zoom, play.

    Args:
        recording: what to show.
        path: file to write, ending in .html.
        fps: frames a second.
        max_seconds: simulated time after which the rest is left out.

    Returns:
        the path, a `pathlib.Path`.

    Raises:
        ValueError: the suffix is another.
        OSError: the file cannot be written to its end.  An existing file is then unchanged, and nothing else is left.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"path is '{path}': expected a name that ends in .html.")
    with atomic_write(path) as part, serving() as server:
        scene, camera = Scene3D(server.scene, recording.model), recording.smooth_path
        scene.set_terrain(recording.shapes)
        moves = len(recording.points) == 1 and bool(np.ptp(recording.targets, axis=0).any())  # then its flag goes along
        scene.set_targets(recording.targets[:1] if moves else np.unique(recording.targets, axis=0)[:50])
        scene.set_trail(recording.path[::6])
        scene.set_pose(recording.poses[0], camera[0])
        x, y = recording.path[-1] - recording.path[0]
        behind = (np.arctan2(y, x) if recording.distance > 1 else 0.0) + 0.6
        server.initial_camera.fov = FIELD_OF_VIEW
        server.initial_camera.position = (-6.0 * np.cos(behind), -6.0 * np.sin(behind), 2.2)
        server.initial_camera.look_at = (0.0, 0.0, 0.3)
        serializer = server.get_scene_serializer()
        last = min(recording.length, round(max_seconds / recording.dt))
        for step in np.unique(np.round(np.arange(0, last + 1e-9, 1 / (fps * recording.dt))).astype(int)):
            scene.set_pose(recording.poses[step], camera[step])
            if moves:
                scene.set_targets(recording.targets[step : step + 1])
            serializer.insert_sleep(1 / fps)
        page = serializer.as_html().replace("{darkMode:false}", f"{{darkMode:{PREFERS_DARK}}}", 1)
        part.write_text(page, encoding="utf-8")
    return path
