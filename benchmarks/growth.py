"""How the speed goes with the number of ants, the size of the batch and the width of the layers.

    python benchmarks/growth.py            measures (some minutes) and draws
    python benchmarks/growth.py --draw     draws what was measured before

Writes growth.csv, growth_ants.png and growth_updates.png beside this file.
"""

import argparse
import csv
import sys
from pathlib import Path

from bench import HERE, check_idle, machine, measure, style
from matplotlib.ticker import FuncFormatter, NullLocator

ANTS = [1, 2, 4, 8, 16, 32]
BATCHES = [64, 128, 256, 512, 1024, 2048, 4096]
WIDTHS = [64, 128, 256, 512, 1024]

COLUMNS = ["axis", "value", "line", "per_second"]
STYLES = {
    "ants alone": {"color": style.OKABE_ITO[2], "marker": "s", "linestyle": ":"},
    "with the learner": {"color": style.OKABE_ITO[0], "marker": "o", "linestyle": "-"},
    "ours": {"color": style.OKABE_ITO[0], "marker": "o", "linestyle": "-"},
    "plain transcription": {"color": style.OKABE_ITO[1], "marker": "^", "linestyle": "--"},
}
"""Colours, and markers and dashes for those who print in grey."""


def measure_all(seconds):
    """Rows of `COLUMNS`: steps per second for the ants, updates per second (one thread) for batch and width."""
    rows = []

    def one(axis, value, lines, name, **arguments):
        found = measure(name, **arguments)
        if "error" in found:
            sys.exit(f"{name} at {axis} = {value} failed: {found['error']}")
        rows.extend([axis, value, line, round(found[key], 1)] for line, key in lines.items())

    for n in ANTS:
        one("ants", n, {"ants alone": "steps"}, "ants", num_envs=n, seconds=seconds)
        one("ants", n, {"with the learner": "steps"}, "train", num_envs=n, seconds=seconds)
    turn = {"threads": 1, "rounds": 3, "seconds": seconds / 10}
    for size in BATCHES:
        one("batch", size, {"ours": "ours", "plain transcription": "plain"}, "update", batch_size=size, **turn)
    for width in WIDTHS:
        one("width", width, {"ours": "ours", "plain transcription": "plain"}, "update", hidden=width, **turn)
    return rows


def draw(rows, folder):
    """The two pictures; 5 inches wide, so that their letters can be read on a phone."""
    ants, axes = style.figure(5, 4, dpi=160)
    panel(axes, rows, "ants", "ants at once", "environment steps per second")
    updates, (top, bottom) = style.figure(5, 7.4, rows=2, dpi=160)
    panel(top, rows, "batch", "transitions in a batch (256 units wide)", "updates per second")
    panel(bottom, rows, "width", "units of a hidden layer (batch of 256)", "updates per second")
    paths = [Path(folder, f"growth_{name}.png") for name in ("ants", "updates")]
    for figure, path in zip((ants, updates), paths, strict=True):
        figure.savefig(path)
    return paths


def panel(axes, rows, axis, xlabel, ylabel):
    """One log-log plot of the rows of `axis`, a line for each name."""
    plain = FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
    for line in dict.fromkeys(row[2] for row in rows if row[0] == axis):
        points = [(float(row[1]), float(row[3])) for row in rows if row[0] == axis and row[2] == line]
        axes.plot(*zip(*points, strict=True), label=line, linewidth=style.LINE, markersize=8, **STYLES[line])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    values = sorted({float(row[1]) for row in rows if row[0] == axis})
    axes.set_xticks(values)
    low, high = axes.get_ylim()
    steps = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    axes.set_yticks([step * 10**k for k in range(-1, 7) for step in steps if low <= step * 10**k <= high])
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(plain)
        each.set_minor_locator(NullLocator())
    axes.set(xlabel=xlabel, ylabel=ylabel)
    style.legend(axes)


def command_line():
    """`growth.py`: measures, unless --draw, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="draw growth.csv anew without measuring")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each point; a turn of an update has a tenth")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the files are written")
    args = parser.parse_args()
    path = args.folder / "growth.csv"
    if not args.draw:
        warning = check_idle(args.force)
        rows = measure_all(args.seconds)
        with open(path, "w", newline="") as f:
            csv.writer(f).writerows([COLUMNS, *rows])
        print(f"{machine()}. {warning}".strip())
    if not path.exists():
        sys.exit(f"There is no '{path}': run this without --draw first.")
    with open(path, newline="") as f:
        print(*draw(list(csv.reader(f))[1:], args.folder), sep="\n")


if __name__ == "__main__":
    command_line()
