"""Trains many runs side by side, with several seeds and arguments, on the cores of this machine or on a cluster (Ray Tune).

    python sweep.py --seeds 10 --set tau=0.005,0.01,0.02 --until-return 2500 --max-timesteps 1_200_000

trains 30 runs.  Given again, the same command continues where it was interrupted, and does nothing once all runs are finished.
"""

import dataclasses
import logging
import os
import shutil
import socket
import warnings
from collections import Counter
from contextlib import chdir, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from filelock import FileLock
from tabulate import tabulate

from training import trials
from training.args import make_args
from training.checkpoint import has_latest, remove_replay_buffer
from training.cli import run_cli
from training.curve import read_curve
from training.display import SweepDisplay
from training.run import LOCK
from training.trials import RUN, SweepArgs, Trial
from utils import REPO_ROOT

if TYPE_CHECKING:
    import pyarrow


@dataclasses.dataclass
class Sweep:
    """The results of a sweep so far.

    Attributes:
        folder: absolute path of its files: evaluations.csv, trials.csv, and a folder for each trial.
        evaluations: one row for each evaluation, see `training.trials.make_tables`.
        trials: one row for each trial.
        interrupted: whether Ctrl-C or the stop button of a notebook ended the sweep.
    """

    folder: Path
    evaluations: "pyarrow.Table"
    trials: "pyarrow.Table"
    interrupted: bool


def sweep(**given: Any) -> Sweep:
    """Calls `main()` with every combination of some arguments and seeds, such as `sweep(seeds=10, tau=[0.005, 0.01])`.

    A run continues from the last checkpoint in its folder after its process or its machine died, and when an interrupted sweep
    is started again.  With more seeds or values, a sweep of the same name gets more runs and keeps those it has.

    Args:
        **given: fields of `training.trials.SweepArgs`, and arguments of `main()`.  Of these a list makes a grid, a text such as
            "loguniform(1e-4, 1e-3)" a range (see `training.trials.RANGES`), and any other value holds for all runs.

    Raises:
        RuntimeError: Ray is not installed.
        ValueError: one sentence: an argument does not exist or its value makes no sense, the cluster does not answer or has no
            machine with so many CPUs, or the folder has a run with other arguments.
    """
    try:
        warnings.filterwarnings("ignore", "IProgress not found")  # in a notebook, Ray would like ipywidgets
        logging.getLogger("ray.widgets").setLevel(logging.ERROR)
        import ray  # an optional extra
        from pyarrow import Table, csv
    except ImportError as error:
        raise RuntimeError(
            "A sweep needs Ray, which is not installed: run 'python scripts/make.py sweep', or 'uv sync --extra sweep' with uv."
        ) from error
    args, runs, folder = trials.plan(**given)
    waiting = [run for run in runs if not trials.is_finished(folder, run, args.until_return)]
    waiting.sort(key=lambda run: run.varied["seed"])  # so that an interrupted sweep has the same seeds of all combinations
    if waiting:
        steps = {run.name: make_args(**run.arguments).max_timesteps for run in runs}
        try:
            connect(args.address, args.cpus_per_trial)
            with closing(SweepDisplay(folder.name, steps, steps.keys() - {run.name for run in waiting})) as display:
                run_trials(waiting, folder, args, display)
        except KeyboardInterrupt:  # a second Ctrl-C, or SIGTERM; the first Ctrl-C ends run_trials in good order
            pass
        finally:
            ray.shutdown()
    evaluations, summaries = (Table.from_pylist(rows) for rows in trials.make_tables(folder, runs, args.until_return))
    folder.mkdir(parents=True, exist_ok=True)  # an interrupt may come before the first run has made it
    csv.write_csv(evaluations, folder / "evaluations.csv")
    csv.write_csv(summaries, folder / "trials.csv")
    return Sweep(folder, evaluations, summaries, "unfinished" in summaries["status"].to_pylist())


def connect(address: str | None, cpus_per_trial: int) -> None:
    """Starts Ray on this machine, or connects to a cluster.

    Raises:
        ValueError: no cluster answers at that address, or no machine has so many CPUs.
    """
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # it would name another command that continues the sweep
    # Ray's usage report, its own files of results, and its own display are not needed.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    try:
        if address is not None:
            socket.create_connection(address.rpartition(":")[::2], timeout=5).close()  # Ray itself would wait for minutes
        with chdir(REPO_ROOT):  # Ray's processes import from the folder in which it is started
            ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL)
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(
            f"address is '{address}', where no Ray cluster answers ({error}): expected the HOST:PORT that 'ray start --head' has "
            "shown, or no address for this machine alone."
        ) from error
    most = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
    if cpus_per_trial > most:
        raise ValueError(f"cpus_per_trial is {cpus_per_trial}: it should be at most {most}, the CPUs of the largest machine.")


