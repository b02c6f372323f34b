"""How the speed scales with the number of environments, the size of the batch and the width of the layers.

    python -m benchmarks.scaling            measures for some minutes, and draws
    python -m benchmarks.scaling --draw-only  only draws

Writes scaling.csv, scaling_envs.png and scaling_updates.png to the folder of this file.
"""

from pathlib import Path
from typing import Any

from benchmarks import speed, update
from benchmarks.process import measure
from benchmarks.table import FOLDER, measured_rows
from training.cli import run_cli
from viewing import style

ENVIRONMENTS = [1, 2, 4, 8, 16, 32]
BATCHES = [64, 128, 256, 512, 1024, 2048, 4096]
WIDTHS = [64, 128, 256, 512, 1024]

COLUMNS = ["axis", "value", "line", "per_second"]
STYLES: dict[str, dict[str, Any]] = {
    "environments alone": {"color": style.OKABE_ITO[2], "marker": "s", "linestyle": ":"},
    "with the learner": {"color": style.OKABE_ITO[0], "marker": "o", "linestyle": "-"},
    "ours": {"color": style.OKABE_ITO[0], "marker": "o", "linestyle": "-"},
    "plain transcription": {"color": style.OKABE_ITO[1], "marker": "^", "linestyle": "--"},
}
"""Colours, and markers and dashes for a print in grey."""


def measure_rows(seconds: float) -> list[list[Any]]:
    """Rows of `COLUMNS`: steps per second by number of environments, updates per second (one thread) by batch and width."""
    rows = []
    for n in ENVIRONMENTS:
        for line, function in (("environments alone", speed.vector_env_speed), ("with the learner", speed.training_speed)):
            rows.append(["environments", n, line, measure(function, num_envs=n, seconds=seconds)["steps"]])
    ours = update.agent_of_main()
    sizes = [("batch", {"batch_size": n}) for n in BATCHES] + [("width", {"hidden": n}) for n in WIDTHS]
    for axis, size in sizes:
        found = measure(update.updates_per_second, names=[ours, "plain"], rounds=3, seconds=seconds / 10, **size)
        for line, name in (("ours", ours), ("plain transcription", "plain")):
            rows.append([axis, *size.values(), line, found[name]])
    return [[*row, round(rate, 1)] for *row, rate in rows]


def draw(rows: list[list[Any]], folder: Path) -> list[Path]:
    """The two pictures, 5 inches wide, so that the labels are legible on a phone."""
    environments, axes = style.figure(5, 4, dpi=160)
    panel(axes, rows, "environments", "number of environments", "environment steps per second")
    updates, (top, bottom) = style.figure(5, 7.4, rows=2, dpi=160)
    panel(top, rows, "batch", "transitions in a batch (256 units wide)", "updates per second")
    panel(bottom, rows, "width", "units of a hidden layer (batch of 256)", "updates per second")
    paths = [folder / f"scaling_{name}.png" for name in ("envs", "updates")]
    for figure, path in zip((environments, updates), paths, strict=True):
        figure.savefig(path)
    return paths


def panel(axes: Any, rows: list[list[Any]], axis: str, xlabel: str, ylabel: str) -> None:
    """A log-log plot of the rows of one axis, a line for each name."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    for line in dict.fromkeys(row[2] for row in rows if row[0] == axis):
        points = [(float(row[1]), float(row[3])) for row in rows if row[0] == axis and row[2] == line]
        axes.plot(*zip(*points, strict=True), label=line, linewidth=style.LINE, markersize=8, **STYLES[line])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({float(row[1]) for row in rows if row[0] == axis}))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        each.set_minor_locator(NullLocator())
    style.legend(axes)


def main(draw_only: bool = False, force: bool = False, seconds: float = 10.0, folder: Path = FOLDER) -> None:
    """Measures and draws.

    Args:
        draw_only: Drawing of scaling.csv without measuring.
        force: Measurement on a busy machine, with a warning.
        seconds: Duration for each point, in seconds.  A turn of an update takes a tenth of it.
        folder: Folder of the files.
    """
    rows = measured_rows(folder / "scaling.csv", COLUMNS, lambda: measure_rows(seconds), draw_only, force)
    print(*draw(rows, folder), sep="\n")


if __name__ == "__main__":
    run_cli(main, description=__doc__)
