"""The ant in a 3-D scene in the browser (viser), and recordings saved as web pages.

    from viewing.scene3d import save_html
    save_html(record(load_policy("base_ant_final")), "animations/my_ant.html")

The file needs no network and no Python.  The page of `viewing/steer.py` shows the same scene.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import trimesh
import viser
from numpy.typing import ArrayLike

from envs.bullet import connect, quiet
from envs.world import Shape
from training.files import atomic_write
from viewing.recording import Recording
from viewing.server import serving
from viewing.style import GRID_LINE, GRID_SECTION, GROUND, TARGET, TERRAIN, TORSO, TRAIL, link_color

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


FLAG = {
    "pole": (trimesh.creation.cylinder(radius=0.03, height=1.4, sections=12).apply_translation([0, 0, 0.7]), TORSO),
    "disc": (trimesh.creation.cylinder(radius=0.5, height=0.02, sections=48).apply_translation([0, 0, 0.012]), TARGET),
    "cloth": (trimesh.creation.box([0.55, 0.02, 0.34]).apply_translation([0.29, 0, 1.22]), TARGET),
}
"""Meshes of the flag at a target, and their colours."""


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
        scene.add_grid(
            "/world/ground", 400, 400, cell_color=GRID_LINE, cell_size=1.0, section_color=GRID_SECTION, section_size=5.0,
            plane_color=GROUND, plane_opacity=1.0, fade_distance=70, shadow_opacity=0.3,
        )  # fmt: skip
        self.bodies = []
        for number, link, vertices, faces in body_meshes(model):
            name = f"/ant/{len(self.bodies)}_{link}"
            self.bodies.append((number, scene.add_mesh_simple(name, vertices, faces, color=link_color(number, link))))
        self.flags, self.terrain = [], []

    def set_pose(self, poses: np.ndarray, center: ArrayLike) -> None:
        """Moves the ant and the world.

        Args:
            poses: (L, 7), as a row of `Recording.poses`.
            center: (x, y) in metres, the point of the world to put at the origin.
        """
        self.center = np.asarray(center, float)
        self.world.position = (-self.center[0], -self.center[1], 0.0)
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
            name = f"/world/target_{k}"
            if k == len(self.flags):
                self.flags.append(self.scene.add_frame(name, show_axes=False))
                for part, (mesh, color) in FLAG.items():
                    self.scene.add_mesh_simple(f"{name}/{part}", mesh.vertices.astype(np.float32), mesh.faces, color=color)
                if k:
                    self.scene.add_label(f"{name}/number", str(k + 1), position=(0, 0, 1.6), anchor="bottom-center")
            self.flags[k].position = (x, y, 0.0)

    def set_terrain(self, shapes: Iterable[Shape]) -> None:
        """Shows what stands on the floor, in place of what stood there."""
        while self.terrain:
            self.terrain.pop().remove()
        for k, shape in enumerate(shapes):
            vertices, faces = shape.mesh()
            self.terrain.append(
                self.scene.add_mesh_simple(f"/world/terrain_{k}", vertices, faces, color=TERRAIN, flat_shading=True)
            )

    def set_trail(self, path: np.ndarray) -> None:
        """Draws a path, (N, 2) in metres, on the ground.  Fewer than two points change nothing."""
        if len(path) > 1:
            points = np.column_stack([path, np.full(len(path), 0.02)]).astype(np.float32)
            segments = np.stack([points[:-1], points[1:]], axis=1)
            self.scene.add_line_segments("/world/trail", segments, colors=TRAIL, thickness=0.05, thickness_units="world")


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
        server.initial_camera.position = (-3.6 * np.cos(behind), -3.6 * np.sin(behind), 2.0)
        server.initial_camera.look_at = (0.0, 0.0, 0.2)
        serializer = server.get_scene_serializer()
        last = min(recording.length, round(max_seconds / recording.dt))
        for step in np.unique(np.round(np.arange(0, last + 1e-9, 1 / (fps * recording.dt))).astype(int)):
            scene.set_pose(recording.poses[step], camera[step])
            if moves:
                scene.set_targets(recording.targets[step : step + 1])
            serializer.insert_sleep(1 / fps)
        part.write_text(serializer.as_html(), encoding="utf-8")
    return path
