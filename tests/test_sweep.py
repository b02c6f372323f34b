"""Sweeps: the trials that arguments make, real sweeps on a local Ray cluster, and what interrupts them."""

import csv
import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import ray
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.cluster_utils import Cluster

from main import main
from sweep import sweep
from training.curve import read_curve, solved_row
from training.trials import make_sweep_args, make_trials, parse_settings

SMALL = {"env": "InvertedPendulumBulletEnv-v0", "num_envs": 2, "start_timesteps": 100, "eval_freq": 100, "max_timesteps": 400,
         "eval_episodes": 1, "hidden": 16, "batch_size": 32, "buffer_size": 5000, "checkpoint_minutes": 0.002}  # fmt: skip
PYTHON = sys.executable

# --- the trials ------------------------------------------------------------------------------------------------------------


def test_settings_are_values_grids_and_ranges():
    words = ["tau=0.005,0.01", "env=AntBulletEnv-v0", "bf16=True,None", "max-timesteps=1_000", "lr=loguniform(1e-4,1e-3)"]
    assert parse_settings(words) == {
        "tau": [0.005, 0.01],
        "env": "AntBulletEnv-v0",
        "bf16": [True, None],
        "max_timesteps": 1000,
        "lr": "loguniform(1e-4,1e-3)",
    }


@given(st.text(max_size=20))
def test_any_setting_is_parsed_or_ends_in_a_sentence(text):
    try:
        parsed = parse_settings([text])
    except ValueError as error:
        assert "expected NAME=VALUE" in str(error)
    else:
        assert list(parsed) == [text.partition("=")[0].strip().replace("-", "_")]


def test_every_combination_is_a_trial_with_its_seeds_in_a_row():
    trials = make_trials({"tau": [0.005, 0.01], "hidden": [16, 32], "n_step": 2}, seeds=2)
    assert [trial.name for trial in trials] == [
        f"tau={tau}_hidden={hidden}_seed={seed}" for tau in (0.005, 0.01) for hidden in (16, 32) for seed in (0, 1)
    ]
    assert trials[-1].arguments == {"tau": 0.01, "hidden": 32, "n_step": 2, "seed": 1}
    assert [trial.varied["seed"] for trial in make_trials({}, seeds=[7, 3])] == [7, 3]
    arrays = make_trials({"tau": np.array([0.005, 0.01]), "hidden": np.int64(16)}, seeds=1)
    assert json.dumps([trial.arguments for trial in arrays]), "plain numbers, which a file can hold"


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-6, 1e-3), st.floats(1.5, 100), st.integers(1, 40), st.integers(1, 3))
def test_draws_are_in_their_range_the_same_each_time_and_shared_by_the_seeds(low, factor, samples, seeds):
    arguments = {"lr": f"loguniform({low},{low * factor})", "batch_size": "randint(8, 16)", "tau": "uniform(0.1, 0.2)"}
    trials = make_trials(arguments, seeds, samples)
    assert len(trials) == samples * seeds and trials == make_trials(arguments, seeds, samples)
    drawn = {(each.varied["lr"], each.varied["batch_size"], each.varied["tau"]) for each in trials}
    assert len(drawn) == samples
    for lr, batch_size, tau in drawn:
        assert low <= lr <= low * factor * (1 + 1e-9) and 8 <= batch_size < 16 and 0.1 <= tau < 0.2


