"""Installs the dependencies named in pyproject.toml into the environment whose Python runs this file.

    .venv/bin/python scripts/install.py            what the notebooks and modules need
    .venv/bin/python scripts/install.py test       and the extra of that name
    python scripts/install.py --colab              on Google Colab, beside what it brings: the notebooks' first cell does this

Only the standard library and pip are used, for nothing else is there yet. `make` calls it.
"""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# On Linux the package index's torch brings several GB of CUDA packages. PyTorch's own index has a build without them.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def read_project():
    """The table [project] of pyproject.toml."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10; the pip that comes with it has the same parser
        from pip._vendor import tomli as tomllib
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_pins(*extras):
    """The pinned requirements of pyproject.toml, as written there, with those of the named extras; each once."""
    project = read_project()
    known = project["optional-dependencies"]
    for extra in extras:
        if extra not in known:
            sys.exit(f"Unknown extra {extra!r}: pyproject.toml has {', '.join(sorted(known))}; name one of those.")
    return list(dict.fromkeys(sum((known[extra] for extra in extras), project["dependencies"])))


def index_has_torch(index, version, timeout=3.0):
    """Whether `index` offers this torch version for this Python and processor. Answers within `timeout` seconds.

    In a thread, because a name look-up that hangs heeds no timeout.
    """
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheel = re.compile(rf"torch-{re.escape(version)}(?:\+|%2B)cpu-{tag}-[^<>\"]*{platform.machine()}")
    answer = []

    def ask():
        try:
            with urllib.request.urlopen(f"{index}/torch/", timeout=timeout) as page:
                answer.append(bool(wheel.search(page.read().decode("utf-8", "replace"))))
        except (OSError, ValueError):  # no network, no such host, no such page
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answer == [True]


def has_nvidia_card():
    return bool(shutil.which("nvidia-smi")) or os.path.exists("/proc/driver/nvidia")


def version(name):
    """The version of a package that is there, without a local suffix as in 2.13.0+cpu, or None."""
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def installed(requirement):
    """Whether exactly this version is there."""
    name, wanted = requirement.split("==")
    return version(name) == wanted


def pip_install(*arguments):
    # -qq: errors only. Warnings about a user's own pip settings would bury them. Those settings stay in force.
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", *arguments]
    code = subprocess.run(command).returncode
    if code:
        sys.exit(f"pip ended with code {code} before everything was installed: see its message above, then run make again.")


def colab():
    """Installs what Google Colab lacks, for whichever Python it has.

    Its own packages stay, in its own versions, because the kernel that asks for this already runs on them. Gymnasium alone is
    changed to our version: the shapes of what it returns depend on it. JupyterLab is not needed there.
    """

    def lacks(pin):
        name = pin.split("==")[0]
        return name != "jupyterlab" and not installed(pin) and (version(name) is None or name == "gymnasium")

    missing = [pin for pin in read_pins() if lacks(pin)]
    if missing:
        print(f"Installing {', '.join(missing)} beside what is here.", flush=True)
    for pin in [pin for pin in missing if pin.startswith("pybullet==") and sys.version_info[:2] > (3, 11)]:
        print(
            f"There is no ready-made pybullet for Python {platform.python_version()}, so pip compiles it: six minutes of "
            "processor time, shared among the cores.",
            flush=True,
        )
        pip_install("--no-build-isolation", pin)  # in an isolated build it would not find NumPy, and pictures would be slow
    if missing:
        pip_install(*missing)


def main(extras):
    if extras == ["--colab"]:
        return colab()
    if not (3, 10) <= sys.version_info[:2] <= (3, 11):
        sys.exit(f".venv has Python {platform.python_version()}, but 3.10 or 3.11 is needed: delete .venv and run make again.")
    requirements = read_pins(*extras)
    torch = next(pin for pin in requirements if pin.startswith("torch=="))
    if extras:
        print(f"Installing what `make {' '.join(extras)}` needs besides, in .venv: less than a minute.", flush=True)
    else:
        print(
            f"Installing torch, pybullet, JupyterLab and {len(requirements) - 3} more in .venv, once: a minute or two, "
            "about 480 MB to download.",
            flush=True,
        )
    if platform.system() != "Linux":
        print("On this system pip may compile pybullet for many minutes; `conda env create -f environment.yml` does not.")
    linux = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    if linux and not has_nvidia_card() and not installed(torch):
        if index_has_torch(CPU_INDEX, torch.split("==")[1]):
            pip_install("--no-deps", "--index-url", CPU_INDEX, torch)
        else:
            print(
                f"{CPU_INDEX} does not answer or lacks {torch}, so torch comes from where your pip looks; "
                "the usual build for Linux brings several GB of CUDA packages along.",
                flush=True,
            )
    pip_install("--constraint", str(ROOT / "constraints.txt"), *requirements)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("The installation was interrupted: run make again to finish it.")
