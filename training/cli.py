"""Where a program runs, and the command line of each of them."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def exit_on_interrupt() -> None:
    """From now on, Ctrl-C and SIGTERM end this process at once.  For the time before there is anything to save.

    An exception instead would have to pass through the imports of libraries, some of which catch it.
    """

    def end(*_):
        os.write(2, b"Interrupted.\n")
        os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def run_cli(function: Callable[..., Any], arguments: Any = None, **kwargs: Any) -> Any:
    """Calls a function with the arguments of the command line.  What the user can correct ends in one sentence and exit code 1.

    SIGTERM has the effect of Ctrl-C unless the function handles it.

    Args:
        function: its parameters become the options, with the help texts of its docstring.
        arguments: a type for `tyro.cli` to read instead; the function is called with one value of it.
        **kwargs: for `tyro.cli`.

    Returns:
        what the function returns.
    """
    import tyro  # here, because a notebook needs no command line

    def interrupt(*_):
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        return tyro.cli(function, **kwargs) if arguments is None else function(tyro.cli(arguments, **kwargs))
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit("\n".join([str(error), *getattr(error, "__notes__", [])]))
    except KeyboardInterrupt:
        sys.exit("Interrupted.")
