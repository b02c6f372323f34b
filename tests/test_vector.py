"""Environments in workers against the same environments in one process, and the death of a worker or of the parent."""

import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import psutil
import pytest
from conftest import assert_gone
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

from envs.registry import make_env, make_envs
from envs.vector import WorkerError, final_states


@pytest.mark.parametrize("workers", [1, 2, 5, 9])
def test_workers_give_what_one_process_gives(workers):
    """Five ants, 120 steps, some of which fall and start again: states, rewards, flags and last states, bit for bit."""
    ours, plain = make_envs("AntBulletEnv-v0", 5, workers), make_envs("AntBulletEnv-v0", 5, 0)
    rng, ended = np.random.default_rng(0), 0
    try:
        np.testing.assert_array_equal(ours.reset(seed=3)[0], plain.reset(seed=3)[0])
        for _ in range(120):
            actions = rng.uniform(-1, 1, (5, 8)).astype(np.float32)
            a, b = ours.step(actions), plain.step(actions)
            for x, y in zip(a[:4], b[:4], strict=True):
                np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(final_states(a[0], a[4]), final_states(b[0], b[4]))
            over = a[2] | a[3]
            assert ((final_states(a[0], a[4]) != a[0]).any(1) == over).all()
            ended += over.sum()
        assert ended > 0, "no episode ended, so no last state was compared"
        assert ours.call("spec")[4].id == "AntBulletEnv-v0"
    finally:
        ours.close()
        plain.close()


def test_the_same_seed_gives_the_same_episode_whatever_ran_before():
    env, seen = make_env("AntBulletEnv-v0"), []
    for seed in (5, 6, 5):
        state, _ = env.reset(seed=seed)
        episode = [state] + [env.step(np.full(8, 0.1 * k, np.float32))[0] for k in range(10)]
        seen.append(np.array(episode))
    np.testing.assert_array_equal(seen[0], seen[2])
    assert (seen[0] != seen[1]).any()
    env.close()


def test_a_seed_for_each_environment():
    envs = make_envs("InvertedPendulumBulletEnv-v0", 3, 2)
    try:
        a, _ = envs.reset(seed=[7, 8, 7])
        assert (a[0] == a[2]).all() and (a[0] != a[1]).any()
        b, _ = envs.reset(seed=6)
        assert (b[1] == a[0]).all()
        with pytest.raises(ValueError, match="got 2 seeds for 3 environments"):
            envs.reset(seed=[1, 2])
    finally:
        envs.close()


class Faulty(gym.Env):
    """Breaks at its third step."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t == 3:
            raise ValueError("the knee is broken")
        return np.zeros(2, np.float32), 0.0, False, False, {}


@pytest.fixture
def faulty():
    gym.register("Faulty-v0", Faulty)
    envs = make_envs("Faulty-v0", 3, 2)
    envs.reset()
    yield envs
    envs.close()
    gym.registry.pop("Faulty-v0")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_step_is_begun_and_waited_for_in_turn_as_in_gymnasium(workers):
    envs, actions = make_envs("InvertedPendulumBulletEnv-v0", 3, workers), np.zeros((3, 1), np.float32)
    try:
        envs.reset(seed=0)
        with pytest.raises(NoAsyncCallError, match="call step_async first"):
            envs.step_wait()
        envs.step_async(actions)
        with pytest.raises(AlreadyPendingCallError, match="call step_wait first"):
            envs.step_async(actions)
        states, *_ = envs.step_wait()
        assert (states != envs.step(actions)[0]).any(), "it goes on after both errors"
    finally:
        envs.close()


def test_an_error_in_an_environment_says_which_and_closes_all_workers(faulty):
    processes = list(faulty.processes)
    faulty.step(np.zeros((3, 1)))
    faulty.step(np.zeros((3, 1)))
    with pytest.raises(RuntimeError, match="(?s)Worker 0 of 2, with 2 environments, failed.*the knee is broken"):
        faulty.step(np.zeros((3, 1)))
    assert not any(process.is_alive() for process in processes)


def test_a_killed_worker_is_noticed_and_the_others_closed(faulty):
    processes = list(faulty.processes)
    processes[1].kill()
    with pytest.raises(RuntimeError, match="Worker 1 of 2.*failed: it (was killed by SIGKILL|ended with exit code)"):
        faulty.step(np.zeros((3, 1)))
    assert not any(process.is_alive() for process in processes)


class Verbose(gym.Env):
    """Its observations do not fit into a pipe."""

    observation_space = gym.spaces.Box(-1, 1, (5_000_000,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(5_000_000, np.float32), {}

    def step(self, action):
        return np.zeros(5_000_000, np.float32), 0.0, False, False, {}


def test_a_worker_that_is_killed_while_it_answers_is_noticed():
    gym.register("Verbose-v0", Verbose)
    envs = make_envs("Verbose-v0", 2, 2)
    try:
        envs.reset()
        envs.step_async(np.zeros((2, 1), np.float32))
        while not envs.pipes[0].poll(0.01):
            pass
        time.sleep(0.2)  # it has begun, and waits until somebody reads
        envs.processes[0].kill()
        with pytest.raises(
            WorkerError, match="^Worker 0 of 2, with 1 environments, failed: it (was killed by SIGKILL|ended with exit code)"
        ):
            envs.step_wait()
        assert not any(process.is_alive() for process in envs.processes)
    finally:
        envs.close()
        gym.registry.pop("Verbose-v0")


def test_workers_end_when_the_parent_is_killed(root):
    code = """
import time
from envs.registry import make_envs
envs = [make_envs("InvertedPendulumBulletEnv-v0", 4, 2) for _ in range(2)]
for each in envs: each.reset()
print(*[p.pid for each in envs for p in each.processes], flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(workers) == 4 and all(worker.is_running() for worker in workers)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert_gone(workers, seconds=10)


def test_bullets_greetings_stay_off_the_screen(root):
    code = "from envs.registry import make_envs; e = make_envs('AntBulletEnv-v0', 2, 1); e.reset(); e.close(); print('done')"
    seen = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert seen.stdout == "done\n" and seen.stderr == ""
