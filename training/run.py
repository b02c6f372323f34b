"""The files, the clock and the end of a training run."""

import contextlib
import dataclasses
import itertools
import json
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from envs.episodes import Episode
from envs.registry import make_envs
from training.args import Args, reproduction_command
from training.checkpoint import Checkpoints
from training.cli import in_notebook
from training.curve import CURVE_COLUMNS, append_row
from training.display import Curve, NotebookDisplay, TerminalDisplay
from training.files import atomic_write, has_unfinished, readable_errors, remove_unfinished
from training.finite import NonFiniteError, check_weights
from training.streams import integers, spawn_streams
from utils import MAX_EVAL_ENVS, eval_policy


@dataclass
class Result:
    """A run in memory.

    Attributes:
        name: of the run.  Its files are models/NAME, results/NAME.csv and runs/NAME.
        policy: the agent as it was at the end.
        curve: dict of (N,) float64 arrays, one for each of `CURVE_COLUMNS`.
        best: highest mean return of an evaluation; that policy is in models/NAME/best_STEPS.
        seconds: wall clock of the whole run.
        interrupted: whether it was stopped before its end.
    """

    name: str
    policy: Any
    curve: Curve
    best: float
    seconds: float
    interrupted: bool


class RunFiles:
    """The files of a run: models/NAME/, results/NAME.csv and, for TensorBoard, runs/NAME/.

    No other run is overwritten: if there is one with that name, this one becomes NAME-2, NAME-3, ..., also when several start at
    the same moment.  Until `close`, no other process can resume this run.

    Args:
        args: the arguments of the run, which are kept in models/NAME/args.json with the command that repeats it.
        root: the folder in which models, results and runs are.

    Attributes:
        name: of the run.
        checkpoints: a `Checkpoints`, or None with save_model=False.

    Raises:
        OSError: a file cannot be written, in one sentence.  Then none of them is left.
        ValueError: another process trains the run that this one should resume.
    """

    def __init__(self, args: Args, root: str | Path = ".") -> None:
        root = Path(root)
        for folder in (root / "models").glob("*/"):
            remove_remains(folder)
        self.name = args.resume or claim_name(args, root)
        self.models, self.csv = root / "models" / self.name, root / "results" / f"{self.name}.csv"
        self.checkpoints = None
        self.lock = filelock.FileLock(self.models / LOCK, timeout=0)
        try:
            if args.save_model:
                with readable_errors(self.models / LOCK):
                    self.lock.acquire()
                self._write_args(args)
                self.checkpoints = Checkpoints(self.models)
            if not args.resume:
                self.write_curve([])
            self.board = SummaryWriter(str(root / "runs" / self.name))
        except filelock.Timeout:
            raise ValueError(f"resume is '{self.name}', which another process is training: wait for it, or stop it.") from None
        except OSError:
            self.lock.release()
            if not args.resume:
                self.csv.unlink(missing_ok=True)
                shutil.rmtree(self.models, ignore_errors=True)
            raise

    def _write_args(self, args):
        command = reproduction_command(dataclasses.replace(args, resume=""))
        text = json.dumps({"command": command, **vars(args), "name": self.name, "resume": ""}, indent=2)
        with atomic_write(self.models / "args.json") as path:
            path.write_text(text + "\n", encoding="utf-8")

    def write_curve(self, rows: list[list[float]]) -> None:
        """Writes results/NAME.csv anew."""
        with atomic_write(self.csv) as path:
            append_row(path, CURVE_COLUMNS)
            for row in rows:
                append_row(path, row)

    def append(self, row: list[float], losses: dict[str, Any]) -> None:
        """Adds an evaluation to the curve, and the curve and the losses to TensorBoard's files."""
        with readable_errors(self.csv):
            append_row(self.csv, row)
        with readable_errors(self.board.log_dir):
            for name, value in zip(CURVE_COLUMNS[1:], row[1:], strict=True):
                self.board.add_scalar(f"eval/{name}", value, row[0])
            for name, value in losses.items():
                self.board.add_scalar(f"train/{name}", float(value), row[0])
            self.board.flush()

    def close(self) -> None:
        """Waits until everything is written, and lets other processes resume the run."""
        if self.checkpoints:
            self.checkpoints.close()
        with contextlib.suppress(OSError):
            self.board.close()
        self.lock.release()


