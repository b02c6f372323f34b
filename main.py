"""Trains a TD3 agent: `main(**args)` in a notebook, `python main.py` in a terminal.  Every training run is this one loop."""

if __name__ == "__main__":
    from training.cli import exit_on_interrupt

    exit_on_interrupt()  # Ctrl-C during the imports below

import dataclasses
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from training.args import RECIPES, Args, make_args
from training.cli import run_cli

if TYPE_CHECKING:
    from training.run import Result


def main(*, on_evaluation: Callable[[dict[str, float]], bool | None] | None = None, **given: Any) -> "Result":
    """Trains a policy.

    Args:
        on_evaluation: called after each evaluation with a dict of the columns of results/NAME.csv.  If it returns True, the run
            ends.
        **given: fields of `Args`, such as `main(env="AntBulletEnv-v0", seed=1, max_timesteps=200_000)`.  The others have the
            values of the recipe, which is "fast" unless `recipe="paper"` is given.

    Returns:
        a `training.run.Result`; after Ctrl-C or the stop button of a notebook, the result so far.

    Raises:
        ValueError: an argument does not exist, or its value makes no sense, or a number in training became nan or infinite.
        FileNotFoundError: `load_model` or `resume` names something that does not exist.
        OSError: a file cannot be written.
        WorkerError: an environment raised an error, or a process with environments died.
    """
    args = make_args(**given)
    import torch  # here, because `python main.py --help` need not wait for it

    from envs.registry import dimensions, make_env, make_envs
    from envs.symmetry import symmetries_that_hold
    from envs.vector import final_states
    from TD3 import TD3
    from training.bf16_update import Bf16TD3
    from training.cuda_graph import CudaGraphTD3
    from training.finite import check_actions, check_losses, check_steps, check_weights
    from training.run import Run
    from training.streams import integer, spawn_streams
    from utils import ReplayBuffer, find_checkpoint
    from viewing.curves import plot_curve

    torch.set_num_threads(args.threads)
    streams = spawn_streams(args.seed)
    torch.manual_seed(integer(streams.networks))
    rng = np.random.default_rng(streams.exploration)
    state_dim, action_dim, max_action = dimensions(args.env)

    # Bf16TD3 and CudaGraphTD3 compute the update of TD3 in a faster way.
    agent = CudaGraphTD3 if args.device == "cuda" else Bf16TD3 if args.bf16 else TD3
    policy = agent(
        state_dim,
        action_dim,
        max_action,
        tau=args.tau,
        policy_noise=args.policy_noise,
        noise_clip=args.noise_clip,
        policy_freq=args.policy_freq,
        clipped_double_q=args.clipped_double_q,
        saturation_penalty=args.saturation_penalty,
        lr=args.lr,
        hidden=args.hidden,
        device=args.device,
    )
    if args.load_model and not args.resume:
        policy.load(find_checkpoint(args.load_model))
    torch.manual_seed(integer(streams.target_noise))  # from here on, PyTorch's global generator draws the target noise alone
    replay_buffer = ReplayBuffer(
        state_dim,
        action_dim,
        args.buffer_size,
        n_step=args.n_step,
        discount=args.discount,
        seed=integer(streams.sampling),
        symmetries=symmetries_that_hold(lambda: make_env(args.env)) if args.symmetries else [],
        device=args.device,
    )
    expl_noise = max_action * exploration_noise(args)

    def explore(states, t):
        """Random actions at first, then those of the policy with noise: (N, S) -> (N, A)."""
        if t < args.start_timesteps and not args.load_model:
            return rng.uniform(-max_action, max_action, (args.num_envs, action_dim)).astype(np.float32)
        actions = policy.select_action(states) + expl_noise * rng.standard_normal((args.num_envs, action_dim))
        return actions.clip(-max_action, max_action).astype(np.float32)

    def updates_due(t):
        """The number of updates that keeps their total at utd_ratio times the steps after start_timesteps."""
        return max(0, int((t - args.start_timesteps) * args.utd_ratio) - policy.total_it) if len(replay_buffer) else 0

    envs = make_envs(args.env, args.num_envs, args.workers or 0, staggered=True)
    with closing(envs), Run(args, plot_curve, on_evaluation) as run:
        t, states, actions = run.begin(policy, replay_buffer, rng, envs)  # resets the environments, or resumes a run
        run.position = lambda: (t, states, actions)  # what a checkpoint needs of this loop
        losses: dict[str, torch.Tensor] = {}
        while True:
            ends = run.ends(t)  # by max_timesteps or max_minutes
            if ends or run.evaluation_due(t):
                ends |= run.evaluate(policy, t, losses)  # a row of results/NAME.csv, and models/NAME/best_* if it is the best
            if ends:
                break
            run.save_latest_if_due()  # models/NAME/latest_*
            run.display.update(t)

            if actions is None:
                actions = explore(states, t)
                check_actions(actions, t, policy)
            envs.step_async(actions)  # the environments step on the other core ...
            for _ in range(updates_due(t)):
                losses |= policy.train(replay_buffer, args.batch_size)  # ... while this one learns
                run.check()  # Ctrl-C
            check_losses(losses, policy, t)
            if t // args.num_envs % 8 == 0:
                check_weights(policy, t)
            next_states, rewards, terminated, truncated, infos = envs.step_wait()
            led_to = final_states(next_states, infos)
            check_steps(led_to, rewards, t + args.num_envs, envs)
            replay_buffer.add(states, actions, led_to, rewards, terminated, truncated)
            t, states, actions = t + args.num_envs, next_states, None
    return run.result(policy)


def exploration_noise(args: Args) -> np.ndarray:
    """Standard deviation of each environment's exploration noise, shape (num_envs, 1), in units of max_action."""
    highest = args.expl_noise if args.expl_noise_max is None else args.expl_noise_max
    if args.num_envs == 1 or highest == args.expl_noise:
        return np.full((args.num_envs, 1), args.expl_noise)
    return np.geomspace(args.expl_noise, highest, args.num_envs)[:, None]


def command_line(args: Any) -> None:
    """Trains a TD3 agent."""
    resumed = not isinstance(args, Args)
    result = main(**{name: value for name, value in vars(args).items() if not (resumed and value is None)})
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # everything is saved, and what is left takes a moment
    interrupted = "Interrupted.  " if result.interrupted else ""
    best = f"Best mean return {result.best:,.0f} after" if len(result.curve["timesteps"]) else "No evaluation in"
    print(f"{interrupted}{best} {result.seconds / 60:.1f} minutes.")
    saved = Path("models", result.name).exists()
    print(f"Learning curve: results/{result.name}.csv" + (f", policies: models/{result.name}/" if saved else ""))
    if result.interrupted and saved:
        print(f"Continue with: python main.py --resume {result.name}")


if __name__ == "__main__":
    if any(word.partition("=")[0] == "--resume" for word in sys.argv):
        # None stands for an option that was not given: a resumed run has its own values instead of the recipe's.
        options = [(field.name, field.type | None, None) for field in dataclasses.fields(Args)]  # type: ignore[operator]
        run_cli(command_line, dataclasses.make_dataclass("ResumeArgs", options), description=__doc__)
    else:
        recipe = tyro.extras.subcommand_type_from_defaults(
            RECIPES,
            descriptions={"fast": "Made for two cores; the default.", "paper": "The hyperparameters of TD3's authors."},
        )
        run_cli(command_line, recipe, default=RECIPES["fast"], config=(tyro.conf.CascadeSubcommandArgs,), description=__doc__)
