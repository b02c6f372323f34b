"""A web page to steer the ant: click the ground, and it runs there.

    make steer                                     opens a page on this machine, until Ctrl-C
    python -m viewing.steer --model my_ant_final

In a notebook, `steer()` shows the page below the cell until the cell is stopped.

One thread runs the physics, 60 steps a second.  The callbacks of the browsers only submit commands to its queue, so any number of
viewers can click and leave at any time.
"""

import contextlib
import logging
import os
import queue
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import viser
import viser.uplot

from cookbook import ICE, LOADED, MOON, hills
from envs.world import Shape, World
from override_ant import REACHED, check_target
from override_ant_four_fronts import FourFronts
from override_ant_random_points import MyAntBulletEnv
from training.cli import in_notebook, run_cli
from utils import REPO_ROOT, load_policy, training_env
from viewing.embedding import embed_port
from viewing.recording import snapshot
from viewing.scene3d import FIELD_OF_VIEW, Scene3D
from viewing.server import serving
from viewing.style import HIND_LEG, OKABE_ITO, TRAIL

MODELS = {
    "any point": "random_circle_final",
    "any point, with four fronts": "four_fronts_final",
    "one point": "my_ant_final",
    "straight ahead": "base_ant_final",
}
"""Policies in the menu: what each was trained for, and the name of its model."""

WORLDS: dict[str, Callable[[], "SteeredAnt"]] = {
    "Earth": lambda: SteeredAnt(World()),
    "the Moon": lambda: SteeredAnt(MOON),
    "ice": lambda: SteeredAnt(ICE),
    "50 kg on its back": lambda: SteeredAnt(LOADED),
    "hills": lambda: SteeredAnt(World(), [hills(length=60, width=60, start=30)]),
}
"""Worlds in the menu: those of `cookbook.py`.  Hills are built anew, because the physics cannot exchange its bodies."""

STEPS_PER_SECOND, FRAMES_PER_SECOND, TRAILS_PER_SECOND, PLOTS_PER_SECOND = 60, 30, 10, 3

SECONDS_SHOWN = 10
"""Duration that the plot shows."""

MAX_TARGETS = 50
"""Number of targets in the path.  Further ones are ignored."""

MAX_CLICK_DISTANCE = 60.0
"""Clicks farther away from the ant, in metres, are ignored: near the horizon, a pixel is a large distance."""

PUSH_FORCE, PUSH_STEPS = 2500.0, 8
"""Force in newtons and duration in steps.  The ant has 182 kg, so it gains about 1.8 m/s."""

MAX_COMMANDS, SECONDS_FOR_COMMANDS = 1000, 0.005
"""Number of commands that wait, and time for them before the next step.  Further ones are dropped."""

logger = logging.getLogger(__name__)


class SteeredAnt(MyAntBulletEnv):
    """The ant for any point in a world of one's choice.

    Args:
        world: gravity, friction and load.
        shapes: what stands on the floor.
    """

    def __init__(self, world: World, shapes: Sequence[Shape] = ()) -> None:
        self.world, self.around = world, shapes
        super().__init__()

    def choose_world(self) -> World:
        return self.world

    def ground(self) -> Sequence[Shape]:
        return self.around


