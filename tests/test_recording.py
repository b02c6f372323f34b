"""Recordings against episodes run step by step."""

import numpy as np
import pytest
from helpers import Walk
from pybullet_envs_gymnasium.gym_locomotion_envs import AntBulletEnv

from envs.registry import make_env
from override_ant import REACHED
from utils import load_policy
from viewing.recording import random_path, record, sharpest_corner


class TargetAnt(AntBulletEnv):
    """An ant whose reset takes a target, as in this repository, and that gives the terms of its reward."""

    def set_target(self, x, y):
        self.robot.walk_target_x, self.robot.walk_target_y = x, y

    def reset(self, seed=None, options=None):
        self.set_target(*(options or {}).get("target", (3, 4)))
        return super().reset(seed=seed)

    def step(self, action):
        state, reward, terminated, truncated, info = super().step(action)
        return state, reward, terminated, truncated, {"reward_terms": {"alive": self.rewards[0], "rest": sum(self.rewards[1:])}}


class OwnTargetAnt(AntBulletEnv):
    """An ant that chooses its target itself."""

    def reset(self, seed=None, options=None):
        self.robot.walk_target_x = 7
        return super().reset(seed=seed)


@pytest.fixture(scope="module")
def run():
    """80 steps toward (2, 1)."""
    return record(Walk(), seed=3, max_steps=80, target=(2, 1))


def test_a_recording_equals_an_episode_run_step_by_step():
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


def test_a_recording_has_the_documented_shapes(run):
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


def test_a_path_is_followed_point_by_point():
    """The shipped policy for any point reaches three points ahead; the reward does not jump when the target changes."""
    policy, points = load_policy("random_circle_final"), [(6.0, 0.0), (13.0, 0.5), (21.0, 0.0)]
    recording = record(policy, "MyAntRandomPointsBulletEnv-v0", path=points)
    assert recording.points.tolist() == [list(point) for point in points] and recording.points_reached == 3
    assert recording.arrivals[-1] == recording.length and (np.diff(recording.arrivals) > 50).all()
    assert not recording.truncated and recording.distance_to_target[-1] <= REACHED and recording.length < 600
    changes = np.flatnonzero(np.any(np.diff(recording.targets, axis=0) != 0, axis=1))
    for k, change in enumerate(changes):
        assert recording.arrivals[k] == change and np.hypot(*(recording.path[change] - points[k])) <= REACHED
    assert np.abs(recording.reward_terms["progress"]).max() < 10
    cut = record(policy, "MyAntRandomPointsBulletEnv-v0", path=points, max_steps=changes[0] + 5)
    assert cut.points_reached == 1 and len(cut.points) == 2


def test_given_targets_are_kept_in_an_environment_that_resets_its_target():
    """Without a given target, the environment chooses new ones again."""
    env = make_env("MyAntResetTargetBulletEnv-v0", target=(1.3, 0), max_episode_steps=400)
    runs = [record(Walk(), env, path=[(1.2, 0), (1.4, 0)]), record(Walk(), env, target=(1.3, 0), stop_at_target=1.0)]
    assert all(run.reached and run.length < 400 for run in runs)
    assert np.unique(runs[0].targets, axis=0).tolist() == pytest.approx(np.array([(1.2, 0), (1.4, 0)]))
    assert np.unique(runs[1].targets, axis=0).tolist() == pytest.approx(np.array([(1.3, 0)]))
    assert env.unwrapped.reset_target
    assert len(np.unique(record(Walk(), env).targets, axis=0)) > 1
    env.close()


def test_the_sharpest_corner_of_those_that_were_reached_is_found():
    run = record(Walk(), "MyAntBulletEnv-v0", max_steps=3)
    points = np.array([(2, 0), (4, 0), (4, 2), (2, 0), (4, 0)], np.float32)  # it turns by 0, 90, 135 and 135 degrees
    run.targets = np.repeat(points, 10, axis=0)
    run.torso = np.pad(np.repeat(points, 10, axis=0), ((0, 0), (0, 1)))
    run.torso[0] = 0
    assert run.points_reached == 5
    corner, degrees = sharpest_corner(run)
    assert (corner, round(degrees)) == (2, 135)
    run.targets, run.torso = run.targets[:30], run.torso[:30] - [0, 0.001, 0]
    run.torso[20:] = 0  # it does not come to the third point
    assert run.points_reached == 2 and sharpest_corner(run)[0] == 1
    with pytest.raises(ValueError, match="run has 1 points, of which 0 were reached: expected a corner."):
        sharpest_corner(record(Walk(), "MyAntBulletEnv-v0", max_steps=3))


def test_random_paths_keep_the_given_distances():
    points = random_path(200, 5, 28, seed=1)
    steps = np.linalg.norm(np.diff(points, axis=0, prepend=[[0, 0]]), axis=1)
    assert points.shape == (200, 2) and 5 <= steps.min() < 6 and 27 < steps.max() <= 28
    assert (random_path(seed=1) == random_path(seed=1)).all() and (random_path(seed=1) != random_path(seed=2)).any()


@pytest.mark.parametrize("path", [[], [(1, 2, 3)], [(1, np.nan)], "ab", [1, 2]])
def test_a_path_that_is_not_a_list_of_points_is_refused(path):
    with pytest.raises(ValueError, match="expected a list of points"):
        record(Walk(), "MyAntBulletEnv-v0", path=path)


def test_the_stock_ant_cannot_follow_a_path():
    with pytest.raises(ValueError, match="AntBulletEnv-v0 cannot be given a new target during an episode"):
        record(Walk(), "AntBulletEnv-v0", path=[(1, 2)])


def test_the_stock_ant_has_the_given_target_from_the_first_observation_and_reward_on():
    policies = {target: Walk() for target in [(0.0, 1000.0), (-1000.0, 0.0), None]}
    runs = {target: record(policy, max_steps=3, target=target) for target, policy in policies.items()}
    for target, sine, cosine in [((0.0, 1000.0), 1, 0), ((-1000.0, 0.0), 0, -1), (None, 0, 1)]:
        np.testing.assert_allclose(policies[target].states[0][1:3], [sine, cosine], atol=0.02)
        # with a potential from another target before the first step, the reward would be thousands
        assert abs(runs[target].rewards[0]) < 20
    assert runs[(0.0, 1000.0)].targets.tolist() == [[0, 1000]] * 4


def test_an_environment_with_targets_is_given_one_and_stays_open():
    env = TargetAnt()
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
        (OwnTargetAnt, {"target": (1, 2)}, "OwnTargetAnt chose"),
    ],
)
def test_what_cannot_be_recorded_is_named(make, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        record(Walk(), make(), **arguments)
