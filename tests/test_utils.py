"""The replay buffer against plain lists, the evaluation against episodes run by hand, and saved policies."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

from envs.registry import cookbook_id, make_env, make_envs
from main import main
from TD3 import PARTS, TD3
from utils import ReplayBuffer, eval_policy, find_checkpoint, fit_observations, load_policy, training_env


def test_sample_gives_transitions_in_the_originals_order_and_meaning():
    buffer = ReplayBuffer(3, 2, 10, discount=0.9, seed=0)
    for k in range(4):
        buffer.add(np.full(3, k), np.full(2, k + 0.1), np.full(3, k + 0.2), k + 0.3, terminated=k == 2)
    state, action, next_state, reward, discount = buffer.sample(200)
    assert [tuple(x.shape) for x in (state, action, next_state, reward, discount)] == [
        (200, 3), (200, 2), (200, 3), (200, 1), (200, 1),
    ]  # fmt: skip
    assert all(x.dtype == torch.float32 for x in (state, action, next_state, reward, discount))
    k = state[:, :1]
    torch.testing.assert_close(action, (k + 0.1).expand(-1, 2))
    torch.testing.assert_close(next_state, (k + 0.2).expand(-1, 3))
    torch.testing.assert_close(reward, k + 0.3)
    torch.testing.assert_close(discount, 0.9 * (k != 2).float())
    assert set(k.flatten().tolist()) == {0, 1, 2, 3}


def test_adding_many_at_once_equals_adding_one_by_one_and_wraps_round():
    rng = np.random.default_rng(0)
    one, many = ReplayBuffer(3, 2, 10), ReplayBuffer(3, 2, 10)
    for _ in range(6):
        batch = [
            rng.normal(size=(4, 3)),
            rng.normal(size=(4, 2)),
            rng.normal(size=(4, 3)),
            rng.normal(size=4),
            rng.random(4) < 0.5,
        ]
        many.add(*batch)
        for row in zip(*batch, strict=True):
            one.add(*row)
        assert (one.ptr, one.size) == (many.ptr, many.size)
        for a, b in zip(one.columns, many.columns, strict=True):
            assert torch.equal(a[: one.size], b[: one.size])
    assert one.ptr == 4 and one.size == len(one) == 10


def test_every_transition_is_drawn_equally_often_and_a_seed_repeats_the_draw():
    buffers = [ReplayBuffer(1, 1, 100, seed=seed) for seed in (1, 1, 2)]
    for buffer in buffers:
        buffer.add(np.arange(50)[:, None], np.zeros((50, 1)), np.zeros((50, 1)), np.zeros(50), np.zeros(50))
    drawn = [buffer.sample(20_000)[0].flatten().numpy().astype(int) for buffer in buffers]
    counts = np.bincount(drawn[0], minlength=50)
    assert len(counts) == 50 and counts.min() > 300 and counts.max() < 500  # 400 +- 5 standard deviations
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()


def plain_n_step(episodes, n, gamma):
    """All n-step transitions of a list of episodes, written the slow way.  An episode: (states, actions, rewards, terminated)."""
    found = []
    for states, actions, rewards, terminated in episodes:
        for t in range(len(rewards)):
            last = min(t + n, len(rewards))
            total = sum(gamma**k * rewards[t + k] for k in range(last - t))
            discount = 0 if terminated and last == len(rewards) else gamma ** (last - t)
            found.append((states[t], actions[t], states[last], total, discount))
    return found


@pytest.mark.parametrize("n", [1, 3, 5])
def test_n_step_sums_equal_the_slow_way(n):
    """Two ants with episodes of random lengths that end by falling or by the time limit."""
    rng, gamma, steps = np.random.default_rng(0), 0.9, 200
    buffer = ReplayBuffer(1, 1, 1000, n_step=n, discount=gamma)
    ants = [{"open": None, "episodes": []} for _ in range(2)]
    counter = iter(range(10_000))
    state = np.array([[next(counter)] for _ in ants], float)
    for _ in range(steps):
        action, reward = rng.normal(size=(2, 1)), rng.normal(size=2)
        next_state = np.array([[next(counter)] for _ in ants], float)
        terminated, truncated = rng.random(2) < 0.1, rng.random(2) < 0.1
        buffer.add(state, action, next_state, reward, terminated, truncated)
        for k, ant in enumerate(ants):
            if ant["open"] is None:
                ant["open"] = ([state[k, 0]], [], [])
            ant["open"][0].append(next_state[k, 0])
            ant["open"][1].append(action[k, 0])
            ant["open"][2].append(reward[k])
            if terminated[k] or truncated[k]:
                ant["episodes"].append((*ant["open"], bool(terminated[k])))
                ant["open"] = None
        state = np.where((terminated | truncated)[:, None], [[next(counter)] for _ in ants], next_state)

    rows = {part[0].item(): part for part in torch.cat([p[: buffer.size] for p in buffer.columns], 1)}
    assert len(rows) == buffer.size
    expected = [row for ant in ants for row in plain_n_step(ant["episodes"], n, gamma)]
    assert len(expected) > 300
    assert n == 1 or len({row[4] for row in expected}) == n + 1, "windows were cut by falls and by time limits"
    missing = 0
    for first, action, last, total, discount in expected:
        if first not in rows:  # its window was still open when the loop ended
            missing += 1
            continue
        np.testing.assert_allclose(rows[first].numpy(), [first, action, last, total, discount], rtol=1e-5)
    assert missing <= 2 * (n - 1)
    assert len(rows) <= len(expected) + sum(len(ant["open"][2]) for ant in ants if ant["open"])


def test_a_million_ant_transitions_take_at_most_280_mb():
    """Measured in a process of its own: resident memory before and after filling the buffer."""
    code = """
