"""What stands around the algorithm: the replay buffer, the evaluation, and the folder a run leaves behind."""

import csv
import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike
from torch import Tensor
from tqdm import tqdm

from vector import make_envs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ReplayBuffer:
    """The last `max_size` transitions, from which TD3 learns in random order.

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        max_size: how many transitions are kept; after that the oldest are overwritten.
        n_step: how many rewards a stored transition sums.  With 1, the paper's, it is stored as it came.
        discount: gamma, needed for those sums alone.
        seed: of the random choice made by `sample`.
        device: where the batches go.

    One million transitions of the ant (S = 28, A = 8) take 264 MB; memory is taken as the buffer fills.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        max_size: int = int(1e6),
        *,
        n_step: int = 1,
        discount: float = 0.99,
        seed: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in {"state_dim": state_dim, "action_dim": action_dim, "max_size": max_size, "n_step": n_step}.items():
            if value < 1:
                raise ValueError(f"{name} is {value}: expected a whole number of at least 1.")
        self.max_size = max_size
        self.ptr = 0
        self.size = 0
        self.device = torch.device(device)
        widths = [state_dim, action_dim, state_dim, 1, 1]  # state, action, next_state, reward, not_done
        self.table = torch.empty((max_size, sum(widths)), dtype=torch.float32)  # a transition's numbers lie side by side
        self.widths = widths
        self.parts = self.table.split(widths, dim=1)
        self.state, self.action, self.next_state, self.reward, self.not_done = self.parts
        self.generator = torch.Generator()
        self.generator.manual_seed(seed) if seed is not None else self.generator.seed()
        self.n_step = n_step
        self.discount = discount
        self.window: deque[tuple[np.ndarray, ...]] = deque(maxlen=n_step)

    def __len__(self) -> int:
        return self.size

    def add(
        self,
        state: ArrayLike,
        action: ArrayLike,
        next_state: ArrayLike,
        reward: ArrayLike,
        done: ArrayLike,
        ended: ArrayLike | None = None,
    ) -> None:
        """Stores one transition, or one of each of `N` ants at once.

        Args:
            state, next_state: (S,) or (N, S).
            action: (A,) or (N, A).
            reward: a number or (N,).
            done: whether next_state is terminal, a number or (N,).  A time limit is not: there the future goes on.
            ended: whether the episode ended here for whatever reason, time limit included; by default the same as `done`.
                It matters for n_step > 1 alone: rewards are never summed across the end of an episode, and the last
                n_step - 1 transitions before a time limit are left out, because what would have come next is unknown.
        """
        state, action, next_state = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (state, action, next_state))
        reward, done = (np.asarray(x, dtype=np.float32).reshape(-1) for x in (reward, done))
        ended = done.astype(bool) if ended is None else np.asarray(ended, dtype=bool).reshape(-1)
        if self.n_step > 1:
            self.window.append((state, action, next_state, reward, done, ended))
            if len(self.window) < self.n_step:
                return
            state, action, next_state, reward, done = self._look_ahead()
        self._store(state, action, next_state, reward[:, None], 1.0 - done[:, None])

    def _look_ahead(self) -> tuple[np.ndarray, ...]:
        """The oldest transition of the window with the rewards of all its n_step steps, for those ants that got so far."""
        state, action = self.window[0][:2]
        total, going = np.zeros(len(state), np.float32), np.ones(len(state), bool)
        complete = np.ones(len(state), bool)
        next_state, done = self.window[0][2].copy(), np.zeros(len(state), np.float32)
        for k, (_, _, next_state_k, reward_k, done_k, ended_k) in enumerate(self.window):
            total += self.discount**k * going * reward_k
            next_state[going], done[going] = next_state_k[going], done_k[going]
            cut = going & ended_k & (done_k == 0) & (k < self.n_step - 1)
            complete &= ~cut
            going &= ~ended_k
        return state[complete], action[complete], next_state[complete], total[complete], done[complete]

    def _store(self, *columns):
        """Writes rows of (state, action, next_state, reward, not_done) at the pointer, going round at the end."""
        count = len(columns[0])
        rows = np.arange(self.ptr, self.ptr + count) % self.max_size
        # the same memory, where NumPy writes a few rows in a quarter of PyTorch's time
        self.table.numpy()[rows] = np.concatenate(columns, axis=1)
        self.ptr = (self.ptr + count) % self.max_size
        self.size = min(self.size + count, self.max_size)

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        """A random batch, drawn with replacement.

        Returns:
            state (B, S), action (B, A), next_state (B, S), reward (B, 1), not_done (B, 1): float32 tensors on `device`.

        Raises:
            ValueError: the buffer is empty.
        """
        if self.size == 0:
            raise ValueError("The replay buffer is empty: add transitions before sampling.")
        rows = torch.randint(self.size, (batch_size,), generator=self.generator)
        return self.table.index_select(0, rows).to(self.device).split(self.widths, dim=1)


# --- evaluation ------------------------------------------------------------------------------------------------------------

EVAL_SEED = 1_000_000
"""The first seed of the episodes that choose the best policy.  Training seeds lie below it, those of final scores above."""

SCORE_SEED = 2_000_000
"""The first seed of the episodes that score a finished policy: nobody trained or selected on them."""


MOST_EVAL_ENVS = 2
"""How many environments an evaluation keeps open: each takes 30 MB of memory, most of it Bullet's own."""


