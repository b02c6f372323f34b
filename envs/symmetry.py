"""What is the same ant: the symmetries of its body, as rules for observations and actions, and their check against the physics.

Seen in a mirror, the ant is the same ant.  Its legs change places, and its hips turn the other way.  So a transition that was
observed implies others that were not: a replay buffer with `symmetries` learns from all of them.

Observation (upstream's `WalkerBase.calc_state`): height, sine and cosine of the angle to the target, vx, vy, vz, roll, pitch; for
each joint position and speed, hip and ankle of each leg; four foot contacts.  Legs, with x ahead and y to the left: 0 is (+, +),
1 is (-, +), 2 is (-, -), 3 is (+, -).
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Symmetry:
    """A rule that turns a state and an action into those of the mirrored robot.

    Attributes:
        name: such as "left-right".
        state_index, state_sign: (S,) each; component i of the mirrored state is state_sign[i] * state[state_index[i]].
        action_index, action_sign: (A,) each; the same for actions.
    """

    name: str
    state_index: np.ndarray
    state_sign: np.ndarray
    action_index: np.ndarray
    action_sign: np.ndarray

    def state(self, state: np.ndarray) -> np.ndarray:
        """The mirrored states: (..., S) -> (..., S)."""
        return state[..., self.state_index] * self.state_sign

    def action(self, action: np.ndarray) -> np.ndarray:
        """The mirrored actions: (..., A) -> (..., A)."""
        return action[..., self.action_index] * self.action_sign

    def then(self, other: "Symmetry", name: str) -> "Symmetry":
        """This symmetry, and then another one."""
        return Symmetry(
            name,
            self.state_index[other.state_index],
            self.state_sign[other.state_index] * other.state_sign,
            self.action_index[other.action_index],
            self.action_sign[other.action_index] * other.action_sign,
        )

    def with_observations(self, size: int) -> "Symmetry":
        """This symmetry for the first `size` observations, or with further ones that look the same in the mirror."""
        further = np.arange(len(self.state_index), size)
        index = np.concatenate([self.state_index, further])[:size]
        sign = np.concatenate([self.state_sign, np.ones(len(further), np.float32)])[:size]
        return replace(self, state_index=index, state_sign=sign)


def ant_symmetry(
    name: str,
    signs: Sequence[int],
    legs: Sequence[int],
    hip: int,
    ankle: int | Sequence[int],
    order: Sequence[int] = range(8),
) -> Symmetry:
    """A symmetry of the ant.

    Args:
        name: of the symmetry.
        signs: those of the first eight observations, 1 or -1.
        legs: for each leg, the one whose place it takes.
        hip, ankle: signs of these joints; that of the ankles is one for all, or one for each leg.
        order: for each of the first eight observations, the one whose place it takes.
    """
    joints = [2 * leg + joint for leg in legs for joint in (0, 1)]
    joint_signs = [sign for each in np.broadcast_to(ankle, 4) for sign in (hip, each)]
    states = [*order, *(8 + 2 * joint + part for joint in joints for part in (0, 1)), *(24 + leg for leg in legs)]
    state_signs = [*signs, *np.repeat(joint_signs, 2), 1, 1, 1, 1]
    return Symmetry(
        name,
        np.array(states),
        np.array(state_signs, np.float32),
        np.array(joints),
        np.array(joint_signs, np.float32),
    )


#                                                       z sin cos vx vy vz roll pitch
LEFT_RIGHT = ant_symmetry("left-right", [1, -1, 1, 1, -1, 1, -1, 1], legs=[3, 2, 1, 0], hip=-1, ankle=1)
FRONT_BACK = ant_symmetry("front-back", [1, 1, -1, -1, 1, 1, 1, -1], legs=[1, 0, 3, 2], hip=-1, ankle=-1)
HALF_TURN = LEFT_RIGHT.then(FRONT_BACK, "half turn")

ANT_SYMMETRIES = (LEFT_RIGHT, FRONT_BACK, HALF_TURN)
"""All of the ant's body, apart from quarter turns, of which roll and pitch are symmetric only as long as the ant is level."""

NO_TURN = ant_symmetry("no turn", [1] * 8, legs=[0, 1, 2, 3], hip=1, ankle=1)
QUARTER_TURN = ant_symmetry(
    "quarter turn", [1, -1, 1, 1, -1, 1, 1, -1], legs=[1, 2, 3, 0], hip=1, ankle=[-1, 1, -1, 1], order=[0, 2, 1, 4, 3, 5, 7, 6]
)
ANT_TURNS = (NO_TURN, QUARTER_TURN, HALF_TURN, QUARTER_TURN.then(HALF_TURN, "three quarter turns"))
"""The ant as it would be if its front, its left side, its back or its right side were its front."""


