"""One measurement in a process of its own, so that no thread of the one before disturbs the next.

    python benchmarks/measure.py update --threads 1

`bench.py` and `growth.py` start it; the last line it prints is the result, as JSON.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from plain_td3 import PlainBuffer, PlainTD3  # noqa: E402

import main as training  # noqa: E402
from TD3 import TD3  # noqa: E402
from utils import ReplayBuffer, eval_policy  # noqa: E402
from vector import make_env, make_envs, quiet  # noqa: E402

S, A = 28, 8
"""Sizes of the ant's state and action."""

# --- the update --------------------------------------------------------------------------------------------------------------


def flops_of_update(state_dim=S, action_dim=A, hidden=256, batch_size=256, policy_freq=2):
    """Floating-point operations that the matrix products of one TD3 update need, the mean over delayed and other updates.

    A linear layer from m to n units costs 2 B m n forward, as much again for the gradient of its weights, and as much for the
    gradient of its input, which a first layer does not need unless something learns through it.

        critics: 1 actor and 2 critics forward for the target, 2 critics forward, 2 backward (weights and inner inputs)
        actor, once in `policy_freq` updates: 1 actor and 1 critic forward; back through all of that critic's inputs, and
            through the actor (weights and inner inputs)

    Activations, losses, Adam and the targets are left out: they cost far less arithmetic than the products.
    """
    actor = [state_dim * hidden, hidden * hidden, hidden * action_dim]
    critic = [(state_dim + action_dim) * hidden, hidden * hidden, hidden]
    critics = sum(actor) + 2 * sum(critic) + 2 * (sum(critic) + sum(critic) + sum(critic[1:]))
    actors = sum(actor) + sum(critic) + sum(critic) + sum(actor) + sum(actor[1:])
    return 2 * batch_size * (critics + actors / policy_freq)


def matmul_rate(dtype, size=1024, seconds=1.0):
    """Floating-point operations per second of the product of two square matrices: the fastest of those tried in `seconds`."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def filled(buffer_class, size=100_000, **kwargs):
    """A buffer of `size` random transitions of the ant's shape."""
    rng, buffer = np.random.default_rng(0), buffer_class(S, A, size, seed=0, **kwargs)
    columns = [rng.normal(size=(size, S)), rng.uniform(-1, 1, (size, A)), rng.normal(size=(size, S))]
    columns += [rng.normal(size=(size, 1)), np.ones((size, 1))]
    if buffer_class is PlainBuffer:
        buffer.columns = columns
    else:
        for part, column in zip(buffer.parts, columns, strict=True):
            part.copy_(torch.from_numpy(column))
    buffer.size = size
    return buffer


def alternate(agents, batch_size=256, seconds=1.0, rounds=5):
    """Updates per second of several agents, a turn each in every round, so that a drift of the clock meets all alike.

    Args:
        agents: {name: (agent, its buffer)}.
        batch_size: of an update; sampling the batch is part of it.
        seconds: of a turn.
        rounds: turns of each agent.

    Returns:
        {name: median over the rounds}.
    """
    rates = {name: [] for name in agents}
    for k in range(rounds + 1):  # the first round warms up
        for name, (agent, buffer) in agents.items():
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < (seconds if k else seconds / 4):
                for _ in range(agent.policy_freq):  # whole cycles of critic and actor updates
                    agent.train(buffer, batch_size)
                count += agent.policy_freq
                if agent.device.type == "cuda":
                    torch.cuda.synchronize()
            if k:
                rates[name].append(count / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in rates.items()}


