"""Many environments in a few processes, stepped while the main process learns.

Gymnasium's own `AsyncVectorEnv` gives every environment a process.  Sixteen processes and a learner on two cores spend their
time waiting for each other, so here each worker holds several environments, as a Gymnasium `SyncVectorEnv`.
"""

import contextlib
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.vector.utils import CloudpickleWrapper, batch_space

from envs.bullet import quiet
from envs.episodes import Episode, EpisodeLog, RepeatableEnv
from envs.mistakes import EnvironmentMistake

Steps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]
"""One step of `N` environments: observations (N, S), rewards, terminated and truncated (N,), and infos."""


def final_states(next_states: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
    """The states to which the steps really led: the last one of its episode where an episode ended.

    Args:
        next_states: (N, S) as `step` returned them in autoreset mode SAME_STEP, with the first state of the next episode there.
        infos: as `step` returned them.

    Returns:
        (N, S) array, `next_states` itself where no episode ended.
    """
    if "final_obs" not in infos:
        return next_states
    states = next_states.copy()
    ended = infos["_final_obs"]
    states[ended] = np.stack(infos["final_obs"][ended])
    return states


class WorkerError(RuntimeError):
    """A worker died, or an environment in it raised an error."""


class EnvsOfOneProcess(gym.vector.SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` whose episodes can be repeated."""

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]], **kwargs: Any) -> None:
        super().__init__(
            [lambda make=make: RepeatableEnv(make()) for make in env_fns],  # type: ignore[misc]
            autoreset_mode=gym.vector.AutoresetMode.SAME_STEP,
            **kwargs,
        )

    def starts(self, indices: Iterable[int]) -> dict[int, dict[str, Any]]:
        """How the current episodes of some environments began, by index."""
        return {int(index): self.envs[index].start for index in indices}  # type: ignore[attr-defined]

    def repeat(self, episodes: Sequence[Episode]) -> np.ndarray:
        """Does an episode of each environment once more, and returns the observations after their last actions, (N, S)."""
        return np.stack([env.repeat(episode) for env, episode in zip(self.envs, episodes, strict=True)])  # type: ignore[attr-defined]


class LocalVectorEnv(EnvsOfOneProcess):
    """`EnvsOfOneProcess` with the methods of `WorkerVectorEnv`, all in this process."""

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]]) -> None:
        super().__init__(env_fns)
        self.log = EpisodeLog()
        self.pending_actions: np.ndarray | None = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As Gymnasium's."""
        states, infos = super().reset(seed=seed, options=options)
        self.log.reset(list(self.starts(range(self.num_envs)).values()))
        return states, infos

    def step_async(self, actions: np.ndarray) -> None:
        """Keeps the actions, (N, A), until `step_wait`.

        Raises:
            AlreadyPendingCallError: the step before was not waited for.
        """
        if self.pending_actions is not None:
            raise AlreadyPendingCallError("step_async was called twice: call step_wait first.", "step")
        self.pending_actions = actions

    def step_wait(self) -> Steps:
        """Does the step.

        Raises:
            NoAsyncCallError: there was no `step_async` before.
        """
        if self.pending_actions is None:
            raise NoAsyncCallError("step_wait was called without a step: call step_async first.", "step")
        actions, self.pending_actions = self.pending_actions, None
        steps = self.step(actions)
        if self.log.starts:
            self.log.step(actions, self.starts(np.flatnonzero(steps[2] | steps[3])))
        return steps

    def repeat_episodes(self, episodes: list[Episode]) -> np.ndarray:
        """As `WorkerVectorEnv.repeat_episodes`."""
        states = self.repeat(episodes)
        self.log.restore(episodes)
        return states


class WorkerVectorEnv(gym.vector.VectorEnv):
    """A Gymnasium vector environment whose copies share a few worker processes.

    `step` may be split into `step_async`, which returns at once, and `step_wait`.  Of the environments' infos, only the last
    observations of episodes that ended come back.  Workers ignore Ctrl-C, which the main process handles, and end by
    themselves when that process is gone, however it ended.

    Args:
        env_fns: a function without arguments for each environment.
        workers: number of processes.  The environments are distributed in order, as evenly as possible.

    Attributes:
        log: an `EpisodeLog` of the steps that were waited for.
        while_waiting: called ten times a second while a worker does not answer.  What it raises ends the waiting.

    Raises:
        WorkerError: an environment raised an error, or a worker died.  The other workers are closed first.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]], workers: int) -> None:
        self.log = EpisodeLog()
        self.while_waiting: Callable[[], None] = lambda: None
        self.num_envs = len(env_fns)
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
        self.shares = [slice(share[0], share[-1] + 1) for share in np.array_split(np.arange(self.num_envs), workers)]
        self.pipes, self.processes = [], []
        self.pending: str | None = None
        for share in self.shares:
            env_fns_of_worker: Any = env_fns[share]  # the wrapper is declared for one function, and pickles a list as well
            pipe, workers_pipe = multiprocessing.Pipe()
            arguments = (workers_pipe, pipe, CloudpickleWrapper(env_fns_of_worker))
            process = multiprocessing.Process(target=_work, args=arguments, daemon=True)
            process.start()
            workers_pipe.close()
            self.pipes.append(pipe)
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
            options: for the `reset` of each environment.

        Returns:
            observations (N, S) and an empty dict.

        Raises:
            ValueError: the list of seeds has another length.
        """
        if seed is None or isinstance(seed, (int, np.integer)):
            seed = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"got {len(seed)} seeds for {self.num_envs} environments: give one for each, one int, or None.")
        observations, starts = zip(*self._call("reset", [(list(seed[share]), options) for share in self.shares]), strict=True)
        self.log.reset([start for share in starts for start in share.values()])
        return np.concatenate(observations), {}

    def step_async(self, actions: np.ndarray) -> None:
        """Sends each environment its action, (N, A), and returns at once.

        Raises:
            AlreadyPendingCallError: the step before was not waited for.
        """
        self._send("step", [actions[share] for share in self.shares])
        self.actions = actions

    def step_wait(self) -> Steps:
        """Waits for the steps begun by `step_async`.

        Returns:
            observations (N, S), rewards (N,), terminated (N,), truncated (N,), and infos, which are empty if no episode ended.

        Raises:
            NoAsyncCallError: there was no `step_async` before.
        """
        if self.pending != "step":
            raise NoAsyncCallError("step_wait was called without a step: call step_async first.", "step")
        *columns, final_obs, starts = zip(*self._receive(), strict=True)
        observations, rewards, terminated, truncated = map(np.concatenate, columns)
        if self.log.starts:
            shares = zip(starts, self.shares, strict=True)
            self.log.step(self.actions, {share.start + k: start for began, share in shares for k, start in began.items()})
        if all(part is None for part in final_obs):
            return observations, rewards, terminated, truncated, {}
        parts = zip(final_obs, self.shares, strict=True)
        merged = [np.full(share.stop - share.start, None) if part is None else part for part, share in parts]
        infos = {"final_obs": np.concatenate(merged), "_final_obs": terminated | truncated}
        return observations, rewards, terminated, truncated, infos

    def step(self, actions: np.ndarray) -> Steps:
        """`step_async` and `step_wait` in one."""
        self.step_async(actions)
        return self.step_wait()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls method `name` of every environment, or reads the attribute of that name; a tuple of N results."""
        results = self._call("call", [(name, args, kwargs)] * len(self.pipes))
        return tuple(result for share in results for result in share)

    def repeat_episodes(self, episodes: list[Episode]) -> np.ndarray:
        """Does episodes once more, each from its beginning to its last action, and goes on from there.

        Args:
            episodes: one for each environment, as `log` had them.

        Returns:
            observations after the last actions, (N, S).
        """
        states = np.concatenate(self._call("repeat", [episodes[share] for share in self.shares]))
        self.log.restore(episodes)
        return states

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the workers and waits until they are gone.  A worker that has not ended after a second is killed."""
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.send(("close", None))
        deadline = time.monotonic() + 1
        for process in self.processes:
            process.join(timeout=max(0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self.pipes:
            pipe.close()

    def _call(self, command, arguments):
        self._send(command, arguments)
        return self._receive()

    def _send(self, command, arguments):
        """Sends each worker the command with its argument."""
        if self.pending:
            raise AlreadyPendingCallError(
                f"{command} was called while a {self.pending} runs: call step_wait first.", self.pending
            )
        for pipe, argument in zip(self.pipes, arguments, strict=True):
            with contextlib.suppress(OSError):  # a dead worker, which `_receive` reports
                pipe.send((command, argument))
        self.pending = command

    def _receive(self):
        """One answer from each worker, in order; every answer is read before an error is raised."""
        self.pending, answers = None, []
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            try:
                while not pipe.poll(0.1):
                    self.while_waiting()
                answers.append(pipe.recv())
            except (EOFError, OSError):
                process.join(timeout=1)
                answers.append((False, f"it {_how_it_ended(process.exitcode)}."))
        for k, (succeeded, answer) in enumerate(answers):
            if not succeeded:
                self.close()
                count = self.shares[k].stop - self.shares[k].start
                raise WorkerError(f"Worker {k} of {len(answers)}, with {count} environments, failed: {answer}")
        return [answer for _, answer in answers]


def _how_it_ended(exitcode):
    """What the exit code of a process says."""
    if exitcode is None:
        return "closed its connection"
    if exitcode < 0:
        name = next((each.name for each in signal.Signals if each == -exitcode), f"signal {-exitcode}")
        out_of_memory = ", which the system sends when memory runs out" if name == "SIGKILL" else ""
        return f"was killed by {name}{out_of_memory}"
    return f"ended with exit code {exitcode}"


def _work(pipe, parents_pipe, env_fns):
    """A worker process: makes its environments, then executes commands until told to close or until the pipe breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the handler of the main process
    parents_pipe.close()  # otherwise this process would keep its own pipe open after the parent is gone
    envs = None
    with quiet([1]):
        try:
            envs = EnvsOfOneProcess(env_fns.fn, copy=False)
            pipe.send((True, (envs.single_observation_space, envs.single_action_space)))
            while True:
                command, argument = pipe.recv()
                if command == "step":
                    *columns, infos = envs.step(argument)
                    ended = np.flatnonzero(columns[2] | columns[3])
                    answer = (*columns, infos.get("final_obs"), envs.starts(ended))
                elif command == "reset":
                    observations, _ = envs.reset(seed=argument[0], options=argument[1])
                    answer = observations, envs.starts(range(envs.num_envs))
                elif command == "repeat":
                    answer = envs.repeat(argument)
                elif command == "call":
                    name, args, kwargs = argument
                    answer = envs.call(name, *args, **kwargs)
                else:
                    break
                pipe.send((True, answer))
        except (EOFError, BrokenPipeError):
            pass
        except Exception as error:
            report = str(error) if isinstance(error, EnvironmentMistake) else traceback.format_exc()
            with contextlib.suppress(OSError):
                pipe.send((False, report))
        finally:
            if envs is not None:
                envs.close()
