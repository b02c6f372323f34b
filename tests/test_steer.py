"""The steering page: targets and falls, clicks in a real browser, and many viewers at once."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import psutil
import pytest
import viser
import zstandard
from browser import CHROMIUM, Browser, wait
from conftest import ROOT
from helpers import Still
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks import steer_load
from training.cli import run_cli
from utils import load_policy
from viewing import steer, style
from viewing.server import MAX_MESSAGES_PER_SECOND, serving
from viewing.steer import Simulation, SteeringApp


@pytest.fixture(scope="module")
def runner():
    return load_policy("random_circle_final")


@pytest.fixture
def simulation(runner):
    """Its policy "still" lets the ant drop to the ground, which counts as a fall."""
    simulation = Simulation({"runner": runner, "still": Still()})
    yield simulation
    simulation.close()


# --- the simulation --------------------------------------------------------------------------------------------------------


def test_the_last_point_counts_once_and_no_point_twice(simulation, monkeypatch):
    """The ant stands on the points, one after the other."""
    monkeypatch.setattr(type(simulation.env.robot), "distance_to_target", lambda robot: 0.5)
    simulation.add_target(4, 0)
    counts = []
    for _ in range(3):
        simulation.step()
        counts.append(simulation.reached)
    assert counts == [1, 1, 1] and list(simulation.targets) == [(4, 0)]
    simulation.add_target(5, 0, append=True)
    for _ in range(3):
        simulation.step()
        counts.append(simulation.reached)
    assert counts[3:] == [1, 2, 2] and list(simulation.targets) == [(5, 0)]


def test_the_ant_reaches_its_targets_one_after_the_other(simulation):
    simulation.add_target(4, 0)
    simulation.add_target(8, 1, append=True)
    assert list(simulation.targets) == [(4, 0), (8, 1)]
    for _ in range(600):
        simulation.step()
        if simulation.reached:
            break
    assert simulation.reached == 1 and np.hypot(simulation.position()[0] - 4, simulation.position()[1]) < 1.1
    assert list(simulation.targets) == [(8, 1)] and simulation.env.robot.walk_target_x == 8
    simulation.add_target(-3, 2)
    assert list(simulation.targets) == [(-3, 2)] and simulation.env.robot.walk_target_x == -3


@pytest.mark.parametrize("wrong", [(np.nan, 0), (0, np.inf)])
def test_a_target_that_is_not_finite_is_refused_and_changes_nothing(simulation, wrong):
    before = list(simulation.targets)
    for append in (False, True):
        with pytest.raises(ValueError, match="expected two finite numbers"):
            simulation.add_target(*wrong, append)
    assert list(simulation.targets) == before


def test_the_number_of_targets_is_limited(simulation):
    for k in range(steer.MAX_TARGETS + 20):
        simulation.add_target(k, 0, append=True)
    assert len(simulation.targets) == steer.MAX_TARGETS


def test_a_fallen_ant_lies_for_a_second_and_starts_again(simulation):
    simulation.policy = simulation.policies["still"]
    while not simulation.falls:
        simulation.step()
    lying = simulation.position()
    for _ in range(steer.STEPS_PER_SECOND - 1):
        simulation.step()
        assert simulation.position() == lying
    simulation.step()
    assert np.hypot(*simulation.position()) < 0.1 and simulation.falls == 1 and not simulation.fallen_steps_left


def test_a_push_moves_the_ant(simulation):
    """A second later, the position differs from that of the same steps without a push."""
    ends = []
    for pushed in (False, True):
        simulation.reset()
        for k in range(90):
            if pushed and k == 30:
                simulation.push()
            simulation.step()
        ends.append(simulation.position())
    assert np.hypot(*np.subtract(*ends)) > 0.3


# --- the page --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def app(simulation):
    with serving() as server:
        yield SteeringApp(server, simulation), server.get_port()


def ray(origin, direction):
    return SimpleNamespace(ray_origin=origin, ray_direction=direction)


def test_a_click_makes_a_target_of_the_point_on_the_ground(app, simulation, clock):
    app, _ = app
    app.scene.set_pose(np.tile(np.float32([0, 0, 0.5, 0, 0, 0, 1]), (21, 1)), (10, 20))  # the world has moved under the ant
    app.click(ray((0, 0, 2), (1, 0.5, -0.5)), append=False)
    app.run_pending()
    np.testing.assert_allclose(simulation.targets[0], (10 + 4, 20 + 2))
    for nowhere in (
        ray((0, 0, 2), (1, 0, 0.1)),
        ray((0, 0, 2), (1, 0, -0.001)),
        ray((0, 0, 2), (1, 0, 0)),
        ray((0, 0, np.nan), (1, 0, -1)),
        ray((0, np.inf, 2), (1, np.nan, -1)),
    ):
        app.click(nowhere, append=False)
    app.run_pending()
    np.testing.assert_allclose(list(simulation.targets), [(14, 22)])


class Clock:
    """Time that passes only while somebody sleeps, so that a test does not depend on how busy the machine is."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 1e-4)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(steer, "time", clock)
    return clock