def update(threads=1, seconds=1.0, rounds=5, batch_size=256, hidden=256, device="cpu"):
    """Updates per second of ours and of the plain transcription."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device")
    torch.set_num_threads(threads)
    bf16 = training.fast_bf16(device)
    ours, plain = filled(ReplayBuffer, device=device), filled(PlainBuffer, device=device)
    sizes = {"hidden": hidden, "device": device}
    agents = {
        "ours": (TD3(S, A, 1.0, bf16=bf16, **sizes), ours),
        "plain": (PlainTD3(S, A, 1.0, **sizes), plain),
    }
    result = alternate(agents, batch_size, seconds, rounds) | {"bf16": bf16, "threads": threads}
    result["flops"] = flops_of_update(hidden=hidden, batch_size=batch_size)
    if device == "cuda":
        return result | {"device": torch.cuda.get_device_name()}
    return result | {
        "float32_flops": matmul_rate(torch.float32, seconds=seconds),
        "bf16_flops": matmul_rate(torch.bfloat16, seconds=seconds) if bf16 else None,
    }


# --- training ----------------------------------------------------------------------------------------------------------------

RANDOM_STEPS = 1_000
"""Steps before the learner starts: fewer than in a real run, so that nearly all of the measurement has the learner in it."""


def train(seconds=25.0, num_envs=16, one_process_per_ant=False):
    """Environment steps and updates per second of `main()` with the fast recipe."""
    if one_process_per_ant:
        same_step = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
        training.make_envs = lambda env, n, workers: gym.make_vec(env, n, vectorization_mode="async", vector_kwargs=same_step)
    result = training.main(
        num_envs=num_envs,
        start_timesteps=RANDOM_STEPS,
        max_timesteps=1_000_000_000,
        eval_freq=1_000_000_000,  # the evaluation at the end is not counted in `steps_per_second`
        max_minutes=seconds / 60,
        save_model=False,
    )
    steps, rate = int(result.curve["timesteps"][-1]), float(result.curve["steps_per_second"][-1])
    args = training.make_args()
    widths = 2 * S + A + 2
    return {
        "steps": rate,
        "updates": result.policy.total_it * rate / steps,
        "threads": torch.get_num_threads(),
        "buffer_bytes": 4 * widths * max(args.buffer_size - steps, 0),
    }


ZOO = {
    "gamma": 0.98,
    "learning_rate": 7e-4,
    "batch_size": 256,
    "buffer_size": 200_000,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [400, 300]},
}
"""RL Baselines3 Zoo, hyperparams/td3.yml, AntBulletEnv-v0; its noise is 0.1 and it starts after 10,000 random steps."""


def train_peer(library, seconds=25.0):
    """The same of stable-baselines3 ("sb3") or SBX ("sbx"), with the settings that RL Baselines3 Zoo has for this ant.

    One update a step on one ant, and both libraries' own number of threads, as their users get it.
    """
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.noise import NormalActionNoise

    if library == "sb3":
        from stable_baselines3 import TD3 as Peer
    else:
        from sbx import TD3 as Peer

    class Clock(BaseCallback):
        """Starts a little after the first update, when everything is compiled, and stops the run in time."""

        started = None

        def _on_step(self):
            if self.num_timesteps < RANDOM_STEPS + 200:
                return True
            if self.started is None:
                self.first, self.started = self.num_timesteps, time.perf_counter()
            self.rate = (self.num_timesteps - self.first) / max(time.perf_counter() - self.started, 1e-9)
            return time.perf_counter() - self.started < seconds

    clock = Clock()
    model = Peer(
        "MlpPolicy",
        gym.make("AntBulletEnv-v0"),
        seed=0,
        learning_starts=RANDOM_STEPS,
        action_noise=NormalActionNoise(np.zeros(A), 0.1 * np.ones(A)),
        **ZOO,
    )
    model.learn(1_000_000_000, callback=clock)
    return {"steps": clock.rate, "updates": clock.rate, "threads": torch.get_num_threads()}


def walk(seconds=1.0, rounds=5):
    """Steps per second of one ant on one core, random actions, by turns: upstream's, the stock ant here, and ours to change."""
    with quiet():
        upstream = gym.make("AntBulletEnv-v0", disable_env_checker=True)
        upstream.reset()
    envs = {"upstream": upstream, "stock": make_env("AntBulletEnv-v0"), "ours": make_env("MyAntBulletEnv-v0", target=(1000, 0))}
    rng, rates = np.random.default_rng(0), {name: [] for name in envs}
    for k in range(rounds + 1):  # the first round warms up
        actions = rng.uniform(-1, 1, (1000, A)).astype(np.float32)  # in a round the same for each
        for name, env in envs.items():
            env.reset(seed=k)
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                _, _, terminated, truncated, _ = env.step(actions[count % 1000])
                count += 1
                if terminated or truncated:
                    env.reset()
            if k:
                rates[name].append(count / (time.perf_counter() - started))
    for env in envs.values():
        env.close()
    return {name: statistics.median(values) for name, values in rates.items()}


