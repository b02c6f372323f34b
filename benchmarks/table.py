"""The results of all runs: rows of `results.csv`, rendered as the tables of `RESULTS.md`.

python -m benchmarks.table           renders them again, after a row was deleted by hand
"""

import csv
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks.machine import check_idle, describe

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
"""The lines of RESULTS.md between which the tables are written."""


@dataclass
class Row:
    """One result.

    Attributes:
        what: the measured quantity.
        ours: its value here.  A str is several values, or says why there is none.
        unit: of `ours` and `peer_figure`.
        peer: name of the implementation to compare with.
        peer_figure: its value.
        ratio: how many times better ours is.
        bound: the aim, such as "at least 50 %".
        met: whether it was reached.
    """

    what: str
    ours: float | str
    unit: str = ""
    peer: str = ""
    peer_figure: float | str = ""
    ratio: float | None = None
    bound: str = ""
    met: bool | None = None


COLUMNS = ["date", "section", "machine", *(field.name for field in dataclasses.fields(Row))]
HEADERS = ["what", "ours", "unit", "peer", "its figure", "ratio", "bound"]


def as_cells(row: Row, date: str, section: str, machine: str) -> dict[str, str]:
    """A row of the CSV: the row of a run with its date, section and machine, all as text."""
    values = {"date": date, "section": section, "machine": machine} | vars(row)
    rounded = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()}
    return {name: "" if value is None else str(value) for name, value in rounded.items()}


def append_cells(rows: list[dict[str, str]], path: Path = FOLDER / "results.csv") -> None:
    """Writes rows at the end of the CSV."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


def read_cells(path: Path = FOLDER / "results.csv") -> list[dict[str, str]]:
    """All rows of the CSV."""
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def render(rows: list[dict[str, str]]) -> str:
    """The rows of the CSV as Markdown: a heading, the machine and a table for each run, the latest run first."""
    runs: dict[tuple[str, str, str], list[list[str]]] = {}
    for row in rows:
        verdict = {"True": ": met", "False": ": not met"}.get(row["met"], "")
        ratio = row["ratio"] and f"{float(row['ratio']):,.{1 if float(row['ratio']) < 9.95 else 0}f}x"
        cells = [row["what"], number(row["ours"]), row["unit"], row["peer"], number(row["peer_figure"]), ratio]
        run = runs.setdefault((row["date"], row["section"], row["machine"]), [])
        run.append([cell.replace("|", "/") for cell in (*cells, row["bound"] + verdict)])
    parts = []
    for (date, section, machine), lines in reversed(runs.items()):
        table = tabulate(lines, HEADERS, tablefmt="github", disable_numparse=True)
        parts += [f"### {date}, {section}", f"{machine}.", table]
    return "\n\n".join(parts)


def number(text: str) -> str:
    """A number as it is easy to read: no decimals from 10 on, one from 1 on, two below.  Other text is returned unchanged."""
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:,.{0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2}f}"


def replace_tables(document: str, tables: str) -> str:
    """RESULTS.md with other tables.

    Raises:
        ValueError: the document lacks the lines between which the tables belong.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"RESULTS.md lacks the lines '{BEGIN}' and '{END}': put them where the tables belong.")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def write_tables() -> None:
    """Renders all rows of results.csv into RESULTS.md."""
    path = FOLDER / "RESULTS.md"
    path.write_text(replace_tables(path.read_text(encoding="utf-8"), render(read_cells())), encoding="utf-8")


def measured_rows(path: Path, columns: list[str], measure: Callable[[], list], draw_only: bool, force: bool) -> list[list[str]]:
    """The rows of a CSV file, measured anew on an idle machine and written first.

    Args:
        path: of the file.
        columns: its first row.
        measure: returns the other rows.
        draw_only: do not measure.
        force: measure on a busy machine as well, see `check_idle`.

    Raises:
        RuntimeError: the machine is busy.
        FileNotFoundError: there is no such file with `draw_only`.
    """
    if not draw_only:
        warning = check_idle(force)
        rows = measure()
        with open(path, "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([columns, *rows])
        print(f"{describe()}. {warning}".strip())
    if not path.exists():
        raise FileNotFoundError(f"There is no '{path}': run this without --draw-only first.")
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.reader(f))[1:]


if __name__ == "__main__":
    write_tables()
