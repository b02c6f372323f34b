"""A measurement in a new process, which no thread or memory of an earlier one disturbs, and the CPU and memory it uses."""

import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from typing import Any

import psutil

from envs.bullet import quiet


class MeasurementError(RuntimeError):
    """A measurement failed; the message says why."""


def measure(function: Callable[..., dict[str, Any]], memory_every: int = 5, **arguments: Any) -> dict[str, Any]:
    """Calls a function in a new process and in an empty temporary folder, without its output.

    Args:
        function: one of a module, so that it can be pickled.
        memory_every: seconds between readings of the memory, each of which costs some milliseconds.
        **arguments: of the function.

    Returns:
        what the function returns, and `cpu`, the use of each core in percent (median over the seconds of the call), and
        `memory`, the highest PSS of the process and its descendants in bytes.

    Raises:
        MeasurementError: the function raised an error, or the process died.
    """
    print(f"measuring: {function.__name__} {arguments or ''}", file=sys.stderr, flush=True)
    readings, memory = [], 0
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        process = psutil.Process(pool.submit(os.getpid).result())
        psutil.cpu_percent(percpu=True)  # the next reading covers the time since this one
        future = pool.submit(_call, function, arguments, multiprocessing.get_start_method())
        try:
            while not wait([future], timeout=1.0).done:
                readings.append(psutil.cpu_percent(percpu=True))
                if len(readings) % memory_every == 0:
                    memory = max(memory, pss(process))
            result = future.result()
        except Exception as error:
            raise MeasurementError(str(error) or type(error).__name__) from error
        except BaseException:  # Ctrl-C: do not wait for the end of the measurement
            process.terminate()
            raise
    cpu = [statistics.median(core) for core in zip(*readings, strict=True)]
    return result | {"cpu": cpu, "memory": memory}


def _call(function, arguments, start_method):
    # a spawned process would also spawn its workers, which takes more memory than the default on Linux
    multiprocessing.set_start_method(start_method, force=True)
    with quiet(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return function(**arguments)


def measure_all(function: Callable[..., dict[str, Any]], jobs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`measure` with the arguments of each job, as many at a time as there are cores; the results in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: measure(function, **job), jobs))


def pss(process: psutil.Process) -> int:
    """Memory of a process and its descendants in bytes.

    On Linux this is the proportional set size, which counts pages that they share once.  Elsewhere it is the unshared memory.
    """
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                info = each.memory_full_info()
                total += getattr(info, "pss", info.uss)
    return total
