"""The set-up: one list of pins, a Python that is found or asked for, an installation that happens once."""

import contextlib
import http.server
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import install  # noqa: E402
import lock  # noqa: E402

MAKE = shutil.which("make")
needs_make = pytest.mark.skipif(MAKE is None, reason="make is not installed")


# ---------------------------------------------------------------------------------------------------------------- pins


def pins(*extras):
    """{name: version} of pyproject.toml."""
    return dict(requirement.split("==") for requirement in install.read_pins(*extras))


def conda_pins(text):
    """({name: version} from conda, the same from pip) of an environment.yml."""
    conda = dict(re.findall(r"^  - ([a-z0-9-]+)=([0-9.]+)", text, re.M))
    pip = dict(re.findall(r"^      - ([a-z0-9-]+)==([0-9.]+)", text, re.M))
    return conda, pip


# conda-forge numbers pybullet as Bullet's source is numbered, and its newest known build is one release older.
CONDA_NAMES = {("pybullet", "3.25"): ("pybullet", "3.2.7")}


def test_every_requirement_is_pinned_exactly_and_once():
    requirements = install.read_pins("test", "lint", "bench")
    for requirement in requirements:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9]+(\.[0-9]+)+", requirement), requirement
    names = [requirement.split("==")[0] for requirement in requirements]
    assert sorted(names) == sorted(set(names)), "a package is pinned to two versions"


def test_environment_yml_equals_pyproject():
    conda, pip = conda_pins((ROOT / "environment.yml").read_text())
    assert install.read_pins()[0].startswith("torch==")
    assert conda.pop("python") in ("3.10", "3.11")
    assert not set(conda) & set(pip)
    translated = dict(CONDA_NAMES.get(pin, pin) for pin in conda.items())
    assert {**translated, **pip} == pins()


def test_constraints_pin_what_pyproject_does_not():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = {line.split("==")[0] for line in lines}
    assert {"filelock", "sympy", "cloudpickle", "protobuf"} <= names  # needed by torch, gymnasium and tensorboard
    assert not names & set(pins("test", "lint", "bench"))
    assert all(lock.keep(line, ()) for line in lines)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9.-]+==[^+@/ ]+( ; .+)?", line), line


def test_lock_keeps_ordinary_packages_only():
    assert lock.keep("filelock==4.1.0 ; python_full_version < '3.11'", {"torch"})
    for line in (
        "torch==2.13.0",
        "triton==3.7.1",
        "nvidia-cublas==13.1.1.3 ; sys_platform == 'linux'",
        "cuda-toolkit==13.0.3.0",
        "jax==0.11.2 ; python_full_version >= '3.12'",
    ):
        assert not lock.keep(line, {"torch"}), line


def test_installed_versions_are_the_pinned_ones():
    found = {}
    for name in pins("test", "lint", "bench"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name).split("+")[0]
    missing = set(pins("test")) - set(found)  # what only `make lint` or the benchmark needs may be absent
    assert not missing, f"not installed: {sorted(missing)}; run `make test`"
    assert found == {name: version for name, version in pins("test", "lint", "bench").items() if name in found}


# The names that these packages are imported by, where they differ.
IMPORTED_AS = {
    "pillow": "PIL",
    "stable-baselines3": "stable_baselines3",
    "sbx-rl": "sbx",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "pybullet-envs-gymnasium": "pybullet_envs_gymnasium",
    "tensorboard": "torch.utils.tensorboard",
}
# Tools that nothing imports: where each is used instead.
TOOLS = {
    "jupyterlab": ("Makefile", r"bin/jupyter lab"),
    "ipykernel": ("*.ipynb", r'"kernelspec"'),
    "ruff": ("Makefile", r"-m ruff check"),
    "mypy": ("Makefile", r"-m mypy"),
}


def sources(pattern):
    paths = [path for folder in ("", "tests", "benchmarks") for path in sorted((ROOT / folder).glob(pattern))]
    return [path.read_text(encoding="utf-8") for path in paths if path != Path(__file__)]


def is_imported(module, texts):
    # In a notebook a line of code begins after a quote.
    statement = re.compile(rf"(?m)^[ \t]*\"?[ ]*(?:import|from) {re.escape(module)}\b")
    return any(statement.search(text) for text in texts)


def test_is_imported_tells_an_import_from_a_mention():
    assert is_imported("PIL", ["    from PIL import Image\n"])
    assert is_imported("tqdm", ['   "import tqdm\\n",\n'])
    assert not is_imported("tqdm", ["# import tqdm\n", "import tqdm_other\n"])


@pytest.mark.parametrize("name", sorted(pins("test", "lint", "bench")))
def test_pinned_package_is_used(name):
    if name in TOOLS:
        pattern, use = TOOLS[name]
        used = any(re.search(use, text) for text in sources(pattern))
    else:
        used = is_imported(IMPORTED_AS.get(name, name), sources("*.py") + sources("*.ipynb"))
    assert used, f"no module, test, benchmark or notebook uses {name}: drop its pin, or use it"


