"""The page on which the ant walks in the browser: the physics and the environment against Python's, and the page in real browsers."""

import base64
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser, wait
from conftest import ROOT
from firefox import FIREFOX, XVFB, Firefox
from gymnasium.utils.seeding import np_random
from helpers import Linear, near_color

from override_ant_four_fronts import FourFronts, facing_side
from override_ant_random_points import RADIUS
from page import article, build, bullet, record_fixtures
from TD3 import TD3
from utils import UNSEEN_SEED, load_policy
from viewing.directions import eval_directions
from viewing.web_export import PAGE, export_actor, export_html, show_html

MISSING = [program for program in ("em++", "npm", "node") if not shutil.which(program)]
MODEL = "random_circle_final"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site():
    """The folder of the built page.  The first build takes a minute or two, later ones a second."""
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}, with which the page is built")
    return build.build()


@pytest.fixture(scope="module")
def address(site):
    """The address of a server of the page."""
    with build.server_of(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def start_node(*arguments, script=None):
    """Starts a program for Node, and returns a function () -> the JSON that it writes, which should be less than 60 kB."""
    command = ["node", "--input-type=module", "-e", script, *arguments] if script else ["node", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, text=True, **pipes)

    def result():
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
        return json.loads(out)

    return result


def node(*arguments, script=None):
    """The JSON that a program for Node writes."""
    return start_node(*arguments, script=script)()


# --- building --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("present, missing", [([], "npm"), (["npm"], "em\\+\\+")])
def test_a_missing_program_ends_in_a_sentence(tmp_path, present, missing):
    for name in present:
        (tmp_path / name).touch(0o755)
    command = [sys.executable, "-m", "page.build", "--no-serve"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"'{missing}' is missing: install [^\n]+, then run the same command again\.\n", done.stderr)


@pytest.mark.parametrize("taken", [False, True])
def test_the_page_is_served_until_ctrl_c(site, taken):
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] if taken else 0
        command = [sys.executable, "-m", "page.build", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = [process.stdout.readline(), process.stdout.readline()]
        address = re.search(r"http://127\.0\.0\.1:\d+", lines[1])[0]
        assert (f"(port {port} is taken)" in lines[1]) == taken
        answer = urllib.request.urlopen(f"{address}/bullet.wasm")
        assert answer.headers["Content-Type"] == "application/wasm" and answer.read() == (site / "bullet.wasm").read_bytes()
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, error) == (0, "It is no longer served.\n", "")


def test_what_is_up_to_date_is_not_compiled_again(site, monkeypatch):
    commands = []
    monkeypatch.setattr(bullet, "run", lambda command, **kwargs: commands.append(command))
    assert bullet.build() == (bullet.CACHE / "bullet.mjs", bullet.CACHE / "bullet.wasm")
    assert commands == []


def test_the_sources_have_the_version_of_the_physics_that_python_has():
    assert bullet.PYBULLET.split()[0] in (ROOT / "pyproject.toml").read_text()


def test_the_licences_are_beside_the_page(site):
    text = (site / "licenses.txt").read_text()
    for words in ("Bullet Continuous Collision Detection", "three.js authors", "Emscripten authors", "Syoyo Fujita"):
        assert words in text
    assert "three.js authors" in (site / "ant.html").read_text(), "inside the self-contained page as well"


# --- the environment -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def episode(tmp_path_factory):
    path = tmp_path_factory.mktemp("fixtures") / "episode.json"
    record_fixtures.record(path)
    return path


def test_the_recorded_episode_has_what_is_to_be_compared(episode):
    steps = json.loads(episode.read_text())["steps"]
    assert len(steps) == 300
    assert len({tuple(step["target"]) for step in steps}) == 3, "a target was reached, and another one was set"
    feet = np.array([step["feet_contact"] for step in steps])
    assert feet.any(axis=0).all() and not feet.all(axis=0).any()
    for term in ("electricity", "joints_at_limit", "progress", "angle_progress"):
        assert np.ptp([step["terms"][term] for step in steps]) > 0.05, term


