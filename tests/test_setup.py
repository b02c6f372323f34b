"""The set-up: one list of pins that the other files repeat, and one script that installs it."""

import contextlib
import functools
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import make  # noqa: E402

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ["3.11", "3.12", "3.13"]
EXTRAS = list(PYPROJECT["project"]["optional-dependencies"])


# ---------------------------------------------------------------------------------------------------------------- pins


def requirements(*extras):
    """The requirements of pyproject.toml with those of extras, parsed, each once."""
    lines = sum((make.read_pins(extra) for extra in extras), make.read_pins())
    return [Requirement(line) for line in dict.fromkeys(lines)]


def pins(*extras, applying=True):
    """{name: version}, by default of what applies to the Python that runs the tests."""
    wanted = requirements(*extras)
    return {
        each.name: str(each.specifier).removeprefix("==")
        for each in wanted
        if not applying or not each.marker or each.marker.evaluate()
    }


def test_every_requirement_is_pinned_exactly_and_once():
    everything = requirements(*EXTRAS)
    for requirement in everything:
        assert re.fullmatch(r"==[0-9]+(\.[0-9]+)+", str(requirement.specifier)), requirement
    names = [requirement.name for requirement in everything]
    assert sorted(names) == sorted(set(names)), "a package is pinned to two versions"


def test_constraints_pin_what_pyproject_pins_and_what_that_needs():
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"==[^+@/,]+", str(line.specifier)) for line in lines)
    locked = {(line.name, str(line.specifier)) for line in lines}
    assert {(each.name, str(each.specifier)) for each in requirements(*EXTRAS)} <= locked, "run `make lock`"
    assert {"filelock", "sympy", "cloudpickle", "protobuf"} <= {name for name, _ in locked}  # of torch, gymnasium, tensorboard


def test_environment_yml_equals_pyproject():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_conda = dict(line.split("=") for line in conda if "=" in line)
    assert from_conda.pop("python") in PYTHONS
    assert from_conda.pop("pybullet") == "3.25"  # conda's name of a release older than the pinned one
    from_pip = dict(line.split("==") for line in pip["pip"] if not line.startswith("--"))
    expected = pins(applying=False)
    assert expected.pop("pybullet") and expected.pop("pybullet-arm64")
    assert not set(from_conda) & set(from_pip) and {**from_conda, **from_pip} == expected


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("system, machine", make.SYSTEMS)
def test_exactly_one_pybullet_is_installed_everywhere(python, system, machine):
    names = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}
    place = {**default_environment(), "sys_platform": names[system], "platform_machine": machine, "python_version": python}
    both = [each for each in requirements() if each.name in ("pybullet", "pybullet-arm64")]
    chosen = [each.name for each in both if each.marker.evaluate(place)]
    assert chosen == (["pybullet"] if (system, python) == ("Linux", "3.11") else ["pybullet-arm64"])
    (override,) = map(Requirement, PYPROJECT["tool"]["uv"]["override-dependencies"])
    assert override == next(each for each in both if each.name == "pybullet")
    assert [Marker(each).evaluate(place) for each in PYPROJECT["tool"]["uv"]["environments"]].count(True) == 1


def test_all_files_promise_the_same_pythons():
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "3.11, 3.12 and 3.13 only" in make.PYTHON_NEEDED
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS and len(matrix["os"]) == len(make.SYSTEMS)
    runs = [step["run"] for step in workflow["jobs"]["tests"]["steps"] if "run" in step]
    assert runs == ["python scripts/make.py lint", "python scripts/make.py test"]
    assert re.findall(r"^make (\w+)", (ROOT / ".ci/run").read_text(), re.M) == ["lint", "test"]
    assert (ROOT / ".binder/runtime.txt").read_text().strip() in [f"python-{python}" for python in PYTHONS]
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert re.search(r"python:([0-9.]+)-", container["image"])[1] in PYTHONS and container["postCreateCommand"] == "make ant"


def test_installed_versions_are_the_pinned_ones():
    found = {}
    for name in pins(*EXTRAS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name).split("+")[0]
    missing = set(pins("test")) - set(found)  # what another extra needs may be absent
    assert not missing, f"not installed: {sorted(missing)}; run `make test`"
    assert found == {name: version for name, version in pins(*EXTRAS).items() if name in found}