def symmetries_that_hold(make: Callable[[], Any]) -> list[Symmetry]:
    """The symmetries that an environment names and the physics confirms.  A warning names any other one.

    A wrong symmetry would fill half of each batch with what never happens, and no error would say so.

    Args:
        make: a function that makes the environment.
    """
    with closing(make()) as env:
        named = env.get_wrapper_attr("symmetries") if env.has_wrapper_attr("symmetries") else ()
        if not named:
            return []
        with closing(make()) as mirrored:
            reasons = [(symmetry, why_not(env, mirrored, symmetry)) for symmetry in named]
    for symmetry, reason in reasons:
        if reason:
            warnings.warn(
                f"The symmetry '{symmetry.name}' does not hold in this environment ({reason}), so it is not used: "
                "override the property `symmetries`, or train with symmetries=False.",
                stacklevel=2,
            )
    return [symmetry for symmetry, reason in reasons if not reason]


STEPS, TOLERANCE = 10, 5e-3
"""Length of the check.  In ten steps the error of a symmetry that holds grows to 1e-3, because Bullet's solver stops after five
iterations, in a fixed order of the joints; with ten it stays below 1e-6.  Once the feet touch the ground, contacts make it 1."""


def why_not(env: Any, mirrored: Any, symmetry: Symmetry) -> str:
    """Why a symmetry does not hold; an empty text if it does.

    Args:
        env, mirrored: as for `symmetry_error`.
        symmetry: the symmetry.
    """
    sizes = env.observation_space.shape, env.action_space.shape
    if (symmetry.state_index.shape, symmetry.action_index.shape) != sizes:
        return f"it has {len(symmetry.state_index)} observations and {len(symmetry.action_index)} actions"
    error = symmetry_error(env, mirrored, symmetry)
    worst = int(error.argmax())
    if error[worst] < TOLERANCE:
        return ""
    what = "the reward" if worst == len(error) - 1 else f"observation {worst}"
    return f"within {STEPS} steps, {what} differs by {error[worst]:.2g} from the mirror image"


def symmetry_error(env: Any, mirrored: Any, symmetry: Symmetry, seed: int = 0, steps: int = STEPS) -> np.ndarray:
    """The largest difference between what a mirrored robot does and the mirror image of what the robot does.

    Both start at rest, with mirrored joints and a mirrored target, and get mirrored random actions.

    Args:
        env, mirrored: two of the same environment, a `WalkerBaseBulletEnv` or one in wrappers.  They are reset first.
        symmetry: the symmetry.
        seed: of the start and the actions.
        steps: number of steps.

    Returns:
        (S + 1,) array: a difference for each component of the state, and that of the reward.
    """
    for each in (env, mirrored):
        each.reset(seed=seed)
    place(mirrored.unwrapped, symmetry, env.unwrapped)
    rng, errors = np.random.default_rng(seed), []
    for _ in range(steps):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        state, reward, *_ = env.step(action)
        mirrored_state, mirrored_reward, *_ = mirrored.step(symmetry.action(action))
        errors.append([*np.abs(symmetry.state(state) - mirrored_state), abs(float(reward) - float(mirrored_reward))])
    return np.max(errors, axis=0)


def place(env: Any, symmetry: Symmetry, original: Any) -> None:
    """Gives a walker's environment, just reset, the mirrored joints and the mirrored target of another one, just reset."""
    robot, other = env.robot, original.robot
    positions = np.array([joint.get_position() for joint in other.ordered_joints])
    for joint, position in zip(robot.ordered_joints, symmetry.action(positions), strict=True):
        joint.reset_position(position, 0.0)
    robot.calc_state()  # with the joints as they are now
    # Both stand at the same place and look the same way.  A robot that looks along x sees its target under this sine and cosine.
    yaw, here = other.body_rpy[2], other.body_real_xyz[:2]
    heading = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    target = np.zeros(len(symmetry.state_index))
    target[2], target[1] = heading @ (np.array([other.walk_target_x, other.walk_target_y]) - here)
    _, sine, cosine, *_ = symmetry.state(target)
    x, y = here + heading.T @ [cosine, sine]
    if hasattr(env, "set_target"):
        env.set_target(x, y)
    else:
        robot.walk_target_x, robot.walk_target_y = x, y
        robot.calc_state()
        env.potential = robot.calc_potential()
    if hasattr(env, "observe"):
        env.observe(robot.calc_state())  # it may remember what it saw