def test_a_loguniform_draw_is_uniform_in_the_logarithm():
    drawn = [math.log10(each.varied["lr"]) for each in make_trials({"lr": "loguniform(1e-5, 1e-3)"}, 1, 400)]
    assert np.mean(drawn) == pytest.approx(-4, abs=0.1) and np.std(drawn) == pytest.approx(2 / math.sqrt(12), abs=0.05)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"taau": 0.1}, "There is no argument 'taau': did you mean 'tau'?"),
        ({"tau": [0.005, 5]}, "tau is 5: it should be less than or equal to 1."),
        ({"tau": [0.005, "0.o1"]}, "tau is '0.o1': it should be a valid number."),
        ({"tau": []}, "tau is an empty list: expected at least one value."),
        ({"tau": [0.01, 0.01]}, "Two runs are 'tau=0.01_seed=0': give each value and each seed once."),
        ({"seeds": [1, 1]}, "Two runs are 'seed=1': give each value and each seed once."),
        ({"seeds": 0}, "seeds is 0: it should be greater than or equal to 1."),
        ({"seeds": []}, r"seeds is \[\]: "),
        ({"seed": 3}, "A sweep sets 'seed' by itself: give seeds instead."),
        ({"resume": "a"}, "A sweep sets 'resume' by itself: leave it out"),
        ({"save_model": False}, "A sweep sets 'save_model' by itself: leave it out"),
        ({"lr": "loguniform(1e-3,1e-4)", "samples": 2}, "lr is 'loguniform.*': expected uniform.*, with LOW below HIGH."),
        ({"lr": "lognormal(1e-4,1e-3)", "samples": 2}, "lr is 'lognormal.*': expected uniform"),
        ({"batch_size": "randint(1.5,3)", "samples": 2}, r"batch_size is 'randint.*': expected .*randint\(LOW, HIGH\)"),
        (
            {"lr": "loguniform(1e-4,1e-3)"},
            "samples is None: it should be a whole number of at least 1, because lr has a range.",
        ),
        ({"samples": 3}, "samples is 3: it should be left out, because no argument has a range."),
        ({"cpus_per_trial": 0}, "cpus_per_trial is 0: it should be greater than or equal to 1."),
        ({"name": "a/b"}, "name is 'a/b': it should be a file name without folders."),
        ({"load_model": "nothing"}, "There is no checkpoint 'nothing'"),
    ],
)
def test_what_cannot_be_swept_ends_in_a_sentence_before_ray_starts(given, sentence, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{sentence}"):
        sweep(**SMALL | {"root": tmp_path} | given)
    assert not ray.is_initialized() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("setting", ["tau", "tau=", "=0.1", "tau=0.1,,0.2"])
def test_a_setting_with_a_typo_ends_in_a_sentence(setting):
    with pytest.raises(ValueError, match=f"^--set is '{setting}': expected NAME=VALUE"):
        parse_settings([setting])
    with pytest.raises(ValueError, match="^--set has 'tau' twice"):
        parse_settings(["tau=1", "tau=2"])


def test_the_first_seed_of_every_combination_is_trained_first(tmp_path, monkeypatch):
    started = []

    def run_trials(runs, folder, *_):
        folder.mkdir()
        started.extend(run.name for run in runs)

    monkeypatch.setattr("sweep.connect", lambda *_: None)
    monkeypatch.setattr("sweep.run_trials", run_trials)
    sweep(seeds=[3, 1], tau=[0.01, 0.02], root=tmp_path)
    assert started == ["tau=0.01_seed=1", "tau=0.02_seed=1", "tau=0.01_seed=3", "tau=0.02_seed=3"]


def test_a_list_of_seeds_and_a_text_for_the_folder_are_converted():
    args = make_sweep_args(seeds=range(2, 4), root="somewhere")
    assert args.seeds == (2, 3) and args.root.name == "somewhere"


# --- clusters that are not there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "nonsense", "127.0.0.1:port", "auto", ""])
def test_a_cluster_that_is_not_there_ends_in_a_sentence(address, tmp_path):
    started = time.monotonic()
    with pytest.raises(ValueError, match=f"^address is '{address}', where no Ray cluster answers .*: expected the HOST:PORT"):
        sweep(seeds=1, address=address, root=tmp_path / "sweeps", **SMALL)
    assert time.monotonic() - started < 20 and not ray.is_initialized()


def test_without_ray_the_command_that_installs_it_is_named(tmp_path, root):
    program = "import sys; sys.modules['ray'] = None; import runpy; sys.argv = ['sweep.py']; runpy.run_path('sweep.py', run_name='__main__')"
    done = run([PYTHON, "-c", program], root)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "A sweep needs Ray, which is not installed: run 'python scripts/make.py sweep', or 'uv sync --extra sweep' with uv."
    )


# --- real sweeps -----------------------------------------------------------------------------------------------------------


