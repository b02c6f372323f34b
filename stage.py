"""The ant in three dimensions, in a web page (viser): a recording to orbit, zoom and play, as one HTML file.

    from stage import replay
    replay(record(load_policy("base_ant_final")), "animations/my_ant.html")

The file needs no network and no Python.  The page on which one steers a living ant (`steer.py`) is the same stage.
"""

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import trimesh
import viser
from numpy.typing import ArrayLike

from painter import FRONT_LEG, FRONT_LEGS, HIND_LEG, TARGET, TORSO, TRAIL, smooth_path
from utils import in_notebook
from vector import quiet
from viewer import Recording, beside

with quiet():
    import pybullet
    import pybullet_data
    from pybullet_utils.bullet_client import BulletClient

GROUND, LINE, SECTION = (236, 241, 245), (208, 218, 226), (176, 190, 201)


def body_shapes(model: str) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """The bodies of a robot as the physics engine has them.

    Args:
        model: file in `pybullet_data/mjcf`, such as "ant.xml".

    Returns:
        a list of (link number, name of the link, vertices (V, 3) float32 in the frame of that link in metres, faces (F, 3)); number
        0 is the base, as in `Recording.poses`.

    Raises:
        ValueError: a body is neither a sphere nor a capsule.
    """
    with quiet():
        p = BulletClient(connection_mode=pybullet.DIRECT)
        body = p.loadMJCF(os.path.join(pybullet_data.getDataPath(), "mjcf", model))[0]
    found = []
    for _, j, kind, size, _, _, _, *_ in p.getVisualShapeData(body):
        name = p.getBodyInfo(body)[0] if j < 0 else p.getJointInfo(body, j)[12]
        # Bullet tells a capsule's length but not its direction; it begins at the joint, and its middle is its centre of mass
        middle = np.array(p.getLinkState(body, j)[2] if j >= 0 else (0, 0, 0))
        if kind == pybullet.GEOM_SPHERE:
            mesh = trimesh.creation.icosphere(subdivisions=3, radius=size[0])
        elif kind == pybullet.GEOM_CAPSULE and np.isclose(2 * np.linalg.norm(middle), size[0]):
            mesh = trimesh.creation.capsule(height=size[0], radius=size[1], count=[16, 10])
            mesh.apply_translation(-mesh.bounds.mean(axis=0))
            mesh.apply_transform(trimesh.geometry.align_vectors([0, 0, 1], middle))
        else:
            raise ValueError(
                f"{model} has a body of Bullet's kind {kind} at {middle}: expected spheres, and capsules that begin at a joint."
            )
        mesh.apply_translation(middle)
        found.append((j + 1, name.decode(), np.array(mesh.vertices, np.float32), np.array(mesh.faces)))
    return found


FLAG = {
    "pole": (trimesh.creation.cylinder(radius=0.03, height=1.4, sections=12).apply_translation([0, 0, 0.7]), (70, 80, 96)),
    "disc": (trimesh.creation.cylinder(radius=0.5, height=0.02, sections=48).apply_translation([0, 0, 0.012]), TARGET),
    "cloth": (trimesh.creation.box([0.55, 0.02, 0.34]).apply_translation([0.29, 0, 1.22]), TARGET),
}
"""The parts of the flag on a target, and their colours."""


