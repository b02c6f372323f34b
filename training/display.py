"""The progress of a run: a bar in a terminal; a line and the learning curve in a notebook.  And the progress of many runs."""

import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from training.cli import in_notebook

Curve = dict[str, np.ndarray]


def progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Yields from an iterable, and shows how far it is if that takes longer than two seconds.

    In a terminal the bar disappears at the end.  In a notebook one line stays, with the duration.

    Args:
        items: the iterable.
        total: number of its items.
        what: what they are, such as "directions".
    """
    if not in_notebook():
        # disable=None: no bar where the output goes to a file
        yield from tqdm(items, desc=what, total=total, delay=2, leave=False, dynamic_ncols=True, disable=None)
        return
    from IPython.display import display

    started, updated, line = time.perf_counter(), time.perf_counter(), None
    for count, item in enumerate(items, start=1):
        now = time.perf_counter()
        if now - started > 2 and (count == total or now - updated > 1):
            at_end = f"{total} {what} in {now - started:.0f} s"
            text, updated = {"text/plain": at_end if count == total else f"{count} of {total} {what}"}, now
            if line is None:
                line = display(text, raw=True, display_id=True)
            else:
                line.update(text, raw=True)
        yield item


class TerminalDisplay:
    """A progress bar with the latest mean return and the steps per second.

    Args:
        name: name of the run.
        max_timesteps: environment steps of the whole run.
    """

    def __init__(self, name: str, max_timesteps: int) -> None:
        self.bar = tqdm(total=max_timesteps, unit=" steps", unit_scale=True, dynamic_ncols=True, desc=name)

    def update(self, timesteps: int) -> None:
        """Shows the number of environment steps so far."""
        if not self.bar.n and timesteps:  # the first call of a resumed run, whose earlier steps do not count for the speed
            self.bar.initial = self.bar.n = timesteps
        self.bar.update(min(timesteps, self.bar.total) - self.bar.n)

    def evaluated(self, curve: Curve) -> None:
        """Shows the learning curve so far."""
        returns = curve["mean_return"]
        self.bar.set_postfix_str(f"return {returns[-1]:,.0f}, best {returns.max():,.0f}")

    def close(self) -> None:
        self.bar.close()


class NotebookDisplay:
    """A line of text, and below it the learning curve, drawn anew after each evaluation.

    Both are replaced in place, so a finished notebook holds one figure and one line, and no trace of the progress.

    Args:
        name: name of the run.
        max_timesteps: environment steps of the whole run.
        plot: draws a learning curve and returns a Matplotlib figure.
    """

    def __init__(self, name: str, max_timesteps: int, plot: Callable[[Curve], Any]) -> None:
        from IPython.display import display

        self.name, self.max_timesteps, self.plot = name, max_timesteps, plot
        self.started, self.updated = time.perf_counter(), 0.0
        self.curve: Curve = {}
        self.figure = None
        self.line = display({"text/plain": f"{name}: starting"}, raw=True, display_id=True)

    def update(self, timesteps: int) -> None:
        """Shows the number of environment steps so far, once a second."""
        now = time.perf_counter()
        if now - self.updated < 1:
            return
        self.updated = now
        latest = f", return {self.curve['mean_return'][-1]:,.0f}" if self.curve else ""
        rate = timesteps / (now - self.started)
        self._write(f"{self.name}: {timesteps:,} of {self.max_timesteps:,} steps, {rate:,.0f} a second{latest}")

    def evaluated(self, curve: Curve) -> None:
        """Shows the learning curve so far."""
        from IPython.display import display

        self.curve = curve
        figure = self.plot(curve)
        if self.figure is None:
            self.figure = display(figure, display_id=True)
        else:
            self.figure.update(figure)

    def close(self) -> None:
        """Leaves a line with the result."""
        if self.curve:
            steps, seconds, best = self.curve["timesteps"][-1], self.curve["seconds"][-1], self.curve["mean_return"].max()
            self._write(
                f"{self.name}: {steps:,.0f} steps in {seconds / 60:.1f} minutes, {steps / seconds:,.0f} a second; "
                f"best mean return {best:,.0f}"
            )

    def _write(self, text):
        self.line.update({"text/plain": text}, raw=True)


class SweepDisplay:
    """The progress of many runs: in a terminal a bar, and a line for each run that ends; in a notebook a text that is replaced.

    Args:
        name: name of the sweep.
        totals: environment steps of each whole run, by the name of the run.
        finished: names of the runs that were finished before.
    """

    def __init__(self, name: str, totals: dict[str, int], finished: Collection[str] = ()) -> None:
        self.name, self.totals, self.before = name, totals, set(finished)
        self.ended: set[str] = set()
        self.started, self.updated = time.perf_counter(), -np.inf
        initial, total = sum(totals[each] for each in self.before), sum(totals.values())
        if in_notebook():
            from IPython.display import display

            self.line = display({"text/plain": f"{name}: starting"}, raw=True, display_id=True)
        else:
            self.bar = tqdm(total=total, initial=initial, unit=" steps", unit_scale=True, dynamic_ncols=True, desc=name)

    def update(self, runs: Iterable[tuple[str, str, dict[str, Any]]], at_once: bool = False) -> None:
        """Shows the state of the runs, once a second.

        Args:
            runs: name, status (waiting, running, finished or failed) and latest row of the curve ({} before the first one) of
                each run that was not finished before.
            at_once: whether to show it although a second has not passed.
        """
        now = time.perf_counter()
        if now - self.updated < 1 and not at_once:
            return
        self.updated, runs = now, list(runs)
        of = {status: [run for run in runs if run[1] == status] for status in ("waiting", "running", "finished", "failed")}
        steps = sum(self.totals[name] for name in self.before) + sum(
            self.totals[name] if status == "finished" else int(row.get("timesteps", 0)) for name, status, row in runs
        )
        count = f"{len(self.before) + len(of['finished'])} of {len(self.totals)} runs finished, {len(of['running'])} running"
        count += f", {len(of['failed'])} failed" if of["failed"] else ""
        if in_notebook():
            minutes = (now - self.started) / 60
            lines = [f"{self.name}: {count}; {steps:,} of {sum(self.totals.values()):,} steps, {minutes:.0f} minutes"]
            lines += ["  " + self._describe(*run) for run in of["running"][:20]]
            self.line.update({"text/plain": "\n".join(lines)}, raw=True)
            return
        for run in of["finished"] + of["failed"]:
            if run[0] not in self.ended:
                self.ended.add(run[0])
                self.bar.write(self._describe(*run), file=sys.stderr)
        self.bar.set_postfix_str(count, refresh=False)
        self.bar.update(steps - self.bar.n)

    def _describe(self, name, status, row):
        reached = f", {row['timesteps']:,.0f} steps, return {row['mean_return']:,.0f}" if "mean_return" in row else ""
        return f"{name}: {status}{reached}"

    def close(self) -> None:
        if not in_notebook():
            self.bar.close()
