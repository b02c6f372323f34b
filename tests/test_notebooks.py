"""The notebooks as a reader finds them on GitHub, and each run from top to bottom with small numbers."""

import copy
import json
import os
import platform
import re
import sys

import nbformat
import numpy as np
import papermill
import pytest
from conftest import ROOT
from ray.cluster_utils import Cluster

from training.curve import read_curve
from utils import SCORE_SEED, UNSEEN_SEED, load_policy
from viewing.recording import random_path, record
from viewing.seeds import compare, read_groups

SWEEPS = ROOT / "results" / "sweeps"
NOTEBOOKS = sorted(path.name for path in ROOT.glob("*.ipynb"))
SMALL = {
    "TD3notebook-MyAnt.ipynb": {
        "args": {"env": "MyAntResetTargetBulletEnv-v0", "seed": 0, "max_timesteps": 10_400},
        "own_minutes": 0.1,
        "score_episodes": 2,
        "directions": 4,
        "animation_seconds": 0.3,
    },  # fmt: skip
    "TD3notebook-cookbook.ipynb": {
        "args": {
            "policy": "TD3",
            "seed": 0,
            "load_model": "base_ant_final",
            "start_timesteps": 400,
            "eval_freq": 300,
            "max_timesteps": 600,
            "eval_episodes": 1,
            "num_envs": 4,
            "workers": 0,
            "buffer_size": 5_000,
        },
        "animation_seconds": 0.3,
    },
    "ModifyingRL.ipynb": {"repetitions": 500, "directions": 4, "tries": 1, "points": 1},
    "TD3_view_random_points.ipynb": {
        "directions": 4,
        "points": 2,
        "strings": 2,
        "animation_seconds": 0.3,
        "steer_seconds": 1,
    },  # fmt: skip
    "TD3notebook-random_points.ipynb": {
        "args": {
            "env": "MyAntRandomPointsResetTargetNoAngleBulletEnv-v0",
            "seed": 0,
            "discount": 0.98,
            "max_timesteps": 10_400,
        },
        "directions": 4,
        "animation_seconds": 1.0,
    },  # fmt: skip
    "sweep.ipynb": {
        "default_seeds": 2,
        "seeds": 2,
        "default_timesteps": 600,
        "max_timesteps": 400,
        "batch_sizes": [64],
        "noises": [0.1],
        "taus": [0.02],
        "everywhere": {
            "env": "InvertedPendulumBulletEnv-v0",
            "num_envs": 2,
            "start_timesteps": 100,
            "eval_freq": 100,
            "eval_episodes": 1,
            "buffer_size": 5_000,
        },
    },
    "TD3notebook.ipynb": {
        "args": {"policy": "TD3", "env": "AntBulletEnv-v0", "seed": 0, "max_timesteps": 10_800},
        "hand_steps": 1_200,
        "stages": [10_200, 10_500],
        "score_episodes": 2,
        "animation_seconds": 0.3,
    },
}

LEAVES = {
    "TD3notebook-MyAnt.ipynb": {"models", "results", "runs", "animations"},
    "TD3notebook-cookbook.ipynb": {"models", "results", "runs", "animations"},
    "ModifyingRL.ipynb": set(),
    "TD3_view_random_points.ipynb": {"animations"},
    "TD3notebook-random_points.ipynb": {"models", "results", "runs", "animations"},
    "TD3notebook.ipynb": {"models", "results", "runs", "animations"},
    "sweep.ipynb": {"sweeps"},
}
"""The folders that each promises to leave something in."""


def test_every_notebook_has_small_numbers_to_be_run_with_and_a_score_to_be_checked():
    assert sorted(SMALL) == sorted(LEAVES) == sorted(PRINTED) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_committed_notebook_reads_well_without_running(name):
    raw = (ROOT / name).read_text(encoding="utf-8")
    cells = json.loads(raw)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    wide = [line for cell in code for line in "".join(cell["source"]).splitlines() if len(line) > 100]
    assert not wide, "GitHub cuts off what is wider than the page"
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), (
        "run from top to bottom on a fresh kernel"
    )
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    shown = json.dumps([{k: v for k, v in output.items() if k != "data"} for output in outputs])
    shown += json.dumps([output.get("data", {}).get("text/plain", "") for output in outputs])
    assert "Warning" not in shown and "%|" not in shown and "widget" not in shown
    pictures = [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]
    assert len(pictures) >= 4
    assert not re.search(r"(?<![\w.:/])/(?:root|home|tmp|work|Users)/", raw), "a path of one machine"
    assert len(raw) < 5e6
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells) == 1
    first = "".join(cells[0]["source"])
    for promise in ("What you will see", "How long it takes", "What it leaves behind"):
        assert promise in first
    linked = set(
        re.findall(r"\]\((?!https?:)([^)#]+)\)", "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"))
    )
    missing = {link for link in linked if not (ROOT / link).exists()}
    assert not missing, "links that lead nowhere"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_sections_are_numbered_without_a_gap_and_the_text_refers_to_no_other(name):
    cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    sections = [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]
    assert len(sections) >= 5 and sections == list(range(1, len(sections) + 1))
    here = r"[Ss]ection (\d+)(?!\.\d)(?! of (?:the|\[))"  # not of the paper, and not of another notebook
    assert {int(number) for number in re.findall(here, text)} <= set(sections)


ANY_POINT = "MyAntRandomPointsBulletEnv-v0"


