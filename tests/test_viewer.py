"""Recordings against episodes run by hand, pictures against what must be seen in them, files read back by other means."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from pybullet_envs_gymnasium.gym_locomotion_envs import AntBulletEnv

import painter
import viewer
from TD3 import TD3
from vector import make_env
from viewer import REACHED, animate, load_policy, plot_paths, random_path, record, render_seconds, show


class Walk:
    """A gait made by hand: the hips swing, the feet are lifted in turn.  It keeps the states it was shown."""

    def __init__(self):
        self.states = []

    def select_action(self, state):
        self.states.append(state)
        swing = 11 * 0.0165 * len(self.states) + np.array([0, np.pi, 0, np.pi])
        goal = np.empty(8)
        goal[0::2] = 0.7 * np.sin(swing) * [1, 1, -1, -1]
        goal[1::2] = 0.8 * np.maximum(0, np.cos(swing)) * [-1, 1, 1, -1]
        return np.clip(3 * (goal - state[8:24:2]) - 1.5 * state[9:24:2], -1, 1).astype(np.float32)


class AskedAnt(AntBulletEnv):
    """An ant whose reset takes a target, as the ants of this repository do, and says what the reward is made of."""

    def set_target(self, x, y):
        self.robot.walk_target_x, self.robot.walk_target_y = x, y

    def reset(self, seed=None, options=None):
        self.set_target(*(options or {}).get("target", (3, 4)))
        return super().reset(seed=seed)

    def step(self, action):
        state, reward, terminated, truncated, info = super().step(action)
        return state, reward, terminated, truncated, {"reward_terms": {"alive": self.rewards[0], "rest": sum(self.rewards[1:])}}


class StubbornAnt(AntBulletEnv):
    """An ant that chooses its target itself and cannot be asked."""

    def reset(self, seed=None, options=None):
        self.robot.walk_target_x = 7
        return super().reset(seed=seed)


@pytest.fixture(scope="module")
def run():
    """80 steps toward (2, 1)."""
    return record(Walk(), seed=3, max_steps=80, target=(2, 1))


def frames(path):
    """Every picture of an animated image as (H, W, 3) int arrays, and the durations in milliseconds."""
    with Image.open(path) as image:
        pictures, durations = [], []
        for k in range(image.n_frames):
            image.seek(k)
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
            durations.append(image.info["duration"])
        return pictures, durations


def near_color(picture, color, tolerance=45):
    """How many pixels look like `color`."""
    return int((np.abs(np.asarray(picture)[..., :3].astype(int) - color).max(axis=-1) <= tolerance).sum())


# --- recording -------------------------------------------------------------------------------------------------------------


def test_a_recording_is_the_episode_that_one_runs_by_hand():
    recording = record(Walk(), seed=5, max_steps=60)
    env, policy = make_env("AntBulletEnv-v0"), Walk()
    state, _ = env.reset(seed=5)
    rewards, torso = [], [env.unwrapped.robot.robot_body.pose().xyz()]
    for _ in range(60):
        state, reward, terminated, _, _ = env.step(policy.select_action(state))
        rewards.append(reward)
        torso.append(env.unwrapped.robot.robot_body.pose().xyz())
    env.close()
    assert recording.rewards.tolist() == rewards
    assert recording.total_reward == pytest.approx(sum(rewards))
    np.testing.assert_allclose(recording.torso, torso, atol=1e-6)
    assert recording.truncated and not recording.terminated and not terminated
    assert recording.length == 60
    assert recording.seconds == pytest.approx(60 * 0.0165)
    assert recording.distance == pytest.approx(np.hypot(*np.subtract(torso[-1], torso[0])[:2]), abs=1e-5)
    assert recording.speed == pytest.approx(recording.distance / recording.seconds)
    assert recording.targets.tolist() == [[1000, 0]] * 61
    assert not recording.reached and not recording.fell


def test_a_recording_has_the_shapes_that_its_docstring_says(run):
    assert run.poses.shape == (81, len(run.links), 7) and len(run.links) == 21
    assert run.links[0] == "torso" and run.links[5] == "front_left_foot"
    assert run.joints.shape == (81, 20) and run.torso.shape == (81, 3) and run.path.shape == run.targets.shape == (81, 2)
    assert run.actions.shape == (80, 8) and run.rewards.shape == (80,)
    assert {x.dtype for x in (run.poses, run.joints, run.torso, run.targets, run.actions)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.linalg.norm(run.poses[..., 3:], axis=-1), 1, atol=1e-4)
    assert run.reward_terms == {}


def test_a_fall_ends_the_recording():
    class Collapse:
        def select_action(self, state):
            return np.array([0, -1, 0, 1, 0, 1, 0, -1], np.float32)  # pulls up all four feet

    recording = record(Collapse(), max_steps=300)
    assert recording.fell and recording.terminated and not recording.truncated
    assert recording.length < 300
    assert recording.torso[-1, 2] < 0.26 < recording.torso[:-1, 2].min()
    assert "fell" in repr(recording) and len(repr(recording)) < 200


def test_a_path_is_walked_point_by_point():
    """Three points ahead, which the shipped ant for any point reaches; the reward makes no jump where the target does."""
    policy, points = load_policy("random_circle_final"), [(6.0, 0.0), (13.0, 0.5), (21.0, 0.0)]
    recording = record(policy, "MyAntRandomPointsBulletEnv-v0", path=points)
    assert recording.points.tolist() == [list(point) for point in points] and recording.points_reached == 3
    assert recording.arrivals[-1] == recording.length and (np.diff(recording.arrivals) > 50).all()
    assert not recording.truncated and recording.to_go[-1] <= REACHED and recording.length < 600
    changes = np.flatnonzero(np.any(np.diff(recording.targets, axis=0) != 0, axis=1))
    for k, change in enumerate(changes):
        assert recording.arrivals[k] == change and np.hypot(*(recording.path[change] - points[k])) <= REACHED
    assert np.abs(recording.reward_terms["progress"]).max() < 10
    cut = record(policy, "MyAntRandomPointsBulletEnv-v0", path=points, max_steps=changes[0] + 5)
    assert cut.points_reached == 1 and len(cut.points) == 2
    numbers = [text.get_text() for text in plot_paths(recording).axes[0].texts]
    assert numbers == ["1", "2", "3"]


def test_whoever_records_says_where_to_go_also_in_an_environment_that_moves_its_target():
    """The recording's end and its points are its own; left alone, the environment sends the ant onward."""
    env = make_env("MyAntOnwardBulletEnv-v0", target=(1.3, 0), max_episode_steps=400)
    walked = [record(Walk(), env, path=[(1.2, 0), (1.4, 0)]), record(Walk(), env, target=(1.3, 0), stop_at_target=1.0)]
    assert all(run.reached and run.length < 400 for run in walked)
    assert np.unique(walked[0].targets, axis=0).tolist() == pytest.approx(np.array([(1.2, 0), (1.4, 0)]))
    assert np.unique(walked[1].targets, axis=0).tolist() == pytest.approx(np.array([(1.3, 0)]))
    assert env.unwrapped.onward
    assert len(np.unique(record(Walk(), env).targets, axis=0)) > 1
    env.close()


