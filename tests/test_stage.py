"""The 3-D replay: the ant's bodies against the physics engine, the file in a real browser without a network."""

import os
from pathlib import Path

import numpy as np
import pybullet
import pytest
from browser import CHROMIUM, Browser, wait

from stage import Stage, body_shapes, replay, serving
from viewer import load_policy, make_env, record


def test_the_bodies_are_where_the_physics_engine_has_them():
    """Each body of a resting ant fills the box that Bullet gives for it, whose margin is 4 cm, whichever way its leg points."""
    env = make_env("AntBulletEnv-v0")
    env.reset(seed=0)
    body, client = env.unwrapped.robot.objects[0], env.unwrapped._p
    shapes = body_shapes("ant.xml")
    assert len(shapes) == 13 and [number for number, *_ in shapes].count(0) == 1
    for number, _, vertices, _ in shapes:
        if number:
            place, turn = client.getLinkState(body, number - 1)[4:6]
        else:
            place, turn = client.getBasePositionAndOrientation(body)
        world = vertices @ np.reshape(pybullet.getMatrixFromQuaternion(turn), (3, 3)).T + place
        low, high = client.getAABB(body, number - 1)
        middle, margin = (world.min(0) + world.max(0)) / 2, np.subtract(high, low) - np.ptp(world, axis=0)
        np.testing.assert_allclose(middle, np.add(low, high) / 2, atol=0.005)
        assert (margin > -1e-6).all() and (margin < 0.2).all()
    env.close()


def test_another_robot_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"humanoid_symmetric.xml has a body .*: expected spheres, and capsules that begin at a joint"
    ):
        body_shapes("humanoid_symmetric.xml")


def test_the_ant_stays_in_the_middle_and_the_world_moves():
    with serving() as server:
        stage = Stage(server.scene)
        poses = np.zeros((21, 7), np.float32)
        poses[:, :3], poses[:, 6] = [5, 7, 0.5], 1
        stage.place(poses, (5, 7))
        np.testing.assert_allclose(stage.world.position, [-5, -7, 0])
        for _, body in stage.bodies:
            np.testing.assert_allclose(body.position, [0, 0, 0.5])
            np.testing.assert_allclose(body.wxyz, [1, 0, 0, 0])


def test_flags_come_and_go():
    with serving() as server:
        stage = Stage(server.scene)
        for targets in ([(1, 2)], [(3, 4), (5, 6), (7, 8)], [(9, 9)], []):
            stage.flags(targets)
            assert [tuple(node.position[:2]) for node in stage.targets] == targets


@pytest.fixture(scope="module")
def recording():
    return record(load_policy("base_ant_final"), max_steps=150)


def test_a_replay_is_one_file_and_never_half_a_file(recording, tmp_path):
    path = replay(recording, tmp_path / "new" / "a.html")
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]
    text = path.read_text()
    assert text.lstrip().lower().startswith("<!doctype html") and 0.5e6 < len(text) < 3e6
    with pytest.raises(ValueError, match=r"a.txt.*: expected a name that ends in .html"):
        replay(recording, tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        replay(recording, tmp_path / "file" / "a.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "new"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_in_one_sentence(recording, tmp_path):
    (tmp_path / f".a.{os.getpid()}.html").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"a.html' could not be written to its end \(No space left on device\), so nothing"):
        replay(recording, tmp_path / "a.html", max_seconds=0.2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_replay_opens_from_disk_without_a_network_and_moves(recording, tmp_path):
    path = replay(recording, tmp_path / "a.html")
    browser = Browser(tmp_path)
    try:
        browser("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        browser.open(path.as_uri())
        first = wait(lambda: picture_of_an_ant(browser), 90, "the canvas stayed blank")
        wait(
            lambda: (lambda now: now is not None and (now != first).mean() > 0.01)(picture_of_an_ant(browser)),
            60,
            "nothing moved",
        )
        assert not [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert not browser.errors
    finally:
        browser.close()


def picture_of_an_ant(browser):
    """The picture, once there are the dark colour of the torso and the orange of the legs in it."""
    picture = browser.picture()
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    legs = (red > 150) & (red - blue > 60) & (green < red)
    return picture if legs.mean() > 0.001 and ((red < 110) & (blue < 140)).mean() > 0.001 else None
