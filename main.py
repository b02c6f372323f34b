"""Trains a TD3 agent: `main(**args)` in a notebook, `python main.py --help` in a terminal.  One loop, used by everything here."""

import dataclasses
import difflib
import os
import shlex
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
import tyro

from TD3 import TD3
from utils import EVAL_SEED, ReplayBuffer, Result, Run, checkpoint
from vector import dimensions, final_states, find_env, make_envs


@dataclass
class Args:
    """What can be chosen for a run.  The values here are the `fast` recipe's; `paper` has its own (see `RECIPES`)."""

    recipe: Literal["fast", "paper"] = "fast"
    """which values the arguments have that are not given"""
    policy: Literal["TD3"] = "TD3"
    """the algorithm"""
    env: str = "AntBulletEnv-v0"
    """id of the environment, registered with Gymnasium"""
    seed: int = 0
    """seed of networks, exploration, sampling and environments"""
    start_timesteps: int = 10_000
    """environment steps with random actions, before the first update"""
    eval_freq: int = 50_000
    """environment steps from one evaluation to the next"""
    max_timesteps: int = 2_000_000
    """environment steps of the whole run, all ants together"""
    expl_noise: float = 0.02
    """standard deviation of the noise added to each action, in units of the largest action"""
    expl_noise_max: float | None = 0.4
    """if given, the ants differ: ant 0 explores with expl_noise, the last with this, the others between (geometric ladder)"""
    batch_size: int = 256
    """transitions in the batch of an update"""
    discount: float = 0.98
    """gamma: what a reward one step later is worth"""
    tau: float = 0.005
    """how far the target networks follow at each delayed update"""
    policy_noise: float = 0.2
    """standard deviation of the noise on the target action"""
    noise_clip: float = 0.5
    """bound of that noise"""
    policy_freq: int = 2
    """updates of the critics for one of the actor"""
    save_model: bool = True
    """whether to write checkpoints to models/NAME"""
    load_model: str = ""
    """start from this policy: name of a run, its folder, or a path without "_actor"; networks and optimizers are loaded, the
    replay buffer starts empty and is first filled by the loaded policy with its exploration noise"""
    num_envs: int = 16
    """ants that walk at the same time"""
    workers: int | None = None
    """processes that the ants share, beside the one that learns; by default 1, and with a CUDA device one for each core but the
    learner's; 0 runs everything in one process"""
    utd_ratio: float = 0.125
    """updates for each environment step (update-to-data ratio); the paper's is 1"""
    lr: float = 7e-4
    """learning rate of actor and critics"""
    hidden: int = 256
    """units of each hidden layer"""
    n_step: int = 3
    """rewards summed before the critic takes over; the paper's is 1"""
    layer_norm: bool = False
    """a LayerNorm in the critics; the paper has none"""
    bf16: bool | None = None
    """multiply matrices in bfloat16; by default wherever the processor has instructions for it"""
    buffer_size: int = 800_000
    """transitions that the replay buffer keeps"""
    eval_episodes: int = 10
    """episodes in each evaluation"""
    max_minutes: float | None = None
    """end the run after so many minutes of wall clock, even if steps are left"""
    threads: int = 1
    """threads of PyTorch; more than the cores that the ants leave free make everything slower"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the networks live; auto takes a CUDA device if there is one"""
    name: str = ""
    """of the run and its files; by default POLICY_ENV_SEED"""


RECIPES: dict[str, dict[str, Any]] = {
    "fast": {},
    "paper": {
        "recipe": "paper",
        "start_timesteps": 25_000,
        "eval_freq": 5_000,
        "expl_noise": 0.1,
        "expl_noise_max": None,
        "discount": 0.99,
        "num_envs": 1,
        "workers": 0,
        "utd_ratio": 1.0,
        "lr": 3e-4,
        "n_step": 1,
        "bf16": False,
        "buffer_size": 1_000_000,
        "threads": 2,
    },
}
"""`fast` is made for two cores.  `paper` is the article's: one ant, one update a step, the hyperparameters of TD3's authors."""