# The names that packages are imported by, where they differ.
IMPORTED_AS = {
    "pillow": "PIL",
    "pybullet-arm64": "pybullet",
    "pybullet-envs-gymnasium": "pybullet_envs_gymnasium",
    "stable-baselines3": "stable_baselines3",
    "tensorboard": "torch.utils.tensorboard",
}
# Packages that nothing imports: where each is used instead.
TOOLS = {
    "av": ("viewing/*.py", r"\bpyav\b"),
    "ipykernel": ("*.ipynb", r'"kernelspec"'),
    "jupyter-server-proxy": ("viewing/*.py", r"jupyter_server_proxy"),
    "jupyterlab": ("scripts/make.py", r"-m jupyter lab"),
    "mypy": ("scripts/make.py", r'"mypy"'),
    "pytest-xdist": ("scripts/make.py", r"-m pytest -n logical"),
    "ruff": ("scripts/make.py", r'"ruff check"'),
    "sbx-rl": ("benchmarks/*.py", r'"sbx"'),
    "tach": ("scripts/make.py", r'"tach check"'),
}


FOLDERS = ["benchmarks", "envs", "page", "tests", "training", "viewing"]


@functools.cache
def texts(pattern):
    """The files of a pattern, each read once, without the pictures of notebooks."""
    paths = [path for path in ROOT.glob(pattern) if path != Path(__file__)]
    return [re.sub(r"\"image/png\": .*", "", path.read_text("utf-8")) for path in paths]


@pytest.mark.parametrize("name", sorted(pins(*EXTRAS, applying=False)))
def test_pinned_package_is_used(name):
    files, use = TOOLS.get(name, ("", ""))
    if not files:  # in a notebook, a line of code begins after a quote
        use = rf"(?m)^[ \t]*\"?[ ]*(?:import|from) {re.escape(IMPORTED_AS.get(name, name))}\b"
    patterns = [files] if files else ["*.py", "*.ipynb", *(f"{folder}/*.py" for folder in FOLDERS)]
    assert any(re.search(use, text) for pattern in patterns for text in texts(pattern)), (
        f"nothing uses {name}: drop its pin, or use it"
    )


# --------------------------------------------------------------------------------------------- the Python that runs it


@pytest.mark.parametrize(
    "what, value",
    [("version_info", (3, 10, 13)), ("version_info", (3, 14, 0)), ("maxsize", 2**31 - 1)],
)
def test_another_python_ends_in_a_sentence_that_says_which_is_needed(monkeypatch, what, value):
    monkeypatch.setattr(make.sys, what, value)
    sentence = make.unsuitable()
    assert sentence.endswith(".") and "\n" not in sentence and "3.11, 3.12 and 3.13" in sentence and "uv" in sentence


@pytest.mark.parametrize(
    "system, machine", [("Linux", "aarch64"), ("Linux", "i686"), ("Darwin", "x86_64"), ("Windows", "ARM64")]
)
def test_another_system_ends_in_a_sentence_that_leads_on(monkeypatch, system, machine):
    monkeypatch.setattr(make.platform, "system", lambda: system)
    monkeypatch.setattr(make.platform, "machine", lambda: machine)
    sentence = make.unsuitable()
    assert sentence.endswith(".") and "\n" not in sentence and "Colab" in sentence and "environment.yml" in sentence


