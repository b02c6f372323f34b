"""The streams of random numbers of a run.  No two of them, of one run or of two, have numbers in common."""

from typing import NamedTuple

import numpy as np


class Streams(NamedTuple):
    """One `SeedSequence` for each use of random numbers."""

    environments: np.random.SeedSequence
    exploration: np.random.SeedSequence
    networks: np.random.SeedSequence
    sampling: np.random.SeedSequence
    target_noise: np.random.SeedSequence
    evaluation: np.random.SeedSequence


def spawn_streams(seed: int) -> Streams:
    """The streams of the run with this seed.

    Seeds that are merely added up overlap: environment 1 of seed 0 would be environment 0 of seed 1.  NumPy's
    `SeedSequence.spawn` gives children that are independent of each other and of those of any other seed.

    The episodes that score a finished policy have the seeds from `utils.SCORE_SEED` on.  They are the same for all policies, so
    that these are compared on the same episodes, and no stream of a run has them.
    """
    return Streams(*np.random.SeedSequence(seed).spawn(len(Streams._fields)))


def integers(stream: np.random.SeedSequence, count: int) -> list[int]:
    """The first `count` integers of a stream, of 64 bits each: seeds for what takes no `SeedSequence`."""
    return [int(number) for number in stream.generate_state(count, np.uint64)]


def integer(stream: np.random.SeedSequence) -> int:
    """The first integer of a stream."""
    return integers(stream, 1)[0]
