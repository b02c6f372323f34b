// Scores a policy in many directions, as viewing/directions.py does: node page/score.mjs starts.json FILE... prints JSON.
//
// starts.json has, for each episode, its target and the eight angles of the joints at its start. A FILE is an export or a
// checkpoint.

import fs from "node:fs";
import { AntEnv, REACHED } from "./src/ant_env.js";
import { readPolicy } from "./src/checkpoint.js";
import { Physics } from "./src/physics.js";

const [startsFile, ...files] = process.argv.slice(2);
const starts = JSON.parse(fs.readFileSync(startsFile, "utf-8"));
const env = new AntEnv(await Physics.load(fs.readFileSync(new URL("build/bullet.wasm", import.meta.url))));

function episode(policy, start, maxSteps = 1000) {
  let state = env.reset(start);
  for (let steps = 1; steps <= maxSteps; steps++) {
    const result = env.step(policy.selectAction(state));
    state = result.state;
    if (env.distanceToTarget() <= REACHED) return { steps, reached: true, fell: false };
    if (result.terminated) return { steps, reached: false, fell: true };
  }
  return { steps: maxSteps, reached: false, fell: false };
}

const result = {};
for (const file of files) {
  const bytes = fs.readFileSync(file);
  const policy = readPolicy(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  result[file] = starts.map((start) => episode(policy, start));
}
console.log(JSON.stringify(result));
