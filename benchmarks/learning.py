"""How soon the stock ant learns to run, with the fast recipe and with stable-baselines3."""

import math
import shutil
import signal
import statistics
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.process import measure
from benchmarks.table import FOLDER, Row
from main import main
from training.curve import read_curve

Curve = dict[str, np.ndarray]


def train_ant(curve: str, stop_at: float = math.inf, **arguments: Any) -> dict[str, Any]:
    """Trains the stock ant with `main(**arguments)` and copies its learning curve to the path `curve`.

    The run ends in good order, as after Ctrl-C, when the mean return of an evaluation is `stop_at` or more.
    """

    ended = threading.Event()

    def watch():
        path = Path("results", "ant.csv").resolve()
        while not ended.wait(timeout=1):
            if path.exists() and minutes_to(read_curve(path), stop_at) is not None:
                return signal.raise_signal(signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    main(name="ant", save_model=False, **arguments)
    ended.set()
    shutil.copy("results/ant.csv", curve)
    return {}


def minutes_to(curve: Curve, level: float) -> float | None:
    """Minutes of wall clock, evaluations included, to the first evaluation with a mean return of `level`; None if never."""
    reached = curve["seconds"][curve["mean_return"] >= level]
    return reached[0] / 60 if len(reached) else None


def best_until(curve: Curve, minutes: float) -> float:
    """The best mean return within so many minutes; NaN if there was no evaluation by then."""
    return max(curve["mean_return"][curve["seconds"] <= 60 * minutes], default=math.nan)


def learning_rows(
    again: bool = True, seeds: Sequence[int] = (0, 1, 2), level: float = 2500, minutes: float = 60, folder: Path = FOLDER
) -> Iterator[Row]:
    """Minutes to the reward threshold of the environment, and the best policy of the first seed within an hour.

    Args:
        again: whether to train.  Otherwise the curves are those of earlier runs.
        seeds: of the runs that end at `level`.  The first seed also trains for all `minutes`.
        level: mean return.
        minutes: longest duration of a run.
        folder: where the curves are, ours_seedN.csv, ours_hour.csv and sb3_to_2500_seed0.csv.
    """
    runs: dict[Path, dict[str, Any]] = {folder / f"ours_seed{seed}.csv": {"seed": seed, "stop_at": level} for seed in seeds}
    runs[folder / "ours_hour.csv"] = {"seed": seeds[0]}
    for path, arguments in runs.items() if again else ():
        measure(train_ant, curve=str(path), max_minutes=minutes, max_timesteps=1_000_000_000, **arguments)
    *curves, hour = (read_curve(path) for path in runs)
    times = [minutes_to(curve, level) or math.inf for curve in curves]
    median, what = statistics.median(times), f"time to a mean return of {level:,.0f}"
    theirs = minutes_to(read_curve(folder / "sb3_to_2500_seed0.csv"), level) or math.inf
    peer, bound = "stable-baselines3, seed 0, recorded earlier", ("at most 4", median <= 4)
    yield Row(f"{what}, median", median, "minutes", peer, theirs, theirs / median, *bound)
    yield Row(f"{what}, seeds {', '.join(map(str, seeds))}", ", ".join(f"{each:.1f}" for each in times), "minutes")
    high = minutes_to(hour, 3300) or math.inf
    yield Row(f"time to a mean return of 3,300, seed {seeds[0]}", high, "minutes", bound="at most 30", met=high <= 30)
    for limit in dict.fromkeys((30, minutes)):
        yield Row(f"best mean return within {limit} minutes, seed {seeds[0]}", float(best_until(hour, limit)))
