"""Pictures of the pages that GitHub does not run, for the notebooks: `python scripts/screenshots.py`, which needs Chromium.

It writes animations/replay_3d.png and animations/steering_page.png from the pages as they are, so run it after a change of them.
If there is a folder runs/base_ant, which the first notebook leaves, it also writes animations/tensorboard.png.
"""

import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser, wait  # type: ignore[import-not-found]  # of tests/

from utils import UNSEEN_SEED, load_policy
from viewing.recording import record
from viewing.scene3d import save_html
from viewing.server import serving
from viewing.steer import Simulation, SteeringApp

CLOSE_NOTES = "document.querySelectorAll('[class*=Notification-closeButton]').forEach(button => button.click())"
"""Takes away the note about software rendering, which a reader with a GPU does not see."""


def shot(url: str, path: Path, width: int, height: int, ready: Callable[[], bool] = lambda: True) -> None:
    """Opens a page, waits until the ant is in sight and then until `ready()`, and writes a picture of the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder, width, height)
        try:
            browser.open(url)
            wait(lambda: _orange(browser.screenshot()) > 0.0005, 120, f"there is no ant on {url}")
            browser.evaluate(CLOSE_NOTES)
            time.sleep(4)  # until the page has faded in, and the note has faded out
            wait(ready, 120, "the ant did not get there")
            picture = Image.fromarray(browser.screenshot())
        finally:
            browser.close()
    picture.save(path, optimize=True)  # without a palette, which would show as steps in the haze
    print(f"{path.relative_to(ROOT)}, {path.stat().st_size / 1e3:.0f} kB")


def _orange(image):
    """The share of the pixels that have the colour of the ant's legs."""
    return (image.astype(int)[..., 0] - image[..., 2] > 60).mean()


def replay() -> None:
    """The recording of section 3 of the fifth notebook, some seconds after its start."""
    policy, env = load_policy("random_circle_final"), "MyAntRandomPointsBulletEnv-v0"
    run = record(policy, env, UNSEEN_SEED, target=(-12, 9), stop_at_target=1.0)
    with tempfile.TemporaryDirectory() as folder:
        page = save_html(run, Path(folder, "replay.html"))
        shot(page.as_uri(), ROOT / "animations/replay_3d.png", 900, 420)


def steering_page() -> None:
    """The page with an ant on its way along three points."""
    simulation = Simulation({"any point": load_policy("random_circle_final")})
    with serving() as server:
        app, stop = SteeringApp(server, simulation), threading.Event()
        for k, point in enumerate([(7.0, 2.0), (11.0, 5.0), (16.0, 1.0)]):
            simulation.add_target(*point, append=k > 0)
        app.paused = True
        thread = threading.Thread(target=lambda: app.run(stop=stop))
        thread.start()

        def on_its_way():
            app.paused = bool(np.hypot(*simulation.position()) > 3.5)
            return app.paused

        try:
            address = f"http://127.0.0.1:{server.get_port()}"
            shot(address, ROOT / "animations/steering_page.png", 1280, 657, on_its_way)
        finally:
            stop.set()
            thread.join()
            simulation.close()


def tensorboard() -> None:
    """TensorBoard with the mean return and Q of the run of the first notebook."""
    if not (ROOT / "runs" / "base_ant").exists():
        print("There is no runs/base_ant, so animations/tensorboard.png stays as it is.")
        return
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", "runs", "--host", "127.0.0.1", "--port", "6111"]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    chosen = "darkMode=false&smoothing=0&runFilter=base_ant&tagFilter=eval%2Fmean_return%7Ctrain%2FQ"
    path = ROOT / "animations/tensorboard.png"
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            browser = Browser(folder, 1100, 860)
            try:
                wait(lambda: _answers("http://127.0.0.1:6111"), 60, "TensorBoard did not start")
                browser("Page.navigate", url=f"http://127.0.0.1:6111/?{chosen}#timeseries")  # it changes the address itself
                plots = "document.querySelectorAll('scalar-card canvas, scalar-card svg').length"
                wait(lambda: browser.evaluate(plots), 60, "no plot")
                time.sleep(8)  # until the curves are drawn
                Image.fromarray(browser.screenshot()).save(path, optimize=True)
            finally:
                browser.close()
    finally:
        server.terminate()
        server.wait()
    print(f"{path.relative_to(ROOT)}, {path.stat().st_size / 1e3:.0f} kB")


def _answers(url):
    """Whether there is a server."""
    try:
        urllib.request.urlopen(url)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    replay()
    steering_page()
    tensorboard()
