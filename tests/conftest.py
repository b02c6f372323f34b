"""Fixtures that several test files share."""

import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
torch.set_num_threads(1)

from utils import ReplayBuffer  # noqa: E402


def pytest_addoption(parser):
    """The numbers of a long run are in brackets."""
    parser.addoption("--kills", type=int, default=6, help="how often test_resume.py kills a run [200]")
    parser.addoption("--interrupts", type=int, default=9, help="how often test_resume.py presses Ctrl-C [100]")


LONGEST = ["test_notebooks", "test_page", "test_sweep", "test_resume", "test_bench", "test_cookbook"]
"""Files that begin first, so that no process of tests is alone with one of them in the end."""


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def child_processes(pid=None):
    """The descendants of a process, without the one in which multiprocessing keeps track of its resources under spawn."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if not any("resource_tracker" in word for word in child.cmdline())]


def assert_gone(processes, seconds=5.0):
    """Waits until no process runs any more."""

    def running():
        return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]

    deadline = time.monotonic() + seconds
    while running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running()


@pytest.fixture
def root():
    """The repository's folder."""
    return ROOT


@pytest.fixture
def full_buffer():
    """A function (state_dim, action_dim, size) -> a `ReplayBuffer` of that many random transitions, a tenth of them terminal."""

    def fill(state_dim=5, action_dim=3, size=500, **kwargs):
        rng = np.random.default_rng(0)
        buffer = ReplayBuffer(state_dim, action_dim, size, seed=0, **kwargs)
        states, next_states = rng.normal(size=(2, size, state_dim))
        buffer.add(states, rng.uniform(-1, 1, (size, action_dim)), next_states, rng.normal(size=size), rng.random(size) < 0.1)
        return buffer

    return fill
