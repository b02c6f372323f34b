"""The trials of a sweep: its arguments, the runs that it has, and the tables of what came of them."""

import ast
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, MinLen
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from training.args import Count, describe_invalid, is_file_name, make_args, shown
from training.curve import CURVE_COLUMNS, read_curve, solved_row, summarize
from training.files import atomic_write
from utils import find_checkpoint

RUN = "run"
"""Name of each trial's run: its curve is results/run.csv in the folder of the trial, its policies are models/run/best_*, ..."""

RANGES = ("uniform", "loguniform", "randint")
"""Distributions of a range of two numbers.  `randint` draws whole numbers below its second number."""

OWN = {
    "seed": "give seeds instead",
    "name": "leave it out, because each run has a folder of its own",
    "resume": "leave it out, because the same sweep started again resumes its runs",
    "save_model": "leave it out, because a run goes on from its checkpoint when its machine dies",
    "save_replay_buffer": "leave it out, because a run goes on from its checkpoint when its machine dies",
}
"""Arguments of a run that a sweep sets by itself, and what to do about it."""


@dataclass
class SweepArgs:
    """The arguments of a sweep, besides those of its runs."""

    seeds: Count | Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)] = 5
    """Number of seeds for each combination of arguments, which are 0, 1, 2, ..., or the seeds themselves."""
    samples: Count | None = None
    """Number of draws for the arguments that have a range."""
    until_return: float | None = None
    """Mean return at which a run ends, if two evaluations in a row have it."""
    cpus_per_trial: Count = 1
    """CPUs of each run.  With 1 the environments are in the process of the learner.  With more they are in a worker, and the
    learner has the other CPUs as threads."""
    concurrent: Count | None = None
    """Highest number of runs at the same time.  The default is as many as there are CPUs for."""
    address: str | None = None
    """Address of a running Ray cluster, HOST:PORT.  All its machines see this repository and root under the same paths.  The default
    is this machine alone."""
    max_failures: Annotated[int, Ge(0)] = 3
    """Number of times that a run is started again after it failed."""
    name: str = ""
    """Name of the sweep.  By default, the same arguments always give the same name."""
    root: Path = Path("sweeps")
    """Folder of the sweeps."""


CheckedSweepArgs: Any = checked_dataclass(SweepArgs, config=ConfigDict(strict=True, allow_inf_nan=False))
"""`SweepArgs` that raises pydantic's ValidationError for a value that its field does not allow."""


