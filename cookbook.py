"""Eight ways to change an environment, each with a few recipes.

Each is one change of the ant that runs straight ahead: a subclass that overrides a method or two of
`override_ant.py`, or a Gymnasium wrapper if it needs only what goes in and out of an environment.
The id of `Moon` is "MyAntMoonBulletEnv-v0", and so on.
"""

import gymnasium as gym
import numpy as np

from envs.symmetry import LEFT_RIGHT
from envs.world import Box, HeightField, World
from override_ant import REACHED, START, MyAnt, MyAntBulletEnv
from override_ant_random_points import MyAnt as AntThatLooksFromItsTorso


class Sprinter(MyAntBulletEnv):
    """The unchanged ant: upstream's to the last bit, with its target a kilometre ahead."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode, target=(1000, 0))


# --- 1. reward ------------------------------------------------------------------------------------


class Electricity4(Sprinter):
    """What does the ant do if electricity costs four times as much?"""

    price = 4

    def reward_terms(self, action, state):
        terms = super().reward_terms(action, state)
        return terms | {"electricity": self.price * terms["electricity"]}


class Electricity16(Electricity4):
    """And sixteen times as much?"""

    price = 16


# --- 2. observation -------------------------------------------------------------------------------


class NoContacts(Sprinter):
    """Can it run without the contacts of its feet, the last four observations?"""

    symmetries = (LEFT_RIGHT.with_observations(24),)

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (24,), np.float32)

    def observe(self, state):
        return state[:24]


class NoisySenses(gym.ObservationWrapper):
    """How much noise do its senses bear?  A wrapper, because it needs the observation only."""

    symmetries = ()  # the mirror image has other noise, so the check of a symmetry would fail

    def __init__(self, env, size=0.1):
        super().__init__(env)
        self.size = size

    def observation(self, observation):
        noise = self.unwrapped.np_random.normal(0, self.size, observation.shape)
        return (observation + noise).astype(np.float32)


def Noisy(render_mode=None):
    """The ant with the wrapper."""
    return NoisySenses(Sprinter(render_mode))


class LateSenses(gym.wrappers.DelayObservation):
    """What if it sees everything one step late?  Gymnasium's wrapper, which begins with zeros."""

    symmetries = ()  # the check's first observation is from before the mirror image was made


def Delayed(render_mode=None):
    """The ant with the wrapper."""
    return LateSenses(Sprinter(render_mode), delay=1)


class Near(MyAntBulletEnv):
    """The unchanged ant with a target 8 m ahead.  It sees the direction, and not the distance."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode, target=(8, 0))


class NearWithDistance(Near):
    """Does it stop at its target if it sees the distance?  In tens of metres, which is about 1."""

    symmetries = (LEFT_RIGHT.with_observations(29),)

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (29,), np.float32)

    def observe(self, state):
        return np.append(state, self.robot.distance_to_target() / 10)


# --- 3. action ------------------------------------------------------------------------------------


class DeadMotor(Sprinter):
    """Does it learn to run with a hip that does not work?"""

    symmetries = ()  # the motor is on its left

    def before_step(self, action):
        return action * (np.arange(8) != 0)


class HalfAction(gym.ActionWrapper):
    """Half the torque, twice the time?  It needs the action only, so it is a wrapper."""

    def action(self, action):
        return np.clip(action, -1, 1) / 2


def HalfTorque(render_mode=None):
    """The ant with the wrapper."""
    return HalfAction(Sprinter(render_mode))


class Smooth(Sprinter):
    """Does it run as fast if it pays for each change of a motor's torque?"""

    def reset(self, *, seed=None, options=None):
        self.last_action = np.zeros(8, np.float32)
        return super().reset(seed=seed, options=options)

    def reward_terms(self, action, state):
        change, self.last_action = action - self.last_action, action
        return super().reward_terms(action, state) | {"jerk": -float(np.square(change).mean())}


