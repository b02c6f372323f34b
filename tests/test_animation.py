"""Animations read back by other means, full disks, and the command line."""

import base64
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import nbformat
import numpy as np
import pytest
from conftest import ROOT
from helpers import Walk, near_color
from nbclient import NotebookClient
from PIL import Image, ImageColor

from TD3 import TD3
from utils import load_policy
from viewing.animation import (
    FILM_SECONDS,
    MOMENT,
    _choose_moments,
    _choose_steps,
    _insert_moments,
    _notes,
    animate,
    show,
    stored_description,
    write_frames,
)
from viewing.figures import describe_recording
from viewing.recording import random_path, record
from viewing.renderer import Renderer
from viewing.style import INK, TORSO

FORMATS = ["gif", "png", "webp", "mp4"]


@pytest.fixture(scope="module")
def run():
    """80 steps toward (2, 1)."""
    return record(Walk(), seed=3, max_steps=80, target=(2, 1))


def read_frames(path):
    """Every frame of an animated image as (H, W, 3) int arrays, and the durations in milliseconds."""
    with Image.open(path) as image:
        frames, durations = [], []
        for k in range(image.n_frames):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB")).astype(int))
            durations.append(image.info["duration"])
        return frames, durations


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animated_images_can_be_read(run, tmp_path, suffix):
    path = animate(run, tmp_path / "deep" / f"ant.{suffix}", 120, 80, fps=15, seconds=1.0, workers=0)
    frames, durations = read_frames(path)
    assert path.parent.name == "deep" and len(frames) == 15
    assert all(frame.shape == (80, 120, 3) for frame in frames)
    assert sum(durations) == pytest.approx(1000 + 1000, abs=12)  # one second, and the last frame rests for another
    assert durations[-1] - durations[0] == pytest.approx(1000, abs=10) and {d % 10 for d in durations} == {0}
    assert all(np.abs(a - b).max() > 60 for a, b in zip(frames, frames[1:], strict=False))
    assert near_color(frames[7], TORSO, 60) > 40
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_frames_of_a_gif_share_one_palette_of_96_colors_and_are_not_dithered(run, tmp_path):
    path = animate(run, tmp_path / "ant.gif", 120, 80, seconds=1.0, workers=0, yaw=30, verbose=False)
    frames, _ = read_frames(path)
    colors = np.unique(np.concatenate([frame.reshape(-1, 3) for frame in frames]), axis=0)
    assert 30 < len(colors) <= 96
    rendered = np.asarray(Renderer(run, 120, 80, np.radians(30)).render(0)).reshape(-1, 3)
    pairs = np.unique(np.concatenate([rendered, frames[0].reshape(-1, 3)], axis=1), axis=0)
    assert len(pairs) == len(np.unique(rendered, axis=0)), "dithering gives equal pixels different colours"


def test_films_can_be_read(run, tmp_path):
    path = animate(run, tmp_path / "ant.mp4", 120, 80, fps=15, seconds=1.0, workers=0)
    frames = iio.imread(path, plugin="pyav")
    assert frames.shape == (15, 80, 120, 3) and iio.immeta(path, plugin="pyav")["fps"] == pytest.approx(15)
    assert near_color(frames[7], TORSO, 60) > 40
    assert [p.name for p in tmp_path.iterdir()] == ["ant.mp4"]


def test_start_and_speed_choose_the_steps(run, tmp_path):
    whole = _choose_steps([run], tmp_path / "a.gif", 100, 100, 20, None, 0, 1)
    assert whole[0] == 0 and len(whole) == round(80 * 0.0165 * 20) and max(whole) <= 80
    fast = _choose_steps([run], tmp_path / "a.gif", 100, 100, 20, 1.0, 0.3, 2.0)
    assert len(fast) == 10 and fast[0] == round(0.3 / 0.0165) and fast[-1] == round((0.3 + 9 * 0.1) / 0.0165)
    assert _choose_steps([run], tmp_path / "a.gif", 100, 100, 10, None, 0, 3)[-1] == 80  # the end is shown at any speed


