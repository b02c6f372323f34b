"""The checkpoints of a run: models/NAME/best_STEPS with the best policy, and models/NAME/latest_STEPS to go on from.

Each is a folder that appears in one step, when all of it is on the disk.  So a process that is killed at any moment leaves a whole
checkpoint, that of before or the new one.  The four files of the original TD3 have the original's names.
"""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from TD3 import read_checkpoint
from training.files import AtomicFolder, atomic_write, remove_folder
from utils import SUMS, check_digests, newest_checkpoint


class Checkpoints:
    """Writes and reads the checkpoints in a run's folder.

    Args:
        folder: models/NAME.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future[None] | None = None

    def save_best(self, policy: Any, timesteps: int, evaluation: dict[str, Any]) -> None:
        """Writes best_STEPS: the four files of `TD3.save`, and evaluation.json.  Then older ones are removed.

        Args:
            policy: the agent.
            timesteps: environment steps so far.
            evaluation: its content, for JSON.

        Raises:
            OSError: it cannot be written, in one sentence.  Then the one before is still there.
        """
        if (self.folder / f"best_{timesteps}").exists():
            return
        folder = AtomicFolder(self.folder / f"best_{timesteps}")
        text = json.dumps({"timesteps": timesteps, **evaluation}, indent=2)
        with folder.writing():
            policy.save(folder.temporary / "best")
            (folder.temporary / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        self._commit(folder)

    def save_latest(self, policy: Any, timesteps: int, state: dict[str, Any], transitions: torch.Tensor | None) -> None:
        """Begins to write latest_STEPS, from which a run can go on.  A thread finishes it while training continues.

        Args:
            policy: the agent; its target networks are written too.
            timesteps: environment steps so far.
            state: everything else, as nested dicts and lists of tensors, numbers and text, for latest_state.
            transitions: the memory of the replay buffer, which is copied first; or None to leave it out.

        Raises:
            OSError: this one or the one before cannot be written, in one sentence.  Then the last good one is still there.
        """
        self.wait()
        if (self.folder / f"latest_{timesteps}").exists():
            return
        folder = AtomicFolder(self.folder / f"latest_{timesteps}")
        with folder.writing():
            policy.save(folder.temporary / "latest", targets=True)
            with open(folder.temporary / "latest_state", "wb") as f:
                torch.save(state, f)
        copy = None if transitions is None else transitions.clone()
        self.writing = self.thread.submit(self._finish, folder, copy)

    def _finish(self, folder, transitions):
        if transitions is not None:
            with folder.writing(), open(folder.temporary / "latest_replay_buffer", "wb") as f:
                torch.save(transitions, f)
        self._commit(folder)

    def _commit(self, folder):
        """Makes a checkpoint visible, and removes those that it replaces."""
        folder.commit()
        which = folder.path.name.partition("_")[0]
        for path in self.folder.glob(f"{which}_*"):
            if path != folder.path:
                remove_folder(path)

    def wait(self, finished_only: bool = False) -> None:
        """Waits until the thread has written its checkpoint.

        Args:
            finished_only: only look whether it has ended already.

        Raises:
            OSError: that checkpoint could not be written, in one sentence.
        """
        if self.writing is not None and (self.writing.done() or not finished_only):
            writing, self.writing = self.writing, None
            writing.result()

    def close(self) -> None:
        """Waits for the thread, whose error no longer matters."""
        self.thread.shutdown()

    def load_latest(self) -> tuple[Path, dict[str, Any], torch.Tensor | None] | None:
        """Reads the newest latest_STEPS.

        Returns:
            the path for `TD3.load`, and `state` and `transitions` as `save_latest` got them.  None if there is no such checkpoint.

        Raises:
            ValueError: a file of it is damaged.
        """
        prefix = newest_checkpoint(self.folder, "latest")
        if not Path(f"{prefix}_state").is_file():
            return None
        check_digests(prefix.parent)
        memory = Path(f"{prefix}_replay_buffer")
        return prefix, read_checkpoint(f"{prefix}_state"), read_checkpoint(memory) if memory.is_file() else None

    def best_return(self) -> float:
        """The mean return of the newest best_STEPS, or minus infinity if there is none."""
        try:
            path = newest_checkpoint(self.folder, "best").parent / "evaluation.json"
            return float(json.loads(path.read_text(encoding="utf-8"))["mean_return"])
        except (OSError, ValueError, KeyError):
            return -float("inf")


def has_latest(folder: Path) -> bool:
    """Whether there is a checkpoint in models/NAME from which the run can be resumed."""
    return Path(f"{newest_checkpoint(folder, 'latest')}_replay_buffer").is_file()


def remove_replay_buffer(folder: Path) -> None:
    """Makes the latest checkpoint in models/NAME smaller when the run is over.  The policy stays, but cannot be trained further."""
    if not has_latest(folder):
        return
    latest = newest_checkpoint(folder, "latest").parent
    kept = [line for line in (latest / SUMS).read_text(encoding="utf-8").splitlines(True) if "_replay_buffer" not in line]
    with atomic_write(latest / SUMS) as path:
        path.write_text("".join(kept), encoding="utf-8")
    (latest / "latest_replay_buffer").unlink()