def test_the_page_runs_in_real_time(app, simulation, clock):
    """60 steps a second, a quarter of that in slow motion, and none in a pause."""
    app, _ = app
    assert app.run(2.0) == pytest.approx(2.0 * steer.STEPS_PER_SECOND, abs=2)
    app.slow = True
    assert app.run(2.0) == pytest.approx(0.5 * steer.STEPS_PER_SECOND, abs=2)
    app.paused = True
    assert app.run(0.5) == 0
    assert "reached" in app.status.content


def test_the_plot_and_the_trail_end_now(app, simulation, clock):
    app, _ = app
    app.run(13.0)
    app.update_trail()
    app.update_plot()
    times = app.plot.data[0]
    assert -steer.SECONDS_SHOWN <= times[0] < -9 and -0.3 < times[-1] <= 0 and len(app.plot.data) == 1 + len(steer.LINES)
    trail = app.scene.trail.points[:, :2]
    np.testing.assert_allclose(trail[0], simulation.position(), atol=1e-5)
    assert np.linalg.norm(trail[-1]) < 0.2 and np.linalg.norm(np.diff(trail, axis=0), axis=1).max() < 1
    simulation.step()
    app.update_trail()
    assert (app.scene.trail.points[1:9, :2] == trail[1:9]).all(), "what was drawn has moved"


def test_the_text_says_what_happens(app, simulation, clock):
    app, _ = app

    def text():
        app.update_plot()
        return app.status.content

    assert text() == "**6.0 m to go**, points in the path: 1  \npoints reached: 0, falls: 0"
    simulation.add_target(0.2, 0)
    simulation.step()
    assert text() == "**It is there.** Choose the next point.  \npoints reached: 1, falls: 0"
    simulation.policy = simulation.policies["still"]
    while not simulation.falls:
        simulation.step()
    assert text() == "**It has fallen** and starts again.  \npoints reached: 1, falls: 1"


def test_a_command_that_raises_does_not_stop_the_next_one(app, simulation, caplog, clock):
    app, _ = app
    app.submit(lambda: simulation.add_target(np.nan, 0))
    app.submit(lambda: simulation.add_target(3, 4))
    app.run_pending()
    assert list(simulation.targets) == [(3, 4)]
    assert len(caplog.records) == 1 and "A command from the page was dropped: ValueError(" in caplog.text


def test_a_flood_of_slow_commands_does_not_stop_the_ant(app, clock):
    """They get a part of the time of each step, and those beyond `MAX_COMMANDS` are dropped."""
    app, _ = app
    for _ in range(steer.MAX_COMMANDS + 500):
        app.submit(lambda: clock.sleep(0.002))
    assert app.commands.qsize() == steer.MAX_COMMANDS
    assert app.run(1.0) == pytest.approx(steer.STEPS_PER_SECOND, abs=6)
    assert not app.commands.empty(), "the commands would have taken longer than the second"


