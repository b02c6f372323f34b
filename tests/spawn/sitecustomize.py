"""Makes every Python process start its workers as macOS and Windows do: PYTHONPATH=tests/spawn python -m pytest."""

import multiprocessing

multiprocessing.set_start_method("spawn")
