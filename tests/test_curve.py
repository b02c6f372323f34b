"""The learning curve as a file."""

import pytest

from training.curve import read_curve


@pytest.mark.parametrize("rest", ["", "2e6", "2e6,4", "2e6,"])
def test_a_row_that_is_being_written_is_no_part_of_the_curve(tmp_path, rest):
    path = tmp_path / "a.csv"
    path.write_text("")
    assert read_curve(path) == {}
    path.write_text("timesteps,mean_return\n")
    assert {name: len(column) for name, column in read_curve(path).items()} == {"timesteps": 0, "mean_return": 0}
    path.write_text(f"timesteps,mean_return\n1e6,10\n{rest}")
    assert {name: column.tolist() for name, column in read_curve(path).items()} == {
        "timesteps": [1e6, 2e6] if rest == "2e6,4" else [1e6],
        "mean_return": [10, 4] if rest == "2e6,4" else [10],
    }
