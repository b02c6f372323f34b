"""The targets of the Makefile, without make: `python scripts/make.py ant` does what `make ant` does, on Windows too.

The first run of a target makes the environment .venv and installs what the target needs; later runs only start it.
Nothing but the standard library is imported, and the syntax is old, so that a Python which is too old ends in a sentence.
"""

import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

THIS = Path(__file__).resolve()
ROOT = THIS.parent.parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))

TARGETS = {  # name: (description, extra of pyproject.toml, arguments of Python)
    "ant": ("Watch the trained ant walk a random path, and get an animation of it", None, "-m viewing.animation"),
    "steer": ("Steer an ant in your browser: click the ground and it walks there", None, "-m viewing.steer"),
    "page": ("Build a page on which the ant walks in the browser, without Python, and serve it", "page", "-m page.build"),
    "lab": ("Open the notebooks in JupyterLab", None, "-m jupyter lab"),
    "train": ("Train an ant; ARGS=--help lists the options", None, "main.py"),
    "sweep": ("Train many ants side by side; ARGS=--help lists the options", "sweep", "sweep.py"),
    "test": (
        "Run the tests; ARGS=\"-m 'not slow'\" for the quick ones",
        "test",
        "-m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder",
    ),
    "lint": ("Check format, code, type hints and imports; ARGS=--fix repairs what it can", "lint", ""),
    "bench": ("Compare with other libraries, briefly", "bench", "-m benchmarks.bench"),
    "bench-full": ("The same at full length; takes hours", "bench", "-m benchmarks.bench --full"),
    "lock": ("Renew constraints.txt after a change of pyproject.toml; needs uv", None, ""),
    "clean": ("Remove .venv and caches; runs, models and results stay", None, ""),
}
LOCK = "uv export --upgrade --no-sources --all-extras --no-hashes --no-annotate --quiet --output-file constraints.txt"
CLEAN = (
    ".venv",
    "page/build",
    "page/node_modules",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    ".tach",
    ".hypothesis",
    "__pycache__",
    "*/__pycache__",
)

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SYSTEMS = ("Linux", "x86_64"), ("Darwin", "arm64"), ("Windows", "AMD64")
SYSTEM_NEEDED = (
    "PyBullet and PyTorch have ready-made packages for Linux on x86-64 with glibc 2.28 or newer, macOS on Apple silicon and 64-bit "
    "Windows, but not for {}: open the notebooks on Google Colab or, on Linux on Arm, run 'conda env create -f environment.yml'."
)
PYTHON_NEEDED = (
    "Python {} ({}) cannot be used, because PyBullet has ready-made packages for 64-bit CPython 3.11, 3.12 and 3.13 only: install "
    "one of these with its venv module (Debian, Ubuntu: 'apt install python3-venv'), or uv (docs.astral.sh/uv), and run this again."
)


def unsuitable(needs_venv=True):
    """Why the Python that runs this file cannot be used, in a sentence; None if it can."""
    libc, version = platform.libc_ver()
    old = platform.system() == "Linux" and (libc != "glibc" or [int(x) for x in version.split(".")] < [2, 28])
    if old or (platform.system(), platform.machine()) not in SYSTEMS:
        return SYSTEM_NEEDED.format(platform.platform())
    usual = sys.implementation.name == "cpython" and sys.maxsize > 2**32 and not sysconfig.get_config_var("Py_GIL_DISABLED")
    try:
        import ensurepip  # noqa: F401  (a package of its own on Debian)
    except ImportError:
        usual = usual and not needs_venv
    if not usual or not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return PYTHON_NEEDED.format(platform.python_version(), sys.executable)
    return None


def another_python():
    """The command of a Python that can be used instead of the one that runs this file, or None."""
    names = ["python3.13", "python3.12", "python3.11"]
    commands = [[name] for name in names] + [["py", "-" + name[len("python") :]] for name in names]
    commands.append(["uv", "run", "--no-project", "--python", "3.13"])  # downloads that Python if need be
    fitting = (command for command in commands if shutil.which(command[0]) and succeeds([*command, str(THIS), "--check"]))
    return next(fitting, None)