# --------------------------------------------------------------------------------------------------- finding a Python


def command(folder, name, script):
    """An executable `name` in `folder` that runs `script` with sh."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


GOOD = f'exec "{sys.executable}" "$@"'
SHIM = "echo 'pyenv: command not found' >&2; exit 127"
# The finder calls a candidate as `python -c CODE`; these run CODE with something else about the Python changed.
NEWER = f'exec "{sys.executable}" -c "import sys; sys.version_info = (3, 12, 1)\n$2"'
WITHOUT_VENV = f'exec "{sys.executable}" -c "import sys; sys.modules[\'ensurepip\'] = None\n$2"'


def find_python(folder, **variables):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find_python.sh")],
        env={"PATH": str(folder), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_one_sentence(text):
    assert text.count("\n") == 1 and text.endswith(".\n"), text
    for word in ("3.10", "3.11", "pybullet"):
        assert word in text


@pytest.mark.parametrize("name", ["python3.11", "python3.10", "python3", "python"])
def test_finds_a_python_under_any_of_its_names(tmp_path, name):
    command(tmp_path, name, GOOD)
    result = find_python(tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, sys.executable + "\n", "")


@pytest.mark.parametrize("bad", [SHIM, NEWER, WITHOUT_VENV])
def test_passes_over_a_python_that_does_not_suit(tmp_path, bad):
    command(tmp_path, "python3.11", bad)
    command(tmp_path, "python3", GOOD)
    assert find_python(tmp_path).stdout == sys.executable + "\n"


@pytest.mark.parametrize("bad", [None, SHIM, NEWER, WITHOUT_VENV])
def test_says_in_one_sentence_that_no_python_suits(tmp_path, bad):
    if bad:
        command(tmp_path, "python3.10", bad)
        command(tmp_path, "python3", bad)
    result = find_python(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert_one_sentence(result.stderr)


def test_a_named_python_is_taken_or_refused_but_never_replaced(tmp_path):
    command(tmp_path, "python3.11", SHIM)
    good = command(tmp_path / "other", "mypython", GOOD)
    assert find_python(tmp_path, PYTHON=str(good)).stdout == sys.executable + "\n"
    command(tmp_path, "python3.11", GOOD)
    newer = command(tmp_path / "other", "newer", NEWER)
    result = find_python(tmp_path, PYTHON=str(newer))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"PYTHON={newer}" in result.stderr
    assert_one_sentence(result.stderr)


def test_asks_uv_where_no_python_is_on_the_path(tmp_path):
    python = command(tmp_path / "managed", "python3.11", GOOD)
    command(
        tmp_path,
        "uv",
        f'[ "$1 $2" = "python find" ] && [ -e asked ] && echo "{python}" && exit 0\n'
        '[ "$1 $2" = "python install" ] && : > asked',
    )
    assert find_python(tmp_path).stdout == sys.executable + "\n"
    assert (tmp_path / "asked").exists()  # uv had none, so it was told to get one


def test_asks_conda_where_neither_python_nor_uv_helps(tmp_path):
    command(tmp_path, "uv", "exit 2")
    command(tmp_path, "python3", NEWER)
    made = tmp_path / ".conda" / "bin"
    command(made, "python", GOOD)
    command(tmp_path, "conda", '[ "$1" = create ] || exit 2')
    assert find_python(tmp_path).stdout == sys.executable + "\n"
    command(tmp_path, "conda", "exit 1")
    assert_one_sentence(find_python(tmp_path).stderr)


# ---------------------------------------------------------------------------------------------- where torch comes from


@contextlib.contextmanager
def index_page(text):
    """A server on this machine whose every page is `text`."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def wheel(version="2.13.0", tag=f"cp{sys.version_info[0]}{sys.version_info[1]}", machine=None):
    machine = machine or install.platform.machine()
    return f'<a href="/whl/torch-{version}%2Bcpu-{tag}-{tag}-manylinux_2_28_{machine}.whl">a wheel</a>'


def test_an_index_with_the_right_wheel_is_taken():
    with index_page(wheel("2.12.0") + "\n" + wheel()) as index:
        assert install.index_has_torch(index, "2.13.0")


@pytest.mark.parametrize("page", ["", wheel("2.12.0"), wheel(tag="cp39"), wheel(machine="s390x")])
def test_an_index_without_the_right_wheel_is_not_taken(page):
    with index_page(page) as index:
        assert not install.index_has_torch(index, "2.13.0")


def test_a_closed_port_is_given_up_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    assert not install.index_has_torch(f"http://127.0.0.1:{port}", "2.13.0")
    assert time.monotonic() - start < 2