def test_random_paths_keep_their_distances():
    points = random_path(200, 5, 28, seed=1)
    steps = np.linalg.norm(np.diff(points, axis=0, prepend=[[0, 0]]), axis=1)
    assert points.shape == (200, 2) and 5 <= steps.min() < 6 and 27 < steps.max() <= 28
    assert (random_path(seed=1) == random_path(seed=1)).all() and (random_path(seed=1) != random_path(seed=2)).any()


@pytest.mark.parametrize("path", [[], [(1, 2, 3)], [(1, np.nan)], "ab", [1, 2]])
def test_a_path_that_is_no_list_of_points_is_refused(path):
    with pytest.raises(ValueError, match="expected a list of points"):
        record(Walk(), "MyAntBulletEnv-v0", path=path)


def test_the_stock_ant_walks_no_path():
    with pytest.raises(ValueError, match="AntBulletEnv-v0 cannot be given a new target on the way"):
        record(Walk(), "AntBulletEnv-v0", path=[(1, 2)])


def test_the_stock_ant_is_asked_for_the_target_from_the_first_observation_and_reward_on():
    policies = {target: Walk() for target in [(0.0, 1000.0), (-1000.0, 0.0), None]}
    runs = {target: record(policy, max_steps=3, target=target) for target, policy in policies.items()}
    for target, sine, cosine in [((0.0, 1000.0), 1, 0), ((-1000.0, 0.0), 0, -1), (None, 0, 1)]:
        np.testing.assert_allclose(policies[target].states[0][1:3], [sine, cosine], atol=0.02)
        # had the potential before the first step been that of another target, the reward would be thousands
        assert abs(runs[target].rewards[0]) < 20
    assert runs[(0.0, 1000.0)].targets.tolist() == [[0, 1000]] * 4


