"""Does a policy walk the same way on every processor?  Scores it in float32 and in float64, with three instruction sets.

    python -m benchmarks.rounding base_ant_final

Libraries for matrix products choose their code by the instructions that the processor has, and each code rounds in its own way.
The variables in `INSTRUCTIONS` make them choose that of an older processor.  Intel's MKL obeys its variable on an Intel alone.
"""

import hashlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Literal
from unittest import mock

import numpy as np
import torch
from tabulate import tabulate

from training.cli import run_cli
from utils import UNSEEN_SEED, load_policy
from viewing.directions import eval_directions

INSTRUCTIONS = {
    "the processor's own": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
"""Variables of PyTorch, MKL and oneDNN, which read them when they are imported."""

Arithmetic = Literal["float32", "float64"]


def walk(name: str, env: str, directions: int, arithmetic: Arithmetic) -> tuple[str, str]:
    """What `eval_directions` says of a policy, and a digest of all positions, which are equal if two digests are."""
    policy = load_policy(name, env)
    policy.actor.to(getattr(torch, arithmetic))
    found = eval_directions(policy, env, directions, seed=UNSEEN_SEED)
    return str(found), hashlib.sha256(np.concatenate(found.paths).tobytes()).hexdigest()[:12]


def main(name: str, env: str = "MyAntRandomPointsNoAngleBulletEnv-v0", directions: int = 72) -> list[tuple[str, ...]]:
    """Scores, and prints a table.

    Args:
        name: Name of a run or of a shipped model.
        env: Id of the environment in which it walks.
        directions: Number of directions.

    Returns:
        a row for each arithmetic and instruction set: both, the score, and the digest of the paths.
    """
    rows = []
    for arithmetic in ("float32", "float64"):
        for instructions, variables in INSTRUCTIONS.items():
            with mock.patch.dict(os.environ, variables), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                rows.append((arithmetic, instructions, *fresh.submit(walk, name, env, directions, arithmetic).result()))
    print(tabulate(rows, ["arithmetic", "instructions", "score", "digest of the paths"], tablefmt="github"))
    return rows


if __name__ == "__main__":
    import tyro

    run_cli(main, description=__doc__, config=(tyro.conf.PositionalRequiredArgs,))
