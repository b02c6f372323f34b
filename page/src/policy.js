// The actor of a policy: two hidden layers with ReLUs and a tanh, as in TD3.py.

import { ACTION_DIM, STATE_DIM } from "./ant_env.js";

const MAGIC = "TD3ACTOR";

export class Policy {
  /**
   * @param {object} layers  l1, l2, l3, each {weight, bias}: Float32Array, the weight row by row as in PyTorch
   */
  constructor({ l1, l2, l3 }) {
    this.layers = [l1, l2, l3];
    this.hidden = l1.bias.length;
    check(this.hidden > 0 && this.hidden <= 4096, `has ${this.hidden} hidden units`, "1 to 4096");
    const sizes = [STATE_DIM, this.hidden, this.hidden, ACTION_DIM];
    this.layers.forEach(({ weight, bias }, i) => {
      const [inputs, outputs] = [sizes[i], sizes[i + 1]];
      const fits = weight.length === inputs * outputs && bias.length === outputs;
      check(
        fits,
        `has a layer l${i + 1} of ${weight.length} weights and ${bias.length} biases`,
        `${inputs * outputs} and ${outputs}`,
      );
      check(weight.every(Number.isFinite) && bias.every(Number.isFinite), `has weights that are not finite`, "finite numbers");
    });
  }

  /**
   * Computes in float64 and rounds the action to float32, as `load_policy` of utils.py makes a policy do.
   * @param {Float32Array} state (28)  @returns {Float32Array} action (8), each from -1 to 1
   */
  selectAction(state) {
    const action = this.layers.reduce((input, { weight, bias }, i) => {
      const output = new Float64Array(bias.length);
      for (let row = 0, k = 0; row < output.length; row++) {
        let sum = bias[row];
        for (let column = 0; column < input.length; column++) sum += weight[k++] * input[column];
        output[row] = i < 2 ? Math.max(0, sum) : Math.tanh(sum);
      }
      return output;
    }, state);
    return Float32Array.from(action);
  }
}

/** MARGIN of override_ant_four_fronts.py, in radians. */
const MARGIN = Math.PI / 12;

/** A policy that was trained with four fronts: it turns what it sees and what it does, as in override_ant_four_fronts.py. */
export class FourFronts {
  /** @param {Policy} policy */
  constructor(policy) {
    this.policy = policy;
    this.front = null;
  }

  /** @param {Float32Array} state (28)  @returns {Float32Array} action (8), each from -1 to 1 */
  selectAction(state) {
    this.front = sideNextTo(Math.atan2(state[1], state[2]), this.front);
    let seen = state;
    for (let turn = 0; turn < this.front; turn++) seen = quarterTurn(seen);
    let action = this.policy.selectAction(seen);
    for (let turn = this.front; turn % 4; turn++) action = turnJoints(action, 1);
    return action;
  }
}

/** facing_side of override_ant_four_fronts.py: the side of the ant that faces its target, an angle in radians from its heading. */
function sideNextTo(angle, front) {
  const remains = front !== null && Math.cos(angle - (front * Math.PI) / 2) > Math.cos(Math.PI / 4 + MARGIN);
  return remains ? front : (Math.round(angle / (Math.PI / 2)) + 4) % 4;
}

/** QUARTER_TURN of envs/symmetry.py, for a state: sine and cosine, vx and vy, roll and pitch change places, and so do the legs. */
function quarterTurn(state) {
  const [z, sine, cosine, vx, vy, vz, roll, pitch] = state;
  const joints = turnJoints(state.subarray(8, 24), 2);
  const feet = [25, 26, 27, 24].map((foot) => state[foot]);
  return Float32Array.of(z, -cosine, sine, vy, -vx, vz, pitch, -roll, ...joints, ...feet);
}

/** Each leg gets the hip and the ankle of the next one, each of `width` numbers; the ankles of legs 0 and 2 change their sign. */
function turnJoints(joints, width) {
  const size = 2 * width; // numbers of a leg
  return joints.map((_, i) => {
    const turned = joints[(i + size) % (4 * size)];
    const isAnkle = i % size >= width;
    return isAnkle && Math.floor(i / size) % 2 === 0 ? -turned : turned;
  });
}

function check(right, found, expected) {
  if (!right) throw new Error(`This policy ${found}: expected ${expected}, as for an ant with 28 observations and 8 motors.`);
}

/**
 * Reads a policy that page/policies.py exported: the magic word, three sizes (uint32), then weights and biases (float32).
 * @param {ArrayBuffer} buffer
 */
export function readExport(buffer) {
  const view = new DataView(buffer);
  const [states, hidden, actions] = [0, 1, 2].map((i) => view.getUint32(MAGIC.length + 4 * i, true));
  const counts = [hidden * states, hidden, hidden * hidden, hidden, actions * hidden, actions];
  const start = MAGIC.length + 12;
  const expected = start + 4 * counts.reduce((sum, count) => sum + count, 0);
  if (buffer.byteLength !== expected) {
    throw new Error(`This file has ${buffer.byteLength} bytes, but its header says ${expected}: copy the whole file again.`);
  }
  let offset = start;
  const arrays = counts.map((count) => {
    const array = new Float32Array(buffer.slice(offset, offset + 4 * count));
    offset += 4 * count;
    return array;
  });
  const layer = (i) => ({ weight: arrays[2 * i], bias: arrays[2 * i + 1] });
  return new Policy({ l1: layer(0), l2: layer(1), l3: layer(2) });
}

/** Whether a file begins like an export. */
export function isExport(buffer) {
  if (buffer.byteLength < MAGIC.length + 12) return false;
  return new TextDecoder("latin1").decode(new Uint8Array(buffer, 0, MAGIC.length)) === MAGIC;
}
