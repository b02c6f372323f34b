"""What surrounds the algorithm: the replay buffer, the evaluation of a policy, and saved policies."""

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import ArrayLike
from torch import Tensor

from envs.registry import dimensions, make_envs
from envs.symmetry import Symmetry
from TD3 import PARTS, TD3, read_checkpoint


class ReplayBuffer:
    """The last `max_size` transitions, from which TD3 learns in random order.

    Args:
        state_dim, action_dim: sizes `S` and `A`.
        max_size: number of transitions kept; after that the oldest are overwritten.
        n_step: number of rewards that a stored transition sums.  The paper's is 1.
        discount: gamma, the value of a reward one step later.
        seed: seed of the random choice made by `sample`.
        symmetries: those of the robot, see `envs/symmetry.py`.  Each sampled batch is cut into as many parts as there are of them
            and one more; the first part stays, and each other part is mirrored by one of them.
        device: where the batches go.

    Raises:
        ValueError: a size is below 1.

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
        symmetries: Sequence[Symmetry] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        for name, value in {"state_dim": state_dim, "action_dim": action_dim, "max_size": max_size, "n_step": n_step}.items():
            if value < 1:
                raise ValueError(f"{name} is {value}: expected a whole number of at least 1.")
        self.max_size = max_size
        self.ptr = 0
        self.size = 0
        self.device = torch.device(device)
        self.widths = [state_dim, action_dim, state_dim, 1, 1]
        self.table = torch.empty((max_size, sum(self.widths)), dtype=torch.float32)  # a transition is one row
        self.columns = self.table.split(self.widths, dim=1)
        self.state, self.action, self.next_state, self.reward, self.discount = self.columns
        self.generator = torch.Generator()
        self.generator.manual_seed(seed) if seed is not None else self.generator.seed()
        self.mirrors = [self._columns_and_signs(symmetry) for symmetry in symmetries]
        self.n_step = n_step
        self.gamma = discount
        self.window: deque[tuple[np.ndarray, ...]] = deque(maxlen=n_step)

    def _columns_and_signs(self, symmetry):
        """A symmetry as a rule for whole rows of the table: columns and signs, (2 S + A + 2,) each."""
        action, next_state, reward = np.cumsum(self.widths)[:3]
        columns = [
            symmetry.state_index,
            action + symmetry.action_index,
            next_state + symmetry.state_index,
            reward + np.arange(2),
        ]
        signs = [symmetry.state_sign, symmetry.action_sign, symmetry.state_sign, np.ones(2)]
        return torch.from_numpy(np.concatenate(columns)), torch.from_numpy(np.concatenate(signs).astype(np.float32))

    def __len__(self) -> int:
        return self.size

    def add(
        self,
        state: ArrayLike,
        action: ArrayLike,
        next_state: ArrayLike,
        reward: ArrayLike,
        terminated: ArrayLike,
        truncated: ArrayLike = False,
    ) -> None:
        """Stores one transition, or one of each of `N` environments.

        Args:
            state, next_state: (S,) or (N, S).
            action: (A,) or (N, A).
            reward: a number or (N,).
            terminated: whether next_state is terminal, a bool or (N,).
            truncated: whether a time limit ended the episode, a bool or (N,).  Its next_state is not terminal: the discount
                stays.  It matters for n_step > 1 only: rewards are never summed across the end of an episode, so the last
                n_step - 1 transitions before a time limit sum fewer, and have the discount that belongs to so many.
        """
        state, action, next_state = (np.atleast_2d(np.asarray(x, dtype=np.float32)) for x in (state, action, next_state))
        reward = np.asarray(reward, dtype=np.float32).reshape(-1)
        terminated, truncated = (np.broadcast_to(np.asarray(x, dtype=bool), reward.shape) for x in (terminated, truncated))
        self.window.append((state, action, next_state, reward, terminated, terminated | truncated))
        if len(self.window) == self.n_step:
            self._store(*self._sum_rewards())

    def _sum_rewards(self) -> tuple[np.ndarray, ...]:
        """The oldest transition of the window with the rewards of n_step steps, or of those up to the end of its episode."""
        state, action, next_state, *_ = self.window[0]
        next_state, count = next_state.copy(), len(state)
        total, discount = np.zeros(count, np.float32), np.ones(count, np.float32)
        terminal, running = np.zeros(count, bool), np.ones(count, bool)
        for k, (_, _, next_state_k, reward_k, terminated_k, ended_k) in enumerate(self.window):
            total += self.gamma**k * running * reward_k
            discount[running] = self.gamma ** (k + 1)
            next_state[running], terminal[running] = next_state_k[running], terminated_k[running]
            running &= ~ended_k
        discount[terminal] = 0.0
        return state, action, next_state, total[:, None], discount[:, None]

    def _store(self, *columns):
        """Writes rows of (state, action, next_state, reward, discount) at the pointer, and wraps around at the end."""
        count = len(columns[0])
        rows = np.arange(self.ptr, self.ptr + count) % self.max_size
        # NumPy writes a few rows in a quarter of PyTorch's time
        self.table.numpy()[rows] = np.concatenate(columns, axis=1)
        self.ptr = (self.ptr + count) % self.max_size
        self.size = min(self.size + count, self.max_size)

    def sample(self, batch_size: int) -> tuple[Tensor, ...]:
        """A random batch, drawn with replacement.

        Returns:
            state (B, S), action (B, A), next_state (B, S), reward (B, 1) and discount (B, 1): float32 tensors on `device`.
            discount is the factor of the next state's value: gamma to the power of the steps that reward sums, and 0 where
            next_state is terminal.

        Raises:
            ValueError: the buffer is empty.
        """
        if self.size == 0:
            raise ValueError("The replay buffer is empty: add transitions before sampling.")
        rows = torch.randint(self.size, (batch_size,), generator=self.generator)
        batch = self.table.index_select(0, rows)
        _, *parts = batch.tensor_split(len(self.mirrors) + 1)
        for part, (columns, signs) in zip(parts, self.mirrors, strict=True):
            torch.mul(part.index_select(1, columns), signs, out=part)
        return batch.to(self.device).split(self.widths, dim=1)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to continue.  "transitions", (size, 2 S + A + 2), is a view of the memory."""
        return {
            "transitions": self.table[: self.size],
            "ptr": self.ptr,
            "window": [[torch.from_numpy(np.array(column)) for column in columns] for columns in self.window],
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over the transitions of another buffer of the same sizes, and the state of its random choice."""
        self.size = len(state_dict["transitions"])
        self.table[: self.size] = state_dict["transitions"]
        self.ptr = state_dict["ptr"]
        self.window.clear()
        self.window.extend(tuple(column.numpy() for column in columns) for columns in state_dict["window"])
        self.generator.set_state(state_dict["generator"])

    def cut_episodes(self, which: np.ndarray) -> None:
        """No reward from now on is summed with those so far, in the environments where `which`, (N,) bool, is True."""
        if self.window:
            *columns, ended = self.window[-1]
            self.window[-1] = (*columns, ended | which)


EVAL_SEED = 1_000_000
"""The first seed of the episodes of `eval_policy`, unless others are given.  A run evaluates on episodes of its own."""

SCORE_SEED = 2_000_000
"""The first seed of the episodes that score a finished policy.  No policy was trained on them."""

UNSEEN_SEED = 3_000_000
"""The first seed of README's scores in all directions.  Which policy of a run is shipped was decided on those from SCORE_SEED on."""

MAX_EVAL_ENVS = 2
"""Environments that an evaluation keeps open.  Each takes 30 MB of memory, most of it Bullet's own."""


@dataclass
class Evaluation:
    """What `eval_policy` measured: one entry for each episode, in the order of their seeds.

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
    policy: Any,
    env: str | VectorEnv,
    seed: int | Sequence[int] = EVAL_SEED,
    eval_episodes: int = 10,
    workers: int = 0,
    before_step: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Runs whole episodes without exploration noise, several at once.

    Args:
        policy: anything with `select_action(states)`, (N, S) -> (N, A).
        env: id of an environment, or vector environments such as those of `make_envs`, which stay open.
        seed: episode i is reset with seed + i, whatever ran before, or with seed[i] if there is one for each episode.
        eval_episodes: number of episodes.  With fewer environments than that, each runs several, one after the other.
        workers: number of processes for the environments, where `env` is an id.  With 0 they are in this one, which is the
            fastest for two environments: 2.1 seconds for ten episodes, against 2.7 with two processes.
        before_step: called before each step.  What it raises ends the evaluation.

    Returns:
        an `Evaluation`.

    Raises:
        ValueError: there is no such environment, eval_episodes is below 1, or a return is not finite.
    """
    if eval_episodes < 1:
        raise ValueError(f"eval_episodes is {eval_episodes}: expected at least 1.")
    if isinstance(env, str):
        with contextlib.closing(make_envs(env, min(eval_episodes, MAX_EVAL_ENVS), workers)) as envs:
            return eval_policy(policy, envs, seed, eval_episodes, before_step=before_step)
    # One more episode for each environment that would have none in the last round; they do not count.
    count = -(-eval_episodes // env.num_envs) * env.num_envs
    seeds = (
        [seed + i for i in range(count)]
        if isinstance(seed, (int, np.integer))
        else [seed[i % eval_episodes] for i in range(count)]
    )
    returns, lengths = [], []
    for first in range(0, eval_episodes, env.num_envs):
        states, _ = env.reset(seed=seeds[first : first + env.num_envs])  # type: ignore[arg-type]  # a list is allowed too
        running, total, length = np.ones(env.num_envs, bool), np.zeros(env.num_envs), np.zeros(env.num_envs, int)
        while running[: eval_episodes - first].any():
            before_step()
            states, rewards, terminated, truncated, _ = env.step(policy.select_action(states))
            total += rewards * running
            length += running
            running &= ~(terminated | truncated)
        if not np.isfinite(total).all():
            worst = int(np.flatnonzero(~np.isfinite(total))[0])
            raise ValueError(
                f"The return of the evaluation episode with seed {seeds[first + worst]} is {total[worst]}: "
                "look at the reward of the environment."
            )
        returns.append(total)
        lengths.append(length)
    return Evaluation(np.concatenate(returns)[:eval_episodes], np.concatenate(lengths)[:eval_episodes])


REPO_ROOT = Path(__file__).resolve().parent
"""The folder of this repository, in whose `models` and `results` the shipped policies and their curves are."""


SUMS = "SHA256SUMS"
"""The file in a checkpoint's folder that has the digests of the others, in the format of the program sha256sum."""


def newest_checkpoint(folder: Path, which: str) -> Path:
    """The path of a run's checkpoint without "_actor".

    Args:
        folder: of the run, models/NAME.
        which: "best" or "latest".

    Returns:
        `folder`/WHICH_STEPS/WHICH with the most steps, or `folder`/WHICH, which is that of a shipped model, if there is none.
    """
    steps = [path.name.removeprefix(f"{which}_") for path in folder.glob("*_*")]
    found = [number for number in steps if number.isdigit()]
    return folder / f"{which}_{max(found, key=int)}" / which if found else folder / which


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal digits."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def check_digests(folder: Path) -> None:
    """Compares the files of a checkpoint with the digests that were written with them.

    Raises:
        ValueError: a file was changed or damaged.
    """
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        if sha256(folder / name) != digest:
            raise ValueError(f"'{folder / name}' is damaged: it is not what was written, so take another checkpoint.")


def find_checkpoint(name: str | Path, root: str | Path = ".") -> Path:
    """The path of a saved policy, for `TD3.load`.

    Args:
        name: name of a run or of a shipped model ("base_ant_final"), its folder, "NAME/latest", or a path without "_actor".
        root: folder in which `models` is.  A shipped model is found from anywhere.

    Returns:
        the path without "_actor": of a run, that of the best policy.

    Raises:
        FileNotFoundError: there is no such policy.
    """
    folders = [Path(root) / "models", REPO_ROOT / "models"]
    for path in (Path(name), *(models / name for models in folders)):
        with contextlib.suppress(OSError, ValueError):  # what no file can be called
            runs = newest_checkpoint(path, "best"), newest_checkpoint(path, "latest")
            for prefix in (path, newest_checkpoint(path.parent, path.name), *runs):
                if Path(f"{prefix}_actor").is_file():
                    return prefix
    known = sorted({p.relative_to(models).parts[0] for models in folders for p in models.glob("*/**/*_actor")})
    raise FileNotFoundError(
        f"There is no checkpoint {str(name)[:80]!r}: expected the name of a run in models/ ({', '.join(known) or 'none there yet'}), "
        f"its folder, or a path whose '{Path(name).name[:80]}_actor' exists."
    )


def args_file(prefix: Path) -> Path:
    """The args.json of the run that a checkpoint belongs to, which may be missing."""
    folder = prefix.parent
    return (folder.parent if (folder / SUMS).exists() else folder) / "args.json"


def load_policy(name: str | Path, env: str = "AntBulletEnv-v0") -> TD3:
    """Loads a policy to watch it: one trained here, a shipped one, or one saved by the original TD3.

    Args:
        name: as for `find_checkpoint`.
        env: id of the environment, which gives the sizes of states and actions.

    Returns:
        a `TD3` of which only the actor is loaded: `select_action` works.  The actor computes in float64 and rounds the action to
        float32.  So an ant walks the same way on processors whose float32 rounds differently, see `benchmarks/rounding.py`.

    Raises:
        FileNotFoundError: there is no such policy.
        ValueError: there is no such environment, or the file is not a policy, or one for other states or actions.
    """
    path = find_checkpoint(name)
    state_dim, action_dim, max_action = dimensions(env)
    hidden = 256
    with contextlib.suppress(TypeError, LookupError):  # if it has no such layer, `load` has the better sentence
        hidden = len(read_checkpoint(f"{path}_actor")["l1.bias"])
    policy = TD3(state_dim, action_dim, max_action, hidden=hidden)
    policy.load(path, inference=True)
    policy.actor.double()
    return policy


FIRST_LAYERS = ("l1.weight", "l4.weight", 0, 6)
"""What sees the observations: the first layers of actor and critics, by name in the networks and by number in their optimizers."""


def fit_observations(name: str | Path, env: str, folder: str | Path) -> Path:
    """A policy for an environment with more or fewer observations than it was trained with, to start from with `load_model`.

    The observations that both environments have must come first.  Each new one has weight 0, so at first the policy acts, and the
    critics judge, as if it were not there.  The weights of missing ones are dropped.

    Args:
        name: as for `find_checkpoint`.
        env: id of the environment.
        folder: where the new checkpoint is written.  If the number of observations is the same, there is no new one.

    Returns:
        the path of the policy, without the endings `_actor` and so on.

    Raises:
        FileNotFoundError: there is no such policy, or a file of it is missing.
        ValueError: there is no such environment, or a file is not one that `TD3.save` wrote.
    """
    path = find_checkpoint(name)
    state_dim, _, _ = dimensions(env)
    try:
        before = read_checkpoint(f"{path}_actor")["l1.weight"].shape[1]
    except (TypeError, LookupError) as error:
        raise ValueError(f"'{path}_actor' is not a policy: expected a file that TD3.save wrote.") from error
    if state_dim == before:
        return path

    def fit(contents: Any, first_layer: bool = False) -> Any:
        if isinstance(contents, dict):
            return {key: fit(value, first_layer or key in FIRST_LAYERS) for key, value in contents.items()}
        if first_layer and contents.ndim == 2:  # weights and Adam's moments, with the observations first and then the actions
            new = contents.new_zeros(len(contents), max(0, state_dim - before))
            return torch.cat([contents[:, : min(state_dim, before)], new, contents[:, before:]], 1)
        return contents

    made = Path(folder) / f"{state_dim}_observations"
    made.parent.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        torch.save(fit(read_checkpoint(f"{path}_{part}")), f"{made}_{part}")
    return made


def training_env(name: str | Path) -> str:
    """The id of the environment in which a policy was trained, or the stock ant's if its folder does not say.

    Args:
        name: as for `find_checkpoint`.
    """
    try:
        return str(json.loads(args_file(find_checkpoint(name)).read_text(encoding="utf-8"))["env"])
    except (OSError, ValueError, KeyError, TypeError):
        return "AntBulletEnv-v0"
