"""The recipes: each one changes what it says and nothing else, and works with everything that takes an environment."""

import csv
import dataclasses
import inspect
import json
import re
import warnings
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from conftest import ROOT
from gymnasium.utils.env_checker import check_env
from helpers import Still, train_with_stable_baselines3

import cookbook
from benchmarks import cookbook as tables
from envs.bullet import connect, quiet
from envs.mistakes import EnvironmentMistake
from envs.registry import COOKBOOK, cookbook_id, dimensions, make_env, make_envs, register
from envs.symmetry import symmetries_that_hold
from envs.vector import WorkerError
from envs.world import Box, HeightField, World, ground_heights
from main import main
from override_ant import MyAntBulletEnv
from training.trials import RUN, write_state
from viewing import steer
from viewing.animation import animate
from viewing.measures import MEASURES, means, plot_matrix, plot_measure, plot_tradeoff
from viewing.recording import record
from viewing.renderer import Renderer
from viewing.scene3d import Scene3D, save_html
from viewing.server import serving
from viewing.steer import Simulation, SteeringApp

IDS = [cookbook_id(name) for name in COOKBOOK]
SPRINTER = cookbook_id("Sprinter")


def rollout(env, actions, seed=0):
    """Observations and rewards of an episode, (T + 1, S + 1); it goes on after a fall."""
    rows = [np.append(env.reset(seed=seed)[0], 0)]
    for action in actions:
        state, reward, *_ = env.step(action)
        rows.append(np.append(state, reward))
    return np.array(rows)


def some_actions(steps=60, seed=0, strength=1.0):
    return (np.random.default_rng(seed).uniform(-1, 1, (steps, 8)) * strength).astype(np.float32)


# --- all recipes ------------------------------------------------------------------------------------------------------------


def test_a_recipe_is_at_most_fifteen_lines():
    """Without the empty lines."""
    recipes = {
        each
        for each in vars(cookbook).values()
        if inspect.isclass(each) and each.__module__ == "cookbook" and issubclass(each, (gym.Env, gym.Wrapper))
    }
    lengths = {
        each.__name__: sum(bool(line.strip()) for line in inspect.getsource(each).splitlines())
        - bool(each.__doc__) * each.__doc__.count("\n")
        for each in recipes
    }
    assert {name: length for name, length in lengths.items() if length > 15} == {}
    assert {name for name in lengths if name in COOKBOOK} == {
        name for name in COOKBOOK if inspect.isclass(vars(cookbook)[name])
    }


@pytest.mark.parametrize("id", IDS)
def test_gymnasiums_checker_passes(id):
    with quiet(), warnings.catch_warnings(record=True) as found, closing(gym.make(id)) as env:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    expected = ("observation space m", "different from the unwrapped", "seed", "We recommend")
    assert not [str(each.message) for each in found if not any(words in str(each.message) for words in expected)]


@pytest.mark.parametrize("id", IDS)
def test_an_episode_depends_on_its_seed_alone_in_one_process_and_in_a_worker_and_when_it_is_repeated(id):
    """Those in the worker first have an episode with other seeds, which chooses another world and leaves it behind."""
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 2, 8)).astype(np.float32)
    seen = []
    for workers in (0, 1):
        with closing(make_envs(id, 2, workers)) as envs:
            if workers:
                envs.reset(seed=99)
                for action in actions[:7]:
                    envs.step(action)
            states = [envs.reset(seed=5)[0].copy()]
            for action in actions:
                envs.step_async(action)
                states.append(envs.step_wait()[0].copy())
            seen.append(np.array(states))
            episodes = envs.log.episodes()
    np.testing.assert_array_equal(*seen)
    with closing(make_envs(id, 2, 0)) as envs:
        np.testing.assert_array_equal(envs.repeat_episodes(episodes), seen[0][-1])