def ants(num_envs=16, seconds=10.0):
    """Steps per second of the ants alone, in one worker, with random actions and no learner."""
    envs, rng = make_envs("AntBulletEnv-v0", num_envs, workers=1), np.random.default_rng(0)
    envs.reset(seed=0)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        envs.step(rng.uniform(-1, 1, (num_envs, A)).astype(np.float32))
        steps += num_envs
    rate = steps / (time.perf_counter() - started)
    envs.close()
    return {"steps": rate}


# --- start -------------------------------------------------------------------------------------------------------------------


def first_frame():
    """Seconds of one step with an untrained policy and of its first picture; what came before, imports, the caller measures."""
    from viewer import animate, record

    started = time.perf_counter()
    run = record(TD3(S, A, 1.0), max_steps=1)
    animate(run, "first_frame.png", workers=0, verbose=False)
    return {"seconds": time.perf_counter() - started}


# --- the same learning result ------------------------------------------------------------------------------------------------


def learn(agent="plain", seed=0, env="Pendulum-v1", steps=15_000, start=1_000, every=1_000):
    """A learning curve of `agent` ("plain", "float32" or "bf16"): one environment, one update a step, the paper's settings.

    Returns:
        {"curve": a list of (environment steps, mean return of 10 episodes)}.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    state_dim, action_dim, max_action = training.dimensions(env)
    if agent == "plain":
        policy, buffer = PlainTD3(state_dim, action_dim, max_action), PlainBuffer(state_dim, action_dim, steps, seed=seed)
    else:
        policy = TD3(state_dim, action_dim, max_action, bf16=agent == "bf16")
        buffer = ReplayBuffer(state_dim, action_dim, steps, seed=seed)
    one, curve = make_env(env), []
    state, _ = one.reset(seed=seed)
    for t in range(1, steps + 1):
        if t <= start:
            action = rng.uniform(-max_action, max_action, action_dim)
        else:
            noise = 0.1 * max_action * rng.standard_normal(action_dim)
            action = (policy.select_action(state) + noise).clip(-max_action, max_action)
        next_state, reward, terminated, truncated, _ = one.step(action.astype(np.float32))
        buffer.add(state, action, next_state, reward, float(terminated))
        state = one.reset()[0] if terminated or truncated else next_state
        if t > start:
            policy.train(buffer)
        if t % every == 0 or t == steps:
            curve.append((t, eval_policy(policy, env, workers=0).mean))
    one.close()
    return {"curve": curve}


# --- command line ------------------------------------------------------------------------------------------------------------

MEASUREMENTS = {f.__name__: f for f in (update, walk, train, train_peer, ants, first_frame, learn)}


def command_line():
    """`measure.py NAME --argument value ...`; numbers and true are read as JSON, all else is text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=MEASUREMENTS)
    name, rest = parser.parse_known_args()
    arguments = {}
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
        arguments[option.removeprefix("--").replace("-", "_")] = value
    print(json.dumps(MEASUREMENTS[name.name](**arguments)))


if __name__ == "__main__":
    command_line()
