"""Does the fast update learn what the plain transcription learns?  Curves of a pendulum and of the stock ant."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.learning import train_ant, up_to_shortest
from benchmarks.plain_td3 import PlainBuffer
from benchmarks.process import measure_all
from benchmarks.table import FOLDER, Row
from benchmarks.update import AGENTS
from envs.registry import dimensions, make_env
from training.curve import read_curve
from utils import ReplayBuffer, eval_policy
from viewing import style

LABELS = {"plain": "plain transcription", "float32": "TD3.py in float32", "bf16": "bf16_update.py"}
"""The compared `AGENTS`."""

Curves = dict[str, list[Any]]
"""For each agent a curve of each seed, which has the columns "timesteps" and "mean_return"."""


def learn_pendulum(agent: str, seed: int, steps: int = 15_000, start: int = 1_000, every: int = 1_000) -> dict[str, Any]:
    """Trains on Pendulum-v1 with one environment, one update a step and the hyperparameters of the paper.

    Args:
        agent: a key of `AGENTS`.
        seed: of networks, exploration, sampling and environment.
        steps: environment steps.
        start: steps with random actions before the first update.
        every: steps between evaluations.

    Returns:
        {"curve": a list of (environment steps, mean return of 10 episodes)}.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    state_dim, action_dim, max_action = dimensions("Pendulum-v1")
    policy = AGENTS[agent](state_dim, action_dim, max_action)
    buffer = (PlainBuffer if agent == "plain" else ReplayBuffer)(state_dim, action_dim, steps, seed=seed)
    env, curve = make_env("Pendulum-v1"), []
    state, _ = env.reset(seed=seed)
    for t in range(1, steps + 1):
        if t <= start:
            action = rng.uniform(-max_action, max_action, action_dim)
        else:
            noise = 0.1 * max_action * rng.standard_normal(action_dim)
            action = (policy.select_action(state) + noise).clip(-max_action, max_action)
        next_state, reward, terminated, truncated, _ = env.step(action.astype(np.float32))
        buffer.add(state, action, next_state, float(reward), float(terminated))
        state = env.reset()[0] if terminated or truncated else next_state
        if t > start:
            policy.train(buffer)
        if t % every == 0 or t == steps:
            curve.append((t, eval_policy(policy, "Pendulum-v1").mean))
    env.close()
    return {"curve": curve}


def learn_pendulums(seeds: Sequence[int], path: Path) -> None:
    """Trains every agent with every seed, one on each core, and writes the curves to a CSV."""
    jobs = [{"agent": agent, "seed": seed} for seed in seeds for agent in LABELS]
    results = measure_all(learn_pendulum, jobs)
    with open(path, "w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(["agent", "seed", "timesteps", "mean_return"])
        for job, result in zip(jobs, results, strict=True):
            table.writerows([*job.values(), steps, f"{mean:.1f}"] for steps, mean in result["curve"])


def read_pendulums(path: Path) -> Curves:
    """The curves in a CSV of `learn_pendulums`."""
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
    return {
        agent: [table[(table["agent"] == agent) & (table["seed"] == seed)] for seed in np.unique(table["seed"])]
        for agent in LABELS
    }


def pendulum_rows(curves: Curves, level: float) -> Iterator[Row]:
    """How soon each agent reaches the level, and how often it falls below it later."""
    steps, below = {}, {}
    for agent, of_seeds in curves.items():
        first = [next(iter(np.flatnonzero(curve["mean_return"] >= level)), len(curve)) for curve in of_seeds]
        reached = [curve["timesteps"][k : k + 1] for curve, k in zip(of_seeds, first, strict=True)]
        later = np.concatenate([curve["mean_return"][k + 1 :] for curve, k in zip(of_seeds, first, strict=True)])
        steps[agent] = ", ".join(f"{at[0]:,}" if len(at) else "never" for at in reached)
        below[agent] = f"{(later < level).sum()} of {len(later)}"
    for words, unit, figures in (("steps to", "steps", steps), ("later evaluations below", "evaluations", below)):
        for agent in list(curves)[1:]:
            what = f"pendulum, {LABELS[agent]}: {words} a mean return of {level:g}, {len(curves[agent])} seeds"
            yield Row(what, figures[agent], unit, LABELS["plain"], figures["plain"])


def read_ants(seeds: Sequence[int], folder: Path) -> Curves:
    """The curves of the stock ant in float32 and bfloat16, up to the end of the shortest."""
    return up_to_shortest(
        {agent: [read_curve(folder / f"ours_{agent}_seed{seed}.csv") for seed in seeds] for agent in ("float32", "bf16")}
    )


def ant_row(ants: Curves) -> Row:
    """The best evaluation of each ant."""
    end = max(curve["timesteps"][-1] for curves in ants.values() for curve in curves)
    best = {agent: ", ".join(f"{max(curve['mean_return']):,.0f}" for curve in curves) for agent, curves in ants.items()}
    what = f"ant, {LABELS['bf16']}: best mean return within {end:,.0f} steps, {len(ants['bf16'])} seeds"
    return Row(what, best["bf16"], "", LABELS["float32"], best["float32"])


def draw(pendulums: Curves, ants: Curves, path: Path) -> None:
    """Learning curves, a line for each seed."""
    looks = {
        "plain": {"color": style.GREY, "linestyle": ":"},
        "float32": {"color": style.OKABE_ITO[0], "linestyle": "--"},
        "bf16": {"color": style.OKABE_ITO[1]},
    }
    figure, both = style.figure(5, 7, rows=2, dpi=160)
    panels = {"Pendulum-v1": pendulums, "the stock ant, fast recipe": ants}
    for axes, (title, curves) in zip(both, panels.items(), strict=True):
        for agent, of_seeds in curves.items():
            for k, curve in enumerate(of_seeds):
                label = "" if k else LABELS[agent]
                axes.plot(curve["timesteps"], curve["mean_return"], label=label, linewidth=1.5, **looks[agent])
        axes.set(xlabel="environment steps", ylabel="mean return of 10 episodes", title=title)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
        style.legend(axes)
    figure.savefig(path)


def same_result_rows(
    again: bool = True, seeds: Sequence[int] = range(5), ant_seeds: Sequence[int] = range(3), folder: Path = FOLDER
) -> Iterator[Row]:
    """The pendulum with each agent, and the ant in bfloat16 next to float32; also draws same_result.png.

    Args:
        again: whether to train.  Otherwise the curves are those of earlier runs.
        seeds, ant_seeds: of the trainings.
        folder: where the curves are, same_result.csv, ours_bf16_seedN.csv and ours_float32_seedN.csv.
    """
    if again:
        learn_pendulums(seeds, folder / "same_result.csv")
    pendulums = read_pendulums(folder / "same_result.csv")
    yield from pendulum_rows(pendulums, level=-200)
    if again:
        jobs = [
            {"curve": str(folder / f"ours_{agent}_seed{seed}.csv"), "seed": seed, "bf16": agent == "bf16"}
            for seed in ant_seeds
            for agent in ("float32", "bf16")
        ]
        measure_all(train_ant, [job | {"max_timesteps": 300_000, "workers": 0} for job in jobs])
    ants = read_ants(ant_seeds, folder)
    yield ant_row(ants)
    draw(pendulums, ants, folder / "same_result.png")
