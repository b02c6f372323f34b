// The environment MyAntRandomPoints...BulletEnv-v0 of override_ant_random_points.py, and what it inherits.
//
// Names and the order of the arithmetic are those of the Python code, and Math.fround() rounds where NumPy has float32 there,
// so the numbers agree to the last digits. tests/test_page.py compares them step by step.

import { MOTORS } from "./physics.js";

export const DT = 0.0165; // duration of a step, in seconds
export const REACHED = 1.0; // distance of the torso at which a target counts as reached, in metres
export const RADIUS = Math.hypot(20, 20); // distance of a random target, in metres
export const STATE_DIM = 28;
export const ACTION_DIM = MOTORS;
export const EARTH = { gravity: 9.8, friction: 0.8 };

const FULL_POWER = 2.5 * 100; // largest torque, in newton metres
const FEET = [4, 9, 14, 19]; // links
const ELECTRICITY_COST = -2.0;
const STALL_TORQUE_COST = -0.1;
const JOINTS_AT_LIMIT_COST = -0.1;

const { fround } = Math;
const clip = (x, lowest, highest) => Math.min(Math.max(x, lowest), highest);

/** Mean of eight float32 numbers in the order in which NumPy adds them. */
function mean8(x) {
  const add = (a, b) => fround(a + b);
  const halves = [0, 4].map((k) => add(add(x[k], x[k + 1]), add(x[k + 2], x[k + 3])));
  return fround(add(...halves) / 8);
}

/** Roll, pitch and yaw of a quaternion, as pybullet.getEulerFromQuaternion computes them. */
export function eulerFromQuaternion(x, y, z, w) {
  const sine = -2 * (x * z - w * y);
  if (sine <= -0.99999) return [0, -0.5 * Math.PI, 2 * Math.atan2(x, -y)];
  if (sine >= 0.99999) return [0, 0.5 * Math.PI, 2 * Math.atan2(-x, y)];
  const [xx, yy, zz, ww] = [x * x, y * y, z * z, w * w];
  return [
    Math.atan2(2 * (y * z + w * x), ww - xx - yy + zz),
    Math.asin(sine),
    Math.atan2(2 * (x * y + w * z), ww + xx - yy - zz),
  ];
}

export class AntEnv {
  /**
   * @param {import("./physics.js").Physics} physics
   * @param {object} [options]
   * @param {boolean} [options.angleProgress]  whether the reward has the term of that name
   * @param {boolean} [options.resetTarget]  whether a new target is chosen when the ant reaches the current one
   * @param {() => number} [options.random]  numbers from 0 to 1
   */
  constructor(physics, { angleProgress = true, resetTarget = false, random = Math.random } = {}) {
    Object.assign(this, { physics, angleProgress, resetTarget, random });
    this.target = [20, 20];
    this.feetContact = [0, 0, 0, 0];
    // As make_env() does, a first reset, whose state Bullet keeps. Later episodes begin from it.
    for (let joint = 0; joint < MOTORS; joint++) physics.resetJoint(joint, 0, 0);
    physics.saveState();
    this.setWorld(EARTH);
  }

  /** Gravity in m/s^2 and the lateral friction of the floor, from now on. */
  setWorld({ gravity, friction }) {
    this.world = { gravity, friction };
    this.physics.setGravity(gravity);
    this.physics.setFriction(friction);
  }

  /**
   * Starts an episode.
   * @param {object} [options]
   * @param {number[]} [options.target]  x and y in metres; by default a random point on the circle
   * @param {number[]} [options.joints]  the eight angles, in radians; by default random ones from -0.1 to 0.1
   * @returns {Float32Array} the first state (28)
   */
  reset({ target = this.chooseTarget(), joints } = {}) {
    this.target = [...target];
    this.physics.restoreState();
    this.setWorld(this.world);
    for (let joint = 0; joint < MOTORS; joint++) {
      this.physics.resetJoint(joint, joints ? joints[joint] : -0.1 + 0.2 * this.random(), 0);
    }
    return this.begin();
  }

  /** The first state of an episode that begins with what is in the physics engine. */
  begin() {
    this.feetContact.fill(0);
    this.initialZ = null;
    const state = this.calcState();
    this.potential = this.calcPotential();
    this.angle = this.angleToTarget();
    return state;
  }

