"""The machine on which the measurements run."""

import contextlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

import psutil

PACKAGES = ("torch", "numpy", "gymnasium", "pybullet", "pybullet-arm64", "stable-baselines3", "sbx-rl", "jax")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe() -> str:
    """Processor, cores, memory and versions in one line.  The name of the machine is left out."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        text = cpuinfo.read_text()
        found = re.search(r"^model name\s*: (.*)$", text, re.M)
        model = found[1] if found else model
        flags = [name for name in INSTRUCTIONS if re.search(rf"\b{name}\b", text)]
        model += f" ({', '.join(flags)})" if flags else ""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    memory = psutil.virtual_memory().total / 1e9
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}; {', '.join(versions)}"


def cpu_load(seconds: float = 2.0) -> float:
    """CPU time that other processes use while this one waits, in percent of one core."""
    return sum(psutil.cpu_percent(interval=seconds, percpu=True))


def check_idle(force: bool = False, limit: float = 20.0) -> str:
    """Makes sure that no other process disturbs the measurements.

    Args:
        force: measure on a busy machine as well.
        limit: highest load of other processes, in percent of one core.

    Returns:
        with `force` on a busy machine a warning, otherwise "".

    Raises:
        RuntimeError: the machine is busy.
    """
    load = cpu_load()
    if load <= limit:
        return ""
    if not force:
        raise RuntimeError(f"Other processes use {load:.0f} % of a core, so nothing was measured: end them, or add --force.")
    return f"Other processes used {load:.0f} % of a core during these measurements, so they are not reliable"