def command(root, *words, **arguments):
    """The command line of a sweep."""
    setting = [f"--set={name}={value}" for name, value in (SMALL | arguments).items()]
    return [PYTHON, "sweep.py", "--root", str(root), *setting, *words]


def run(words, repository, **options):
    return subprocess.run(words, cwd=repository, capture_output=True, text=True, timeout=120, **options)


def read_table(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def wait_for(condition, seconds=60, what=""):
    for _ in range(int(seconds * 20)):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"this did not happen in {seconds} seconds: {what}")


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two machines with one CPU each, both on this machine, and a head without one."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(wait=False, num_cpus=1)
    made.wait_for_nodes(60)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def plain(tmp_path, monkeypatch):
    """A function that trains with `main()` in a folder of its own, and returns the mean returns."""

    def train(**arguments):
        folder = tmp_path / "plain"
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        return main(**SMALL | {"workers": 0} | arguments).curve["mean_return"].tolist()

    return train


def test_a_sweep_is_the_runs_of_main_and_given_again_it_does_nothing(tmp_path, root, plain, cluster):
    """On this machine alone, from the command line; then with one more seed, as a function and on the cluster."""
    expected = {(tau, 0): plain(tau=tau, seed=0) for tau in (0.005, 0.05)}
    threshold = max(min(returns[:2]) for returns in expected.values())
    words = command(tmp_path, "--seeds", "1", "--until-return", str(threshold), "--name", "a", tau="0.005,0.05")
    words[words.index("--set=max_timesteps=400")] = "--max-timesteps=4_0_0"
    done = run(words, root)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "a" / "trials.csv")
    assert [(float(row["tau"]), int(row["seed"])) for row in rows] == list(expected)
    evaluations = read_table(tmp_path / "a" / "evaluations.csv")
    solved = 0
    for row, returns in zip(rows, expected.values(), strict=True):
        end = solved_row({"mean_return": np.array(returns)}, threshold)
        seen = [float(each["mean_return"]) for each in evaluations if each["trial"] == row["trial"]]
        assert seen == returns[: None if end is None else end + 1], "digit for digit, and not a step longer than needed"
        assert (row["solved"], row["status"]) == (("false", "true")[end is not None], "finished")
        assert row["steps_to_threshold"] == ("" if end is None else str(100 * (end + 1)))
        assert float(row["best"]) == max(seen) and row["host"] and not row["error"]
        solved += end is not None
    assert solved, "the threshold was chosen so that one run reaches it"

    def state():
        return {
            path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*") if path.is_file() and path.suffix != ".csv"
        }

    before = state()
    again = run(words, root)
    assert again.returncode == 0 and state() == before and read_table(tmp_path / "a" / "trials.csv") == rows
    with pytest.raises(ValueError, match="has a run with other arguments: give this sweep another name.$"):
        sweep(seeds=1, tau=[0.005, 0.05], until_return=threshold, name="a", root=tmp_path, n_step=1, **SMALL)

    result = sweep(
        seeds=2, tau=[0.005, 0.05], until_return=threshold, name="a", root=tmp_path, address=cluster.address, **SMALL
    )
    assert result.trials["seed"].to_pylist() == [0, 1] * 2 and set(result.trials["status"].to_pylist()) == {"finished"}
    assert {path: when for path, when in state().items() if path in before and "ray" not in path.parts} == {
        path: when for path, when in before.items() if "ray" not in path.parts
    }, "the earlier runs are kept"
    assert result.evaluations.num_rows == len(read_table(tmp_path / "a" / "evaluations.csv"))


