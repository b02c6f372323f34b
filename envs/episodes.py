"""Episodes that can be repeated from their beginning, in this process or in another one.

A physics engine has more state than its files hold, so a checkpoint in the middle of an episode does not try to save it.  It
keeps how the episode began and what was done since.  The same actions lead to the same state, to the last bit.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np


class ShortFirstEpisode(gym.Wrapper):
    """Ends an episode that begins with a seed, which is the first one of a run, after fewer steps than the time limit.

    An ant that does not fall any more has episodes of 1000 steps.  If sixteen of them begin together, all of them begin anew in
    the same step from then on, and at every moment the newest experience is of one phase of an episode.  With first episodes of
    different lengths they stay apart.  rsl_rl has the same under the name `init_at_random_ep_len`.

    Args:
        env: an environment.
        steps: length of such an episode at most.
    """

    def __init__(self, env: gym.Env, steps: int) -> None:
        super().__init__(env)
        self.steps, self.left = steps, steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.left = self.steps if seed is not None else -1
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        state, reward, terminated, truncated, info = self.env.step(action)
        self.left -= 1
        return state, reward, terminated, truncated or self.left == 0, info


class RepeatableEnv(gym.Wrapper):
    """Remembers how the current episode began: in `start`, the seed or the state of `np_random` before the reset.

    What an environment carries from one episode to the next, such as the level of a curriculum, is in its attribute `lasting`, a
    dict of plain values.  It is remembered too.  A reset with a seed may not depend on it.
    """

    start: dict[str, Any]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None:
            self.start = {"random_state": self.unwrapped.np_random.bit_generator.state, "options": options}
            if hasattr(self.unwrapped, "lasting"):
                self.start["lasting"] = dict(self.unwrapped.lasting)
        else:
            self.start = {"seed": int(seed), "options": options}
        return self.env.reset(seed=seed, options=options)

    def repeat(self, episode: "Episode") -> np.ndarray:
        """Does an episode once more, from its beginning to its last action.

        Returns:
            the observation after that action; the first one of another episode if this one has no list of actions.
        """
        if episode.actions is None:
            return self.reset()[0]
        if "random_state" in episode.start:
            self.unwrapped.np_random.bit_generator.state = episode.start["random_state"]
        if "lasting" in episode.start:
            self.unwrapped.lasting = dict(episode.start["lasting"])  # type: ignore[attr-defined]
        observation, _ = self.reset(seed=episode.start.get("seed"), options=episode.start["options"])
        for action in episode.actions:
            observation, *_ = self.step(action)
        return observation


@dataclass
class Episode:
    """What `RepeatableEnv.repeat` needs.

    Attributes:
        start: `RepeatableEnv.start`.
        actions: (T, A), those done so far, or None if they were more than `LONGEST`.
    """

    start: dict[str, Any]
    actions: np.ndarray | None


LONGEST = 10_000
"""Steps of an episode that are remembered.  Without a limit, the memory would grow in an environment that never ends."""


class EpisodeLog:
    """How the current episodes of N environments began, and the actions since."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.lengths = np.zeros(0, int)
        self.actions: deque[np.ndarray] = deque(maxlen=LONGEST)

    def reset(self, starts: list[dict[str, Any]]) -> None:
        """Every environment was reset."""
        self.starts, self.lengths = list(starts), np.zeros(len(starts), int)
        self.actions.clear()

    def step(self, actions: np.ndarray, starts: dict[int, dict[str, Any]]) -> None:
        """Every environment did a step.

        Args:
            actions: (N, A).
            starts: how the next episode began, by the index of the environment, where an episode ended.
        """
        self.actions.append(actions)
        self.lengths += 1
        for index, start in starts.items():
            self.starts[index], self.lengths[index] = start, 0
        while len(self.actions) > self.lengths.max():
            self.actions.popleft()

    def episodes(self) -> list[Episode]:
        """The current episode of each environment."""
        steps = len(self.actions)
        actions = np.array(self.actions) if steps else np.empty((0, len(self.starts), 0), np.float32)  # (T, N, A)
        return [
            Episode(start, actions[steps - length :, index] if length <= steps else None)
            for index, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True))
        ]

    def restore(self, episodes: list[Episode]) -> None:
        """Every environment has repeated its episode."""
        self.reset([episode.start for episode in episodes])
        parts = [episode.actions for episode in episodes]
        self.lengths = np.array([LONGEST + 1 if part is None else len(part) for part in parts])
        known = [(index, part) for index, part in enumerate(parts) if part is not None and len(part)]
        if known:
            actions = np.zeros((max(len(part) for _, part in known), len(parts), known[0][1].shape[1]), np.float32)
            for index, part in known:
                actions[-len(part) :, index] = part
            self.actions.extend(actions)
