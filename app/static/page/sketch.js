// A sheet to draw a word on, with mouse, pen or finger.

import { announce, button, dialog, el } from "./dom.js";

// A strip for a wide screen, and a sheet that a finger can write on for a phone.
const [WIDTH, HEIGHT] = innerWidth < 600 ? [900, 760] : [1200, 480];
const SIZES = [
  ["Fine", 4],
  ["Medium", 9],
  ["Broad", 20],
];
const COLOURS = [
  ["Black", "#111111"],
  ["Blue", "#1d4ed8"],
  ["Red", "#c81e1e"],
  ["Green", "#15803d"],
];
const ERASER = 4;

/** Open the sheet; `takeFiles` gets the drawing, flattened on white, and the task that suits it. */
export function open(takeFiles) {
  const sheet = new Sheet();
  const tools = el(
    "div",
    { className: "tools", role: "group", aria: { label: "Tools" } },
    choice(
      "Brush",
      "size",
      SIZES,
      (value) => {
        sheet.size = value;
        sheet.erasing = false;
      },
      SIZES[1],
    ),
    choice(
      "Colour",
      "colour",
      COLOURS,
      (value) => {
        sheet.colour = value;
        sheet.erasing = false;
      },
      COLOURS[0],
    ),
    el(
      "div",
      { className: "set" },
      toggle("Eraser", sheet),
      button("Undo", () => sheet.undo(), { symbol: "undo" }),
      button("Redo", () => sheet.redo(), { symbol: "redo" }),
      button("Clear", () => sheet.clear(), { symbol: "trash" }),
    ),
  );
  const done = button(
    "Read it",
    async () => {
      const file = await sheet.file();
      box.close();
      takeFiles([file], "handwriting");
    },
    { className: "button primary", disabled: true },
  );
  sheet.onchange = () => {
    done.disabled = sheet.empty;
  };
  const box = dialog("Draw a word", tools, sheet.canvas, el("footer", {}, done));
  box.classList.add("sketch");
  box.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    if (event.shiftKey) sheet.redo();
    else sheet.undo();
  });
}

function choice(legend, name, options, onchange, standard) {
  return el(
    "fieldset",
    { className: `set ${name}` },
    el("legend", { className: "hidden" }, legend),
    options.map(([label, value]) => {
      const sample = el("span", { className: "sample-dot" });
      if (name === "colour") sample.style.background = value;
      else sample.style.width = sample.style.height = `${value}px`;
      return el(
        "label",
        { title: label },
        el("input", {
          type: "radio",
          name,
          checked: value === standard[1],
          onchange: () => onchange(value),
          onclick: () => onchange(value),
        }),
        sample,
        el("span", { className: "hidden" }, label),
      );
    }),
  );
}

function toggle(label, sheet) {
  const made = button(
    label,
    () => {
      sheet.erasing = !sheet.erasing;
    },
    { symbol: "eraser", aria: { pressed: "false" } },
  );
  sheet.onerasing = (erasing) => made.setAttribute("aria-pressed", erasing);
  return made;
}

/** Strokes on a transparent canvas: each can be undone, and an eraser's takes away what lies under it. */
class Sheet {
  size = SIZES[1][1];
  colour = COLOURS[0][1];
  onchange = () => {};
  onerasing = () => {};
  #erasing = false;
  #strokes = [];
  #undone = [];

  constructor() {
    this.canvas = el("canvas", {
      width: WIDTH,
      height: HEIGHT,
      className: "sheet",
      role: "img",
      aria: { label: "Sheet: draw with mouse, pen or finger" },
    });
    this.canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
  }

  get erasing() {
    return this.#erasing;
  }

  set erasing(erasing) {
    this.#erasing = erasing;
    this.onerasing(erasing);
  }

  get empty() {
    return !this.#strokes.some((stroke) => !stroke.erases);
  }

  undo() {
    this.#step(this.#strokes, this.#undone, "Undone");
  }

  redo() {
    this.#step(this.#undone, this.#strokes, "Redone");
  }

  clear() {
    this.#strokes = [];
    this.#undone = [];
    this.#draw();
    announce("The sheet is empty");
  }

  /** The drawing on white, as a PNG. */
  async file() {
    const flat = el("canvas", { width: WIDTH, height: HEIGHT });
    const context = flat.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, WIDTH, HEIGHT);
    context.drawImage(this.canvas, 0, 0);
    const blob = await new Promise((resolve) => flat.toBlob(resolve, "image/png"));
    return new File([blob], "drawing.png", { type: "image/png" });
  }

  #step(from, to, said) {
    if (!from.length) return;
    to.push(from.pop());
    this.#draw();
    announce(said);
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const width = this.size * (this.erasing ? ERASER : 1);
    this.#strokes.push({
      pointer: event.pointerId,
      erases: this.erasing,
      colour: this.colour,
      width,
      points: [this.#at(event)],
    });
    this.#undone = [];
    this.#draw();
  }

  #move(event) {
    const stroke = this.#strokes.at(-1);
    if (!this.canvas.hasPointerCapture(event.pointerId) || stroke?.pointer !== event.pointerId) return;
    // A fast hand makes several points between two frames.
    const moves = event.getCoalescedEvents?.() ?? [];
    stroke.points.push(...(moves.length ? moves : [event]).map((move) => this.#at(move)));
    this.#draw();
  }

  #at({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [((clientX - box.left) / box.width) * WIDTH, ((clientY - box.top) / box.height) * HEIGHT];
  }

  #draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, WIDTH, HEIGHT);
    context.lineCap = context.lineJoin = "round";
    for (const { erases, colour, width, points } of this.#strokes) {
      context.globalCompositeOperation = erases ? "destination-out" : "source-over";
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(...points[0]);
      // A point alone is a dot.
      for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...point);
      context.stroke();
    }
    context.globalCompositeOperation = "source-over";
    this.onchange();
  }
}
