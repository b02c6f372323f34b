"""Colab, Binder and the dev container: each gets what pyproject.toml says, and a notebook at home is left in peace."""

import copy
import json
import os
import re
import shutil
import sys
import types
from pathlib import Path

import anywhere
import install
import pytest
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager

URL = "https://github.com/OWNER/NAME"
NOTEBOOKS = sorted(ROOT.glob("*.ipynb"))


class Shell:
    """Stands for IPython: keeps what it is told instead of doing it, but a clone leaves a file where it is looked for."""

    def __init__(self):
        self.told = []

    def system(self, command):
        self.told.append("!" + command)
        if URL in command:
            Path("ant").mkdir()
            Path("ant/TD3.py").touch()

    def run_line_magic(self, name, line):
        self.told.append(f"%{name} {line}")


def run_cell(source, answer=None):
    """Runs a cell's source as a notebook does; what it told IPython, and the names it left behind.

    IPython puts the value of `address` into the command; here it is `answer`, what the reader types.
    """
    shell = Shell()
    names = {"get_ipython": lambda: shell, "input": lambda question: answer}
    exec(TransformerManager().transform_cell(source).replace("{address}", answer or URL), names)
    return shell.told, set(names) - {"get_ipython", "input", "__builtins__"}


@pytest.fixture
def on_colab(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_notebook_has_the_cell_with_the_address_of_pyproject(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    expected = copy.deepcopy(notebook)
    anywhere.put_cell(expected, anywhere.address())
    assert notebook == expected, "run scripts/anywhere.py"
    (cell,) = [cell for cell in notebook["cells"] if cell.get("id") == anywhere.ID]
    assert cell == next(cell for cell in notebook["cells"] if cell["cell_type"] == "code") and cell["outputs"] == []


@pytest.mark.parametrize("url", [None, URL])
def test_the_cell_does_nothing_elsewhere(url, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.chdir(tmp_path)
    before = sys.path[:]
    told, names = run_cell(anywhere.cell(url))
    assert told == [] and names <= {"sys", "Path"} and sys.path == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("url, answer", [(URL, None), (None, URL)])
def test_on_colab_the_cell_fetches_then_enters_then_installs(on_colab, url, answer):
    told, _ = run_cell(anywhere.cell(url), answer)
    assert told[0] == f'!git clone --quiet --depth 1 "{URL}" ant'
    assert told[1] == "%cd -q ant"
    assert told[2].endswith("scripts/install.py --colab") and len(told) == 3
    assert sys.path[0] == ""


def test_run_again_on_colab_the_cell_does_nothing(on_colab, tmp_path):
    (tmp_path / "TD3.py").touch()  # the folder that it entered before
    assert run_cell(anywhere.cell(URL))[0] == []


@pytest.mark.parametrize("answer", ["nonsense", "https://github.com/OWNER/OTHER"])
def test_on_colab_with_a_wrong_address_the_cell_ends_in_a_sentence(on_colab, answer):
    with pytest.raises(SystemExit, match=f"Nothing came from '{answer}': run this cell again with"):
        run_cell(anywhere.cell(None), answer)


@pytest.mark.parametrize("title", ["markdown", "code"])
def test_putting_the_cell_in_keeps_outputs_and_counts_from_one(title):
    def code(source, count, outputs=()):
        return {"cell_type": "code", "id": source, "execution_count": count, "metadata": {}, "outputs": list(outputs)}

    result = {"output_type": "execute_result", "execution_count": 2, "data": {"text/plain": "1.0"}}
    cells = [code("x", 1), {"cell_type": "markdown", "id": "m", "metadata": {}, "source": []}, code("y", 2, [result])]
    if title == "markdown":
        cells.insert(0, {"cell_type": "markdown", "id": "t", "metadata": {}, "source": ["# Title"]})
    notebook = {"cells": cells}
    anywhere.put_cell(notebook, URL)
    assert [cell["id"] for cell in notebook["cells"]] == ["t", "colab", "x", "m", "y"][title == "code" :]
    numbered = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in numbered] == [1, 2, 3]
    assert numbered[2]["outputs"] == [{**result, "execution_count": 3}]
    again = copy.deepcopy(notebook)
    anywhere.put_cell(again, URL)
    assert again == notebook
    anywhere.put_cell(again, URL + "2")
    assert f'address = "{URL}2"' in "".join(again["cells"][title == "markdown"]["source"])


def test_a_notebook_that_was_never_run_stays_so():
    cell = {"cell_type": "code", "id": "x", "execution_count": None, "metadata": {}, "outputs": [], "source": ["1"]}
    notebook = {"cells": [cell]}
    anywhere.put_cell(notebook, URL)
    assert [cell["execution_count"] for cell in notebook["cells"]] == [None, None]


def test_the_address_is_written_once_and_replaced_when_it_changes(tmp_path, monkeypatch):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    for url in (URL, URL + "2"):
        anywhere.write_address(url, tmp_path)
        assert anywhere.address() == url
        assert (tmp_path / "pyproject.toml").read_text().count("[project.urls]") == 1
    assert install.read_pins("test", "lint", "bench")


@pytest.mark.parametrize("given", [URL, URL + "/", URL + ".git", "https://github.com/a.b/c-d"])
def test_an_address_on_github_is_taken(given):
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w-]+", anywhere.check(given))


@pytest.mark.parametrize("given", ["", "OWNER/NAME", "https://example.com/OWNER/NAME", URL + "/tree/main"])
def test_another_address_is_refused_in_a_sentence(given):
    with pytest.raises(SystemExit, match=r"expected one like https://github.com/OWNER/NAME"):
        anywhere.check(given)


def test_readme_has_the_badges_of_the_address():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert anywhere.put_badges(text, anywhere.address(), anywhere.titles(NOTEBOOKS)) == text, "run scripts/anywhere.py"


def test_badges_come_once_and_change_with_the_address():
    text, names = "# Title\n\n```bash\nmake\n```\n\nText.\n", {"a.ipynb": "Run", "b.ipynb": "Walk"}
    asking = anywhere.put_badges(text, None, names)
    assert asking.startswith("# Title\n\n```bash\nmake\n```\n\n[![Open in Colab]") and asking.endswith(
        "paste the address of this page.\n\nText.\n"
    )
    for form in ("https://colab.research.google.com/github/", "https://mybinder.org/", "https://github.com/codespaces/new"):
        assert f"]({form})" in asking
    with_badges = anywhere.put_badges(asking, URL, names)
    for link in (
        "https://colab.research.google.com/github/OWNER/NAME/blob/HEAD/a.ipynb",
        "https://colab.research.google.com/github/OWNER/NAME/blob/HEAD/b.ipynb",
        "https://mybinder.org/v2/gh/OWNER/NAME/HEAD",
        "https://codespaces.new/OWNER/NAME",
    ):
        assert f"]({link})" in with_badges
    assert with_badges.count("[![Open a.ipynb in Colab]") == 1 and "paste" not in with_badges
    assert anywhere.put_badges(with_badges, URL, names) == with_badges
    assert anywhere.put_badges(with_badges, None, names) == asking


# ------------------------------------------------------------------------------------------------- what Colab is given


@pytest.fixture
def colab(monkeypatch):
    """A function (python, {name: version that is there}) -> the calls of pip."""

    def run(python, there):
        calls = []
        monkeypatch.setattr(install.sys, "version_info", python)
        monkeypatch.setattr(install, "version", there.get)
        monkeypatch.setattr(install, "pip_install", lambda *arguments: calls.append(arguments))
        install.main(["--colab"])
        return calls

    return run


PINS = dict(pin.split("==") for pin in install.read_pins())
NOT_THERE = {"pybullet", "pybullet-envs-gymnasium", "viser"}
USUAL = {name: "0.1" for name in PINS if name not in NOT_THERE}


def test_colab_keeps_what_it_has_but_for_gymnasium(colab):
    (call,) = colab((3, 11, 9), USUAL)
    assert set(call) == {f"{name}=={PINS[name]}" for name in NOT_THERE | {"gymnasium"}}


def test_a_newer_colab_compiles_pybullet_first_where_numpy_is_seen(colab, capsys):
    first, second = colab((3, 13, 2), USUAL)
    assert first == ("--no-build-isolation", f"pybullet=={PINS['pybullet']}")
    assert f"pybullet-envs-gymnasium=={PINS['pybullet-envs-gymnasium']}" in second
    assert "no ready-made pybullet" in capsys.readouterr().out


def test_colab_with_everything_is_left_alone(colab, capsys):
    there = {name: version for name, version in PINS.items() if name != "jupyterlab"}
    assert colab((3, 13, 2), there) == [] and capsys.readouterr().out == ""


# -------------------------------------------------------------------------------------- Binder and the dev container


def test_binder_installs_the_one_list_into_a_python_that_suits():
    assert (ROOT / ".binder/runtime.txt").read_text() in ("python-3.10\n", "python-3.11\n")
    post_build = ROOT / ".binder/postBuild"
    assert os.access(post_build, os.X_OK) and "\npython scripts/install.py\n" in post_build.read_text()
    assert sorted(path.name for path in post_build.parent.iterdir()) == ["postBuild", "runtime.txt"]  # no list of its own


def test_the_dev_container_runs_the_command_of_the_readme():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert re.search(r"python:3\.1[01]-", container["image"])
    commands = re.search(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    assert container["postCreateCommand"] in [line.split("#")[0].strip() for line in commands.splitlines()]
