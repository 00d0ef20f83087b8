// The picture, with what was found laid over it.

import { $, button, el, svg } from "./dom.js";
import { COLOURS, LOW } from "./marks.js";
import { drawPart, place, showPart } from "./part.js";
import { bytes } from "./words.js";

let shown = { item: null, picture: null };

/** Show a picture; `onLeave` is called when another one is wanted, `onPart` when a part was marked or cleared. Returns the frame that marks are laid on. */
export function showPicture(item, onLeave, onPart) {
  // The same element as before, so that it does not flicker; the frame is new, and nobody listens to it yet.
  const same = shown.item === item && (shown.picture.localName === "img" || !item.answer);
  if (!same) shown = { item, picture: null };
  shown.picture ??= item.address ? photo(item) : sheetOf(item);
  if (shown.picture.localName === "img") shown.picture.alt = altOf(item);
  const frame = el("div", { className: "frame" }, shown.picture);
  const facts = [item.name, item.blob ? bytes(item.blob.size) : null].filter(Boolean).join(" · ");
  const container = $("#shown-picture");
  container.replaceChildren(
    frame,
    el(
      "div",
      { className: "caption" },
      el("span", {}, facts),
      shown.picture.localName === "img" && !item.isDocument ? partButton(item, frame, onPart) : null,
      button("Another picture", onLeave),
    ),
  );
  showPart(frame, item.region);
  container.hidden = false;
  $("#sources").hidden = true;
  return frame;
}

function partButton(item, frame, onPart) {
  const set = (region) => {
    item.region = region;
    onPart();
    $(".part-of")?.focus();
  };
  return item.region
    ? button("Whole picture", () => set(null), { className: "quiet part-of" })
    : button("Only this part", () => drawPart(frame, set), { className: "quiet part-of" });
}

export function leavePicture() {
  shown = { item: null, picture: null };
  $("#shown-picture").hidden = true;
  $("#shown-picture").replaceChildren();
  $("#sources").hidden = false;
}

function photo(item) {
  const image = el("img", { src: item.address, alt: altOf(item) });
  // PDF, and for many browsers TIFF and HEIF: the service reads more than a browser shows.
  image.addEventListener("error", () => {
    shown.picture = sheetOf(item);
    image.replaceWith(shown.picture);
  });
  return image;
}

export const altOf = (item) => item.answer?.text || `The picture ${item.name}, not described yet`;

/** An empty sheet of the picture's shape, where the picture itself cannot be shown. */
function sheetOf(item) {
  const { width = 4, height = 3 } = item.answer?.image ?? {};
  const sheet = el(
    "div",
    { className: "blank", role: "img", aria: { label: altOf(item) } },
    el("span", {}, item.blob && item.answer ? "This browser cannot show it" : item.name),
  );
  sheet.style.aspectRatio = `${width} / ${height}`;
  return sheet;
}

/** Lay the boxes of phrases or the lines of a text over the picture. */
export function layOver(frame, { id, entities, lines }) {
  frame.dataset.answer = id;
  for (const old of frame.querySelectorAll(".boxes, .over")) old.remove();
  if (entities?.length) frame.append(boxes(entities));
  else if (lines?.length) frame.append(over(lines));
}

function boxes(entities) {
  return el(
    "div",
    { className: "boxes" },
    entities.flatMap(({ phrase, boxes: places }, number) =>
      places.map((region) => {
        const box = el(
          "button",
          {
            type: "button",
            className: `box c${number % COLOURS}`,
            dataset: { mark: number },
            aria: { pressed: "false", label: `${number + 1}: ${phrase}` },
          },
          el("span", {}, String(number + 1)),
        );
        return place(box, region);
      }),
    ),
  );
}

/** The lines as polygons, and their text, unseen, to be selected where it stands. */
function over(lines) {
  const layer = svg("svg", { class: "over", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  lines.forEach(({ text, polygon, confidence }, number) => {
    const [[ax, ay], [bx, by], , [dx, dy]] = polygon;
    // One unit of the text's own box, 1 x 1, spans the line: its sides are the polygon's.
    const matrix = `matrix(${bx - ax} ${by - ay} ${dx - ax} ${dy - ay} ${ax} ${ay})`;
    layer.append(
      svg(
        "g",
        { "data-mark": number, class: confidence < LOW ? "low" : "" },
        svg("polygon", { points: polygon.map((point) => point.join(",")).join(" ") }),
        svg(
          "text",
          { transform: matrix, y: 0.8, "font-size": 1, textLength: 1, lengthAdjust: "spacingAndGlyphs" },
          text,
        ),
      ),
    );
  });
  return layer;
}