  chooseTarget() {
    const angle = 2 * Math.PI * this.random();
    return [RADIUS * Math.cos(angle), RADIUS * Math.sin(angle)];
  }

  /** Makes (x, y), in metres, the target from now on. */
  setTarget(x, y) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      throw new RangeError(`target is (${x}, ${y}): expected two finite numbers, x and y in metres.`);
    }
    this.target = [x, y];
    this.lookAtTarget();
    this.potential = this.calcPotential();
    this.angle = this.angleToTarget();
  }

  /**
   * Sets the motors and simulates a step.
   * @param {ArrayLike<number>} action  eight numbers, clipped to -1 ... 1
   */
  step(action) {
    this.physics.setTorques(Array.from(action, (a) => FULL_POWER * clip(a, -1, 1)));
    this.physics.step();
    let state = this.calcState();
    const terms = this.rewardTerms(action, state);
    const contacts = this.physics.contacts();
    this.feetContact = FEET.map((link) => (contacts >> link) & 1); // observed one step later
    const reward = Object.values(terms).reduce((sum, term) => sum + term, 0);
    if (this.resetTarget && this.distanceToTarget() < REACHED) {
      const [x, y] = this.chooseTarget();
      this.setTarget(this.position[0] + x, this.position[1] + y);
      state = this.calcState();
    }
    return { state, reward, terminated: terms.alive < 0, terms };
  }

  rewardTerms(action, state) {
    const alive = state[0] + this.initialZ > 0.26 ? 1 : -1;
    const [potential, angle] = [this.potential, this.angle];
    this.potential = this.calcPotential();
    this.angle = this.angleToTarget();
    const a = Float32Array.from(action);
    let electricity = ELECTRICITY_COST * mean8(this.jointSpeeds.map((speed, i) => Math.abs(fround(a[i] * speed))));
    electricity += STALL_TORQUE_COST * mean8(a.map((x) => x * x));
    const terms = {
      alive,
      progress: this.potential - potential,
      electricity,
      joints_at_limit: JOINTS_AT_LIMIT_COST * this.jointsAtLimit,
      feet_collision: 0,
    };
    if (this.angleProgress) terms.angle_progress = (Math.cos(this.angle) - Math.cos(angle)) / DT;
    return terms;
  }

  calcState() {
    const values = this.physics.state();
    const { lower, upper } = this.physics;
    const state = new Float32Array(STATE_DIM);
    this.jointSpeeds = new Float32Array(MOTORS);
    this.jointsAtLimit = 0;
    for (let i = 0; i < MOTORS; i++) {
      state[8 + 2 * i] = (2 * (values[13 + 2 * i] - lower[i])) / (upper[i] - lower[i]) - 1;
      state[9 + 2 * i] = this.jointSpeeds[i] = 0.1 * values[14 + 2 * i];
      if (Math.abs(state[8 + 2 * i]) > fround(0.99)) this.jointsAtLimit++;
    }
    this.pose = values.subarray(0, 7);
    this.position = values.subarray(0, 3);
    this.rpy = eulerFromQuaternion(...values.subarray(3, 7));
    const z = this.position[2];
    this.initialZ ??= z;
    this.lookAtTarget();
    const [roll, pitch, yaw] = this.rpy;
    const angle = this.theta - yaw;
    const [cos, sin] = [Math.cos(-yaw), Math.sin(-yaw)];
    const [vx, vy, vz] = values.subarray(7, 10);
    const [forward, left] = [cos * vx - sin * vy, sin * vx + cos * vy];
    state.set([z - this.initialZ, Math.sin(angle), Math.cos(angle), 0.3 * forward, 0.3 * left, 0.3 * vz, roll, pitch]);
    state.set(this.feetContact, STATE_DIM - FEET.length);
    return state.map((x) => clip(x, -5, 5));
  }

  lookAtTarget() {
    const [dx, dy] = [this.target[0] - this.position[0], this.target[1] - this.position[1]];
    this.theta = Math.atan2(dy, dx);
    this.distance = Math.sqrt(dx * dx + dy * dy);
  }

  calcPotential() {
    return -this.distance / DT;
  }

  angleToTarget() {
    return this.theta - this.rpy[2];
  }

  distanceToTarget() {
    return Math.hypot(this.target[0] - this.position[0], this.target[1] - this.position[1]);
  }
}
