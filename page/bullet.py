"""Bullet for the browser: PyBullet's physics server compiled to WebAssembly, from the sources of the Python package.

`build()` downloads the source distribution of PyBullet with pip, compiles the files of `bullet_sources.txt` and `physics.cpp`
with Emscripten, and leaves `bullet.mjs` and `bullet.wasm`.  What is up to date is kept, so a second call takes a second.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE / "build"
"""Folder of everything that the build makes.  git ignores it."""

PYBULLET = "pybullet==3.2.7 --hash=sha256:042879db8d101ac7590dee475fc6aded508b85fe1273fdbbfde1d88bd200e14f"
"""The version of `pyproject.toml`, and the hash of its source distribution."""

DATA = "examples/pybullet/gym/pybullet_data"
MODELS = f"{DATA}/mjcf/ant.xml", f"{DATA}/plane_stadium.sdf", f"{DATA}/plane100.obj"
"""Files of the package that describe the ant and the floor.  They become part of the compiled file."""

NEEDED = ("src/", "Extras/", "examples/", "LICENSE.txt")
NOT_NEEDED = re.compile(r"(?!.*\.(c|cpp|h|hpp|inl|txt)$|.*/(" + "|".join(Path(name).name for name in MODELS) + ")$)")

COMPILE = ["-O2", "-std=c++11", "-w"]  # without -ffast-math, so that the arithmetic is that of PyBullet
COMPILE += ["-DBT_USE_DOUBLE_PRECISION", "-DB3_NO_PYTHON_FRAMEWORK"]
COMPILE += ["-DSKIP_SOFT_BODY_MULTI_BODY_DYNAMICS_WORLD", "-DSKIP_STATIC_TINYRENDERER_PLUGIN", "-DSKIP_COLLISION_FILTER_PLUGIN"]
# The server uses two names of the plugin also where it is left out; their values do not matter then.
COMPILE += ["-DSKIP_STATIC_PD_CONTROL_PLUGIN", "-DeSetPDControl=1", "-DeRemovePDControl=3"]
COMPILE += ["-Isrc", "-Iexamples", "-Iexamples/ThirdPartyLibs", "-Iexamples/SharedMemory", "-IExtras"]

# The code around the compiled file is an ES module that asks neither the browser nor Node for anything: `physics.js` loads the file.
LINK = ["-O2", "-sENVIRONMENT=web", "-sMODULARIZE=1", "-sEXPORT_ES6=1", "-sUSE_ES6_IMPORT_META=0"]
LINK += [
    "-sALLOW_MEMORY_GROWTH=1",
    "-sINITIAL_MEMORY=33554432",
    "-sEXPORTED_RUNTIME_METHODS=FS",
    "-sEXPORTED_FUNCTIONS=_malloc",
]

SOFT_BODY = re.compile(
    r"\t\tif \(bodyHandle->m_softBody\)\n\t\t\{\n\t\t\tbtSoftBody\* psb[^\n]*\n\s*int numTetra.*?\n\t\t\}\n", re.S
)
"""A block about soft bodies that Bullet forgets to leave out with the others."""


def build(workers: int | None = None) -> tuple[Path, Path]:
    """Compiles Bullet unless that is done.

    Args:
        workers: number of compilers that run at once.  The default is the number of cores.

    Returns:
        the paths of `bullet.mjs` and `bullet.wasm`.

    Raises:
        RuntimeError: a program ended with an error.
    """
    sources = [line for line in (HERE / "bullet_sources.txt").read_text("utf-8").split("\n") if line and line[0] != "#"]
    folder = unpack()
    objects = CACHE / "objects"
    objects.mkdir(exist_ok=True)
    jobs = [(folder, Path(source), objects / f"{source.replace('/', '_')}.o") for source in sources]
    jobs.append((folder, HERE / "physics.cpp", objects / "physics.o"))
    jobs.sort(key=lambda job: -(folder / job[1]).stat().st_size)  # the longest first, so that none is left alone at the end
    if not (CACHE / "bullet.wasm").exists():
        print("Compiling Bullet, once: a minute or two.", flush=True)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        list(pool.map(lambda job: compile_file(*job), jobs))
    made = CACHE / "bullet.mjs", CACHE / "bullet.wasm"
    files = [job[2] for job in jobs]
    command = ["em++", *LINK, *(f"--embed-file={name}@/{Path(name).name}" for name in MODELS), "-o", str(made[0])]
    if not up_to_date(made[1], files, command):
        run([*command, *map(str, files)], cwd=folder)
    return made


def unpack() -> Path:
    """The folder of PyBullet's sources, downloaded with pip and unpacked unless that is done."""
    name = re.match(r"(\w+)==([\d.]+)", PYBULLET)
    assert name
    folder = CACHE / f"{name[1]}-{name[2]}"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "pybullet.txt").write_text(PYBULLET + "\n", encoding="utf-8")
    print("Downloading the sources of PyBullet, 80 MB, once.", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes", "--no-binary=pybullet"]
    run([*pip, "--dest", str(CACHE), "-r", str(CACHE / "pybullet.txt")])
    archive = CACHE / f"{folder.name}.tar.gz"
    part = CACHE / "unpacked"
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archive) as tar:
        members = [each for each in tar.getmembers() if wanted(each.name.partition("/")[2])]
        tar.extractall(part, members, filter="data")
    server = part / folder.name / "examples/SharedMemory/PhysicsServerCommandProcessor.cpp"
    text, count = SOFT_BODY.subn(r"#ifndef SKIP_SOFT_BODY_MULTI_BODY_DYNAMICS_WORLD\n\g<0>#endif\n", server.read_text("utf-8"))
    assert count == 1, f"{server} has changed"
    server.write_text(text, encoding="utf-8")
    archive.unlink()
    (part / folder.name).rename(folder)
    return folder


def wanted(name: str) -> bool:
    """Whether a file of the source distribution is needed: sources, headers, licences, and the models of the ant and the floor."""
    return name.startswith(NEEDED) and not NOT_NEEDED.match(name)


def compile_file(folder: Path, source: Path, made: Path) -> None:
    """Compiles one file, with the folder as the current one so that the paths inside the result are relative."""
    command = ["em++", *COMPILE, "-c", str(source), "-o", str(made)]
    if not up_to_date(made, [folder / source], command):
        run(command, cwd=folder)


def up_to_date(made: Path, sources: list[Path], command: list[str]) -> bool:
    """Whether a file was made from these sources with this command.  Their hash is kept, because a checkout changes times."""
    parts = [*(source.read_bytes() for source in sources), " ".join(command).encode()]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    stamp = CACHE / "stamps" / f"{made.name}.sha256"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    if made.exists() and stamp.exists() and stamp.read_text("ascii") == digest:
        return True
    stamp.write_text(digest, encoding="ascii")
    made.unlink(missing_ok=True)
    return False


def require(program: str, package: str) -> None:
    """Raises a RuntimeError if a program is missing."""
    if not shutil.which(program):
        raise RuntimeError(f"'{program}' is missing: install {package}, then run the same command again.")


def run(command: list[str], cwd: Path = HERE, input: str | None = None) -> str:
    """Runs a program, gives it a text to read if there is one, and returns what it wrote to stdout.  Raises a RuntimeError with its messages if it fails."""
    # Emscripten finds the JavaScript parser that it needs, acorn, among the packages of package.json.
    env = {**os.environ, "NODE_PATH": str(HERE / "node_modules")}
    command = [shutil.which(command[0]) or command[0], *command[1:]]
    done = subprocess.run(command, cwd=cwd, env=env, input=input, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{(done.stderr or done.stdout).strip()[-3000:]}")
    return done.stdout
