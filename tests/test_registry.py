"""Environments by their ids."""

import json
import subprocess
import sys

import gymnasium as gym
import pytest

from envs.registry import IDS, dimensions, find_env, register


def test_the_environments_of_this_repository_are_found_without_an_import():
    """In a fresh process, because here other tests have imported them."""
    code = "from envs.registry import find_env; print(find_env('MyAntRandomPointsNoAngleBulletEnv-v0').kwargs, find_env('MyAntBulletEnv-v0').id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split("\n")[-2] == "{'angle_progress': False} MyAntBulletEnv-v0"


def test_an_unknown_environment_gets_the_nearest_name():
    with pytest.raises(ValueError, match="There is no environment 'AntBuletEnv-v0': did you mean 'AntBulletEnv-v0'"):
        find_env("AntBuletEnv-v0")
    with pytest.raises(ValueError, match="'no_such_module' cannot be imported"):
        find_env("no_such_module:AntBulletEnv-v0")
    with pytest.raises(ValueError, match="check the name before the colon"):
        find_env("..:AntBulletEnv-v0")


def test_every_id_can_be_made_and_runs_of_before_find_theirs(root):
    for id, (_, kwargs) in IDS.items():
        env = gym.make(id, disable_env_checker=True)
        assert env.observation_space.shape == (28,)
        assert env.unwrapped.reset_target == kwargs.get("reset_target", False)
        assert getattr(env.unwrapped, "angle_progress", True) == kwargs.get("angle_progress", "FourFronts" not in id)
        env.close()
    for path in root.glob("models/*/args.json"):
        assert find_env(json.loads(path.read_text())["env"]).id
    assert find_env("MyAntOnwardBulletEnv-v0").kwargs == {"reset_target": True}


def test_the_latest_registration_of_an_id_counts():
    for steps in (3, 4):
        register("Twice-v0", entry_point="override_ant:MyAntBulletEnv", max_episode_steps=steps)
    assert find_env("Twice-v0").max_episode_steps == 4
    gym.registry.pop("Twice-v0")


def test_spaces_that_td3_cannot_act_in_are_refused():
    assert dimensions("AntBulletEnv-v0") == (28, 8, 1.0)
    assert dimensions("Pendulum-v1") == (3, 1, 2.0)
    with pytest.raises(ValueError, match=r"'CartPole-v1' has actions Discrete\(2\): expected a flat Box"):
        dimensions("CartPole-v1")
    with pytest.raises(ValueError, match="has observations Discrete"):
        dimensions("FrozenLake-v1")
