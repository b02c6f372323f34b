"""Many ants at once: several environments to each worker process, stepped while the main process learns.

Gymnasium's own `AsyncVectorEnv` gives every environment a process.  Sixteen processes and a learner on two cores spend
their time waiting for each other, so here each worker holds several environments, as a Gymnasium `SyncVectorEnv`.
"""

import contextlib
import ctypes
import difflib
import importlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector.utils import CloudpickleWrapper, batch_space


@contextlib.contextmanager
def quiet(streams: Sequence[int] = (1, 2)) -> Iterator[None]:
    """Keeps what Bullet's C code prints on loading and on connecting ("build time", "argv[0]=") off the screen.

    Args:
        streams: file descriptors to silence, 1 for stdout and 2 for stderr.
    """
    sys.stdout.flush()
    flush_c = ctypes.CDLL(None).fflush if os.name == "posix" else lambda _: None
    flush_c(None)
    kept = {stream: os.dup(stream) for stream in streams}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream)
    try:
        yield
    finally:
        flush_c(None)  # what C code printed waits in a buffer of its own
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


with quiet():
    import pybullet_envs_gymnasium  # noqa: F401  (registers AntBulletEnv-v0 and its relatives)


Steps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""What a step of `N` environments gives: states (N, S), rewards, terminated and truncated (N,), and infos."""

LESSONS = ("override_ant", "override_ant_random_points")
"""The modules of this repository that register environments of their own."""


def find_env(env: str) -> EnvSpec:
    """The specification of a registered environment.

    Args:
        env: its id, or "module:id" for one that is registered when `module` is imported.

    Returns:
        a Gymnasium `EnvSpec`.

    Raises:
        ValueError: there is none of that name.
    """
    module, _, name = env.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        elif name not in gym.registry:
            for lesson in LESSONS:
                importlib.import_module(lesson)
        return gym.spec(name)
    except ImportError as error:
        raise ValueError(
            f"env is '{env}', but '{module}' cannot be imported ({error}): check the name before the colon."
        ) from error
    except gym.error.Error as error:
        near = difflib.get_close_matches(name, gym.registry, 1, cutoff=0.3)
        raise ValueError(
            f"There is no environment '{env}': did you mean '{near[0] if near else 'AntBulletEnv-v0'}'?"
        ) from error


def dimensions(env: str) -> tuple[int, int, float]:
    """Size of a state, size of an action and largest action of an environment.

    Raises:
        ValueError: there is no such environment, or TD3 cannot act in it.
    """
    with quiet():
        made = gym.make(find_env(env), disable_env_checker=True)  # not reset: its spaces are known before its physics
    states, actions = made.observation_space, made.action_space
    made.close()
    if not (isinstance(states, gym.spaces.Box) and len(states.shape) == 1):
        raise ValueError(f"env '{env}' has observations {states}: expected a flat Box, so choose one that gives a vector.")
    if not (isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1):
        raise ValueError(
            f"env '{env}' has actions {actions}: expected a flat Box, so it is not for TD3, whose actions are continuous."
        )
    largest = float(actions.high[0])
    if not (np.isfinite(largest) and np.all(actions.high == largest) and np.all(actions.low == -largest)):
        raise ValueError(f"env '{env}' has actions {actions}: expected the same bounds -x and x for all, so rescale them.")
    return states.shape[0], actions.shape[0], largest


def make_env(env: str | EnvSpec, **kwargs: Any) -> gym.Env:
    """One environment, as `gym.make` gives it, without Bullet's greetings and after a first reset.

    Upstream's second and later episodes begin from a state that Bullet saved at the start of the first, which differs from
    it by rounding (measured: 1.6e-7 in an observation, 0.01 in the return).  With the first one behind it, an environment
    gives the same episode for the same seed, whatever ran before.

    The stock ant gets the batched calls of `fast_walker.py`: the same numbers to the last bit, half as many again a second.

    Args:
        env: its id, or a Gymnasium `EnvSpec`.
        **kwargs: passed to the environment's constructor.
    """
    with quiet():
        made = gym.make(find_env(env) if isinstance(env, str) else env, disable_env_checker=True, **kwargs)
        if "pybullet" in sys.modules:
            # imported here, because it imports this module in turn, and because not every environment is Bullet's
            from fast_walker import hasten

            hasten(made)
        made.reset()
    return made


def make_envs(env: str, num_envs: int, workers: int = 1, **kwargs: Any) -> "LocalVectorEnv | WorkerVectorEnv":
    """`num_envs` copies of an environment, spread over `workers` processes.

    Args:
        env: id of a registered environment.
        num_envs: how many copies.
        workers: how many processes they share; 0 runs them all in this one, which is easier to debug.
        **kwargs: passed to the environment's constructor.

    Returns:
        a Gymnasium `VectorEnv` in autoreset mode SAME_STEP: when an episode ends, `step` returns the first state of the
        next one, and its own last state is in `infos["final_obs"]` (see `final_states`).
    """
    spec = find_env(env)
    makers = [lambda: make_env(spec, **kwargs) for _ in range(num_envs)]
    if workers == 0:
        return LocalVectorEnv(makers, autoreset_mode="SameStep")
    return WorkerVectorEnv(makers, min(workers, num_envs))


def final_states(next_states: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
    """The states that the steps really led to: where an episode ended, its last state instead of the next one's first.

    Args:
        next_states: (N, S) as `step` returned them in autoreset mode SAME_STEP.
        infos: as `step` returned them.

    Returns:
        (N, S) array, `next_states` itself where no episode ended.
    """
    if "final_obs" not in infos:
        return next_states
    states = next_states.copy()
    for i in np.flatnonzero(infos["_final_obs"]):
        states[i] = infos["final_obs"][i]
    return states


class LocalVectorEnv(gym.vector.SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` with a `step` that can be taken apart as that of `WorkerVectorEnv`, but all in this process."""

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions, (N, A), until `step_wait`."""
        self.kept_actions = actions

    def step_wait(self) -> Steps:
        """Does the step."""
        return self.step(self.kept_actions)


class WorkerVectorEnv(gym.vector.VectorEnv):
    """A Gymnasium vector environment whose copies share a few worker processes.

    `step` may be taken apart into `step_async`, which returns at once, and `step_wait`.  The workers ignore Ctrl-C, which
    is the main process's to handle, and end by themselves when that process is gone, however it ended.

    Args:
        env_fns: one function without arguments for each environment.
        workers: number of processes; the environments are dealt out to them in order, as evenly as possible.

    Raises:
        RuntimeError: an environment raised an error, or a worker died; the other workers are closed first.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]], workers: int) -> None:
        self.num_envs = len(env_fns)
        self.shares = [len(share) for share in np.array_split(np.arange(self.num_envs), workers)]
        self.starts = np.cumsum([0] + self.shares)
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
        self.pipes, self.processes = [], []
        for first, count in zip(self.starts[:-1], self.shares, strict=True):
            share: Any = env_fns[first : first + count]  # the wrapper asks for a function, but pickles a list as well
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(target=_work, args=(theirs, ours, CloudpickleWrapper(share)), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        self.single_observation_space, self.single_action_space = self._receive()[0]
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts every episode anew.

        Args:
            seed: None, one int (environment i gets seed + i), or a list with one entry for each environment.
            options: given to each environment's `reset`.

        Returns:
            states (N, S) and infos.
        """
        if seed is None or isinstance(seed, (int, np.integer)):
            seed = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"got {len(seed)} seeds for {self.num_envs} environments: give one for each, one int, or None.")
        for pipe, start, count in zip(self.pipes, self.starts, self.shares, strict=False):
            pipe.send(("reset", (list(seed[start : start + count]), options)))
        states, infos = zip(*self._receive(), strict=True)
        return np.concatenate(states), self._merge(infos)

    def step_async(self, actions: np.ndarray) -> None:
        """Sends each environment its action, (N, A), and returns at once."""
        for pipe, start, count in zip(self.pipes, self.starts, self.shares, strict=False):
            pipe.send(("step", actions[start : start + count]))

    def step_wait(self) -> Steps:
        """Waits for the steps begun by `step_async`.

        Returns:
            states (N, S), rewards (N,), terminated (N,), truncated (N,) and infos, as Gymnasium's vector environments do.
        """
        states, rewards, terminated, truncated, infos = zip(*self._receive(), strict=True)
        return *map(np.concatenate, (states, rewards, terminated, truncated)), self._merge(infos)

    def step(self, actions: np.ndarray) -> Steps:
        """`step_async` and `step_wait` in one."""
        self.step_async(actions)
        return self.step_wait()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls method `name` of every environment, or reads the attribute of that name; a tuple of N results."""
        for pipe in self.pipes:
            pipe.send(("call", (name, args, kwargs)))
        return tuple(result for share in self._receive() for result in share)

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the workers and waits until they are gone."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.send(("close", None))
        for process in self.processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self.pipes:
            pipe.close()

    def _receive(self):
        """One answer from each worker, in order; every answer is read before an error is raised."""
        answers = []
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            try:
                answers.append(pipe.recv())
            except (EOFError, OSError):
                process.join(timeout=1)
                answers.append((False, f"it died with exit code {process.exitcode}"))
        for k, (fine, answer) in enumerate(answers):
            if not fine:
                self.close()
                raise RuntimeError(f"Worker {k} of {len(answers)}, with {self.shares[k]} environments, failed: {answer}")
        return [answer for _, answer in answers]

    def _merge(self, parts):
        """Joins the workers' infos: arrays of N, with zeros or None where a worker had no such entry."""
        merged = {}
        for key in {key for part in parts for key in part}:
            values = [part.get(key) for part in parts]
            sample = next(value for value in values if value is not None)
            if isinstance(sample, dict):
                merged[key] = self._merge([value or {} for value in values])
                continue
            merged[key] = np.full((self.num_envs, *sample.shape[1:]), None if sample.dtype == object else 0, sample.dtype)
            for value, start, count in zip(values, self.starts, self.shares, strict=False):
                if value is not None:
                    merged[key][start : start + count] = value
        return merged


def _work(pipe, parents_end, env_fns):
    """A worker process: makes its environments, then does as it is told until told to close or until the pipe breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parents_end.close()  # or this process would keep its own pipe open after the parent is gone
    envs = None
    with quiet([1]):
        try:
            envs = gym.vector.SyncVectorEnv(env_fns.fn, autoreset_mode="SameStep", copy=False)
            pipe.send((True, (envs.single_observation_space, envs.single_action_space)))
            while True:
                command, argument = pipe.recv()
                if command == "step":
                    answer = envs.step(argument)
                elif command == "reset":
                    answer = envs.reset(seed=argument[0], options=argument[1])
                elif command == "call":
                    name, args, kwargs = argument
                    answer = envs.call(name, *args, **kwargs)
                else:
                    break
                pipe.send((True, answer))
        except (EOFError, BrokenPipeError):
            pass
        except Exception:
            with contextlib.suppress(OSError):
                pipe.send((False, traceback.format_exc()))
        finally:
            if envs is not None:
                envs.close()