def test_the_javascript_environment_does_what_the_python_one_does(site, episode):
    """In metres and radians: the first eight steps to 1e-12, and each step from a recorded state to 1e-9."""
    report = node("page/compare.mjs", episode)
    assert report["first"] == 0 and len(report["free"]) == len(report["single"]) == 300
    for steps, limit in ((report["free"][:8], 1e-12), (report["single"], 1e-9)):
        for quantity, tolerance in {"physics": limit, "terms": limit, "reward": limit, "target": limit}.items():
            assert max(step[quantity] for step in steps) <= tolerance, quantity
        assert max(step["state"] for step in steps) <= 1e-6, "an observation is float32"
        assert not any(step["feet"] or step["terminated"] for step in steps)


def test_javascript_policies_score_as_python_ones(site, tmp_path):
    """72 directions, 28.3 m: all are reached in both, and the medians are within 2 %."""
    angles = 2 * np.pi * np.arange(72) / 72
    starts = [
        {
            "target": (RADIUS * np.array([np.cos(angle), np.sin(angle)])).tolist(),
            "joints": np_random(UNSEEN_SEED + k)[0].uniform(-0.1, 0.1, 8).tolist(),  # as the Python environment draws them
        }
        for k, angle in enumerate(angles)
    ]
    (tmp_path / "starts.json").write_text(json.dumps(starts))
    checkpoint = ROOT / "models" / MODEL / "best_actor"
    javascript = start_node("page/score.mjs", tmp_path / "starts.json", checkpoint)
    python = eval_directions(load_policy(MODEL), count=72, seed=UNSEEN_SEED)
    (episodes,) = javascript().values()
    assert all(each["reached"] for each in episodes) and python.reached.all()
    median = np.median([each["steps"] for each in episodes])
    print(f"median steps: {median:.0f} in JavaScript, {python.median_steps:.0f} in Python")
    assert abs(median / python.median_steps - 1) < 0.02


