"""Runs that are interrupted, killed or robbed of a worker, and go on as if nothing had happened."""

import functools
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_gone, child_processes

import training.run
from main import main
from training.args import Args
from training.run import claim_name, scheduled
from utils import check_digests, find_checkpoint, newest_checkpoint

PENDULUM = "InvertedPendulumBulletEnv-v0"
posix = pytest.mark.skipif(os.name == "nt", reason="needs the signals and file descriptors of POSIX")
SMALL = {"env": PENDULUM, "num_envs": 4, "start_timesteps": 200, "eval_freq": 400, "max_timesteps": 1600, "eval_episodes": 2,
         "hidden": 16, "batch_size": 32, "buffer_size": 1000, "workers": 0, "bf16": False}  # fmt: skip


@pytest.fixture(autouse=True)
def in_tmp(tmp_path, monkeypatch):
    """Every run leaves its files in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def learned(policy):
    """Everything that training changed in an agent, as one list of tensors."""
    networks = (policy.actor, policy.critic, policy.actor_target, policy.critic_target)
    states = [
        state for each in (policy.actor_optimizer, policy.critic_optimizer) for state in each.state_dict()["state"].values()
    ]
    return [p for each in networks for p in each.state_dict().values()] + [state[k] for state in states for k in sorted(state)]


def assert_same_run(result, other):
    """Curve and agent, digit for digit; only the clock may differ."""
    for name in ("timesteps", "mean_return", "min_return", "max_return", "mean_length"):
        np.testing.assert_array_equal(result.curve[name], other.curve[name])
    assert result.policy.total_it == other.policy.total_it and result.best == other.best
    for a, b in zip(learned(result.policy), learned(other.policy), strict=True):
        assert torch.equal(a, b)


def interrupt_at(monkeypatch, method, count):
    """Ctrl-C at the count-th call of a method of `Run`."""
    calls, real = [], getattr(training.run.Run, method)

    def counted(self, *args):
        calls.append(args)
        self.handler.interrupted |= len(calls) == count
        return real(self, *args)

    monkeypatch.setattr(training.run.Run, method, counted)


SHORT = {"start_timesteps": 100, "eval_freq": 200, "max_timesteps": 800, "utd_ratio": 0.75}
"""A run with three updates in each step, for the moments at which it is interrupted."""

MOMENTS = {
    "before the first update": ("ends", 20),
    "between two steps": ("ends", 75),
    "when an evaluation is due": ("ends", 51),
    "inside an evaluation": ("evaluate", 2),
    "inside the updates of a step": ("check", 602),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A function (arguments) -> the result of a run that nobody interrupts, and the lines of its curve. Each is trained once."""

    @functools.cache
    def train(items):
        before = os.getcwd()
        os.chdir(tmp_path_factory.mktemp("whole"))
        try:
            return main(**dict(items), name="whole"), Path("results/whole.csv").read_text().splitlines()
        finally:
            os.chdir(before)

    return lambda arguments: train(tuple(arguments.items()))


