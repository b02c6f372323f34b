"""The shipped policies do what README.md says of them."""

import json

import pytest
from conftest import ROOT

from main import Args, command, make_args
from TD3 import TD3
from utils import SCORE_SEED, checkpoint, eval_policy
from viewer import load_policy

SHIPPED = {"base_ant_final": {"env": "AntBulletEnv-v0", "mean": 3_300, "lowest": 3_000}}


def test_every_shipped_model_is_scored_here():
    assert sorted(path.name for path in (ROOT / "models").glob("*_final")) == sorted(SHIPPED)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_scores_on_seeds_that_nobody_trained_or_selected_on(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    claim = SHIPPED[name]
    score = eval_policy(load_policy(name), claim["env"], SCORE_SEED, eval_episodes=20)
    assert score.mean >= claim["mean"] and score.returns.min() >= claim["lowest"], str(score)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_can_be_trained_further_and_names_its_command(name):
    kept = json.loads((ROOT / "models" / name / "args.json").read_text())
    assert kept["command"].startswith("python main.py ") and kept["env"] == SHIPPED[name]["env"]
    args = make_args(**{key: value for key, value in kept.items() if key in Args.__dataclass_fields__})
    assert command(args).split()[:2] == ["python", "main.py"]
    agent = TD3(28, 8, 1.0, layer_norm=args.layer_norm, n_step=args.n_step)
    agent.load(checkpoint(name, ROOT))
    assert agent.actor_optimizer.state_dict()["state"], "with the optimizer's memory"


def test_the_curve_of_a_shipped_model_is_there():
    rows = (ROOT / "results" / "base_ant_final.csv").read_text().splitlines()
    assert rows[0].startswith("timesteps,seconds,mean_return") and len(rows) == 61
