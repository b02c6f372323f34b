// Bullet, compiled to WebAssembly: physics.cpp with typed arrays in place of pointers.

import createBullet from "../build/bullet.mjs";

export const MOTORS = 8;
const STATE = 13 + 2 * MOTORS;

/** The world of physics.cpp: a floor and an ant. One page has one. */
export class Physics {
  /**
   * @param {Uint8Array} wasm  bullet.wasm
   */
  static async load(wasm) {
    const ignore = () => {}; // Bullet prints its build time
    return new Physics(await createBullet({ wasmBinary: wasm, print: ignore, printErr: ignore }));
  }

  constructor(bullet) {
    this.bullet = bullet;
    this.links = bullet._open_world();
    if (this.links < 0) throw new Error(`Bullet could not make its world (code ${this.links}).`);
    this.pointer = bullet._malloc(8 * Math.max(STATE, 7 * this.links));
    bullet._get_limits(this.pointer);
    const limits = this.numbers(2 * MOTORS);
    this.lower = limits.filter((_, i) => i % 2 === 0);
    this.upper = limits.filter((_, i) => i % 2 === 1);
  }

  /** A copy of the first numbers at the pointer. Bullet's memory may have moved since the last call, so no view of it is kept. */
  numbers(count) {
    return this.bullet.HEAPF64.slice(this.pointer / 8, this.pointer / 8 + count);
  }

  write(values) {
    this.bullet.HEAPF64.set(values, this.pointer / 8);
    return this.pointer;
  }

  /** Torque of each motor in the next step, in newton metres. */
  setTorques(torques) {
    this.bullet._set_torques(this.write(torques));
  }

  /** Simulates 0.0165 seconds. */
  step() {
    this.bullet._step();
  }

  /** Pose (7) and velocities (6) of the torso, then angle and speed of each joint (16). */
  state() {
    this.bullet._get_state(this.pointer);
    return this.numbers(STATE);
  }

  /** The frame of each link besides the torso: position (3) and quaternion (4). */
  linkFrames() {
    this.bullet._get_links(this.pointer);
    return this.numbers(7 * this.links);
  }

  /** The links that touch the floor, as bits. */
  contacts() {
    return this.bullet._get_contacts();
  }

  resetJoint(joint, angle, speed) {
    this.bullet._reset_joint(joint, angle, speed);
  }

  /** Puts the torso at a pose (7) with a velocity (3) and an angular velocity (3). */
  resetBase(values) {
    this.bullet._reset_base(this.write(values));
  }

  /** A force (3) in newtons on the torso's centre (3) during the next step. */
  applyForce(force, point) {
    const pointer = this.write([...force, ...point]);
    this.bullet._apply_force(pointer, pointer + 24);
  }

  setGravity(gravity) {
    this.bullet._set_gravity(gravity);
  }

  setFriction(friction) {
    this.bullet._set_friction(friction);
  }

  saveState() {
    this.bullet._save_state();
  }

  restoreState() {
    this.bullet._restore_state();
  }
}
