"""The arguments of a run: their defaults, their checks, and the command that repeats a run."""

import dataclasses
import difflib
import functools
import json
import os
import shlex
import timeit
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import psutil
import tyro
from annotated_types import Ge, Gt, Le
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

if TYPE_CHECKING:
    import torch

Count = Annotated[int, Ge(1), Le(10**12)]
Minutes = Annotated[float, Ge(0), Le(10**6)]
Noise = Annotated[float, Ge(0), Le(10)]


@dataclass
class Args:
    """The arguments of a run.  The defaults are those of the `fast` recipe; see `RECIPES` for `paper`."""

    recipe: tyro.conf.Suppress[Literal["fast", "paper"]] = "fast"
    """Name of the set of default values."""
    policy: Literal["TD3"] = "TD3"
    """Algorithm."""
    env: str = "AntBulletEnv-v0"
    """Id of a registered environment, or module:id of one that is registered when the module is imported."""
    seed: Annotated[int, Ge(0), Le(2**63)] = 0
    """Seed of everything random: see `training/streams.py`."""
    start_timesteps: Annotated[int, Ge(0), Le(10**12)] = 10_000
    """Number of environment steps with random actions before the first update."""
    eval_freq: Count = 50_000
    """Number of environment steps between evaluations."""
    max_timesteps: Count = 2_000_000
    """Number of environment steps of the run, summed over all environments."""
    expl_noise: Noise = 0.02
    """Standard deviation of the exploration noise, in units of max_action."""
    expl_noise_max: Noise | None = 0.4
    """Exploration noise of the last environment; from the first on it rises geometrically.  With None all have expl_noise."""
    batch_size: Count = 128
    """Number of transitions in the batch of an update."""
    discount: Annotated[float, Ge(0), Le(1)] = 0.98
    """Discount factor gamma, the value of a reward one step later."""
    tau: Annotated[float, Gt(0), Le(1)] = 0.005
    """Fraction of the way that the target networks move to the networks at each delayed update."""
    policy_noise: Noise = 0.2
    """Standard deviation of the target action noise, in units of max_action."""
    noise_clip: Noise = 0.5
    """Bound of the target action noise, in units of max_action."""
    policy_freq: Count = 2
    """Number of critic updates for each update of the actor and the target networks."""
    clipped_double_q: bool = True
    """Whether the critics learn from the smaller of the two target critics.  Otherwise it is the first one, as in DDPG."""
    saturation_penalty: Annotated[float, Ge(0), Le(1000)] = 0.05
    """Weight of a penalty on motor outputs beyond 2 before their tanh, in units of the mean |Q|.  The paper has none."""
    symmetries: bool = True
    """Whether the replay buffer mirrors transitions by the symmetries of the environment.  The paper does not."""
    save_model: bool = True
    """Writing of checkpoints to models/NAME."""
    save_replay_buffer: bool = True
    """Whether the latest checkpoint has the replay buffer, without which a run cannot be resumed: 211 MB for 800,000 steps of the ant."""
    checkpoint_minutes: Minutes = 3.0
    """Minutes between two writings of the latest checkpoint.  It is also written at the end and after Ctrl-C."""
    ignore_save_errors: bool = False
    """Whether training goes on when a file cannot be written, for example because the disk is full."""
    resume: str = ""
    """Name of a run in models/ to continue from its latest checkpoint, with its own arguments; max_timesteps and max_minutes may be raised."""
    load_model: str = ""
    """Policy to start from, with its optimizers but an empty replay buffer: name of a run, its folder, or a path without "_actor"."""
    num_envs: Annotated[int, Ge(1), Le(1000)] = 16
    """Number of environments that run at the same time."""
    workers: Annotated[int, Ge(0), Le(1000)] | None = None
    """Number of processes for the environments; 0 uses that of the learner.  The default is 1, and with cuda all other cores."""
    utd_ratio: Annotated[float, Gt(0), Le(1000)] = 0.25
    """Number of updates for each environment step (update-to-data ratio).  The paper's is 1."""
    lr: Annotated[float, Gt(0), Le(1)] = 7e-4
    """Learning rate of actor and critics."""
    hidden: Annotated[int, Ge(1), Le(10**6)] = 256
    """Units of each hidden layer."""
    n_step: Annotated[int, Ge(1), Le(10**6)] = 3
    """Number of rewards summed before the value of the next state.  The paper's is 1."""
    bf16: bool | None = None
    """Matrix products in bfloat16.  The default is True on a CPU on which they are faster than in float32."""
    buffer_size: Count = 800_000
    """Number of transitions in the replay buffer."""
    eval_episodes: Annotated[int, Ge(1), Le(100_000)] = 10
    """Number of episodes in each evaluation."""
    max_minutes: Annotated[float, Gt(0), Le(10**6)] | None = None
    """Wall-clock limit of the run, in minutes."""
    threads: Annotated[int, Ge(1), Le(1024)] = 1
    """Number of PyTorch threads.  More than the environments leave cores free for makes everything slower."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the networks.  auto is the CPU.  cuda is experimental."""
    name: str = ""
    """Name of the run and its files.  The default is POLICY_ENV_SEED."""


