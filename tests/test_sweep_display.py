"""The progress of many runs, in a terminal and in a notebook."""

import nbformat
import papermill

from training.display import SweepDisplay

TOTALS = {"a": 100, "b": 100, "c": 200}
ROW = {"timesteps": 50.0, "mean_return": 1234.0}


def test_in_a_terminal_a_bar_counts_the_steps_and_each_run_that_ends_has_a_line(capsys):
    display = SweepDisplay("many", TOTALS, finished=["a"])
    display.update([("b", "running", ROW), ("c", "waiting", {})])
    display.update([("b", "finished", ROW), ("c", "failed", {})])  # within a second: not shown
    assert "b: finished" not in capsys.readouterr().err
    for _ in range(2):
        display.update([("b", "finished", ROW), ("c", "failed", {})], at_once=True)
    display.close()
    shown = capsys.readouterr().err.replace("\r", "\n")
    assert shown.count("b: finished, 50 steps, return 1,234\n") == shown.count("c: failed\n") == 1
    assert "200/400" in shown and "2 of 3 runs finished, 0 running, 1 failed" in shown


def test_in_a_notebook_one_text_is_replaced(tmp_path, root):
    """It is what stays in the notebook: no trace of the progress."""
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from training.display import SweepDisplay\n"
        f"display = SweepDisplay('many', {TOTALS})\n"
        f"for state in ('waiting', 'running'):\n"
        f"    display.update([(name, state, {ROW}) for name in 'abc'], at_once=True)\n"
        "display.close()"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    papermill.execute_notebook(tmp_path / "a.ipynb", tmp_path / "b.ipynb", progress_bar=False)
    (output,) = nbformat.read(tmp_path / "b.ipynb", as_version=4).cells[0].outputs
    assert output.data["text/plain"].splitlines() == [
        "many: 0 of 3 runs finished, 3 running; 150 of 400 steps, 0 minutes",
        *(f"  {name}: running, 50 steps, return 1,234" for name in "abc"),
    ]