@dataclass
class Evaluation:
    """What `eval_policy` saw: one entry for each episode, in the order of their seeds.

    Attributes:
        returns: (N,) float64, sum of the rewards.
        lengths: (N,) int, steps.
    """

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    def __str__(self) -> str:
        return (
            f"mean return {self.mean:,.0f} over {len(self.returns)} episodes (std {self.returns.std():,.0f}, "
            f"lowest {self.returns.min():,.0f}, highest {self.returns.max():,.0f}; mean length {self.lengths.mean():,.0f})"
        )


def eval_policy(
    policy: Any, env: str | VectorEnv, seed: int = EVAL_SEED, eval_episodes: int = 10, workers: int = 0
) -> Evaluation:
    """Runs whole episodes without exploration noise, many at once.

    Args:
        policy: anything with `select_action(states)`, (N, S) -> (N, A).
        env: id of an environment, or vector environments to use again and again, such as `make_envs` gives, which stay open.
        seed: episode i is reset with seed + i, whatever was run before.
        eval_episodes: how many.  If there are fewer environments than that, each runs several, one after the other.
        workers: over how many processes the environments are spread, where `env` is an id.  With 0 they are in this one: two
            ants step sooner than two other processes answer (2.1 seconds for ten episodes against 2.7).

    Returns:
        an `Evaluation`.

    Raises:
        ValueError: there is no such environment, or eval_episodes is below 1.
    """
    if eval_episodes < 1:
        raise ValueError(f"eval_episodes is {eval_episodes}: expected at least 1.")
    if isinstance(env, str):
        envs = make_envs(env, min(eval_episodes, MOST_EVAL_ENVS), workers)
        try:
            return eval_policy(policy, envs, seed, eval_episodes)
        finally:
            envs.close()
    returns, lengths = [], []
    for first in range(0, eval_episodes, env.num_envs):
        states, _ = env.reset(seed=seed + first)
        running, total, length = np.ones(env.num_envs, bool), np.zeros(env.num_envs), np.zeros(env.num_envs, int)
        while running[: eval_episodes - first].any():
            states, rewards, terminated, truncated, _ = env.step(policy.select_action(states))
            total += rewards * running
            length += running
            running &= ~(terminated | truncated)
        returns.append(total)
        lengths.append(length)
    return Evaluation(np.concatenate(returns)[:eval_episodes], np.concatenate(lengths)[:eval_episodes])


# --- the run: its folder, its clock, its curve --------------------------------------------------------------------------------

CURVE = ["timesteps", "seconds", "mean_return", "min_return", "max_return", "mean_length", "steps_per_second"]
"""The columns of `results/NAME.csv`, one row for each evaluation.  `seconds` is wall clock since training began, evaluations
included; `steps_per_second` counts environment steps since the evaluation before, that one not included."""


@dataclass
class Result:
    """What a run leaves in memory.

    Attributes:
        name: of the run; its files are models/NAME, results/NAME.csv and runs/NAME.
        policy: the agent as it was at the end.
        curve: dict of arrays, one for each column in `CURVE`.
        best: highest mean return of an evaluation; that policy is models/NAME/best_*.
        seconds: wall clock of the whole run.
        interrupted: whether it was stopped before its end.
    """

    name: str
    policy: object
    curve: dict
    best: float
    seconds: float
    interrupted: bool


