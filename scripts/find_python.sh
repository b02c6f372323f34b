#!/bin/sh
# Prints the path of a Python that can make .venv: 3.10 or 3.11, with venv and ensurepip. If there is none, says so in
# one sentence and exits 1. A candidate counts only if it runs: pyenv leaves commands that exist and fail.

suits() {
    "$1" -c 'import sys, venv, ensurepip
if not (3, 10) <= tuple(sys.version_info[:2]) <= (3, 11): sys.exit(1)
print(sys.executable)' 2>/dev/null
}

why="Python 3.10 or 3.11 with its venv module is needed, because pybullet 3.2.7 has ready-made Linux packages for these two only"

if [ -n "$PYTHON" ]; then
    suits "$PYTHON" && exit 0
    echo "PYTHON=$PYTHON cannot be used: $why; name such a Python, or leave PYTHON out to have one looked for." >&2
    exit 1
fi

for name in python3.11 python3.10 python3 python; do
    suits "$name" && exit 0
done

# uv and conda can each provide a Python of their own, without touching the system's.
if command -v uv >/dev/null 2>&1; then
    found=$(uv python find --system 3.11 2>/dev/null) && suits "$found" && exit 0
    uv python install --quiet 3.11 >/dev/null 2>&1 &&
        found=$(uv python find --system 3.11 2>/dev/null) && suits "$found" && exit 0
fi
for conda in mamba conda micromamba; do
    command -v "$conda" >/dev/null 2>&1 || continue
    "$conda" create --quiet --yes --prefix .conda --override-channels --channel conda-forge python=3.11 pip >/dev/null 2>&1 &&
        suits "$PWD/.conda/bin/python" && exit 0
done

echo "No usable Python was found: $why; install one (Debian 12: 'apt install python3.11 python3.11-venv', Ubuntu 22.04:" \
    "'apt install python3.10 python3.10-venv', elsewhere: uv from docs.astral.sh/uv), or name one with 'make PYTHON=/path/to/python3.11'." >&2
exit 1
