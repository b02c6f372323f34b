"""A page on which the ant lives: click the ground, and it walks there.

    make steer                     opens a page on this machine, until Ctrl-C
    python steer.py --model my_ant_final

In a notebook, `steer()` shows the page inside the cell, until the cell is stopped.

One thread simulates, sixty steps a second, and alone touches the physics; what people do in their browsers only puts wishes into
a queue.  So it does not matter how many look on, how fast they click, or how they leave.
"""

import contextlib
import queue
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import viser
import viser.uplot

from override_ant import point
from override_ant_random_points import MyAntBulletEnv
from stage import Stage, serving
from style import OKABE_ITO
from utils import SHIPPED
from viewer import REACHED, load_policy, snapshot

MODELS = {"any point": "random_circle_final", "one point": "my_ant_final", "straight ahead": "base_ant_final"}
"""What the menu offers, as far as it is there: what each has learned, and the name of its model."""

STEPS_A_SECOND, PICTURES_A_SECOND, PLOTS_A_SECOND = 60, 30, 3
MOST_TARGETS = 50
"""So many targets may wait; further ones are not taken."""

FARTHEST = 60.0
"""Clicks farther away from the ant than this, in metres, are not taken: near the horizon a pixel is a mile."""

SHOVE, SHOVE_STEPS = 2500.0, 8
"""A push: so many newtons, for so many steps.  The ant weighs 182 kg, so it gains about 1.8 m/s."""


class Life:
    """An ant, where it is sent, and what happens to it.  Only one thread may use it.

    Args:
        policies: {name: policy}; the first is in charge.
        seed: of the environment.
    """

    def __init__(self, policies: dict[str, Any], seed: int = 0) -> None:
        self.policies = policies
        self.policy = next(iter(policies.values()))
        self.env = MyAntBulletEnv()
        self.targets = deque([(6.0, 0.0)])
        self.seed, self.steps, self.reached, self.falls, self.shoving = seed, 0, 0, 0, 0
        self.rng = np.random.default_rng(seed)
        self.history = deque(maxlen=10 * STEPS_A_SECOND)
        self.reset()

    def reset(self) -> None:
        """Puts the ant back to the start, upright; the targets stay."""
        self.state, _ = self.env.reset(seed=self.seed, options={"target": self.targets[0]})
        self.path, self.fallen = deque([self.where()], maxlen=20 * STEPS_A_SECOND), 0
        self.history.clear()

    def where(self) -> tuple[float, float]:
        """(x, y) of the torso, in metres."""
        return tuple(self.env.robot.body_real_xyz[:2])

    def send(self, x: float, y: float, then: bool = False) -> None:
        """Sends the ant to (x, y), in metres: at once, or after the targets that it already has.

        Raises:
            ValueError: x or y is not a finite number.
        """
        target = point((x, y))
        if not then:
            self.targets.clear()
        if len(self.targets) < MOST_TARGETS:
            self.targets.append(target)
        if len(self.targets) == 1:
            self.env.set_target(*self.targets[0])

    def shove(self) -> None:
        """Pushes the torso sideways, in a direction that nobody knows beforehand."""
        angle = self.rng.uniform(0, 2 * np.pi)
        self.force, self.shoving = SHOVE * np.array([np.cos(angle), np.sin(angle), 0.15]), SHOVE_STEPS

    def step(self) -> None:
        """One step of 0.0165 s.  An ant that has fallen lies still for a second and is then put back to the start."""
        self.steps += 1
        if self.fallen:
            self.fallen -= 1
            if not self.fallen:
                self.reset()
            return
        p, body = self.env._p, self.env.robot.objects[0]
        if self.shoving:
            self.shoving -= 1
            p.applyExternalForce(body, -1, self.force.tolist(), self.env.robot.body_real_xyz.tolist(), p.WORLD_FRAME)
        before = np.array(self.where())
        self.state, _, fell, _, info = self.env.step(self.policy.select_action(self.state))
        speed = np.linalg.norm(np.array(self.where()) - before) / self.env.scene.dt
        self.history.append((speed, info["reward_terms"]))
        self.path.append(self.where())
        if fell:
            self.falls, self.fallen = self.falls + 1, STEPS_A_SECOND
        elif self.env.robot.to_go() <= REACHED and len(self.targets) > 1:
            self.reached += 1
            self.targets.popleft()
            self.env.set_target(*self.targets[0])

    def close(self) -> None:
        """Leaves the physics engine."""
        self.env.close()