def test_a_fast_film_has_moments_at_normal_speed():
    """They take the place of fast frames, so its length stays, and the rest is faster."""
    steps = list(range(0, 6000, 30))  # 12 frames a second, 200 of them
    dt, fps = 0.0165, 12
    with_moments, slow = _insert_moments(steps, dt, fps, 3)
    advance = np.diff(with_moments)
    assert len(with_moments) == 200 and with_moments[0] == 0 and with_moments[-1] == pytest.approx(steps[-1], abs=1)
    assert sum(slow) == 3 * round(MOMENT * fps) and np.ptp(np.flatnonzero(slow)) > 100, "spread over the film"
    assert set(advance[slow[1:]]) == {5, 6} and advance[~np.array(slow[1:])].min() > 35, "a frame is five steps of 16.5 ms"
    notes = _notes(with_moments, slow, dt, fps, 30 * dt * fps)
    assert notes[slow.index(True)] == "normal speed" and set(notes) == {
        "normal speed",
        "7.8 times as fast",
    }  # 98.5 - 4.5 s in 145 frames


def test_only_a_long_and_fast_film_of_a_path_has_moments_by_default(run):
    path = record(Walk(), "MyAntBulletEnv-v0", max_steps=200, path=[(0.9, 0), (1.1, 0.1), (9, 0)])
    assert _choose_moments([path], 14, 9, None) == 3
    for recording, seconds, speed in ((run, 14, 9), (path, 14, 2), (path, 5, 9)):
        assert _choose_moments([recording], seconds, speed, None) == 0
    with pytest.raises(ValueError, match="moments is 5: expected 0 to 4, so that they are at most half of 14.0 s"):
        _choose_moments([path], 14, 9, 5)


def test_several_are_side_by_side_and_the_shorter_one_waits(run, tmp_path, capfd):
    short = record(Walk(), seed=3, max_steps=10, target=(2, 1))
    path = animate([run, short], tmp_path / "both.png", 120, 80, fps=15, seconds=1.0, workers=2)
    frames, _ = read_frames(path)
    assert frames[0].shape == (80, 244, 3) and (frames[0][:, 120:124] >= 250).all()
    assert np.abs(frames[6][:, :120] - frames[14][:, :120]).max() > 60
    assert np.abs(frames[6][:, 124:] - frames[14][:, 124:]).max() == 0
    out, err = capfd.readouterr()
    assert out.startswith("Rendering 15 frames, about ") and out.count("\n") == 1 and err == ""


def test_a_speed_is_in_the_title(run, tmp_path):
    titled, untitled = (
        read_frames(animate(run, tmp_path / f"{k}.png", 240, 160, fps=12, speed=2, workers=0, verbose=False, titles=titles))[0]
        for k, titles in enumerate([None, [""]])
    )
    ink = ImageColor.getrgb(INK)
    assert near_color(titled[3][:25, :120], ink, 90) > 80 + near_color(untitled[3][:25, :120], ink, 90)