@pytest.mark.parametrize("libc", [("", ""), ("musl", "1.2"), ("glibc", "2.17")])
def test_musl_and_an_old_glibc_end_in_that_sentence_too(monkeypatch, libc):
    monkeypatch.setattr(make.platform, "system", lambda: "Linux")
    monkeypatch.setattr(make.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(make.platform, "libc_ver", lambda: libc)
    assert "glibc 2.28" in make.unsuitable()


def test_the_python_that_runs_the_tests_suits():
    assert make.unsuitable() is None


# -------------------------------------------------------------------------------------------------- installing, running

needs_sh = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for programs are shell scripts")


def program(path, script):
    """An executable at `path` that runs `script` with sh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# A Python whose pip writes down its arguments, and fails if there is a file "offline".
FAKE_PIP = f"""\
[ "$2 $3" = "pip install" ] || exec "{sys.executable}" "$@"
echo "$@" >> pip.log
[ ! -e offline ]"""


@pytest.fixture
def checkout(tmp_path):
    """A copy of the set-up alone, with a main.py that only says it ran, and a .venv whose pip installs nothing."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/make.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "main.py").write_text("import sys\nprint('main ran', *sys.argv[1:])\n")
    program(folder / ".venv/bin/python", FAKE_PIP)
    return folder


def run(folder, *command, **variables):
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL", "ARGS")}
    return subprocess.run(command, cwd=folder, env={**kept, **variables}, capture_output=True, text=True, timeout=120)


@needs_sh
def test_an_interrupted_installation_is_completed_and_a_finished_one_is_not_repeated(checkout):
    train = (sys.executable, "scripts/make.py", "train")
    (checkout / "offline").touch()
    result = run(checkout, *train)
    assert result.returncode == 1 and "run the same command again" in result.stderr and "main ran" not in result.stdout
    (checkout / "offline").unlink()
    assert re.fullmatch(r"Installing .+\nmain ran --seed 1\n", run(checkout, *train, "--seed", "1").stdout)
    assert run(checkout, *train).stdout == "main ran\n"
    with (checkout / "constraints.txt").open("a") as file:
        file.write("new==1.0\n")
    assert run(checkout, *train).stdout.startswith("Installing")


@needs_sh
def test_pip_gets_every_pin_and_no_dependency_of_pybullet_envs_gymnasium(checkout):
    assert run(checkout, sys.executable, "scripts/make.py", "test", "--version").returncode == 0
    torch, envs, others = (checkout / "pip.log").read_text().splitlines()
    assert all("--only-binary=:all:" in line for line in (torch, envs, others))
    assert " --no-deps " in torch and torch.endswith(f" torch=={pins()['torch']}")
    assert envs.endswith(f" --no-deps pybullet-envs-gymnasium=={pins()['pybullet-envs-gymnasium']}")
    assert "--no-deps" not in others and "pybullet-envs-gymnasium" not in others and " --constraint " in others
    assert all(pin in others or pin in envs for pin in make.read_pins("test"))
    assert "--extra-index-url" not in envs + others


@needs_sh
@pytest.mark.parametrize("card", [False, True])
def test_torch_comes_without_cuda_where_there_is_no_card(tmp_path, monkeypatch, card):
    program(tmp_path / "python", 'echo "$@" >> "$(dirname "$0")/pip.log"')
    if card:
        program(tmp_path / "nvidia-smi", "")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if card else "/bin")
    monkeypatch.setattr(make.platform, "system", lambda: "Linux")
    make.pip_install(str(tmp_path / "python"), ["torch==2.13.0", "numpy==2.4.6"])
    torch, others = (tmp_path / "pip.log").read_text().splitlines()
    assert (f"--extra-index-url {make.CPU_INDEX}" in torch) == (not card) and "numpy" not in torch
    assert others.endswith("torch==2.13.0 numpy==2.4.6")  # with what torch needs


@needs_sh
def test_an_environment_without_pip_is_made_anew(checkout, monkeypatch):
    program(checkout / ".venv/bin/python", "exit 1")
    monkeypatch.setattr(make, "VENV", checkout / ".venv")
    monkeypatch.setattr(make, "PYTHON", str(checkout / ".venv/bin/python"))
    calls = []
    monkeypatch.setattr(make, "pip_install", lambda python, *_: calls.append(run(checkout, python, "-m", "pip", "--version")))
    make.install(None)
    assert [call.returncode for call in calls] == [0] and (checkout / ".venv/.installed-base").exists()


@needs_sh
def test_another_python_on_the_path_takes_over_from_one_that_does_not_fit(checkout, tmp_path):
    # The script sees itself run by Python 3.14, unless python3.12 runs it.
    path = checkout / "scripts/make.py"
    path.write_text("import os, sys\nif 'FITS' not in os.environ: sys.version_info = (3, 14, 0)\n" + path.read_text())
    result = run(checkout, sys.executable, "scripts/make.py", "train", PATH=f"{tmp_path}/bin")
    assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
    assert not (checkout / "pip.log").exists()
    program(tmp_path / "bin/python3.12", f'FITS=1 exec "{sys.executable}" "$@"')
    assert run(checkout, sys.executable, "scripts/make.py", "train", PATH=f"{tmp_path}/bin").stdout.endswith("main ran\n")


