// A part of the picture, marked with a mouse, a finger or the arrow keys.

import { announce, el } from "./dom.js";

const STEP = 0.02;
const LEAST = 0.01;
const START = [0.25, 0.25, 0.75, 0.75];
const KEYS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
const HOW = "Drag over the part. Or: arrow keys move it, Shift and arrow keys change its size, Enter takes it.";

const within = (value, least = 0, most = 1) => Math.min(most, Math.max(least, value));
const rounded = (region) => region.map((value) => Math.round(value * 1e4) / 1e4);

/** Show on the frame which part is meant; nothing for the whole picture. */
export function showPart(frame, region) {
  if (region) frame.append(place(el("div", { className: "part", aria: { hidden: "true" } }), region));
}

/** Lay a box over a part of the frame, given in fractions of the picture; return the box. */
export function place(box, [x0, y0, x1, y1]) {
  Object.assign(box.style, {
    left: `${x0 * 100}%`,
    top: `${y0 * 100}%`,
    width: `${(x1 - x0) * 100}%`,
    height: `${(y1 - y0) * 100}%`,
  });
  return box;
}

/** Let a person mark a part of the picture in `frame`; `done` is called with it, as `[x0, y0, x1, y1]` in fractions, or
 * with null when they would rather not. */
export function drawPart(frame, done) {
  const box = el("div", { className: "part" });
  const sheet = el("div", { className: "marking", role: "application", tabIndex: 0, aria: { label: HOW } }, box);
  let region = START;
  let from = null;
  const show = (next) => {
    region = rounded(next);
    place(box, region);
  };
  const at = ({ clientX, clientY }) => {
    const { left, top, width, height } = sheet.getBoundingClientRect();
    return [within((clientX - left) / width), within((clientY - top) / height)];
  };
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    sheet.setPointerCapture(event.pointerId);
    from = at(event);
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = at(event);
    show([Math.min(x, from[0]), Math.min(y, from[1]), Math.max(x, from[0]), Math.max(y, from[1])]);
  });
  sheet.addEventListener("pointerup", () => {
    if (!from) return;
    from = null;
    // A click without a drag marks nothing.
    if (region[2] - region[0] >= LEAST && region[3] - region[1] >= LEAST && region !== START) done(region);
  });
  sheet.addEventListener("pointercancel", () => {
    from = null;
    show(START);
  });
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      // Else it would also press the button that gets the focus.
      event.preventDefault();
      return done(region);
    }
    if (event.key === "Escape") return done(null);
    const move = KEYS[event.key];
    if (!move) return undefined;
    event.preventDefault();
    show(event.shiftKey ? resized(region, move) : moved(region, move));
    return announce(`From ${percents(region.slice(0, 2))} to ${percents(region.slice(2))}`);
  });
  place(box, region);
  frame.append(sheet);
  sheet.focus();
  announce(HOW);
}

const percents = ([x, y]) => `${Math.round(x * 100)} % across, ${Math.round(y * 100)} % down`;

function moved([x0, y0, x1, y1], [dx, dy]) {
  const right = within(dx, -x0, 1 - x1);
  const down = within(dy, -y0, 1 - y1);
  return [x0 + right, y0 + down, x1 + right, y1 + down];
}

const resized = ([x0, y0, x1, y1], [dx, dy]) => [
  x0,
  y0,
  within(x1 + dx, x0 + STEP),
  within(y1 + dy, y0 + STEP),
];
