// The plot of speed and reward terms over the last ten seconds, on a canvas.

import { DT } from "./ant_env.js";

// Colours that colour-blind readers can tell apart (Okabe and Ito, 2008), as in viewing/steer.py.
export const LINES = {
  speed: ["speed (m/s)", "#0072B2"],
  progress: ["progress", "#D55E00"],
  angle_progress: ["angle_progress", "#CC79A7"],
  electricity: ["electricity", "#009E73"],
  joints_at_limit: ["joints_at_limit", "#E69F00"],
};
const [LOWEST, HIGHEST] = [-5, 5];
const SPAN = 600; // steps on the axis
const WINDOW = 12; // steps of the moving average

export class Plot {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** @param {object[]} history  speed and reward terms of each step */
  draw(history) {
    const { canvas, context } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) {
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const [left, right, top, bottom] = [22, width - 4, 6, height - 16];
    const x = (step) => right - ((history.length - 1 - step) / SPAN) * (right - left);
    const y = (value) => bottom - ((value - LOWEST) / (HIGHEST - LOWEST)) * (bottom - top);
    this.drawAxes(x, y, left, right, bottom, history.length);
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    for (const [name, [, color]] of Object.entries(LINES)) {
      context.beginPath();
      let sum = 0;
      history.forEach((terms, i) => {
        sum += (terms[name] ?? 0) - (i >= WINDOW ? (history[i - WINDOW][name] ?? 0) : 0);
        if (i >= WINDOW - 1 && (history.length - i) % 3 === 0) context.lineTo(x(i - WINDOW / 2), y(sum / WINDOW));
      });
      Object.assign(context, { strokeStyle: color, lineWidth: 1.8, lineJoin: "round" });
      context.stroke();
    }
    context.restore();
  }

  drawAxes(x, y, left, right, bottom, steps) {
    const { context } = this;
    Object.assign(context, { font: "11px system-ui, sans-serif", fillStyle: "#5B6472", lineWidth: 1, textBaseline: "middle" });
    for (const value of [-5, 0, 5]) {
      context.strokeStyle = value ? "#DDDDDD" : "#A9B1BC";
      context.beginPath();
      context.moveTo(left, y(value));
      context.lineTo(right, y(value));
      context.stroke();
      context.textAlign = "right";
      context.fillText(String(value).replace("-", "−"), left - 5, y(value));
    }
    context.textAlign = "center";
    for (const seconds of [-8, -6, -4, -2]) {
      context.fillText(`${seconds} s`.replace("-", "−"), x(steps - 1 + seconds / DT), bottom + 9);
    }
  }
}