@needs_sh
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_reaches_the_program_which_ends_in_its_own_way(checkout, name):
    (checkout / "main.py").write_text(
        "import signal, sys, time\n"
        f"signal.signal(signal.{name}, lambda *_: (time.sleep(0.5), print('saved'), sys.exit(3)))\n"
        "print('started', flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "scripts/make.py", "train"]
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while process.stdout.readline() != "started\n":
        pass
    # a terminal sends SIGINT to all programs in it, and `kill` sends SIGTERM to one
    (os.killpg if name == "SIGINT" else os.kill)(process.pid, getattr(signal, name))
    assert process.communicate(timeout=60)[0] == "saved\n" and process.returncode == 3


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_makefile_hands_each_target_to_the_script(checkout):
    (phony,) = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony.split() == ["help", *make.TARGETS]
    for arguments in ((), ("help",)):
        listed = re.findall(r"^  ([a-z-]+) +\S", run(checkout, "make", *arguments, f"PYTHON={sys.executable}").stdout, re.M)
        assert listed == list(make.TARGETS)
    assert not (checkout / "pip.log").exists()
    train = run(checkout, "make", "train", "ARGS=--name 'two words'", f"PYTHON={sys.executable}")
    assert train.stdout.endswith("main ran --name two words\n")


def test_an_unknown_target_is_refused_with_the_known_ones():
    assert make.main("tests").startswith("There is no target 'tests': expected one of ant, steer")


@pytest.mark.parametrize("arguments, checks", [([], True), (["--fix"], False)])
def test_lint_checks_or_repairs_and_looks_at_the_imports(arguments, checks):
    lines = [" ".join(command[2:]) for command in make.commands("lint", arguments)]
    assert [line.split()[0] for line in lines] == ["ruff", "ruff", "mypy", "tach"]
    assert ("--check" in lines[0]) == checks and ("--fix" in lines[1]) == (not checks)


# ------------------------------------------------------------------------------------------------------ imports one way


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """A function () -> the exit status of tach in a copy of the code, and that copy, in which tach finds nothing."""
    pytest.importorskip("tach", reason="tach is installed by `make lint`")
    folder = tmp_path_factory.mktemp("layers")
    for pattern in ("*.py", "envs/*.py", "training/*.py", "viewing/*.py", "tach.toml"):
        for path in ROOT.glob(pattern):
            (folder / path.relative_to(ROOT)).parent.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.relative_to(ROOT))

    def check():
        return run(folder, sys.executable, "-m", "tach", "check").returncode

    assert check() == 0
    return check, folder


@pytest.mark.parametrize(
    "module, line",
    [
        ("TD3.py", "import utils"),
        ("envs/vector.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from utils import ReplayBuffer"),
        ("training/run.py", "def later():\n    import viewing.curves"),
        ("utils.py", "import override_ant_random_points"),
        ("new.py", "import TD3"),
    ],
)
def test_tach_refuses_an_import_against_the_layers(layers, module, line):
    check, folder = layers
    path = folder / module
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    found = check()
    path.unlink() if before is None else path.write_text(before, encoding="utf-8")
    assert found == 1


# ----------------------------------------------------------------------------------------------- what a clone gives away

# In pieces, so that this file passes its own test.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("deb", "debian", "org"),
        ("anaconda", "org"),
        ("anaconda", "com"),
    )
]
PRIVATE = re.compile(r"(?<![\w.~-])/(?:root|home|work|opt|Users)/\w|file://+\w|" + "|".join(map(re.escape, HOSTS)))
INDEX = re.compile(r"https?://[^\s\"'<>]*/(?:simple|whl)\b[^\s\"'<>]*")


def given_away(text):
    """Paths of one machine, hosts of package registries, and package indexes other than PyTorch's own."""
    return PRIVATE.findall(text) + [url for url in INDEX.findall(text) if url != make.CPU_INDEX]


@pytest.mark.parametrize(
    "text",
    ["see " + "/ro" + "ot/x", "https://" + HOSTS[0] + "/x", "fi" + "le:///srv/wheels", "https://example.com" + "/sim" + "ple/"],
)
def test_given_away_finds_each_kind(text):
    assert given_away(text)
    assert not given_away(make.CPU_INDEX + " ./work/x ~/work/x https://github.com/sfujim/TD3")


def test_no_file_names_a_registry_or_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of files")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert ROOT / "tests" / "test_setup.py" in paths
    found = {}
    for path in paths:
        with contextlib.suppress(UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            if hits := given_away(path.read_text(encoding="utf-8")):
                found[str(path.relative_to(ROOT))] = hits[:3]
    assert not found
