"""The living ant: its targets and falls, its page in a real browser, and the crowd before which it must not stumble."""

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

sys.path.append(str(ROOT / "benchmarks"))

import steer_load  # noqa: E402

import steer  # noqa: E402
from stage import serving
from steer import Life, Page, free_port
from viewer import load_policy


class Still:
    """A policy that does nothing, so that its ant drops to the ground and has fallen."""

    def select_action(self, state):
        return np.zeros(8, np.float32)


@pytest.fixture(scope="module")
def runner():
    return load_policy("random_circle_final")  # it gets to any point


@pytest.fixture
def life(runner):
    life = Life({"runner": runner, "still": Still()})
    yield life
    life.close()


# --- the ant -----------------------------------------------------------------------------------------------------------------


def test_it_walks_its_targets_one_after_the_other(life):
    life.send(4, 0)
    life.send(8, 1, then=True)
    assert list(life.targets) == [(4, 0), (8, 1)]
    for _ in range(600):
        life.step()
        if life.reached:
            break
    assert life.reached == 1 and np.hypot(life.where()[0] - 4, life.where()[1]) < 1.1
    assert list(life.targets) == [(8, 1)] and life.env.robot.walk_target_x == 8
    life.send(-3, 2)
    assert list(life.targets) == [(-3, 2)] and life.env.robot.walk_target_x == -3


@pytest.mark.parametrize("wrong", [(np.nan, 0), (0, np.inf)])
def test_a_target_that_is_not_finite_is_refused_and_changes_nothing(life, wrong):
    before = list(life.targets)
    for then in (False, True):
        with pytest.raises(ValueError, match="expected two finite numbers"):
            life.send(*wrong, then)
    assert list(life.targets) == before


def test_more_targets_than_can_wait_are_not_taken(life):
    for k in range(steer.MOST_TARGETS + 20):
        life.send(k, 0, then=True)
    assert len(life.targets) == steer.MOST_TARGETS


def test_a_fallen_ant_lies_for_a_second_and_starts_again(life):
    life.policy = life.policies["still"]
    while not life.falls:
        life.step()
    lying = life.where()
    for _ in range(steer.STEPS_A_SECOND - 1):
        life.step()
        assert life.where() == lying
    life.step()
    assert np.hypot(*life.where()) < 0.1 and life.falls == 1 and not life.fallen


def test_a_push_moves_it(life):
    """The same steps with and without: a second later the ants are in different places."""
    ends = []
    for pushed in (False, True):
        life.reset()
        for k in range(90):
            if pushed and k == 30:
                life.shove()
            life.step()
        ends.append(life.where())
    assert np.hypot(*np.subtract(*ends)) > 0.3


# --- the page ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(life):
    with serving() as server:
        yield Page(server, life), server.get_port()


def ray(origin, direction):
    return SimpleNamespace(ray_origin=origin, ray_direction=direction)


def test_a_click_is_where_the_line_of_sight_meets_the_ground(page, life):
    page, _ = page
    page.stage.place(np.tile(np.float32([0, 0, 0.5, 0, 0, 0, 1]), (21, 1)), (10, 20))  # the world has moved below the ant
    page.click(ray((0, 0, 2), (1, 0.5, -0.5)), then=False)
    page.fulfil()
    np.testing.assert_allclose(life.targets[0], (10 + 4, 20 + 2))
    for nowhere in (
        ray((0, 0, 2), (1, 0, 0.1)),
        ray((0, 0, 2), (1, 0, -0.001)),
        ray((0, 0, 2), (1, 0, 0)),
        ray((0, 0, np.nan), (1, 0, -1)),
        ray((0, np.inf, 2), (1, np.nan, -1)),
    ):
        page.click(nowhere, then=False)
    page.fulfil()
    np.testing.assert_allclose(list(life.targets), [(14, 22)])