class Run:
    """Everything about a training run but the training: it counts, evaluates, writes, shows, and stops when asked to.

    Leaves behind:
        models/NAME/best_*, models/NAME/latest_*: the four checkpoint files of the best and of the latest policy.
        models/NAME/args.json: every argument of the run, and the command that repeats it.
        results/NAME.csv: the learning curve (`CURVE`), a row for each evaluation, written as it goes.
        runs/NAME/: the same and the losses for TensorBoard.

    No other run is ever overwritten: if there is one of that name, this one becomes NAME-2, NAME-3, ...

    Args:
        policy: the agent; evaluated with `select_action`, saved with `save`.
        args: a dataclass with name, env, max_timesteps, num_envs, eval_freq, eval_episodes, workers, max_minutes, save_model.
        command: the command that repeats the run.
        root: the folder in which models, results and runs lie.
    """

    def __init__(self, policy: Any, args: Any, command: str = "", root: str | Path = ".") -> None:
        self.policy, self.args = policy, args
        root = Path(root)
        number, self.name = 1, args.name
        while (root / "models" / self.name).exists() or (root / "results" / f"{self.name}.csv").exists():
            number += 1
            self.name = f"{args.name}-{number}"
        self.models = root / "models" / self.name
        self.csv = root / "results" / f"{self.name}.csv"
        self.rows: list[list[float]] = []
        self.best = -np.inf
        self.csv.parent.mkdir(parents=True, exist_ok=True)
        with open(self.csv, "w", newline="") as f:
            csv.writer(f).writerow(CURVE)
        if args.save_model:
            self.models.mkdir(parents=True)
            (self.models / "args.json").write_text(json.dumps({"command": command, **vars(args)}, indent=2) + "\n")
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes a second to import

        self.board = SummaryWriter(str(root / "runs" / self.name))
        self.evaluation_envs = make_envs(args.env, min(args.eval_episodes, MOST_EVAL_ENVS), workers=0)
        self.stop = StopButton()
        self.display = NotebookDisplay(self) if in_notebook() else TerminalDisplay(self)

    def __iter__(self) -> Iterator[int]:
        """Counts environment steps, 0, num_envs, 2 num_envs, ..., and evaluates, saves and shows between them.

        Ends at max_timesteps, after max_minutes, or when it is interrupted; always with an evaluation and a save.
        """
        args = self.args
        with self.stop:
            self.started = marked = time.perf_counter()
            marked_at = 0
            for t in range(0, args.max_timesteps, args.num_envs):
                yield t
                done = t + args.num_envs
                late = args.max_minutes is not None and self.seconds > 60 * args.max_minutes
                over = self.stop.pressed or late or done >= args.max_timesteps
                if done // args.eval_freq > t // args.eval_freq or over:
                    rate = (done - marked_at) / (time.perf_counter() - marked)
                    self._evaluate(done, rate)
                    marked_at, marked = done, time.perf_counter()
                self.display.step(done)
                if over:
                    return

    @property
    def seconds(self) -> float:
        """Wall clock since training began."""
        return time.perf_counter() - self.started

    def _evaluate(self, timesteps, rate):
        evaluation = eval_policy(self.policy, self.evaluation_envs, eval_episodes=self.args.eval_episodes)
        returns, lengths = evaluation.returns, evaluation.lengths
        row = [timesteps, self.seconds, returns.mean(), returns.min(), returns.max(), lengths.mean(), rate]
        row = [timesteps] + [round(float(x), 1) for x in row[1:]]
        self.rows.append(row)
        with open(self.csv, "a", newline="") as f:
            csv.writer(f).writerow(row)
        for name, value in zip(CURVE[1:], row[1:], strict=True):
            self.board.add_scalar(f"eval/{name}", value, timesteps)
        for name, value in self.policy.losses.items():
            self.board.add_scalar(f"train/{name}", float(value), timesteps)
        self.board.flush()
        if self.args.save_model:
            self.policy.save(self.models / "latest")
            if evaluation.mean > self.best:
                self.policy.save(self.models / "best")
        self.best = max(self.best, evaluation.mean)
        self.display.evaluated()

    @property
    def result(self) -> Result:
        """The run so far, as a `Result`."""
        columns = np.array(self.rows, dtype=float).reshape(-1, len(CURVE)).T
        curve = dict(zip(CURVE, columns, strict=True))
        return Result(self.name, self.policy, curve, self.best, self.seconds, self.stop.pressed)

    def close(self) -> None:
        """Closes the evaluation's environments and what else is open; all files are complete before that."""
        self.evaluation_envs.close()
        self.board.close()
        self.display.close()


class StopButton:
    """Turns Ctrl-C, the stop button of a notebook and a polite `kill` into a flag, so that no step and no save is cut in two.

    A context manager; `pressed` becomes True.  A second Ctrl-C interrupts at once, the ordinary way.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "StopButton":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self._press)
        return self

    def _press(self, number, frame):
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


class TerminalDisplay:
    """A progress bar with the current return and the steps per second."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.bar = tqdm(total=run.args.max_timesteps, unit=" steps", unit_scale=True, dynamic_ncols=True, desc=run.name)

    def step(self, timesteps: int) -> None:
        self.bar.update(min(timesteps, self.bar.total) - self.bar.n)

    def evaluated(self) -> None:
        self.bar.set_postfix_str(f"return {self.run.rows[-1][2]:,.0f}, best {self.run.best:,.0f}")

    def close(self) -> None:
        self.bar.close()