class Stage:
    """Ground, ant, target and path in a viser scene.

    The ant stays in the middle and the world moves below it, so that a camera which a viewer has turned keeps following.

    Args:
        scene: `viser.ViserServer().scene`.
        model: as for `body_shapes`.
    """

    def __init__(self, scene: viser.SceneApi, model: str = "ant.xml") -> None:
        self.scene = scene
        self.middle: np.ndarray = np.zeros(2)
        scene.set_up_direction("+z")
        self.world = scene.add_frame("/world", show_axes=False)
        scene.add_grid(
            "/world/ground", 400, 400, cell_color=LINE, cell_size=1.0, section_color=SECTION, section_size=5.0, plane_color=GROUND,
            plane_opacity=1.0, fade_distance=70, shadow_opacity=0.3,
        )  # fmt: skip
        self.bodies = []
        for number, link, vertices, faces in body_shapes(model):
            color = TORSO if number == 0 else FRONT_LEG if link in FRONT_LEGS else HIND_LEG
            name = f"/ant/{len(self.bodies)}_{link}"
            self.bodies.append((number, scene.add_mesh_simple(name, vertices, faces, color=color)))
        self.targets = []

    def place(self, poses: np.ndarray, middle: ArrayLike) -> None:
        """Puts the ant somewhere.

        Args:
            poses: (L, 7), as a row of `Recording.poses`.
            middle: (x, y) in metres, the point of the world that shall be in the middle.
        """
        self.middle = np.asarray(middle, float)
        self.world.position = (-self.middle[0], -self.middle[1], 0.0)
        for number, body in self.bodies:
            x, y, z, *turn = poses[number].tolist()
            body.position = (x - self.middle[0], y - self.middle[1], z)
            body.wxyz = (turn[3], *turn[:3])

    def flags(self, targets: Iterable[Iterable[float]]) -> None:
        """Shows targets, an (N, 2) list of points in metres, in the place of those shown before: a flag at each, numbered if many."""
        targets = [tuple(map(float, target)) for target in targets]
        while len(self.targets) > len(targets):
            self.targets.pop().remove()
        for k, (x, y) in enumerate(targets):
            if k == len(self.targets):
                self.targets.append(self.scene.add_frame(f"/world/target_{k}", show_axes=False))
                for part, (mesh, color) in FLAG.items():
                    self.scene.add_mesh_simple(
                        f"/world/target_{k}/{part}", mesh.vertices.astype(np.float32), mesh.faces, color=color
                    )
                if k:
                    self.scene.add_label(f"/world/target_{k}/number", str(k + 1), position=(0, 0, 1.6), anchor="bottom-center")
            self.targets[k].position = (x, y, 0.0)

    def trail(self, path: np.ndarray) -> None:
        """Draws the way walked, (N, 2) points in metres, on the ground; fewer than two points draw nothing."""
        if len(path) > 1:
            points = np.column_stack([path, np.full(len(path), 0.02)]).astype(np.float32)
            self.scene.add_line_segments(
                "/world/trail",
                np.stack([points[:-1], points[1:]], axis=1),
                colors=TRAIL,
                thickness=0.05,
                thickness_units="world",
            )


def replay(recording: Recording, path: str | Path, fps: float = 30, max_seconds: float = 60.0) -> Path:
    """Writes a recording as an HTML file to open in any browser, without a network: orbit, zoom, play.

    Args:
        recording: a `viewer.Recording`.
        path: file to write, ending in .html.  It is complete or not there.
        fps: pictures a second.
        max_seconds: of the recording; what comes later is left out.

    Returns:
        the `Path`.

    Raises:
        ValueError: the ending is another.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"path is '{path}': expected a name that ends in .html.")
    with serving() as server:
        stage = Stage(server.scene, recording.model)
        stage.flags(np.unique(recording.targets, axis=0)[:50])
        camera = smooth_path(recording)
        stage.trail(recording.path[::6])
        stage.place(recording.poses[0], camera[0])
        heading = recording.path[-1] - recording.path[0]
        heading = np.arctan2(heading[1], heading[0]) if np.linalg.norm(heading) > 1 else 0.0
        server.initial_camera.position = (*(-3.6 * np.array([np.cos(heading + 0.6), np.sin(heading + 0.6)])), 2.0)
        server.initial_camera.look_at = (0.0, 0.0, 0.2)
        serializer = server.get_scene_serializer()
        last = min(recording.length, round(max_seconds / recording.dt))
        for step in np.unique(np.round(np.arange(0, last + 1e-9, 1 / (fps * recording.dt))).astype(int)):
            stage.place(recording.poses[step], camera[step])
            serializer.insert_sleep(1 / fps)
        html = serializer.as_html()
    with beside(path) as part:
        part.write_text(html, encoding="utf-8")
    return path


@contextlib.contextmanager
def serving(host: str = "127.0.0.1", port: int = 0) -> Iterator[viser.ViserServer]:
    """A viser server that is gone afterwards.

    Args:
        host: address on which it listens; 127.0.0.1 is this machine alone.
        port: 0 for any that is free.
    """
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # whoever leaves in mid-handshake would fill the screen
    with _hushed():  # it prints a frame with its address whatever one tells it
        server = viser.ViserServer(host=host, port=port, verbose=False)
    try:
        yield server
    finally:
        with _hushed():
            server.stop()


def _hushed():
    """A context in which viser says nothing; in a notebook it does not print but displays."""
    if not in_notebook():
        return contextlib.redirect_stdout(io.StringIO())
    from IPython.utils.capture import capture_output

    return capture_output()
