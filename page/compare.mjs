// Compares the JavaScript environment with what Python recorded: node page/compare.mjs episode.json prints differences as JSON.
//
// free:    an episode from the same start, step by step
// single:  each step from the recorded state of the physics engine

import fs from "node:fs";
import { AntEnv } from "./src/ant_env.js";
import { Physics } from "./src/physics.js";

const episode = JSON.parse(fs.readFileSync(process.argv[2], "utf-8"));
const wasm = fs.readFileSync(new URL("build/bullet.wasm", import.meta.url));

const largest = (a, b) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));

/** The largest differences of one step: of the physics engine's numbers, of the observation, and of the reward terms. */
function differences(env, result, k) {
  const recorded = episode.steps[k];
  const names = Object.keys(recorded.terms);
  if (String(names) !== String(Object.keys(result.terms)))
    throw new Error(`step ${k} has the terms ${Object.keys(result.terms)}`);
  return {
    physics: largest(env.physics.state(), episode.physics[k + 1]),
    state: largest(result.state, recorded.state),
    // a progress of 1 is a way of 0.0165 m, so these numbers are compared in metres
    terms: Math.max(...names.map((name) => Math.abs(result.terms[name] - recorded.terms[name]))) * 0.0165,
    reward: Math.abs(result.reward - recorded.reward) * 0.0165,
    target: largest(env.target, recorded.target),
    feet: largest(env.feetContact, recorded.feet_contact),
    terminated: Number(result.terminated !== recorded.terminated),
  };
}

async function makeEnv() {
  let draw = 0;
  const env = new AntEnv(await Physics.load(wasm), { resetTarget: true, random: () => draw });
  env.reset();
  const step = (k) => {
    draw = episode.steps[k].draw;
    return differences(env, env.step(episode.steps[k].action), k);
  };
  return { env, step };
}

const jointsOf = (values) => Array.from({ length: 8 }, (_, i) => values[13 + 2 * i]);
const report = { free: [], single: [] };

const free = await makeEnv();
const first = free.env.reset({ target: episode.target, joints: jointsOf(episode.physics[0]) });
report.first = largest(first, episode.first_state);
for (let k = 0; k < episode.steps.length; k++) {
  if (String(episode.steps[k].before.target) !== String(free.env.target)) free.env.setTarget(...episode.steps[k].before.target);
  report.free.push(free.step(k));
}

const { env, step } = await makeEnv();
for (let k = 0; k < episode.steps.length; k++) {
  const [values, { before }] = [episode.physics[k], episode.steps[k]];
  env.physics.resetBase(values.slice(0, 13));
  for (let j = 0; j < 8; j++) env.physics.resetJoint(j, values[13 + 2 * j], values[14 + 2 * j]);
  env.target = [...before.target];
  env.feetContact = [...before.feet_contact];
  env.initialZ = episode.initial_z;
  env.calcState();
  [env.potential, env.angle] = [before.potential, before.angle];
  report.single.push(step(k));
}
console.log(JSON.stringify(report));
