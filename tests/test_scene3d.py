"""The 3-D scene: the bodies against the physics engine, and the saved page in a real browser without a network."""

import subprocess
import sys

import numpy as np
import pybullet
import pytest
from browser import CHROMIUM, Browser, wait
from conftest import ROOT

from envs.registry import make_env
from envs.world import HeightField
from override_ant import REACHED
from utils import load_policy
from viewing import style
from viewing.recording import record
from viewing.scene3d import FLAG, GROUND_LIGHT, Scene3D, body_meshes, linear, paint, save_html
from viewing.server import serving


def test_the_meshes_are_where_the_physics_engine_has_the_bodies():
    """Each body of an ant at rest fills its bounding box in Bullet, whose margin is 4 cm, in every direction of the legs."""
    env = make_env("AntBulletEnv-v0")
    env.reset(seed=0)
    body, client = env.unwrapped.robot.objects[0], env.unwrapped._p
    shapes = body_meshes("ant.xml")
    assert len(shapes) == 13 and [number for number, *_ in shapes].count(0) == 1
    for number, _, vertices, _ in shapes:
        if number:
            position, quaternion = client.getLinkState(body, number - 1)[4:6]
        else:
            position, quaternion = client.getBasePositionAndOrientation(body)
        world = vertices @ np.reshape(pybullet.getMatrixFromQuaternion(quaternion), (3, 3)).T + position
        low, high = client.getAABB(body, number - 1)
        center, margin = (world.min(0) + world.max(0)) / 2, np.subtract(high, low) - np.ptp(world, axis=0)
        np.testing.assert_allclose(center, np.add(low, high) / 2, atol=0.005)
        assert (margin > -1e-6).all() and (margin < 0.2).all()
    env.close()


def test_another_robot_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"humanoid_symmetric.xml has a body .*: expected spheres, and capsules that start at a joint"
    ):
        body_meshes("humanoid_symmetric.xml")


def test_the_ant_stays_at_the_origin_and_the_world_moves():
    with serving() as server:
        scene = Scene3D(server.scene)
        poses = np.zeros((21, 7), np.float32)
        poses[:, :3], poses[:, 6] = [5, 7, 0.5], 1
        scene.set_pose(poses, (5, 7))
        np.testing.assert_allclose(scene.world.position, [-5, -7, 0])
        for _, body in scene.bodies:
            np.testing.assert_allclose(body.position, [0, 0, 0.5])
            np.testing.assert_allclose(body.wxyz, [1, 0, 0, 0])


def test_the_ground_follows_the_ant_by_whole_tiles():
    """It ends 200 m from the ant, and its pattern has a period of 2 m."""
    with serving() as server:
        scene = Scene3D(server.scene)
        for center in [(0.4, 0.0), (5.3, -7.9), (-431.0, 1_000.7)]:
            scene.set_pose(np.zeros((21, 7), np.float32) + [0, 0, 0.5, 0, 0, 0, 1], center)
            assert not (scene.ground.position[:2] % 2).any()
            assert np.abs(scene.world.position + scene.ground.position)[:2].max() <= 1


def three_js(color):
    """The colour in which three.js shows a surface on level ground: the sun and the sky on it, its tone mapping, sRGB.

    As in its ACESFilmicToneMapping.
    """
    rrt_and_odt = [[0.59719, 0.35458, 0.04823], [0.07600, 0.90834, 0.01566], [0.02840, 0.13383, 0.83777]]
    to_output = [[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]]
    v = np.array(rrt_and_odt) @ (linear(color) * GROUND_LIGHT / 0.6)
    v = (v * (v + 0.0245786) - 0.000090537) / (v * (0.983729 * v + 0.432951) + 0.238081)
    v = np.clip(np.array(to_output) @ v, 0, 1)
    return 255 * np.where(v > 0.0031308, 1.055 * v ** (1 / 2.4) - 0.055, 12.92 * v)


@pytest.mark.parametrize("color", [style.LIGHT_TILE, style.DARK_TILE, style.TERRAIN, style.TORSO, (0, 0, 0), (200, 200, 200)])
def test_a_painted_surface_has_the_colour_of_the_films(color):
    np.testing.assert_allclose(three_js(paint(color)), color, atol=1.5)


def test_the_ring_of_a_flag_is_where_its_point_is_reached():
    radii = np.linalg.norm(FLAG["ring"].vertices[:, :2], axis=1)
    assert radii.min() < REACHED < radii.max() < 1.05 * REACHED


