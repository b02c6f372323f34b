"""The learning curve of a run, `results/NAME.csv`."""

import contextlib
import csv
import os
from pathlib import Path

import numpy as np

CURVE_COLUMNS = ["timesteps", "seconds", "mean_return", "min_return", "max_return", "mean_length", "steps_per_second"]
"""One row for each evaluation.  `seconds` is wall clock since training began, evaluations included; `steps_per_second` counts
environment steps since the evaluation before, without the time of that evaluation."""


SUMMARY_COLUMNS = ["solved", "steps_to_threshold", "minutes_to_threshold", "best", "last_three", "area_under_curve", "timesteps",
                   "minutes"]  # fmt: skip
"""One run in a few numbers: see `summarize`."""


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


def solved_row(curve: dict[str, np.ndarray], threshold: float) -> int | None:
    """The evaluation at which a run counts as solved.

    One evaluation above the threshold may be luck, so two in a row are needed.

    Args:
        curve: columns as from `read_curve`.
        threshold: mean return.

    Returns:
        the row of the second of the first two evaluations in a row whose mean return is `threshold` or more; None if there
        are no such two.
    """
    above = curve["mean_return"] >= threshold
    rows = np.flatnonzero(above[1:] & above[:-1])
    return int(rows[0]) + 1 if len(rows) else None


def summarize(curve: dict[str, np.ndarray], threshold: float | None = None) -> dict[str, float | bool | None]:
    """One run in a few numbers.

    Args:
        curve: columns as from `read_curve`.
        threshold: mean return at which the run counts as solved, see `solved_row`.

    Returns:
        a dict: `solved`, `steps_to_threshold` and `minutes_to_threshold` (None without a threshold or if it was not reached),
        `best` (highest mean return), `last_three` (mean of the last three mean returns), `area_under_curve` (the mean return
        over the steps from the first to the last evaluation by the trapezoidal rule, divided by these steps; comparable
        between runs of equal length only), `timesteps` and `minutes` of the run.  A run without evaluations has None
        everywhere, and 0 timesteps and minutes.
    """
    steps, seconds, returns = (curve.get(name, np.empty(0)) for name in ("timesteps", "seconds", "mean_return"))
    if not len(steps):
        return dict.fromkeys(SUMMARY_COLUMNS) | {"timesteps": 0, "minutes": 0.0}
    row = None if threshold is None else solved_row(curve, threshold)
    area = np.trapezoid(returns, steps) / np.ptp(steps) if len(steps) > 1 else returns[0]
    values = [
        None if threshold is None else row is not None,
        None if row is None else int(steps[row]),
        None if row is None else round(seconds[row] / 60, 2),
        *(round(float(each), 1) for each in (returns.max(), returns[-3:].mean(), area)),
        int(steps[-1]),
        round(seconds[-1] / 60, 2),
    ]
    return dict(zip(SUMMARY_COLUMNS, values, strict=True))