def test_worker_processes_render_the_same_as_this_one(run, tmp_path):
    paths = [animate(run, tmp_path / f"{n}.gif", 120, 80, seconds=0.6, workers=n, verbose=False) for n in (0, 2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_worker_processes_can_be_spawned(tmp_path):
    """As on Windows and macOS: a program, and a policy of a class that only the program has."""
    (tmp_path / "program.py").write_text(
        "\n".join([
            "import multiprocessing, sys",
            f"sys.path[:0] = ['{ROOT}', '{ROOT / 'tests'}']",
            "from helpers import Walk",
            "from viewing.animation import animate",
            "from viewing.directions import eval_directions",
            "from viewing.recording import record",
            "class Mine(Walk): pass",
            "if __name__ == '__main__':",
            "    multiprocessing.set_start_method('spawn', force=True)",
            "    run = record(Mine(), seed=3, max_steps=40, target=(2, 1))",
            "    files = [animate(run, f'{n}.gif', 96, 64, workers=n, verbose=False) for n in (0, 2)]",
            "    print(files[0].read_bytes() == files[1].read_bytes())",
            "    a, b = (eval_directions(Mine(), 'AntBulletEnv-v0', 2, max_steps=20, workers=n) for n in (0, 2))",
            "    print(len(a.paths), all(path.shape == (21, 2) for path in b.paths), (a.paths[0] == b.paths[0]).all())",
        ])
    )  # fmt: skip
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n2 True True\n", "", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_is_an_error(tmp_path, suffix):
    path = tmp_path / f"ant.{suffix}"
    path.symlink_to("/dev/full")
    frames = [Image.new("RGB", (96, 64), (20 * k, 0, 0)) for k in range(5)]
    with pytest.raises(OSError, match="No space left on device"):
        write_frames(path, frames, fps=10)


def test_a_file_that_may_not_grow_leaves_the_old_one_and_nothing_else(tmp_path):
    """The system ends every write beyond 2 kB, as a quota does."""
    pytest.importorskip("resource", reason="needs POSIX limits")
    script = "\n".join([
        "import resource, sys",
        "from utils import load_policy",
        "from viewing.animation import animate",
        "from viewing.recording import record",
        "run = record(load_policy('base_ant_final'), max_steps=60)",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))",
        "for suffix in ('gif', 'png', 'webp', 'mp4'):",
        "    try: animate(run, f'{sys.argv[1]}/ant.{suffix}', 120, 80, workers=0, verbose=False)",
        "    except OSError as error: print(error)",
    ])  # fmt: skip
    for suffix in FORMATS:
        (tmp_path / f"ant.{suffix}").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    sentence = (
        "could not be written to its end (File too large), so nothing of it was kept: make room there, or write elsewhere."
    )
    assert done.stdout.splitlines() == [f"'{tmp_path}/ant.{suffix}' {sentence}" for suffix in FORMATS] and done.stderr == ""
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {f"ant.{suffix}": b"old" for suffix in FORMATS}


