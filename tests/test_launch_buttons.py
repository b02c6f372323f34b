"""The notebooks' first cell, which is for Colab alone, and the badges that open the notebooks elsewhere."""

import copy
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import launch_buttons  # noqa: E402
import make  # noqa: E402

URL = "https://github.com/OWNER/NAME"
on_linux = pytest.mark.skipif(os.name == "nt", reason="Colab runs on Linux")
NOTEBOOKS = sorted(ROOT.glob("*.ipynb"))
MAKE = """import pathlib, sys
(pathlib.Path(__file__).parent.parent / "calls").open("a").write(" ".join(sys.argv[1:]) + "\\n")
sys.exit("pip says no" if pathlib.Path("broken").exists() else None)
"""
README = "# Title\n\n[![Open an old badge\n\nText.\n"


class Shell(InteractiveShell):
    """IPython as on Colab, where the name of its class begins with google.colab."""


@pytest.fixture
def notebook(tmp_path, monkeypatch, request):
    """A function (address, what the reader types) that runs the cell in IPython and returns the error that ends it, or None.

    `notebook.folder` is where the cell puts the repository, `notebook.names` are the notebook's variables.
    """
    Shell.__module__ = getattr(request, "param", "google.colab._shell")
    content = tmp_path / "content"
    content.mkdir()
    monkeypatch.chdir(content)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(launch_buttons, "FOLDER", str(content / "ant"))
    shell = Shell(config=Config(HistoryManager={"enabled": False}))

    def run(address=None, typed=None):
        shell.user_ns["input"] = lambda question: typed
        result = shell.run_cell(source(address))
        return result.error_before_exec or result.error_in_exec

    run.folder, run.names = content / "ant", shell.user_ns
    return run


@pytest.fixture
def repository(tmp_path):
    """The address of a repository with our colab.py and a make.py that counts how often it is called."""
    scripts = tmp_path / "origin" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "colab.py").write_text((ROOT / "scripts" / "colab.py").read_text(encoding="utf-8"), encoding="utf-8")
    (scripts / "make.py").write_text(MAKE)
    git = ["git", "-C", str(scripts.parent), "-c", "user.name=x", "-c", "user.email=x"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *arguments], check=True)
    return scripts.parent.as_uri()


def source(url):
    """The source of the cell for Colab."""
    notebook = {"cells": [{"cell_type": "markdown"}]}
    launch_buttons.put_cell(notebook, url)
    return "".join(notebook["cells"][1]["source"])


def called(notebook):
    """What make.py was called with, one line a call."""
    return (notebook.folder / "calls").read_text().splitlines()


# ------------------------------------------------------------------------------------------------------------ the cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_notebook_has_the_cell_with_the_address_of_pyproject(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    expected = copy.deepcopy(notebook)
    launch_buttons.put_cell(expected, launch_buttons.read_address())
    assert notebook == expected, "run scripts/launch_buttons.py"
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert first["id"] == launch_buttons.CELL_ID and first["outputs"] == []


@pytest.mark.parametrize("address", [None, URL])
@pytest.mark.parametrize("notebook", ["ipykernel.zmqshell"], indirect=True)
def test_elsewhere_the_cell_does_nothing_and_prints_nothing(notebook, address, capfd):
    folder, path, names = Path.cwd(), sys.path[:], set(notebook.names)
    assert notebook(address) is None
    assert Path.cwd() == folder and not list(folder.iterdir()) and sys.path == path
    assert set(notebook.names) == names | {"input"} and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("address", [None, URL])
def test_the_cell_is_short_and_no_wider_than_the_page(address):
    lines = source(address).splitlines()
    assert len(lines) == 5 and max(map(len, lines)) <= 100


@on_linux
@pytest.mark.parametrize("typed", [False, True])
def test_on_colab_the_cell_fetches_the_repository_installs_and_enters_it(notebook, repository, typed):
    assert notebook(None, repository) is None if typed else notebook(repository) is None
    assert called(notebook) == ["colab"] and Path.cwd() == notebook.folder and sys.path[0] == str(notebook.folder)


@on_linux
def test_run_again_on_colab_the_cell_changes_nothing(notebook, repository, capfd):
    assert notebook(repository) is None
    path = sys.path[:]
    assert notebook(repository) is None
    assert called(notebook) == ["colab"] * 2 and Path.cwd() == notebook.folder and sys.path == path
    assert capfd.readouterr() == ("Installing what Colab lacks. This takes a while the first time.\n" * 2, "")


@on_linux
@pytest.mark.filterwarnings("ignore:To exit")  # IPython's remark on every SystemExit
def test_on_colab_with_a_wrong_address_the_cell_ends_in_a_sentence_and_can_be_run_again(notebook, repository):
    error = notebook(None, repository + "-elsewhere")
    assert isinstance(error, SystemExit) and str(error).startswith("Nothing was fetched. Run this cell again with")
    assert not notebook.folder.exists()
    assert notebook(None, repository) is None and called(notebook) == ["colab"]


@on_linux
def test_on_colab_a_failed_installation_ends_in_a_sentence_below_the_message_of_pip(notebook, repository, capfd):
    Path("broken").touch()
    notebook(repository)
    out, err = capfd.readouterr()
    assert "pip says no\n" in out and "The installation failed, for the reason above. Run this cell again." in out + err
    Path("broken").unlink()
    assert notebook(repository) is None and Path.cwd() == notebook.folder


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
    assert f' "{URL}2" ' in cell["source"][1]


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
