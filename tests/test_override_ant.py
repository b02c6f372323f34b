"""Our ant against upstream's, bit for bit; targets, named terms and the angle term against geometry; and no leaks."""

import sys
import types

import gymnasium as gym
import imageio.v3
import numpy as np
import psutil
import pybullet
import pytest
from gymnasium.utils.env_checker import check_env
from helpers import train_with_stable_baselines3

import override_ant_random_points
from envs.batched_walker import BatchedAnt
from envs.bullet import quiet
from envs.registry import make_env, make_envs
from override_ant import MyAntBulletEnv

ONE, ANY = "MyAntBulletEnv-v0", "MyAntRandomPointsBulletEnv-v0"
DT = 0.0165  # seconds of a step


def episode(env, seed, actions):
    """All that an environment returns in one episode, as a list of rows."""
    rows = [np.append(env.reset(seed=seed)[0], [0, 0, 0])]
    for action in actions:
        state, reward, terminated, truncated, _ = env.step(action)
        rows.append(np.append(state.astype(np.float64), [reward, terminated, truncated]))
        if terminated or truncated:
            break
    return np.array(rows)


def test_with_upstreams_target_it_is_upstreams_ant_to_the_last_bit():
    """Five episodes, the first of a new environment included: two of a thousand steps, three in which the ant falls."""
    with quiet():
        ours = gym.make(ONE, target=(1000, 0), disable_env_checker=True)
        upstream = gym.make("AntBulletEnv-v0", disable_env_checker=True)
        rng, lengths = np.random.default_rng(0), []
        for seed, strength in enumerate([0.1, 0.5, 1.0, 0.05, 1.5]):
            actions = (rng.uniform(-1, 1, (1000, 8)) * strength).astype(np.float32)
            a, b = episode(ours, seed, actions), episode(upstream, seed, actions)
            np.testing.assert_array_equal(a, b)
            lengths.append(len(a) - 1)
    assert max(lengths) == 1000 and min(lengths) < 1000, "one episode ended by its time limit and one by a fall"
    ours.close()
    upstream.close()


def test_the_stock_ant_of_make_env_is_upstreams_to_the_last_bit():
    """Three episodes after the first, which `make_env` has behind it."""
    ours = make_env("AntBulletEnv-v0")
    assert type(ours.unwrapped.robot) is BatchedAnt
    with quiet():
        upstream = gym.make("AntBulletEnv-v0", disable_env_checker=True)
        upstream.reset()
    rng, lengths = np.random.default_rng(1), []
    for seed, strength in enumerate([0.1, 1.0, 0.5]):
        actions = (rng.uniform(-1, 1, (1000, 8)) * strength).astype(np.float32)
        a, b = episode(ours, seed, actions), episode(upstream, seed, actions)
        np.testing.assert_array_equal(a, b)
        lengths.append(len(a) - 1)
    assert max(lengths) == 1000
    ours.close()
    upstream.close()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("id", ["AntBulletEnv-v0", ONE])
def test_an_action_that_is_not_finite_is_refused_as_upstream_does(id, wrong):
    env = make_env(id)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action is .*: expected 8 finite numbers"):
        env.step(np.array([0, 0, wrong, 0, 0, 0, 0, 0], np.float32))
    env.close()


def test_other_robots_of_upstream_are_left_as_they_are():
    env = make_env("HalfCheetahBulletEnv-v0")
    assert type(env.unwrapped.robot).__module__.startswith("pybullet_envs_gymnasium")
    env.close()


@pytest.mark.parametrize("id", [ONE, ANY])
def test_gymnasiums_checker_passes(id, recwarn):
    with quiet():
        check_env(gym.make(id).unwrapped, skip_render_check=True)
    complaints = [
        str(w.message) for w in recwarn if "A Box observation space" not in str(w.message) and "seed" not in str(w.message)
    ]
    assert not [c for c in complaints if "We recommend" not in c], complaints


@pytest.mark.slow
@pytest.mark.parametrize("id", [ONE, ANY])
def test_stable_baselines3_trains_on_it_unmodified(id):
    train_with_stable_baselines3(id, 400)


@pytest.mark.parametrize("id", [ONE, ANY])
def test_same_seed_same_trajectory_in_one_process_and_in_workers(id):
    actions = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3, 8)).astype(np.float32)
    seen = []
    for workers in (0, 2):
        envs = make_envs(id, 3, workers)
        states = [envs.reset(seed=5)[0]] + [envs.step(a)[0].copy() for a in actions]
        seen.append(np.array(states))
        envs.close()
    np.testing.assert_array_equal(*seen)


# --- the target ------------------------------------------------------------------------------------------------------------------


def angle_seen(state):
    return np.arctan2(state[1], state[2])


