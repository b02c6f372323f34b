"""The benchmark's table, processes and rows.  No test depends on how fast the machine is."""

import multiprocessing
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from benchmarks import bench, machine, process, scaling, table, update
from benchmarks.table import Row

# --- the table ---------------------------------------------------------------------------------------------------------------

RUN = {"date": "2030-01-01 12:00", "section": "quick", "machine": "A processor, 2 cores"}


def test_rows_come_back_from_the_csv_and_become_markdown(tmp_path):
    rows = [
        Row("updates", 480.0, "updates/s", "plain", 147.0, 480 / 147, "at least 3", True),
        Row("training | ant", 2600.44, "steps/s", "sb3", 100.0, 26.0, "2,700", False),
        Row("memory", 0.1234, "GB", bound="at most 1"),
        Row("CUDA device", "not run: no CUDA device"),
    ]
    for row in rows:  # one after the other, as several runs write them
        table.append_cells([table.as_cells(row, **RUN)], tmp_path / "results.csv")
    lines = table.render(table.read_cells(tmp_path / "results.csv")).splitlines()
    assert lines[:4] == ["### 2030-01-01 12:00, quick", "", "A processor, 2 cores.", ""]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:]]
    assert cells[0] == ["what", "ours", "unit", "peer", "its figure", "ratio", "bound"]
    assert cells[2:] == [
        ["updates", "480", "updates/s", "plain", "147", "3.3x", "at least 3: met"],
        ["training / ant", "2,600", "steps/s", "sb3", "100", "26x", "2,700: not met"],
        ["memory", "0.12", "GB", "", "", "", "at most 1"],
        ["CUDA device", "not run: no CUDA device", "", "", "", "", ""],
    ]


def test_each_run_has_a_table_and_the_latest_is_the_first():
    days = [("2030-01-01 12:00", "quick"), ("2030-01-02 12:00", "quick"), ("2030-01-02 12:00", "full")]
    runs = [RUN | {"date": date, "section": section} for date, section in days]
    text = table.render([table.as_cells(Row("updates", float(k)), **runs[k]) for k in (0, 1, 2, 0)])
    headings = [line for line in text.splitlines() if line.startswith("###")]
    assert headings == ["### 2030-01-02 12:00, full", "### 2030-01-02 12:00, quick", "### 2030-01-01 12:00, quick"]
    assert text.count("| updates") == 4


def test_tables_are_replaced_between_their_markers_only():
    before, after = "# Results\n\nBy hand.\n\n", "\n\n## Experiments\n\n| a |\n|---|\n| by hand |\n"
    once = table.replace_tables(f"{before}{table.BEGIN}\n\nold{table.END}{after}", "new")
    assert once == f"{before}{table.BEGIN}\n\nnew\n\n{table.END}{after}" == table.replace_tables(once, "new")
    with pytest.raises(ValueError, match="RESULTS.md lacks the lines"):
        table.replace_tables("# Results\n", "new")