class Simulation:
    """An ant, its targets, and what happens to it.  Only one thread may use it.

    Args:
        policies: {name: policy}.  The first one acts.
        seed: seed of the environment and of the pushes.
    """

    def __init__(self, policies: dict[str, Any], seed: int = 0) -> None:
        self.policies = policies
        self.policy = next(iter(policies.values()))
        self.env = SteeredAnt(World())
        self.targets = deque([(6.0, 0.0)])
        self.seed, self.steps, self.reached, self.falls = seed, 0, 0, 0
        self.counted: tuple[float, float] | None = None  # the point that was counted as reached last
        self.push_steps_left = 0
        self.rng = np.random.default_rng(seed)
        self.history: deque[tuple[float, dict[str, float]]] = deque(maxlen=SECONDS_SHOWN * STEPS_PER_SECOND)  # speed, terms
        self.reset()

    def reset(self) -> None:
        """Puts the ant at the start.  Its targets stay."""
        self.state, _ = self.env.reset(seed=self.seed, options={"target": self.targets[0]})
        self.path = deque([self.position()], maxlen=20 * STEPS_PER_SECOND)
        self.fallen_steps_left = 0
        self.history.clear()

    def choose_world(self, name: str) -> None:
        """Puts the ant at the start of one of the `WORLDS`.  Its targets stay."""
        self.env.close()
        self.env = WORLDS[name]()
        self.reset()

    def position(self) -> tuple[float, float]:
        """(x, y) of the torso, in metres."""
        x, y, _ = self.env.robot.body_real_xyz
        return x, y

    def add_target(self, x: float, y: float, append: bool = False) -> None:
        """Sends the ant to (x, y), in metres, at once or after its present targets.

        Raises:
            ValueError: x or y is not a finite number.
        """
        target = check_target((x, y))
        if not append:
            self.targets.clear()
        if len(self.targets) < MAX_TARGETS:
            self.targets.append(target)
        if len(self.targets) == 1:
            self.env.set_target(*self.targets[0])

    def push(self) -> None:
        """Pushes the torso in a random direction during the next steps."""
        angle = self.rng.uniform(0, 2 * np.pi)
        self.push_force = PUSH_FORCE * np.array([np.cos(angle), np.sin(angle), 0.15])
        self.push_steps_left = PUSH_STEPS

    def step(self) -> None:
        """Simulates 0.0165 s.  An ant that fell lies for a second and is then put at the start."""
        self.steps += 1
        if self.fallen_steps_left:
            self.fallen_steps_left -= 1
            if not self.fallen_steps_left:
                self.reset()
            return
        if self.push_steps_left:
            self.push_steps_left -= 1
            p, robot = self.env._p, self.env.robot
            p.applyExternalForce(robot.objects[0], -1, self.push_force.tolist(), robot.body_real_xyz.tolist(), p.WORLD_FRAME)
        before = np.array(self.position())
        self.state, _, fell, _, info = self.env.step(self.policy.select_action(self.state))
        speed = float(np.linalg.norm(np.array(self.position()) - before) / self.env.scene.dt)
        self.history.append((speed, info["reward_terms"]))
        self.path.append(self.position())
        if fell:
            self.falls, self.fallen_steps_left = self.falls + 1, STEPS_PER_SECOND
        elif self.env.robot.distance_to_target() <= REACHED:
            if self.targets[0] != self.counted:  # the last point stays until there is another one, and counts once
                self.reached, self.counted = self.reached + 1, self.targets[0]
            if len(self.targets) > 1:
                self.targets.popleft()
                self.env.set_target(*self.targets[0])

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()


LINES = {
    "speed (m/s)": OKABE_ITO[0],
    "progress": OKABE_ITO[1],
    "angle_progress": OKABE_ITO[3],
    "electricity": OKABE_ITO[2],
    "joints_at_limit": OKABE_ITO[4],
}
"""Lines of the plot and their colours: the speed and terms of the reward."""

STYLE = """<style>
.hint { position: fixed; top: 14px; left: 14px; max-width: calc(100vw - 28px); padding: 0.5em 0.9em; border-radius: 0.7em;
  box-sizing: border-box; font-size: 14px; line-height: 1.45; color: #1E2430; background: rgba(255, 255, 255, 0.9);
  pointer-events: none }
@media (min-width: 577px) { .hint { max-width: calc(100vw - 352px) } }
.mantine-Notifications-root { top: 80px !important }
@media (pointer: coarse) { .with-mouse { display: none } }
@media not all and (pointer: coarse) { .with-finger { display: none } }
label, p:has(> label), [role=tab] { color: var(--mantine-color-text) !important }
[aria-label="Expand panel speed and reward"] p { opacity: 1 !important }
@media (max-height: 649px) {
  [data-dock-scroll]:has(.uplot-container) > :first-child { flex-grow: 1 !important }
  [data-dock-scroll]:has(.uplot-container) > :nth-child(n + 2) { display: none !important }
}
@media (max-height: 480px) { html { font-size: 83% } }
</style>"""
"""The look of the hint, labels in the colour of text, and what a low window leaves out: the plot.

In the window of a phone that is held sideways, controls are smaller too, as viser has them where it is upright.

Notes of viser, such as the one that the browser has no GPU, are below the hint, which is 55 pixels high.

From a width of 577 pixels on, viser has its controls at the right, 324 pixels wide, and below that at the bottom.
"""