def main(**given: Any) -> Result:
    """Trains a policy and returns what there is to plot.

    Args:
        **given: any field of `Args`, such as `main(env="AntBulletEnv-v0", seed=1, max_timesteps=200_000)`; what is not given
            is as in the recipe ("fast" unless you say `recipe="paper"`).

    Returns:
        a `utils.Result`; after Ctrl-C, or the stop button of a notebook, the result so far.

    Raises:
        ValueError: an argument that does not exist, or a value that makes no sense.
        FileNotFoundError: `load_model` names a checkpoint that is not there.
    """
    args = make_args(**given)
    assert args.bf16 is not None and args.workers is not None  # decided by make_args
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    state_dim, action_dim, max_action = dimensions(args.env)

    policy = TD3(
        state_dim,
        action_dim,
        max_action,
        args.discount,
        args.tau,
        args.policy_noise,
        args.noise_clip,
        args.policy_freq,
        lr=args.lr,
        hidden=args.hidden,
        layer_norm=args.layer_norm,
        n_step=args.n_step,
        bf16=args.bf16,
        device=args.device,
    )
    if args.load_model:
        policy.load(checkpoint(args.load_model))
    replay_buffer = ReplayBuffer(
        state_dim, action_dim, args.buffer_size, n_step=args.n_step, discount=args.discount, seed=args.seed, device=args.device
    )
    noise = max_action * exploration_noise(args)

    def explore(states, t):
        """Random actions at first, then the policy's, and to each ant its own amount of noise.  (N, S) -> (N, A)."""
        if t < args.start_timesteps and not args.load_model:
            return rng.uniform(-max_action, max_action, (args.num_envs, action_dim)).astype(np.float32)
        actions = policy.select_action(states) + noise * rng.standard_normal((args.num_envs, action_dim))
        return actions.clip(-max_action, max_action).astype(np.float32)

    def updates_due(t):
        """How many updates bring their number to utd_ratio times the steps since the random ones."""
        return max(0, int((t - args.start_timesteps) * args.utd_ratio) - policy.total_it) if len(replay_buffer) else 0

    with closing(make_envs(args.env, args.num_envs, args.workers)) as envs, closing(Run(policy, args, command(args))) as run:
        states, _ = envs.reset(seed=args.seed)
        for t in run:  # counts the steps; evaluates, saves and shows in between; ends on Ctrl-C
            actions = explore(states, t)
            envs.step_async(actions)  # the ants move on the other core ...
            for _ in range(updates_due(t)):
                policy.train(replay_buffer, args.batch_size)  # ... while this one learns
            next_states, rewards, terminated, truncated, infos = envs.step_wait()
            replay_buffer.add(
                states, actions, final_states(next_states, infos), rewards, terminated, ended=terminated | truncated
            )
            states = next_states
        return run.result


def exploration_noise(args: Args) -> np.ndarray:
    """Standard deviation of each ant's exploration noise, shape (num_envs, 1), in units of the largest action."""
    highest = args.expl_noise if args.expl_noise_max is None else args.expl_noise_max
    if args.num_envs == 1 or highest == args.expl_noise:
        return np.full((args.num_envs, 1), args.expl_noise)
    return np.geomspace(args.expl_noise, highest, args.num_envs)[:, None]


# --- arguments -----------------------------------------------------------------------------------------------------------------


