"""The update against stable-baselines3's and against numbers worked out by hand, and the checkpoints against the original's."""

import copy
import os
import subprocess
import sys
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn as nn
from stable_baselines3 import TD3 as SB3_TD3
from stable_baselines3.common.buffers import ReplayBufferSamples

from TD3 import TD3, Actor, Critic

S, A = 5, 3


def copy_linears(ours, theirs):
    """Gives the linear layers of a stable-baselines3 network the weights of ours."""
    layers = [layer for layer in theirs.modules() if isinstance(layer, nn.Linear)]
    for layer, source in zip(layers, ours, strict=True):
        layer.load_state_dict(source.state_dict())


def linears(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


class Box(gym.Env):
    """Nothing but spaces: stable-baselines3 wants an environment to read them from."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (S,))
    action_space = gym.spaces.Box(-1, 1, (A,))


@pytest.mark.parametrize("critics", [2, 1])
def test_update_ends_on_the_same_weights_as_stable_baselines3(full_buffer, critics):
    """Ten updates, five of them delayed ones, with the same weights, batches and noise; without clipped double Q-learning against
    stable-baselines3 with a single critic.

    Tolerance: 2e-5 in float32.  The two sum in another order (fused Adam), nothing more.
    """
    torch.manual_seed(0)
    ours = TD3(S, A, 1.0, lr=1e-3, clipped_double_q=critics == 2)
    sizes = {"net_arch": [256, 256], "n_critics": critics}
    theirs = SB3_TD3("MlpPolicy", Box(), learning_rate=1e-3, policy_kwargs=sizes, device="cpu")
    theirs._setup_model()
    theirs.set_logger(__import__("stable_baselines3.common.logger", fromlist=["configure"]).configure(None, []))
    for actor in (theirs.actor, theirs.actor_target):
        copy_linears(linears(ours.actor), actor)
    for critic in (theirs.critic, theirs.critic_target):
        copy_linears(linears(ours.critic)[: 3 * critics], critic)

    buffer, batches = full_buffer(S, A), []

    class Recorded:
        def sample(self, batch_size):
            batches.append(buffer.sample(batch_size))
            return batches[-1]

    class Replayed:
        def sample(self, batch_size, env=None):
            state, action, next_state, reward, discount = batches[-1]
            fields = {"observations": state, "actions": action, "next_observations": next_state}
            fields |= {"dones": (discount == 0).float(), "rewards": reward}
            return ReplayBufferSamples(**{name: fields.get(name) for name in ReplayBufferSamples._fields})

    theirs.replay_buffer = Replayed()
    start = copy.deepcopy(ours.actor.state_dict())
    for k in range(10):
        torch.manual_seed(100 + k)
        ours.train(Recorded(), 64)
        torch.manual_seed(100 + k)
        theirs.train(gradient_steps=1, batch_size=64)

    assert not torch.equal(start["l1.weight"], ours.actor.l1.weight), "no delayed update took place"
    pairs = [
        (ours.actor, theirs.actor),
        (ours.actor_target, theirs.actor_target),
        (ours.critic, theirs.critic),
        (ours.critic_target, theirs.critic_target),
    ]
    for mine, other in pairs:
        for a, b in zip(linears(mine)[: 3 * critics], linears(other), strict=True):
            torch.testing.assert_close(a.weight, b.weight, rtol=0, atol=2e-5)
            torch.testing.assert_close(a.bias, b.bias, rtol=0, atol=2e-5)


def constant_critics(agent, first, second):
    """Makes the two critics, and their targets, say `first` and `second` whatever they are asked."""
    for critic in (agent.critic, agent.critic_target):
        for p in critic.parameters():
            p.data.zero_()
        critic.l3.bias.data.fill_(first)
        critic.l6.bias.data.fill_(second)


class OneBatch:
    """A replay buffer that always gives the same batch."""

    def __init__(self, reward, discount):
        n = len(reward)
        generator = torch.Generator().manual_seed(1)
        self.state, self.next_state = (torch.randn(n, S, generator=generator) for _ in range(2))
        self.action = torch.rand(n, A, generator=generator) * 2 - 1
        self.reward, self.discount = torch.tensor(reward).reshape(-1, 1), torch.tensor(discount).reshape(-1, 1)

    def sample(self, batch_size):
        return self.state, self.action, self.next_state, self.reward, self.discount


def test_target_is_reward_plus_discounted_smaller_critic():
    """Targets by hand: 1 + 0.9 * 3 for the first transition and -2 for the second, which is terminal."""
    agent = TD3(S, A, 1.0)
    constant_critics(agent, 5.0, 3.0)
    losses = agent.train(OneBatch([1.0, -2.0], [0.9, 0.0]), 2)
    targets = np.array([1 + 0.9 * 3, -2.0])
    expected = ((5 - targets) ** 2).mean() + ((3 - targets) ** 2).mean()
    assert float(losses["critic_loss"]) == pytest.approx(expected, rel=1e-6)


def test_without_clipped_double_q_the_target_has_the_first_critic_alone():
    """Targets by hand, as above, with 5 of the first critic although 3 is smaller."""
    agent = TD3(S, A, 1.0, clipped_double_q=False)
    constant_critics(agent, 5.0, 3.0)
    losses = agent.train(OneBatch([1.0, -2.0], [0.9, 0.0]), 2)
    targets = np.array([1 + 0.9 * 5, -2.0])
    expected = ((5 - targets) ** 2).mean() + ((3 - targets) ** 2).mean()
    assert float(losses["critic_loss"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("clipped_double_q", [True, False])
def test_the_second_critic_has_influence_only_with_clipped_double_q(full_buffer, clipped_double_q):
    """Two agents that differ in the second critic alone, and what the first critic and the actor become."""
    found = []
    for shift in (0.0, -1.0):
        torch.manual_seed(0)
        agent, buffer = TD3(S, A, 1.0, hidden=32, clipped_double_q=clipped_double_q), full_buffer(S, A)
        for critic in (agent.critic, agent.critic_target):
            critic.l6.bias.data += shift
        for _ in range(4):
            agent.train(buffer, 32)
        found.append([*agent.actor.parameters(), *agent.critic.l1.parameters(), *agent.critic.l3.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)) is not clipped_double_q


def test_target_actions_are_smoothed_with_clipped_noise_and_stay_in_bounds():
    """policy_noise 0.4, noise_clip 0.5, max_action 2: noise of spread 0.8 cut at 1, actions cut at 2."""
    torch.manual_seed(0)
    agent = TD3(S, A, 2.0, policy_noise=0.4, noise_clip=0.5)
    batch, seen = OneBatch([0.0] * 4000, [1.0] * 4000), []
    clean = agent.actor_target(batch.next_state).detach()
    agent.critic_target.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    agent.train(batch, 4000)
    noise = seen[0] - clean
    inside = clean.abs() < 0.9  # there the bound of the action cannot reach
    assert noise.abs().max() <= 1 + 1e-6
    assert (noise[inside].abs() > 1 - 1e-6).float().mean() == pytest.approx(2 * 0.1056, abs=0.02)  # P(|z| > 1 / 0.8)
    assert seen[0].abs().max() <= 2

    saturated = TD3(S, A, 2.0)
    saturated.actor_target.l3.bias.data.fill_(100.0)
    saturated.critic_target.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    saturated.train(batch, 4000)
    assert seen[1].max() == 2 and (seen[1] < 2).any()


def test_the_saturation_penalty_is_added_to_the_actors_loss_and_pulls_its_outputs_back():
    """With constant critics, whose gradient is 0, only the penalty moves the actor: 0.1 * |Q| * the mean square beyond 2."""
    losses = {}
    for penalty in (0.0, 0.1):
        torch.manual_seed(0)
        agent = TD3(S, A, 1.0, policy_freq=1, saturation_penalty=penalty)
        constant_critics(agent, -4.0, -4.0)
        agent.critic_optimizer.param_groups[0]["lr"] = 0.0
        torch.nn.init.zeros_(agent.actor.l3.weight)
        outside = torch.tensor([5.0, -3.0, *[1.0] * (A - 2)])
        agent.actor.l3.bias.data.copy_(outside)
        losses[penalty] = float(agent.train(OneBatch([0.0] * 4, [1.0] * 4), 4)["actor_loss"])
        moved = (agent.actor.l3.bias.data - outside).sign().tolist()
        assert moved == ([-1, 1, *[0] * (A - 2)] if penalty else [0] * A)
    assert losses == {0.0: 4.0, 0.1: pytest.approx(4.0 + 0.1 * 4.0 * (3.0**2 + 1.0**2) / A)}


def test_actor_and_targets_wait_for_policy_freq_and_move_by_tau(full_buffer):
    agent = TD3(S, A, 1.0, tau=0.1, policy_freq=3)
    actor, target = (copy.deepcopy(net.state_dict()) for net in (agent.actor, agent.critic_target))
    buffer = full_buffer(S, A)
    for _ in range(2):
        agent.train(buffer, 32)
        assert all(torch.equal(value, actor[name]) for name, value in agent.actor.state_dict().items())
        assert all(torch.equal(value, target[name]) for name, value in agent.critic_target.state_dict().items())
    agent.train(buffer, 32)
    assert not torch.equal(agent.actor.l2.weight, actor["l2.weight"])
    for name, value in agent.critic_target.state_dict().items():
        torch.testing.assert_close(value, 0.9 * target[name] + 0.1 * agent.critic.state_dict()[name])


def test_actor_climbs_the_first_critic():
    """With a critic that likes the action (0.5, -0.5, 0), the actor learns to give it."""
    torch.manual_seed(0)
    agent = TD3(S, A, 1.0, lr=1e-2)
    wanted = torch.tensor([0.5, -0.5, 0.0])
    agent.critic.Q1 = lambda state, action: -((action - wanted) ** 2).sum(1, keepdim=True)
    batch = OneBatch([0.0] * 64, [1.0] * 64)
    for _ in range(200):
        agent.train(batch, 64)
    np.testing.assert_allclose(agent.select_action(batch.state.numpy()), np.tile(wanted, (64, 1)), atol=0.05)


def test_the_critics_equal_two_networks_written_out():
    """The forward pass of `Critic` against two plain networks written out."""
    torch.manual_seed(0)
    critic = Critic(S, A, 32)
    state, action = torch.randn(7, S), torch.randn(7, A)
    sa = torch.cat([state, action], 1)
    q1 = critic.l3(critic.l2(critic.l1(sa).relu()).relu())
    q2 = critic.l6(critic.l5(critic.l4(sa).relu()).relu())
    for ours, plain in zip([*critic(state, action), critic.Q1(state, action)], [q1, q2, q1], strict=True):
        torch.testing.assert_close(ours, plain)


def test_train_returns_a_new_dict_with_the_actors_loss_at_delayed_updates_only(full_buffer):
    agent, buffer = TD3(S, A, 1.0, policy_freq=2), full_buffer(S, A)
    seen = [agent.train(buffer, 32) for _ in range(4)]
    assert [sorted(losses) for losses in seen] == [["Q", "critic_loss"], ["Q", "actor_loss", "critic_loss"]] * 2
    assert len({float(losses["critic_loss"]) for losses in seen}) == 4, "each dict keeps the losses of its own update"


def test_what_follows_max_action_is_given_by_name():
    """In the original the fourth argument is the discount, which belongs to the replay buffer here."""
    with pytest.raises(TypeError):
        TD3(S, A, 1.0, 0.99)


def test_select_action_takes_one_state_or_many():
    agent = TD3(S, A, 0.5)
    states = np.random.default_rng(0).normal(size=(4, S)) * 100
    actions = agent.select_action(states)
    assert actions.shape == (4, A) and actions.dtype == np.float32
    assert np.abs(actions).max() <= 0.5
    one = agent.select_action(states[2])
    assert one.shape == (A,)
    np.testing.assert_allclose(one, actions[2], rtol=1e-5)


# --- checkpoints -------------------------------------------------------------------------------------------------------------


class OriginalActor(nn.Module):
    """The shape of the original's actor, to exchange checkpoints with."""

    def __init__(self):
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(S, 256), nn.Linear(256, 256), nn.Linear(256, A)

    def forward(self, x):
        return torch.tanh(self.l3(torch.relu(self.l2(torch.relu(self.l1(x))))))


class OriginalCritic(nn.Module):
    """The shape of the original's twin critic."""

    def __init__(self):
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(S + A, 256), nn.Linear(256, 256), nn.Linear(256, 1)
        self.l4, self.l5, self.l6 = nn.Linear(S + A, 256), nn.Linear(256, 256), nn.Linear(256, 1)


def test_the_original_loads_ours(tmp_path, full_buffer):
    agent = TD3(S, A, 1.0)
    agent.train(full_buffer(S, A), 32)
    agent.train(full_buffer(S, A), 32)
    agent.save(tmp_path / "ant")
    endings = ["actor", "actor_optimizer", "critic", "critic_optimizer"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"ant_{ending}" for ending in endings]
    for network, ending in ((OriginalActor(), "actor"), (OriginalCritic(), "critic")):
        network.load_state_dict(torch.load(tmp_path / f"ant_{ending}", weights_only=True))
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
        optimizer.load_state_dict(torch.load(tmp_path / f"ant_{ending}_optimizer", weights_only=True))
        sum(p.square().sum() for p in network.parameters()).backward()
        optimizer.step()


def test_we_load_the_originals(tmp_path, full_buffer):
    """With their optimizers, and training goes on from there."""
    theirs = {"actor": OriginalActor(), "critic": OriginalCritic()}
    for ending, network in theirs.items():
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
        sum(p.square().sum() for p in network.parameters()).backward()
        optimizer.step()
        torch.save(network.state_dict(), tmp_path / f"ant_{ending}")
        torch.save(optimizer.state_dict(), tmp_path / f"ant_{ending}_optimizer")
    agent = TD3(S, A, 1.0)
    agent.load(tmp_path / "ant")
    state = torch.randn(9, S)
    np.testing.assert_allclose(agent.select_action(state), theirs["actor"](state).detach(), atol=1e-6)
    assert torch.equal(agent.critic_target.l6.weight, theirs["critic"].l6.weight)
    assert agent.critic_optimizer.state_dict()["state"][0]["step"] == 1
    agent.train(full_buffer(S, A), 32)
    agent.train(full_buffer(S, A), 32)


def test_loading_restores_networks_and_optimizers_exactly(tmp_path, full_buffer):
    """Kept: weights and optimizers.  One more update from the checkpoint is the one that would have come without it."""
    agent = TD3(S, A, 1.0, policy_freq=1, tau=1.0)  # tau 1: the targets are copies, as they are after loading
    for _ in range(3):
        agent.train(full_buffer(S, A), 32)
    agent.save(tmp_path / "ant")
    other = TD3(S, A, 1.0, policy_freq=1, tau=1.0)
    other.load(tmp_path / "ant")
    for each in (agent, other):
        torch.manual_seed(5)
        each.train(full_buffer(S, A), 32)
    for a, b in zip(agent.critic.parameters(), other.critic.parameters(), strict=True):
        assert torch.equal(a, b)


class Bomb:
    """A pickle that would run a command when loaded carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_foreign_files_are_refused_in_one_sentence_and_run_nothing(tmp_path):
    agent = TD3(S, A, 1.0)
    with pytest.raises(FileNotFoundError, match="There is no checkpoint file .*ant_critic"):
        agent.load(tmp_path / "ant")
    agent.save(tmp_path / "ant")
    good = (tmp_path / "ant_actor").read_bytes()
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "ant_actor")
    foreign = [(tmp_path / "ant_actor").read_bytes(), b"hello", b"", good[: len(good) // 2]]
    for content in foreign:
        (tmp_path / "ant_actor").write_bytes(content)
        with pytest.raises(ValueError, match="is not a checkpoint of weights alone") as error:
            agent.load(tmp_path / "ant")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "exploded").exists()
    torch.save([1, 2], tmp_path / "ant_actor")
    with pytest.raises(ValueError, match="does not fit"):
        agent.load(tmp_path / "ant")


def test_a_policy_of_other_sizes_is_refused_and_changes_nothing(tmp_path):
    TD3(S + 1, A, 1.0).save(tmp_path / "ant")
    agent = TD3(S, A, 1.0)
    before = copy.deepcopy(agent.actor.state_dict())
    with pytest.raises(ValueError, match=r"does not fit this agent.*l1.weight.*256, 6.*256, 5"):
        agent.load(tmp_path / "ant", inference=True)
    assert all(torch.equal(value, before[name]) for name, value in agent.actor.state_dict().items())


def test_actor_output_is_bounded_by_max_action():
    assert Actor(S, A, 3.0)(torch.randn(100, S) * 1e3).abs().max() <= 3.0


@pytest.mark.parametrize("kind", ["expanded weight", "expanded bias", "expanded moments", "compressed"])
def test_a_small_file_that_unpacks_to_40_gigabytes_is_refused_before_anything_is_allocated(tmp_path, kind, full_buffer, root):
    agent = TD3(S, A, 1.0)
    agent.train(full_buffer(S, A), 32)
    agent.save(tmp_path / "ant")
    path = tmp_path / ("ant_actor_optimizer" if kind == "expanded moments" else "ant_actor")
    contents = torch.load(path, weights_only=True)
    huge = torch.zeros(1).expand(100_000, 100_000)
    if kind == "expanded weight":
        contents["l2.weight"] = huge
    elif kind == "expanded bias":
        contents["l1.bias"] = torch.zeros(1).expand(10**10)
    elif kind == "expanded moments":
        contents["state"] = {0: {"step": torch.tensor(1.0), "exp_avg": huge, "exp_avg_sq": huge}}
    torch.save(contents, path)
    if kind == "compressed":
        with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "small", "w", zipfile.ZIP_DEFLATED) as small:
            for entry in stored.infolist():
                small.writestr(entry.filename, stored.read(entry))
        os.replace(tmp_path / "small", path)
    code = "import resource, sys; from TD3 import TD3; agent = TD3(5, 3, 1.0); from utils import load_policy\n"
    code += "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
    code += "resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)\n"
    code += f"try: agent.load({str(tmp_path / 'ant')!r})\nexcept ValueError as error: print(error)\n"
    code += f"try: load_policy({str(tmp_path / 'ant')!r})\nexcept ValueError as error: print(error)\n"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    sentence = f"'{path}' is not a checkpoint of weights alone: expected a file that TD3.save wrote."
    assert seen.stdout.splitlines()[0] == sentence, seen.stderr
