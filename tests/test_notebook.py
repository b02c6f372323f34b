"""What the notebooks use to show and compare code, and to look at environments."""

import gymnasium as gym
import numpy as np
import pytest
from helpers import Still
from IPython import get_ipython
from IPython.testing.globalipapp import start_ipython
from pybullet_envs_gymnasium.robot_locomotors import WalkerBase

import cookbook
import override_ant
import override_ant_random_points
from envs.mistakes import EnvironmentMistake
from envs.registry import cookbook_id, register
from viewing import notebook
from viewing.notebook import before_training, diff, film, make_env, picture, record, same_as, source, table
from viewing.style import describe


class Renamed(override_ant.MyAnt):
    """The same ant under another name."""


class Paid(override_ant.MyAntBulletEnv):
    """The same environment until the tenth step."""

    def reward_terms(self, action, state):
        return super().reward_terms(action, state) | {"mine": 1.0 if self.frame >= 10 else 0.0}


class Tall(override_ant.MyAnt):
    def alive_bonus(self, z, pitch):
        return 2 if z > 0.26 else -1


class FromUpstream(WalkerBase):
    """The ant for (20, 20), written from upstream's class."""

    foot_list = override_ant.MyAnt.foot_list

    def __init__(self):
        super().__init__("ant.xml", "torso", action_dim=8, obs_dim=28, power=2.5)
        self.walk_target_x, self.walk_target_y = 20, 20

    def alive_bonus(self, z, pitch):
        return +1 if z > 0.26 else -1


class Louder(cookbook.NoisySenses):
    def __init__(self, env):
        super().__init__(env, size=0.2)


def LateFromTheStart(render_mode=None):
    return cookbook.LateSenses(cookbook.Sprinter(render_mode), delay=2)


class TaughtWithoutSeed(override_ant.MyAntBulletEnv):
    """The same environment in episodes that have a seed."""

    def reset(self, *, seed=None, options=None):
        self.seeded = seed is not None
        return super().reset(seed=seed, options=options)

    def before_step(self, action):
        return action if self.seeded else action / 2


def test_everything_that_a_notebook_may_call_is_there():
    assert sorted(notebook.__all__) == notebook.__all__
    assert all(hasattr(notebook, name) for name in notebook.__all__)


@pytest.mark.parametrize(
    ("mine", "original", "line"),
    [
        (FromUpstream, override_ant.MyAnt, "same as override_ant.MyAnt: True"),
        (Renamed, override_ant.MyAnt, "same as override_ant.MyAnt: True"),
        (override_ant.MyAntBulletEnv, override_ant.MyAntBulletEnv, "same as override_ant.MyAntBulletEnv: True"),
        (Tall, override_ant.MyAnt, "same as override_ant.MyAnt: False (reward after step 1 of the episode with seed 0)"),
        (
            override_ant_random_points.MyAnt,
            override_ant.MyAnt,
            "same as override_ant.MyAnt: False (the state after reset(seed=0))",
        ),
        (cookbook.NoisySenses, cookbook.NoisySenses, "same as cookbook.NoisySenses: True"),
        (Louder, cookbook.NoisySenses, "same as cookbook.NoisySenses: False (the state after reset(seed=0))"),
        (cookbook.Delayed, cookbook.Delayed, "same as cookbook.Delayed: True"),
        (
            LateFromTheStart,
            cookbook.Delayed,
            "same as cookbook.Delayed: False (state after step 1 of the episode with seed 0)",
        ),
        (
            TaughtWithoutSeed,
            override_ant.MyAntBulletEnv,
            "same as override_ant.MyAntBulletEnv: False (state after step 1 of the episode without a seed)",
        ),
    ],
)
def test_a_class_is_compared_with_the_one_it_should_equal(mine, original, line, capsys):
    same_as(mine, original)
    assert capsys.readouterr().out == line + "\n"


def test_the_first_difference_is_named(capsys):
    same_as(Paid, override_ant.MyAntBulletEnv)
    # the dict of terms differs from the first step on, the reward from the tenth
    assert "False (info after step 1 of the episode with seed 0)" in capsys.readouterr().out


def test_only_what_differs_is_marked():
    def before(a, b):
        """Adds."""
        total = a + b
        return total

    def after(a: int, b: int) -> int:
        """Adds twice."""
        total = a + 2 * b
        return total

    lines = diff(before, after).data.splitlines()
    assert lines[0] == "```diff" and lines[-1] == "```"
    assert lines[1:-1] == [
        "-def before(a, b):",
        "-    total = a + b",
        "+def after(a, b):",
        "+    total = a + 2 * b",
        "     return total",
    ]
    assert not [line for line in diff(before, before).data.splitlines()[1:-1] if line[0] in "+-"]


def test_source_and_tables_are_markdown():
    assert source(Renamed).data.startswith('```python\nclass Renamed(override_ant.MyAnt):\n    """The same ant')
    assert table([{"a": "1", "b": "x"}]).data.splitlines() == ["| a   | b   |", "|:----|:----|", "| 1   | x   |"]
    assert table([["1"]], ["a"]).data.splitlines()[0] == "| a   |"


def test_a_picture_shows_what_the_camera_sees_with_a_description():
    env = make_env("AntBulletEnv-v0", render_mode="rgb_array")
    env.reset(seed=0)
    figure = picture(env, "an ant in the air")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), env.render())
    env.close()
    assert describe(figure) == "an ant in the air"


def test_set_up_makes_figures_white():
    start_ipython()
    notebook.set_up()
    assert get_ipython().config.InlineBackend.print_figure_kwargs == {"facecolor": "white", "bbox_inches": "tight"}
    assert notebook.torch.get_num_threads() == 1 and notebook.np is np


def test_a_film_says_what_is_to_be_seen(tmp_path, capsys):
    run = record(Still(), cookbook_id("Sprinter"), max_steps=12)
    shown = film({"first": run, "second": run}, tmp_path / "a.gif", "Two ants", seconds=0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("first: ", "second: "))]
    assert lines == [f"first: {run}", f"second: {run}"]
    assert (
        shown._repr_mimebundle_()[1]["image/png"]["alt"] == "Two ants: first, second"
        and (tmp_path / "a.gif").stat().st_size > 300
    )


def test_before_training_the_terms_of_an_ant_that_does_nothing_are_seen(capsys):
    rows = before_training(cookbook_id("Electricity4"), steps=30).data.splitlines()
    cells = {
        name.strip(): (nothing.strip(), random.strip()) for _, name, nothing, random, _ in (row.split("|") for row in rows)
    }
    assert "keeps the rules; shape of an observation (28,), of an action (8,)" in capsys.readouterr().out
    assert cells["mean `electricity`"][0] == "0.00" and float(cells["mean `electricity`"][1]) < -1
    for column in (0, 1):
        sizes = [float(cells[f"{which} observation"][column].split()[0]) for which in ("smallest", "largest")]
        assert sizes[0] < 0 < sizes[1]
    # an ant that does nothing sinks to the ground, which ends the episode
    assert cells["steps"][0].endswith(", terminated") and float(cells["mean `reward`"][0]) > 0


def test_before_training_a_mistake_names_the_method():
    class Broken(cookbook.Sprinter):
        def reward_terms(self, action, state):
            return super().reward_terms(action, state) | {"mine": float("nan")}

    register("BrokenBulletEnv-v0", entry_point=Broken, max_episode_steps=1000)
    try:
        with pytest.raises(EnvironmentMistake, match="reward_terms"):
            before_training("BrokenBulletEnv-v0")
    finally:
        del gym.registry["BrokenBulletEnv-v0"]