def path_of_the_article():
    run = record(load_policy("random_circle_final"), ANY_POINT, UNSEEN_SEED, 6_000, path=random_path(6))
    return f"{run.points_reached} of 6 points in {run.length:,} steps, {run.seconds:.0f} s"


def a_point_behind():
    return str(record(load_policy("random_circle_final"), ANY_POINT, UNSEEN_SEED, target=(-12, 9), stop_at_target=1.0))


def sideways_to_a_point():
    return str(record(load_policy("random_circle_no_angle"), ANY_POINT, UNSEEN_SEED, target=(-20, -20), stop_at_target=1.0))


def sprinter_on_the_way_to_a_point():
    return str(record(load_policy("base_ant_final"), "MyAntBulletEnv-v0", SCORE_SEED))


def sprinter_with_dear_electricity():
    run = record(load_policy("base_ant_final"), "MyAntElectricity4BulletEnv-v0", SCORE_SEED)
    return f"before: {run}".replace(run.env, "Electricity4-v0")  # as the notebook registers it


def first_sprint():
    run = record(load_policy("base_ant_final"), "AntBulletEnv-v0", SCORE_SEED)
    return f"Its five episodes have returns of {run.total_reward:,.0f}, "


def curve_of_the_article():
    returns = read_curve(ROOT / "results/article_args.csv")["mean_return"]
    return f"the post's values: best mean return {np.max(returns):,.0f};"


def chance(groups, against):
    """How the last of some groups of runs compares with another one by its area under the curve, as exercises of sweep.ipynb say it."""
    row = compare(groups, against, threshold=1500, what="area_under_curve")[-1]
    return f"with a probability of {row[f'better than {against}']}, p = {row['p']}"


def td3():
    return read_groups(SWEEPS / "default/evaluations.csv", label="TD3", max_timesteps=200_000)


def no_delay_with_new_seeds():
    groups = read_groups(SWEEPS / "new_seeds/evaluations.csv", by="policy_freq")
    return chance(dict(sorted(groups.items(), reverse=True)), "policy_freq=2")


def neither_of_two_ideas():
    return chance(td3() | read_groups(SWEEPS / "ddpg/evaluations.csv", label="neither"), "TD3")


def bare():
    return read_groups(SWEEPS / "bare/default/evaluations.csv", label="bare", max_timesteps=200_000)


def what_the_other_remedies_do():
    return chance(bare() | td3(), "bare")


def no_delay_without_the_other_remedies():
    return chance(bare() | read_groups(SWEEPS / "bare/no_delay/evaluations.csv", label="no delay"), "bare")


PRINTED = {
    "ModifyingRL.ipynb": [path_of_the_article],
    "TD3notebook.ipynb": [first_sprint, curve_of_the_article],
    "TD3notebook-MyAnt.ipynb": [sprinter_on_the_way_to_a_point],
    "TD3notebook-random_points.ipynb": [sideways_to_a_point],
    "TD3notebook-cookbook.ipynb": [sprinter_with_dear_electricity],
    "TD3_view_random_points.ipynb": [a_point_behind],
    "sweep.ipynb": [
        no_delay_with_new_seeds,
        neither_of_two_ideas,
        what_the_other_remedies_do,
        no_delay_without_the_other_remedies,
    ],
}
"""Scores and comparisons that stand in the notebooks, and how they are made."""


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the notebooks were run on Linux with an x86 processor"
)
@pytest.mark.parametrize(("name", "score"), [(name, score) for name, scores in PRINTED.items() for score in scores])
def test_a_printed_score_is_what_the_policy_has_today(name, score):
    """So no output is older than the model, the environment or the code that it shows."""
    cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    texts += [text for output in outputs for text in (output.get("text", []), output.get("data", {}).get("text/plain", []))]
    assert score() in "\n".join("".join(text) for text in texts)


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of this machine, for all sweeps of a notebook: each of them would take seconds to start one of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_on_a_fresh_kernel(name, tmp_path, monkeypatch, request):
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    small, out = copy.deepcopy(SMALL[name]), tmp_path / name
    if name == "sweep.ipynb":
        small["everywhere"]["address"] = request.getfixturevalue("cluster").address
    papermill.execute_notebook(
        ROOT / name, out, parameters=small, cwd=tmp_path, kernel_name="python3", progress_bar=False, log_output=False
    )
    cells = [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"], "warnings or progress litter"
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*/*")}
    assert made == LEAVES[name], "the folders it left something in are not those it promises"


@pytest.fixture
def without_ray(tmp_path, monkeypatch):
    """Runs sweep.ipynb where Ray cannot be imported, in the returned folder."""
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "ray.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "stub"), str(ROOT)]))
    folder = tmp_path / "run"
    folder.mkdir()

    def run(**parameters):
        papermill.execute_notebook(
            ROOT / "sweep.ipynb", tmp_path / "out.ipynb", parameters, cwd=folder, kernel_name="python3", progress_bar=False
        )
        return list(folder.iterdir())

    return run


@pytest.mark.slow
def test_without_ray_the_sweeps_end_in_the_sentence_that_says_how_to_install_it(without_ray):
    with pytest.raises(papermill.PapermillExecutionError) as error:
        without_ray()
    assert error.value.ename == "RuntimeError"
    assert error.value.evalue == (
        "A sweep needs Ray, which is not installed: run 'python scripts/make.py sweep', or 'uv sync --extra sweep' with uv."
    )


@pytest.mark.slow
def test_with_quick_the_sweeps_are_read_from_the_repository_without_ray(without_ray):
    assert without_ray(quick=True) == []
