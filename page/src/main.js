// The page: it loads the physics and a policy, simulates in real time, and does what the reader asks for.
//
// Options in the address, for the article: policy=NAME, targets=x,y;x,y, world=moon, embed (the picture and little else).

import { AntEnv, DT } from "./ant_env.js";
import { readPolicy } from "./checkpoint.js";
import { findFiles, loadFile } from "./files.js";
import { Physics } from "./physics.js";
import { LINES, Plot } from "./plot.js";
import { FourFronts } from "./policy.js";
import { Simulation, WORLDS } from "./simulation.js";
import { View } from "./view.js";

const SLOW = 0.25; // simulated seconds a second in slow motion
const STRIDE = 5; // metres of a step with an arrow key
const MAX_FILE = 20e6; // bytes

const element = (id) => document.getElementById(id);
const options = new URLSearchParams(location.search);

class App {
  constructor(env, policies, policy) {
    this.policies = policies;
    const targets = parseTargets(options.get("targets"));
    this.simulation = new Simulation(env, policy, targets ?? [[6, 0]], !targets);
    this.view = new View(element("scene"));
    this.plot = new Plot(element("plot"));
    Object.assign(this, { paused: false, slow: false, visible: true, behind: 0, frames: 0, slowFrames: 0 });
    this.listen();
    this.resize();
    this.view.resetCamera();
    this.setWorld(Object.hasOwn(WORLDS, options.get("world")) ? options.get("world") : "earth");
    requestAnimationFrame((now) => this.frame(now, now));
  }

  // --- time ---------------------------------------------------------------------------------------------------------------

  frame(now, before) {
    requestAnimationFrame((next) => this.frame(next, now));
    if (!this.visible) return;
    const seconds = (now - before) / 1000;
    this.adaptToSpeed(seconds);
    // A machine that is too slow falls behind and does not catch up later in one go.
    if (!this.paused) this.behind += Math.min(seconds, 0.1) * (this.slow ? SLOW : 1);
    while (this.behind >= DT) {
      this.simulation.step();
      this.behind -= DT;
    }
    this.view.render(this.simulation, this.behind / DT, Math.min(seconds, 0.1));
    if (++this.frames % 12 === 0) {
      if (!document.body.classList.contains("embed")) this.plot.draw(this.simulation.history);
      this.showStatus();
    }
  }

  /** After a second of slow frames, the picture becomes simpler. */
  adaptToSpeed(seconds) {
    this.slowFrames = seconds > 0.022 && seconds < 0.5 ? this.slowFrames + seconds : Math.max(0, this.slowFrames - 2 * seconds);
    if (this.slowFrames > 1) {
      this.slowFrames = 0;
      this.view.simplify();
    }
  }

  showStatus() {
    const { simulation } = this;
    const speed = average(simulation.history.slice(-30).map((terms) => terms.speed));
    const count = simulation.targets.length;
    const goal = count > 1 ? `${count} points to go` : `${simulation.env.distanceToTarget().toFixed(1)} m to go`;
    const end = simulation.fallen ? "It has fallen." : simulation.arrived ? "It is there. Choose another point." : goal;
    setText(element("status"), `${speed.toFixed(1)} m/s · ${end}`);
    setText(element("counts"), `points reached: ${simulation.reached} · falls: ${simulation.falls}`);
  }

  // --- what the reader does -----------------------------------------------------------------------------------------------

