"""All that a notebook needs besides its lesson: one import and one call.

    from viewing.notebook import *
    set_up()

Everything here is defined elsewhere, except for what shows and compares code, what looks at an environment before training, and
what films several ants.  The 3-D scene and the steering page take a second to import, so the notebook that needs them imports
them itself.
"""

import ast
import difflib
import inspect
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
import numpy as np
import torch

from envs.bullet import quiet
from envs.registry import make_env
from override_ant import MyAntBulletEnv
from utils import REPO_ROOT, SCORE_SEED, eval_policy, load_policy
from viewing import style
from viewing.animation import animate, show
from viewing.curves import plot_curve
from viewing.directions import eval_directions, plot_directions
from viewing.figures import (
    plot_angle_term,
    plot_classes,
    plot_delay,
    plot_estimates,
    plot_losses,
    plot_paths,
    plot_smoothing,
    plot_target_networks,
    plot_targets,
    plot_terms,
    plot_to_go,
)
from viewing.recording import Recording, random_path, record
from viewing.seeds import (
    bootstrap_interval,
    compare,
    improvement,
    iqm,
    plot_improvement,
    plot_seeds,
    plot_solved,
    read_groups,
    scores,
)

with quiet():
    from pybullet_envs_gymnasium.gym_locomotion_envs import WalkerBaseBulletEnv
    from pybullet_envs_gymnasium.robot_locomotors import WalkerBase

if TYPE_CHECKING:
    from IPython.display import Image as EmbeddedImage
    from IPython.display import Markdown
    from matplotlib.figure import Figure

__all__ = [
    "REPO_ROOT",
    "SCORE_SEED",
    "animate",
    "before_training",
    "bootstrap_interval",
    "compare",
    "diff",
    "eval_directions",
    "eval_policy",
    "film",
    "improvement",
    "iqm",
    "load_policy",
    "make_env",
    "np",
    "picture",
    "plot_angle_term",
    "plot_classes",
    "plot_curve",
    "plot_delay",
    "plot_directions",
    "plot_estimates",
    "plot_improvement",
    "plot_losses",
    "plot_paths",
    "plot_seeds",
    "plot_smoothing",
    "plot_solved",
    "plot_target_networks",
    "plot_targets",
    "plot_terms",
    "plot_to_go",
    "random_path",
    "read_groups",
    "record",
    "same_as",
    "scores",
    "set_up",
    "show",
    "source",
    "table",
    "torch",
]


def set_up() -> None:
    """Leaves one core to the environments, and makes figures white and tight."""
    from IPython import get_ipython

    torch.set_num_threads(1)
    get_ipython().run_line_magic("config", 'InlineBackend.print_figure_kwargs = {"facecolor": "white", "bbox_inches": "tight"}')


def picture(env: Any, title: str) -> "Figure":
    """What the camera of an environment sees now.

    Args:
        env: an environment that was made with `render_mode="rgb_array"` and has been reset.
        title: what is to be seen; also the description for readers who cannot see it.
    """
    shown, ax = style.figure(4.2, 3.4)
    ax.imshow(env.render())
    ax.axis("off")
    ax.set_title(title)
    shown.alt = title
    return shown


def source(thing: Callable[..., Any] | type) -> "Markdown":
    """How a function or a class is written."""
    from IPython.display import Markdown

    return Markdown(f"```python\n{textwrap.dedent(inspect.getsource(thing))}```")


def diff(before: Callable[..., Any] | type, after: Callable[..., Any] | type) -> "Markdown":
    """What changes from one function or class to another: lines with - are left out, lines with + are new.

    Docstrings, annotations of types and blank lines are not compared.
    """
    from IPython.display import Markdown

    first, second = _plain_source(before), _plain_source(after)
    lines = list(difflib.unified_diff(first, second, n=len(first + second), lineterm=""))[3:] or [f" {line}" for line in first]
    return Markdown("```diff\n" + "\n".join(lines) + "\n```")


def _plain_source(thing):
    """The lines of a function or a class as `ast` writes them, without docstrings, annotations and comments."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    argument.annotation = None
    return [line for line in ast.unparse(tree).splitlines() if line.strip()]


def same_as(mine: Callable[..., Any], original: Callable[..., Any], steps: int = 300) -> None:
    """Prints whether two classes behave the same, to the last bit: `same as override_ant.MyAnt: True`.

    The two take the same random actions from the same seeds.  Where they differ first, the step and what differs are printed.

    Args:
        mine, original: two classes of environments like `MyAntBulletEnv`, or two functions that make one; or two of robots like
            `MyAnt`, which are put into upstream's environment; or two Gymnasium wrappers, which are put around `MyAntBulletEnv`.
            They are called without other arguments.
        steps: number of steps, in episodes of at most 100.  The last episode has no seed, unless it is the only one, because an
            environment may treat seeded episodes, such as evaluations, differently.
    """
    name = f"{original.__module__}.{original.__qualname__}"
    first = next(_differences(_environment(mine), _environment(original), steps), None)
    print(f"same as {name}: {first is None}" + (f" ({first})" if first else ""))


def _environment(thing):
    """An environment: what a class or a function makes, upstream's with a robot, or `MyAntBulletEnv` in a wrapper."""
    if inspect.isclass(thing) and issubclass(thing, WalkerBase):
        return WalkerBaseBulletEnv(thing())
    if inspect.isclass(thing) and issubclass(thing, gym.Wrapper):
        return thing(MyAntBulletEnv())
    return thing()


