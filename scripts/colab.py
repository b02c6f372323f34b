"""Prepares Google Colab for a notebook. The first cell of each notebook fetches the repository and then runs this file with %run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def prepare():
    """Installs what Colab lacks, makes the repository the working folder, and lets the notebook import from it.

    Once that is done, it changes nothing.

    Raises:
        SystemExit: with one sentence, below pip's message, if the installation fails.
    """
    print("Installing what Colab lacks. This takes a while the first time.", flush=True)
    command = [sys.executable, str(ROOT / "scripts" / "make.py"), "colab"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout)  # a notebook may not show what another process writes to standard error
        sys.exit("The installation failed, for the reason above. Run this cell again.")
    os.chdir(ROOT)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


if __name__ == "__main__":
    prepare()