@pytest.mark.parametrize("arguments, opened", [({}, True), ({"browser": False}, False)])
def test_a_browser_opens_where_there_is_a_screen(arguments, opened, monkeypatch, capsys):
    pages = []
    monkeypatch.setattr(steer.webbrowser, "open", pages.append)
    monkeypatch.setenv("DISPLAY", ":0")
    steer.steer("base_ant_final", port=0, seconds=0.1, **arguments)
    assert (len(pages) == 1 and pages[0] in capsys.readouterr().out) if opened else not pages


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows always have a screen")
def test_no_browser_opens_without_a_screen(monkeypatch):
    pages = []
    monkeypatch.setattr(steer.webbrowser, "open", pages.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    steer.open_browser("http://127.0.0.1:8008")
    assert not pages


class Viewer:
    """A client that reads what the page is told.

    Attributes:
        controls: {label: uuid} of buttons, checkboxes and menus.
        changed: uuids of everything that was changed on the page, in order.
    """

    def __init__(self, port):
        self.socket = connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None)
        self.controls, self.changed = {}, []
        threading.Thread(target=self.read, daemon=True).start()
        wait(lambda: "back to the start" in self.controls, 60, "the page has no controls")
        self.send(CAMERA)

    def read(self):
        with contextlib.suppress(ConnectionClosed):
            for frame in self.socket:
                packed = frame[16 : 16 + int.from_bytes(frame[8:16], "little")]
                for message in msgspec.msgpack.decode(zstandard.decompress(packed))["messages"]:
                    if message["type"] == "GuiUpdateMessage":
                        self.changed.append(message["uuid"])
                    elif "label" in message.get("props", {}):
                        self.controls[message["props"]["label"]] = message["uuid"]

    def send(self, message):
        self.socket.send(pack(message))

    def set(self, label, value):
        """Uses a control."""
        self.send({"type": "GuiUpdateMessage", "uuid": self.controls[label], "updates": {"value": value}})


def pack(message):
    """A message as it is sent: a dictionary encoded, anything else as it is."""
    return msgspec.msgpack.encode(message) if isinstance(message, dict) else message


CAMERA = {
    "type": "ViewerCameraMessage", "wxyz": [1, 0, 0, 0], "position": [0, 0, 3], "look_at": [1, 0, 0], "up_direction": [0, 0, 1],
    "fov": 1, "near": 0.1, "far": 100, "image_height": 300, "image_width": 400,
}  # fmt: skip
CLICK = {"type": "ScenePointerMessage", "event_type": "click", "screen_pos": [[0.5, 0.5]], "modifier": None}


def test_the_controls(app, simulation):
    app, port = app
    viewer, before = Viewer(port), simulation.state
    for label, value, done in (
        ("policy", "still", lambda: simulation.policy is simulation.policies["still"]),
        ("pause", True, lambda: app.paused),
        ("slow motion", True, lambda: app.slow),
        ("push", True, lambda: simulation.push_steps_left),
        ("back to the start", True, lambda: simulation.state is not before),
    ):
        viewer.set(label, value)
        wait(lambda done=done: app.run_pending() or done(), 10, f"{label} did nothing")
    viewer.socket.close()


@pytest.mark.parametrize("wrong", [{"up_direction": [0, 0, 0]}, {"look_at": CAMERA["position"]}], ids=lambda wrong: [*wrong][0])
def test_a_phone_whose_camera_looks_nowhere_prints_nothing(app, capfd, wrong):
    """viser cannot move such a camera."""
    _, port = app
    with connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None) as client:
        client.send(pack(CAMERA | {"image_height": 2000} | wrong))
        time.sleep(0.5)
    assert tuple(capfd.readouterr()) == ("", "")


def nonsense(controls):
    """Messages that a page does not send, and some that it could."""

    def control(label, **updates):
        return {"type": "GuiUpdateMessage", "uuid": controls[label], "updates": updates}

    return [
        "text",
        b"",
        b"\xff" * 1000,
        b"\x91" * 60_000 + b"\x90",  # lists in lists
        {"type": "ShareUrlRequest"},
        {"type": "RunJavascriptMessage", "source": "alert(1)"},
        {"type": "GuiUpdateMessage", "uuid": "nothing", "updates": {"value": True}},
        control("policy", value="nobody"),
        control("policy", value=True),
        control("policy", value={"a": [1]}),
        control("policy", options=[]),
        control("pause", value="yes"),
        control("pause", update_cb=True),
        control("push", value=[None]),
        CLICK | {"ray_origin": [0, 0, 3], "ray_direction": None},
        CLICK | {"ray_origin": [0, 0, np.nan], "ray_direction": [1, 0, -1]},
        CLICK | {"ray_origin": [0, 0, 1e9], "ray_direction": [1, 0, -5e-324]},  # meets the ground, too far away for a number
        CAMERA | {"wxyz": [np.inf, 0, 0, 0]},
    ]