def test_an_environment_that_takes_a_target_gets_it_and_stays_open():
    env = AskedAnt()
    recording = record(Walk(), env, max_steps=4, target=(-5, 6))
    assert recording.targets.tolist() == [[-5, 6]] * 5
    assert record(Walk(), env, max_steps=2).targets.tolist() == [[3, 4]] * 3
    terms = recording.reward_terms
    assert set(terms) == {"alive", "rest"}
    np.testing.assert_allclose(terms["alive"] + terms["rest"], recording.rewards)
    env.close()


def test_stopping_at_the_target():
    stopped = record(Walk(), max_steps=5, target=(0.5, 0), stop_at_target=1.0)
    assert stopped.length == 1 and stopped.reached and not stopped.fell and not stopped.truncated
    assert record(Walk(), max_steps=5, target=(0.5, 0)).length == 5
    assert record(Walk(), max_steps=5, target=(9, 0), stop_at_target=1.0).length == 5


@pytest.mark.parametrize(
    ("make", "arguments", "sentence"),
    [
        (lambda: "CartPole-v1", {}, "no walking robot"),
        (lambda: "AntBulletEnv-v77", {}, "There is no environment"),
        (lambda: "AntBulletEnv-v0", {"max_steps": 0}, "max_steps is 0"),
        (lambda: "AntBulletEnv-v0", {"target": (1, np.nan)}, "two finite numbers"),
        (lambda: "AntBulletEnv-v0", {"target": (1, 2, 3)}, "two finite numbers"),
        (StubbornAnt, {"target": (1, 2)}, "StubbornAnt chose"),
    ],
)
def test_what_cannot_be_recorded_is_said(make, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        record(Walk(), make(), **arguments)


# --- drawing ---------------------------------------------------------------------------------------------------------------


def test_the_ant_that_is_drawn_stands_as_the_recorded_one_did(run):
    scene = painter.Scene(run, 96, 64, 0.0)
    for step in (0, 37, 80):
        scene.pose(step)
        links = scene.p.getLinkStates(scene.body, range(20), computeForwardKinematics=True)
        np.testing.assert_allclose([link[4] for link in links], run.poses[step, 1:, :3], atol=1e-4)
        agreement = (np.array([link[5] for link in links]) * run.poses[step, 1:, 3:]).sum(axis=1)
        np.testing.assert_allclose(np.abs(agreement), 1, atol=1e-4)  # a quaternion and its negative are the same turn


@pytest.mark.parametrize("yaw", [0, 140, 250])
def test_ant_and_flag_are_seen_where_the_camera_should_see_them(run, yaw):
    scene = painter.Scene(run, 480, 320, np.radians(yaw))
    picture = np.asarray(scene.picture(60))
    (ant, target), depth = scene.project([run.torso[60], [2, 1, 0]], 60)
    assert near_color(picture[int(ant[1]) - 2 : int(ant[1]) + 2, int(ant[0]) - 2 : int(ant[0]) + 2], painter.TORSO, 60) == 16
    assert abs(ant[0] - 240) < 60 and abs(ant[1] - 160) < 60  # the camera keeps it in the middle
    if 5 < target[0] < 475 and 5 < target[1] < 270:
        column, row = target.astype(int)
        assert near_color(picture[row - 2 : row + 2, column - 3 : column + 3], painter.TARGET) >= 12
    assert near_color(picture, painter.TARGET) > 60  # the flag, or the arrow toward it
    assert near_color(picture, painter.TRAIL) > 20


def test_tiles_are_a_metre_wide_and_the_ground_stays_put_under_a_moving_camera(run):
    scene = painter.Scene(run, 240, 160, 0.3)
    for step in (0, 80):
        ground = scene._paint_ground(step)
        middles = np.array([[x + 0.5, y + 0.5, 0] for x in range(-3, 4) for y in range(-3, 4)])
        pixels, depth = scene.project(middles, step)
        seen = 0
        for (x, y), (column, row), d in zip(middles[:, :2], pixels, depth, strict=True):
            if 0 <= column < 240 and 0 <= row < 160 and d < 5:
                seen += 1
                light = ground[int(row), int(column)].mean() > np.mean([painter.LIGHT_TILE, painter.DARK_TILE]) + 3
                assert light == ((np.floor(x) + np.floor(y)) % 2 == 0)
        assert seen >= 4


def test_the_ant_casts_a_shadow(run):
    shift = np.array([20, -7, 0], np.float32)  # far from the origin, where a shadow in the wrong place shows
    poses = np.concatenate([run.poses[..., :3] + shift, run.poses[..., 3:]], axis=-1)
    run = dataclasses.replace(run, poses=poses, torso=run.torso + shift)
    scene = painter.Scene(run, 240, 160, 0.0)
    without = Image.fromarray(scene._paint_ground(40))
    scene.pose(40)
    with_shadow = without.copy()
    scene._cast_shadow(with_shadow, 40)
    darker = np.asarray(without).astype(int).sum(axis=2) - np.asarray(with_shadow).astype(int).sum(axis=2)
    assert darker.min() >= 0
    rows, columns = np.nonzero(darker > 60)
    # the sun stands behind the viewer's left shoulder, so the shadow is to the right of the torso's foot and behind it
    (foot,), _ = scene.project([[*run.path[40], 0]], 40)
    assert 100 < len(rows) < 6000 and columns.mean() > foot[0] and rows.mean() < foot[1]


# --- animations ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_animated_images_read_back(run, tmp_path, ending):
    path = animate(run, tmp_path / "deep" / f"ant.{ending}", 120, 80, fps=15, seconds=1.0, workers=0)
    pictures, durations = frames(path)
    assert path.parent.name == "deep" and len(pictures) == 15
    assert all(picture.shape == (80, 120, 3) for picture in pictures)
    assert sum(durations) == pytest.approx(1000 + 1000, abs=12)  # one second, and the last picture rests for another
    assert all(np.abs(a - b).max() > 60 for a, b in zip(pictures, pictures[1:], strict=False))
    assert near_color(pictures[7], painter.TORSO, 60) > 40
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_films_read_back(run, tmp_path):
    import imageio_ffmpeg

    path = animate(run, tmp_path / "ant.mp4", 120, 80, fps=15, seconds=1.0, workers=0)
    film = imageio_ffmpeg.read_frames(path)
    about = next(film)
    pictures = [np.frombuffer(picture, np.uint8).reshape(80, 120, 3) for picture in film]
    assert about["size"] == (120, 80) and about["fps"] == pytest.approx(15) and len(pictures) == 15
    assert near_color(pictures[7], painter.TORSO, 60) > 40
    assert [p.name for p in tmp_path.iterdir()] == ["ant.mp4"]


def test_start_and_speed_choose_the_moments(run, tmp_path):
    whole = viewer._check([run], tmp_path / "a.gif", 100, 100, 20, None, 0, 1)
    assert whole[0] == 0 and len(whole) == round(80 * 0.0165 * 20) and max(whole) <= 80
    fast = viewer._check([run], tmp_path / "a.gif", 100, 100, 20, 1.0, 0.3, 2.0)
    assert len(fast) == 10 and fast[0] == round(0.3 / 0.0165) and fast[-1] == round((0.3 + 9 * 0.1) / 0.0165)
    assert viewer._check([run], tmp_path / "a.gif", 100, 100, 10, None, 0, 3)[-1] == 80  # the end is seen however fast it goes


def test_several_stand_side_by_side_and_the_shorter_waits(run, tmp_path, capfd):
    short = record(Walk(), seed=3, max_steps=10, target=(2, 1))
    path = animate([run, short], tmp_path / "both.png", 120, 80, fps=15, seconds=1.0, workers=2)
    pictures, _ = frames(path)
    assert pictures[0].shape == (80, 244, 3) and (pictures[0][:, 120:124] >= 250).all()
    assert np.abs(pictures[6][:, :120] - pictures[14][:, :120]).max() > 60
    assert np.abs(pictures[6][:, 124:] - pictures[14][:, 124:]).max() == 0
    out, err = capfd.readouterr()
    assert out.startswith("Painting 15 pictures, about ") and out.count("\n") == 1 and err == ""


def test_a_path_has_a_map_and_says_how_fast_it_is_shown(tmp_path):
    """In the corner, as seen by the camera: the points reached blue, the next green and on the side to which it lies."""
    walk = record(load_policy("random_circle_final"), "MyAntRandomPointsBulletEnv-v0", path=[(5, 0), (10, 0), (20, -4)])
    scene = painter.Scene(walk, 480, 320, np.radians(90))
    before, after = (np.asarray(scene.picture(step))[10:140, -140:-10] for step in (20, walk.arrivals[1] + 5))
    for plan, reached, green_right in ((before, 0, False), (after, 2, True)):
        columns = np.nonzero(np.abs(plan.astype(int) - painter.TARGET).max(axis=2) < 40)[1]
        assert len(columns) > 15 and (columns.mean() > 65) == green_right
        assert (near_color(plan, painter.TRAIL, 40) >= 20 * reached) and near_color(plan, painter.HIND_LEG, 40) > 15
    path = animate(walk, tmp_path / "a.png", 240, 160, fps=12, speed=5, workers=0, verbose=False)
    plain = animate(walk, tmp_path / "b.png", 240, 160, fps=12, speed=5, titles=[""], workers=0, verbose=False)
    titled, untitled = (frames(p)[0][3][:25, :120] for p in (path, plain))
    assert near_color(titled, painter.INK, 90) > 80 + near_color(untitled, painter.INK, 90)


def test_worker_processes_paint_the_same_as_this_one(run, tmp_path):
    paths = [animate(run, tmp_path / f"{n}.gif", 120, 80, seconds=0.6, workers=n, verbose=False) for n in (0, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(run, tmp_path, monkeypatch):
    def write_half(pictures, part, fps):
        part.write_bytes(b"GIF89a half of")
        next(iter(pictures))
        raise OSError(28, "No space left on device")

    (tmp_path / "ant.gif").write_bytes(b"old")
    monkeypatch.setattr(viewer, "write_pictures", write_half)
    with pytest.raises(OSError, match="No space left"):
        animate(run, tmp_path / "ant.gif", 96, 64, seconds=0.2, workers=0, verbose=False)
    assert [p.name for p in tmp_path.iterdir()] == ["ant.gif"] and (tmp_path / "ant.gif").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("ending", ["gif", "png", "webp", "mp4"])
def test_a_full_disk_is_said_in_one_sentence(run, tmp_path, ending):
    """What is written beside goes to a device that answers "no space left", to whoever writes: Python, Pillow or ffmpeg."""
    path = tmp_path / f"ant.{ending}"
    path.write_bytes(b"old")
    (tmp_path / f".ant.{os.getpid()}.{ending}").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"^'{path}' could not be written to its end \(.*No space left.*\), so nothing") as said:
        animate(run, path, 96, 64, seconds=0.6, workers=0, verbose=False)
    assert "\n" not in str(said.value) and path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and Path("/dev/full").exists()


def test_a_file_that_may_not_grow_leaves_nothing(run, tmp_path):
    """The system cuts off whoever writes more than 4 kB, as a quota does; ffmpeg is killed by it."""
    script = "\n".join([
        "import resource, sys; from viewer import *",
        "run = record(load_policy('base_ant_final'), max_steps=60)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))",
        "for ending in ('gif', 'png', 'webp', 'mp4'):",
        "    try: animate(run, f'{sys.argv[1]}/ant.{ending}', 120, 80, workers=0, verbose=False)",
        "    except OSError as error: print(error)",
    ])  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == "" and list(tmp_path.iterdir()) == []
    assert [line.split(" could")[0] for line in done.stdout.splitlines()] == [
        f"'{tmp_path}/ant.{ending}'" for ending in ("gif", "png", "webp", "mp4")
    ]


def test_a_path_that_cannot_be_written_is_said_before_anything_is_painted(run, tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "painters", lambda *_: pytest.fail("it began to paint"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    for path in (tmp_path / "file" / "ant.gif", tmp_path / "folder.gif", Path("/dev/null/ant.gif")):
        with pytest.raises(OSError, match=rf"^'{path}' cannot be written \(.+\): give "):
            animate(run, path, workers=0, verbose=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"path": "ant.avi"}, "expected one of .gif"),
        ({"path": "ant"}, "expected one of .gif"),
        ({"recordings": []}, "recordings is empty"),
        ({"width": 10}, "at least 64 x 64"),
        ({"path": "ant.mp4", "width": 121}, "even numbers"),
        ({"fps": 0}, "positive numbers"),
        ({"fps": 60}, "not more than 50"),
        ({"speed": 0}, "positive numbers"),
        ({"speed": np.inf}, "positive numbers"),
        ({"seconds": -1}, "positive numbers"),
        ({"start": 99}, "ends after 1.3 s"),
        ({"titles": ["a", "b"]}, "2 titles for 1"),
    ],
)
def test_arguments_that_make_no_sense_are_said(run, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        animate(**{"recordings": run, "path": "ant.gif", "verbose": False, "workers": 0, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_the_estimate_grows_with_the_work():
    one = render_seconds(100, 96, 64, workers=0)
    assert 0 < one < 60
    assert render_seconds(200, 96, 64, workers=0) == pytest.approx(2 * one)
    assert render_seconds(100, 960, 640, workers=0) > 2 * one


# --- notebooks -------------------------------------------------------------------------------------------------------------


def test_show_embeds_the_animation_itself_under_the_name_that_github_shows(run, tmp_path):
    import base64

    path = animate(run, tmp_path / "ant.gif", 96, 64, seconds=0.3, workers=0, verbose=False)
    data, metadata = show(path, alt="an ant that walks")._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == path.read_bytes()
    assert metadata["image/png"]["alt"] == "an ant that walks"
    with pytest.raises(FileNotFoundError, match="no.gif"):
        show(tmp_path / "no.gif")
    with pytest.raises(ValueError, match="expected a .gif or .png"):
        show(tmp_path / "ant.mp4")


def test_paths_are_plotted_in_metres_with_what_became_of_them(run):
    far = record(Walk(), max_steps=20)
    far.terminated = True
    figure = plot_paths([run, far])
    (axes,) = figure.axes
    lines = axes.get_lines()
    np.testing.assert_array_equal(lines[0].get_xydata(), run.path)
    assert axes.get_aspect() == 1 and "(m)" in axes.get_xlabel() and "(m)" in axes.get_ylabel()
    assert figure.get_facecolor() == axes.get_facecolor() == (1, 1, 1, 1)
    markers = [(line.get_marker(), *line.get_xydata()[-1]) for line in lines if line.get_marker() != "None"]
    assert ("o", *run.path[-1]) in markers and ("X", *far.path[-1]) in markers
    assert [m[1:] for m in markers if m[0] == "*"] == [(2, 1)]  # that of the stock ant is a kilometre away
    assert min(text.get_fontsize() for text in axes.get_legend().get_texts() + axes.get_xticklabels()) >= 11
    assert plot_paths(run, ax=axes) is figure


# --- a saved policy, and the command line ----------------------------------------------------------------------------------


def test_a_saved_policy_is_loaded_whatever_its_hidden_size(tmp_path, monkeypatch):
    torch.manual_seed(0)
    saved = TD3(28, 8, 1.0, hidden=24)
    saved.save(tmp_path / "models" / "small" / "best")
    for part in ("critic", "critic_optimizer", "actor_optimizer"):
        (tmp_path / "models" / "small" / f"best_{part}").unlink()  # watching needs the actor alone
    monkeypatch.chdir(tmp_path)
    state = np.linspace(-1, 1, 28)
    np.testing.assert_array_equal(load_policy("small").select_action(state), saved.select_action(state))
    with pytest.raises(ValueError, match="does not fit"):
        load_policy("small", "HopperBulletEnv-v0")
    with pytest.raises(ValueError, match="not for TD3"):
        load_policy("small", "CartPole-v1")
    with pytest.raises(FileNotFoundError, match="'other'.*small"):
        load_policy("other")
    (tmp_path / "models" / "small" / "best_actor").write_text("nonsense")
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load_policy("small")


@pytest.fixture
def viewer_py(root, tmp_path):
    """Runs `python viewer.py ...` in an empty folder with one saved policy."""
    TD3(28, 8, 1.0, hidden=16).save(tmp_path / "models" / "base_ant_final" / "best")
    command = [sys.executable, str(root / "viewer.py")]
    return lambda *words: subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_command_line_runs_the_ant_and_says_how_it_went(viewer_py, tmp_path):
    done = viewer_py("ant", "--model", "base_ant_final", "--seed", "4", "--seconds", "0.1")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["return", "distance", "Painting", "animations/my_ant_run.gif"]
    recording = record(load_policy(tmp_path / "models" / "base_ant_final"), seed=4)
    assert lines[0].startswith(f"return {recording.total_reward:,.0f} in {recording.length} steps")
    assert lines[1] == f"distance {recording.distance:.1f} m, mean speed {recording.speed:.2f} m/s"
    assert len(frames(tmp_path / lines[-1])[0]) == 2


def test_the_command_line_walks_a_path_in_fast_forward(root, tmp_path):
    """The sprinter falls or gets lost on most paths, so it is the numbers that are compared."""
    words = ["--model", "my_ant_final", "--env", "MyAntRandomPointsBulletEnv-v0", "--points", "2", "--seed", "3"]
    command = [sys.executable, str(root / "viewer.py"), "ant", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    walk = record(load_policy("my_ant_final"), "MyAntRandomPointsBulletEnv-v0", 3, 2000, path=random_path(2, seed=3))
    assert done.returncode == 0 and done.stderr == ""
    first, _, last = done.stdout.splitlines()
    assert first.startswith(f"{walk.points_reached} of 2 points in {walk.length} steps ({walk.seconds:.1f} s, it ")
    assert last == "animations/my_ant_path.gif"
    pictures, durations = frames(tmp_path / last)
    speed = max(1, round(walk.seconds / viewer.FILM_SECONDS))
    assert sum(durations) / 1000 == pytest.approx(walk.seconds / speed + 1, abs=0.2) and sum(durations) < 23_000


def test_a_policy_knows_where_it_was_trained(tmp_path):
    assert viewer.trained_in("my_ant_final") == "MyAntOnwardBulletEnv-v0"
    TD3(28, 8, 1.0, hidden=16).save(tmp_path / "foreign")  # without the args.json of a run
    assert viewer.trained_in(tmp_path / "foreign") == "AntBulletEnv-v0"


def test_the_command_line_says_in_one_sentence_what_is_wrong(viewer_py):
    done = viewer_py("ant", "--points", "3", "--target", "1", "2")
    assert done.returncode == 1 and done.stderr.startswith("points is 3 and target (1.0, 2.0): expected")
    done = viewer_py("ant", "--model", "nobody")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("There is no checkpoint 'nobody'") and done.stderr.count("\n") == 1
