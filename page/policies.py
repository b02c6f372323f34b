"""Exports policies for the page: of each the actor alone, in one small file, and a list of them.

An export is the word TD3ACTOR, the sizes of state, hidden layer and action as uint32, and then weight and bias of the three
layers as float32, all little-endian, the weights row by row as in PyTorch.
"""

import json
import struct
from pathlib import Path

import torch

from TD3 import Actor
from utils import REPO_ROOT, load_policy, training_env

MAGIC = b"TD3ACTOR"

SHIPPED = [
    ("random_circle_final", "any point"),
    ("my_ant_final", "one point, (20, 20)"),
    ("base_ant_final", "straight ahead"),
    ("random_circle_100000", "any point, after 100,000 steps"),
    ("random_circle_300000", "any point, after 300,000 steps"),
]
"""Names of policies in `models`, and what the page calls them.  Those that are not there are left out."""

UNTRAINED = "untrained"


def export_actor(actor: Actor) -> bytes:
    """The export of an actor: 301,104 bytes for the ant's."""
    layers = [actor.l1, actor.l2, actor.l3]
    sizes = struct.pack("<3I", actor.l1.in_features, actor.l1.out_features, actor.l3.out_features)
    arrays = [tensor.detach().cpu().numpy().astype("<f4").tobytes() for each in layers for tensor in (each.weight, each.bias)]
    return MAGIC + sizes + b"".join(arrays)


def export_policies(folder: Path) -> list[dict]:
    """Writes an export of each policy and `policies.json`, the list of them, in which the first is the one to begin with.

    Args:
        folder: where to write.  It is made if it is missing.

    Returns:
        the list: for each policy its file, its name, what the page calls it, and the environment of its training.
    """
    folder.mkdir(parents=True, exist_ok=True)
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