SLOWEST = 40
"""Steps a second of an ant that is not held up: 60, or somewhat fewer on a busy machine.  A flood that gets through leaves 30."""


@pytest.mark.slow
def test_a_thousand_of_each_nonsense_message_neither_stop_the_ant_nor_print_a_word(capfd):
    """Each kind has a connection of its own.  Frames of 200 MB end theirs, so each is sent on a new one."""
    with steer_load.server_process("my_ant_final") as (port, ask):
        viewer = Viewer(port)

        def send(message):
            client = steer_load.Visitor(port)
            for _ in range(1000):
                client.socket.send(pack(message))
            client.socket.close()

        kinds = nonsense(viewer.controls)
        threads = [threading.Thread(target=send, args=[message]) for message in kinds]
        steps, _, memory, clock = ask()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for _ in range(50):
            client = connect(f"ws://127.0.0.1:{port}", subprotocols=[f"viser-v{viser.__version__}"], max_size=None)
            with contextlib.suppress(OSError):
                client.socket.sendall(b"\x82\xff" + (200_000_000).to_bytes(8, "big") + bytes(100_000))
            client.close()
        steps_now, arrived, memory_now, clock_now = ask()
        assert (steps_now - steps) / (clock_now - clock) > SLOWEST and memory_now - memory < 40e6
        assert not arrived and not set(viewer.changed) & set(viewer.controls.values())
        viewer.send(CLICK | {"ray_origin": [0, 0, 3], "ray_direction": [1, 0, -1]})
        wait(lambda: ask()[1] == 1, 10, "a click does not arrive any more")
        viewer.socket.close()
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.slow
def test_eight_viewers_click_and_vanish_and_the_simulation_keeps_its_pace():
    """60 steps a second, every click arrives, and memory does not grow.  A full minute of it: benchmarks/steer_load.py."""
    result = steer_load.load(seconds=8, model="my_ant_final", vanishing=20)
    assert result.clicks == result.arrived == 800 and result.lost == 20
    assert SLOWEST < np.mean(result.rates) < 62, result.rates
    assert result.memory[-1] - result.memory[2] < 40e6


@pytest.mark.slow
def test_a_flood_of_clicks_waits_at_the_sender():
    """Without a limit of messages a second, the ant has half of its speed."""
    with steer_load.server_process("my_ant_final") as (port, ask):
        visitor, stop = steer_load.Visitor(port), threading.Event()

        def flood():
            with contextlib.suppress(ConnectionClosed):
                while not stop.is_set():
                    visitor.click((1.0, 0.0, -0.4))

        thread = threading.Thread(target=flood)
        thread.start()
        time.sleep(1)
        steps, arrived, _, clock = ask()
        time.sleep(3)
        steps_now, arrived_now, _, clock_now = ask()
        stop.set()
        visitor.cut()
        thread.join(10)
        seconds = clock_now - clock
        assert (steps_now - steps) / seconds > SLOWEST
        assert 0 < (arrived_now - arrived) / seconds < 1.1 * MAX_MESSAGES_PER_SECOND


