"""Files that are complete or not there."""

import errno

import pytest

from training.files import atomic_write


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_where_nothing_can_be_written_it_says_so_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, reason in ((tmp_path / "file" / "a.txt", "its folder is a file"), (tmp_path / "folder", "it is a folder")):
        with pytest.raises(OSError, match=f"cannot be written .{reason}.: choose a folder"), atomic_write(path):
            pass
    with pytest.raises(OSError, match="could not be written to its end .full.*make room"), atomic_write(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "full")