CheckedArgs: Any = checked_dataclass(Args, config=ConfigDict(strict=True, allow_inf_nan=False))
"""`Args` that raises pydantic's ValidationError for a value that its field does not allow."""

RECIPES: dict[str, Args] = {
    "fast": Args(),
    "paper": Args(
        recipe="paper",
        start_timesteps=25_000,
        eval_freq=5_000,
        expl_noise=0.1,
        expl_noise_max=None,
        batch_size=256,
        discount=0.99,
        saturation_penalty=0.0,
        symmetries=False,
        num_envs=1,
        workers=0,
        utd_ratio=1.0,
        lr=3e-4,
        n_step=1,
        bf16=False,
        buffer_size=1_000_000,
        threads=2,
    ),
}
"""`fast` is made for two cores.  `paper` is the article's: one environment, one update a step, the TD3 authors' hyperparameters."""


def make_args(**given: Any) -> Args:
    """Fills in the recipe, checks every value, and decides what was left open: name, bf16, device and workers.

    Args:
        **given: fields of `Args`.  A float without a fraction may stand for an int, and a NumPy scalar for a number.

    Raises:
        ValueError: one sentence that names the argument, the value and what was expected.
        FileNotFoundError: there is no run of the name `resume`.
    """
    fields = [field.name for field in dataclasses.fields(Args)]
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(fields)}."
            raise ValueError(f"There is no argument {shown(name)}: {hint}")
    given = {name: _plain(value) for name, value in given.items()}
    if given.get("resume"):
        given |= _resumed(**given)
    recipe = given.get("recipe", "fast")
    try:
        args = Args(**vars(CheckedArgs(**vars(RECIPES["paper" if recipe == "paper" else "fast"]) | given)))
    except ValidationError as error:
        raise ValueError(describe_invalid(error, given)) from None
    return _decide(args)


def _resumed(resume, **given):
    """The arguments of the run to resume, of which `given` may raise some."""
    file = Path("models", str(resume), "args.json")
    if not (isinstance(resume, str) and is_file_name(resume) and file.is_file()):
        known = ", ".join(sorted(path.parent.name for path in Path("models").glob("*/args.json"))) or "none yet"
        raise FileNotFoundError(f"resume is {shown(resume)}: expected the name of a run in models/ ({known}).")
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(saved, dict) and {"env", "seed"} < saved.keys()):
            raise ValueError
    except ValueError as error:
        raise ValueError(f"resume is {resume!r}, but '{file}' is not the args.json of a run.") from error
    saved = {field.name: saved[field.name] for field in dataclasses.fields(Args) if field.name in saved}
    for name, value in given.items():
        before = saved.get(name, getattr(Args, name))
        raised = name in ("max_timesteps", "max_minutes") and None not in (value, before) and value > before
        if value != before and not raised:
            kept = "a resumed run can only raise it" if name.startswith("max_") else "a resumed run keeps its arguments"
            raise ValueError(f"{name} is {shown(value)}, but the run '{resume}' has {before!r}: {kept}, so leave it out.")
    return saved | given | {"resume": resume}


def describe_invalid(error: ValidationError, given: dict[str, Any]) -> str:
    """A sentence with the first argument that pydantic refused, its value in `given`, and what was expected."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    return f"{name} is {shown(given[name])}: {first['msg'].replace('Input', 'it', 1)}."


def _plain(value):
    """A number as strict validation expects it: a Python int where it is whole."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decide(args):
    """Checks what depends on more than one value or on this machine, and decides what was left open."""
    import torch  # here, because `python main.py --help` need not wait for it

    from envs.registry import dimensions, find_env
    from utils import find_checkpoint

    def expect(name, condition, expected):
        if not condition:
            raise ValueError(f"{name} is {shown(getattr(args, name))}: it should be {expected}.")

    if args.expl_noise_max is not None:
        why = "because a geometric ladder up to expl_noise_max begins there"
        expect("expl_noise", args.expl_noise > 0, f"greater than 0, {why}")
        expect("expl_noise_max", args.expl_noise_max >= args.expl_noise, f"at least expl_noise, {args.expl_noise}")
    limit = args.max_timesteps
    expect(
        "start_timesteps", args.start_timesteps < limit, f"less than max_timesteps, {limit}, because nothing is learned before"
    )
    expect(
        "name", is_file_name(args.name or "a"), "a file name that every system allows, without folders, of at most 200 bytes"
    )
    expect("device", args.device != "cuda" or torch.cuda.is_available(), "'auto' or 'cpu', because PyTorch sees no CUDA device")
    expect("bf16", not (args.bf16 and args.device == "cuda"), "False or None with device='cuda', which computes in float32")
    if args.load_model and not args.resume:
        find_checkpoint(args.load_model)
    state_dim, action_dim, _ = dimensions(args.env)
    longest = find_env(args.env).max_episode_steps
    if longest is not None:
        expect("n_step", args.n_step <= longest, f"at most {longest}, the steps of an episode")

    cuda = args.device == "cuda"
    # a learner on a CUDA device is fast enough for environments on all other cores, one on a core only for those on a second
    workers = max(1, (os.cpu_count() or 1) - 1) if cuda else 1
    args = dataclasses.replace(
        args,
        device="cuda" if cuda else "cpu",
        bf16=fast_bf16() and not cuda if args.bf16 is None else args.bf16,
        workers=workers if args.workers is None else args.workers,
        name=args.name or f"{args.policy}_{args.env.split(':')[-1].replace('/', '-')}_{args.seed}",
    )
    check_memory(args, state_dim, action_dim)
    return args


