"""Files that are complete or not there."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO") if hasattr(errno, name)}
"""Errors of a file that could be begun but not finished: no space, no quota, too large, read-only, broken device."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to.  When the block ends without an error, what was written there replaces `path`.

    The temporary path is in a folder of its own, and every file of that folder is moved: with `path` as a prefix, as in
    `TD3.save`, several files are written.  The folder of `path` is made if it is missing.

    Raises:
        OSError: `path` cannot be written, or not to its end.  Then the old file is unchanged, and nothing else is left.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-", ignore_cleanup_errors=True)
    except OSError as error:
        reason = "its folder is a file" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
        raise OSError(f"'{path}' cannot be written ({reason}): give a file in a folder that you may write to.") from error
    with folder:
        try:
            yield Path(folder.name, path.name)
            for file in sorted(Path(folder.name).iterdir()):
                os.replace(file, path.parent / file.name)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise OSError(
                f"'{path}' could not be written to its end ({error.strerror}), so nothing of it was kept: "
                "make room there, or give a file elsewhere."
            ) from error