COLORS = {
    "speed": OKABE_ITO[0],
    "progress": OKABE_ITO[1],
    "angle_progress": OKABE_ITO[3],
    "electricity": OKABE_ITO[2],
    "joints_at_limit": OKABE_ITO[4],
}

HELP = """**Click or tap the ground** and the ant walks there; with *add to the path*, or Shift, after the points it already has.
Drag to look around."""

CAMERA, LOOK_AT = (-4.2, -2.6, 2.6), (0.0, 0.0, 0.2)
"""Where the camera is and where it looks, in metres from the ant."""

CAMERA_ON_A_PHONE, LOOK_AT_ON_A_PHONE = (-6.7, -4.2, 4.6), (0.0, 0.0, -2.4)
"""A phone held upright is narrow, and the buttons fill its lower half: seen from farther away, the ant is in the upper one."""


class Page:
    """The stage and the buttons, for everyone who looks on.

    Args:
        server: a `viser.ViserServer`.
        life: the ant.
    """

    def __init__(self, server: viser.ViserServer, life: Life) -> None:
        self.life, self.wishes = life, queue.SimpleQueue()
        self.paused, self.slow, self.shown = False, False, []
        self.stage = Stage(server.scene, life.env.robot.model_xml)
        server.scene.configure_default_lights(cast_shadow=True)
        server.initial_camera.position, server.initial_camera.look_at = CAMERA, LOOK_AT
        server.on_client_connect(self.welcome)

        gui = server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.set_panel_label("Steer the ant")
        gui.main_panel.dock_right()  # beside the ground and not upon it; a phone shows it below
        self.status = gui.add_markdown("")
        gui.add_markdown(HELP)
        policy = gui.add_dropdown("policy", tuple(life.policies), initial_value=next(iter(life.policies)))
        self.add = gui.add_checkbox("add to the path", False)
        pause, slow = gui.add_checkbox("pause", False), gui.add_checkbox("slow motion", False)
        push, reset = gui.add_button("push", color="orange"), gui.add_button("back to the start")
        self.lines = list(COLORS)
        empty = tuple(np.zeros(2) for _ in range(len(self.lines) + 1))
        series = [viser.uplot.Series(label="time (s)")]
        series += [viser.uplot.Series(label=name, stroke=COLORS[name], width=2) for name in self.lines]
        plots = gui.add_panel()  # on a phone it is closed until it is tapped
        with plots.add_tab("speed and reward"):
            scales = {"x": viser.uplot.Scale(time=False), "y": viser.uplot.Scale(range=(-5, 5))}  # seconds, not dates
            title = "speed (m/s) and terms of the reward"
            self.plot = gui.add_uplot(empty, tuple(series), title=title, scales=scales, aspect=1.3)
        plots.dock_below(gui.main_panel)

        # What people do becomes a wish; the thread that simulates fulfils it
        policy.on_update(lambda _: self.wish(lambda: setattr(life, "policy", life.policies[policy.value])))
        pause.on_update(lambda _: setattr(self, "paused", pause.value))
        slow.on_update(lambda _: setattr(self, "slow", slow.value))
        push.on_click(lambda _: self.wish(life.shove))
        reset.on_click(lambda _: self.wish(life.reset))
        server.scene.on_click()(lambda event: self.click(event, self.add.value))
        server.scene.on_click(modifier="shift")(lambda event: self.click(event, True))

    def welcome(self, client: viser.ClientHandle) -> None:
        """Turns the camera of a phone that has just come."""
        if client.camera.image_height > client.camera.image_width:
            client.camera.position, client.camera.look_at = CAMERA_ON_A_PHONE, LOOK_AT_ON_A_PHONE

    def wish(self, fulfil: Callable[[], object]) -> None:
        """Puts a function without arguments into the queue."""
        self.wishes.put(fulfil)

    def click(self, event: Any, then: bool) -> None:
        """Sends the ant to where a line of sight meets the ground, if it does so within `FARTHEST`."""
        start, way = np.array(event.ray_origin), np.array(event.ray_direction)
        if way[2] < 0:
            point = (start - way * start[2] / way[2])[:2]
            if np.linalg.norm(point) <= FARTHEST:
                x, y = point + self.stage.middle
                self.wish(lambda: self.life.send(x, y, then))

    def fulfil(self) -> None:
        """Does what was wished for since the last time."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.wishes.get_nowait()()

    def show(self) -> None:
        """Sends the ant as it is now to the browsers."""
        life = self.life
        self.stage.place(np.array(snapshot(life.env.robot)[0]), life.where())
        if self.shown != list(life.targets):
            self.shown = list(life.targets)
            self.stage.flags(self.shown)

    def show_plots(self) -> None:
        """Sends the trail, the lines of the last ten seconds, and how it goes."""
        life, history = self.life, self.life.history
        self.stage.trail(np.array(life.path)[::10])
        if len(history) > 1:
            time_ = np.arange(len(history)) * life.env.scene.dt
            smooth = min(len(history), 12)
            kept = slice(smooth // 2, smooth // 2 + len(history) - smooth + 1, 4)
            lines = [np.array([speed for speed, _ in history])]
            lines += [np.array([terms[name] for _, terms in history]) for name in self.lines[1:]]
            self.plot.data = (time_[kept], *(np.convolve(y, np.ones(smooth) / smooth, "valid")[::4] for y in lines))
        fallen = "**It has fallen.** " if life.fallen else ""
        self.status.content = (
            f"{fallen}{life.env.robot.to_go():.1f} m to go, points in the path: {len(life.targets)}  \n"
            f"points reached: {life.reached}, falls: {life.falls}"
        )

    def run(self, seconds: float = np.inf, stop: threading.Event | None = None) -> int:
        """Lives in real time.

        Args:
            seconds: for so long.
            stop: a `threading.Event` that ends it sooner.

        Returns:
            steps that were simulated.
        """
        before, begun = self.life.steps, time.perf_counter()
        next_step = next_picture = next_plot = begun
        while (now := time.perf_counter()) - begun < seconds and not (stop and stop.is_set()):
            self.fulfil()
            if now >= next_step and not self.paused:
                self.life.step()
            if now >= next_step:  # a machine that cannot keep up is late, but never tries to make up for it all at once
                next_step = max(next_step + (4 if self.slow else 1) / STEPS_A_SECOND, now - 0.1)
            if now >= next_picture:
                self.show()
                next_picture = max(next_picture + 1 / PICTURES_A_SECOND, now)
            if now >= next_plot:
                self.show_plots()
                next_plot = max(next_plot + 1 / PLOTS_A_SECOND, now)
            time.sleep(max(0.0, min(next_step, next_picture) - time.perf_counter()))
        return self.life.steps - before


def free_port(host: str, port: int) -> int:
    """`port` if nobody listens there, else one that is free."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port is {port}: expected 0 to 65535, where 0 stands for any that is free.")
    for candidate in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, candidate))
                return probe.getsockname()[1]
    raise ValueError(f"host is '{host}': expected an address of this machine, such as 127.0.0.1.")