def _differences(a, b, steps):
    """Yields what differs between two environments that get the same actions."""
    rng = np.random.default_rng(0)
    parts = ("state", "reward", "terminated", "truncated", "info")
    with closing(a), closing(b):  # also where only the first difference is asked for
        for t in range(steps):
            if t % 100 == 0:
                seed = None if 0 < t >= steps - 100 else t
                episode = "without a seed" if seed is None else f"with seed {seed}"
                with quiet():  # Bullet prints when it connects
                    states = [env.reset(seed=seed)[0] for env in (a, b)]
                if not np.array_equal(*states):
                    yield f"the state after reset({'' if seed is None else f'seed={seed}'})"
            action = rng.uniform(-1, 1, a.action_space.shape).astype(np.float32)
            for part, first, second in zip(parts, a.step(action), b.step(action), strict=True):
                if not (np.array_equal(first, second) if part == "state" else first == second):
                    yield f"{part} after step {t % 100 + 1} of the episode {episode}"


def film(
    runs: Mapping[str, Recording], path: str | Path, what: str, seconds: float = 4.0, start: float = 0.0
) -> "EmbeddedImage":
    """Prints what each recording came to, and shows all of them side by side.

    Args:
        runs: recordings by title.
        path: of the animation that is written, a .gif or .png file.
        what: what is to be seen, for readers who cannot see it; the titles are added.
        seconds: simulated time to show.
        start: simulated time of the first frame, in seconds.
    """
    for title, run in runs.items():
        print(f"{title}: {run}")
    width, height = 120 + 240 // len(runs), 170  # eight of them have to fit into one notebook
    written = animate(runs.values(), path, width, height, titles=list(runs), fps=10, seconds=seconds, start=start)
    return show(written, alt=f"{what}: {', '.join(runs)}")


def before_training(env: str, steps: int = 100, seed: int = 0) -> "Markdown":
    """What to look at before one trains in an environment: how its numbers are for an ant that does nothing and for a random one.

    Gymnasium's `check_env` runs first.

    Args:
        env: id of an environment.
        steps: largest number of steps of each of the two episodes.
        seed: of both episodes, and of the random actions.

    Returns:
        a table: how long each episode was, its smallest and largest observation, and the mean of each term of the reward.

    Raises:
        Exception: what `check_env` raises, or the environment itself, such as an `EnvironmentMistake` that names a method.
    """
    from gymnasium.utils.env_checker import check_env

    with closing(make_env(env)) as made:
        with quiet(), warnings.catch_warnings(action="ignore"):  # advice on what is upstream's, such as infinite bounds
            check_env(made, skip_render_check=True)
        seen, space = made.observation_space.shape, cast("gym.spaces.Box", made.action_space)
        print(f"check_env: {env} keeps the rules; shape of an observation {seen}, of an action {space.shape}")
        random = np.random.default_rng(seed).uniform(space.low, space.high, (steps, *space.shape))
        columns = [_first_steps(made, actions.astype(np.float32), seed) for actions in (np.zeros_like(random), random)]
    return table([(row, *(column[row] for column in columns)) for row in columns[0]], ["", "no torque", "random torques"])


def _first_steps(env, actions, seed):
    """The rows of one column of `before_training`, by name."""
    state, _ = env.reset(seed=seed)
    states, terms, terminated = [state], [], False
    for action in actions:
        state, reward, terminated, truncated, info = env.step(action)
        states.append(state)
        terms.append(info.get("reward_terms", {}) | {"reward": reward})
        if terminated or truncated:
            break
    rows = {"steps": f"{len(terms)}{', terminated' if terminated else ''}"}
    for which, at in (("smallest", np.argmin), ("largest", np.argmax)):
        k = int(at(states)) % len(state)
        rows[f"{which} observation"] = f"{np.ravel(states)[at(states)]:.2f} (observation {k})"
    return rows | {f"mean `{name}`": f"{np.mean([each[name] for each in terms]):.2f}" for name in terms[0]}


def table(rows: Iterable[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str] | str = "keys") -> "Markdown":
    """A table that GitHub shows as one.

    Args:
        rows: dicts with the same keys, or sequences.
        columns: names of the columns; "keys" takes those of the dicts.
    """
    from IPython.display import Markdown
    from tabulate import tabulate

    return Markdown(tabulate(list(rows), columns, "pipe", disable_numparse=True))
