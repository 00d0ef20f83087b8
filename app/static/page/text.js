// The text of an answer: plain, with its phrases coloured, or line by line.

import { el } from "./dom.js";
import { COLOURS, LOW } from "./marks.js";
import { percent } from "./words.js";

/** Return the text of an answer, or of one page of it, as elements. */
export function textOf({ text, entities, lines }) {
  if (entities?.length) return el("div", { className: "text" }, el("p", {}, withPhrases(text, entities)));
  if (lines?.length) return byLine(lines);
  return el("div", { className: "text" }, el("p", {}, text));
}

function mark(number, first, properties, ...children) {
  return el(
    "span",
    {
      role: "button",
      tabIndex: first ? 0 : -1,
      dataset: { mark: number },
      ...properties,
      aria: { pressed: "false", ...properties.aria },
    },
    ...children,
  );
}

/** Spans count code points, and JavaScript counts UTF-16 units. */
function withPhrases(text, entities) {
  const points = [...text];
  const parts = [];
  let at = 0;
  const ordered = entities.map((entity, number) => ({ ...entity, number })).sort((a, b) => a.span[0] - b.span[0]);
  for (const {
    span: [start, end],
    number,
  } of ordered) {
    // A phrase within another has its box on the picture all the same.
    if (start < at) continue;
    parts.push(points.slice(at, start).join(""));
    parts.push(
      mark(
        number,
        parts.length === 1,
        { className: `phrase c${number % COLOURS}` },
        points.slice(start, end).join(""),
        el("sup", {}, String(number + 1)),
      ),
    );
    at = end;
  }
  return [...parts, points.slice(at).join("")];
}

function byLine(lines) {
  const paragraphs = Map.groupBy(
    lines.map((line, number) => ({ ...line, number })),
    (line) => line.paragraph,
  );
  return el(
    "div",
    { className: "text lines" },
    [...paragraphs.values()].map((group) =>
      el(
        "p",
        {},
        group.map(({ text, confidence, number }) => {
          const low = confidence < LOW;
          return el(
            "span",
            { className: "row" },
            mark(number, number === 0, { className: low ? "line low" : "line" }, text),
            low
              ? el("span", { className: "doubt", title: "Low confidence: check this line" }, `? ${percent(confidence)}`)
              : null,
            "\n",
          );
        }),
      ),
    ),
  );
}
