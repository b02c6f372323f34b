"""Makes the animations that README.md and the article show: `python scripts/animations.py [NAME ...]`, by default all of them."""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from override_ant_random_points import RADIUS
from utils import SCORE_SEED, load_policy
from viewing.animation import animate
from viewing.recording import random_path, record

STOCK, ONE_POINT, ANY_POINT = "AntBulletEnv-v0", "MyAntBulletEnv-v0", "MyAntRandomPointsBulletEnv-v0"


def toward(model, env, degrees):
    """Recordings toward points on the circle, until they are reached."""
    policy, angles = load_policy(model, env), np.radians(degrees)
    targets = RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [record(policy, env, SCORE_SEED, target=target, stop_at_target=1.0) for target in targets]


def base_ant(path):
    """The sprinter."""
    animate(record(load_policy("base_ant_final"), STOCK, SCORE_SEED), path, seconds=9)


def stuck_ant(path):
    """The sprinter with targets behind it."""
    animate(toward("base_ant_final", STOCK, [135, 180, 225]), path, width=300, height=220, fps=12, seconds=9)


def diagon_anty(path):
    """The ant for (20, 20)."""
    run = record(load_policy("my_ant_final"), ONE_POINT, SCORE_SEED, stop_at_target=1.0)
    animate(run, path, width=400, height=260, fps=12)


def random_points(path):
    """The ant for any point."""
    animate(toward("random_circle_final", ANY_POINT, [45, 135, 225]), path, width=300, height=220, fps=12)


def long_path(path):
    """The same ant on a path."""
    run = record(load_policy("random_circle_final"), ANY_POINT, max_steps=20_000, path=random_path(20))
    animate(run, path, fps=12, speed=9)


ANIMATIONS = {make.__name__: make for make in (base_ant, stuck_ant, diagon_anty, random_points, long_path)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ANIMATIONS:
        print(name, flush=True)
        ANIMATIONS[name](ROOT / "animations" / f"{name}.gif")