def test_a_path_that_cannot_be_written_is_named_before_rendering(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    for path in (tmp_path / "file" / "ant.gif", tmp_path / "folder.gif", Path("/dev/null/ant.gif")):
        with pytest.raises(OSError, match=rf"^'{path}' cannot be written \(.+\): choose "):
            animate(run, path, workers=0)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"path": "ant.avi"}, "expected one of .gif"),
        ({"path": "ant"}, "expected one of .gif"),
        ({"recordings": []}, "recordings is empty"),
        ({"width": 10}, "at least 64 x 64"),
        ({"path": "ant.mp4", "width": 121}, "even numbers"),
        ({"fps": 1e-300}, "fps from 1 to 50"),
        ({"fps": 60}, "fps from 1 to 50"),
        ({"speed": 0}, "speed from 0.01 to 1000"),
        ({"speed": np.inf}, "speed from 0.01 to 1000"),
        ({"seconds": -1}, "positive, finite numbers"),
        ({"yaw": np.nan}, "yaw=nan: expected a direction in degrees"),
        ({"start": 99}, "ends after 1.3 s"),
        ({"titles": ["a", "b"]}, "2 titles for 1"),
    ],
)
def test_arguments_out_of_range_are_named(run, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        animate(**{"recordings": run, "path": "ant.gif", "verbose": False, "workers": 0, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_the_estimate_is_near_the_time_it_takes(run, tmp_path, capsys):
    start = time.perf_counter()
    animate(run, tmp_path / "ant.webp", 960, 720, workers=0)
    seconds = time.perf_counter() - start
    estimate = int(re.fullmatch(r"Rendering 24 frames, about (\d+) s \.\.\.\n", capsys.readouterr().out)[1])
    assert seconds / 4 < estimate < seconds + 1


# --- notebooks -------------------------------------------------------------------------------------------------------------


def test_show_embeds_the_animation_itself_under_the_name_that_github_shows(run, tmp_path):
    path = animate(run, tmp_path / "ant.gif", 96, 64, seconds=0.3, workers=0, verbose=False)
    data, metadata = show(path, alt="an ant that walks")._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == path.read_bytes()
    assert metadata["image/png"]["alt"] == "an ant that walks"
    with pytest.raises(FileNotFoundError, match="no.gif"):
        show(tmp_path / "no.gif")
    with pytest.raises(ValueError, match="expected a .gif or .png"):
        show(tmp_path / "ant.mp4")


def test_an_animation_describes_itself(run, tmp_path):
    """Its file stores what it shows, which is the alternative text unless another is given."""
    path = animate([run, record(Walk(), max_steps=20)], tmp_path / "two.gif", 96, 64, seconds=0.3, workers=0, verbose=False)
    alt = show(path)._repr_mimebundle_()[1]["image/png"]["alt"]
    assert alt.startswith("Animation: 2 ants side by side: an ant in AntBulletEnv-v0, target (2, 1), ")
    assert "target (1000, 0)" in alt and alt.endswith("Shown from 0.0 to 0.2 s.")
    path = animate(run, tmp_path / "one.png", 96, 64, fps=10, workers=0, verbose=False)
    assert stored_description(path) == f"Animation: {describe_recording(run)}."
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    assert stored_description(tmp_path / "foreign.png") is None


def test_a_saved_notebook_has_the_descriptions_of_its_images(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", comment=b"a stored one")
    code = [f"import sys; sys.path.insert(0, '{ROOT}')\nfrom viewing import style\nfrom viewing.animation import show"]
    code += [
        "show('a.gif', alt='an animation')",
        "show('a.gif')",
        "figure = style.figure(2, 2)[0]\nfigure.alt = 'a figure'\nfigure",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in code])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.write(notebook, tmp_path / "a.ipynb")
    _, *outputs = [cell.outputs for cell in nbformat.read(tmp_path / "a.ipynb", as_version=4).cells]
    alts = [output.metadata["image/png"]["alt"] for (output,) in outputs]
    assert alts == ["an animation", "a stored one", "a figure"]


# --- command line ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def command_line(tmp_path, monkeypatch):
    """Runs `python -m viewing.animation ...` in an empty folder with one saved policy."""
    (tmp_path / "models" / "base_ant_final").mkdir(parents=True)
    TD3(28, 8, 1.0, hidden=16).save(tmp_path / "models" / "base_ant_final" / "best")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    command = [sys.executable, "-m", "viewing.animation"]
    return lambda *words: subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)


def test_the_command_line_runs_the_ant_and_prints_the_result(command_line, tmp_path):
    done = command_line("--model", "base_ant_final", "--seed", "4", "--seconds", "0.1")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["return", "distance", "Rendering", "animations/my_ant_run.gif"]
    recording = record(load_policy(tmp_path / "models" / "base_ant_final"), seed=4)
    assert lines[0].startswith(f"return {recording.total_reward:,.0f} in {recording.length} steps")
    assert lines[1] == f"distance {recording.distance:.1f} m, mean speed {recording.speed:.2f} m/s"
    assert len(read_frames(tmp_path / lines[-1])[0]) == 2


def test_the_command_line_follows_a_path_in_fast_motion(command_line, tmp_path):
    """The policy for one point falls or gets lost on most paths, so the numbers are compared."""
    done = command_line("--model", "my_ant_final", "--env", "MyAntRandomPointsBulletEnv-v0", "--points", "2", "--seed", "3")
    run = record(load_policy("my_ant_final"), "MyAntRandomPointsBulletEnv-v0", 3, 2000, path=random_path(2, seed=3))
    assert done.returncode == 0 and done.stderr == ""
    first, _, last = done.stdout.splitlines()
    assert first.startswith(f"{run.points_reached} of 2 points in {run.length} steps ({run.seconds:.1f} s, it ")
    assert last == "animations/my_ant_path.gif"
    _, durations = read_frames(tmp_path / last)
    speed = max(1, round(run.seconds / FILM_SECONDS))
    assert sum(durations) / 1000 == pytest.approx(run.seconds / speed + 1, abs=0.2) and sum(durations) < 23_000


def test_the_command_line_names_bad_input_in_one_sentence(command_line):
    done = command_line("--points", "3", "--target", "1", "2")
    assert done.returncode == 1 and done.stderr.startswith("points is 3 and target is (1.0, 2.0): expected")
    done = command_line("--model", "nobody")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("There is no checkpoint 'nobody'") and done.stderr.count("\n") == 1