import numpy as np, psutil
from utils import ReplayBuffer
before = psutil.Process().memory_info().rss
buffer = ReplayBuffer(28, 8, 1_000_000)
for _ in range(100):
    buffer.add(np.ones((10_000, 28)), np.ones((10_000, 8)), np.ones((10_000, 28)), np.ones(10_000), np.zeros(10_000))
assert len(buffer) == 1_000_000
print(psutil.Process().memory_info().rss - before)
"""
    taken = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 200e6 < taken <= 280e6 + 8e6  # 8 MB for the arrays that are being added


@pytest.mark.parametrize("name", ["state_dim", "action_dim", "max_size", "n_step"])
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused(name, value):
    sizes = {"state_dim": 3, "action_dim": 2, "max_size": 10, name: value}
    with pytest.raises(ValueError, match=f"{name} is {value}: expected a whole number of at least 1"):
        ReplayBuffer(**sizes)


def test_an_empty_buffer_cannot_be_sampled():
    with pytest.raises(ValueError, match="empty"):
        ReplayBuffer(3, 2, 10).sample(4)


def test_eval_policy_equals_episodes_run_by_hand_and_does_not_depend_on_what_ran_before():
    torch.manual_seed(0)
    policy = TD3(28, 8, 1.0)
    envs = make_envs("AntBulletEnv-v0", 3, workers=2)
    try:
        first = eval_policy(policy, envs, seed=11, eval_episodes=3)
        again = eval_policy(policy, envs, seed=11, eval_episodes=3)
    finally:
        envs.close()
    elsewhere = eval_policy(policy, "AntBulletEnv-v0", seed=11, eval_episodes=3, workers=0)
    two = make_envs("AntBulletEnv-v0", 2, workers=0)
    in_rounds = eval_policy(policy, two, seed=11, eval_episodes=3)
    two.close()
    assert len(in_rounds.returns) == len(in_rounds.lengths) == 3
    env = make_env("AntBulletEnv-v0")
    for k in range(3):
        state, _ = env.reset(seed=11 + k)
        total, length, over = 0.0, 0, False
        while not over:
            state, reward, terminated, truncated, _ = env.step(policy.select_action(state))
            total, length, over = total + reward, length + 1, terminated or truncated
        for seen in (first, again, elsewhere, in_rounds):
            assert seen.lengths[k] == length
            assert seen.returns[k] == pytest.approx(total, abs=1e-3)
    env.close()
    assert len(set(first.returns)) == 3, "the episodes have different seeds"
    assert "mean return" in str(first) and first.mean == pytest.approx(first.returns.mean())


def test_eval_policy_counts_first_episodes_alone():
    """An ant that falls early starts again at once, but what comes after does not count."""

    class Constant:
        def select_action(self, states):
            return np.ones((len(states), 1), np.float32)

    seen = eval_policy(Constant(), "InvertedPendulumBulletEnv-v0", seed=0, eval_episodes=4, workers=1)
    assert (seen.lengths < 200).all() and len(set(seen.lengths)) > 1
    np.testing.assert_allclose(seen.returns, seen.lengths)  # a reward of 1 a step


def test_find_checkpoint_finds_runs_folders_and_paths(tmp_path):
    (tmp_path / "models" / "my_run").mkdir(parents=True)
    for name in ("latest", "best"):
        TD3(3, 2, 1.0).save(tmp_path / "models" / "my_run" / name)
    best = tmp_path / "models" / "my_run" / "best"
    assert find_checkpoint("my_run", tmp_path) == best
    assert find_checkpoint(tmp_path / "models" / "my_run") == best
    assert find_checkpoint(best) == best
    assert find_checkpoint(tmp_path / "models" / "my_run" / "latest").name == "latest"
    assert find_checkpoint("base_ant_final", tmp_path).is_relative_to(ROOT), "a shipped one is found from anywhere"
    with pytest.raises(FileNotFoundError, match=r"There is no checkpoint 'my_rum'.*my_run"):
        find_checkpoint("my_rum", tmp_path)


def test_load_policy_finds_the_hidden_size_and_training_env_the_environment(tmp_path):
    TD3(28, 8, 1.0, hidden=32).save(tmp_path / "best")
    assert load_policy(tmp_path).actor.l1.out_features == 32
    assert training_env(tmp_path) == "AntBulletEnv-v0", "its folder does not say"
    (tmp_path / "args.json").write_text('{"env": "MyAntBulletEnv-v0"}')
    assert training_env(tmp_path) == "MyAntBulletEnv-v0"
    with pytest.raises(ValueError, match="does not fit this agent"):
        load_policy(tmp_path, "InvertedPendulumBulletEnv-v0")


def test_a_loaded_policy_computes_in_float64_with_the_saved_weights(tmp_path):
    """The action is that of float64, to the last bit, and float32's only nearly.  Several states at once give the same as one."""
    torch.manual_seed(0)
    agent = TD3(28, 8, 1.0)
    agent.save(tmp_path / "best")
    loaded = load_policy(tmp_path)
    states = np.random.default_rng(0).normal(size=(50, 28)).astype(np.float32)
    arrays = [parameter.detach().double().numpy() for parameter in agent.actor.parameters()]
    x = states.astype(np.float64)
    for weight, bias in zip(arrays[::2], arrays[1::2], strict=True):
        z = x @ weight.T + bias
        x = np.maximum(z, 0)
    actions = loaded.select_action(states)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, np.tanh(z).astype(np.float32))
    np.testing.assert_array_equal(actions, [loaded.select_action(state) for state in states])
    in_float32 = agent.select_action(states)
    assert not np.array_equal(actions, in_float32)
    np.testing.assert_allclose(actions, in_float32, atol=1e-6)


