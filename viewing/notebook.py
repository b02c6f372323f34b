"""All that a notebook needs besides its lesson: one import and one call.

    from viewing.notebook import *
    set_up()

Everything here is defined elsewhere, except for what shows and compares code.  The 3-D scene and the steering page take a second
to import, so the notebook that needs them imports them itself.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from envs.bullet import quiet
from envs.registry import make_env
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
from viewing.recording import random_path, record
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
    from IPython.display import Markdown
    from matplotlib.figure import Figure

__all__ = [
    "REPO_ROOT",
    "SCORE_SEED",
    "animate",
    "bootstrap_interval",
    "compare",
    "diff",
    "eval_directions",
    "eval_policy",
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

    return Markdown(f"```python\n{inspect.getsource(thing)}```")


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


def same_as(mine: type, original: type, steps: int = 300) -> None:
    """Prints whether two classes behave the same, to the last bit: `same as override_ant.MyAnt: True`.

    The two take the same random actions from the same seeds.  Where they differ first, the step and what differs are printed.

    Args:
        mine, original: two classes of environments like `MyAntBulletEnv`, or two of robots like `MyAnt`, which are put into
            upstream's environment.  They are made without arguments.
        steps: number of steps.
    """
    name = f"{original.__module__}.{original.__qualname__}"
    first = next(_differences(_environment(mine), _environment(original), steps), None)
    print(f"same as {name}: {first is None}" + (f" ({first})" if first else ""))


def _environment(cls):
    """An environment: of this class, or upstream's with a robot of this class."""
    return WalkerBaseBulletEnv(cls()) if issubclass(cls, WalkerBase) else cls()


def _differences(a, b, steps):
    """Yields what differs between two environments that get the same actions."""
    rng = np.random.default_rng(0)
    parts = ("state", "reward", "terminated", "truncated", "info")
    with closing(a), closing(b):  # also where only the first difference is asked for
        for t in range(steps):
            if t % 100 == 0:
                with quiet():  # Bullet prints when it connects
                    states = [env.reset(seed=t)[0] for env in (a, b)]
                if not np.array_equal(*states):
                    yield f"the state after reset(seed={t})"
            action = rng.uniform(-1, 1, a.action_space.shape).astype(np.float32)
            for part, first, second in zip(parts, a.step(action), b.step(action), strict=True):
                if not (np.array_equal(first, second) if part == "state" else first == second):
                    yield f"{part} after step {t % 100 + 1} of the episode with seed {t - t % 100}"


def table(rows: Iterable[Mapping[str, Any] | Sequence[Any]], columns: Sequence[str] | str = "keys") -> "Markdown":
    """A table that GitHub shows as one.

    Args:
        rows: dicts with the same keys, or sequences.
        columns: names of the columns; "keys" takes those of the dicts.
    """
    from IPython.display import Markdown
    from tabulate import tabulate

    return Markdown(tabulate(list(rows), columns, "pipe", disable_numparse=True))