HINT = """<div class="hint">
<div class="with-mouse"><b>Click the ground</b>: the ant runs there.<br>Shift-click adds a point. Drag to look around.</div>
<div class="with-finger"><b>Tap the ground</b>: the ant runs there.<br>Drag to look around.</div>
</div>"""
"""What a visitor can do, at the top left of the scene."""

CAMERA, LOOK_AT = (-6.6, -4.1, 2.4), (0.0, 0.0, 0.3)
"""Position of the camera, and the point at which it looks, in metres from the ant."""

PHONE_FIELD_OF_VIEW, PHONE_CAMERA, PHONE_LOOK_AT = np.radians(60), (-9.4, -3.4, 3.2), (0.0, 0.0, -2.6)
"""The same on a phone held upright, where controls cover the lower half: the ant is in the upper half."""


class SteeringApp:
    """The 3-D scene and the controls of the page, the same for all viewers.

    Args:
        server: the viser server.
        simulation: the ant.
    """

    def __init__(self, server: viser.ViserServer, simulation: Simulation) -> None:
        self.simulation = simulation
        self.commands: queue.Queue[Callable[[], object]] = queue.Queue(MAX_COMMANDS)
        self.paused, self.slow = False, False
        self.shown_targets: list[tuple[float, float]] = []
        self.shown_shapes: Sequence[Shape] = ()
        self.scene = Scene3D(server.scene, simulation.env.robot.model_xml)
        server.initial_camera.fov = FIELD_OF_VIEW
        server.initial_camera.position, server.initial_camera.look_at = CAMERA, LOOK_AT
        server.on_client_connect(self.set_phone_camera)
        self._add_controls(server)
        self._add_plot(server)

    def _add_controls(self, server):
        """Adds text, menu and buttons, and what happens at a click.  Callbacks run in threads of viser, so they submit commands."""
        simulation, gui = self.simulation, server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.set_panel_label("Steer the ant")
        gui.main_panel.dock_right()
        self.status = gui.add_markdown("")
        gui.add_html(STYLE + HINT)
        policy = gui.add_dropdown("policy", tuple(simulation.policies), initial_value=next(iter(simulation.policies)))
        world = gui.add_dropdown("world", tuple(WORLDS), initial_value=next(iter(WORLDS)))
        append = gui.add_checkbox("add to the path", False)
        pause, slow = gui.add_checkbox("pause", False), gui.add_checkbox("slow motion", False)
        push, reset = gui.add_button("push", color=HIND_LEG), gui.add_button("back to the start", color=TRAIL)

        policy.on_update(lambda _: self.submit(lambda: setattr(simulation, "policy", simulation.policies[policy.value])))
        world.on_update(lambda _: self.submit(lambda: simulation.choose_world(world.value)))
        pause.on_update(lambda _: setattr(self, "paused", pause.value))
        slow.on_update(lambda _: setattr(self, "slow", slow.value))
        push.on_click(lambda _: self.submit(simulation.push))
        reset.on_click(lambda _: self.submit(simulation.reset))
        server.scene.on_click()(lambda event: self.click(event, append.value))
        server.scene.on_click(modifier="shift")(lambda event: self.click(event, True))

    def _add_plot(self, server):
        """Adds a panel with the plot, which on a phone is closed until it is tapped."""
        widths = [5, 2, 2, 2, 2]  # progress is about the speed and would hide it
        points = viser.uplot.Series_Points(show=False)  # otherwise a line has dots where it is short
        series = [
            viser.uplot.Series(label=name, stroke=LINES[name], width=width, points=points)
            for name, width in zip(LINES, widths, strict=True)
        ]
        y_range = {"min": {"pad": 0.1, "soft": -1, "mode": 1}, "max": {"pad": 0.1, "soft": 4, "mode": 1}}  # -1 to 4, or more
        no_ticks = viser.uplot.Axis_Ticks(show=False)
        panel = server.gui.add_panel()
        with panel.add_tab("speed and reward"):
            self.plot = server.gui.add_uplot(
                tuple(np.zeros(2) for _ in ["time", *LINES]),
                (viser.uplot.Series(label="time"), *series),
                scales={"x": viser.uplot.Scale(time=False, range=(-SECONDS_SHOWN, 0)), "y": viser.uplot.Scale(range=y_range)},
                axes=({"label": "time (s)", "labelSize": 18, "size": 26, "ticks": no_ticks}, {"size": 30, "ticks": no_ticks}),
                legend=viser.uplot.Legend(live=False),
                height=185,
                padding=(10, 16, 0, 0),
            )
        panel.dock_below(server.gui.main_panel)

    def set_phone_camera(self, client: viser.ClientHandle) -> None:
        """Moves the camera of a new viewer whose window is upright."""
        if client.camera.image_height > client.camera.image_width:
            with contextlib.suppress(ValueError):  # it says that its camera looks nowhere
                client.camera.fov = PHONE_FIELD_OF_VIEW
                client.camera.position, client.camera.look_at = PHONE_CAMERA, PHONE_LOOK_AT

    def submit(self, command: Callable[[], object]) -> None:
        """Queues a function without arguments for the thread that simulates.  If `MAX_COMMANDS` wait, it is dropped."""
        with contextlib.suppress(queue.Full):
            self.commands.put_nowait(command)

    def run_pending(self) -> None:
        """Runs the queued commands, for about `SECONDS_FOR_COMMANDS`.  One that raises is reported in a line."""
        end = time.perf_counter() + SECONDS_FOR_COMMANDS
        with contextlib.suppress(queue.Empty):
            while time.perf_counter() < end:
                command = self.commands.get_nowait()
                try:
                    command()
                except Exception as error:
                    logger.warning("A command from the page was dropped: %r", error)

    def click(self, event: Any, append: bool) -> None:
        """Makes a target of the ground point that was clicked, if it is within `MAX_CLICK_DISTANCE`.

        Args:
            event: a `viser.ScenePointerEvent`, whose ray starts at the camera.
            append: whether the ant first runs to its present targets.
        """
        origin, direction = np.array(event.ray_origin), np.array(event.ray_direction)
        if direction[2] < 0:
            with np.errstate(over="ignore", invalid="ignore"):
                point = origin - direction * origin[2] / direction[2]  # on the level floor
            if np.linalg.norm(point[:2]) <= MAX_CLICK_DISTANCE:
                center = np.append(self.scene.center, 0)

                def go() -> None:
                    x, y, _ = self.scene.first_hit(origin + center, point + center)
                    self.simulation.add_target(x, y, append)

                self.submit(go)

    def update_scene(self) -> None:
        """Sends the pose of the ant and its targets to the browsers."""
        simulation = self.simulation
        self.scene.set_pose(np.array(snapshot(simulation.env.robot)[0]), simulation.position())
        if self.shown_shapes is not simulation.env.shapes:
            self.shown_shapes = simulation.env.shapes
            self.scene.set_terrain(self.shown_shapes)
            self.shown_targets = []  # whose flags stand on it
        if self.shown_targets != list(simulation.targets):
            self.shown_targets = list(simulation.targets)
            self.scene.set_targets(self.shown_targets)

    def update_trail(self) -> None:
        """Sends every tenth position of the last 20 s, always the same ones so that the trail lies still, and the present one."""
        simulation = self.simulation
        past = list(simulation.path)[-1 - simulation.steps % 10 :: -10]
        self.scene.set_trail(np.array([simulation.position(), *past]))

    def update_plot(self) -> None:
        """Sends the plot of the last ten seconds, and the text."""
        simulation, history = self.simulation, self.simulation.history
        if len(history) > 1:
            rows = np.array([[speed, *(terms[name] for name in list(LINES)[1:])] for speed, terms in history])
            window = min(len(history), 12)
            lines = [np.convolve(line, np.ones(window) / window, "valid")[::4] for line in rows.T]
            times = (window // 2 + 4 * np.arange(len(lines[0])) - len(history)) * simulation.env.scene.dt
            self.plot.data = (times, *lines)
        distance = simulation.env.robot.distance_to_target()
        if simulation.fallen_steps_left:
            line = "**It has fallen** and starts again."
        elif distance <= REACHED:
            line = "**It is there.** Choose the next point."
        else:
            line = f"**{distance:.1f} m to go**, points in the path: {len(simulation.targets)}"
        self.status.content = f"{line}  \npoints reached: {simulation.reached}, falls: {simulation.falls}"

    def run(self, seconds: float = np.inf, stop: threading.Event | None = None) -> int:
        """Simulates in real time.

        Args:
            seconds: duration.
            stop: ends it sooner when it is set.

        Returns:
            number of simulated steps.
        """
        first_step, start = self.simulation.steps, time.perf_counter()
        next_step = next_frame = next_trail = next_plot = start
        while (now := time.perf_counter()) - start < seconds and not (stop and stop.is_set()):
            self.run_pending()
            if now >= next_step:
                if not self.paused:
                    self.simulation.step()
                # a machine that is too slow falls behind, and does not catch up later in one go
                next_step = max(next_step + (4 if self.slow else 1) / STEPS_PER_SECOND, now - 0.1)
            if now >= next_frame:
                self.update_scene()
                next_frame = max(next_frame + 1 / FRAMES_PER_SECOND, now)
            if now >= next_trail:
                self.update_trail()
                next_trail = max(next_trail + 1 / TRAILS_PER_SECOND, now)
            if now >= next_plot:
                self.update_plot()
                next_plot = max(next_plot + 1 / PLOTS_PER_SECOND, now)
            time.sleep(max(0.0, min(next_step, next_frame) - time.perf_counter()))
        return self.simulation.steps - first_step


def check_address(host: str, port: int) -> None:
    """Raises a ValueError if a server cannot listen on the host, or the port is out of range.  A port that is taken is no error."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port is {port}: expected 0 to 65535, where 0 is any free port.")
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise ValueError(f"host is '{host}': expected an address of this machine, such as 127.0.0.1.") from error


def load_steered(name: str) -> Any:
    """The policy of a run, see `load_policy`, for the ant of this page, which has one front."""
    policy = load_policy(name)
    return FourFronts(policy) if "FourFronts" in training_env(name) else policy


def open_browser(url: str) -> None:
    """Opens a page in the browser of this machine, if it has a screen."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


def steer(
    model: str = "",
    host: str = "127.0.0.1",
    port: int = 8008,
    seconds: float = float("inf"),
    height: int = 660,
    browser: bool = True,
) -> None:
    """Opens a web page on which the ant runs to where you click, until the cell is stopped or Ctrl-C is pressed.

    Args:
        model: Name of a run or a shipped model, its folder, or a path without "_actor".  The default is a menu of shipped models.
        host: Address to listen on.  127.0.0.1 is this machine only.
        port: Port to listen on.  If it is taken, the next free one is used.
        seconds: Time after which the page closes.
        height: Height of the page in a notebook, in pixels.
        browser: Whether to open the page in a browser.  In a notebook it is in the cell instead.
    """
    shipped = {label: name for label, name in MODELS.items() if (REPO_ROOT / "models" / name).is_dir()}
    policies = {label: load_steered(name) for label, name in ({model: model} if model else shipped).items()}
    check_address(host, port)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one ant's policy is too small for more
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        simulation = Simulation(policies)
        stack.callback(simulation.close)
        key = secrets.token_urlsafe() if in_notebook() else ""
        server = stack.enter_context(serving(host, port, key))
        app = SteeringApp(server, simulation)
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{server.get_port()}"
        taken = f" (port {port} is taken)" if port not in (0, server.get_port()) else ""
        print(f"The page is at {url}{taken}. To close it, press Ctrl-C or stop the cell.", flush=True)
        if host not in ("127.0.0.1", "localhost"):
            print(f"It listens on {host}: anyone who reaches this machine over the network can steer the ant too.", flush=True)
        if in_notebook():
            embed_port(server.get_port(), height, f"/{key}/")
        elif browser:
            open_browser(url)
        app.run(seconds)
    print("The page is closed.")


if __name__ == "__main__":
    run_cli(steer, prog="python -m viewing.steer")