@pytest.mark.parametrize(("recipe", "size"), [("NearWithDistance", 29), ("NoContacts", 24)])
def test_a_policy_fitted_to_other_observations_acts_as_before_and_learns_on(recipe, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = cookbook_id(recipe)
    start = fit_observations("base_ant_final", env, tmp_path / "starts")
    before, fitted = TD3(28, 8, 1.0), TD3(size, 8, 1.0)
    before.load(find_checkpoint("base_ant_final"))
    fitted.load(start)
    states, actions = torch.randn(50, 28), torch.rand(50, 8)
    states[:, size:] = 0  # nothing that the fitted policy does not see
    seen = torch.cat([states, torch.randn(50, 5)], 1)[:, :size]
    assert torch.allclose(before.actor(states), fitted.actor(seen), atol=1e-5)
    for one, other in zip(before.critic(states, actions), fitted.critic(seen, actions), strict=True):
        assert torch.allclose(one, other, rtol=1e-4)
    small = {"start_timesteps": 50, "max_timesteps": 100, "eval_episodes": 1, "num_envs": 2, "buffer_size": 1000}
    main(env=env, load_model=str(start), name="a", workers=0, **small)
    assert not torch.equal(load_policy("models/a/latest", env).actor.l1.weight.float(), fitted.actor.l1.weight)


def test_a_policy_with_the_same_observations_is_not_copied(tmp_path):
    assert fit_observations("base_ant_final", "AntBulletEnv-v0", tmp_path) == find_checkpoint("base_ant_final")
    assert not list(tmp_path.iterdir())


def test_what_is_no_policy_is_not_fitted(tmp_path):
    for part in PARTS:
        torch.save({"weights": torch.zeros(3)}, tmp_path / f"x_{part}")
    with pytest.raises(ValueError, match="x_actor' is not a policy: expected a file that TD3.save wrote"):
        fit_observations(tmp_path / "x", "AntBulletEnv-v0", tmp_path)
