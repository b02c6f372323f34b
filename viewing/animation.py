"""Animations of recordings, as files and in notebooks.  No display is needed.

    from viewing.animation import animate, show
    show(animate(recording, "animations/my_ant_run.gif", seconds=10))

or, in a terminal: `python -m viewing.animation`.
"""

import contextlib
import io
import itertools
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from training.cli import run_cli
from training.files import atomic_write
from utils import load_policy, training_env
from viewing.figures import describe_recording
from viewing.recording import Recording, random_path, record
from viewing.renderer import SIGHT, Renderer

if TYPE_CHECKING:
    from IPython.display import Image as EmbeddedImage

FORMATS = (".gif", ".png", ".webp", ".mp4")

MOMENT = 1.5
"""Duration of a moment at normal speed in a fast film, in seconds: about three strides."""

DESCRIPTION = "Description"
"""The keyword for a description in a .png file, as its standard has it.  In a .gif file it is the comment."""


def animate(
    recordings: Recording | Iterable[Recording],
    path: str | Path,
    width: int = 480,
    height: int = 320,
    fps: float = 18,
    seconds: float | None = None,
    start: float = 0.0,
    speed: float = 1.0,
    workers: int = 2,
    titles: Sequence[str] | None = None,
    yaw: float | None = None,
    verbose: bool = True,
    moments: int | None = None,
) -> Path:
    """Writes an animation of one recording, or of several side by side.

    The tiles are one metre wide, the front legs yellow, the trail of the ant blue.  The target is a green flag in a circle of
    radius `REACHED`, or an arrow toward it if it is out of sight.  The text at the bottom gives time, speed and distance from
    the start.  A recorded path has the number of the next point in place of the distance, and a map in a corner.

    A .gif or .png file stores a description in words, which `show` takes for the alternative text of a notebook.

    Args:
        recordings: a `Recording` or a list of them.  One that ends before the others stays at its last state.
        path: file to write.  Its suffix is the format: .gif or .png (animated, few colours), .webp or .mp4.
        width, height: size of each recording's frames, in pixels.
        fps: frames a second.
        seconds: simulated time to show; by default all of it.
        start: simulated time of the first frame, in seconds.
        speed: simulated seconds a second.
        workers: number of processes that render; 0 renders in this one.
        titles: text at the top of each recording's frames.  By default it is the target, if there are several recordings, and
            the speed, if it is not 1.
        yaw: compass direction in which the camera looks, in degrees; 0 is +x, 90 is +y.  By default it is to the left of the
            direction from the start to the target: by 20 degrees if the target is near, so that it is in view, and by 40
            otherwise, also of +x for several recordings; for a path it is +y.
        verbose: whether to print an estimate of the time and, in a terminal, show a progress bar.
        moments: number of moments, each of `MOMENT` seconds, that are shown at normal speed, spread evenly.  They take the
            place of as many fast frames, so a fast film passes faster between them.  By default three, if a path is shown
            more than twice as fast in at least six seconds, and otherwise none.

    Returns:
        the path, a `pathlib.Path`.

    Raises:
        ValueError: an argument is out of range, or the suffix is unknown.
        OSError: the file cannot be written, which is checked before rendering, or the disk became full.  An existing file is
            then unchanged, and nothing else is left.
    """
    recordings = [recordings] if isinstance(recordings, Recording) else list(recordings)
    path = Path(path)
    steps = _choose_steps(recordings, path, width, height, fps, seconds, start, speed)
    moments = _choose_moments(recordings, len(steps) / fps, speed, moments)
    steps, slow = _insert_moments(steps, recordings[0].dt, fps, moments) if moments else (steps, [speed == 1] * len(steps))
    notes = _notes(steps, slow, recordings[0].dt, fps, speed) if moments or titles is None else [""] * len(steps)
    frames_shown = list(zip(steps, notes, strict=True))
    titles = _default_titles(recordings) if titles is None else titles
    if len(titles) != len(recordings):
        raise ValueError(f"got {len(titles)} titles for {len(recordings)} recordings: give one for each.")
    if yaw is not None and not np.isfinite(yaw):
        raise ValueError(f"yaw={yaw}: expected a direction in degrees, such as 90.")
    yaw = np.radians(_default_yaw(recordings) if yaw is None else yaw)
    with atomic_write(path) as part:
        panels = [(run, width, height, yaw, title) for run, title in zip(recordings, titles, strict=True)]
        with render_pool(panels, workers) as render:
            list(render(frames_shown[:1], None))  # starts the workers, which is no part of the estimate
            begin = time.perf_counter()
            sample = list(render(frames_shown[:: max(1, len(steps) // 8)], None))
            if verbose:
                expected = (time.perf_counter() - begin) / len(sample) * len(steps)
                print(f"Rendering {len(steps)} frames, about {max(expected, 1):.0f} s ...", flush=True)
            palette = shared_palette(sample) if path.suffix.lower() in (".gif", ".png") else None
            frames = tqdm(
                render(frames_shown, palette), total=len(steps), leave=False, disable=None if verbose else True, unit=" frames"
            )
            write_frames(part, frames, fps, palette, _describe(recordings, min(steps), max(steps)))
    return path


def _choose_steps(recordings, path, width, height, fps, seconds, start, speed):
    """The step of each frame, or a ValueError about an argument of `animate`."""
    if not recordings:
        raise ValueError("recordings is empty: give at least one.")
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"'{path}' ends in '{path.suffix}': expected one of {', '.join(FORMATS)}.")
    if width < 64 or height < 64 or (path.suffix.lower() == ".mp4" and (width % 2 or height % 2)):
        raise ValueError(f"a frame is {width} x {height} pixels: expected at least 64 x 64, and even numbers for .mp4.")
    if not 1 <= fps <= 50 or not 0.01 <= speed <= 1000:
        raise ValueError(f"fps={fps}, speed={speed}: expected fps from 1 to 50, and speed from 0.01 to 1000.")
    if not 0 <= start < np.inf or (seconds is not None and not 0 < seconds < np.inf):
        raise ValueError(f"seconds={seconds}, start={start}: expected positive, finite numbers.")
    end = max(run.seconds for run in recordings)
    if start >= end:
        raise ValueError(f"start is {start} s, but the recording ends after {end:.1f} s: give an earlier one.")
    shown = min(end - start, np.inf if seconds is None else seconds)
    times = start + np.arange(max(1, round(shown * fps / speed))) * speed / fps
    steps = np.round(times / recordings[0].dt).astype(int).tolist()
    if shown == end - start and len(steps) > 1:
        steps[-1] = max(run.length for run in recordings)  # at a high speed, rounding could leave out the end
    return steps


def _choose_moments(recordings, film_seconds, speed, moments):
    """The number of moments at normal speed, or a ValueError."""
    most = int(film_seconds / MOMENT / 2)
    if moments is None:
        return min(3, most) if len(recordings[0].points) > 1 and speed > 2 and film_seconds >= 6 else 0
    if not 0 <= moments <= most:
        raise ValueError(f"moments is {moments}: expected 0 to {most}, so that they are at most half of {film_seconds:.1f} s.")
    return moments


def _insert_moments(steps, dt, fps, moments):
    """As many steps from the first to the last, with moments at normal speed, and which of them belong to a moment."""
    count, each = len(steps), round(MOMENT * fps)
    slow = np.zeros(count, bool)
    for middle in (np.arange(moments) + 0.5) * count / moments:
        slow[round(middle - each / 2) :][:each] = True
    normal = 1 / fps / dt
    fast = (steps[-1] - steps[0] - normal * slow[1:].sum()) / np.maximum((~slow[1:]).sum(), 1)
    advance = np.where(slow[1:], normal, fast)
    return np.round(steps[0] + np.append(0, np.cumsum(advance))).astype(int).tolist(), slow.tolist()


def _notes(steps, slow, dt, fps, speed):
    """What is said of the speed in each frame: nothing if it is always normal."""
    if all(slow):
        return [""] * len(steps)
    advances = [after - before for before, after, normal in zip(steps, steps[1:], slow[1:], strict=False) if not normal]
    fast = np.mean(advances) * dt * fps if any(slow) else speed  # moments make the rest faster than `speed`
    return ["normal speed" if normal else f"{fast:.2g} times as fast" for normal in slow]


def _default_titles(recordings):
    """The target for each of several recordings."""
    targets = [np.round(run.targets[0].astype(float), 1) + 0.0 for run in recordings]  # + 0.0 turns -0 into 0
    return ["target ({:g}, {:g})".format(*target) if len(recordings) > 1 else "" for target in targets]


def _describe(recordings, first, last):
    """An animation in words."""
    side = f"{len(recordings)} ants side by side: " if len(recordings) > 1 else ""
    text = f"Animation: {side}{'; '.join(map(describe_recording, recordings))}"
    dt, length = recordings[0].dt, max(run.length for run in recordings)
    return f"{text}.{'' if last >= length - 1 and first == 0 else f' Shown from {first * dt:.1f} to {last * dt:.1f} s.'}"


def _default_yaw(recordings):
    """The direction of the camera in degrees: from the right behind the ant, or +y for a path."""
    if len(recordings[0].points) > 1:
        return 90
    x, y = recordings[0].targets[0] - recordings[0].path[0] if len(recordings) == 1 else (1, 0)
    return np.degrees(np.arctan2(y, x)) + (20 if 1 < np.hypot(x, y) < SIGHT else 40)


# --- rendering in several processes ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def render_pool(
    panels: list[tuple], workers: int
) -> Iterator[Callable[[Sequence[tuple[int, str]], bytes | None], Iterable[Image.Image]]]:
    """A function ((step, note) of each frame, palette) -> iterable of frames in their order.

    They are rendered by `workers` processes or in this one.

    Args:
        panels: the arguments of a `Renderer` for each recording.
        workers: number of processes; 0 renders in this one.
    """
    if workers < 1:
        _make_renderers(panels)
        yield lambda frames, palette: map(_render_frame, frames, itertools.repeat(palette))
        _renderers.clear()
        return
    # processes and not threads, because Bullet's renderer holds Python's global lock
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(panels,))
    try:
        yield lambda frames, palette: pool.map(_render_frame, frames, itertools.repeat(palette), chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


_renderers: list[Renderer] = []
"""Renderers of this process, from left to right."""


def _make_renderers(panels):
    _renderers[:] = [Renderer(*panel) for panel in panels]


def _start_worker(panels):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    _make_renderers(panels)


def _render_frame(frame, palette):
    """All panels side by side after the steps of this frame, in RGB or, with a palette, in its colours."""
    gap, panels = 4, [renderer.render(*frame) for renderer in _renderers]
    sheet = Image.new("RGB", (sum(panel.width + gap for panel in panels) - gap, panels[0].height), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * (panel.width + gap), 0))
    if palette is None:
        return sheet
    like = Image.new("P", (1, 1))
    like.putpalette(palette)
    return sheet.quantize(palette=like, dither=Image.Dither.NONE)  # dithering flickers and makes a larger file


# --- files -----------------------------------------------------------------------------------------------------------------


def shared_palette(frames: Iterable[Image.Image], colors: int = 96) -> bytes:
    """The palette of some frames together, three bytes for each colour.  More colours hardly show and make a larger file."""
    sheet = np.concatenate([np.asarray(frame) for frame in frames])
    return bytes(Image.fromarray(sheet).quantize(colors, method=Image.Quantize.FASTOCTREE).getpalette() or ())


def write_frames(
    path: Path, frames: Iterable[Image.Image], fps: float, palette: bytes | None = None, description: str = ""
) -> None:
    """Writes frames as an animated image or a film.

    Args:
        path: file to write, with one of the suffixes in `FORMATS`.
        frames: images of one size, RGB, or indices into the palette if there is one.
        fps: frames a second.
        palette: three bytes for each colour, for .gif and .png.
        description: what they show, in words, which .gif and .png store.

    Raises:
        OSError: the file cannot be written to its end.
    """
    suffix, buffer = path.suffix.lower(), io.BytesIO()
    arrays = (np.asarray(frame) for frame in frames)
    if suffix == ".mp4":
        with iio.imopen(buffer, "w", extension=suffix, plugin="pyav") as film:
            film.init_video_stream("libx264", fps=float(fps), pixel_format="yuv420p")
            for array in arrays:
                film.write_frame(array)
    else:
        animation: Any
        with iio.imopen(buffer, "w", extension=suffix, plugin="pillow") as animation:
            images = list(arrays)
            # GIF counts hundredths of a second; rounding times and not durations keeps the speed
            durations = 10 * np.diff(np.round(100 / fps * np.arange(len(images) + 1)).astype(int))
            durations[-1] += 1000  # a rest before it starts again
            options: dict[str, Any] = {"quality": 75, "method": 3} if suffix == ".webp" else {}
            if suffix == ".gif" and description:
                options["comment"] = description.encode()
            elif suffix == ".png" and description:
                options["pnginfo"] = PngInfo()
                options["pnginfo"].add_itxt(DESCRIPTION, description)
            shown = durations.tolist() if len(images) > 1 else int(durations[0])  # of one image, Pillow takes a number only
            animation.write(images, mode="P" if palette else "RGB", duration=shown, loop=0, **options)
            for image in animation.images_to_write if palette else ():
                image.putpalette(palette)  # `write` takes arrays, which have none
    path.write_bytes(buffer.getvalue())  # a full disk is a plain OSError here; PyAV would hide it behind an error of its own


def show(image: str | Path, alt: str | None = None) -> "EmbeddedImage":
    """Embeds an animation in a notebook, with a description for readers who cannot see it.

    An animation moves in JupyterLab, VS Code, exported HTML and on GitHub.  Its bytes are stored as `image/png`, also those of
    a GIF: browsers look at the bytes and not at that name, while nbconvert, GitHub and Sphinx show no `image/gif` output at all
    (jupyter/nbconvert#2270).  GitHub removes `<video>` from notebooks (jupyter/notebook#2380), so .mp4 is not supported.

    Args:
        image: a .gif or .png file, such as `animate` returns.
        alt: the description, stored in the notebook as `output.metadata["image/png"]["alt"]`.  By default it is the one that
            `animate` stored in the file.

    Returns:
        an `IPython.display.Image`, which a notebook shows as the value of a cell.

    Raises:
        ValueError: the file is of another kind.
        FileNotFoundError: there is no such file.
    """
    from IPython.display import Image as EmbeddedImage

    path = Path(image)
    if path.suffix.lower() not in (".gif", ".png"):
        raise ValueError(f"'{path}' cannot be embedded so that it moves on GitHub: expected a .gif or .png file.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no animation '{path}': make it with animate().")
    return EmbeddedImage(data=path.read_bytes(), format="png", alt=alt or stored_description(path))


def stored_description(path: str | Path) -> str | None:
    """The description that `animate` stored in a .gif or .png file, or None."""
    with Image.open(path) as image:
        text = image.info.get(DESCRIPTION) or image.info.get("comment") or None
    return text.decode(errors="replace") if isinstance(text, bytes) else text


# --- command line ----------------------------------------------------------------------------------------------------------

MODEL = "random_circle_final"
"""Default model of the command line."""

ANY_POINT = ("RandomPoints", "FourFronts")
"""What the ids of environments have in their names in which a policy learns to get to any point."""

FILM_SECONDS = 14.0
"""Approximate duration of the animation of a path, which decides its speed."""


def main(
    model: str = MODEL,
    env: str = "",
    seed: int = 0,
    target: tuple[float, float] | None = None,
    points: int | None = None,
    seconds: float = 10.0,
    out: str = "",
) -> None:
    """Runs a saved policy and animates it.

    A policy trained for any point follows a path of random points, which is shown in fast motion from start to end.  Any other
    policy runs one episode, of which the start is shown.

    Args:
        model: Name of a run or a shipped model, its folder, or a path without "_actor".
        env: Id of the environment.  The default is the one in which the policy was trained.
        seed: Seed of the random points and of the episode.
        target: Target of one episode, in metres.  The default is the environment's own.
        points: Number of random points, 5 to 28 m apart.  0 is one episode without them, the default for a policy trained for
            one target.
        seconds: Simulated time to show of an episode without random points.
        out: File to write, .gif, .png, .webp or .mp4.  The default is animations/my_ant_path.gif or animations/my_ant_run.gif.
    """
    env = env or training_env(model)
    if points is None:
        points = 20 if any(word in env for word in ANY_POINT) and target is None else 0
    if points < 0 or (points and target is not None):
        raise ValueError(f"points is {points} and target is {target}: expected a number of random points, or a target.")
    policy = load_policy(model, env)
    path = random_path(points, seed=seed) if points else None
    run = record(policy, env, seed, max_steps=1000 * max(points, 1), target=target, path=path)
    if points:
        end = f"it fell on the way to point {len(run.points)}" if run.fell else "it did not fall"
        print(f"{run.points_reached} of {points} points in {run.length} steps ({run.seconds:.1f} s, {end})")
        options: dict[str, Any] = {"fps": 12, "speed": max(1, round(run.seconds / FILM_SECONDS))}
    else:
        end = "it fell" if run.fell else "it did not fall"
        print(f"return {run.total_reward:,.0f} in {run.length} steps ({run.seconds:.1f} s, {end})")
        print(f"distance {run.distance:.1f} m, mean speed {run.speed:.2f} m/s")
        options = {"seconds": seconds}
    print(animate(run, out or f"animations/my_ant_{'path' if points else 'run'}.gif", **options))


if __name__ == "__main__":
    run_cli(main, prog="python -m viewing.animation")