def steer(model: str = "", host: str = "127.0.0.1", port: int = 8008, seconds: float = float("inf"), height: int = 620) -> None:
    """Opens a page on which an ant walks where one clicks.  Stop the cell, or press Ctrl-C, to close it.

    Args:
        model: name of a run or a model, its folder, or a path without "_actor"; by default the shipped ones, to choose from
        host: address to listen on; 127.0.0.1 is this machine alone
        port: to listen on; if it is taken, another one is chosen
        seconds: after which the page closes by itself
        height: of the page inside a notebook, in pixels
    """
    names = {model: model} if model else {words: name for words, name in MODELS.items() if (SHIPPED / "models" / name).is_dir()}
    policies = {words: load_policy(name) for words, name in names.items()}
    free = free_port(host, port)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a policy for one ant is too small for two
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as closing:
        closing.callback(torch.set_num_threads, threads)
        life = Life(policies)
        closing.callback(life.close)
        server = closing.enter_context(serving(host, free))
        page = Page(server, life)
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{free}"
        print(
            f"The ant walks on {url}"
            + (f" (port {port} is taken)" if free != port else "")
            + "; to end: Ctrl-C, or stop the cell.",
            flush=True,
        )
        if host not in ("127.0.0.1", "localhost", "::1"):
            print(f"It listens on {host}: whoever reaches this machine over the network can steer the ant too.", flush=True)
        if "ipykernel" in sys.modules:
            from IPython.display import IFrame, display

            display(IFrame(url, width="100%", height=height))
        page.run(seconds)
    print("The page is closed.")


def command_line() -> None:
    """`python steer.py`: as `steer`, with one sentence instead of a traceback; SIGTERM ends it as Ctrl-C does."""
    import tyro

    def interrupt(*_):
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)
    try:
        tyro.cli(steer)
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    command_line()
