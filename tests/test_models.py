"""The shipped policies do what README.md says, on seeds on which no policy was trained or chosen."""

import json
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from conftest import ROOT

from TD3 import TD3
from training.args import make_args, reproduction_command
from utils import SCORE_SEED, UNSEEN_SEED, eval_policy, find_checkpoint, load_policy
from viewing.directions import eval_directions
from viewing.recording import random_path, record

SHIPPED = {
    "base_ant_final": ("AntBulletEnv-v0", "AntBulletEnv-v0"),
    "my_ant_final": ("MyAntResetTargetBulletEnv-v0", "MyAntBulletEnv-v0"),
    "random_circle_final": ("MyAntRandomPointsResetTargetBulletEnv-v0", "MyAntRandomPointsBulletEnv-v0"),
    "four_fronts_final": ("MyAntFourFrontsResetTargetBulletEnv-v0", "MyAntFourFrontsBulletEnv-v0"),
}
"""The environment in which a policy was trained, and the one in which it is scored, whose target stays."""


def test_every_shipped_model_is_scored_here():
    assert sorted(path.name for path in (ROOT / "models").glob("*_final")) == sorted(SHIPPED)


@pytest.mark.slow
def test_the_base_ant_sprints(monkeypatch):
    monkeypatch.chdir(ROOT)
    score = eval_policy(load_policy("base_ant_final"), SHIPPED["base_ant_final"][1], SCORE_SEED, eval_episodes=20)
    assert score.mean >= 4_300 and score.returns.min() >= 4_000, str(score)


def to_its_point(seed):
    """An episode of the ant for one point: whether it gets there, and its steps."""
    run = record(load_policy("my_ant_final"), SHIPPED["my_ant_final"][1], seed=seed, stop_at_target=1.0)
    return run.reached, run.length


@pytest.mark.slow
def test_my_ant_gets_to_its_point():
    """(20, 20) within a metre in 20 of 20 episodes, at the median in at most 750 steps."""
    with ProcessPoolExecutor(2) as pool:
        reached, steps = zip(*pool.map(to_its_point, range(SCORE_SEED, SCORE_SEED + 20)), strict=True)
    assert reached == (True,) * 20
    assert np.median(steps) <= 750


@pytest.mark.slow
def test_the_random_circle_ant_gets_everywhere():
    """The 72 directions that lie five degrees apart; all 360 are in README.md, with their command.

    Which policy of the run is shipped was decided on the seeds from SCORE_SEED on, so it is scored on others.
    """
    results = eval_directions(load_policy("random_circle_final"), SHIPPED["random_circle_final"][1], 72, seed=UNSEEN_SEED)
    assert results.reached.all() and results.median_steps <= 650 and not results.fell.any(), str(results)


@pytest.mark.slow
def test_the_ant_with_four_fronts_gets_everywhere_faster():
    """The 72 directions that lie five degrees apart; all 360 are in README.md, with their command."""
    results = eval_directions(load_policy("four_fronts_final"), SHIPPED["four_fronts_final"][1], 72, seed=UNSEEN_SEED)
    assert results.reached.all() and results.median_steps <= 530 and not results.fell.any(), str(results)


def along_a_path(name, path):
    """A shipped ant on twenty points in a row: points reached, whether it fell, and its steps."""
    env = SHIPPED[name][1]
    run = record(load_policy(name), env, seed=UNSEEN_SEED + path, path=random_path(20, seed=path), max_steps=20_000)
    return run.points_reached, run.fell, run.length


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "paths", "most_steps"), [("random_circle_final", [0, 1], 10_000), ("four_fronts_final", [3, 9], 8_000)]
)
def test_an_ant_for_any_point_walks_twenty_points_in_a_row(name, paths, most_steps):
    """Two of the ten paths in README.md.  With four fronts they are those that need the margin: without it, one ends in a fall."""
    with ProcessPoolExecutor(2) as pool:
        for points, fell, steps in pool.map(along_a_path, [name] * 2, paths):
            assert points == 20 and not fell and steps < most_steps


@pytest.mark.parametrize(("name", "env"), [("with_angle", "ResetTarget"), ("no_angle", "ResetTargetNoAngle")])
def test_the_ants_with_and_without_the_angle_term_can_be_watched(name, env):
    """The third notebook compares them: neither has learned with symmetries."""
    name = f"random_circle_{name}"
    kept = json.loads((ROOT / "models" / name / "args.json").read_text())
    assert kept["env"] == f"MyAntRandomPoints{env}BulletEnv-v0" and not kept["symmetries"]
    assert load_policy(name).select_action(np.zeros(28)).shape == (8,)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_can_be_trained_further_and_names_its_command(name):
    kept = json.loads((ROOT / "models" / name / "args.json").read_text())
    assert kept["command"].startswith("python main.py ") and kept["env"] == SHIPPED[name][0]
    command = kept.pop("command")
    machine = {name: kept[name] for name in ("bf16", "workers")}  # which another machine may choose differently
    assert reproduction_command(make_args(**kept | dict.fromkeys(machine))) == command
    agent = TD3(28, 8, 1.0)
    agent.load(find_checkpoint(name, ROOT))
    assert agent.actor_optimizer.state_dict()["state"], "with the state of the optimizer"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_curve_of_a_shipped_model_is_there(name):
    rows = (ROOT / "results" / f"{name}.csv").read_text().splitlines()
    assert rows[0].startswith("timesteps,seconds,mean_return") and len(rows) > 20