def test_the_trail_is_drawn_once_and_then_changed():
    with serving() as server:
        scene = Scene3D(server.scene)
        scene.set_trail(np.zeros((1, 2)))
        assert scene.trail is None
        for path in ([(0, 0), (1, 2)], [(0, 0), (1, 2), (3, 4)]):
            scene.set_trail(np.array(path))
            np.testing.assert_allclose(scene.trail.points[:, :2], path)


def test_there_is_a_flag_at_each_target():
    with serving() as server:
        scene = Scene3D(server.scene)
        for targets in ([(1, 2)], [(3, 4), (5, 6), (7, 8)], [(9, 9)], []):
            scene.set_targets(targets)
            assert [tuple(node.position[:2]) for node in scene.flags] == targets


def test_trail_flags_and_clicks_are_on_the_hills():
    heights = np.zeros((9, 9))
    heights[3:6, 3:6] = 0.7
    hill = HeightField(heights, 1.0)  # a block that is 2 m wide on top, around the origin
    with serving() as server:
        scene = Scene3D(server.scene)
        scene.set_terrain([hill])
        np.testing.assert_allclose(scene.heights([(0, 0), (0.5, 0.9), (3.5, 3.5), (20, 0)]), [0.7, 0.7, 0, 0], atol=0.01)
        scene.set_trail(np.array([(-3.5, 0), (0, 0)]))
        np.testing.assert_allclose(scene.trail.points[:, 2], [0.05, 0.75], atol=0.01)
        scene.set_targets([(0, 0), (3.5, 3.5)])
        np.testing.assert_allclose([flag.position for flag in scene.flags], [(0, 0, 0.7), (3.5, 3.5, 0)], atol=0.01)
        np.testing.assert_allclose(scene.first_hit((0, 0, 5), (0, 0, 0)), (0, 0, 0.7), atol=0.01)
        np.testing.assert_allclose(scene.first_hit((-8, 0, 1), (8, 0, 0))[0], -1.18, atol=0.01)  # on its slope
        np.testing.assert_array_equal(scene.first_hit((20, 0, 5), (21, 0, 0)), (21, 0, 0))
        scene.set_terrain([])
        assert scene.flags == [] and not scene.heights([(0, 0)]).any()
        np.testing.assert_array_equal(scene.first_hit((0, 0, 5), (0, 0, 0)), (0, 0, 0))


@pytest.fixture(scope="module")
def recording():
    return record(load_policy("base_ant_final"), max_steps=150)


def test_a_page_is_one_file(recording, tmp_path):
    path = save_html(recording, tmp_path / "new" / "a.html")
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]
    text = path.read_text()
    assert text.lstrip().lower().startswith("<!doctype html") and 0.5e6 < len(text) < 3e6
    with pytest.raises(ValueError, match=r"a.txt.*: expected a name that ends in .html"):
        save_html(recording, tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        save_html(recording, tmp_path / "file" / "a.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "new"]


def test_a_file_that_may_not_grow_leaves_the_old_one_and_nothing_else(tmp_path):
    """The system ends every write beyond 100 kB, as a quota does."""
    pytest.importorskip("resource", reason="needs POSIX limits")
    (tmp_path / "a.html").write_text("old")
    script = "\n".join([
        "import resource, sys",
        "from utils import load_policy",
        "from viewing.recording import record",
        "from viewing.scene3d import save_html",
        "run = record(load_policy('base_ant_final'), max_steps=10)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))",
        "try: save_html(run, sys.argv[1])",
        "except OSError as error: print(error)",
    ])  # fmt: skip
    command = [sys.executable, "-c", script, str(tmp_path / "a.html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "a.html' could not be written to its end (File too large), so nothing of it was kept" in done.stdout
    assert done.stderr == "" and {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.html": "old"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_opens_from_disk_without_a_network_and_moves(recording, tmp_path):
    path = save_html(recording, tmp_path / "a.html")
    browser = Browser(tmp_path)
    try:
        browser("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        browser("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        browser.open(path.as_uri())
        first = wait(lambda: screenshot_with_an_ant(browser), 90, "the canvas stayed blank")
        wait(lambda: (browser.screenshot() != first).mean() > 0.01 and screenshot_with_an_ant(browser), 60, "nothing moved")
        assert browser.evaluate("document.documentElement.dataset.mantineColorScheme") == "dark"
        assert not [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert not browser.errors
    finally:
        browser.close()


def screenshot_with_an_ant(browser):
    """A screenshot, or None unless it has the dark colour of the torso and the orange of the legs."""
    image = browser.screenshot()
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    legs = (red > 150) & (red - blue > 60) & (green < red)
    return image if legs.mean() > 0.001 and ((red < 110) & (blue < 140)).mean() > 0.001 else None
