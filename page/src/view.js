// What one sees: ground, sky, ant, shadow, trail and flags, in three.js. The colours are those of viewing/style.py.

import {
  AmbientLight,
  BufferAttribute,
  BufferGeometry,
  CanvasTexture,
  CapsuleGeometry,
  CircleGeometry,
  Color,
  CylinderGeometry,
  DirectionalLight,
  DoubleSide,
  Group,
  HemisphereLight,
  Mesh,
  MeshBasicMaterial,
  MeshPhongMaterial,
  PerspectiveCamera,
  Plane,
  PlaneGeometry,
  Points,
  PointsMaterial,
  Quaternion,
  Raycaster,
  RingGeometry,
  Scene,
  ShaderMaterial,
  ShadowMaterial,
  Shape,
  ShapeGeometry,
  SphereGeometry,
  SRGBColorSpace,
  Sprite,
  SpriteMaterial,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { REACHED } from "./ant_env.js";

const rgb = (r, g, b) => (r << 16) | (g << 8) | b;
const [TORSO, FRONT_LEG, HIND_LEG] = [rgb(62, 70, 92), rgb(240, 165, 40), rgb(205, 85, 25)];
const [TRAIL, TARGET] = [rgb(0, 114, 178), rgb(0, 140, 105)];

const LOOKS = {
  earth: { light: rgb(222, 230, 236), dark: rgb(190, 204, 216), horizon: rgb(236, 243, 249), zenith: rgb(170, 204, 234) },
  moon: { light: rgb(128, 130, 136), dark: rgb(104, 106, 112), horizon: rgb(46, 48, 56), zenith: rgb(8, 9, 16) },
  ice: { light: rgb(232, 246, 252), dark: rgb(196, 228, 244), horizon: rgb(240, 249, 253), zenith: rgb(128, 190, 226) },
};

// Number of the link, 0 for the torso; the direction of the capsule from the link's frame, and its length, in metres.
const BODIES = [
  [0, 0, 0, 0],
  ...[
    [1, 1, 1],
    [6, -1, 1],
    [11, -1, -1],
    [16, 1, -1],
  ].flatMap(([link, x, y]) => [
    [link, x, y, 0.2],
    [link + 2, x, y, 0.2],
    [link + 4, x, y, 0.4],
  ]),
];
const [TORSO_RADIUS, LEG_RADIUS] = [0.25, 0.08];

const MAX_CLICK_DISTANCE = 60; // near the horizon, a pixel is a large distance
const ARROW_DISTANCE = 15; // from here on an arrow at the ant points to the target, in metres
const MAX_TRAIL = 600;
const SUN = new Vector3(-2.2, 1.6, 4.6);

const GROUND_VERTEX = `
varying vec2 place;
varying float distance_;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  vec4 seen = viewMatrix * world;
  place = world.xy;
  distance_ = length(seen.xyz);
  gl_Position = projectionMatrix * seen;
}`;

// The mean of the tiles over what a pixel covers: differences of the integral of a square wave, so that nothing flickers.
const GROUND_FRAGMENT = `
uniform vec3 light, dark, horizon;
varying vec2 place;
varying float distance_;
vec2 integral(vec2 x) { return abs(fract(x) - 0.5); }
void main() {
  vec2 covers = max(abs(dFdx(place)), abs(dFdy(place))) + 1e-4;
  vec2 waves = 4.0 * (integral((place - covers / 2.0) / 2.0) - integral((place + covers / 2.0) / 2.0)) / covers;
  vec3 tile = mix(dark, light, 0.5 + 0.5 * clamp(waves.x, -1.0, 1.0) * clamp(waves.y, -1.0, 1.0));
  float haze = pow(clamp((distance_ - 6.0) / 60.0, 0.0, 1.0), 0.6);
  gl_FragColor = vec4(mix(tile, horizon, haze), 1.0);
}`;

const SKY_VERTEX = `
varying float height;
void main() {
  height = position.z;
  gl_Position = (projectionMatrix * mat4(mat3(viewMatrix)) * vec4(position, 1.0)).xyww;
}`;
const SKY_FRAGMENT = `
uniform vec3 horizon, zenith;
varying float height;
void main() { gl_FragColor = vec4(mix(horizon, zenith, smoothstep(0.0, 0.45, height)), 1.0); }`;

/** A colour as it appears on the screen, for shaders that write it there. */
const screenColor = (hex) => new Vector3((hex >> 16) / 255, ((hex >> 8) & 255) / 255, (hex & 255) / 255);

export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    const software = (this.software = drawsInSoftware());
    this.renderer = new WebGLRenderer({ canvas, antialias: !software, powerPreference: "high-performance" });
    this.renderer.shadowMap.enabled = true;
    this.pixelRatio = software ? 1 : Math.min(window.devicePixelRatio || 1, 2);
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(38, 1, 0.1, 500);
    this.camera.up.set(0, 0, 1);
    this.center = new Vector3(0, 0, 0.45); // what the camera follows
    this.controls = new OrbitControls(this.camera, canvas);
    Object.assign(this.controls, {
      enablePan: false,
      enableDamping: true,
      minDistance: 2,
      maxDistance: 60,
      maxPolarAngle: 1.5,
    });
    this.addWorld();
    this.addAnt();
    this.addTrail();
    this.addTargets();
    this.setWorld("earth");
    this.resize();
    this.resetCamera();
  }

  addWorld() {
    const { software } = this;
    const uniforms = { light: {}, dark: {}, horizon: {}, zenith: {} };
    for (const uniform of Object.values(uniforms)) uniform.value = new Vector3();
    this.uniforms = uniforms;
    this.ground = new Mesh(
      new CircleGeometry(300, 48),
      new ShaderMaterial({ uniforms, vertexShader: GROUND_VERTEX, fragmentShader: GROUND_FRAGMENT }),
    );
    const sky = new Mesh(
      new SphereGeometry(1, 32, 24),
      new ShaderMaterial({
        uniforms,
        vertexShader: SKY_VERTEX,
        fragmentShader: SKY_FRAGMENT,
        side: DoubleSide,
        depthWrite: false,
      }),
    );
    sky.frustumCulled = false;
    // The sky comes last and the ground before it, so that nothing is drawn that something else then covers.
    sky.renderOrder = 2;
    this.ground.renderOrder = 1;
    const stars = new Float32Array(3 * 700);
    for (let i = 0; i < stars.length; i += 3) {
      const direction = new Vector3().randomDirection();
      direction.z = Math.abs(direction.z) + 0.03;
      direction.setLength(400).toArray(stars, i);
    }
    const geometry = new BufferGeometry().setAttribute("position", new BufferAttribute(stars, 3));
    this.stars = new Points(geometry, new PointsMaterial({ color: 0xdfe6f2, size: 1.6, sizeAttenuation: false }));
    this.hemisphere = new HemisphereLight(0xffffff, 0xc8d2dc, 1.9);
    this.sun = new DirectionalLight(0xfff4e4, 2.1);
    this.sun.castShadow = true;
    this.sun.shadow.mapSize.setScalar(software ? 512 : 1024);
    Object.assign(this.sun.shadow.camera, { left: -1.9, right: 1.9, top: 1.9, bottom: -1.9, near: 0.5, far: 14 });
    Object.assign(this.sun.shadow, { radius: 5, bias: -0.002 });
    this.shadow = new Mesh(new CircleGeometry(2.4, 32), new ShadowMaterial({ color: 0x1e2430, opacity: 0.34 }));
    this.shadow.receiveShadow = true;
    this.shadow.position.z = 0.004;
    this.scene.add(
      sky,
      this.stars,
      this.ground,
      this.shadow,
      this.hemisphere,
      new AmbientLight(0xffffff, 0.35),
      this.sun,
      this.sun.target,
    );
  }

  addAnt() {
    const material = (color) => new MeshPhongMaterial({ color, specular: 0x333333, shininess: 40 });
    const [torso, front, hind] = [TORSO, FRONT_LEG, HIND_LEG].map(material);
    this.bodies = BODIES.map(([link, x, y, length]) => {
      const body = new Group();
      let mesh;
      if (link === 0) {
        mesh = new Mesh(new SphereGeometry(TORSO_RADIUS, 36, 24), torso);
      } else {
        mesh = new Mesh(new CapsuleGeometry(LEG_RADIUS, length * Math.SQRT2, 6, 16), x > 0 ? front : hind);
        mesh.position.set((x * length) / 2, (y * length) / 2, 0);
        mesh.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), new Vector3(x, y, 0).normalize());
      }
      mesh.castShadow = true;
      mesh.receiveShadow = !this.software;
      body.add(mesh);
      this.scene.add(body);
      return { link, body };
    });
  }

  addTrail() {
    const geometry = new BufferGeometry();
    const index = [];
    for (let i = 0; i < MAX_TRAIL - 1; i++) index.push(2 * i, 2 * i + 1, 2 * i + 2, 2 * i + 1, 2 * i + 3, 2 * i + 2);
    geometry.setIndex(index);
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(6 * MAX_TRAIL), 3));
    geometry.setAttribute("color", new BufferAttribute(new Float32Array(8 * MAX_TRAIL), 4));
    const material = new MeshBasicMaterial({ vertexColors: true, transparent: true, side: DoubleSide, depthWrite: false });
    this.trail = new Mesh(geometry, material);
    this.trail.frustumCulled = false;
    this.trail.position.z = 0.012;
    this.trail.renderOrder = 1;
    this.scene.add(this.trail);
    this.trailSteps = -1;
  }

  addTargets() {
    const flat = (opacity) => new MeshBasicMaterial({ color: TARGET, transparent: opacity < 1, opacity, side: DoubleSide });
    const cloth = new PlaneGeometry(0.62, 0.4, 12, 1).translate(0.31, 0, 0).rotateX(Math.PI / 2);
    this.flagParts = {
      ring: [new RingGeometry(REACHED - 0.035, REACHED + 0.035, 72), flat(0.85)],
      disc: [new CircleGeometry(0.12, 32), flat(1)],
      pole: [
        new CylinderGeometry(0.025, 0.03, 1.6, 12).rotateX(Math.PI / 2).translate(0, 0, 0.8),
        new MeshPhongMaterial({ color: TORSO }),
      ],
      cloth: [cloth.translate(0, 0, 1.38), new MeshPhongMaterial({ color: TARGET, side: DoubleSide, specular: 0x222222 })],
    };
    this.clothPositions = cloth.attributes.position.array.slice();
    this.flags = [];
    const arrow = new Shape(
      [
        [1.3, 0.07],
        [1.75, 0.07],
        [1.75, 0.22],
        [2.15, 0],
        [1.75, -0.22],
        [1.75, -0.07],
        [1.3, -0.07],
      ].map((p) => new Vector2(...p)),
    );
    this.arrow = new Mesh(new ShapeGeometry(arrow), flat(1));
    this.arrow.position.z = 0.015;
    this.scene.add(this.arrow);
    this.shownTargets = "";
  }

  makeFlag(number) {
    const flag = new Group();
    for (const [name, [geometry, material]] of Object.entries(this.flagParts)) {
      const part = new Mesh(geometry, material);
      if (name === "ring" || name === "disc") part.position.z = 0.014;
      else part.castShadow = true;
      flag.add(part);
    }
    if (number > 1) flag.add(numberSprite(number));
    return flag;
  }

  /** Changes colours and light. @param {"earth" | "moon" | "ice"} name */
  setWorld(name) {
    for (const [key, uniform] of Object.entries(this.uniforms)) uniform.value.copy(screenColor(LOOKS[name][key]));
    const moon = name === "moon";
    this.stars.visible = moon;
    this.hemisphere.intensity = moon ? 0.7 : 1.9;
    this.sun.intensity = moon ? 3.2 : 2.1;
    this.shadow.material.opacity = moon ? 0.62 : 0.34;
    this.renderer.setClearColor(new Color(LOOKS[name].horizon));
  }

  /**
   * Fits the picture to the size of the canvas on the page.
   * @param {number} [right]  width of what covers its right side, in pixels
   * @param {number} [bottom]  height of what covers its lower side, in pixels
   */
  resize(right = this.covered?.[0] ?? 0, bottom = this.covered?.[1] ?? 0) {
    this.covered = [right, bottom];
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(this.pixelRatio);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.setViewOffset(width, height, right / 2, bottom / 2, width, height); // the ant is in the middle of the rest
  }

  /** Draws fewer pixels, and later no shadow, on a machine that is too slow. Returns whether there was anything to leave out. */
  simplify() {
    if (this.pixelRatio > 1) this.pixelRatio = 1;
    else if (this.sun.shadow.mapSize.x > 512) this.setShadowSize(512);
    else if (this.pixelRatio > 0.6) this.pixelRatio = 0.6;
    else return false;
    this.resize();
    return true;
  }

  setShadowSize(size) {
    this.sun.shadow.mapSize.set(size, size);
    this.sun.shadow.map?.dispose();
    this.sun.shadow.map = null;
  }

  /** Puts the camera behind the ant, to its right. */
  resetCamera() {
    const distance = this.camera.aspect < 1 ? 10 : 7.5;
    const [yaw, pitch] = [(40 / 180) * Math.PI, (15 / 180) * Math.PI];
    const back = new Vector3(-Math.cos(yaw) * Math.cos(pitch), -Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch));
    this.camera.position.copy(this.center).addScaledVector(back, distance);
    this.controls.target.copy(this.center);
    this.controls.update();
  }

  /** Turns the camera around the ant, in radians, and changes its distance by a factor. */
  moveCamera(turn, zoom) {
    const offset = this.camera.position.clone().sub(this.controls.target);
    offset.applyAxisAngle(this.camera.up, turn).multiplyScalar(zoom);
    offset.clampLength(this.controls.minDistance, this.controls.maxDistance);
    this.camera.position.copy(this.controls.target).add(offset);
  }

  /** The direction on the ground, (x, y), that is up on the screen. */
  get forward() {
    const direction = this.camera.getWorldDirection(new Vector3());
    const length = Math.hypot(direction.x, direction.y) || 1;
    return [direction.x / length, direction.y / length];
  }

  /** The point of the ground at a pixel of the page, (x, y) in metres, or null if there is none near enough. */
  groundPoint(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const pointer = new Vector2((2 * (clientX - box.left)) / box.width - 1, 1 - (2 * (clientY - box.top)) / box.height);
    const raycaster = new Raycaster();
    raycaster.setFromCamera(pointer, this.camera);
    const point = raycaster.ray.intersectPlane(new Plane(new Vector3(0, 0, 1), 0), new Vector3());
    if (!point || Math.hypot(point.x - this.center.x, point.y - this.center.y) > MAX_CLICK_DISTANCE) return null;
    return [point.x, point.y];
  }

  /**
   * Draws the ant between its last two states.
   * @param {import("./simulation.js").Simulation} simulation
   * @param {number} fraction  0 is the last state but one, 1 the last
   * @param {number} seconds  time since the last picture
   */
  render(simulation, fraction, seconds) {
    this.poseAnt(simulation, fraction);
    this.follow(seconds);
    this.updateTrail(simulation);
    this.updateTargets(simulation);
    this.renderer.render(this.scene, this.camera);
  }

  poseAnt({ previous, current }, fraction) {
    const [from, to] = [new Quaternion(), new Quaternion()];
    for (const { link, body } of this.bodies) {
      const at = 7 * link;
      body.position.fromArray(previous, at).lerp(new Vector3().fromArray(current, at), fraction);
      body.quaternion.copy(from.fromArray(previous, at + 3)).slerp(to.fromArray(current, at + 3), fraction);
    }
  }

  /** Moves the camera with the ant, smoothly, and the light and the ground with both. */
  follow(seconds) {
    const ant = this.bodies[0].body.position;
    const goal = new Vector3(ant.x, ant.y, 0.45);
    const jump = goal.distanceTo(this.center) > 8;
    const before = this.center.clone();
    this.center.lerp(goal, jump ? 1 : 1 - Math.exp(-seconds * 6));
    this.camera.position.add(this.center).sub(before);
    this.controls.target.copy(this.center);
    this.controls.update();
    this.ground.position.set(this.center.x, this.center.y, 0);
    this.stars.position.set(this.center.x, this.center.y, 0);
    this.shadow.position.set(ant.x, ant.y, 0.004);
    this.sun.target.position.set(ant.x, ant.y, 0.2);
    this.sun.position.copy(this.sun.target.position).add(SUN);
  }

  updateTrail({ trail, current, steps }) {
    if (steps === this.trailSteps) return;
    this.trailSteps = steps;
    const points = [...trail.slice(1 - MAX_TRAIL), [current[0], current[1]]];
    const { position, color } = this.trail.geometry.attributes;
    const shade = new Color(TRAIL);
    points.forEach(([x, y], i) => {
      const [before, after] = [points[Math.max(i - 1, 0)], points[Math.min(i + 1, points.length - 1)]];
      const [dx, dy] = [after[0] - before[0], after[1] - before[1]];
      const scale = 0.028 / (Math.hypot(dx, dy) || 1);
      position.array.set([x - dy * scale, y + dx * scale, 0, x + dy * scale, y - dx * scale, 0], 6 * i);
      const opacity = Math.min(1, (i / points.length) * 4 + 0.02);
      color.array.set([shade.r, shade.g, shade.b, opacity, shade.r, shade.g, shade.b, opacity], 8 * i);
    });
    position.needsUpdate = color.needsUpdate = true;
    this.trail.geometry.setDrawRange(0, 6 * (points.length - 1));
  }

  /** Flags are kept for later targets, because their pictures take memory of the graphics card. */
  updateTargets({ targets, current }) {
    const key = targets.join(";");
    if (key !== this.shownTargets) {
      this.shownTargets = key;
      this.flags.forEach((flag, i) => (flag.visible = i < targets.length));
      targets.forEach(([x, y], i) => {
        if (i === this.flags.length) this.scene.add((this.flags[i] = this.makeFlag(i + 1)));
        this.flags[i].position.set(x, y, 0);
      });
    }
    const [x, y] = targets[0];
    const [dx, dy] = [x - current[0], y - current[1]];
    const seen = new Vector3(x, y, 0.7).project(this.camera);
    const inSight = Math.abs(seen.x) < 1 && Math.abs(seen.y) < 1 && seen.z < 1;
    this.arrow.visible = !inSight || Math.hypot(dx, dy) > ARROW_DISTANCE;
    this.arrow.position.set(current[0], current[1], 0.015);
    this.arrow.rotation.z = Math.atan2(dy, dx);
    this.wave(performance.now() / 1000);
  }

  /** Lets the cloth of the flags move. They share it, and it faces the camera. */
  wave(time) {
    const { position } = this.flagParts.cloth[0].attributes;
    for (let i = 0; i < position.count; i++) {
      const along = this.clothPositions[3 * i];
      position.array[3 * i + 1] = 0.16 * along * Math.sin(9 * along - 5 * time);
    }
    position.needsUpdate = true;
    const [x, y] = this.forward;
    const turn = Math.atan2(y, x) - Math.PI / 2;
    for (const flag of this.flags) flag.rotation.z = turn;
  }
}

/** Whether the browser draws without a graphics card. Then smooth edges would cost more than everything else. */
function drawsInSoftware() {
  const context = document.createElement("canvas").getContext("webgl2");
  const info = context?.getExtension("WEBGL_debug_renderer_info");
  const name = info ? context.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software/i.test(name);
}

/** The number of a target in a path, as a picture above its flag. */
function numberSprite(number) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#008c69";
  context.beginPath();
  context.arc(32, 32, 30, 0, 7);
  context.fill();
  Object.assign(context, {
    fillStyle: "white",
    font: "bold 34px system-ui, sans-serif",
    textAlign: "center",
    textBaseline: "middle",
  });
  context.fillText(number, 32, 34);
  const map = Object.assign(new CanvasTexture(canvas), { colorSpace: SRGBColorSpace });
  const sprite = new Sprite(new SpriteMaterial({ map }));
  sprite.scale.setScalar(0.42);
  sprite.position.z = 1.95;
  return sprite;
}
