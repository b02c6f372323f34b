"""The policies of the page: of each the actor alone, in one small file, and a list of them."""

import json
import shutil
from pathlib import Path

import torch

from TD3 import Actor
from utils import REPO_ROOT, load_policy, training_env
from viewing.web_export import export_actor

SHIPPED = [
    ("random_circle_final", "any point"),
    ("four_fronts_final", "any point, with four fronts"),
    ("my_ant_final", "one point, (20, 20)"),
    ("base_ant_final", "straight ahead"),
    ("random_circle_100000", "any point, after 100,000 steps"),
    ("random_circle_300000", "any point, after 300,000 steps"),
]
"""Names of policies in `models`, and what the page calls them.  Those that are not there are left out."""

UNTRAINED = "untrained"


def export_policies(folder: Path) -> list[dict]:
    """Writes an export of each policy and `policies.json`, the list of them, in which the first is the one to begin with.

    Args:
        folder: where to write.  What was there is removed.

    Returns:
        the list: for each policy its file, its name, what the page calls it, and the environment of its training.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    policies = []
    for name, label in SHIPPED:
        if (REPO_ROOT / "models" / name).is_dir():
            (folder / f"{name}.bin").write_bytes(export_actor(load_policy(name, training_env(name)).actor))
            policies.append({"name": name, "label": label, "file": f"{name}.bin", "env": training_env(name)})
    torch.manual_seed(0)
    (folder / f"{UNTRAINED}.bin").write_bytes(export_actor(Actor(28, 8, 1.0)))
    policies.append({"name": UNTRAINED, "label": UNTRAINED, "file": f"{UNTRAINED}.bin", "env": ""})
    (folder / "policies.json").write_text(json.dumps(policies, indent=1), encoding="utf-8")
    return policies
