// What a model said of a picture: its text, tags, lines and warnings, to copy, download and compare.

import { formOf, request } from "./api.js";
import { alarm, announce, button, el } from "./dom.js";
import { key } from "./key.js";
import { LOW, tie } from "./marks.js";
import { all, onMachine, stateOf } from "./models.js";
import { copy, curl, save, stem } from "./save.js";
import { layOver } from "./picture.js";
import { textOf } from "./text.js";
import { percent, seconds } from "./words.js";

const EXPORTS = [
  ["hOCR", "hocr", ".hocr"],
  ["ALTO", "alto", ".xml"],
  ["Searchable PDF", "pdf", ".pdf"],
];

/** Show one answer beside the picture in `frame`; the first of several lays its marks over the picture. */
export function answerCard(item, run, frame, first) {
  const { answer } = run;
  const body = el("div", { className: "said" }, answer.pages ? answer.pages.map(pageOf) : spoken(answer));
  const tagged = run.task === "tags";
  const said = [body, tagsOf(answer)];
  const card = el(
    "article",
    { className: tagged ? "answer tagged" : "answer", aria: { label: `Answer of ${answer.model}` } },
    head(answer),
    // What was asked for comes first.
    tagged ? said.reverse() : said,
    partsOf(answer),
    warningsOf(answer),
    actions(item, run),
  );
  if (answer.pages) return card;
  // One model's marks at a time: those of the answer that was pointed at last.
  const shown = () => frame.dataset.answer === answer.id;
  const show = () => shown() || layOver(frame, answer);
  if (first) show();
  if (answer.entities?.length || answer.lines?.length) {
    // Before the marks within it hear of it.
    card.addEventListener("pointerover", show, true);
    card.addEventListener("focusin", show, true);
    tie([body, frame], shown);
    selectTogether(frame, body, shown);
  }
  return card;
}

function spoken(answer) {
  return answer.text ? textOf(answer) : el("p", { className: "nothing" }, "Nothing was found on this picture.");
}

function pageOf(page) {
  const said = page.text ? textOf(page) : el("p", { className: "nothing" }, "Nothing on this page.");
  return el("section", { className: "page" }, el("h3", {}, `Page ${page.page}`), said);
}

function head({ model, confidence, timings_ms: timings, cached, lines }) {
  const doubtful = lines?.filter((line) => line.confidence < LOW).length;
  const facts = [
    cached ? "from memory" : seconds(timings.total),
    confidence === undefined ? null : `confidence ${percent(confidence)}`,
    doubtful ? `${doubtful} to check` : null,
  ];
  return el("header", {}, el("h2", {}, model), el("span", { className: "facts" }, facts.filter(Boolean).join(" · ")));
}

function tagsOf({ tags, tag_scores: scores }) {
  if (!tags) return null;
  if (!tags.length) return el("p", { className: "nothing" }, "No tags.");
  return el(
    "ul",
    { className: "chips", aria: { label: "Tags" } },
    tags.map((tag, number) =>
      el("li", {}, tag, scores ? el("span", { className: "score" }, ` ${percent(scores[number])}`) : null),
    ),
  );
}

function partsOf({ parts }) {
  if (!parts) return null;
  const rows = [
    [`Seen by ${parts.captioner}`, parts.caption],
    [`Read by ${parts.reader}`, parts.words],
  ];
  return el(
    "dl",
    { className: "parts" },
    rows.filter(([, said]) => said).flatMap(([who, said]) => [el("dt", {}, who), el("dd", {}, said)]),
  );
}

function warningsOf({ warnings }) {
  return warnings.length
    ? el(
        "ul",
        { className: "warnings", aria: { label: "Notes" } },
        warnings.map((text) => el("li", {}, text)),
      )
    : null;
}

function actions(item, run) {
  const { answer, fields } = run;
  const copying = (label, text) => {
    const made = button(label, () => copy(text(), made), { symbol: "copy" });
    return made;
  };
  const json = () => JSON.stringify(answer, null, 2);
  const name = stem(item.name);
  return el(
    "footer",
    {},
    el(
      "div",
      { className: "row-of", role: "group", aria: { label: "Copy" } },
      answer.text ? copying("Copy text", () => answer.text) : null,
      answer.tags?.length ? copying("Tags", () => answer.tags.join(", ")) : null,
      copying("JSON", json),
      copying("curl", () => curl(item, fields, key())),
    ),
    el(
      "details",
      { className: "menu" },
      el("summary", {}, "Download"),
      el(
        "div",
        { className: "row-of" },
        answer.text ? button("Text", () => save(`${name}.txt`, `${answer.text}\n`)) : null,
        button("JSON", () => save(`${name}.json`, `${json()}\n`, "application/json")),
        answer.lines || answer.pages ? EXPORTS.map((format) => exporting(item, run, format)) : null,
      ),
    ),
  );
}

/** A format that the service renders: it reads the picture once more. */
function exporting(item, { fields }, [label, format, suffix]) {
  const made = button(label, async () => {
    made.disabled = true;
    announce(`Making ${label}`);
    try {
      const response = await request("generate-text", {
        method: "POST",
        body: formOf(item.source, { ...fields, format }),
      });
      save(stem(item.name) + suffix, await response.blob());
    } catch (problem) {
      alarm(problem.message);
    }
    made.disabled = false;
  });
  return made;
}

/** A form that asks a second model about the same picture. */
export function comparing(item, start) {
  const asked = item.runs.map((run) => run.answer.model);
  const able = [
    ...all().filter(({ task, accepts }) => accepts.includes("image") && task !== "segment"),
    { name: "alt-text", state: "ready" },
  ].filter(({ name }) => !asked.includes(name));
  const select = el(
    "select",
    { name: "compare" },
    able.map((model) =>
      el(
        "option",
        { value: model.name, disabled: !onMachine(model) },
        onMachine(model) ? model.name : `${model.name} (${stateOf(model)})`,
      ),
    ),
  );
  if (!able.some(onMachine)) return null;
  select.value = able.find(onMachine).name;
  return el(
    "form",
    {
      className: "compare",
      onsubmit: (event) => {
        event.preventDefault();
        start({ task: "compare", fields: { model: select.value } });
      },
    },
    el("label", {}, "Compare with ", select),
    el("button", { className: "button" }, "Compare"),
  );
}

/** Words selected on the picture light up their lines in the text. */
function selectTogether(frame, body, shown) {
  const follow = () => {
    if (!frame.isConnected) return document.removeEventListener("selectionchange", follow);
    if (!shown()) return undefined;
    const selection = getSelection();
    const over = frame.querySelector(".over");
    for (const group of over?.children ?? []) {
      const chosen =
        !selection.isCollapsed && over.contains(selection.anchorNode) && selection.containsNode(group, true);
      body.querySelector(`[data-mark="${group.dataset.mark}"]`)?.classList.toggle("chosen", chosen);
    }
    return undefined;
  };
  document.addEventListener("selectionchange", follow);
}
