"""Frames against what must be visible in them."""

import dataclasses

import numpy as np
import pytest
from helpers import Walk, near_color
from PIL import Image

from utils import load_policy
from viewing.recording import record
from viewing.renderer import Renderer
from viewing.style import DARK_TILE, HIND_LEG, LIGHT_TILE, TARGET, TORSO, TRAIL


@pytest.fixture(scope="module")
def run():
    """80 steps toward (2, 1)."""
    return record(Walk(), seed=3, max_steps=80, target=(2, 1))


def test_the_drawn_ant_has_the_recorded_pose(run):
    ant = Renderer(run, 96, 64).ant
    for step in (0, 37, 80):
        ant.set_pose(step)
        links = ant.client.getLinkStates(ant.body, range(20), computeForwardKinematics=True)
        np.testing.assert_allclose([link[4] for link in links], run.poses[step, 1:, :3], atol=1e-4)
        agreement = (np.array([link[5] for link in links]) * run.poses[step, 1:, 3:]).sum(axis=1)
        np.testing.assert_allclose(np.abs(agreement), 1, atol=1e-4)  # a quaternion and its negative are the same rotation


@pytest.mark.parametrize("yaw", [-15, 140, 250])  # the ant hides nothing of the target
def test_ant_and_flag_are_where_the_camera_projects_them(run, yaw):
    renderer = Renderer(run, 480, 320, np.radians(yaw))
    frame = np.asarray(renderer.render(60))
    (ant, target), _ = renderer.camera.project([run.torso[60], [2, 1, 0]], 60)
    assert near_color(frame[int(ant[1]) - 2 : int(ant[1]) + 2, int(ant[0]) - 2 : int(ant[0]) + 2], TORSO, 60) == 16
    assert abs(ant[0] - 240) < 60 and abs(ant[1] - 160) < 60  # the camera keeps it in the middle
    if 5 < target[0] < 475 and 5 < target[1] < 270:
        column, row = target.astype(int)
        assert near_color(frame[row - 2 : row + 2, column - 3 : column + 3], TARGET) >= 12
    assert near_color(frame, TARGET) > 60  # the flag, or the arrow toward it
    assert near_color(frame, TRAIL) > 20


@pytest.mark.parametrize("degrees", [135, 180, 225, 270])
@pytest.mark.parametrize("height", [200, 260])
def test_an_arrow_is_whole_and_beside_the_numbers(run, degrees, height):
    """Also in small frames, where the target is behind the viewer."""
    angle = np.radians(degrees)
    far = dataclasses.replace(run, targets=run.targets * 0 + np.float32([100 * np.cos(angle), 100 * np.sin(angle)]))
    renderer = Renderer(far, 300, height, np.radians(40))
    empty = Image.new("RGB", (300, height))
    renderer.overlay.draw_arrow(empty, 10, np.array([*far.targets[10], 0]))
    rows, columns = np.nonzero(np.asarray(empty).any(axis=2))
    left, top, right, bottom = renderer.overlay._box(3)
    assert len(rows) > 40 and rows.min() > 0 and rows.max() < height - 1 and columns.min() > 0 and columns.max() < 299
    assert not ((rows > top) & (rows < bottom) & (columns > left) & (columns < right)).any()


def test_a_flag_is_in_view_from_afar(run):
    """28 m away, and the arrow is there as well, because the flag is small."""
    far = dataclasses.replace(run, targets=run.targets * 0 + np.float32([20, 20]))
    renderer = Renderer(far, 400, 260, np.radians(45 + 20))
    frame = np.asarray(renderer.render(0))
    (target,), _ = renderer.camera.project([[20, 20, 0.5]], 0)
    column, row = target.astype(int)
    assert 0 < column < 400 and near_color(frame[row - 14 : row + 8, column - 6 : column + 16], TARGET) > 15
    assert near_color(frame[80:], TARGET) > 40, "the arrow"


def test_tiles_are_a_metre_wide_and_the_ground_stays_in_place_under_a_moving_camera(run):
    renderer = Renderer(run, 240, 160, 0.3)
    for step in (0, 80):
        ground = renderer.ground.render(step)
        centers = np.array([[x + 0.5, y + 0.5, 0] for x in range(-3, 4) for y in range(-3, 4)])
        pixels, depth = renderer.camera.project(centers, step)
        visible = 0
        for (x, y), (column, row), d in zip(centers[:, :2], pixels, depth, strict=True):
            if 0 <= column < 240 and 0 <= row < 160 and d < 5:
                visible += 1
                light = ground[int(row), int(column)].mean() > np.mean([LIGHT_TILE, DARK_TILE]) + 3
                assert light == ((np.floor(x) + np.floor(y)) % 2 == 0)
        assert visible >= 4


def test_the_ant_casts_a_shadow(run):
    shift = np.array([20, -7, 0], np.float32)  # far from the origin, where a shadow in the wrong place shows
    poses = np.concatenate([run.poses[..., :3] + shift, run.poses[..., 3:]], axis=-1)
    run = dataclasses.replace(run, poses=poses, torso=run.torso + shift)
    renderer = Renderer(run, 240, 160)
    without = Image.fromarray(renderer.ground.render(40))
    with_shadow = without.copy()
    renderer.ant.set_pose(40)
    renderer.ant.draw_shadow(with_shadow, 40)
    darker = np.asarray(without).astype(int).sum(axis=2) - np.asarray(with_shadow).astype(int).sum(axis=2)
    assert darker.min() >= 0
    rows, columns = np.nonzero(darker > 60)
    # the sun is behind the viewer's left shoulder, so the shadow is to the right of the point below the torso and behind it
    (below,), _ = renderer.camera.project([[*run.path[40], 0]], 40)
    assert 100 < len(rows) < 6000 and columns.mean() > below[0] and rows.mean() < below[1]


def test_a_path_has_a_map():
    """In the corner, oriented as the camera: points reached are blue, and the next one is green and on its side of the map."""
    run = record(load_policy("random_circle_final"), "MyAntRandomPointsBulletEnv-v0", path=[(5, 0), (10, 0), (20, -4)])
    renderer = Renderer(run, 480, 320, np.radians(90))
    before, after = (np.asarray(renderer.render(step))[10:140, -140:-10] for step in (20, run.arrivals[1] + 5))
    for plan, reached, green_is_right in ((before, 0, False), (after, 2, True)):
        columns = np.nonzero(np.abs(plan.astype(int) - TARGET).max(axis=2) < 40)[1]
        assert len(columns) > 15 and (columns.mean() > 65) == green_is_right
        assert near_color(plan, TRAIL, 40) >= 20 * reached and near_color(plan, HIND_LEG, 40) > 15


def test_after_the_end_the_last_state_is_rendered(run):
    renderer = Renderer(run, 96, 64)
    last, beyond, before = (np.asarray(renderer.render(step)) for step in (80, 200, 70))
    assert (last == beyond).all() and (last != before).any()
