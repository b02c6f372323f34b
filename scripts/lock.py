"""Writes constraints.txt: the version of every package that the ones in pyproject.toml need in turn. Needs uv.

.venv/bin/python scripts/lock.py               (`make lock`)
"""

import re
import subprocess
import sys

from install import ROOT, read_pins

HEADER = """\
# What the packages in pyproject.toml need in turn, pinned, for Python 3.10 and 3.11: `pip install -c constraints.txt ...`
# The packages named in pyproject.toml are pinned there and nowhere else. Torch's CUDA packages are left out: which of
# them are wanted depends on the machine. Written by `make lock` (scripts/lock.py, which runs uv).
"""


def keep(line, direct):
    """Whether a resolved line belongs into constraints.txt."""
    name = re.match(r"[A-Za-z0-9._-]+", line).group()
    cuda = name == "triton" or name.startswith(("nvidia-", "cuda-"))
    too_new = re.search(r"python_full_version (>=|==) '3\.1[2-9]", line)
    return name not in direct and not cuda and not too_new


def main():
    direct = {pin.split("==")[0] for pin in read_pins("test", "lint", "bench")}
    # --universal: one answer for both Pythons and all systems, with markers where they differ.
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.10",
        "--all-extras",
        "--no-annotate",
        "--no-header",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "pyproject.toml",
    ]
    try:
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    except FileNotFoundError:
        sys.exit("`make lock` needs uv, which was not found on PATH: install it (`pipx install uv`) and run it again.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"uv could not resolve pyproject.toml: {error.stderr.strip()}")
    lines = [re.sub(r"\+[a-z0-9.]+", "", line) for line in lines if keep(line, direct)]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