@pytest.mark.parametrize("id", IDS)
def test_the_symmetries_that_a_recipe_names_hold(id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        symmetries_that_hold(lambda: make_env(id))


@pytest.mark.slow
@pytest.mark.parametrize("id", IDS)
def test_stable_baselines3_trains_on_it_unmodified(id):
    train_with_stable_baselines3(id, 40)


def test_the_notebook_shows_the_recipes_as_they_are():
    """What a cell compares by `same_as` is written there as in cookbook.py, and each of the eight sections has all of its parts."""
    cells = json.loads((ROOT / "TD3notebook-cookbook.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = set()
    for cell in ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"):
        for name, original in re.findall(r"^same_as\((\w+), cookbook\.(\w+)\)$", cell, re.M):
            assert name == original and inspect.getsource(vars(cookbook)[name]).strip() in cell, name
            shown.add(name)
    assert len(shown) >= 15
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    sections = re.split(r"^## ", text, flags=re.M)
    assert [section[0] for section in sections if section[0].isdigit()] == list("12345678")
    for section in sections:
        if section[0].isdigit():
            parts = [section.find(f"**{part}") for part in ("Question.", "Prediction.", "The trap.", "In short:")]
            assert parts == sorted(parts) and parts[0] > 0, section[:40]


# --- what the base environment offers ---------------------------------------------------------------------------------------


def test_the_sprinter_is_the_stock_ant_to_the_last_bit():
    with closing(make_env(SPRINTER)) as ours, closing(make_env("AntBulletEnv-v0")) as stock:
        for seed in (0, 1):
            np.testing.assert_array_equal(rollout(ours, some_actions(), seed), rollout(stock, some_actions(), seed))


def physics_of(env):
    """Gravity, friction of the ground and mass as Bullet has them now."""
    inner = env.unwrapped
    client, body = inner._p, inner.robot.objects[0]
    ground = [*inner.stadium_scene.ground_plane_mjcf, *inner.terrain]
    frictions = {client.getDynamicsInfo(each, -1)[1] for each in ground}
    masses = [client.getDynamicsInfo(body, link)[0] for link in range(-1, client.getNumJoints(body))]
    gravity = client.getPhysicsEngineParameters()["gravityAccelerationZ"]
    return gravity, frictions, sum(masses)


def test_a_world_is_the_one_of_its_episode_and_survives_the_state_that_upstream_restores():
    worlds = [World(), World(gravity=1.62), World(friction=0.1, load=50), World(load=20), World()]

    class Worlds(cookbook.Hills):
        def choose_world(self):
            return worlds[self.number]

    env = Worlds()
    mass = 182.176
    inertia = []
    for env.number, world in enumerate(worlds):
        env.reset(seed=0)
        for action in some_actions(20):
            env.step(action)
        gravity, frictions, found = physics_of(env)
        assert (gravity, frictions) == (-world.gravity, {world.friction})
        assert found == pytest.approx(mass + world.load, abs=1e-3)
        inertia.append(env._p.getDynamicsInfo(env.robot.objects[0], -1)[2])
    assert inertia[0] == inertia[-1] and inertia[2] > inertia[3] > inertia[0]
    env.close()


def test_a_world_of_other_episodes_leaves_nothing_behind():
    """The stock world after all others is the stock ant's, to the last bit."""

    class Worlds(cookbook.Sprinter):
        world = World(1.62, 0.1, 50)

        def choose_world(self):
            return self.world

    env = Worlds()
    with quiet():
        env.reset()
    rollout(env, some_actions(), 7)
    env.world = World()
    with closing(make_env("AntBulletEnv-v0")) as stock:
        np.testing.assert_array_equal(rollout(env, some_actions(), 3), rollout(stock, some_actions(), 3))
    env.close()


def test_the_ant_falls_as_fast_as_the_gravity_says():
    """Before its feet touch the ground, an ant that does nothing loses g t^2 / 2 of height."""
    for id, gravity in ((SPRINTER, 9.8), (cookbook_id("Moon"), 1.62)):
        with closing(make_env(id)) as env:
            states = rollout(env, np.zeros((10, 8), np.float32))
            time = 10 * env.unwrapped.scene.dt
        assert states[10, 0] == pytest.approx(-gravity * time**2 / 2, rel=0.15)


def test_ice_brakes_an_ant_less_than_the_floor():
    """Both are pushed along the ground at 3 m/s, and slide."""
    slid = {}
    for id in (SPRINTER, cookbook_id("Ice")):
        with closing(make_env(id)) as env:
            rollout(env, np.zeros((120, 8), np.float32))
            p, robot = env.unwrapped._p, env.unwrapped.robot
            before = robot.body_real_xyz[0]
            p.resetBaseVelocity(robot.objects[0], [3, 0, 0])
            for _ in range(60):
                env.step(np.zeros(8, np.float32))
            slid[id] = robot.body_real_xyz[0] - before
    assert slid[cookbook_id("Ice")] > 1.5 * slid[SPRINTER] > 0


def test_the_ground_is_where_its_shapes_say():
    """Heights from Bullet's rays against those of the shapes, and the meshes that are drawn against the rays."""
    rng = np.random.default_rng(0)
    field = HeightField(rng.uniform(-0.3, 0.5, (9, 6)), 0.5, (10.0, 1.0))
    ramp = Box((0, 0, 1.0), (2.0, 4.0, 0.2), (0, -np.radians(30), 0))
    client = connect()
    for shape in (field, ramp):
        shape.add(client)
    i, j = np.meshgrid(np.arange(1, 8), np.arange(1, 5), indexing="ij")
    points = np.stack([10 + (i - 4) * 0.5, 1 + (j - 2.5) * 0.5], axis=2).reshape(-1, 2)
    found = ground_heights(client, points)
    np.testing.assert_allclose(found, field.heights[1:8, 1:5].ravel(), atol=1e-3)
    x = np.array([-0.6, 0.0, 0.6])
    found = ground_heights(client, np.stack([x, 0 * x], axis=1))
    np.testing.assert_allclose(found, 1 + 0.1 / np.cos(np.radians(30)) + x * np.tan(np.radians(30)), atol=1e-6)
    for shape in (field, ramp):
        vertices, faces = shape.mesh()
        assert faces.max() < len(vertices) and vertices.dtype == np.float32
        low, high = client.getAABB(0 if shape is field else 1)
        assert (vertices.max(axis=0) <= np.array(high) + 0.01).all()
        normals = np.cross(*(vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2)))
        middle = vertices[faces].mean(axis=1) - vertices.mean(axis=0)
        outward = normals[:, 2] > 0 if shape is field else (normals * middle).sum(axis=1) > 0
        assert outward.all(), "every face is seen from outside"
    client.disconnect()


def test_on_a_terrain_the_ant_feels_the_ground_and_its_height_is_the_one_above_it():
    class Plateau(cookbook.Sprinter):
        def ground(self):
            return [Box((0, 0, 4), (6, 6, 8))]

        def choose_start(self):
            return (0, 0, 8.75), (0, 0, 0)

    env = Plateau()
    flat = rollout(make_env(SPRINTER), np.zeros((100, 8), np.float32))
    high = rollout(env, np.zeros((100, 8), np.float32))
    np.testing.assert_allclose(high[-1, :28], flat[-1, :28], atol=0.02)
    assert high[-1, 24:28].sum() >= 2 and env.robot.body_real_xyz[2] > 8.2
    env.close()


# --- each recipe does what it says ------------------------------------------------------------------------------------------


def pair(recipe, of="Sprinter", steps=60, strength=1.0):
    """The same actions in the unchanged ant and in a recipe: two arrays, and the two environments, closed."""
    rows, envs = [], []
    for name in (of, recipe):
        with closing(make_env(cookbook_id(name))) as env:
            rows.append(rollout(env, some_actions(steps, strength=strength)))
            envs.append(env.unwrapped)
    return *rows, envs


@pytest.mark.parametrize("recipe, price", [("Electricity4", 4), ("Electricity16", 16)])
def test_electricity_has_its_price(recipe, price):
    plain, dear, (first, second) = pair(recipe)
    np.testing.assert_array_equal(plain[:, :-1], dear[:, :-1])
    assert second.terms["electricity"] == price * first.terms["electricity"] < 0


@pytest.mark.parametrize(
    "recipe, kept, further", [("NoContacts", 24, 0), ("NearWithDistance", 28, 1), ("OnPathTwoAhead", 28, 2)]
)
def test_an_observation_is_left_out_or_added_and_nothing_else_changes(recipe, kept, further):
    of = {"NoContacts": "Sprinter", "NearWithDistance": "Near", "OnPathTwoAhead": "OnPath"}[recipe]
    plain, changed, (_, env) = pair(recipe, of)
    np.testing.assert_array_equal(plain[:, [*range(kept), -1]], changed[:, [*range(kept), -1]])
    assert changed.shape[1] == kept + further + 1
    if recipe == "NearWithDistance":
        np.testing.assert_allclose(changed[0, 28], 0.8, atol=1e-3)
    if recipe == "OnPathTwoAhead":
        angle = np.arctan2(*(env.second - env.robot.body_real_xyz[:2])[::-1]) - env.robot.body_rpy[2]
        np.testing.assert_allclose(changed[-1, 28:30], [np.sin(angle), np.cos(angle)], atol=1e-6)


def test_what_is_seen_is_noisy_or_late_and_what_happens_is_the_same():
    plain, noisy, _ = pair("Noisy")
    np.testing.assert_array_equal(plain[:, -1], noisy[:, -1])
    assert (noisy[:, :-1] - plain[:, :-1]).std() == pytest.approx(0.1, rel=0.1)
    plain, late, _ = pair("Delayed")
    np.testing.assert_array_equal(late[1:, :-1], plain[:-1, :-1])
    assert not late[0].any()


def test_motors_are_dead_weak_or_die():
    for recipe, factor in (("DeadMotor", [0, 1, 1, 1, 1, 1, 1, 1]), ("HalfTorque", np.full(8, 0.5))):
        _, weak, _ = pair(recipe)
        with closing(make_env(SPRINTER)) as env:
            np.testing.assert_array_equal(weak, rollout(env, some_actions() * np.float32(factor)))
    with closing(make_env(cookbook_id("LosesLeg"))) as env:
        legs = set()
        for seed in range(30):
            env.reset(seed=seed)
            inner = env.unwrapped
            legs.add(int(inner.leg))
            assert 100 <= inner.fails_at < 500
            for frame, working in ((inner.fails_at - 1, 8), (inner.fails_at, 6)):
                inner.frame = frame
                action = inner.before_step(np.ones(8, np.float32))
                assert action.sum() == working and (working == 8 or not action[2 * inner.leg : 2 * inner.leg + 2].any())
        assert legs == {0, 1, 2, 3}


def test_a_change_of_torque_costs_its_square():
    with closing(make_env(cookbook_id("Smooth"))) as env:
        env.reset(seed=0)
        costs = [env.step(np.full(8, a, np.float32))[-1]["reward_terms"]["jerk"] for a in (0.5, 0.5, -0.5)]
        np.testing.assert_allclose(costs, [-0.25, 0, -1])
        env.reset(seed=0)
        assert env.step(np.zeros(8, np.float32))[-1]["reward_terms"]["jerk"] == 0


def test_where_and_how_an_episode_starts():
    with closing(make_env(cookbook_id("OnItsBack"))) as env:
        states = rollout(env, np.zeros((100, 8), np.float32))
        assert abs(states[0, 6]) == pytest.approx(np.pi, abs=1e-4) and env.unwrapped.robot.body_real_xyz[2] < 0.4
        assert not env.step(np.zeros(8, np.float32))[2], "it may lie"
    with closing(make_env(cookbook_id("AnyHeading"))) as env:
        angles = [np.arctan2(*env.reset(seed=seed)[0][1:3]) for seed in range(60)]
        assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() >= 5
        state, reward, *_ = env.step(np.zeros(8, np.float32))
        assert abs(reward - 1) < 1.5, "the start is no progress"


def test_any_world_is_drawn_for_each_episode():
    with closing(make_env(cookbook_id("AnyWorld"))) as env:
        found = []
        for seed in range(40):
            env.reset(seed=seed)
            gravity, (friction,), mass = (list(x) if isinstance(x, set) else x for x in physics_of(env))
            found.append((-gravity, friction, mass - 182.176))
        low, high = np.min(found, axis=0), np.max(found, axis=0)
        assert (low >= [1.6, 0.1, -0.01]).all() and (high <= [9.8, 0.8, 50.01]).all()
        assert (high - low > np.multiply(0.7, [8.2, 0.7, 50])).all()


@pytest.mark.parametrize("terrain", ["Hills", "Steps", "Ramps"])
def test_a_terrain_begins_level_and_what_lies_ahead_is_felt(terrain):
    plain, feeling, (_, env) = pair(f"{terrain}Ahead", terrain, steps=40)
    np.testing.assert_array_equal(plain[:, [*range(28), -1]], feeling[:, [*range(28), -1]])
    for x, yaw in ((0.0, 0.0), (4.3, 0.0), (8.0, np.pi / 2), (12.0, 2.0)):
        wrapped = make_env(cookbook_id(f"{terrain}Ahead"))
        inner = wrapped.unwrapped
        ground = inner.ground_heights([[x, 0]])[0]
        inner.choose_start = lambda x=x, yaw=yaw, ground=ground: ((x, 0, 0.9 + ground), (0, 0, yaw))
        state, _ = wrapped.reset(seed=0)
        expected = [inner.ground_heights([[x + d * np.cos(yaw), d * np.sin(yaw)]])[0] - ground for d in (0.5, 1, 1.5, 2)]
        np.testing.assert_allclose(state[28:], expected, atol=1e-5)
        assert x or not np.any(state[28:30])
        wrapped.close()
    highest = max(shape.mesh()[0][:, 2].max() for shape in env.shapes)
    assert 0.2 < highest < 1.0


def test_targets_flee_and_circle_and_their_motion_is_no_progress():
    for recipe, speed in (("Fleeing", 2.0), ("Circling", 2 * np.pi * 5 / 20)):
        with closing(make_env(cookbook_id(recipe))) as env:
            env.reset(seed=0)
            robot, before, terms = env.unwrapped.robot, None, []
            for _ in range(40):
                before = np.array([robot.walk_target_x, robot.walk_target_y])
                terms.append(env.step(np.zeros(8, np.float32))[-1]["reward_terms"]["progress"])
            moved = np.linalg.norm(np.array([robot.walk_target_x, robot.walk_target_y]) - before)
            assert moved / env.unwrapped.scene.dt == pytest.approx(speed, rel=0.01)
            assert abs(np.mean(terms)) < 0.3, "an ant that does nothing earns nothing"


def test_standing_at_the_target_pays_and_running_through_it_does_not():
    paid = {}
    for x, speed in ((8, 0), (8, 3), (4, 0)):
        env = cookbook.StopAndStay()
        env.choose_start = lambda x=x: ((x, 0, 0.75), (0, 0, 0))
        env.reset(seed=0)
        env._p.resetBaseVelocity(env.robot.objects[0], [speed, 0, 0])
        paid[x, speed] = env.step(np.zeros(8, np.float32))[-1]["reward_terms"]["standing"]
        env.close()
    assert paid[8, 0] > 1.5 > 0.2 > paid[8, 3] > 0 == paid[4, 0]


def test_a_path_goes_on_from_point_to_point():
    with closing(make_env(cookbook_id("OnPath"))) as env:
        env.reset(seed=0)
        inner, points = env.unwrapped, [(0.0, 0.0)]
        for _ in range(5):
            points.append((inner.robot.walk_target_x, inner.robot.walk_target_y))
            following = inner.second
            inner.physics.place((*points[-1], 0.75), (0, 0, 0))
            env.step(np.zeros(8, np.float32))
            assert (inner.robot.walk_target_x, inner.robot.walk_target_y) == following
        ways = np.diff(points, axis=0)
        np.testing.assert_allclose(np.hypot(*ways.T), 5)
        assert (np.abs(np.arctan2(ways[:, 1], ways[:, 0])) <= np.pi / 3 + 1e-9).all()


def test_a_curriculum_goes_up_and_down_and_a_seed_is_an_evaluation():
    """The level outlives an episode, also in the copy of the environment that repeats it."""
    id = cookbook_id("HurdlesCurriculum")
    with closing(make_envs(id, 1, 0)) as envs, closing(make_envs(id, 1, 0)) as others:
        inner = envs.envs[0].unwrapped
        envs.reset(seed=0)
        assert inner.level == 5
        levels = []
        for reached in (20, 20, 10, 2, 20):
            envs.reset()
            levels.append(inner.level)
            inner.physics.place((reached, 6 * inner.level, 1.0), (0, 0, 0))
            for _ in range(2):
                envs.step(np.zeros((1, 8), np.float32))
        assert levels == [0, 1, 2, 2, 1]
        states = envs.reset()[0]
        assert inner.level == 2 and inner.robot.body_real_xyz[1] == pytest.approx(12)
        episodes = envs.log.episodes()
        np.testing.assert_array_equal(others.repeat_episodes(episodes), states)
        assert others.envs[0].unwrapped.level == 2


# --- mistakes ---------------------------------------------------------------------------------------------------------------


def mistaken(**methods):
    """An environment in which some methods return what they should not."""
    return type("Mine", (cookbook.Sprinter,), methods)()


def with_term(value):
    return lambda self, action, state: MyAntBulletEnv.reward_terms(self, action, state) | {"mine": value}


@pytest.mark.parametrize(
    "methods, sentence",
    [
        ({"reward_terms": with_term(np.nan)}, r"The reward term 'mine' is nan: look at `reward_terms` of Mine"),
        ({"reward_terms": with_term(np.ones(8))}, r"The reward term 'mine' has shape \(8,\): look at `reward_terms` of Mine"),
        ({"reward_terms": with_term(np.ones(1))}, r"The reward term 'mine' has shape \(1,\): look at `reward_terms` of Mine"),
        ({"reward_terms": with_term(None)}, r"The reward term 'mine' is None: look at `reward_terms` of Mine"),
        ({"reward_terms": with_term("much")}, r"The reward term 'mine' is 'much': look at `reward_terms` of Mine"),
        ({"reward_terms": lambda *_: 1.0}, r"`reward_terms` of Mine returned 1.0: expected a dict"),
        ({"reward_terms": lambda *_: None}, r"`reward_terms` of Mine returned None: expected a dict"),
        ({"before_step": lambda *_: None}, r"`before_step` of Mine returned nothing: expected shape \(8,\)"),
        ({"before_step": lambda *_: np.ones(3)}, r"`before_step` of Mine returned shape \(3,\): expected shape \(8,\)"),
        ({"observe": lambda *_: np.ones(29)}, r"`observe` of Mine returned shape \(29,\): expected shape \(28,\), that of"),
        ({"observe": lambda *_: None}, r"`observe` of Mine returned nothing: expected shape \(28,\)"),
        ({"choose_world": lambda _: World(gravity=-1)}, r"World has gravity=-1: expected 0 or more, so look at `choose_world`"),
        ({"choose_world": lambda _: World(load=np.nan)}, r"World has load=nan: .*look at `choose_world`"),
        ({"ground": lambda _: [HeightField(np.full((9, 9), 0.7), 0.5)]}, r"reaches 0.20 m .* look at `ground` and `choose_start`"),
        ({"ground": lambda _: [HeightField(np.full((9, 9), 3.0), 0.5)]}, r"reaches 2.28 m .* look at `ground` and `choose_start`"),
        ({"ground": lambda _: [Box((0.9, 0, 0.5), (0.4, 4, 1))]}, r"would throw it out: look at `ground` and `choose_start` of Mine"),
        ({"ground": lambda _: [HeightField(np.full((9, 9), np.nan), 0.5)]}, r"heights of shape \(9, 9\), 81 of them not finite"),
        ({"ground": lambda _: [HeightField(np.zeros(9), 0.5)]}, r"heights of shape \(9,\), .* look at `ground`"),
        ({"choose_start": lambda _: ((0, 0, -1), (0, 0, 0))}, r"reaches 1.\d\d m into the ant at its start"),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_sentence_that_names_the_method(methods, sentence):
    env = None
    with pytest.raises(EnvironmentMistake, match=sentence) as error, quiet():
        env = mistaken(**methods)
        env.reset(seed=0)
        env.step(np.zeros(8, np.float32))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    if env is not None:
        env.close()


def test_a_mistake_in_a_worker_is_one_sentence_too():
    register("Mistaken-v0", entry_point=lambda render_mode=None: mistaken(reward_terms=with_term(np.nan)))
    envs = make_envs("Mistaken-v0", 2, workers=1)
    envs.reset(seed=0)
    with pytest.raises(
        WorkerError, match="^Worker 0 of 1, with 2 environments, failed: The reward term 'mine' is nan"
    ) as error:
        envs.step(np.zeros((2, 8), np.float32))
    assert "\n" not in str(error.value)
    gym.registry.pop("Mistaken-v0")


# --- recordings, pictures and the steering page -----------------------------------------------------------------------------


@pytest.mark.parametrize("id", IDS)
def test_a_recipe_is_recorded_and_animated(id, tmp_path):
    env = make_env(id)
    size = env.observation_space.shape[0]
    env.close()
    seen = []

    class Policy(Still):
        def select_action(self, state):
            seen.append(state.shape)
            return super().select_action(state)

    run = record(Policy(), id, max_steps=5)
    assert set(seen) == {(size,)} and run.env == id
    assert animate(run, tmp_path / "a.gif", width=64, height=64, workers=0, verbose=False).stat().st_size > 300


def test_work_of_the_motors_is_the_energy_that_the_ant_gains():
    """Without gravity and far from the ground, the signed work of the first steps is the kinetic energy at their end."""

    class Floating(cookbook.Sprinter):
        def choose_world(self):
            return World(gravity=0)

        def choose_start(self):
            return (0, 0, 5), (0, 0, 0)

    class Push:
        def select_action(self, state):
            return np.array([0.2, 0, 0.2, 0, 0.2, 0, 0.2, 0], np.float32)  # far from every stop

    env = Floating()
    run = record(Push(), env, max_steps=6)
    p, body = env._p, env.robot.objects[0]
    links = range(-1, p.getNumJoints(body))
    energy = 0.0
    for link in links:
        mass, _, inertia, _, inertial = p.getDynamicsInfo(body, link)[:5]
        if link < 0:
            velocity, spin = p.getBaseVelocity(body)
            turned = p.getBasePositionAndOrientation(body)[1]
        else:
            state = p.getLinkState(body, link, computeLinkVelocity=1, computeForwardKinematics=1)
            velocity, spin, turned = state[6], state[7], state[1]
        rotation = np.reshape(p.getMatrixFromQuaternion(turned), (3, 3))
        energy += mass * np.dot(velocity, velocity) / 2 + np.dot(inertia, (rotation.T @ spin) ** 2) / 2
    env.close()
    work = (run.torques * np.diff(run.joints.astype(float), axis=0)).sum()
    assert work == pytest.approx(energy, rel=0.1) and work > 1
    assert run.energy >= work


def test_cost_of_transport_counts_joules_metres_and_kilograms():
    run = record(Still(), SPRINTER, max_steps=2)
    joints = np.zeros((3, 20), np.float32)
    joints[:, 2], joints[:, 5] = [0, 0.5, 0.25], [0, -1, -1]
    torques = np.zeros((2, 20), np.float32)
    torques[:, 2], torques[:, 5] = 100, 30
    torso = np.array([[0, 0, 1], [1, 0, 1], [3, 4, 1]], np.float32)
    run = dataclasses.replace(run, joints=joints, torques=torques, torso=torso, mass=200.0)
    assert run.energy == pytest.approx(100 * 0.75 + 30 * 1)
    assert run.cost_of_transport == pytest.approx(105 / 5 / 200)
    assert run.speed == pytest.approx(5 / (2 * run.dt))
    loaded = record(Still(), cookbook_id("Loaded"), max_steps=1)
    assert loaded.mass == pytest.approx(182.176 + 50, abs=1e-3)
    assert np.isnan(record(Still6(), "HalfCheetahBulletEnv-v0", max_steps=1).energy)


class Still6:
    def select_action(self, state):
        return np.zeros(6, np.float32)


def test_an_ant_on_its_back_is_not_upright():
    for recipe, upright in (("OnItsBack", False), ("MayLie", True)):
        assert set(record(Still(), cookbook_id(recipe), max_steps=60).upright.tolist()) == {upright}


@pytest.mark.parametrize("terrain", ["Hills", "Steps", "Ramps", "Hurdles"])
def test_a_terrain_is_drawn_where_it_stands(terrain):
    """Where the camera projects its upper sides, the frame differs from one without terrain."""
    run = record(Still(), cookbook_id(terrain), max_steps=3)
    renderers = [Renderer(each, 240, 160, np.radians(20)) for each in (run, dataclasses.replace(run, shapes=()))]
    with_terrain, without = (np.asarray(renderer.render(3)) for renderer in renderers)
    changed = (with_terrain != without).any(axis=2)
    tops = np.concatenate([vertices[faces].mean(axis=1) for vertices, faces in (shape.mesh() for shape in run.shapes)])
    pixels, depth = renderers[0].camera.project(tops[tops[:, 2] > 0.03], 3)
    inside = (depth > 0) & (pixels > 5).all(axis=1) & (pixels < [235, 125]).all(axis=1)
    columns, rows = pixels[inside].astype(int).T
    assert len(columns) >= 5 and changed[rows, columns].mean() > 0.8 and changed.mean() < 0.7


def test_a_target_that_moves_is_one_point_and_its_flag_goes_along(tmp_path):
    run = record(Still(), cookbook_id("Circling"), max_steps=30)
    assert len(run.points) == 1 and run.points_reached == 0
    assert np.linalg.norm(run.targets[-1] - run.targets[0]) > 0.5
    pages = [
        save_html(each, tmp_path / "a.html").read_text()
        for each in (run, dataclasses.replace(run, targets=run.targets[:1].repeat(31, 0)))
    ]
    assert len(pages[0]) > len(pages[1]), "the page has the positions of the flag"
    path = record(Still(), cookbook_id("OnPath"), max_steps=3)
    assert len(path.points) == 1


def test_the_3d_scene_has_the_terrain():
    run = record(Still(), cookbook_id("Hurdles"), max_steps=1)
    with serving() as server:
        scene = Scene3D(server.scene)
        for shapes in (run.shapes, run.shapes[:2], ()):
            scene.set_terrain(shapes)
            assert len(scene.terrain) == len(shapes)
            for node, shape in zip(scene.terrain, shapes, strict=True):
                np.testing.assert_array_equal(node.vertices, shape.mesh()[0])


def test_the_world_of_the_steering_page_can_be_chosen(monkeypatch):
    monkeypatch.setattr(steer, "SECONDS_FOR_COMMANDS", 60)
    simulation = Simulation({"still": Still()})
    with serving() as server:
        app = SteeringApp(server, simulation)
        simulation.add_target(4, 1)
        for name in [*steer.WORLDS, "Earth"]:
            app.submit(lambda name=name: simulation.choose_world(name))
            app.run_pending()
            for _ in range(20):
                simulation.step()
            app.update_scene()
            assert list(simulation.targets) == [(4, 1)] and simulation.env.robot.walk_target_x == 4
            gravity, (friction,), mass = physics_of(simulation.env)
            assert gravity == (-1.62 if "Moon" in name else -9.8)
            assert friction == (0.1 if name == "ice" else 0.8)
            assert mass == pytest.approx(182.176 + 50 * ("50 kg" in name), abs=1e-3)
            assert len(app.scene.terrain) == (name == "hills")
    simulation.close()


# --- the tables -------------------------------------------------------------------------------------------------------------


def test_every_recipe_has_arms_that_exist_and_is_tested_where_its_ants_can_act():
    for name, recipe in tables.RECIPES.items():
        assert set(recipe.arms) <= set(COOKBOOK) and len(recipe.arms) >= 2, name
        assert recipe.tested_in.keys() <= set(recipe.arms)
        for arm in recipe.arms:
            sizes = {dimensions(cookbook_id(each)) for each in (arm, *recipe.tested_in.get(arm, []))}
            assert len(sizes) == 1, f"{arm} in {name} is tested where there are other observations"


def test_figures_and_tables_have_the_interquartile_means_in_words():
    rows = [
        {"arm": arm, "tested_in": place, "seed": seed} | dict.fromkeys(MEASURES, 10.0 * (arm == place) + seed)
        for arm in ("Sprinter", "Moon")
        for place in ("Sprinter", "Moon")
        for seed in range(5)
    ]
    assert means(rows, "pace", "fell")[1] == {
        "trained in": "Sprinter in Moon",
        "pace (m/s)": "2.00",
        "fraction of episodes that ended in a fall": "2.00",
    }
    assert "(m/s): Sprinter, 12.00 (10.67 to 13.67); Sprinter in Moon, 2.00 (0.67 to 3.67);" in plot_measure(rows, "pace").alt
    assert "(m/s), trained in and tested in: Sprinter in Sprinter, 12.00; Sprinter in Moon, 2.00; Moon" in plot_matrix(rows).alt
    assert "(J per m and kg): Sprinter, 12.00 and 12.00; Sprinter in Moon, 2.00 and 2.00;" in plot_tradeoff(rows).alt


@pytest.mark.slow
def test_recipes_of_several_commands_share_their_ants_and_keep_each_others_tables(tmp_path, monkeypatch):
    """The trainings are in this process, and small."""
    trained = []

    def run_trials(runs, folder, *_):
        for run in runs:
            trained.append(run.name)
            place = folder / run.name
            place.mkdir(parents=True)
            monkeypatch.chdir(place)
            main(**run.arguments, name=RUN, workers=0)
            write_state(place, arguments=run.arguments, until_return=None, finished=True)

    small = {"start_timesteps": 50, "eval_freq": 60, "eval_episodes": 1, "num_envs": 2, "buffer_size": 1000}
    recipes = {"a": ["Sprinter", "Electricity4"], "b": ["Sprinter", "Ice"], "senses": ["NoContacts", "Sprinter"]}
    recipes = {name: tables.Recipe(arms) for name, arms in recipes.items()}
    recipes["b"].tested_in["Sprinter"] = ["Sprinter", "Ice"]
    monkeypatch.setattr("sweep.connect", lambda *_: None)
    monkeypatch.setattr("sweep.run_trials", run_trials)
    monkeypatch.setattr(tables, "ARGUMENTS", small)
    monkeypatch.setattr(tables, "RECIPES", recipes)
    monkeypatch.setattr(tables, "FOLDER", tmp_path / "tables")

    def command(*only, seeds=1):
        trained.clear()
        tables.main(only, seeds, max_timesteps=120, episodes=1, root=tmp_path / "sweeps")
        return [re.sub(r"env=MyAnt|BulletEnv-v0|seed=", "", name) for name in trained]

    def rows(name):
        with open(tmp_path / "tables" / f"{name}.csv", newline="") as f:
            return list(csv.DictReader(f))

    assert command("b") == ["Sprinter_0", "Ice_0"]
    assert [(row["arm"], float(row["timesteps"])) for row in rows("b")] == [
        (a, t) for a in ("Sprinter", "Ice") for t in (60, 120)
    ]
    first = rows("measures")
    assert [(row["recipe"], row["arm"], row["tested_in"]) for row in first] == [
        ("b", "Sprinter", "Sprinter"), ("b", "Sprinter", "Ice"), ("b", "Ice", "Ice")
    ]  # fmt: skip
    assert command("a") == ["Electricity4_0"], "the other ant is there already"
    assert rows("measures")[2:] == first and [row["recipe"] for row in rows("measures")] == ["a", "a", "b", "b", "b"]
    assert rows("a")[:2] == rows("b")[:2]
    assert command("senses") == ["NoContacts_0"]
    assert [row["arm"] for row in rows("senses")] == ["NoContacts", "NoContacts", "Sprinter", "Sprinter"]
    assert command("senses", "b") == []
    assert [row["recipe"] for row in rows("measures")] == ["a", "a", "b", "b", "b", "senses", "senses"]
    assert command("a", seeds=2) == ["Sprinter_1", "Electricity4_1"]
    assert [row["seed"] for row in rows("measures") if row["recipe"] == "a"] == ["0", "1", "0", "1"]
    with pytest.raises(ValueError, match="^only has 'cake': expected some of a, b, senses.$"):
        command("cake")
