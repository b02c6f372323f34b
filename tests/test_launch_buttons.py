"""The notebooks' first cell, which is for Colab alone, and the badges that open the notebooks elsewhere."""

import copy
import json
import re
import sys
import types
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import launch_buttons  # noqa: E402
import make  # noqa: E402

URL = "https://github.com/OWNER/NAME"
NOTEBOOKS = sorted(ROOT.glob("*.ipynb"))
README = "# Title\n\n[![Open an old badge\n\nText.\n"


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


def source(url):
    """The source of the cell for Colab."""
    notebook = {"cells": [{"cell_type": "markdown"}]}
    launch_buttons.put_cell(notebook, url)
    return "".join(notebook["cells"][1]["source"])


def run_cell(url, answer=None):
    """Runs the cell as a notebook does; what it told IPython, and the names it left behind.

    IPython puts the value of `address` into the command; here it is `answer`, what the reader types.
    """
    shell = Shell()
    names = {"get_ipython": lambda: shell, "input": lambda question: answer}
    exec(TransformerManager().transform_cell(source(url)).replace("{address}", answer or URL), names)
    return shell.told, set(names) - {"get_ipython", "input", "__builtins__"}


@pytest.fixture
def on_colab(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------------------------------------ the cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_notebook_has_the_cell_with_the_address_of_pyproject(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    expected = copy.deepcopy(notebook)
    launch_buttons.put_cell(expected, launch_buttons.read_address())
    assert notebook == expected, "run scripts/launch_buttons.py"
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert first["id"] == launch_buttons.CELL_ID and first["outputs"] == []


@pytest.mark.parametrize("url", [None, URL])
def test_the_cell_does_nothing_elsewhere(url, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.chdir(tmp_path)
    before = sys.path[:]
    told, names = run_cell(url)
    assert told == [] and names <= {"sys", "Path"} and sys.path == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("url, answer", [(URL, None), (None, URL)])
def test_on_colab_the_cell_fetches_then_enters_then_installs(on_colab, url, answer):
    told, _ = run_cell(url, answer)
    assert told[:2] == [f'!git clone --quiet --depth 1 "{URL}" ant', "%cd -q ant"]
    assert told[2].endswith("scripts/make.py colab") and len(told) == 3
    assert sys.path[0] == ""


def test_run_again_on_colab_the_cell_does_nothing(on_colab, tmp_path):
    (tmp_path / "TD3.py").touch()  # the folder that it entered before
    assert run_cell(URL)[0] == []


@pytest.mark.parametrize("answer", ["nonsense", "https://github.com/OWNER/OTHER"])
def test_on_colab_with_a_wrong_address_the_cell_ends_in_a_sentence(on_colab, answer):
    with pytest.raises(SystemExit, match=f"Nothing came from '{answer}': run this cell again with"):
        run_cell(None, answer)


@pytest.mark.parametrize("title", [True, False])
def test_the_cell_is_put_in_once_below_the_title_and_its_source_renewed(title):
    cells = [{"cell_type": "code", "id": "x", "execution_count": 1, "metadata": {}, "outputs": [], "source": []}]
    notebook = {"cells": [{"cell_type": "markdown", "id": "t"}] * title + cells}
    launch_buttons.put_cell(notebook, URL)
    assert [cell["id"] for cell in notebook["cells"]] == ["t"] * title + ["colab", "x"]
    notebook["cells"][title]["execution_count"] = 1
    launch_buttons.put_cell(notebook, URL + "2")
    cell = notebook["cells"][title]
    assert len(notebook["cells"]) == title + 2 and cell["execution_count"] == 1
    assert f'    address = "{URL}2"\n' in cell["source"]


# --------------------------------------------------------------------------------------------- the address, the badges


def test_the_address_is_written_once_and_replaced_when_it_changes():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for url in (URL, URL + "2"):
        text = launch_buttons.set_address(text, url)
        assert launch_buttons.tomllib.loads(text)["project"]["urls"] == {"Repository": url}


@pytest.mark.parametrize("given", [URL, URL + "/", URL + ".git"])
def test_an_address_on_github_is_taken_without_its_ending(given):
    assert f'Repository = "{URL}"\n' in launch_buttons.set_address("[project.optional-dependencies]", given)


@pytest.mark.parametrize("given", ["", "OWNER/NAME", "https://example.com/OWNER/NAME", URL + "/tree/main"])
def test_another_address_is_refused_in_a_sentence(given):
    with pytest.raises(ValueError, match=r"expected one like https://github.com/OWNER/NAME"):
        launch_buttons.set_address("", given)


def test_everything_is_up_to_date(tmp_path, monkeypatch):
    before = {path.name: path.read_text(encoding="utf-8") for path in [*NOTEBOOKS, ROOT / "README.md", ROOT / "pyproject.toml"]}
    for name, text in before.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(launch_buttons, "ROOT", tmp_path)
    launch_buttons.main()
    changed = [name for name, text in before.items() if (tmp_path / name).read_text(encoding="utf-8") != text]
    assert not changed, "run scripts/launch_buttons.py"
    launch_buttons.main(URL)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    for link in (
        "https://colab.research.google.com/github/OWNER/NAME/blob/HEAD/TD3notebook.ipynb",
        "https://mybinder.org/v2/gh/OWNER/NAME/HEAD",
        "https://codespaces.new/OWNER/NAME",
    ):
        assert f"]({link})" in readme
    assert URL in (tmp_path / "TD3notebook.ipynb").read_text(encoding="utf-8") and "paste the address" not in readme


def test_without_an_address_the_badges_lead_to_forms_that_ask_for_it():
    asking = launch_buttons.put_badges(README, None, {})
    for form in ("https://colab.research.google.com/github/", "https://mybinder.org/", "https://github.com/codespaces/new"):
        assert f"]({form})" in asking
    assert asking.startswith("# Title\n\n[![Open in Colab](") and asking.endswith("paste the address of this page.\n\nText.\n")
    known = launch_buttons.put_badges(asking, URL, {"a.ipynb": "Run", "b.ipynb": "Walk"})
    assert launch_buttons.put_badges(known, None, {}) == asking and known.count("in Colab]") == 2


# ------------------------------------------------------------------------------------------- what Colab and Binder are given

PINS = [re.split("[= ]", pin)[0] for pin in make.read_pins()]


@pytest.fixture
def colab(monkeypatch):
    """A function ({names of packages that are there}) -> the names that would be installed."""

    def run(there):
        packages = [types.SimpleNamespace(metadata={"Name": name}) for name in there]
        monkeypatch.setattr("importlib.metadata.distributions", lambda: packages)
        return {pin.split("==")[0] for pin in make.colab_pins()}

    return run


def test_colab_keeps_what_it_has_but_for_gymnasium(colab):
    lacking = {"pybullet", "pybullet-arm64", "pybullet-envs-gymnasium", "viser"}
    assert colab(set(PINS) - lacking) == lacking | {"gymnasium"}
    assert colab([*PINS, "PyBullet_envs_gymnasium"]) == {"gymnasium"}


def test_binder_installs_the_one_list():
    folder = ROOT / ".binder"
    assert "\npython scripts/make.py binder\n" in (folder / "postBuild").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["postBuild", "runtime.txt"]  # no list of its own
    assert any(pin.startswith("jupyter-server-proxy==") for pin in make.read_pins("binder"))
