"""Records what the Python environment does, for the tests of the JavaScript one: every input and every output of each step.

`python -m page.record_fixtures episode.json` writes the recording.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from envs.registry import make_env
from utils import load_policy

ENV, MODEL, STEPS, SEED, NOISE = "MyAntRandomPointsResetTargetBulletEnv-v0", "random_circle_final", 300, 0, 0.3
TARGET, LATER_TARGET, LATER = (3.0, 2.0), (-4.0, 1.0), 220
"""The ant reaches the first target, is then given a random one, and in step `LATER` another one."""


def physics_state(robot: Any) -> list[float]:
    """(29,) pose and velocities of the torso, then angle and speed of each joint, as `get_state` of physics.cpp."""
    p, body = robot._p, robot.objects[0]
    base, velocity = p.getBasePositionAndOrientation(body), p.getBaseVelocity(body)
    joints = p.getJointStates(body, robot.joint_numbers)
    return [*base[0], *base[1], *velocity[0], *velocity[1], *(x for joint in joints for x in joint[:2])]


def record(path: str | Path, steps: int = STEPS) -> None:
    """Writes an episode in which the actions are those of a policy with noise."""
    policy, rng = load_policy(MODEL), np.random.default_rng(SEED)
    env: Any = make_env(ENV).unwrapped
    state, _ = env.reset(seed=SEED, options={"target": TARGET})
    robot = env.robot
    episode = {"target": TARGET, "first_state": state.tolist(), "physics": [physics_state(robot)], "steps": []}
    for k in range(steps):
        if k == LATER:
            env.set_target(*LATER_TARGET)
            state = robot.calc_state()
        before = {"potential": float(env.potential), "angle": float(env.angle), "feet_contact": robot.feet_contact.tolist()}
        before["target"] = [float(robot.walk_target_x), float(robot.walk_target_y)]
        draw = copy.deepcopy(env.np_random).random()  # what the environment will draw if it needs a new target
        action = np.clip(policy.select_action(state) + rng.normal(0, NOISE, 8), -1, 1).astype(np.float32)
        state, reward, terminated, _, info = env.step(action)
        episode["physics"].append(physics_state(robot))
        episode["steps"].append(
            {
                "before": before,
                "action": action.tolist(),
                "draw": draw,
                "state": state.tolist(),
                "reward": reward,
                "terms": info["reward_terms"],
                "terminated": terminated,
                "target": [float(robot.walk_target_x), float(robot.walk_target_y)],
                "feet_contact": robot.feet_contact.tolist(),
            }
        )
    episode["initial_z"] = float(robot.initial_z)
    env.close()
    Path(path).write_text(json.dumps(episode), encoding="utf-8")


if __name__ == "__main__":
    record(sys.argv[1])
