"""The environment ids of this repository, and the functions that make environments from an id."""

import difflib
import functools
import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.batched_walker import use_batched_calls
from envs.bullet import quiet
from envs.episodes import ShortFirstEpisode
from envs.vector import LocalVectorEnv, WorkerVectorEnv

with quiet():
    import pybullet_envs_gymnasium  # noqa: F401  (registers AntBulletEnv-v0 and its relatives)


def register(id: str, **kwargs: Any) -> None:
    """Registers an environment with Gymnasium.  The latest definition counts, so a notebook cell can be run twice.

    Args:
        id: such as "MyAntBulletEnv-v0".
        **kwargs: as for `gymnasium.register`.
    """
    gym.registry.pop(id, None)
    gym.register(id=id, **kwargs)


ONE_POINT, ANY_POINT = "override_ant:MyAntBulletEnv", "override_ant_random_points:MyAntBulletEnv"
FOUR_FRONTS = "override_ant_four_fronts:MyAntBulletEnv"
"""Entry points.  They are strings, as in Gymnasium itself, so that an id needs no import of its module."""

IDS: dict[str, tuple[str, dict[str, bool]]] = {
    "MyAntBulletEnv-v0": (ONE_POINT, {}),
    "MyAntResetTargetBulletEnv-v0": (ONE_POINT, {"reset_target": True}),
    "MyAntRandomPointsBulletEnv-v0": (ANY_POINT, {}),
    "MyAntRandomPointsNoAngleBulletEnv-v0": (ANY_POINT, {"angle_progress": False}),
    "MyAntRandomPointsResetTargetBulletEnv-v0": (ANY_POINT, {"reset_target": True}),
    "MyAntRandomPointsResetTargetNoAngleBulletEnv-v0": (ANY_POINT, {"reset_target": True, "angle_progress": False}),
    "MyAntFourFrontsBulletEnv-v0": (FOUR_FRONTS, {}),
    "MyAntFourFrontsResetTargetBulletEnv-v0": (FOUR_FRONTS, {"reset_target": True}),
}
# An args.json from before 2026-11-24 has these ids.
IDS |= {id.replace("ResetTarget", "Onward"): entry for id, entry in IDS.items() if "ResetTarget" in id}

for _id, (_entry_point, _kwargs) in IDS.items():
    register(_id, entry_point=_entry_point, kwargs=_kwargs, max_episode_steps=1000, reward_threshold=2500.0)

COOKBOOK = [
    "Sprinter", "Electricity4", "Electricity16", "NoContacts", "Noisy", "Delayed", "Near", "NearWithDistance",
    "DeadMotor", "HalfTorque", "Smooth", "LosesLeg", "MayLie", "OnItsBack", "AnyHeading", "Moon", "Ice", "Loaded",
    "AnyWorld", "Hills", "HillsAhead", "Steps", "StepsAhead", "Ramps", "RampsAhead", "Fleeing", "Circling",
    "StopAndStay", "OnPath", "OnPathTwoAhead", "Hurdles", "HurdlesCurriculum",
]  # fmt: skip
"""The recipes of `cookbook.py`, classes and functions that make an environment."""


def cookbook_id(recipe: str) -> str:
    """The id of a recipe: "MyAntMoonBulletEnv-v0" for "Moon"."""
    return f"MyAnt{recipe}BulletEnv-v0"


for _recipe in COOKBOOK:
    register(cookbook_id(_recipe), entry_point=f"cookbook:{_recipe}", max_episode_steps=1000)


def find_env(env: str) -> EnvSpec:
    """The specification of a registered environment.

    Args:
        env: an id, or "module:id" for one that is registered when `module` is imported.

    Raises:
        ValueError: there is no such environment.
    """
    module, _, name = env.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gym.spec(name)
    except (ImportError, ValueError, TypeError) as error:
        raise ValueError(
            f"env is {env[:80]!r}, but {module[:80]!r} cannot be imported ({str(error)[:80]!r}): check the name before the colon."
        ) from error
    except gym.error.Error as error:
        near = difflib.get_close_matches(name, gym.registry, 1, cutoff=0.3)
        raise ValueError(
            f"There is no environment {env[:80]!r}: did you mean '{near[0] if near else 'AntBulletEnv-v0'}'?"
        ) from error


def dimensions(env: str) -> tuple[int, int, float]:
    """Size of an observation, size of an action, and largest action of an environment.

    Raises:
        ValueError: there is no such environment, or TD3 cannot act in it.
    """
    with quiet():
        made = gym.make(find_env(env), disable_env_checker=True)  # no reset: the spaces are known before the physics starts
    observations, actions = made.observation_space, made.action_space
    made.close()
    if not (isinstance(observations, gym.spaces.Box) and len(observations.shape) == 1):
        raise ValueError(
            f"env {env!r} has observations {observations}: expected a flat Box, so choose one that gives a vector."
        )
    if not (isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1):
        raise ValueError(f"env {env!r} has actions {actions}: expected a flat Box, because the actions of TD3 are continuous.")
    largest = float(actions.high[0])
    if not (np.isfinite(largest) and np.all(actions.high == largest) and np.all(actions.low == -largest)):
        raise ValueError(f"env {env!r} has actions {actions}: expected the same bounds -x and x for all, so rescale them.")
    return observations.shape[0], actions.shape[0], largest


def make_env(env: str | EnvSpec, **kwargs: Any) -> gym.Env:
    """One environment, as `gym.make` gives it, quiet and after a first reset.

    Upstream's second and later episodes begin from a state that Bullet saved at the start of the first.  It differs from the
    first by rounding (measured: 1.6e-7 in an observation, 0.01 in the return).  After a first reset, an environment gives the
    same episode for the same seed, whatever ran before.

    The stock ant gets the batched calls of `batched_walker.py`: the same numbers to the last bit, in less time.

    Args:
        env: an id, or a Gymnasium `EnvSpec`.
        **kwargs: for the environment's constructor.
    """
    with quiet():
        made = gym.make(find_env(env) if isinstance(env, str) else env, disable_env_checker=True, **kwargs)
        use_batched_calls(made)
        made.reset()
    return made


def make_envs(
    env: str, num_envs: int, workers: int = 1, staggered: bool = False, **kwargs: Any
) -> LocalVectorEnv | WorkerVectorEnv:
    """`num_envs` copies of an environment, spread over `workers` processes.

    Args:
        env: id of a registered environment.
        num_envs: number of copies.
        workers: number of processes that share them; 0 runs them all in this process, which is easier to debug.
        staggered: whether time limits end the episodes at different steps: see `ShortFirstEpisode`.
        **kwargs: for the environment's constructor.

    Returns:
        a Gymnasium `VectorEnv` in autoreset mode SAME_STEP: when an episode ends, `step` returns the first observation of the
        next one, and the last observation of the old one is in `infos["final_obs"]` (see `envs.vector.final_states`).
    """
    spec = find_env(env)

    def make(index: int) -> gym.Env:
        made = make_env(spec, **kwargs)
        if not (staggered and spec.max_episode_steps):
            return made
        return ShortFirstEpisode(made, -(-spec.max_episode_steps * (index + 1) // num_envs))

    env_fns = [functools.partial(make, index) for index in range(num_envs)]
    return WorkerVectorEnv(env_fns, min(workers, num_envs)) if workers else LocalVectorEnv(env_fns)