class Page:
    """A page and its browser, the same ones for all tests, with an ant that waits.

    Args:
        policy: of the ant.
        folder: for the files of the browser.
        stack: closes everything.
    """

    def __init__(self, policy, folder, stack):
        self.simulation = Simulation({"runner": policy})
        stack.callback(self.simulation.close)
        server = stack.enter_context(serving())
        self.address, self.app = f"http://127.0.0.1:{server.get_port()}", SteeringApp(server, self.simulation)
        self.app.paused, stop = True, threading.Event()
        thread = threading.Thread(target=lambda: self.app.run(stop=stop))
        thread.start()
        stack.callback(lambda: (stop.set(), thread.join(10)))
        self.browser = Browser(folder)
        stack.callback(self.browser.close)

    def resize(self, width, height, touch):
        self.browser("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)

    def open(self, width, height, touch=False, dark=False):
        """Opens the page anew in a window of that size in pixels, on a phone or in a dark theme, with the ant at the start."""
        self.app.paused = True
        self.app.submit(lambda: (self.simulation.add_target(6, 0), self.simulation.reset()))
        self.browser.open("about:blank")
        self.resize(width, height, touch)
        self.browser("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser("Emulation.setEmulatedMedia", features=[scheme])
        self.browser.open(self.address)
        wait(self.is_drawn, 90, "no ant and no tiles in sight")

    def close_note(self):
        """Closes viser's note about a missing GPU, if there is one, as a reader would."""
        buttons = "document.querySelectorAll('[class*=Notification-closeButton]')"
        self.browser.evaluate(f"{buttons}.forEach(button => button.click())")
        wait(lambda: self.browser.evaluate(f"{buttons}.length") == 0, 10, "the note does not close")

    def is_drawn(self):
        image = self.browser.screenshot().astype(int)
        orange = (image[..., 0] - image[..., 2] > 60).mean()
        return orange > 0.0005 and min(share(image, style.LIGHT_TILE), share(image, style.DARK_TILE)) > 0.02


def share(image, color):
    """The share of the pixels that have a colour."""
    return (np.abs(image - color).max(axis=2) <= 4).mean()


@pytest.fixture(scope="module")
def page(runner, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Page(runner, tmp_path_factory.mktemp("page"), stack)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("touch", [False, True], ids=["laptop", "phone"])
def test_a_click_in_a_real_browser_sends_the_ant_there(page, touch):
    """The click is on the ground some ten metres ahead of the ant and to its left.  Without a further point, it counts too."""
    page.open(*((420, 800) if touch else (1100, 700)), touch)
    simulation, reached = page.simulation, page.simulation.reached
    page.browser.click(*((200, 300) if touch else (330, 230)))
    wait(lambda: list(simulation.targets) != [(6, 0)], 20, "the click did not arrive")
    target, page.app.paused = simulation.targets[0], False
    assert np.hypot(*np.subtract(target, simulation.position())) < steer.MAX_CLICK_DISTANCE
    if not touch:
        wait(lambda: np.hypot(*np.subtract(simulation.path[-1], target)) < 1.0, 60, f"the ant did not get to {target}")
        text = f"points reached: {reached + 1}"
        wait(lambda: text in page.browser.evaluate("document.body.innerText"), 20, "the point did not count")
    assert not page.browser.errors


SCROLLS = """[...document.querySelectorAll("*")].filter(element => element.scrollHeight > element.clientHeight + 1
    && element.clientHeight && ["auto", "scroll"].includes(getComputedStyle(element).overflowY))
    .map(element => element.className)"""
"""JavaScript: the elements that are too small for what is in them."""

OUTSIDE = """[...document.querySelectorAll("button, input, label, p, b, .hint, .u-label")].filter(element => {
    const {left, top, right, bottom, width} = element.getBoundingClientRect();
    return width && (left < 0 || top < 0 || right > innerWidth || bottom > innerHeight);
}).map(element => element.outerHTML)"""
"""JavaScript: the texts and controls that are partly outside of the window."""

COVERED = """(() => {
    const hint = document.querySelector(".hint").getBoundingClientRect();
    return [...document.querySelectorAll("button, input, label, p, [class*=Notification-root]")].filter(element => {
        const {left, top, right, bottom, width} = element.getBoundingClientRect();
        return width && left < hint.right && right > hint.left && top < hint.bottom && bottom > hint.top;
    }).map(element => element.outerHTML)
})()"""
"""JavaScript: the texts and controls at the place of the hint."""

CONTRASTS = """(() => {
    const numbers = color => (color.match(/[\\d.]+/g) || []).map(Number);
    const light = color => numbers(color).slice(0, 3).map(c => c / 255)
        .map(c => c > 0.04045 ? ((c + 0.055) / 1.055) ** 2.4 : c / 12.92)
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0.05);
    const behind = element => {
        const color = getComputedStyle(element).backgroundColor;
        return numbers(color)[3] === 0 && element.parentElement ? behind(element.parentElement) : color;
    };
    return [...document.querySelectorAll("#root *")]
        .filter(e => !e.closest("[class*=Notification]"))  // viser's note about a missing GPU
        .filter(e => e.getClientRects().length && [...e.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .map(e => [light(getComputedStyle(e).color), light(behind(e)), e.innerText])
        .map(([a, b, text]) => [Math.max(a, b) / Math.min(a, b), text]);
})()"""
"""JavaScript: the contrast of each text with what is behind it, as WCAG defines it, from 1 to 21, and the text."""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(
    "windows, touch, dark",
    [
        ([(1280, 657), (1280, 800), (900, 660), (1024, 600)], False, False),  # the third is in a notebook
        ([(1280, 657)], False, True),
        ([(390, 844)], True, False),
        ([(844, 390), (667, 331)], True, True),
    ],
    ids=["light", "dark", "phone", "phone-sideways-dark"],
)
def test_the_page_fits_can_be_read_and_looks_like_the_films(page, windows, touch, dark):
    """Nothing is cut off or covered, text stands out, and tiles, sky and flag have their colours."""
    page.open(*windows[0], touch, dark)
    browser = page.browser
    for width, height in windows:
        page.resize(width, height, touch)
        wait(page.is_drawn, 60, "no tiles in sight")
        assert browser.evaluate(COVERED) == [], "by viser's note about a missing GPU, if there is one"
        page.close_note()
        wait(lambda: browser.evaluate(SCROLLS) == [], 10, f"something scrolls at {width} x {height}")
        image = browser.screenshot().astype(int)
        assert share(image, style.SKY) > (0.005 if touch else 0.03)
        assert (image[..., 1] - image[..., [0, 2]].max(axis=2) > 15).sum() > 50, "no green flag in sight"
        text = browser.evaluate("document.body.innerText")
        words = ["m to go", "points reached", "policy", "world", "back to the start"]
        words += ["Tap the ground"] if touch else ["Click the ground"]
        assert all(word in text for word in words) and ("joints_at_limit" in text) == (not touch and height >= 650)
        assert browser.evaluate(OUTSIDE) == [] and browser.evaluate(COVERED) == []
        assert not [each for each in browser.evaluate(CONTRASTS) if each[0] < 4]
        assert (image[-20:, -20:].mean() < 100) == dark, "the corner of the controls"
    assert not browser.errors


def test_a_policy_with_four_fronts_runs_to_a_point_behind_it():
    """The ant of the page has one front, so this policy has to turn what it sees and what it does by itself."""
    simulation = Simulation({"four fronts": steer.load_steered("four_fronts_final")})
    simulation.add_target(-5, 0)
    for _ in range(250):
        simulation.step()
    assert simulation.reached == 1 and simulation.falls == 0
    simulation.close()


# --- start and end ---------------------------------------------------------------------------------------------------------


def start(*arguments):
    """`python -m viewing.steer` in a process of its own, and the first line that it prints."""
    command = [sys.executable, "-X", "faulthandler", "-m", "viewing.steer", "--model", "base_ant_final", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def ended(process):
    """Waits for the end of such a process, and returns its outputs.  If it does not end, the failure says where it hangs."""
    try:
        return process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(process.communicate()[1])


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_process_or_a_port_left_and_a_second_one_uses_another_port(how):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    first, words = start("--port", str(port))
    second, words_of_second = start("--port", str(port))
    try:
        assert f"http://127.0.0.1:{port}." in words and is_open(port)
        assert f"(port {port} is taken)" in words_of_second and "http://127.0.0.1:" in words_of_second
        other = int(words_of_second.split("127.0.0.1:")[1].split()[0].rstrip("."))
        assert other != port and is_open(other)
        children = [child for each in (first, second) for child in psutil.Process(each.pid).children(recursive=True)]
        for each in (first, second):
            each.send_signal(how)
            out, err = ended(each)
            assert each.returncode == 0 and out == "The page is closed.\n" and err == ""
        assert not is_open(port) and not is_open(other) and not any(child.is_running() for child in children)
    finally:
        first.kill()
        second.kill()


def test_it_listens_beyond_this_machine_only_when_asked_and_then_says_so(capsys):
    steer.steer("base_ant_final", host="0.0.0.0", port=0, seconds=0.2)
    assert "anyone who reaches this machine over the network can steer the ant too" in capsys.readouterr().out
    steer.steer("base_ant_final", port=0, seconds=0.2)
    assert "network" not in capsys.readouterr().out


def test_bad_input_is_named_in_one_sentence(monkeypatch):
    for arguments, message in (
        (["--model", "nobody"], "There is no checkpoint 'nobody'"),
        (["--port", "99999"], "port is 99999: expected 0 to 65535"),
        (["--host", "10.9.9.9"], "host is '10.9.9.9'"),
    ):
        monkeypatch.setattr(sys, "argv", ["steer", *arguments])
        with pytest.raises(SystemExit, match=message):  # which Python prints, with exit code 1
            run_cli(steer.steer)
