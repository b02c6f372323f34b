"""The files, the clock and the end of a training run."""

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.registry import make_envs
from training.args import Args, reproduction_command
from training.cli import in_notebook
from training.curve import CURVE_COLUMNS, append_row
from training.display import Curve, NotebookDisplay, TerminalDisplay
from training.files import atomic_write
from utils import MAX_EVAL_ENVS, Evaluation, eval_policy


@dataclass
class Result:
    """A run in memory.

    Attributes:
        name: of the run.  Its files are models/NAME, results/NAME.csv and runs/NAME.
        policy: the agent as it was at the end.
        curve: dict of (N,) float64 arrays, one for each of `CURVE_COLUMNS`.
        best: highest mean return of an evaluation; that policy is models/NAME/best_*.
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

    No other run is overwritten: if there is one with that name, this one becomes NAME-2, NAME-3, ...

    Args:
        args: the arguments of the run, which are kept in models/NAME/args.json with the command that repeats it.
        root: the folder in which models, results and runs are.
    """

    def __init__(self, args: Args, root: str | Path = ".") -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second to import

        root, number, self.name = Path(root), 1, args.name
        while (root / "models" / self.name).exists() or (root / "results" / f"{self.name}.csv").exists():
            number += 1
            self.name = f"{args.name}-{number}"
        self.models, self.csv = root / "models" / self.name, root / "results" / f"{self.name}.csv"
        self.csv.parent.mkdir(parents=True, exist_ok=True)
        append_row(self.csv, CURVE_COLUMNS)
        if args.save_model:
            self.models.mkdir(parents=True)
            text = json.dumps({"command": reproduction_command(args), **dataclasses.asdict(args)}, indent=2)
            (self.models / "args.json").write_text(text + "\n", encoding="utf-8")
        self.board = SummaryWriter(str(root / "runs" / self.name))

    def append(self, row: list[float], losses: dict[str, Any]) -> None:
        """Adds an evaluation to the curve, and the curve and the losses to TensorBoard's files."""
        append_row(self.csv, row)
        for name, value in zip(CURVE_COLUMNS[1:], row[1:], strict=True):
            self.board.add_scalar(f"eval/{name}", value, row[0])
        for name, value in losses.items():
            self.board.add_scalar(f"train/{name}", float(value), row[0])
        self.board.flush()

    def save(self, policy: Any, which: str) -> None:
        """Writes the four files of a checkpoint, models/NAME/WHICH_*.  An interrupted save leaves the old files unchanged."""
        with atomic_write(self.models / which) as prefix:
            policy.save(prefix)


class InterruptHandler:
    """Turns Ctrl-C, the stop button of a notebook and SIGTERM into a flag, so that no step and no save is cut short.

    A context manager; `interrupted` becomes True.  A second Ctrl-C raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> "InterruptHandler":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame):
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class Run:
    """A training run around its loop: evaluations, files, display, and the conditions under which it ends.

    A context manager.

    Args:
        args: the arguments of the run.
        plot: draws a learning curve, for the display in a notebook.
        root: the folder in which models, results and runs are.
    """

    def __init__(self, args: Args, plot: Callable[[Curve], Any], root: str | Path = ".") -> None:
        self.args = args
        self.rows: list[list[float]] = []
        self.files = RunFiles(args, root)
        self.eval_envs = make_envs(args.env, min(args.eval_episodes, MAX_EVAL_ENVS), workers=0)
        shown = (self.files.name, args.max_timesteps)
        self.display = NotebookDisplay(*shown, plot) if in_notebook() else TerminalDisplay(*shown)
        self.handler = InterruptHandler()
        self.started = self.resumed = time.perf_counter()
        self.evaluated_at, self.best = 0, -np.inf

    def __enter__(self) -> "Run":
        self.handler.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.handler.__exit__()
        self.eval_envs.close()
        self.files.board.close()
        self.display.close()

    @property
    def seconds(self) -> float:
        """Wall clock since training began."""
        return time.perf_counter() - self.started

    def ends(self, timesteps: int) -> bool:
        """Whether the run ends after so many environment steps: at max_timesteps, after max_minutes, or by an interrupt."""
        late = self.args.max_minutes is not None and self.seconds > 60 * self.args.max_minutes
        return timesteps >= self.args.max_timesteps or late or self.handler.interrupted

    def evaluation_due(self, timesteps: int) -> bool:
        """Whether a multiple of eval_freq was passed since the evaluation before."""
        return timesteps // self.args.eval_freq > self.evaluated_at // self.args.eval_freq

    def evaluate(self, policy: Any, timesteps: int, losses: dict[str, Any]) -> Evaluation:
        """Evaluates a policy and adds the result to the curve, the files and the display.

        Args:
            policy: the agent.
            timesteps: environment steps so far.
            losses: latest losses, for TensorBoard.
        """
        rate = (timesteps - self.evaluated_at) / (time.perf_counter() - self.resumed)
        evaluation = eval_policy(policy, self.eval_envs, eval_episodes=self.args.eval_episodes)
        returns, lengths = evaluation.returns, evaluation.lengths
        row = [self.seconds, returns.mean(), returns.min(), returns.max(), lengths.mean(), rate]
        self.rows.append([timesteps] + [round(float(x), 1) for x in row])
        self.files.append(self.rows[-1], losses)
        self.display.evaluated(self.curve)
        self.evaluated_at, self.resumed = timesteps, time.perf_counter()
        return evaluation

    def save(self, policy: Any, evaluation: Evaluation) -> None:
        """Writes models/NAME/latest_*, and models/NAME/best_* if no evaluation before was as good."""
        if self.args.save_model:
            self.files.save(policy, "latest")
            if evaluation.mean > self.best:
                self.files.save(policy, "best")
        self.best = max(self.best, evaluation.mean)

    @property
    def curve(self) -> Curve:
        """The learning curve so far: (N,) float64 arrays."""
        columns = np.array(self.rows, dtype=float).reshape(-1, len(CURVE_COLUMNS)).T
        return dict(zip(CURVE_COLUMNS, columns, strict=True))

    def result(self, policy: Any) -> Result:
        """The run so far."""
        return Result(self.files.name, policy, self.curve, self.best, self.seconds, self.handler.interrupted)
