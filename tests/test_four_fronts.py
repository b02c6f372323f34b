"""The ant with four fronts sees its target ahead, moves as its other self would, and is otherwise the ant for any point."""

import numpy as np
import pytest
from helpers import Linear

from envs.registry import make_env
from envs.symmetry import ANT_TURNS
from override_ant_four_fronts import FourFronts, facing_side
from utils import UNSEEN_SEED, load_policy
from viewing.directions import eval_directions

FOUR, ANY = "MyAntFourFrontsBulletEnv-v0", "MyAntRandomPointsNoAngleBulletEnv-v0"
SIDES = {0: (9, 2), 1: (-2, 9), 2: (-9, -2), 3: (2, -9)}
"""Targets for which each side is the front."""


def start(id, side):
    env = make_env(id)
    state, _ = env.reset(seed=0, options={"target": SIDES[side]})
    return env, state


@pytest.mark.parametrize("side", SIDES)
def test_what_it_sees_and_does_are_turned_and_nothing_else(side):
    """The same motor commands, given to both ants in their own terms, lead to the same states and rewards, bit for bit."""
    (four, seen), (ant, state) = start(FOUR, side), start(ANY, side)
    rng = np.random.default_rng(side)
    for _ in range(30):
        assert four.unwrapped.front == side
        np.testing.assert_array_equal(seen, ANT_TURNS[side].state(state))
        action = rng.uniform(-1, 1, 8).astype(np.float32)
        seen, reward, terminated, _, _ = four.step(action)
        state, same_reward, same_end, _, _ = ant.step(ANT_TURNS[-side % 4].action(action))
        assert reward == same_reward and terminated == same_end
    four.close()
    ant.close()


def test_its_target_is_always_ahead():
    """In the observation, at first within 45 degrees and then within 60, also after another target is chosen on the way."""
    env = make_env("MyAntFourFrontsResetTargetBulletEnv-v0")
    rng, fronts = np.random.default_rng(0), set()
    for seed in range(12):
        state, _ = env.reset(seed=seed)
        for t in range(20):
            assert abs(np.degrees(np.arctan2(state[1], state[2]))) <= (60 if t else 45) + 1e-3
            fronts.add(env.unwrapped.front)
            if t % 5 == 4:  # it is there
                env.unwrapped.set_target(*env.unwrapped.robot.body_real_xyz[:2])
            state, *_ = env.step(rng.uniform(-1, 1, 8).astype(np.float32))
    assert fronts == {0, 1, 2, 3}
    env.close()


def test_a_side_remains_the_front_until_the_target_is_15_degrees_beyond_its_border():
    degrees = [0, 44, 46, 59, 61, 46, 31, 29, -44, -61, -179, 179, 121, 119]
    front, fronts = None, []
    for angle in np.deg2rad(degrees):
        fronts.append(front := facing_side(angle, front))
    assert fronts == [0, 0, 0, 0, 1, 1, 1, 0, 0, 3, 2, 2, 2, 1]
    assert [facing_side(angle) for angle in np.deg2rad(degrees)] == [0, 0, 1, 1, 1, 1, 0, 0, 0, 3, 2, 2, 1, 1]


def test_each_episode_begins_with_the_facing_side_its_target():
    env, _ = start(FOUR, 0)
    base = env.unwrapped
    for degrees, front in {50: 1, 40: 0}.items():  # after an episode that ended with the other front
        angle = np.deg2rad(degrees)
        env.reset(seed=0, options={"target": (9 * np.cos(angle), 9 * np.sin(angle))})
        assert base.front == front
    env.close()


@pytest.mark.parametrize("side", SIDES)
def test_its_policy_can_walk_in_the_ant_with_one_front(side):
    """It then does the same, up to the rounding of the angle, also after the target was moved behind it between two steps."""
    (four, seen), (ant, state) = start(FOUR, side), start(ANY, side)
    policy = Linear()
    turning = FourFronts(policy)
    for t in range(10):
        action, same_action = policy.select_action(seen), turning.select_action(state)
        np.testing.assert_allclose(seen, ANT_TURNS[turning.front].state(state), atol=1e-4)
        if t == 5:
            x, y = SIDES[side]
            for env in (four, ant):
                env.unwrapped.set_target(-x, -y)
        seen, *_ = four.step(action)
        state, *_ = ant.step(same_action)
    assert four.unwrapped.front == turning.front == (side + 2) % 4
    four.close()
    ant.close()


@pytest.mark.slow
def test_a_sprinter_runs_to_all_sides_without_training():
    """It knows only how to run ahead.  With one front, it gets to the point ahead of it and to none of the others."""
    sprinter = load_policy("base_ant_final")
    reached = [eval_directions(sprinter, id, count=4, seed=UNSEEN_SEED).reached.tolist() for id in (ANY, FOUR)]
    assert reached == [[True, False, False, False], [True] * 4]