def shown(value: Any) -> str:
    """A value in a sentence; a very long one is cut."""
    try:
        text = repr(value)
    except ValueError:  # Python does not write integers of thousands of digits
        text = f"an integer of {value.bit_length():,} bits"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text):,} characters)"


def is_file_name(name: str) -> bool:
    """Whether Linux, macOS and Windows all allow a file of this name, with an ending added."""
    reserved = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
    return (
        name.isprintable()
        and not set(name) & set('<>:"/\\|?*')
        and not name.startswith((".", " "))
        and not name.endswith((".", " "))
        and name.partition(".")[0].lower() not in reserved
        and len(name.encode(errors="surrogateescape")) <= 200
    )


def check_memory(args: Args, state_dim: int, action_dim: int) -> None:
    """Compares an estimate of what a run needs with the memory that is free.

    Raises:
        ValueError: it is too much; the sentence names the argument that needs most.
    """
    transition = 4 * (2 * state_dim + action_dim + 2)
    copies = 2 if args.save_model and args.save_replay_buffer else 1  # a checkpoint copies the replay buffer first
    layers = args.hidden * (args.hidden + state_dim + action_dim)
    needed = {
        "buffer_size": copies * transition * min(args.buffer_size, args.max_timesteps),
        "batch_size": args.batch_size * (transition + 100 * args.hidden),  # activations and their gradients
        "hidden": 3 * 4 * 8 * layers,  # three networks of float32: weights, targets, gradients, moments, and copies of them
        "n_step": args.n_step * args.num_envs * transition,
        "num_envs": args.num_envs * 30e6 + min(args.workers or 0, args.num_envs) * 150e6,
    }
    free = psutil.virtual_memory().available
    most = max(needed, key=lambda name: needed[name])
    if sum(needed.values()) > free:
        raise ValueError(
            f"{most} is {shown(getattr(args, most))}: such a run needs about {sum(needed.values()) / 1e9:,.1f} GB of memory, and "
            f"{free / 1e9:,.1f} GB are free, so choose a smaller one."
        )


@functools.cache
def fast_bf16() -> bool:
    """Whether this processor multiplies matrices faster in bfloat16 than in float32.

    It needs instructions for it, AVX-512 BF16 or AMX.  That is not enough: where a virtual machine hides the AMX of an Intel Xeon,
    its AVX-512 BF16 has half the rate of float32, and on an AMD EPYC it has two to four times that rate.  So the two are timed,
    for some milliseconds, by the fastest of their products, which other programs disturb least.
    """
    import torch

    has_instructions = any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return has_instructions and seconds_of_product(torch.bfloat16) < seconds_of_product(torch.float32)


def seconds_of_product(dtype: "torch.dtype") -> float:
    """Duration of a product of two matrices as in an update of the `fast` recipe, on one thread, the shortest of fifty."""
    import torch

    a, b = torch.zeros(128, 256, dtype=dtype), torch.zeros(256, 256, dtype=dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where other programs run
    try:
        return min(timeit.repeat(lambda: a @ b, number=1, repeat=50))
    finally:
        torch.set_num_threads(threads)


def reproduction_command(args: Args) -> str:
    """The command line that repeats a run: the recipe, and the arguments that differ from it."""
    decided = make_args(recipe=args.recipe)
    defaults = dataclasses.replace(RECIPES[args.recipe], bf16=decided.bf16, device=decided.device, workers=decided.workers)
    words = ["python", "main.py"] + [args.recipe] * (args.recipe != "fast")
    for field in dataclasses.fields(Args):
        value = getattr(args, field.name)
        if value == getattr(defaults, field.name):
            continue
        option = "--" + field.name.replace("_", "-")
        if field.type is bool:
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, str(value)]
    return shlex.join(words)