class LosesLeg(Sprinter):
    """Does an ant that loses a leg in every episode learn to run on?  It may be any leg."""

    def reset(self, *, seed=None, options=None):
        first = super().reset(seed=seed, options=options)
        self.leg, self.fails_at = self.np_random.integers(4), self.np_random.integers(100, 500)
        return first

    def before_step(self, action):
        works = (np.arange(8) // 2 != self.leg) | (self.frame < self.fails_at)
        return action * works


# --- 4. termination and start ---------------------------------------------------------------------


class Tough(MyAnt):
    """An ant whose torso may touch the ground."""

    def alive_bonus(self, z, pitch):
        return +1


class MayLie(Sprinter):
    """What does an ant do that can fall as often as it likes?"""

    def make_robot(self):
        return Tough(self.target)


class OnItsBack(MayLie):
    """Does it learn to turn over?"""

    symmetries = ()  # in the mirror its roll is -180 degrees, which is the same and another number

    def choose_start(self):
        return (0, 0, 0.5), (np.pi, 0, 0)


class AnyHeading(Sprinter):
    """Does it learn to turn toward its target, if it starts in any direction?"""

    def choose_start(self):
        position, _ = START
        return position, (0, 0, self.np_random.uniform(-np.pi, np.pi))


# --- 5. dynamics ----------------------------------------------------------------------------------

MOON, ICE, LOADED = World(gravity=1.62), World(friction=0.1), World(load=50)


class Moon(Sprinter):
    """Does it run on the Moon?"""

    def choose_world(self):
        return MOON


class Ice(Sprinter):
    """Does it run on ice?"""

    def choose_world(self):
        return ICE


class Loaded(Sprinter):
    """Does it run with 50 kg on its back?"""

    def choose_world(self):
        return LOADED


class AnyWorld(Sprinter):
    """Does one ant learn to run in all of them?  Each episode has a gravity, friction and load."""

    def choose_world(self):
        gravity, friction, load = self.np_random.uniform((1.6, 0.1, 0), (9.8, 0.8, 50))
        return World(gravity, friction, load)


# --- 6. terrain -----------------------------------------------------------------------------------


def hills(length=90.0, width=20.0, start=5.0, height=0.15, seed=0):
    """Smooth hills with that standard deviation of the height, and level ground at the start."""
    from scipy.ndimage import gaussian_filter

    cell = 0.5
    shape = round(length / cell) + 1, round(width / cell) + 1
    heights = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    x, y = cell * np.arange(shape[0])[:, None] - start, cell * np.arange(shape[1]) - width / 2
    heights = np.where(np.hypot(x, y) < 2.5, -0.1, heights * height / heights.std())
    return HeightField(heights, cell, (length / 2 - start, 0.0))


class Hills(Sprinter):
    """Does it run over hills?"""

    def ground(self):
        return [hills()]


class Steps(Sprinter):
    """Does it run up and down steps 8 cm high?"""

    def ground(self):
        heights = [0.08, 0.16, 0.24, 0.16, 0.08, 0.0]
        return [Box((2 + k, 0, h / 2), (1, 20, h)) for k in range(80) if (h := heights[k % 6])]


class Ramps(Sprinter):
    """Does it run up and down ramps of 10 degrees?"""

    def ground(self):
        a = np.radians(10)
        z = 2 * np.sin(a) - 0.1 * np.cos(a)  # its foot is then on the floor
        starts = range(2, 80, 10)  # 4 m up, 4 m down, 2 m level
        up = [Box((x + 2 * np.cos(a), 0, z), (4, 20, 0.2), (0, -a, 0)) for x in starts]
        down = [Box((x + 6 * np.cos(a), 0, z), (4, 20, 0.2), (0, a, 0)) for x in starts]
        return up + down


class FeelsAhead(gym.ObservationWrapper):
    """What is it worth to feel the ground 0.5 to 2 m ahead?  A wrapper, for every terrain."""

    symmetries = (LEFT_RIGHT.with_observations(32),)

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (32,), np.float32)

    def observation(self, observation):
        robot, yaw = self.unwrapped.robot, self.unwrapped.robot.body_rpy[2]
        ahead = np.outer([0, 0.5, 1, 1.5, 2], [np.cos(yaw), np.sin(yaw)])
        below, *heights = self.unwrapped.ground_heights(robot.body_real_xyz[:2] + ahead)
        return np.append(observation, heights - below).astype(np.float32)