def make_sweep_args(**given: Any) -> SweepArgs:
    """Checks the arguments of a sweep.  A list of seeds may stand for a tuple, and a text for a path.

    Raises:
        ValueError: one sentence that names the argument, the value and what was expected.
    """
    seeds = given.get("seeds")
    convert: dict[str, Any] = {"seeds": tuple(seeds)} if isinstance(seeds, (list, range)) else {}
    convert |= {"root": Path(given["root"])} if isinstance(given.get("root"), str) else {}
    try:
        args = SweepArgs(**vars(CheckedSweepArgs(**given | convert)))
    except ValidationError as error:
        raise ValueError(describe_invalid(error, given)) from None
    if not is_file_name(args.name or "a"):
        raise ValueError(f"name is {shown(args.name)}: it should be a file name without folders.")
    return args


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        name: made of the arguments that differ between trials, such as "tau=0.01_seed=3"; also the name of its folder.
        varied: the arguments that differ between trials, the seed last.
        arguments: all arguments that are given to `main()`, without the name of the run.
    """

    name: str
    varied: dict[str, Any]
    arguments: dict[str, Any]


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Arguments as on the command line: NAME=VALUE, NAME=VALUE,VALUE,... (a grid) or NAME=loguniform(LOW,HIGH) (a range).

    Returns:
        a dict with a value, a list or the text of a range for each name.

    Raises:
        ValueError: a setting has another form, or a name comes twice.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        name, text = name.strip().replace("-", "_"), text.strip()
        values = [text] if "(" in text else [each.strip() for each in text.split(",")]
        if not equals or not name or not all(values):
            raise ValueError(f"--set is '{setting}': expected NAME=VALUE, NAME=VALUE,VALUE,... or NAME=loguniform(LOW,HIGH).")
        if name in parsed:
            raise ValueError(f"--set has '{name}' twice: give all of its values at once, {name}=VALUE,VALUE,...")
        parsed[name] = [_literal(each) for each in values] if len(values) > 1 else _literal(text)
    return parsed


def _literal(text):
    """A Python literal as its value; any other text as it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def make_trials(arguments: dict[str, Any], seeds: int | Sequence[int], samples: int | None = None) -> list[Trial]:
    """Every combination of the values of a grid, the draws of ranges, and the seeds; the seeds of one combination in a row.

    Args:
        arguments: fields of `Args`.  A list has the values of a grid, a text such as "loguniform(1e-4, 1e-3)" is a range (see
            `RANGES`), and any other value holds for all trials.
        seeds: number of seeds, which are 0, 1, 2, ..., or the seeds themselves.
        samples: number of draws from the ranges.  The draws are the same each time.

    Raises:
        ValueError: one sentence that says which argument or value is wrong, or that two trials would be the same.
    """
    arguments = {name: _plain(value) for name, value in arguments.items()}
    for name in OWN.keys() & arguments:
        raise ValueError(f"A sweep sets '{name}' by itself: {OWN[name]}.")
    all_seeds = range(seeds) if isinstance(seeds, int) else seeds
    if arguments.get("load_model"):
        arguments = arguments | {"load_model": str(find_checkpoint(arguments["load_model"]).resolve())}
    grid = {name: value for name, value in arguments.items() if isinstance(value, list)}
    ranges = {name: _range(name, value) for name, value in arguments.items() if isinstance(value, str) and "(" in value}
    if empty := [name for name, values in grid.items() if not values]:
        raise ValueError(f"{empty[0]} is an empty list: expected at least one value.")
    if bool(ranges) != (samples is not None) or (samples is not None and samples < 1):
        which = (
            f"a whole number of at least 1, because {next(iter(ranges))} has a range"
            if ranges
            else "left out, because no argument has a range"
        )
        raise ValueError(f"samples is {samples}: it should be {which}.")
    rng = np.random.default_rng(0)
    draws = [{name: draw(rng) for name, draw in ranges.items()} for _ in range(samples or 1)]
    trials = []
    for draw, *values, seed in itertools.product(draws, *grid.values(), all_seeds):
        varied = draw | dict(zip(grid, values, strict=True)) | {"seed": seed}
        given = arguments | varied
        make_args(**given)
        name = "_".join(f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in varied.items())
        trials.append(Trial(re.sub(r"[^\w.=+-]+", "-", name)[-150:], varied, given))
    seen: set[str] = set()
    for trial in trials:
        if trial.name in seen:
            raise ValueError(f"Two runs are '{trial.name}': give each value and each seed once.")
        seen.add(trial.name)
    return trials