def test_the_target_of_an_episode_and_of_the_next():
    env = make_env(ONE)
    inner = env.unwrapped
    for target in [(0, 10), (-5, 1), (3.0, -4.0)]:
        state, _ = env.reset(seed=0, options={"target": target})
        assert (inner.robot.walk_target_x, inner.robot.walk_target_y) == target
        assert angle_seen(state) == pytest.approx(np.arctan2(target[1], target[0]), abs=0.02)
    state, _ = env.reset(seed=0)
    assert (inner.robot.walk_target_x, inner.robot.walk_target_y) == (20, 20), "without options, the environment's own"
    env.close()
    env = make_env(ONE, target=(1, 2))
    assert env.unwrapped.robot.walk_target_y == 2
    env.close()


@pytest.mark.parametrize("id", [ONE, ANY])
def test_moving_the_target_makes_no_jump_in_the_reward(id):
    """Two ants that do the same; one is sent elsewhere on the way.  No term of its rewards knows of the distance between targets."""
    env = make_env(id)
    env.reset(seed=0, options={"target": (20, 0)})
    for _ in range(20):
        env.step(np.zeros(8, np.float32))
    env.unwrapped.set_target(-300, 500)
    state, reward, *_, info = env.step(np.zeros(8, np.float32))
    assert abs(info["reward_terms"]["progress"]) < 5 and abs(reward) < 10
    assert abs(info["reward_terms"].get("angle_progress", 0)) < 1
    assert angle_seen(state) == pytest.approx(np.arctan2(500, -300), abs=0.2)
    env.close()


@pytest.mark.parametrize("target", [(1,), (1, 2, 3), (np.nan, 0), (0, np.inf), "ab", None, 5, ("x", 1)])
def test_a_target_that_is_not_two_finite_numbers_is_refused(target):
    with pytest.raises(ValueError, match="target is .*: expected two finite numbers, x and y in metres"):
        MyAntBulletEnv(target=target)
    if target is not None:
        env = make_env(ONE)
        with pytest.raises(ValueError, match="expected two finite numbers"):
            env.reset(options={"target": target})
        env.close()


def test_random_targets_lie_on_the_circle_and_come_from_the_seed():
    env = make_env(ANY)
    robot = env.unwrapped.robot
    drawn = []
    for seed in [3, 3, None] + [None] * 200:
        env.reset(seed=seed)
        drawn.append((robot.walk_target_x, robot.walk_target_y))
    drawn = np.array(drawn)
    np.testing.assert_allclose(np.hypot(*drawn.T), np.hypot(20, 20))
    assert (drawn[0] == drawn[1]).all() and (drawn[1] != drawn[2]).any()
    quadrants = np.bincount((drawn[:, 0] > 0) * 2 + (drawn[:, 1] > 0), minlength=4)
    assert quadrants.min() > 25  # of 203; about 51 are expected
    env.reset(options={"target": (1, 1)})
    assert (robot.walk_target_x, robot.walk_target_y) == (1, 1)
    env.close()


def put(env, x, y):
    """Sets the ant down at (x, y), in metres, looking and moving as it was."""
    p, body = env.unwrapped._p, env.unwrapped.robot.objects[0]
    (_, _, z), turned = p.getBasePositionAndOrientation(body)
    p.resetBasePositionAndOrientation(body, (x, y, z), turned)


@pytest.mark.parametrize("id, seen", [("AntBulletEnv-v0", 21 / 22), (ONE, 21 / 22), (ANY, 1)])
def test_where_the_ant_takes_itself_to_be(id, seen):
    """Upstream's counts the floor, which lies at the origin, among its 22 parts; the one for any point looks from its torso."""
    env = make_env(id)
    robot = env.unwrapped.robot
    env.reset(seed=0)
    robot.walk_target_x, robot.walk_target_y = 0, 1000
    put(env, 22, 0)
    env.step(np.zeros(8, np.float32))
    assert np.tan(np.pi / 2 - robot.walk_target_theta) * -1000 == pytest.approx(22 * seen, abs=0.1)
    env.close()


def test_a_target_stays_unless_the_environment_resets_it():
    for reset_target in (False, True):
        for id, radius in ((ONE, np.hypot(20, 20)), (ANY, override_ant_random_points.RADIUS)):
            env = make_env(id, reset_target=reset_target)
            robot = env.unwrapped.robot
            env.reset(seed=0, options={"target": (3, 0)})
            *_, info = env.step(np.zeros(8, np.float32))
            assert (robot.walk_target_x, robot.walk_target_y) == (3, 0), "not there yet"
            put(env, 2.5, 0)
            state, _, terminated, truncated, info = env.step(np.zeros(8, np.float32))
            assert info["reward_terms"]["progress"] == pytest.approx(2.5 / DT, rel=0.1), "toward the target that it reached"
            assert not (terminated or truncated)
            here = np.array([robot.walk_target_x, robot.walk_target_y])
            if reset_target:
                assert np.hypot(*(here - robot.body_real_xyz[:2])) == pytest.approx(radius, abs=1.0)
                *_, info = env.step(np.zeros(8, np.float32))
                assert abs(info["reward_terms"]["progress"]) < 5, "the new target makes no jump in the reward"
                assert abs(info["reward_terms"].get("angle_progress", 0)) < 5
            else:
                assert tuple(here) == (3, 0)
            way = np.arctan2(*(here - robot.body_real_xyz[:2])[::-1]) - robot.body_rpy[2]
            np.testing.assert_allclose(state[1:3], [np.sin(way), np.cos(way)], atol=0.15)
            env.close()