def trial_processes(node):
    """The processes of a node that train."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children(recursive=True) if "ImplicitFunc" in " ".join(child.cmdline())]


def test_a_run_goes_on_after_its_process_its_machine_and_the_sweep_were_killed(tmp_path, root, plain, cluster):
    """The process is killed, then the node, then the sweep is interrupted; the curve is that of an undisturbed run."""
    expected = plain(max_timesteps=6000)
    folder = tmp_path / "a" / "seed=0"
    words = command(tmp_path, "--seeds", "1", "--name", "a", "--address", cluster.address, max_timesteps=6000)

    def rows_of_a_checkpoint_after(steps=0):
        """The steps of a checkpoint after these steps, and the seconds of the evaluations before it; None without one."""
        numbers = [int(path.name.partition("_")[2]) for path in (folder / "models" / "run").glob("latest_*")]
        if not numbers or max(numbers) < steps + 200:
            return None
        curve = read_curve(folder / "results" / "run.csv")
        return max(numbers), curve["seconds"][curve["timesteps"] <= max(numbers)].tolist()

    def training():
        return next(((node, each) for node in cluster.worker_nodes for each in trial_processes(node)), None)

    kept = []
    with subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        steps, rows = wait_for(rows_of_a_checkpoint_after, what="a checkpoint")
        kept.append(rows)
        training()[1].kill()
        steps, rows = wait_for(lambda: rows_of_a_checkpoint_after(steps), what="one after the process was killed")
        kept.append(rows)
        cluster.remove_node(training()[0], allow_graceful=False)
        steps, rows = wait_for(lambda: rows_of_a_checkpoint_after(steps), what="one after the node was killed")
        kept.append(rows)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1 and time.monotonic() - started < 20
    assert errors.splitlines()[-1] == "Of 1 runs: 1 unfinished.  The same command continues." and "Traceback" not in errors
    assert read_table(tmp_path / "a" / "trials.csv")[0]["status"] == "unfinished"

    done = run(words, root)
    assert done.returncode == 0, done.stderr
    curve = read_curve(folder / "results" / "run.csv")
    for rows in kept:
        assert curve["seconds"][: len(rows)].tolist() == rows, "it went on from a checkpoint: the clock of earlier rows is kept"
    assert curve["mean_return"].tolist() == expected
    assert read_table(tmp_path / "a" / "trials.csv")[0]["status"] == "finished"
    assert not list(folder.rglob("*_replay_buffer")), "a finished run needs none"


def test_a_run_that_fails_leaves_the_others_alone_and_its_message(tmp_path, root, cluster):
    """The folder in which one of two runs writes its curve is a file."""
    (tmp_path / "a" / "n_step=2_seed=0").mkdir(parents=True)
    (tmp_path / "a" / "n_step=2_seed=0" / "results").write_text("")
    words = ["--seeds=1", "--name=a", "--max-failures=0", "--address", cluster.address]
    done = run(command(tmp_path, *words, n_step="1,2"), root)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Of 2 runs: 1 failed, 1 finished.  The same command continues."
    rows = read_table(tmp_path / "a" / "trials.csv")
    assert [(row["status"], row["error"]) for row in rows] == [
        ("finished", ""),
        ("failed", "'results' cannot be written (its folder is a file): choose a folder that you may write to."),
    ]
    kept = json.loads((tmp_path / "a" / "n_step=1_seed=0" / "models" / "run" / "args.json").read_text())
    assert (kept["workers"], kept["threads"]) == (0, 1), "one CPU: no process beside the learner's, and one thread"


def test_a_process_that_dies_each_time_is_a_failed_run(tmp_path, root, cluster):
    words = command(tmp_path, "--seeds=1", "--name=a", "--max-failures=0", "--address", cluster.address, max_timesteps=100_000)
    with subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        path = tmp_path / "a" / "seed=0" / "results" / "run.csv"
        wait_for(lambda: path.exists() and len(read_curve(path).get("timesteps", [])), what="an evaluation")
        (trial,) = (each for node in cluster.worker_nodes for each in trial_processes(node))
        trial.kill()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and errors.splitlines()[-1] == "Of 1 runs: 1 failed.  The same command continues."
    assert read_table(tmp_path / "a" / "trials.csv")[0]["error"] == "Its process died."


def test_more_cpus_than_any_machine_has_end_in_a_sentence(tmp_path, cluster):
    with pytest.raises(ValueError, match="^cpus_per_trial is 2: it should be at most 1, the CPUs of the largest machine.$"):
        sweep(seeds=1, cpus_per_trial=2, address=cluster.address, root=tmp_path, **SMALL)
    assert not ray.is_initialized()