def run_trials(runs: list[Trial], folder: Path, args: SweepArgs, display: SweepDisplay) -> None:
    """Runs trials on Ray Tune, until all have ended or Ctrl-C.

    All that is known of a trial is in its folder, so Ray's own record of the sweep, from which `Tuner.restore` would continue,
    is not needed: a sweep can be continued with other seeds, values and numbers of CPUs, and after Ray itself was killed.
    """
    from ray import tune

    class Progress(tune.Callback):
        def on_step_end(self, iteration: int, trials: list[Any], at_once: bool = False, **info: Any) -> None:
            words = {"RUNNING": "running", "TERMINATED": "finished", "ERROR": "failed"}
            states = ((str(each), words.get(each.status, "waiting"), each.last_result or {}) for each in trials)
            display.update(states, at_once)

        def on_trial_error(self, *_: Any, **info: Any) -> None:
            place = folder / str(info["trial"])
            trials.write_state(place, **{"error": "Its process died."} | trials.read_state(place))

        def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
            self.on_step_end(0, trials, at_once=True)

        def __reduce__(self) -> tuple[Any, ...]:
            return tune.Callback, ()  # Ray writes its configuration to a file, which the display could not be part of

    by_name = {run.name: run for run in runs}
    trainable = tune.with_parameters(train_trial, runs=by_name, folder=folder, args=args)
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": args.cpus_per_trial}),
        param_space={"name": tune.grid_search(list(by_name))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=args.concurrent,
            trial_name_creator=lambda trial: trial.config["name"],
            trial_dirname_creator=str,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(folder),
            failure_config=tune.FailureConfig(max_failures=args.max_failures),
            callbacks=[Progress()],
            progress_reporter=tune.CLIReporter(),  # with verbose=0 it is silent; the one for notebooks would clear the cell
            verbose=0,
        ),
    ).fit()


def train_trial(config: dict[str, str], runs: dict[str, Trial], folder: Path, args: SweepArgs) -> None:
    """One trial, in a process of Ray: from its last checkpoint if there is one, otherwise from the beginning."""
    from ray import tune

    from main import main

    run = runs[config["name"]]
    folder = folder / run.name
    curve, models = Path("results", f"{RUN}.csv"), Path("models", RUN)
    state = {"arguments": run.arguments, "until_return": args.until_return, "host": socket.gethostname()}
    cores = {"workers": min(1, args.cpus_per_trial - 1), "threads": max(1, args.cpus_per_trial - 1)}
    trials.write_state(folder, **state)
    os.chdir(folder)

    def report(evaluation: dict[str, float]) -> bool:
        tune.report(evaluation)
        return trials.is_over(run, read_curve(curve), args.until_return)

    try:
        if models.exists():  # on a shared file system, the lock of a machine that died is not free at once
            FileLock(models / LOCK, timeout=120).acquire().lock.release()
        if not has_latest(models):
            for kind in ("models", "results", "runs"):
                shutil.rmtree(kind, ignore_errors=True)
            main(**cores | run.arguments, name=RUN, on_evaluation=report)
        elif not trials.is_over(run, read_curve(curve), args.until_return):
            main(resume=RUN, on_evaluation=report)
    except Exception as error:
        trials.write_state(folder, **state, error=str(error) or type(error).__name__)
        raise
    trials.write_state(folder, **state, finished=True)
    remove_replay_buffer(models)


@dataclasses.dataclass
class CommandLine(SweepArgs):
    set: tyro.conf.UseAppendAction[list[str]] = dataclasses.field(default_factory=list)
    """An argument of main.py, NAME=VALUE; with several values, NAME=VALUE,VALUE,..., each is tried (a grid).  A random search has
    NAME=uniform(LOW,HIGH), loguniform(LOW,HIGH) or randint(LOW,HIGH).  May be given more than once."""
    max_timesteps: int | None = None
    """Number of environment steps of each run, as --set max_timesteps=NUMBER."""


def command_line(args: CommandLine) -> None:
    """Runs a sweep, and prints a table of its runs."""
    given = {name: value for name, value in vars(args).items() if name not in ("set", "max_timesteps")}
    length = [] if args.max_timesteps is None else [f"max_timesteps={args.max_timesteps}"]
    result = sweep(**given, **trials.parse_settings(args.set + length))
    columns = ["trial", "solved", "steps_to_threshold", "minutes_to_threshold", "best", "last_three", "timesteps", "status"]
    print(tabulate(result.trials.select(columns).to_pylist(), "keys"), f"Tables: {result.folder}/*.csv", sep="\n")
    counts = Counter(result.trials["status"].to_pylist())
    if counts.keys() != {"finished"}:
        states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        raise RuntimeError(f"Of {counts.total()} runs: {states}.  The same command continues.")


if __name__ == "__main__":
    run_cli(command_line, CommandLine, description=__doc__)
