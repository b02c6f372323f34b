"""The steering page: targets and falls, clicks in a real browser, and many viewers at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from browser import CHROMIUM, Browser, wait
from conftest import ROOT
from helpers import Still

from benchmarks import steer_load
from utils import load_policy
from viewing import steer
from viewing.scene3d import serving
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


def test_a_click_makes_a_target_of_the_point_on_the_ground(app, simulation):
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


def test_the_page_runs_in_real_time(app, simulation):
    """60 steps a second, a quarter of that in slow motion, and none in a pause."""
    app, _ = app
    assert app.run(2.0) == pytest.approx(120, abs=12)
    app.slow = True
    assert app.run(2.0) == pytest.approx(30, abs=5)
    app.paused = True
    assert app.run(0.5) == 0
    assert "reached" in app.status.content and len(app.plot.data[0]) > 1


@pytest.mark.slow
def test_eight_viewers_click_and_vanish_and_the_simulation_keeps_its_pace():
    """60 steps a second, every click arrives, and memory does not grow.  A full minute of it: benchmarks/steer_load.py."""
    result = steer_load.load(seconds=8, model="my_ant_final")
    assert result.clicks == result.arrived == 800 and result.lost == 2
    assert 50 < np.mean(result.rates) < 62, result.rates
    assert result.memory[-1] - result.memory[2] < 40e6


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("touch", [False, True], ids=["laptop", "phone"])
def test_a_click_in_a_real_browser_sends_the_ant_there(app, simulation, tmp_path, touch):
    """The click is on the ground some ten metres ahead of the ant and to its left."""
    app, port = app
    stop, app.paused = threading.Event(), True  # until the click, so that it is always at the same point
    thread = threading.Thread(target=lambda: app.run(stop=stop))
    thread.start()
    browser = Browser(tmp_path, *((420, 800) if touch else (1100, 700)), touch=touch)
    try:
        browser.open(f"http://127.0.0.1:{port}")
        wait(
            lambda: (browser.screenshot().astype(int)[..., 0] - browser.screenshot()[..., 2] > 60).mean() > 0.0005,
            90,
            "no orange leg in sight",
        )
        before = list(simulation.targets)
        browser.click(*((200, 300) if touch else (330, 230)))
        wait(lambda: list(simulation.targets) != before, 20, "the click did not arrive")
        target, app.paused = simulation.targets[0], False
        assert np.hypot(*np.subtract(target, simulation.position())) < steer.MAX_CLICK_DISTANCE
        if not touch:
            wait(lambda: np.hypot(*np.subtract(simulation.path[-1], target)) < 1.0, 60, f"the ant did not get to {target}")
        assert not browser.errors
    finally:
        stop.set()
        thread.join(10)
        browser.close()


# --- start and end ---------------------------------------------------------------------------------------------------------


def start(*arguments):
    """`python -m viewing.steer` in a process of its own, and the first line that it prints."""
    command = [sys.executable, "-m", "viewing.steer", "--model", "base_ant_final", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


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
            out, err = each.communicate(timeout=20)
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


def test_bad_input_is_named_in_one_sentence():
    for arguments, message in (
        (["--model", "nobody"], "There is no checkpoint 'nobody'"),
        (["--port", "99999"], "port is 99999: expected 0 to 65535"),
        (["--host", "10.9.9.9"], "host is '10.9.9.9'"),
    ):
        seen = subprocess.run(
            [sys.executable, "-m", "viewing.steer", *arguments], cwd=ROOT, capture_output=True, text=True, env=os.environ
        )
        assert seen.returncode == 1 and message in seen.stderr and "Traceback" not in seen.stderr