def _plain(value):
    """Arrays and tuples as lists, and NumPy scalars as numbers, which JSON can hold."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _range(name, text):
    """The function that draws from a range such as "loguniform(1e-4, 1e-3)", given a NumPy generator."""
    found = re.fullmatch(r"(\w+)\(([^,()]+),([^,()]+)\)", text.strip())
    kind, low, high = (found[1], _literal(found[2].strip()), _literal(found[3].strip())) if found else ("", 0, 0)
    numbers = all(type(each) in ((int,) if kind == "randint" else (int, float)) for each in (low, high))
    if kind not in RANGES or not numbers or not low < high or (kind == "loguniform" and low <= 0):
        raise ValueError(
            f"{name} is '{text}': expected uniform(LOW, HIGH), loguniform(LOW, HIGH) with LOW above 0, or randint(LOW, HIGH), "
            "with LOW below HIGH."
        )
    if kind == "randint":
        return lambda rng: int(rng.integers(low, high))
    if kind == "uniform":
        return lambda rng: float(rng.uniform(low, high))
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


def default_name(trials: Sequence[Trial], until_return: float | None) -> str:
    """A name that the same arguments always get, whatever the seeds."""
    without_seeds = sorted(
        {
            json.dumps({key: value for key, value in trial.arguments.items() if key != "seed"}, sort_keys=True)
            for trial in trials
        }
    )
    digest = hashlib.sha256(json.dumps([without_seeds, until_return]).encode()).hexdigest()[:6]
    return "_".join([*list(trials[0].varied)[:-1], digest])


def plan(**given: Any) -> tuple[SweepArgs, list[Trial], Path]:
    """What a sweep with these arguments is.

    Args:
        **given: fields of `SweepArgs`; all others are arguments of the runs, see `make_trials`.

    Returns:
        the arguments of the sweep, its trials, and the absolute path of its folder.
    """
    own = {field.name for field in dataclasses.fields(SweepArgs)}
    args = make_sweep_args(**{name: value for name, value in given.items() if name in own})
    trials = make_trials({name: value for name, value in given.items() if name not in own}, args.seeds, args.samples)
    return args, trials, args.root.resolve() / (args.name or default_name(trials, args.until_return))


def read_state(folder: Path) -> dict[str, Any]:
    """What a trial wrote: its `arguments`, `until_return` and `host`, whether it is `finished`, its `error`; {} if it never ran."""
    try:
        return json.loads((folder / "trial.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write_state(folder: Path, **state: Any) -> None:
    """Writes what `read_state` reads."""
    with atomic_write(folder / "trial.json") as path:
        path.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def is_finished(folder: Path, trial: Trial, until_return: float | None) -> bool:
    """Whether a trial of a sweep in this folder was trained to its end.

    Raises:
        ValueError: there is a trial of that name with other arguments.
    """
    state = read_state(folder / trial.name)
    if state and (state["arguments"], state["until_return"]) != (trial.arguments, until_return):
        raise ValueError(f"'{folder / trial.name}' has a run with other arguments: give this sweep another name.")
    return state.get("finished", False)


def is_over(trial: Trial, curve: dict[str, np.ndarray], until_return: float | None) -> bool:
    """Whether a run with this learning curve has come to its end."""
    if not len(curve.get("timesteps", [])):
        return False
    args = make_args(**trial.arguments)
    late = args.max_minutes is not None and curve["seconds"][-1] >= 60 * args.max_minutes
    solved = until_return is not None and solved_row(curve, until_return) is not None
    return bool(curve["timesteps"][-1] >= args.max_timesteps or late or solved)


def make_tables(
    folder: Path, trials: Sequence[Trial], until_return: float | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The results of trials, finished or not, from their folders.

    Args:
        folder: in which each trial has the folder of its name.
        trials: of the sweep.
        until_return: mean return at which a trial counts as solved.

    Returns:
        one row for each evaluation: trial, the arguments that differ, and `CURVE_COLUMNS`; and one row for each trial: trial,
        these arguments, `SUMMARY_COLUMNS`, the host where it ran last, its status (finished, failed or unfinished) and its
        error.
    """
    evaluations, summaries = [], []
    for trial in trials:
        state, path = read_state(folder / trial.name), folder / trial.name / "results" / f"{RUN}.csv"
        curve = read_curve(path) if path.exists() else {}
        first = {"trial": trial.name, **trial.varied}
        columns = [curve.get(name, np.empty(0)).tolist() for name in CURVE_COLUMNS]
        evaluations += [first | dict(zip(CURVE_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
        status = "finished" if state.get("finished") else "failed" if state.get("error") else "unfinished"
        last = {"host": state.get("host"), "status": status, "error": state.get("error")}
        summaries.append(first | summarize(curve, until_return) | last)
    return evaluations, summaries