@pytest.mark.parametrize("workers, bf16", [(0, False), (2, False), (0, True), (2, True)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_and_resumed_equals_uninterrupted(monkeypatch, undisturbed, workers, bf16, moment):
    arguments = SMALL | SHORT | {"workers": workers, "bf16": bf16, "seed": 3}
    whole, lines = undisturbed(arguments)
    with monkeypatch.context() as patched:
        interrupt_at(patched, *MOMENTS[moment])
        part = main(**arguments, name="part")
    assert part.interrupted and len(part.curve["timesteps"]) < 4
    rest = main(resume="part")
    assert rest.name == "part" and not rest.interrupted
    assert_same_run(rest, whole)
    assert len(Path("results/part.csv").read_text().splitlines()) == len(lines) == 5, "the same curve file"
    assert os.listdir("runs/part") and not child_processes()


def test_the_ant_in_mid_episode_and_any_point(monkeypatch):
    arguments = {"env": "MyAntRandomPointsResetTargetBulletEnv-v0", "start_timesteps": 300, "max_timesteps": 2000, "eval_freq": 1000,
                 "eval_episodes": 1, "num_envs": 3, "hidden": 32, "batch_size": 64, "workers": 1, "seed": 1}  # fmt: skip
    whole = main(**arguments, name="whole")
    with monkeypatch.context() as patched:
        interrupt_at(patched, "ends", 420)
        assert main(**arguments, name="part").interrupted
    assert_same_run(main(resume="part"), whole)


def test_a_finished_run_goes_on_when_max_timesteps_is_raised():
    """Also if its last evaluation was one that the longer run does not have."""
    whole = main(**SMALL | {"max_timesteps": 1600}, name="whole")
    main(**SMALL | {"max_timesteps": 1000}, name="part")
    assert len(Path("results/part.csv").read_text().splitlines()) == 1 + 3, "400, 800 and 1000"
    assert_same_run(main(resume="part", max_timesteps=1600), whole)
    assert json.loads(Path("models/part/args.json").read_text())["max_timesteps"] == 1600


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again():
    whole = main(**SMALL, name="part")
    shutil.rmtree(newest_checkpoint(Path("models/part"), "latest").parent)
    shutil.rmtree(find_checkpoint("part").parent)
    assert_same_run(main(resume="part"), whole)
    assert len(Path("results/part.csv").read_text().splitlines()) == 1 + 4


def test_the_arguments_of_the_run_are_kept_and_others_refused():
    main(**SMALL, name="a")
    for given, sentence in [
        (
            {},
            "resume is 'a', which has finished, after 1,600 steps and 0.. minutes: give a larger max_timesteps to continue it.",
        ),
        ({"seed": 5}, "seed is 5, but the run 'a' has 0: a resumed run keeps its arguments, so leave it out."),
        (
            {"max_timesteps": 800},
            "max_timesteps is 800, but the run 'a' has 1600: a resumed run can only raise it, so leave it out.",
        ),
        ({"max_minutes": 3}, "max_minutes is 3, but the run 'a' has None: a resumed run can only raise it, so leave it out."),
    ]:
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            main(resume="a", **given)
    before = sorted(Path("models/a").glob("**/*"))
    assert main(**SMALL | {"max_timesteps": 1700}, resume="a").curve["timesteps"][-1] == 1700, (
        "the same arguments may be repeated"
    )
    assert {path.name for path in before} - {path.name for path in Path("models/a").glob("**/*")} == {"latest_1600"}


def test_what_cannot_be_resumed_says_why(monkeypatch):
    with pytest.raises(FileNotFoundError, match="resume is 'nothing': expected the name of a run in models/"):
        main(resume="nothing")
    main(**SMALL | {"max_timesteps": 400}, save_replay_buffer=False, name="a")
    assert not list(Path("models/a").glob("*/*replay_buffer"))
    with pytest.raises(ValueError, match="resume is 'a', which was saved without its replay buffer: start a new run"):
        main(resume="a", max_timesteps=800)
    main(**SMALL | {"max_timesteps": 400}, name="b")
    memory = Path(f"{newest_checkpoint(Path('models/b'), 'latest')}_replay_buffer")
    content = bytearray(memory.read_bytes())
    content[len(content) // 2] ^= 1
    memory.write_bytes(content)
    with pytest.raises(ValueError, match="latest_replay_buffer' is damaged"):
        main(resume="b", max_timesteps=800)
    Path("models/c").mkdir()
    Path("models/c/args.json").write_text("[1]")
    with pytest.raises(ValueError, match="is not the args.json of a run"):
        main(resume="c")


def test_a_run_that_is_being_trained_is_not_resumed(root):
    process = start(root, "--max-timesteps", "100_000")
    try:
        with pytest.raises(ValueError, match="resume is 'a', which another process is training"):
            main(resume="a")
        assert process.poll() is None, Path("err.txt").read_text()
    finally:
        process.kill()
        process.wait()


def test_load_model_takes_the_weights_and_keeps_the_arguments(tmp_path):
    """lr and fused are those of the new run, not those that its optimizers were saved with."""
    main(**SMALL, lr=7e-4, name="a")
    for bf16 in (False, True):
        result = main(**SMALL | {"bf16": bf16, "max_timesteps": 600}, load_model="a", lr=1e-5, name=f"b{bf16}")
        for optimizer in (result.policy.actor_optimizer, result.policy.critic_optimizer):
            (group,) = optimizer.param_groups
            assert group["lr"] == 1e-5 and group["fused"] and not group["capturable"]
        old = torch.load(f"{find_checkpoint('a')}_actor", weights_only=True)["l2.weight"]
        moved = (result.policy.actor.l2.weight.detach() - old).abs().max()
        updates = result.policy.total_it // result.policy.policy_freq
        # Adam moves a weight by (1 - beta1) / sqrt(1 - beta2) = 3.2 times lr at most (Kingma and Ba, 2015, section 2.1)
        assert 0 < moved <= 3.2 * 1e-5 * updates


def test_an_environment_whose_episodes_cannot_be_repeated_is_named(monkeypatch):
    monkeypatch.syspath_prepend(os.getcwd())
    Path("dice.py").write_text("""
import gymnasium as gym, numpy as np
class Dice(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1, 1, (1,))
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.random.uniform(size=1).astype(np.float32), {}
    def step(self, action):
        return np.random.uniform(size=1).astype(np.float32), 0.0, False, False, {}
gym.register("Dice-v0", Dice, max_episode_steps=30)
""")
    main(**SMALL | {"env": "dice:Dice-v0", "max_timesteps": 400}, name="a")
    with pytest.warns(UserWarning, match="4 of 4 environments did not repeat their episodes"):
        assert main(resume="a", max_timesteps=800).curve["timesteps"][-1] == 800


def test_only_evaluations_of_the_schedule_are_kept_for_later():
    rows = [[400, 1], [800, 2], [1000, 3]]
    assert scheduled(rows, 400) == rows[:2] and scheduled(rows, 500) == [[800, 2], [1000, 3]] and scheduled([], 5) == []


def test_on_evaluation_sees_every_row_and_can_end_a_run():
    rows = []
    result = main(**SMALL, name="a", on_evaluation=lambda row: rows.append(row) or len(rows) == 2)
    assert [row["timesteps"] for row in rows] == [400, 800] == result.curve["timesteps"].tolist()
    assert rows[1]["mean_return"] == result.curve["mean_return"][1] and not result.interrupted


def test_the_command_line_resumes_and_refuses_other_arguments(root):
    main(**SMALL | {"max_timesteps": 800}, name="a")
    words = [sys.executable, str(root / "main.py"), "--resume"]

    def run(*more):
        return subprocess.run([*words, *more], capture_output=True, text=True)

    seen = run("a", "--max-timesteps", "1600", "--seed", "0")
    assert seen.returncode == 0 and seen.stdout.splitlines()[-1] == "Learning curve: results/a.csv, policies: models/a/", (
        seen.stderr
    )
    assert_same_curve("a", main(**SMALL, name="whole").curve)
    seen = run("a", "--max-timesteps", "2000", "--lr", "0.1")
    assert seen.returncode == 1
    assert seen.stderr == "lr is 0.1, but the run 'a' has 0.0007: a resumed run keeps its arguments, so leave it out.\n"
    seen = run("b")
    assert seen.returncode == 1 and seen.stderr.startswith("resume is 'b': expected the name of a run in models/ (a, whole).")


def assert_same_curve(name, curve):
    rows = Path(f"results/{name}.csv").read_text().splitlines()[1:]
    assert [float(row.split(",")[2]) for row in rows] == curve["mean_return"].tolist()


# --- real processes, real signals -----------------------------------------------------------------------------------------------


def command(root, *extra):
    words = [sys.executable, str(root / "main.py"), "--env", PENDULUM, "--start-timesteps", "200", "--eval-freq", "2000"]
    return [*words, "--num-envs", "4", "--hidden", "16", "--eval-episodes", "2", "--name", "a", *extra]


def launch(words, **kwargs):
    """A process whose output goes to files, so that it never waits for a reader."""
    with open("out.txt", "w") as out, open("err.txt", "w") as err:
        return subprocess.Popen(words, stdout=out, stderr=err, **kwargs)


def start(root, *extra):
    """`python main.py` in a process of its own, after its first evaluation."""
    process = launch(command(root, *extra))
    wait_for_evaluation(process)
    return process


def wait_for_evaluation(process):
    """Waits until the run has made its first evaluation."""
    deadline = time.monotonic() + 60
    while not list(Path("models").glob("a/best_*")):
        assert process.poll() is None, Path("err.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(process):
    """Waits for the end of a process, and returns its outputs."""
    process.wait(timeout=60)
    return Path("out.txt").read_text(), Path("err.txt").read_text()


SLOW_SAVES = """
import random, sys, time
import training.files
real = training.files.fsync
def slow(path):
    print("saving", path.name, flush=True)
    time.sleep(random.uniform(0, 0.01))
    real(path)
training.files.fsync = slow
from main import main
main(**eval(sys.argv[1]))
"""
"""A run that tells of its saves, and takes so long over each that a kill can hit it."""


@posix
@pytest.mark.slow
def test_killed_again_and_again_a_run_loses_nothing(root, request, monkeypatch):
    """kill -9 at random moments, every second time inside a save; each time the run goes on from its last checkpoint.

    In the end, its curve and weights are those of a run that nobody killed.
    """
    kills = request.config.getoption("kills")
    monkeypatch.setenv("PYTHONPATH", str(root), prepend=os.pathsep)
    arguments = SMALL | {"max_timesteps": 3000 * kills, "eval_freq": 1000, "workers": 1, "checkpoint_minutes": 0.002, "seed": 5}
    rng, models, inside, resumed_from = random.Random(0), Path("models/part"), 0, []
    for number in range(kills):
        given = {"resume": "part"} if (models / "args.json").exists() else arguments | {"name": "part"}
        before = newest_steps(models)
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW_SAVES, repr(given)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        in_a_save = number % 2 == 1
        process.stdout.readline()  # the first save has begun
        workers = child_processes(process.pid)
        if in_a_save:
            for _ in range(rng.randrange(40)):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.01))
        else:
            time.sleep(rng.uniform(0, 0.5))
        seen = newest_steps(models)
        process.kill()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL, "it was still running"
        assert_gone(workers)
        inside += any(path.name.startswith(".tmp-") for path in models.iterdir())
        for folder in [*models.glob("best_*"), *models.glob("latest_*")]:
            check_digests(folder)  # each is whole
        assert newest_steps(models) >= max(seen, before), "nothing older than the last checkpoint was lost"
        resumed_from.append(newest_steps(models))
    print(f"{kills} kills, {inside} of them with an unfinished folder; continued from {len(set(resumed_from))} different steps")
    assert inside >= kills // 4, "enough of the kills came inside a save"
    assert_same_run(main(resume="part"), main(**arguments, name="whole"))
    assert not list(models.glob(".tmp-*")), "the next start has cleaned up"


def newest_steps(models):
    return max([int(path.name.removeprefix("latest_")) for path in models.glob("latest_*")], default=0)


def test_the_next_start_of_any_run_cleans_up_after_a_killed_one(root):
    process = start(root, "--max-timesteps", "1_000_000")
    process.kill()
    process.wait()
    litter = Path("models/a/.tmp-0123")
    litter.mkdir()
    (litter / "latest_actor").write_bytes(b"half")
    main(**SMALL | {"max_timesteps": 400}, name="b")
    assert not litter.exists()


@posix
@pytest.mark.slow
def test_ctrl_c_at_any_moment_ends_soon_and_without_a_traceback(root, request):
    """At random moments from the first import to the evaluations; every third time it is pressed twice.

    The first time it is pressed after an evaluation, so that however slow the machine is, there is a run to save.
    On an idle machine a run ends in less than three seconds.  This one may be busy.
    """
    rng, longest, saved = random.Random(1), 0.0, 0
    for number in range(request.config.getoption("interrupts")):
        # from the second on a resumed run, so that every part of a run is met; half of the time it evaluates
        words = command(root, "--max-timesteps", "1_000_000", "--eval-episodes", "30")
        words = words if not Path("models/a/args.json").exists() else [*words[:2], "--resume", "a"]
        process = launch(words, start_new_session=True)
        if number == 0:
            wait_for_evaluation(process)
        time.sleep(rng.uniform(0.1, 6))
        workers, begun = child_processes(process.pid), time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        if number % 3 == 0:
            time.sleep(0.2)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        out, err = ended(process)
        longest = max(longest, time.monotonic() - begun)
        assert "Traceback" not in err and "Interrupted." in out + err, err
        assert process.returncode == (0 if "Interrupted." in out else 1)
        saved += "Continue with: python main.py --resume a" in out
        assert_gone(workers)
    print(f"longest {longest:.2f} s, {saved} of them saved")
    assert saved and longest < 6


@posix
def test_a_stopped_worker_does_not_keep_a_run_from_ending(root):
    process = start(root, "--max-timesteps", "1_000_000", "--workers", "2")
    workers = child_processes(process.pid)
    workers[0].suspend()
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = ended(process)
    assert time.monotonic() - begun < 6 and process.returncode == 0 and "Continue with" in out, err
    assert_gone(workers)
    check_digests(newest_checkpoint(Path("models/a"), "latest").parent)


@posix
@pytest.mark.parametrize("by", ["Ctrl-C", "max_minutes"])
def test_a_huge_utd_ratio_does_not_keep_a_run_from_ending(root, by):
    words = command(root, "--utd-ratio", "1000", "--num-envs", "64", "--max-timesteps", "1_000_000")
    limit = ["--max-minutes", "0.02"] if by == "max_minutes" else []
    process = launch([*words, *limit])
    while not Path("results/a.csv").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(2)
    if by == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, err = ended(process)
    assert time.monotonic() - begun < 6 and process.returncode == 0, err
    assert ("Interrupted." in out) == (by == "Ctrl-C")


@posix
@pytest.mark.parametrize("when", ["while it steps", "between two steps"])
def test_a_dead_worker_is_named_and_the_run_can_be_resumed(monkeypatch, when):
    arguments = SMALL | {"workers": 2, "seed": 7}
    whole = main(**arguments, name="whole")
    step = training.run.Run.ends
    with monkeypatch.context() as patched:

        def ends(self, timesteps):
            if timesteps == 1000:
                worker = self.envs.processes[1]
                if when == "while it steps":
                    os.kill(worker.pid, signal.SIGSTOP)  # so that it cannot have answered
                    threading.Timer(0.3, worker.kill).start()
                else:
                    worker.kill()
                    worker.join()
            return step(self, timesteps)

        patched.setattr(training.run.Run, "ends", ends)
        with pytest.raises(
            RuntimeError, match="^Worker 1 of 2, with 2 environments, failed: it was killed by SIGKILL"
        ) as error:
            main(**arguments, name="part")
    assert "\n" not in str(error.value)
    assert error.value.__notes__ == ["Everything is saved.  Continue with: python main.py --resume part"]
    assert not child_processes()
    assert newest_steps(Path("models/part")) == 1000
    assert_same_run(main(resume="part"), whole)


@posix
@pytest.mark.parametrize("save_model", [True, False])
def test_runs_that_start_at_the_same_moment_get_names_of_their_own(save_model):
    """25 processes that wait for the same instant."""
    context, count = multiprocessing.get_context("fork"), 25
    moment, names = time.time() + 1.0, context.SimpleQueue()

    def claim():
        args = Args(name="a", save_model=save_model)
        time.sleep(max(0, moment - time.time()))
        names.put(claim_name(args, Path(".")))

    processes = [context.Process(target=claim) for _ in range(count)]
    for process in processes:
        process.start()
    found = [names.get() for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(found) == sorted(["a", *(f"a-{number}" for number in range(2, count + 1))])
    assert {path.stem for path in Path("results").iterdir()} == set(found)


# --- disks ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A function size -> folder on a file system of that many bytes."""
    mounted = []

    if not shutil.which("mount"):
        pytest.skip("needs the program mount")

    def mount(size):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    os.chdir("/")
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_a_run_in_one_sentence_and_leaves_the_checkpoint_before(small_disk, monkeypatch):
    disk = small_disk(1_000_000)
    monkeypatch.chdir(disk)
    arguments = SMALL | {"checkpoint_minutes": 0, "seed": 2}
    filler = disk / "filler"

    def fill(row):
        if row["timesteps"] == 800:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            filler.write_bytes(bytes(max(0, free - 30_000)))

    with pytest.raises(
        OSError, match="could not be written to its end .No space left on device., so nothing of it was kept"
    ) as error:
        main(**arguments, name="part", on_evaluation=fill)
    assert "\n" not in str(error.value)
    checkpoint = newest_checkpoint(Path("models/part"), "latest").parent
    check_digests(checkpoint)
    assert 780 <= int(checkpoint.name.removeprefix("latest_")) <= 1200
    assert not list(Path("models/part").glob(".tmp-*"))
    filler.unlink()
    rest = main(resume="part")
    monkeypatch.chdir(disk.parent)
    assert_same_run(rest, main(**arguments, name="whole"))


def test_training_can_go_on_without_saving(small_disk, monkeypatch):
    disk = small_disk(200_000)
    monkeypatch.chdir(disk)

    def fill(row):
        if row["timesteps"] == 400:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            (disk / "filler").write_bytes(bytes(free))

    with pytest.warns(UserWarning, match="No space left on device.*Training goes on."):
        result = main(**SMALL, ignore_save_errors=True, name="a", on_evaluation=fill)
    assert result.curve["timesteps"].tolist() == [400, 800, 1200, 1600]


def test_a_disk_that_is_full_at_the_start_leaves_nothing_behind(small_disk, monkeypatch):
    disk = small_disk(16_384)
    monkeypatch.chdir(disk)
    (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    with pytest.raises(OSError, match="No space left on device") as error:
        main(**SMALL, name="a")
    assert "\n" not in str(error.value)
    assert not list(Path(".").glob("*/*"))


def test_a_read_only_disk_and_a_file_in_the_way_are_named(small_disk, monkeypatch, tmp_path):
    disk = small_disk(100_000)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.chdir(disk)
    with pytest.raises(OSError, match="^'models' could not be written to its end .Read-only file system.") as error:
        main(**SMALL)
    assert "\n" not in str(error.value)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for name in ("models", "results"):
        Path(name).write_text("a file")
        with pytest.raises(OSError, match=f"^'{name}' cannot be written .its folder is a file.: choose a folder"):
            main(**SMALL)
        Path(name).unlink()
        assert not list(Path(".").glob("*/*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user")
def test_a_folder_without_permission_is_named(root, tmp_path):
    """As another user, in a folder that only root may write to."""
    tmp_path.chmod(0o755)
    code = "import os; from training.run import claim_name; from training.args import Args; from pathlib import Path\n"
    code += "os.seteuid(65534)\ntry: claim_name(Args(name='a'), Path('.'))\nexcept OSError as error: print(error)"
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)}
    )
    expected = "'models' cannot be written (Permission denied): choose a folder that you may write to.\n"
    assert seen.stdout == expected, seen.stderr
    assert not os.listdir(tmp_path)


# --- long runs ------------------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_memory_files_and_physics_clients_stay_as_they_are(root):
    """A short form of benchmarks/endurance.py, in which one physics client left open at each evaluation would be 30 MB each.

    In the first minutes the allocator still grows: in an hour's run by 70 MB, and then no more.
    """
    code = """
import benchmarks.endurance as endurance
endurance.endurance(minutes=0.3, eval_freq=1000, buffer_size=1000)
"""
    env = os.environ | {"PYTHONPATH": str(root)}
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout
    grown = {name: float(b) - float(a) for name, a, b in re.findall(r"(\w[\w ]*): ([\d.]+) -> ([\d.]+)", seen)}
    assert set(grown) == {"learner MB", "workers MB", "files", "clients", "threads"}, seen
    assert grown["files"] == grown["clients"] == grown["threads"] == 0
    assert grown["learner MB"] < 90 and grown["workers MB"] < 10, seen