  listen() {
    const canvas = element("scene");
    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => {
      pressed = event.isPrimary && event.button === 0 ? event : null;
    });
    canvas.addEventListener("pointerup", (event) => {
      const still = pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) < 8;
      if (still) this.click(event);
      pressed = null;
    });
    new ResizeObserver(() => this.resize()).observe(canvas);
    new IntersectionObserver(([entry]) => (this.visible = entry.isIntersecting)).observe(canvas);

    for (const { name, label } of this.policies) element("policy").append(new Option(label, name));
    element("policy").addEventListener("change", (event) => this.choosePolicy(event.target.value));
    element("world").addEventListener("change", (event) => this.setWorld(event.target.value));
    for (const button of document.querySelectorAll("[data-does]")) {
      button.addEventListener("click", () => this[button.dataset.does]());
    }
    window.addEventListener("keydown", (event) => this.key(event));
    element("file").addEventListener("change", (event) => this.openFiles([...event.target.files]));
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", async (event) => {
      event.preventDefault();
      this.openFiles(await droppedFiles(event.dataTransfer));
    });
  }

  /** Fits the picture to its place. The panel covers the right side, or on a phone the lower one. */
  resize() {
    const [panel, page] = [element("panel").getBoundingClientRect(), element("scene").getBoundingClientRect()];
    const embedded = document.body.classList.contains("embed");
    const below = panel.width > 0.6 * page.width;
    this.view.resize(embedded || below ? 0 : page.right - panel.left, embedded || !below ? 0 : page.bottom - panel.top);
  }

  click(event) {
    const point = this.view.groundPoint(event.clientX, event.clientY);
    if (!point) return;
    this.simulation.addTarget(...point, event.shiftKey || this.isOn("togglePath"));
    document.body.classList.add("clicked");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /SELECT|INPUT|TEXTAREA/.test(event.target.tagName)) return;
    const arrows = { ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, 1], ArrowRight: [0, -1] };
    const actions = {
      " ": () => this.togglePause(),
      s: () => this.toggleSlow(),
      p: () => this.push(),
      a: () => this.togglePath(),
      r: () => this.restart(),
      c: () => this.view.resetCamera(),
      q: () => this.view.moveCamera(-0.15, 1),
      e: () => this.view.moveCamera(0.15, 1),
      "+": () => this.view.moveCamera(0, 1 / 1.2),
      "=": () => this.view.moveCamera(0, 1 / 1.2),
      "-": () => this.view.moveCamera(0, 1.2),
      w: () => this.nextWorld(),
      m: () => this.toggleHelp(),
      "?": () => this.toggleHelp(),
    };
    if (Object.hasOwn(arrows, event.key)) this.stride(...arrows[event.key], event.shiftKey);
    else if (event.key === " " && event.target.tagName === "BUTTON")
      return; // presses that button
    else if (Object.hasOwn(actions, event.key.toLowerCase())) actions[event.key.toLowerCase()]();
    else if (this.policies[event.key - 1]) this.choosePolicy(this.policies[event.key - 1].name);
    else return;
    event.preventDefault();
  }

  /** Sends the ant a few metres in a direction of the screen: from where it is, or from the last point of its path. */
  stride(ahead, left, append) {
    const { targets, position } = this.simulation;
    append ||= this.isOn("togglePath");
    const [x, y] = append ? targets.at(-1) : position;
    const [forwardX, forwardY] = this.view.forward;
    const [dx, dy] = [ahead * forwardX - left * forwardY, ahead * forwardY + left * forwardX];
    this.simulation.addTarget(x + STRIDE * dx, y + STRIDE * dy, append);
    document.body.classList.add("clicked");
  }

  push() {
    this.simulation.push();
  }

  restart() {
    this.simulation.reset();
  }

  togglePause() {
    this.paused = this.toggle("togglePause");
  }

  toggleSlow() {
    this.slow = this.toggle("toggleSlow");
  }

  togglePath() {
    this.toggle("togglePath");
  }

  toggleHelp() {
    document.body.classList.toggle("help", this.toggle("toggleHelp"));
  }

  openFile() {
    element("file").click();
  }

  toggle(name) {
    const button = document.querySelector(`[data-does=${name}]`);
    button.ariaPressed = String(button.ariaPressed !== "true");
    return button.ariaPressed === "true";
  }

  isOn(name) {
    return document.querySelector(`[data-does=${name}]`).ariaPressed === "true";
  }

  setWorld(name) {
    element("world").value = name;
    this.simulation.env.setWorld(WORLDS[name]);
    this.view.setWorld(name);
    document.body.dataset.world = name;
  }

  nextWorld() {
    const names = Object.keys(WORLDS);
    this.setWorld(names[(names.indexOf(element("world").value) + 1) % names.length]);
  }

  async choosePolicy(name) {
    element("policy").value = name;
    const chosen = this.policies.find((policy) => policy.name === name);
    try {
      chosen.policy ??= await loadPolicy(chosen);
      if (element("policy").value === name) this.simulation.policy = chosen.policy; // unless another was chosen meanwhile
      say("");
    } catch (error) {
      element("policy").value = this.policies.find(({ policy }) => policy === this.simulation.policy).name;
      say(error.message);
    }
  }

  /**
   * Lets the ant walk with the reader's own policy. Of several files it takes the best actor, and args.json says in which
   * environment it was trained. Nothing leaves the browser.
   */
  async openFiles(files) {
    const actors = files.filter((file) => file.name.endsWith("_actor"));
    const file = actors.find((each) => each.name === "best_actor") ?? actors[0] ?? (files.length === 1 ? files[0] : null);
    element("file").value = "";
    if (!file) {
      say("There is no policy among these files: drop one whose name ends in _actor, or a folder with one.");
      return;
    }
    try {
      if (file.size > MAX_FILE) throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB: expected at most 20.`);
      const policy = withFronts(readPolicy(await file.arrayBuffer()), await trainingEnv(files));
      const name = `file:${file.name}`;
      if (!this.policies.some((each) => each.name === name)) {
        this.policies.push({ name });
        element("policy").append(new Option(`yours: ${file.name}`, name));
      }
      this.policies.find((each) => each.name === name).policy = policy;
      this.choosePolicy(name);
      this.simulation.reset(...this.simulation.position.subarray(0, 2));
    } catch (error) {
      say(error.message);
    }
  }
}

/** The files that were dropped, those in folders included. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const inside = await new Promise((resolve) => entry.createReader().readEntries(resolve, () => resolve([])));
  return (await Promise.all(inside.map(filesIn))).flat();
}

function parseTargets(text) {
  const targets = (text ?? "").split(";").map((point) => point.split(",").map(Number));
  return targets.every((point) => point.length === 2 && point.every(Number.isFinite)) ? targets : null;
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a sentence on the page, or none. */
function say(sentence) {
  element("message").hidden = !sentence;
  setText(element("message"), sentence);
}

function missing() {
  if (typeof WebAssembly !== "object") return "This browser has no WebAssembly, which the physics needs: try a newer one.";
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext(); // a browser has only a few of them
  if (!context) {
    return "This browser does not offer WebGL 2, which the picture needs: switch on hardware acceleration, or try another browser.";
  }
  return "";
}

/** The policy of an entry of policies.json. */
async function loadPolicy({ file, env }) {
  return withFronts(readPolicy(await loadFile(`policies/${file}`)), env);
}

/** The ant of this page has one front, so a policy that was trained with four of them turns by itself. */
function withFronts(policy, env) {
  return env.includes("FourFronts") ? new FourFronts(policy) : policy;
}

/** The environment that the args.json among the reader's files names, or "" without such a file. */
async function trainingEnv(files) {
  const found = files.filter((each) => each.name === "args.json");
  if (!found.length) return "";
  if (found.length > 1) throw new Error(`There are ${found.length} runs among these files: drop the folder of one of them.`);
  try {
    return String(JSON.parse(await found[0].text()).env ?? "");
  } catch {
    throw new Error("The file args.json is not one that a training wrote: drop the policy without it, or copy it again.");
  }
}

async function start() {
  if (options.has("embed")) document.body.classList.add("embed");
  for (const [label, color] of Object.values(LINES)) {
    const item = Object.assign(document.createElement("li"), { textContent: label });
    item.style.setProperty("--line", color);
    element("legend").append(item);
  }
  const reason = missing();
  if (reason) {
    say(reason);
    return;
  }
  try {
    await findFiles();
    const policies = JSON.parse(new TextDecoder().decode(await loadFile("policies/policies.json")));
    const first = policies.find((policy) => policy.name === options.get("policy")) ?? policies[0];
    const [wasm, policy] = await Promise.all([loadFile("bullet.wasm"), loadPolicy(first)]);
    first.policy = policy;
    const env = new AntEnv(await Physics.load(new Uint8Array(wasm)));
    globalThis.ant = new App(env, policies, first.policy); // for the console and the tests
    element("policy").value = first.name;
    document.body.classList.add("ready");
  } catch (error) {
    say(error.message);
    throw error;
  }
}

start();