def make_args(**given: Any) -> Args:
    """Fills in the recipe and checks every value.

    Returns:
        an `Args` with nothing left open: name, bf16, device and workers are decided.

    Raises:
        ValueError: one sentence that names the argument, the value and what was expected.
    """
    fields = {field.name: field for field in dataclasses.fields(Args)}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(fields)}."
            raise ValueError(f"There is no argument '{name}': {hint}")
    types = get_type_hints(Args)
    given = {name: check_type(name, value, types[name]) for name, value in given.items()}
    args = Args(**RECIPES[given.get("recipe", "fast")] | given)

    for name in ("max_timesteps", "eval_freq", "batch_size", "policy_freq", "num_envs", "hidden", "n_step", "buffer_size",
                 "eval_episodes", "threads"):  # fmt: skip
        expect(args, name, getattr(args, name) >= 1, "at least 1")
    for name in ("start_timesteps", "seed", "expl_noise", "policy_noise", "noise_clip"):
        expect(args, name, getattr(args, name) >= 0, "0 or more")
    expect(args, "workers", args.workers is None or args.workers >= 0, "0 or more")
    expect(args, "seed", args.seed + args.num_envs <= EVAL_SEED, f"less than {EVAL_SEED}, where the evaluation's seeds begin")
    for name in ("lr", "utd_ratio"):
        expect(args, name, 0 < getattr(args, name) < float("inf"), "a number above 0")
    expect(args, "discount", 0 <= args.discount <= 1, "a number from 0 to 1")
    expect(args, "tau", 0 < args.tau <= 1, "a number above 0, at most 1")
    if args.expl_noise_max is not None:
        expect(args, "expl_noise", args.expl_noise > 0, "above 0, because a ladder up to expl_noise_max starts there")
        expect(args, "expl_noise_max", args.expl_noise_max >= args.expl_noise, f"at least expl_noise, {args.expl_noise}")
    if args.max_minutes is not None:
        expect(args, "max_minutes", args.max_minutes > 0, "above 0")
    expect(args, "name", Path(args.name).name == args.name, "a name for files, without folders")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but PyTorch sees no CUDA device here: expected 'auto' or 'cpu'.")
    find_env(args.env)

    device: Literal["cpu", "cuda"] = "cpu" if args.device == "cpu" or not torch.cuda.is_available() else "cuda"
    bf16 = fast_bf16(device) if args.bf16 is None else args.bf16
    # a learner on a CUDA device is quick enough for the ants of all other cores; one on a core is busy with those of a second
    workers = (max(1, (os.cpu_count() or 1) - 1) if device == "cuda" else 1) if args.workers is None else args.workers
    name = args.name or f"{args.policy}_{args.env.split(':')[-1]}_{args.seed}"
    return dataclasses.replace(args, device=device, bf16=bf16, workers=workers, name=name)


def check_type(name: str, value: Any, hint: Any) -> Any:
    """`value` as the type that `Args` declares (a float without a fraction may stand for an int), or a ValueError."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for option in options:
        if get_origin(option) is Literal:
            if value in get_args(option):
                return value
            raise ValueError(f"{name} is {value!r}: expected {' or '.join(repr(o) for o in get_args(option))}.")
        if option is type(None) and value is None:
            return None
        if isinstance(value, bool) or option is bool:
            if option is bool and isinstance(value, bool):
                return value
        elif option is int and isinstance(value, (int, float, np.number)) and np.isfinite(value) and value == int(value):
            return int(value)
        elif option is float and isinstance(value, (int, float, np.number)) and not np.isnan(value):
            return float(value)
        elif option is str and isinstance(value, str):
            return value
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}
    raise ValueError(f"{name} is {value!r}: expected {' or '.join(words[option] for option in options)}.")


def expect(args: Args, name: str, fine: bool, what: str) -> None:
    """A ValueError that says what was expected of argument `name`, unless it is `fine`."""
    if not fine:
        raise ValueError(f"{name} is {getattr(args, name)!r}: expected {what}.")


def fast_bf16(device: str) -> bool:
    """Whether the processor multiplies bfloat16 faster than float32 (AVX-512 BF16 or AMX; every CUDA device of today)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def command(args: Args) -> str:
    """The command line that repeats a run, with the arguments that differ from the recipe's alone."""
    here = make_args(recipe=args.recipe)
    default = Args(**RECIPES[args.recipe] | {name: getattr(here, name) for name in ("bf16", "device", "workers")})
    words = ["python", "main.py"]
    for field in dataclasses.fields(Args):
        value = getattr(args, field.name)
        if value == getattr(default, field.name):
            continue
        option = "--" + field.name.replace("_", "-")
        if field.type is bool:
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, str(value)]
    return shlex.join(words)


def command_line() -> None:
    """`python main.py`: the same as `main(**args)`, with one sentence instead of a traceback."""
    recipe = ["fast"] + [after for word, after in zip(sys.argv, sys.argv[1:], strict=False) if word == "--recipe"]
    recipe += [word.partition("=")[2] for word in sys.argv if word.startswith("--recipe=")]
    args = tyro.cli(Args, default=Args(**RECIPES.get(recipe[-1], {})), description=__doc__)
    try:
        result = main(**vars(args))
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{error}")
    print(
        f"{'Interrupted. ' if result.interrupted else ''}Best mean return {result.best:,.0f} after {result.seconds / 60:.1f} minutes."
    )
    print(f"Learning curve: results/{result.name}.csv" + (f", policies: models/{result.name}/" if args.save_model else ""))


if __name__ == "__main__":
    command_line()