def succeeds(command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def run(command):
    """Runs a program and returns its exit status. If it is interrupted or terminated, it ends in its own way."""
    process = subprocess.Popen(command, cwd=str(ROOT))
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the program got the signal as well
            pass


def read_pins(extra=None):
    """The pinned requirements of pyproject.toml, as written there, with those of an extra."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])


def pip_install(python, pins, *options):
    """Installs pinned requirements into the environment of a Python. Nothing is compiled."""
    pip = [python, "-m", "pip", "install", "-qq", "--no-input", "--no-warn-conflicts", "--only-binary=:all:"]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    # The default index's torch for Linux brings 3 GB of CUDA packages. PyTorch's own index has a build without them, whose version
    # counts as the higher one, so that pip prefers it; where that index does not answer, pip takes the other build.
    has_choice = platform.system() == "Linux" and not shutil.which("nvidia-smi")
    index = ["--extra-index-url", CPU_INDEX, "--retries", "1", "--timeout", "10"] if has_choice else []
    # This package asks for upstream's pybullet, also where the fork takes its place.
    envs = [pin for pin in pins if pin.startswith("pybullet-envs-gymnasium==")]
    others = [pin for pin in pins if pin not in envs]
    for requirements, arguments in (torch, ["--no-deps", *index]), (envs, ["--no-deps"]), (others, options):
        status = subprocess.run([*pip, *arguments, *requirements]).returncode if requirements else 0
        if status:
            sys.exit(f"pip ended with status {status}: see its message above, then run the same command again.")


def install(extra):
    """Makes .venv and installs what pyproject.toml pins, unless that is done. Interrupted, it is completed the next time."""
    pins, constraints = read_pins(extra), ROOT / "constraints.txt"
    stamp = VENV / f".installed-{extra or 'base'}"
    wanted = "\n".join([*pins, constraints.read_text(encoding="utf-8")])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("Installing into .venv, once: a minute or two, about 460 MB to download.", flush=True)
    checks = [PYTHON, str(THIS), "--check"], [PYTHON, "-m", "pip", "--version"]
    if not (os.path.exists(PYTHON) and all(map(succeeds, checks))):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    pip_install(PYTHON, pins, "--constraint", str(constraints))
    stamp.write_text(wanted, encoding="utf-8")


def colab_pins():
    """The requirements that Google Colab lacks.

    What Colab has keeps its version, because the notebook's kernel already runs on it; except Gymnasium, whose version
    decides the shapes of what it returns. JupyterLab is not needed there.
    """
    from importlib.metadata import distributions

    there = {each.metadata["Name"].lower().replace("_", "-") for each in distributions()} - {"gymnasium"} | {"jupyterlab"}
    return [pin for pin in read_pins() if pin.split("==")[0] not in there]


def commands(target, arguments):
    """The programs that a target runs in .venv, each as a list of arguments."""
    if target == "lint":
        ruff = ["ruff format", "ruff check --fix"] if "--fix" in arguments else ["ruff format --check", "ruff check"]
        return [[PYTHON, "-m", *tool.split()] for tool in [*ruff, "mypy", "tach check"]]
    # JupyterLab refuses to start as root, who one is in most containers, unless it is told that this is meant.
    root = ["--allow-root"] if target == "lab" and hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [[PYTHON, *TARGETS[target][2].split(), *root, *arguments]]


def main(target="help", *arguments):
    """Runs a target. Returns its exit status, or a sentence that says why it cannot run."""
    if target in ("help", "-h", "--help"):
        return print("\n".join(f"  {name:<11} {values[0]}" for name, values in TARGETS.items()))
    if target == "--check":
        return unsuitable()
    if target in ("colab", "binder"):  # scripts/colab.py and .binder/postBuild
        wrong = unsuitable(needs_venv=False)
        return wrong or pip_install(sys.executable, colab_pins() if target == "colab" else read_pins("binder"))
    if target not in TARGETS:
        return f"There is no target {target!r}: expected one of {', '.join(TARGETS)}."
    if target == "clean":
        for path in [path for pattern in CLEAN for path in ROOT.glob(pattern)]:
            shutil.rmtree(str(path), ignore_errors=True)
        return None
    if target == "lock":
        return run(LOCK.split()) if shutil.which("uv") else "This needs uv (docs.astral.sh/uv): install it and run this again."
    wrong = unsuitable()
    if wrong:
        command = another_python()
        return run([*command, str(THIS), target, *arguments]) if command else wrong
    install(TARGETS[target][1])
    return next(filter(None, map(run, commands(target, arguments))), 0)  # the first status that is not 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted: run the same command again to complete it.")