def test_memory_stays_flat_over_five_minutes_of_the_ants_time(site):
    script = """
    import fs from "node:fs";
    import { AntEnv } from "./page/src/ant_env.js";
    import { readExport } from "./page/src/policy.js";
    import { Physics } from "./page/src/physics.js";
    import { Simulation } from "./page/src/simulation.js";
    const env = new AntEnv(await Physics.load(fs.readFileSync("page/build/bullet.wasm")));
    const file = fs.readFileSync(process.argv[1]);
    const policy = readExport(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
    const simulation = new Simulation(env, policy, [[6, 0]], true);
    const sizes = [];
    for (let step = 0; step <= 18000; step++) {
      simulation.step();
      if (step % 1000 === 500) simulation.push();
      if (step % 3000 === 0) {
        globalThis.gc();
        sizes.push([env.physics.bullet.HEAPU8.length, process.memoryUsage().heapUsed]);
      }
    }
    console.log(JSON.stringify({ sizes, reached: simulation.reached }));
    """
    command = ["node", "--expose-gc", "--input-type=module", "-e", script, str(site / f"policies/{MODEL}.bin")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    wasm, heap = np.array(result["sizes"]).T
    assert np.ptp(wasm) == 0 and heap[-1] - heap[1] < 0.5e6, result
    assert result["reached"] > 25, "it walked all the time"


# --- policies --------------------------------------------------------------------------------------------------------------

READ = """
import fs from "node:fs";
import { readPolicy } from "./page/src/checkpoint.js";
const results = process.argv.slice(1).map((path) => {
  const bytes = fs.readFileSync(path);
  try {
    const policy = readPolicy(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const states = Array.from({ length: 20 }, (_, k) => Float32Array.from({ length: 28 }, (_, i) => Math.fround(Math.sin(k + i * i))));
    return states.map((state) => [...policy.selectAction(state)]);
  } catch (error) {
    return error.message;
  }
});
console.log(JSON.stringify(results));
"""


@pytest.mark.parametrize("hidden", [256, 64])
def test_a_checkpoint_and_an_export_act_as_the_policy_does_in_python(site, tmp_path, hidden):
    torch.manual_seed(hidden)
    agent = TD3(28, 8, 1.0, hidden=hidden)
    agent.save(tmp_path / "mine")
    (tmp_path / "mine.bin").write_bytes(export_actor(agent.actor))
    states = np.sin(np.arange(20)[:, None] + np.arange(28.0) ** 2).astype(np.float32)
    expected = load_policy(tmp_path / "mine").select_action(states)
    for actions in node(tmp_path / "mine_actor", tmp_path / "mine.bin", script=READ):
        np.testing.assert_array_equal(np.float32(actions), expected)


FRONTS = """
import { FourFronts } from "./page/src/policy.js";
const [weights, states] = JSON.parse(process.argv[1]);
const linear = { selectAction: (state) => Float32Array.from(weights.map((row) => row.reduce((sum, w, i) => sum + w * state[i], 0))) };
const policy = new FourFronts(linear);
console.log(JSON.stringify(states.map((state) => [...policy.selectAction(Float32Array.from(state))])));
"""


def test_a_policy_with_four_fronts_turns_as_in_python(site):
    """States with the target on all sides, some of which keep the front of the one before; every action depends on every number."""
    states = np.random.default_rng(1).normal(size=(80, 28)).astype(np.float32)
    policy, fronts, expected = FourFronts(Linear()), [], []
    for state in states:
        expected.append(policy.select_action(state))
        fronts.append(policy.front)
    assert set(fronts) == {0, 1, 2, 3}
    assert fronts != [facing_side(np.arctan2(state[1], state[2])) for state in states]
    actions = node(json.dumps([Linear.weights.tolist(), states.tolist()]), script=FRONTS)
    np.testing.assert_allclose(actions, expected, atol=1e-5)


class RunsCode:
    def __reduce__(self):
        return os.system, ("true",)


def test_what_is_no_policy_ends_in_one_sentence(site, tmp_path):
    """Also files that were cut off, changed in some bytes, or that ask Python to run something."""
    agent = TD3(28, 8, 1.0)
    agent.save(tmp_path / "ant")
    TD3(11, 3, 1.0).save(tmp_path / "hopper")
    cases = {"critic": (tmp_path / "ant_critic").read_bytes(), "hopper": (tmp_path / "hopper_actor").read_bytes()}
    cases["optimizer"] = (tmp_path / "ant_actor_optimizer").read_bytes()
    cases |= {"nothing": b"", "text": b"hello", "magic": b"TD3ACTOR", "header": b"TD3ACTOR" + bytes(12)}
    cases["huge header"] = b"TD3ACTOR" + b"\xff" * 12
    whole, export = (tmp_path / "ant_actor").read_bytes(), export_actor(agent.actor)
    cases["short export"] = export[:-4]
    with torch.no_grad():
        agent.actor.l2.weight[3, 4] = float("nan")
    torch.save(agent.actor.state_dict(), tmp_path / "nan")
    torch.save({"l1.weight": RunsCode()}, tmp_path / "code")
    torch.save([1, 2, 3], tmp_path / "list")
    torch.save({name: value.double() for name, value in agent.actor.state_dict().items()}, tmp_path / "double")
    for name in ("nan", "code", "list", "double"):
        cases[name] = (tmp_path / name).read_bytes()
    with (
        zipfile.ZipFile(tmp_path / "ant_actor") as archive,
        zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    cases["compressed"] = (tmp_path / "packed").read_bytes()
    rng = np.random.default_rng(0)
    cases |= {f"cut at {length}": whole[:length] for length in rng.integers(1, len(whole), 40)}
    changed = {}
    for k in range(200):
        data = bytearray(whole)
        region = len(data) if k % 2 else 2000  # every other time where the pickle is
        for at in rng.integers(0, region, 5):
            data[at] = rng.integers(256)
        changed[f"changed {k}"] = bytes(data)
    paths = []
    for name, data in (cases | changed).items():
        path = tmp_path / name.replace(" ", "_")
        path.write_bytes(data)
        paths.append(path)
    results = dict(zip([*cases, *changed], node(*paths, script=READ), strict=True))
    for name, result in results.items():
        if name in changed and not isinstance(result, str):
            continue  # a number was changed, or something that nobody reads
        assert isinstance(result, str), name
        assert re.fullmatch(r"This [^\n]+\.", result) and "expected" in result or "copy the whole file" in result, (
            name,
            result,
        )
    assert sum(isinstance(results[name], str) for name in changed) > 20
    for name, words in {
        "critic": "l4.bias",
        "hopper": "28 observations",
        "code": "'posix system'",
        "nan": "not finite",
    }.items():
        assert words in results[name], results[name]
    assert "compressed" in results["compressed"] and "float32" in results["double"]


# --- the page in browsers --------------------------------------------------------------------------------------------------

BROWSERS = [
    pytest.param(Browser, id="chromium", marks=pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")),
    pytest.param(Firefox, id="firefox", marks=pytest.mark.skipif(not (FIREFOX and XVFB), reason="needs firefox and Xvfb")),
]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

RECORD_ERRORS = """
globalThis.seen = [];
const report = console.error;
console.error = (...words) => { seen.push(words.join(" ")); report(...words); };
addEventListener("error", (event) => seen.push(event.message || `${event.target.src || event.target.href} did not load`), true);
addEventListener("unhandledrejection", (event) => seen.push(String(event.reason)));
"""


@pytest.fixture
def chromium(tmp_path):
    """A function (width, height, touch) -> headless Chromium."""
    opened = []

    def start(width=640, height=480, touch=False):
        browser = Browser(tmp_path / str(len(opened)), width, height, touch)
        browser("Page.addScriptToEvaluateOnNewDocument", source=RECORD_ERRORS)
        opened.append(browser)
        return browser

    yield start
    for browser in opened:
        browser.close()


def ready(browser):
    wait(lambda: browser.evaluate("document.body.classList.contains('ready')"), 60, "the ant did not appear")


def distance_to(browser, x, y):
    position = browser.evaluate("Array.from(ant.simulation.position)")
    return np.hypot(position[0] - x, position[1] - y)


@pytest.mark.parametrize("where", ["server", "disk"])
@pytest.mark.parametrize("make_browser", BROWSERS)
def test_a_click_sends_the_ant_there(site, address, tmp_path, make_browser, where):
    browser = make_browser(tmp_path, 640, 480)
    try:
        browser.open(address if where == "server" else (site / "index.html").as_uri())
        ready(browser)
        x, y = wait(lambda: browser.evaluate("ant.view.groundPoint(230, 330)"), 10, "no ground there")
        browser.click(230, 330)
        wait(lambda: not browser.evaluate("ant.simulation.wander"), 10, "the click did nothing")
        x, y = browser.evaluate("ant.simulation.targets[0]")
        wait(lambda: distance_to(browser, x, y) <= 1, 60, f"the ant did not get to ({x:.1f}, {y:.1f})")
        image = browser.screenshot()
        assert near_color(image, (205, 85, 25)) > 100 and near_color(image, (62, 70, 92)) > 100, "hind legs and torso"
        assert browser.errors == []
        inside = (address, "data:", "blob:", "file://")
        assert [request for request in browser.requests if not request.startswith(inside)] == []
    finally:
        browser.close()


@needs_chromium
def test_the_first_load_is_small_and_quick(site, address, chromium):
    """Below 3 MB gzipped.  The time until the ant walks is printed, and the frame rate in software."""
    browser = chromium()
    start = time.perf_counter()
    browser.open(address)
    ready(browser)
    seconds = time.perf_counter() - start
    names = [request.removeprefix(address) or "index.html" for request in browser.requests if request.startswith(address)]
    sizes = {name: len(gzip.compress((site / name).read_bytes(), 9)) for name in dict.fromkeys(names)}
    frames, begin = browser.evaluate("ant.frames"), time.perf_counter()
    time.sleep(2)
    rate = (browser.evaluate("ant.frames") - frames) / (time.perf_counter() - begin)
    print(f"first load {sum(sizes.values()):,} bytes gzipped {sizes}, {seconds:.1f} s; {rate:.0f} frames a second at 640 x 480")
    assert {"index.html", "ant.js", "bullet.wasm"} < set(sizes) and sum(sizes.values()) < 3e6
    assert seconds < 30 and rate > 5
    assert browser.evaluate("seen") == [] and browser.errors == []


def press(browser, key, modifiers=0):
    for kind in ("keyDown", "keyUp"):
        browser("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers)


@needs_chromium
def test_keys_buttons_and_menus(site, address, chromium):
    browser = chromium(1000, 700)
    browser.open(f"{address}?targets=5,0")
    ready(browser)
    state = browser.evaluate
    press(browser, "ArrowUp")
    (target,) = state("ant.simulation.targets")
    forward = state("ant.view.forward")
    assert np.dot(target, forward) > 3 and abs(np.cross([*target, 0], [*forward, 0])[2]) < 1.5, "away from the camera"
    press(browser, "ArrowLeft", modifiers=8)
    assert len(state("ant.simulation.targets")) == 2
    press(browser, "a")
    browser.click(300, 500)
    assert len(state("ant.simulation.targets")) == 3
    press(browser, " ")
    steps = state("ant.simulation.steps")
    time.sleep(0.5)
    assert state("ant.paused") and state("ant.simulation.steps") - steps <= 1
    press(browser, " ")
    press(browser, "s")
    assert state("ant.slow") and not state("ant.paused")
    press(browser, "p")
    wait(lambda: state("ant.simulation.pushStepsLeft") < 8, 10, "the push does not end")
    for world, gravity in (("moon", 1.62), ("ice", 9.8), ("earth", 9.8)):
        press(browser, "w")
        assert state("document.body.dataset.world") == world and state("ant.simulation.env.world.gravity") == gravity
    before = np.array(state("ant.view.camera.position.toArray()"))
    press(browser, "q")
    time.sleep(0.3)
    assert np.linalg.norm(state("ant.view.camera.position.toArray()") - before) > 0.3
    press(browser, "2")
    second = json.loads((site / "policies/policies.json").read_text())[1]["name"]
    wait(
        lambda: state(f"ant.simulation.policy === ant.policies[1].policy && '{second}' === ant.policies[1].name"),
        20,
        "policy 2",
    )
    press(browser, "r")
    wait(lambda: np.hypot(*state("Array.from(ant.simulation.position)")[:2]) < 3, 10, "it is not back at the start")
    assert browser.evaluate("seen") == [] and browser.errors == []


DROP = """(() => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob("%s"), (c) => c.charCodeAt(0))], "%s"));
  window.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer }));
})()"""


@needs_chromium
def test_a_dropped_policy_walks_and_a_malformed_one_is_refused(site, address, chromium):
    browser = chromium()
    browser.open(f"{address}?policy=untrained&targets=6,0")
    ready(browser)
    before = len(browser.requests)
    browser.evaluate(DROP % (base64.b64encode(b"no policy at all").decode(), "best_actor"))
    sentence = wait(lambda: browser.evaluate("document.getElementById('message').textContent"), 10, "no sentence")
    assert sentence.startswith("This file is not a saved policy") and sentence.count(". ") == 0 and sentence.endswith(".")
    assert browser.evaluate("document.getElementById('message').checkVisibility()")
    data = (ROOT / "models" / MODEL / "best_actor").read_bytes()
    browser.evaluate(DROP % (base64.b64encode(data).decode(), "best_actor"))
    wait(lambda: browser.evaluate("document.getElementById('policy').value") == "file:best_actor", 10, "it was not loaded")
    assert not browser.evaluate("document.getElementById('message').textContent")
    wait(lambda: distance_to(browser, 6, 0) <= 1, 40, "the ant did not get to (6, 0)")
    assert len(browser.requests) == before, "nothing leaves the browser"


def drag(browser, path):
    """Drags a file or a folder from the disk to the page."""
    dragged = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser("Input.dispatchDragEvent", type=kind, x=300, y=300, data=dragged)


@needs_chromium
def test_the_folder_of_a_run_says_how_many_fronts_its_ant_has(site, address, chromium, tmp_path):
    browser = chromium()
    browser.open(address)
    ready(browser)
    turns = "document.getElementById('policy').value === 'file:best_actor' ? 'policy' in ant.simulation.policy : null"
    for model, fronts in {"four_fronts_final": True, MODEL: False}.items():
        run = tmp_path / "models" / model
        (run / "best_1000").mkdir(parents=True)
        shutil.copy(ROOT / "models" / model / "args.json", run)
        shutil.copy(ROOT / "models" / model / "best_actor", run / "best_1000")
        drag(browser, run)
        wait(lambda fronts=fronts: browser.evaluate(turns) is fronts, 10, f"{model} does not turn as it should")
    message = "document.getElementById('message').textContent"
    drag(browser, tmp_path / "models")
    wait(lambda: browser.evaluate(message).startswith("There are 2 runs among these files"), 10, "no sentence about two runs")
    (run / "args.json").write_text("{")
    drag(browser, run)
    wait(lambda: browser.evaluate(message).startswith("The file args.json is not"), 10, "no sentence about args.json")
    assert browser.errors == []


@needs_chromium
def test_on_a_phone_a_tap_works_and_nothing_is_cut_off(site, address, chromium):
    browser = chromium(390, 800, touch=True)
    browser("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.open(f"{address}?targets=6,0")
    ready(browser)
    point = [{"x": 150, "y": 420}]
    browser("Input.dispatchTouchEvent", type="touchStart", touchPoints=point)
    time.sleep(0.8)  # a slow thumb, or a slow phone
    browser("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    wait(lambda: browser.evaluate("String(ant.simulation.targets)") != "6,0", 10, "the tap did nothing")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.buttons button')].filter((b) => b.checkVisibility()).map((b) => b.getBoundingClientRect().toJSON())"
    )
    assert len(boxes) == 6 and all(box["left"] >= 0 and box["right"] <= 390 and box["bottom"] <= 800 for box in boxes)
    assert all(box["height"] >= 40 for box in boxes), "large enough for a thumb"
    assert browser.evaluate("document.getElementById('panel').getBoundingClientRect().top") > 500, "most of the picture is free"


@needs_chromium
@pytest.mark.parametrize(
    "without, word",
    [("delete globalThis.WebAssembly", "WebAssembly"), ("HTMLCanvasElement.prototype.getContext = () => null", "WebGL")],
)
def test_what_the_browser_lacks_is_said_in_a_sentence(site, address, chromium, without, word):
    browser = chromium()
    browser("Page.addScriptToEvaluateOnNewDocument", source=without)
    browser.open(address)
    sentence = wait(lambda: browser.evaluate("document.getElementById('message').textContent"), 20, "no sentence")
    assert word in sentence and sentence.endswith(".") and browser.errors == []


# --- one file, and the article ---------------------------------------------------------------------------------------------


@needs_chromium
def test_the_readers_own_ant_is_one_file_that_needs_nothing_else(site, chromium, tmp_path):
    agent = TD3(28, 8, 1.0, hidden=128)
    folder = tmp_path / "models" / "my run <b>"
    folder.mkdir(parents=True)
    agent.save(folder / "best")
    path = export_html(folder, tmp_path / "sent" / "ant.html")
    assert [file.name for file in path.parent.iterdir()] == ["ant.html"] and path.stat().st_size < 3e6
    browser = chromium()
    browser.open(path.as_uri())
    ready(browser)
    assert browser.evaluate("document.getElementById('policy').selectedOptions[0].text") == "my run <b>"
    state = np.linspace(-1, 1, 28).astype(np.float32)
    actions = browser.evaluate(f"Array.from(ant.simulation.policy.selectAction(Float32Array.from({state.tolist()})))")
    np.testing.assert_array_equal(np.float32(actions), load_policy(folder).select_action(state))
    assert [request for request in browser.requests if not request.startswith(("file://", "data:", "blob:"))] == []
    assert browser.evaluate("seen") == [] and browser.errors == []
    output = show_html(path).data
    (tmp_path / "notebook.html").write_text(f"<!doctype html><body>{output}</body>", encoding="utf-8")
    browser.open((tmp_path / "notebook.html").as_uri())
    inside = "document.querySelector('iframe').contentDocument.body.classList.contains('ready')"
    wait(lambda: browser.evaluate(inside), 30, "it does not walk inside a notebook's output")


def test_an_export_that_cannot_be_written_ends_in_a_sentence(site, tmp_path):
    with pytest.raises(ValueError, match=r"ant.txt.*: expected a name that ends in .html"):
        export_html(MODEL, tmp_path / "ant.txt")
    with pytest.raises(FileNotFoundError, match="make page"):
        export_html(MODEL, tmp_path / "ant.html", page=tmp_path / "none.html")
    with pytest.raises(ValueError, match="expected the page ant.html"):
        export_html(MODEL, tmp_path / "ant.html", page=site / "index.html")
    with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
        export_html("nobody", tmp_path / "ant.html")
    assert list(tmp_path.iterdir()) == []
    assert (site / "ant.html").samefile(PAGE)


def test_an_export_takes_a_published_page(address, tmp_path):
    path = export_html(MODEL, tmp_path / "ant.html", page=f"{address}ant.html")
    assert path.read_text() == export_html(MODEL, tmp_path / "other.html").read_text()


@needs_chromium
def test_the_article_has_the_ant_in_place_of_its_animations(site, address, chromium):
    text = (site / "article.html").read_text()
    shown = re.findall(r"animations/(\w+\.gif)", (ROOT / "ModifyingRL.ipynb").read_text())
    frames = re.findall(r'<iframe src="([^"]+)"', text)
    assert shown and len(frames) == len(shown) + 1 and "animations/" not in text and "FORMULA" not in text
    assert text.count('class="katex"') > 10 and "$" not in re.sub(r"<(pre|annotation).*?</\1>", "", text, flags=re.S)
    browser = chromium(900, 800)
    browser.open(f"{address}article.html")
    frame = "document.querySelectorAll('iframe')[%d].contentWindow"
    wait(lambda: browser.evaluate(f"{frame % 0}.ant?.simulation.steps > 10"), 60, "the ant does not walk in the opening")
    browser.evaluate("document.querySelectorAll('iframe')[2].scrollIntoView({ block: 'center' })")
    wait(lambda: browser.evaluate(f"{frame % 2}.ant?.simulation.steps > 10"), 60, "no ant further down")
    steps = browser.evaluate(f"{frame % 0}.ant.simulation.steps")
    time.sleep(1)
    assert browser.evaluate(f"{frame % 0}.ant.simulation.steps") - steps < 10, "what is out of sight rests"
    assert [request for request in browser.requests if not request.startswith((address, "data:", "blob:"))] == []
    assert browser.errors == []


@pytest.mark.parametrize("repository, expected", [("me/ants", "https://github.com/me/ants/blob/HEAD/TD3.py"), ("", None)])
def test_the_article_links_to_the_repository_where_its_address_is_known(monkeypatch, repository, expected):
    monkeypatch.setenv("GITHUB_REPOSITORY", repository)
    monkeypatch.setattr(article.tomllib, "loads", lambda text: {"project": {}})
    link = article.link_to_repository(re.match("(.*) (.*)", "TD3.py code"))
    assert link == (f'<a href="{expected}">code</a>' if expected else "code")
