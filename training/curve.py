"""The learning curve of a run, `results/NAME.csv`."""

import contextlib
import csv
import os
from pathlib import Path

import numpy as np

CURVE_COLUMNS = ["timesteps", "seconds", "mean_return", "min_return", "max_return", "mean_length", "steps_per_second"]
"""One row for each evaluation.  `seconds` is wall clock since training began, evaluations included; `steps_per_second` counts
environment steps since the evaluation before, without the time of that evaluation."""


def append_row(path: str | Path, row: list) -> None:
    """Writes one row at the end of a CSV file, which is made if it is missing.  An OSError leaves no part of the row."""
    size = os.path.getsize(path) if os.path.exists(path) else 0
    try:
        with open(path, "a", newline="", encoding="utf-8") as f:
            csv.writer(f).writerow(row)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def read_curve(path: str | Path) -> dict[str, np.ndarray]:
    """The columns of a learning curve: (N,) float64 arrays, with the names in the first row of the file.

    A run may still be writing the file: a row that is not complete is left out.
    """
    with open(path, newline="", encoding="utf-8") as f:
        header, *rows = list(csv.reader(f)) or [[]]
    complete = [row for row in rows if len(row) == len(header) and all(row)]
    table = np.array(complete, dtype=float).reshape(len(complete), len(header))
    return dict(zip(header, table.T, strict=True))
