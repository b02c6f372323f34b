// An ant, its targets, and what happens to it: the page without its looks. As Simulation of viewing/steer.py.

import { DT, EARTH, REACHED } from "./ant_env.js";

export const WORLDS = {
  earth: EARTH,
  moon: { gravity: 1.62, friction: 0.8 },
  ice: { gravity: 9.8, friction: 0.2 },
};

const MAX_TARGETS = 50;
const HISTORY = 600; // steps that the plot shows, about ten seconds
const PUSH_FORCE = 2500; // newtons; the ant has 182 kg, so it gains about 1.8 m/s
const PUSH_STEPS = 8;
const LIE_STEPS = 60; // an ant that fell lies for a second

export class Simulation {
  /**
   * @param {import("./ant_env.js").AntEnv} env
   * @param {import("./policy.js").Policy} policy
   * @param {number[][]} targets  points in metres, at least one
   * @param {boolean} wander  whether the ant chooses further targets itself until it is given one
   */
  constructor(env, policy, targets, wander = false) {
    Object.assign(this, { env, policy, targets: targets.map((target) => [...target]), wander });
    this.steps = this.reached = this.falls = 0;
    this.reset();
  }

  /** Puts the ant at (x, y), in metres. Its targets stay. */
  reset(x = 0, y = 0) {
    const { env } = this;
    env.reset({ target: this.targets[0] });
    const torso = env.physics.state().subarray(0, 13);
    torso.set([x, y], 0);
    env.physics.resetBase(torso);
    this.state = env.begin();
    this.lieStepsLeft = this.pushStepsLeft = 0;
    this.history = [];
    this.previous = this.current = this.frames();
    this.trail = [[x, y]];
  }

  /** The frames of torso and links, 7 numbers each, the torso first. */
  frames() {
    return Float64Array.of(...this.env.pose, ...this.env.physics.linkFrames());
  }

  get position() {
    return this.env.position;
  }

  get fallen() {
    return this.lieStepsLeft > 0;
  }

  /** Whether the ant is at its last target. */
  get arrived() {
    return this.targets.length === 1 && this.env.distanceToTarget() <= REACHED;
  }

  /** Sends the ant to (x, y), in metres, at once or after its present targets. */
  addTarget(x, y, append = false) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    this.wander = false;
    if (!append) this.targets.length = 0;
    if (this.targets.length < MAX_TARGETS) this.targets.push([x, y]);
    if (this.targets.length === 1) this.env.setTarget(x, y);
  }

  /** Pushes the torso in a random direction during the next steps. */
  push() {
    const angle = 2 * Math.PI * Math.random();
    this.pushForce = [Math.cos(angle), Math.sin(angle), 0.15].map((x) => PUSH_FORCE * x);
    this.pushStepsLeft = PUSH_STEPS;
  }

  /** Simulates a step. An ant that fell lies for a second and then stands up where it lies. */
  step() {
    this.steps++;
    if (this.fallen) {
      this.previous = this.current;
      if (--this.lieStepsLeft === 0) this.reset(this.position[0], this.position[1]);
      return;
    }
    const { env } = this;
    if (this.pushStepsLeft > 0) {
      this.pushStepsLeft--;
      env.physics.applyForce(this.pushForce, env.position);
    }
    const [x, y] = env.position;
    const { state, terminated, terms } = env.step(this.policy.selectAction(this.state));
    this.state = state;
    this.previous = this.current;
    this.current = this.frames();
    this.history.push({ speed: Math.hypot(env.position[0] - x, env.position[1] - y) / DT, ...terms });
    if (this.history.length > HISTORY) this.history.shift();
    if (this.steps % 4 === 0) this.trail.push([env.position[0], env.position[1]]);
    if (this.trail.length > HISTORY) this.trail.shift();
    if (terminated) {
      this.falls++;
      this.lieStepsLeft = LIE_STEPS;
    } else if (env.distanceToTarget() <= REACHED) {
      this.arrive();
    }
  }

  arrive() {
    if (this.wander) this.targets.push(this.randomTarget());
    if (this.targets.length < 2) return;
    this.reached++;
    this.targets.shift();
    this.env.setTarget(...this.targets[0]);
  }

  /** A point 6 to 14 metres away, anywhere but straight behind the ant. */
  randomTarget() {
    const [x, y] = this.env.position;
    const angle = this.env.rpy[2] + (Math.random() - 0.5) * 1.6 * Math.PI;
    const distance = 6 + 8 * Math.random();
    return [x + distance * Math.cos(angle), y + distance * Math.sin(angle)];
  }
}
