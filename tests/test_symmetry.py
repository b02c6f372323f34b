"""The symmetries that environments name are those of the physics, and the replay buffer applies them as they are."""

import dataclasses
import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch

from envs.registry import IDS, make_env, register
from envs.symmetry import (
    ANT_SYMMETRIES,
    ANT_TURNS,
    FRONT_BACK,
    HALF_TURN,
    LEFT_RIGHT,
    QUARTER_TURN,
    TOLERANCE,
    symmetries_that_hold,
    symmetry_error,
)
from main import main
from override_ant import MyAntBulletEnv
from utils import ReplayBuffer

NO_ANGLE = "MyAntRandomPointsNoAngleBulletEnv-v0"
ANGLE = "MyAntRandomPointsBulletEnv-v0"


@pytest.fixture(scope="module")
def pair():
    """Gives two of an environment, which stay open, because making one takes longer than the check."""
    made: dict = {}

    def get(id):
        if id not in made:
            made[id] = make_env(id), make_env(id)
        return made[id]

    yield get
    for env in itertools.chain(*made.values()):
        env.close()


@pytest.mark.parametrize("env", ["AntBulletEnv-v0", "MyAntBulletEnv-v0", NO_ANGLE])
@pytest.mark.parametrize("symmetry", ANT_SYMMETRIES, ids=lambda symmetry: symmetry.name)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_mirrored_ant_does_the_mirror_image(env, symmetry, seed, pair):
    """Of all observations and of the reward; the same test of wrong rules fails (below)."""
    error = symmetry_error(*pair(env), symmetry, seed)
    assert error.max() < 1e-3, error.round(4)


def error_of_wrong(symmetry, part, k, pair):
    """The largest difference with one mistake in a rule: sign k is turned, or index k is exchanged with its neighbour."""
    wrong = getattr(symmetry, part).copy()
    if part.endswith("sign"):
        wrong[k] *= -1
    else:
        wrong[[k, k - 1]] = wrong[[k - 1, k]]
    changed = dataclasses.replace(symmetry, **{part: wrong})
    steps = 25 if part == "state_sign" else 10  # until the torso has tilted, and its height has changed
    return symmetry_error(*pair(NO_ANGLE), changed, seed=1, steps=steps).max()


@pytest.mark.parametrize("symmetry", ANT_SYMMETRIES, ids=lambda symmetry: symmetry.name)
@pytest.mark.parametrize("part", ["state_sign", "state_index", "action_sign", "action_index"])
def test_every_wrong_sign_and_every_wrong_place_is_noticed(symmetry, part, pair):
    """Each sign is turned, and each index exchanged with its neighbour, except among foot contacts: no foot touches the ground yet."""
    assert symmetry_error(*pair(NO_ANGLE), symmetry, seed=1).max() < TOLERANCE, "the right rule passes in these environments"
    count = len(getattr(symmetry, part))
    for k in range(count if part.startswith("action") else count - 4):
        assert error_of_wrong(symmetry, part, k, pair) > TOLERANCE, (part, k)


def test_foot_contacts_change_places_with_their_legs():
    """The check above ends before a foot touches the ground, so this compares the two halves of each rule."""
    for symmetry in ANT_SYMMETRIES:
        assert [symmetry.state_index[24 + leg] - 24 for leg in range(4)] == [
            symmetry.action_index[2 * leg] // 2 for leg in range(4)
        ]


@pytest.mark.parametrize("symmetry", ANT_SYMMETRIES, ids=lambda symmetry: symmetry.name)
def test_twice_is_the_identity(symmetry):
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(5, 28)), rng.normal(size=(5, 8))
    np.testing.assert_array_equal(symmetry.state(symmetry.state(states)), states)
    np.testing.assert_array_equal(symmetry.action(symmetry.action(actions)), actions)
    assert not np.allclose(symmetry.state(states), states)


def test_a_half_turn_is_both_mirrors():
    states = np.random.default_rng(0).normal(size=(5, 28))
    np.testing.assert_array_equal(HALF_TURN.state(states), FRONT_BACK.state(LEFT_RIGHT.state(states)))
    np.testing.assert_array_equal(HALF_TURN.state(states), LEFT_RIGHT.state(FRONT_BACK.state(states)))


@pytest.mark.parametrize("turn", ANT_TURNS, ids=lambda turn: turn.name)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_turned_ant_does_the_same_turned(turn, seed, pair):
    """Roll and pitch of a quarter turn are those of a level ant, so the error is larger than that of a mirror."""
    assert symmetry_error(*pair(NO_ANGLE), turn, seed).max() < TOLERANCE