class NotebookDisplay:
    """A line of text, and below it the learning curve, drawn anew after each evaluation.

    Both are replaced in place, so that a finished notebook holds one picture and one line and no trace of the progress.
    """

    def __init__(self, run: Run) -> None:
        from IPython.display import display

        self.run, self.shown = run, 0.0
        self.picture = None
        self.line = display({"text/plain": f"{run.name}: starting"}, raw=True, display_id=True)

    def step(self, timesteps: int) -> None:
        if time.perf_counter() - self.shown < 1:
            return
        self.shown = time.perf_counter()
        run, total = self.run, self.run.args.max_timesteps
        last = f", return {run.rows[-1][2]:,.0f}" if run.rows else ""
        self._say(f"{run.name}: {timesteps:,} of {total:,} steps, {timesteps / run.seconds:,.0f} a second{last}")

    def evaluated(self) -> None:
        from IPython.display import display

        figure = plot_curve(self.run.result.curve)
        if self.picture is None:
            self.picture = display(figure, display_id=True)
        else:
            self.picture.update(figure)

    def close(self) -> None:
        run = self.run
        if run.rows:
            steps, seconds = run.rows[-1][0], run.rows[-1][1]
            self._say(
                f"{run.name}: {steps:,} steps in {seconds / 60:.1f} minutes, {steps / seconds:,.0f} a second; "
                f"best mean return {run.best:,.0f}, saved in models/{run.name}"
            )

    def _say(self, text):
        self.line.update({"text/plain": text}, raw=True)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def read_curve(path: str | Path) -> dict[str, np.ndarray]:
    """The learning curve in a file `results/NAME.csv`: an array for each column, as in `Result.curve`.

    A run may still be writing the file: a row that is not whole yet is left out.
    """
    with open(path, newline="") as f:
        header, *rows = list(csv.reader(f)) or [[]]
    whole = [row for row in rows if len(row) == len(header) and all(row)]
    table = np.array(whole, dtype=float).reshape(len(whole), len(header))
    return dict(zip(header, table.T, strict=True))


def plot_curve(curve: dict[str, np.ndarray] | str | Path, label: str | None = None, figure: "Figure | None" = None) -> "Figure":
    """Draws a learning curve: the mean return of each evaluation, and the range from the lowest to the highest episode.

    Args:
        curve: dict of arrays as in `Result.curve`, or the path of a `results/NAME.csv`.
        label: for the legend.
        figure: a figure of an earlier call, to draw into.

    Returns:
        the matplotlib figure.
    """
    import style  # here, because a training run in a terminal draws nothing

    if isinstance(curve, (str, Path)):
        curve = read_curve(curve)
    if figure is None:
        figure, axes = style.figure(6, 3.6)
        axes.set(xlabel="environment steps (millions)", ylabel="return of an episode")
    axes = figure.axes[0]
    steps = curve["timesteps"] / 1e6
    look: dict[str, Any] = {"color": style.OKABE_ITO[len(axes.lines) % len(style.OKABE_ITO)], "linewidth": style.LINE}
    (line,) = axes.plot(steps, curve["mean_return"], label=label, marker="o" if len(steps) < 10 else None, **look)
    axes.fill_between(steps, curve["min_return"], curve["max_return"], color=line.get_color(), alpha=0.2, linewidth=0)
    if label:
        style.legend(axes, loc="lower right")
    return figure


SHIPPED = Path(__file__).resolve().parent
"""The folder whose `models` hold the policies that come with this repository."""


def checkpoint(name: str | Path, root: str | Path = ".") -> Path:
    """Finds the checkpoint that a user means.

    Args:
        name: the name of a run or of a shipped model ("base_ant_final"), its folder, or a path without "_actor".
        root: the folder in which `models` lies; a shipped model is found from anywhere.

    Returns:
        a path for `TD3.load`: the best policy of a run's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    roots = [Path(root) / "models", SHIPPED / "models"]
    for place in (Path(name), *(models / name for models in roots)):
        for prefix in (place, place / "best", place / "latest"):
            if Path(f"{prefix}_actor").is_file():
                return prefix
    known = sorted({p.parent.name for models in roots for p in models.glob("*/*_actor")})
    raise FileNotFoundError(
        f"There is no checkpoint '{name}': expected the name of a run in models/ ({', '.join(known) or 'none there yet'}), "
        f"its folder, or a path whose '{Path(name).name}_actor' exists."
    )
