"""PyBullet without its messages on the screen."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def quiet(streams: Sequence[int] = (1, 2)) -> Iterator[None]:
    """Discards what C code prints, such as "build time" and "argv[0]=" from Bullet when it loads and connects.

    Args:
        streams: file descriptors to silence, 1 for stdout and 2 for stderr.
    """
    sys.stdout.flush()
    flush_c = ctypes.CDLL(None).fflush if os.name == "posix" else lambda _: None
    flush_c(None)
    saved = {stream: os.dup(stream) for stream in streams}
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(null, stream)
    try:
        yield
    finally:
        flush_c(None)  # C code has a buffer of its own
        for stream, copy in saved.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(null)


with quiet():
    import pybullet
    from pybullet_utils.bullet_client import BulletClient


def connect() -> Any:
    """A new physics engine without a window: a `BulletClient` in DIRECT mode."""
    with quiet():
        return BulletClient(connection_mode=pybullet.DIRECT)