@pytest.mark.parametrize("part", ["state_sign", "action_sign", "action_index"])
def test_a_wrong_quarter_turn_is_noticed(part, pair):
    for k in range(24 if part == "state_sign" else 8):
        assert error_of_wrong(QUARTER_TURN, part, k, pair) > TOLERANCE, (part, k)


def test_turns_add_up_to_a_whole_turn():
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(5, 28)), rng.normal(size=(5, 8))
    turned_states, turned_actions = states, actions
    for turns in range(4):
        there, back = ANT_TURNS[turns], ANT_TURNS[-turns % 4]
        np.testing.assert_array_equal(there.state(states), turned_states)
        np.testing.assert_array_equal(there.action(actions), turned_actions)
        np.testing.assert_array_equal(back.state(there.state(states)), states)
        np.testing.assert_array_equal(back.action(there.action(actions)), actions)
        turned_states, turned_actions = QUARTER_TURN.state(turned_states), QUARTER_TURN.action(turned_actions)
    np.testing.assert_array_equal(turned_states, states)


def test_angle_progress_tells_front_from_back(pair):
    for symmetry in (FRONT_BACK, HALF_TURN):
        error = symmetry_error(*pair(ANGLE), symmetry)
        assert error[-1] > 10 * TOLERANCE > TOLERANCE > error[:-1].max(), "the reward alone differs"


@pytest.mark.parametrize("env", ["AntBulletEnv-v0", *(id for id in IDS if "Onward" not in id)])
def test_what_an_environment_names_holds(env, recwarn):
    named = make_env(env).unwrapped.symmetries
    assert symmetries_that_hold(lambda: make_env(env)) == list(named) and not recwarn.list
    assert named == (ANT_SYMMETRIES if "NoAngle" in env else (LEFT_RIGHT,))


class LameAnt(MyAntBulletEnv):
    """One motor does not work, and `symmetries` was forgotten."""

    def step(self, action):
        return super().step(np.where(np.arange(8) == 3, 0, action))


class WideAnt(MyAntBulletEnv):
    """One observation more."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (29,))

    def observe(self, state):
        return np.append(state, 0)


def test_a_symmetry_that_does_not_hold_is_named_and_not_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    register("LameAnt-v0", entry_point=LameAnt, max_episode_steps=20)
    register("WideAnt-v0", entry_point=WideAnt, max_episode_steps=20)
    with pytest.warns(UserWarning, match="'left-right' does not hold in this environment .within 10 steps, .* differs by"):
        assert symmetries_that_hold(lambda: make_env("LameAnt-v0")) == []
    with pytest.warns(UserWarning, match="it has 28 observations and 8 actions.*override the property `symmetries`"):
        assert symmetries_that_hold(lambda: make_env("WideAnt-v0")) == []
    small = {"env": "LameAnt-v0", "max_timesteps": 40, "start_timesteps": 20, "num_envs": 2, "workers": 0, "eval_episodes": 1}
    with pytest.warns(UserWarning, match="does not hold"):
        main(**small, hidden=8, batch_size=4, save_model=False)


def test_an_environment_that_names_none_has_none(recwarn):
    assert symmetries_that_hold(lambda: make_env("Pendulum-v1")) == [] and not recwarn.list


def test_each_part_of_a_batch_is_mirrored_in_its_way():
    """The drawn transitions are known from a buffer without symmetries and with the same seed."""
    rng = np.random.default_rng(0)
    plain, mirrored = (ReplayBuffer(28, 8, 100, seed=3, symmetries=each) for each in ((), ANT_SYMMETRIES))
    rows = [
        rng.normal(size=(50, 28)),
        rng.normal(size=(50, 8)),
        rng.normal(size=(50, 28)),
        rng.normal(size=50),
        rng.random(50) < 0.5,
    ]
    for buffer in (plain, mirrored):
        buffer.add(*rows)
    expected, found = ([part.numpy() for part in buffer.sample(30)] for buffer in (plain, mirrored))
    parts = np.array_split(np.arange(30), 4)
    for symmetry, part in zip((None, *ANT_SYMMETRIES), parts, strict=True):
        for k, rule in enumerate(("state", "action", "state")):
            image = expected[k][part] if symmetry is None else getattr(symmetry, rule)(expected[k][part])
            np.testing.assert_array_equal(found[k][part], image)
        np.testing.assert_array_equal(found[3][part], expected[3][part])
        np.testing.assert_array_equal(found[4][part], expected[4][part])
    assert torch.equal(mirrored.table[:50], plain.table[:50]), "what is remembered stays as it was"


def test_a_batch_smaller_than_the_number_of_symmetries():
    buffer = ReplayBuffer(28, 8, 10, symmetries=ANT_SYMMETRIES)
    buffer.add(np.ones(28), np.ones(8), np.ones(28), 1.0, False)
    assert buffer.sample(2)[0].shape == (2, 28)