def test_the_tables_of_results_md_are_those_of_the_csv(root):
    document = (root / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    assert document == table.replace_tables(document, table.render(table.read_cells()))


# --- the machine and the process ---------------------------------------------------------------------------------------------


def test_a_busy_machine_is_refused_in_one_sentence():
    with pytest.raises(RuntimeError, match=r"^Other processes use \d+ % of a core, .*--force\.$"):
        machine.check_idle(limit=-1)
    assert "these measurements, so they are not reliable" in machine.check_idle(force=True, limit=-1)
    assert machine.check_idle(limit=1e9) == ""


def test_another_process_at_work_is_noticed():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert max(machine.cpu_load(0.5) for _ in range(3)) > 20
    finally:
        busy.kill()
        busy.wait()


def test_the_machine_is_described_without_its_name():
    assert "torch 2" in machine.describe() and platform.node() not in machine.describe()


def keep_memory_in_a_child():
    """Prints, writes a file, and keeps 600 MB, more than Python and PyTorch need, in a child for some seconds."""
    code = "b = b'x' * 600_000_000; import time; time.sleep(2.5)"
    print("lost")
    with open("kept", "w") as f:
        f.write("x")
    subprocess.run([sys.executable, "-c", code])
    return {"start_method": multiprocessing.get_start_method()}


def test_a_measurement_sees_the_memory_of_descendants_and_leaves_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    found = process.measure(keep_memory_in_a_child, memory_every=1)
    assert found["start_method"] == multiprocessing.get_start_method() and len(found["cpu"]) == psutil.cpu_count()
    assert 600e6 < found["memory"] < 1200e6
    assert list(tmp_path.iterdir()) == [] and "lost" not in "".join(capfd.readouterr())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_measurement_that_fails_becomes_a_row_and_the_others_go_on():
    rows = bench.collect({"CUDA device": bench.gpu_rows(1), "after it": iter([Row("updates", 1.0)])})
    assert [(row.what, row.ours) for row in rows] == [("CUDA device", "not run: no CUDA device"), ("updates", 1.0)]


# --- the rows ----------------------------------------------------------------------------------------------------------------


def test_rows_of_the_update():
    """Four for each number of threads; the share is the rate of the operations over that of a product."""
    rows = list(bench.update_rows(0.02))
    assert len(rows) == 8
    for (speeds, rate, share, by_hand), lowest in ((rows[:4], 50), (rows[4:], 40)):
        assert speeds.ratio == speeds.ours / speeds.peer_figure and by_hand.ratio == by_hand.ours / by_hand.peer_figure
        assert share.ours == pytest.approx(100 * speeds.ours * update.flops_of_update() / (1e9 * rate.ours))
        assert share.peer_figure == pytest.approx(
            100 * speeds.peer_figure * update.flops_of_update() / (1e9 * rate.peer_figure)
        )
        assert share.bound == f"at least {lowest} %" and share.met == (share.ours >= lowest)
        assert by_hand.met == (by_hand.ratio >= 1.1)


def test_rows_of_the_environment():
    ours, stock = bench.env_rows(0.05)
    assert ours.ratio == ours.ours / ours.peer_figure and ours.met == (ours.ratio >= 1.7)
    assert stock.ratio == stock.ours / ours.peer_figure and stock.bound == ""


@pytest.mark.slow
def test_rows_of_training():
    """Four peers and the memory; SBX may be missing, because `make test` does not install it."""
    rows = list(bench.training_rows(3))
    steps = [row for row in rows if row.what == "training, fast recipe"]
    assert len(steps) == 4 and all(row.ours > 0 for row in steps)
    for row in steps:
        if isinstance(row.peer_figure, str):
            assert row.peer == "SBX's TD3" and row.peer_figure.startswith("not run: No module named")
        else:
            assert row.ratio == row.ours / row.peer_figure
    updates = [row for row in rows if row.what == "updates during training"]
    assert all(row.ours > 0 and row.peer_figure > 0 for row in updates)
    used, empty, full = rows[-3:]
    assert 0 < empty.ours < 4 * 66 * 0.8, "MB that the run has not filled"
    assert used.ours > 100 and full.ours == used.ours + empty.ours and full.met == (full.ours <= 1200)


@pytest.mark.slow
def test_rows_of_the_start():
    first_frame, make_ant = bench.start_rows(repetitions=1, make_ant=("--points", "0", "--seconds", "2"))
    assert 0 < first_frame.ours < make_ant.ours and first_frame.met == (first_frame.ours < 3)


# --- scaling -----------------------------------------------------------------------------------------------------------------


def run_scaling(folder, root):
    command = [sys.executable, "-m", "benchmarks.scaling", "--draw-only", "--folder", str(folder)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


def test_scaling_draws_two_pictures(tmp_path, root):
    from PIL import Image

    missing = run_scaling(tmp_path, root)
    assert missing.returncode == 1 and missing.stderr.startswith("There is no '") and missing.stderr.count("\n") == 1
    (tmp_path / "scaling.csv").write_text((root / "benchmarks" / "scaling.csv").read_text())
    assert run_scaling(tmp_path, root).returncode == 0
    for name in ("scaling_envs.png", "scaling_updates.png"):
        picture = Image.open(tmp_path / name)
        assert picture.width == 800 and picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


def test_every_line_of_the_scaling_csv_has_a_style(root):
    with open(root / "benchmarks" / "scaling.csv", encoding="utf-8") as f:
        header, *rows = [line.strip().split(",") for line in f]
    assert header == scaling.COLUMNS and {row[2] for row in rows} == set(scaling.STYLES)