LOCK = ".lock"
"""The file in models/NAME that a process has locked as long as it trains this run."""


def claim_name(args: Args, root: Path) -> str:
    """Makes results/NAME.csv and, with save_model, models/NAME, for the first NAME that no run has, and returns that name."""
    for folder in [root / "models"] * args.save_model + [root / "results"]:
        with readable_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        name = args.name if number == 1 else f"{args.name}-{number}"
        folder, csv = root / "models" / name, root / "results" / f"{name}.csv"
        if folder.exists() or csv.exists():
            continue
        with contextlib.suppress(FileExistsError), readable_errors(folder, only_room=True):
            if args.save_model:
                folder.mkdir()
            try:
                open(csv, "x").close()
            except OSError:
                if args.save_model:
                    folder.rmdir()
                raise
            return name
    raise AssertionError("unreachable")


def remove_remains(folder: Path) -> None:
    """Removes the unfinished files of a run whose process was killed."""
    if (folder / LOCK).exists() and has_unfinished(folder):
        with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(folder / LOCK, timeout=0):
            remove_unfinished(folder)


class StopTraining(Exception):
    """Ends the loop of a run from within, at a moment at which everything can be saved."""


class InterruptHandler:
    """Turns Ctrl-C, the stop button of a notebook and SIGTERM into a flag, so that no step and no save is cut short.

    A context manager; `interrupted` becomes True.  A later Ctrl-C is ignored for three seconds, in which the run should have
    saved itself, and from then on raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.since = 0.0
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "InterruptHandler":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        if self.interrupted and time.monotonic() - self.since > 3:
            raise KeyboardInterrupt
        if not self.interrupted:
            self.interrupted, self.since = True, time.monotonic()

    def __exit__(self, *error: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class Run:
    """A training run around its loop: evaluations, files, display, and the conditions under which it ends.

    A context manager.  It saves the run when its block ends, also by an interrupt, by an error in an environment or by the death
    of a worker, so that it can be resumed.

    Args:
        args: the arguments of the run.
        plot: draws a learning curve, for the display in a notebook.
        on_evaluation: called after each evaluation with a dict of `CURVE_COLUMNS`; if it returns True, the run ends.
        root: the folder in which models, results and runs are.
    """

    position: Callable[[], tuple[int, np.ndarray, np.ndarray | None]]
    """What the loop has at this moment: environment steps so far, states (N, S), and the actions (N, A) that are not done yet."""

    def __init__(
        self,
        args: Args,
        plot: Callable[[Curve], Any],
        on_evaluation: Callable[[dict[str, float]], bool | None] | None = None,
        root: str | Path = ".",
    ) -> None:
        self.args, self.plot, self.on_evaluation, self.root = args, plot, on_evaluation, root
        self.streams = spawn_streams(args.seed)
        self.rows: list[list[float]] = []
        self.handler = InterruptHandler()
        self.best, self.seconds_before = -np.inf, 0.0
        self.policy: Any = None  # until `begin`, there is nothing to save

    def __enter__(self) -> "Run":
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.handler)
            self.files = stack.enter_context(contextlib.closing(RunFiles(self.args, self.root)))
            self.eval_envs = make_envs(self.args.env, min(self.args.eval_episodes, MAX_EVAL_ENVS), workers=0)
            stack.callback(self.eval_envs.close)
            shown = (self.files.name, self.args.max_timesteps)
            self.display = NotebookDisplay(*shown, self.plot) if in_notebook() else TerminalDisplay(*shown)
            stack.callback(self.display.close)
            self.stack = stack.pop_all()
        self.started = self.saved_at = time.perf_counter()
        return self

    def begin(
        self, policy: Any, replay_buffer: Any, rng: np.random.Generator, envs: Any
    ) -> tuple[int, np.ndarray, np.ndarray | None]:
        """Resets the environments, or brings everything to where the last checkpoint of the run to resume was.

        Args:
            policy, replay_buffer, rng, envs: all that changes during training.

        Returns:
            environment steps so far, states (N, S), and the next actions (N, A) if they were chosen already, otherwise None.

        Raises:
            StopTraining: it was interrupted already.
            ValueError: the checkpoint is damaged or has no replay buffer, or the run was finished.
        """
        self.check()
        saved = self.files.checkpoints.load_latest() if self.args.resume and self.files.checkpoints else None
        if saved:
            self._restore(*saved, policy, replay_buffer, rng)
            states, actions = self._repeat_episodes(saved[1], replay_buffer, envs)
        else:
            self.files.write_curve([])  # rows of a run that was killed before its first checkpoint
            states, actions = envs.reset(seed=integers(self.streams.environments, self.args.num_envs))[0], None
        envs.while_waiting = self.check
        self.policy, self.replay_buffer, self.rng, self.envs = policy, replay_buffer, rng, envs
        timesteps = saved[1]["timesteps"] if saved else 0
        self.rated_at = timesteps, time.perf_counter()
        return timesteps, states, actions

    def _restore(self, prefix, state, transitions, policy, replay_buffer, rng):
        """Everything but the environments."""
        args = self.args
        if state["timesteps"] >= args.max_timesteps or (args.max_minutes and state["seconds"] >= 60 * args.max_minutes):
            limit = "max_timesteps" if state["timesteps"] >= args.max_timesteps else "max_minutes"
            raise ValueError(
                f"resume is '{self.files.name}', which has finished, after {state['timesteps']:,} steps and "
                f"{state['seconds'] / 60:.1f} minutes: give a larger {limit} to continue it."
            )
        if transitions is None:
            raise ValueError(
                f"resume is '{self.files.name}', which was saved without its replay buffer: "
                f"start a new run from its policy, with load_model='{self.files.name}/latest'."
            )
        policy.load(prefix, targets=True)
        policy.total_it = state["total_it"]
        replay_buffer.load_state_dict(state["replay_buffer"] | {"transitions": transitions})
        rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
        self.rows, self.seconds_before = state["rows"], state["seconds"]
        self.best = max([self.files.checkpoints.best_return(), *(row[2] for row in self.rows)])
        self.files.write_curve(self.rows)

    def _repeat_episodes(self, state, replay_buffer, envs):
        """The environments."""
        episodes = [
            Episode(each["start"], None if each["actions"] is None else each["actions"].numpy()) for each in state["episodes"]
        ]
        states = envs.repeat_episodes(episodes)
        different = (states != state["states"].numpy()).any(axis=1)
        if not different.any():
            return states, None if state["actions"] is None else state["actions"].numpy()
        replay_buffer.cut_episodes(different)
        warnings.warn(
            f"{different.sum()} of {len(states)} environments did not repeat their episodes, so this run continues with other "
            "episodes than it would have had: their randomness should all come from np_random.",
            stacklevel=2,
        )
        return states, None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        stopped = isinstance(error, StopTraining)
        try:
            if self.files.checkpoints and self.policy is not None:
                if error is None or stopped:
                    self._save_latest(wait=True)
                elif isinstance(error, NonFiniteError):
                    error.add_note(f"models/{self.files.name} has the last checkpoint before that.")
                elif isinstance(error, Exception) and not isinstance(error, OSError):
                    self._save_latest(wait=True)
                    error.add_note(f"Everything is saved.  Continue with: python main.py --resume {self.files.name}")
        finally:
            self.stack.close()
        return stopped

    @property
    def seconds(self) -> float:
        """Wall clock of training, that before the resumption included."""
        return self.seconds_before + time.perf_counter() - self.started

    def _late(self, seconds=0.0):
        return self.args.max_minutes is not None and self.seconds > 60 * self.args.max_minutes + seconds

    def ends(self, timesteps: int) -> bool:
        """Whether the run ends after so many environment steps: at max_timesteps or after max_minutes.

        Raises:
            StopTraining: it was interrupted.
        """
        self.check()
        return timesteps >= self.args.max_timesteps or self._late()

    def check(self) -> None:
        """For use where a step takes long.

        Raises:
            StopTraining: the run was interrupted, or max_minutes passed more than a second ago.
        """
        self._check_interrupt()
        if self._late(1.0):
            raise StopTraining

    def evaluation_due(self, timesteps: int) -> bool:
        """Whether a multiple of eval_freq was passed since the evaluation before."""
        return is_due(timesteps, self.rows, self.args.eval_freq)

    def evaluate(self, policy: Any, timesteps: int, losses: dict[str, Any]) -> bool:
        """Evaluates a policy, adds the result to curve, files and display, and keeps the policy if it is the best so far.

        Args:
            policy: the agent.
            timesteps: environment steps so far.
            losses: latest losses, for TensorBoard.

        Returns:
            whether the run ends, because `on_evaluation` says so.

        Raises:
            StopTraining: the run was interrupted.
        """
        check_weights(policy, timesteps)
        steps, since = self.rated_at
        rate = (timesteps - steps) / (time.perf_counter() - since)
        evaluation = eval_policy(
            policy,
            self.eval_envs,
            integers(self.streams.evaluation, self.args.eval_episodes),
            self.args.eval_episodes,
            before_step=self._check_interrupt,
        )
        returns, lengths = evaluation.returns, evaluation.lengths
        row = [self.seconds, returns.mean(), returns.min(), returns.max(), lengths.mean(), rate]
        self.rows.append([timesteps] + [round(float(x), 1) for x in row])
        with self.save_errors():
            self.files.append(self.rows[-1], losses)
        if evaluation.mean > self.best and self.files.checkpoints:
            with self.save_errors():
                found = {"mean_return": evaluation.mean, "returns": returns.tolist()}
                self.files.checkpoints.save_best(policy, timesteps, found)
        self.best = max(self.best, evaluation.mean)
        self.display.evaluated(self.curve)
        self.rated_at = timesteps, time.perf_counter()
        return bool(self.on_evaluation and self.on_evaluation(dict(zip(CURVE_COLUMNS, self.rows[-1], strict=True))))

    def _check_interrupt(self):
        if self.handler.interrupted:
            raise StopTraining

    def save_latest_if_due(self) -> None:
        """Writes models/NAME/latest_STEPS, from which `resume` continues, if checkpoint_minutes have passed since the last one."""
        if self.files.checkpoints:
            with self.save_errors():
                self.files.checkpoints.wait(finished_only=True)
            if time.perf_counter() - self.saved_at >= 60 * self.args.checkpoint_minutes:
                self._save_latest()

    def _save_latest(self, wait=False):
        timesteps, states, actions = self.position()
        check_weights(self.policy, timesteps)
        buffer = self.replay_buffer.state_dict()
        transitions = buffer.pop("transitions")
        rows = scheduled(self.rows, self.args.eval_freq)
        state = {
            "timesteps": timesteps,
            "total_it": self.policy.total_it,
            "seconds": self.seconds,
            "rows": rows,
            "replay_buffer": buffer,
            "rng": self.rng.bit_generator.state,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.args.device == "cuda" else None,
            "states": torch.from_numpy(np.array(states)),
            "actions": None if actions is None else torch.from_numpy(np.array(actions)),
            "episodes": [
                {"start": each.start, "actions": None if each.actions is None else torch.from_numpy(np.array(each.actions))}
                for each in self.envs.log.episodes()
            ],
        }
        with self.save_errors():
            memory = transitions if self.args.save_replay_buffer else None
            self.files.checkpoints.save_latest(self.policy, timesteps, state, memory)
            if wait:
                self.files.checkpoints.wait()
        self.saved_at = time.perf_counter()

    @contextlib.contextmanager
    def save_errors(self) -> Iterator[None]:
        """For a block that writes files: with ignore_save_errors, an OSError becomes a warning."""
        try:
            yield
        except OSError as error:
            if not self.args.ignore_save_errors:
                raise
            warnings.warn(f"{error}  Training goes on.", stacklevel=3)

    @property
    def curve(self) -> Curve:
        """The learning curve so far: (N,) float64 arrays."""
        columns = np.array(self.rows, dtype=float).reshape(-1, len(CURVE_COLUMNS)).T
        return dict(zip(CURVE_COLUMNS, columns, strict=True))

    def result(self, policy: Any) -> Result:
        """The run so far."""
        return Result(self.files.name, policy, self.curve, self.best, self.seconds, self.handler.interrupted)


def scheduled(rows: list[list[float]], eval_freq: int) -> list[list[float]]:
    """The evaluations without one that was made only because the run ended, which a run of more steps would not have."""
    kept: list[list[float]] = []
    for row in rows:
        if is_due(row[0], kept, eval_freq):
            kept.append(row)
    return kept


def is_due(timesteps: float, rows: list[list[float]], eval_freq: int) -> bool:
    """Whether a multiple of eval_freq was passed since the last evaluation in `rows`."""
    before = rows[-1][0] if rows else 0
    return timesteps // eval_freq > before // eval_freq