def test_a_silent_index_is_given_up_after_the_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        assert not install.index_has_torch(f"http://127.0.0.1:{silent.getsockname()[1]}", "2.13.0", timeout=0.5)
        assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "card, there, expected", [(False, True, ["cpu", "all"]), (False, False, ["all"]), (True, True, ["all"])]
)
def test_cpu_torch_is_taken_only_without_a_card_and_from_an_index_that_answers(monkeypatch, card, there, expected):
    calls = []
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(install, "has_nvidia_card", lambda: card)
    monkeypatch.setattr(install, "index_has_torch", lambda *_: there)
    monkeypatch.setattr(install, "installed", lambda _: False)
    monkeypatch.setattr(install, "pip_install", lambda *arguments: calls.append(arguments))
    install.main([])
    assert ["cpu" if install.CPU_INDEX in call else "all" for call in calls] == expected
    assert calls[-1][2:] == tuple(install.read_pins())


def test_an_environment_of_another_python_is_refused_before_pip_runs(monkeypatch):
    monkeypatch.setattr(install, "pip_install", lambda *_: pytest.fail("pip ran"))
    monkeypatch.setattr(install.sys, "version_info", (3, 12, 1))
    with pytest.raises(SystemExit, match="delete .venv and run make again"):
        install.main([])


def test_an_unknown_extra_is_refused_with_the_known_ones():
    with pytest.raises(SystemExit, match="Unknown extra 'tests'.*bench, lint, test"):
        install.read_pins("tests")


# ------------------------------------------------------------------------------------------------------------ Makefile


@pytest.fixture
def checkout(tmp_path):
    """A copy of the set-up alone, with a viewer that only says it ran."""
    folder = tmp_path / "checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/find_python.sh", "scripts/install.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "viewer.py").write_text("print('viewer ran')\n")
    return folder


def make(folder, *arguments, **variables):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL", "ARGS")
    }
    return subprocess.run(
        [MAKE, *arguments],
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@needs_make
def test_help_lists_every_target_and_installs_nothing(checkout):
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.+)$", text, re.M).group(1).split()
    assert set(re.findall(r"^([a-z-]+):", text, re.M)) == set(targets)
    for arguments in ((), ("help",)):
        result = make(checkout, *arguments)
        listed = dict(re.findall(r"^  make ([a-z-]+) +(\S.+)$", result.stdout, re.M))
        assert list(listed) == targets
    assert not (checkout / ".venv").exists()


@needs_make
def test_make_stops_before_anything_is_made_where_no_python_suits(checkout, tmp_path):
    command(tmp_path / "bin", "python3.11", SHIM)
    result = make(checkout, "ant", PATH=str(tmp_path / "bin"))
    assert result.returncode != 0 and result.stdout == ""
    sentence, *rest = result.stderr.splitlines(keepends=True)
    assert_one_sentence(sentence)
    assert all(line.startswith("make") for line in rest)
    assert not (checkout / ".venv").exists()


@needs_make
def test_an_interrupted_installation_is_taken_up_again_and_a_finished_one_is_not_repeated(checkout):
    bin_folder = checkout / ".venv" / "bin"
    command(bin_folder, "python", GOOD)  # stands for an environment that has pip
    installer = checkout / "scripts" / "install.py"
    stamp = checkout / ".venv" / ".ready"

    installer.write_text("raise SystemExit('the line went dead')\n")
    result = make(checkout, "ant")
    assert result.returncode != 0 and "the line went dead" in result.stderr and "viewer ran" not in result.stdout
    assert not stamp.exists()

    installer.write_text("print('installing')\n")
    assert make(checkout, "ant").stdout == "installing\nviewer ran\n"
    assert stamp.exists()
    assert make(checkout, "ant").stdout == "viewer ran\n"

    later = time.time() + 10
    os.utime(checkout / "constraints.txt", (later, later))
    assert make(checkout, "ant").stdout == "installing\nviewer ran\n"


@needs_make
def test_an_environment_without_pip_is_made_anew(checkout, tmp_path):
    command(checkout / ".venv" / "bin", "python", "exit 1")
    (checkout / "scripts" / "install.py").write_text("import pip\nprint('installing')\n")
    # -m venv with pip takes seconds, so this Python only leaves what the rule relies on: a working .venv/bin/python
    link = f'mkdir -p .venv/bin; printf \'#!/bin/sh\\nexec "{sys.executable}" "$@"\\n\' > .venv/bin/python; echo "$@" > asked'
    python = command(tmp_path / "bin", "mypython", GOOD)
    finder = checkout / "scripts" / "find_python.sh"
    maker = command(tmp_path / "bin", "maker", link)
    finder.write_text(f'[ "$PYTHON" = "{python}" ] && echo "{maker}"\n')
    assert make(checkout, "ant", f"PYTHON={python}").stdout == "installing\nviewer ran\n"
    assert (checkout / "asked").read_text() == "-m venv --clear .venv\n"


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
    return PRIVATE.findall(text) + [url for url in INDEX.findall(text) if url != install.CPU_INDEX]


@pytest.mark.parametrize(
    "text",
    ["see " + "/ro" + "ot/x", "https://" + HOSTS[0] + "/x", "fi" + "le:///srv/wheels", "https://example.com" + "/sim" + "ple/"],
)
def test_given_away_finds_each_kind(text):
    assert given_away(text)
    assert not given_away(install.CPU_INDEX + " ./work/x ~/work/x https://github.com/sfujim/TD3")


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