def test_time_on_the_page(page, life):
    """Sixty steps a second, a quarter of that in slow motion, none in a pause."""
    page, _ = page
    assert page.run(2.0) == pytest.approx(120, abs=12)
    page.slow = True
    assert page.run(2.0) == pytest.approx(30, abs=5)
    page.paused = True
    assert page.run(0.5) == 0
    assert "reached" in page.status.content and len(page.plot.data[0]) > 1


@pytest.mark.slow
def test_eight_look_on_and_click_and_vanish_and_the_ant_walks_on():
    """Sixty steps a second all the while; every click arrives; memory stays.  The full minute: benchmarks/steer_load.py."""
    seen = steer_load.load(seconds=8, model="my_ant_final")
    assert seen.clicks == seen.arrived == 800 and seen.vanished == 2
    assert 50 < np.mean(seen.rates) < 62, seen.rates
    assert seen.memory[-1] - seen.memory[2] < 40e6


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("touch", [False, True], ids=["laptop", "phone"])
def test_in_a_real_browser_a_click_sends_the_ant_there(page, life, tmp_path, touch):
    """The click is on the ground some ten metres ahead of the ant and to its left."""
    page, port = page
    stop, page.paused = threading.Event(), True  # until the click, so that it always falls on the same spot
    thread = threading.Thread(target=lambda: page.run(stop=stop))
    thread.start()
    browser = Browser(tmp_path, *((420, 800) if touch else (1100, 700)), touch=touch)
    try:
        browser.open(f"http://127.0.0.1:{port}")
        wait(
            lambda: (browser.picture().astype(int)[..., 0] - browser.picture()[..., 2] > 60).mean() > 0.0005,
            90,
            "no orange leg in sight",
        )
        before = list(life.targets)
        browser.click(*((200, 300) if touch else (330, 230)))
        wait(lambda: list(life.targets) != before, 20, "the click did not arrive")
        target, page.paused = life.targets[0], False
        assert np.hypot(*np.subtract(target, life.where())) < steer.FARTHEST
        if not touch:
            wait(lambda: np.hypot(*np.subtract(life.path[-1], target)) < 1.0, 60, f"the ant did not get to {target}")
        assert not browser.errors
    finally:
        stop.set()
        thread.join(10)
        browser.close()


# --- start and end -----------------------------------------------------------------------------------------------------------


def start(*arguments):
    """`python steer.py` in a process of its own, and the first line that it prints."""
    command = [sys.executable, "steer.py", "--model", "base_ant_final", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_process_or_a_port_left_and_a_second_one_finds_another_port(how):
    port = free_port("127.0.0.1", 0)
    first, words = start("--port", str(port))
    second, words_of_second = start("--port", str(port))
    try:
        assert f"http://127.0.0.1:{port};" in words and is_open(port)
        assert f"(port {port} is taken)" in words_of_second and "http://127.0.0.1:" in words_of_second
        other = int(words_of_second.split("127.0.0.1:")[1].split()[0].rstrip(";"))
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


def test_beyond_this_machine_only_when_asked_and_then_it_says_so(capsys):
    steer.steer("base_ant_final", host="0.0.0.0", port=0, seconds=0.2)
    assert "whoever reaches this machine over the network can steer the ant too" in capsys.readouterr().out
    steer.steer("base_ant_final", port=0, seconds=0.2)
    assert "network" not in capsys.readouterr().out


def test_bad_input_is_one_sentence():
    for arguments, message in (
        (["--model", "nobody"], "There is no checkpoint 'nobody'"),
        (["--port", "99999"], "port is 99999: expected 0 to 65535"),
        (["--host", "10.9.9.9"], "host is '10.9.9.9'"),
    ):
        seen = subprocess.run(
            [sys.executable, "steer.py", *arguments], cwd=ROOT, capture_output=True, text=True, env=os.environ
        )
        assert seen.returncode == 1 and message in seen.stderr and "Traceback" not in seen.stderr