def test_the_next_target_is_as_far_again_in_the_same_direction():
    env = make_env("MyAntResetTargetBulletEnv-v0")
    env.reset(seed=0)
    for target in (20, 40, 60):
        assert (env.unwrapped.robot.walk_target_x, env.unwrapped.robot.walk_target_y) == (target, target)
        put(env, target - 0.5, target)
        env.step(np.zeros(8, np.float32))
    env.close()


# --- the terms of the reward ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id, count", [(ONE, 5), (ANY, 6)])
def test_the_terms_sum_to_the_reward(id, count):
    env = make_env(id)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        _, reward, *_, info = env.step(rng.uniform(-1, 1, 8).astype(np.float32))
        assert len(info["reward_terms"]) == count
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
    env.close()


def turn(env, yaw):
    """Puts the ant down elsewhere, looking in direction `yaw` (radians): what a physical turn would end in."""
    p, body = env.unwrapped._p, env.unwrapped.robot.objects[0]
    position, _ = p.getBasePositionAndOrientation(body)
    p.resetBasePositionAndOrientation(body, position, p.getQuaternionFromEuler([0, 0, yaw]))


def test_turning_half_way_round_is_worth_two_by_dt_and_reaches_the_reward():
    """From looking away from the target to looking at it, in eight steps, with and without the term."""
    total = {}
    for on in (True, False):
        env = make_env(ANY, angle_progress=on)
        env.reset(seed=0, options={"target": (-1000, 0)})  # behind it
        rewards, angles = 0.0, 0.0
        for yaw in np.linspace(0, np.pi, 9)[1:]:
            turn(env, yaw)
            _, reward, *_, info = env.step(np.zeros(8, np.float32))
            rewards += reward
            angles += info["reward_terms"].get("angle_progress", 0.0)
        total[on] = rewards
        assert angles == (pytest.approx(2 / DT, rel=0.01) if on else 0.0)
        env.close()
    assert total[True] - total[False] == pytest.approx(2 / DT, rel=0.01), "the term reaches the returned reward"


def test_the_angle_term_is_small_on_the_first_step_and_after_a_new_target():
    """An ant that stands still earns nothing for an angle that is merely there."""
    env = make_env(ANY)
    for target in [(20, 0), (-20, 0), (0, -20)]:
        env.reset(seed=0, options={"target": target})
        *_, info = env.step(np.zeros(8, np.float32))
        assert abs(info["reward_terms"]["angle_progress"]) < 1
    env.close()


# --- registration and life time ----------------------------------------------------------------------------------------------------


def test_a_film_can_be_recorded_with_gymnasiums_wrapper(tmp_path, monkeypatch):
    """The wrapper is Gymnasium's own.  It hands its frames to MoviePy, which cannot be installed with Pillow 12 or newer, so a writer
    with the same call stands in for it; the film is then read back."""

    class ImageSequenceClip:
        def __init__(self, frames, fps):
            self.frames, self.fps = frames, fps

        def write_videofile(self, path, logger=None):
            imageio.v3.imwrite(path, np.stack(self.frames), fps=self.fps, codec="libx264", plugin="pyav")

    for name in ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip"):
        module = types.ModuleType(name)
        module.ImageSequenceClip = ImageSequenceClip
        monkeypatch.setitem(sys.modules, name, module)
    with quiet():
        env = gym.wrappers.RecordVideo(gym.make(ONE, render_mode="rgb_array"), str(tmp_path), disable_logger=True)
        env.reset(seed=0)
        for _ in range(5):
            env.step(np.ones(8, np.float32))
        env.close()
    (film,) = tmp_path.glob("*.mp4")
    frames = imageio.v3.imread(film, plugin="pyav")
    assert (
        imageio.v3.immeta(film, plugin="pyav")["fps"] == 60
        and len(frames) == 6
        and (frames[0] != frames[-1]).any()
        and frames[0].std() > 10
    )


@pytest.mark.slow
def test_making_and_closing_many_leaves_no_client_and_no_memory_behind():
    """500 times make, reset, step, close."""
    sizes = []
    for k in range(500):
        with quiet():
            env = gym.make(ONE, disable_env_checker=True)
            env.reset(seed=k)
            env.step(np.zeros(8, np.float32))
            client = env.unwrapped._p._client
            env.close()
        assert not pybullet.isConnected(client)
        if k in (100, 499):
            sizes.append(psutil.Process().memory_info().rss)
    assert sizes[1] - sizes[0] < 30e6, "less than one client's memory in 400 rounds"
