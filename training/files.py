"""Files and folders that are complete or not there."""

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from utils import SUMS, sha256

NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}
"""Errors of a file that could be begun but not finished: no space, no quota, too large, read-only, broken device."""

TEMPORARY = ".tmp-"
"""How the names of unfinished files and folders begin."""


@contextlib.contextmanager
def readable_errors(path: str | Path, only_room: bool = False) -> Iterator[None]:
    """Turns an error of the file system in the block into one sentence about `path`, the file or folder being written.

    Args:
        path: the file or folder.
        only_room: leave other errors than those in `NO_ROOM` as they are.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):  # PyTorch hides it behind an error of its own
            cause = cause.__context__
        if not isinstance(cause, OSError) or cause.errno is None:  # without a number it is a sentence already
            raise
        if only_room and cause.errno not in NO_ROOM:
            raise
        if cause.errno in NO_ROOM:
            raise OSError(
                f"'{path}' could not be written to its end ({cause.strerror}), so nothing of it was kept: "
                "make room there, or write elsewhere."
            ) from error
        reason = "its folder is a file" if isinstance(cause, (FileExistsError, NotADirectoryError)) else cause.strerror
        raise OSError(f"'{path}' cannot be written ({reason}): choose a folder that you may write to.") from error


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to.  When the block ends without an error, the file there replaces `path`.

    The folder of `path` is made if it is missing.

    Raises:
        OSError: `path` cannot be written, or not to its end.  Then the old file is unchanged, and nothing else is left.
    """
    path = Path(path)
    with readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY, ignore_cleanup_errors=True)
    with folder, readable_errors(path, only_room=True):
        yield Path(folder.name, path.name)
        os.replace(Path(folder.name, path.name), path)


class AtomicFolder:
    """A folder that is filled under another name, and then appears under its own in one step.

    Args:
        path: of the folder.  There is no folder with this path yet.

    Attributes:
        temporary: where to write the files until `commit`.

    Raises:
        OSError: it cannot be made, in one sentence.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.temporary = self.path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        with readable_errors(self.path):
            self.temporary.mkdir()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """For a block that writes into `temporary`.  An error removes everything, and is one sentence if the disk is the cause."""
        try:
            with readable_errors(self.path):
                yield
        except BaseException:
            shutil.rmtree(self.temporary, ignore_errors=True)
            raise

    def commit(self) -> None:
        """Adds a file with the SHA-256 of each other file, waits until all is on the disk, and renames the folder.

        Raises:
            OSError: it cannot be written to its end, in one sentence.  Then nothing is left of it.
        """
        with self.writing():
            files = sorted(self.temporary.iterdir())
            (self.temporary / SUMS).write_text("".join(f"{sha256(file)}  {file.name}\n" for file in files), encoding="utf-8")
            for path in (*files, self.temporary / SUMS, self.temporary):
                fsync(path)
            os.rename(self.temporary, self.path)
            fsync(self.path.parent)


def remove_folder(path: Path) -> None:
    """Removes a folder that other processes see whole or not at all."""
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):  # on Windows, somebody may be reading in it; then it goes the next time
        os.rename(path, temporary)
        shutil.rmtree(temporary, ignore_errors=True)


def fsync(path: Path) -> None:
    """Waits until a file or folder is on the disk, so that a power cut does not undo what is done after it."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder for this
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has_unfinished(folder: Path) -> bool:
    """Whether there is something in a folder that a process has not finished yet."""
    return next(folder.glob(f"{TEMPORARY}*"), None) is not None


def remove_unfinished(folder: Path) -> None:
    """Removes what a killed process has not finished in a folder."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