def HillsAhead(render_mode=None):
    """Hills, with the wrapper."""
    return FeelsAhead(Hills(render_mode))


def StepsAhead(render_mode=None):
    """Steps, with the wrapper."""
    return FeelsAhead(Steps(render_mode))


def RampsAhead(render_mode=None):
    """Ramps, with the wrapper."""
    return FeelsAhead(Ramps(render_mode))


# --- 7. goal --------------------------------------------------------------------------------------


class Fleeing(MyAntBulletEnv):
    """Does it catch a target that starts 5 m ahead and runs away from it, at 2 m/s?"""

    def __init__(self, render_mode=None):
        super().__init__(render_mode, target=(5, 0))

    def make_robot(self):
        return AntThatLooksFromItsTorso(self.target)

    def before_step(self, action):
        target = np.array([self.robot.walk_target_x, self.robot.walk_target_y])
        away = target - self.robot.body_real_xyz[:2]
        self.set_target(*target + 2.0 * self.scene.dt * away / (np.linalg.norm(away) + 1e-9))
        return action


class Circling(Fleeing):
    """Does it follow a target that goes round in a circle of 5 m, in 20 seconds?"""

    symmetries = ()  # in the mirror, the target would go round the other way

    def before_step(self, action):
        angle = 2 * np.pi * self.frame * self.scene.dt / 20
        self.set_target(5 * np.cos(angle), 5 * np.sin(angle))
        return action


class StopAndStay(NearWithDistance):
    """Does it stop at its target and stay, if standing there pays?"""

    def reward_terms(self, action, state):
        speed = np.linalg.norm(state[3:6]) / 0.3  # metres a second
        there = self.robot.distance_to_target() < REACHED
        standing = 2.0 * there * float(np.exp(-speed))
        return super().reward_terms(action, state) | {"standing": standing}


class OnPath(MyAntBulletEnv):
    """A path of points, 5 m apart, up to 60 degrees to the left or the right of straight ahead."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode, reset_target=True)

    def make_robot(self):
        return AntThatLooksFromItsTorso(self.target)

    def choose_target(self):
        self.second = self.after((0, 0))
        return self.next_target()

    def next_target(self):
        first, self.second = self.second, self.after(self.second)
        return first

    def after(self, point):
        angle = self.np_random.uniform(-np.pi / 3, np.pi / 3)
        return point[0] + 5 * np.cos(angle), point[1] + 5 * np.sin(angle)


class OnPathTwoAhead(OnPath):
    """Does it cut corners if it sees the direction of the point after the next one as well?"""

    symmetries = ()  # the check mirrors the next point, and not the one after

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (30,), np.float32)

    def observe(self, state):
        x, y = self.second - self.robot.body_real_xyz[:2]
        angle = np.arctan2(y, x) - self.robot.body_rpy[2]
        return np.append(state, [np.sin(angle), np.cos(angle)])


# --- 8. curriculum --------------------------------------------------------------------------------

HURDLES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Heights of the hurdles in each lane, in metres."""


class Hurdles(Sprinter):
    """Hurdles 30 cm high, 3 m apart.  The lanes beside have lower ones."""

    level = 5

    def ground(self):
        places = [(x, 6 * lane, h) for lane, h in enumerate(HURDLES) for x in range(3, 80, 3)]
        return [Box((x, y, h / 2), (0.2, 6, h)) for x, y, h in places]

    def choose_target(self):
        return 1000, 6 * self.level

    def choose_start(self):
        return (0, 6 * self.level, 0.75), (0, 0, 0)


class HurdlesCurriculum(Hurdles):
    """Is it better to start with low hurdles?  15 m are a level up, less than 5 m a level down."""

    def __init__(self, render_mode=None):
        self.lasting = {"level": 0}
        super().__init__(render_mode)

    def reset(self, *, seed=None, options=None):
        self.graded = seed is None  # an episode with a seed, an evaluation, is on the highest level
        self.level = self.lasting["level"] if self.graded else 5
        return super().reset(seed=seed, options=options)

    def before_step(self, action):
        if self.graded:
            x = self.robot.body_real_xyz[0]
            self.lasting["level"] = int(np.clip(self.level + (x > 15) - (x < 5), 0, 5))
        return action
