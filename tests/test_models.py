"""The shipped policies do what README.md says of them, on seeds that nobody trained or selected on."""

import json

import numpy as np
import pytest
from conftest import ROOT

from main import Args, command, make_args
from TD3 import TD3
from utils import SCORE_SEED, checkpoint, eval_policy
from viewer import load_policy, record

SHIPPED = {
    "base_ant_final": "AntBulletEnv-v0",
    "my_ant_final": "MyAntBulletEnv-v0",
}


def test_every_shipped_model_is_scored_here():
    assert sorted(path.name for path in (ROOT / "models").glob("*_final")) == sorted(SHIPPED)


@pytest.mark.slow
def test_the_base_ant_sprints(monkeypatch):
    monkeypatch.chdir(ROOT)
    score = eval_policy(load_policy("base_ant_final"), SHIPPED["base_ant_final"], SCORE_SEED, eval_episodes=20)
    assert score.mean >= 3_900 and score.returns.min() >= 3_600, str(score)


@pytest.mark.slow
def test_my_ant_gets_to_its_point():
    """(20, 20) within a metre in 20 of 20 episodes."""
    policy = load_policy("my_ant_final")
    runs = [record(policy, SHIPPED["my_ant_final"], seed=SCORE_SEED + k, stop_at_target=1.0) for k in range(20)]
    assert [run.reached for run in runs] == [True] * 20
    assert np.median([run.length for run in runs]) <= 950


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_can_be_trained_further_and_names_its_command(name):
    kept = json.loads((ROOT / "models" / name / "args.json").read_text())
    assert kept["command"].startswith("python main.py ") and kept["env"] == SHIPPED[name]
    args = make_args(**{key: value for key, value in kept.items() if key in Args.__dataclass_fields__})
    assert command(args).split()[:2] == ["python", "main.py"]
    agent = TD3(28, 8, 1.0, layer_norm=args.layer_norm, n_step=args.n_step)
    agent.load(checkpoint(name, ROOT))
    assert agent.actor_optimizer.state_dict()["state"], "with the optimizer's memory"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_curve_of_a_shipped_model_is_there(name):
    rows = (ROOT / "results" / f"{name}.csv").read_text().splitlines()
    assert rows[0].startswith("timesteps,seconds,mean_return") and len(rows) > 20
