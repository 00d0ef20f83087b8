// Several pictures: a list that fills in, to look into and to download.

import { $, button, el } from "./dom.js";
import { csv, save } from "./save.js";
import { whereIs } from "./waiting.js";
import { brief, count } from "./words.js";

/** What is shown of a picture in one line. */
export function lineOf(item) {
  switch (item.state) {
    case "done":
      return brief(
        (item.answer.tags?.join(", ") || item.answer.text || "Nothing was found").replaceAll("\n", " "),
        160,
      );
    case "failed":
      return item.problem.message;
    case "cancelled":
      return "Cancelled";
    case "new":
      return "Not sent yet";
    default:
      return whereIs(item);
  }
}

/** The rows that are shown, each a button. */
let rows = new Map();

/** Show the list of `items`; `open` is called with the one that is chosen. */
export function showList(items, open) {
  const section = $("#list");
  rows = new Map();
  section.hidden = items.length < 2;
  if (section.hidden) return section.replaceChildren();
  const heading = el("h2", {});
  const stop = button("Cancel all", () => items.forEach((item) => item.cancel()));
  const downloads = [
    button("CSV", () => save("pictures.csv", csv(rowsOf(items)), "text/csv"), { symbol: "download" }),
    button("JSON", () => save("pictures.json", `${JSON.stringify(recordsOf(items), null, 2)}\n`, "application/json"), {
      symbol: "download",
    }),
  ];
  const progress = () => {
    const done = items.filter((item) => item.state === "done").length;
    heading.textContent = done < items.length ? `${done} of ${count(items.length, "picture")}` : count(done, "picture");
    stop.hidden = !items.some((item) => item.busy);
    for (const download of downloads) download.disabled = !done;
  };
  rows = new Map(items.map((item) => [item, rowOf(item, open, progress)]));
  section.replaceChildren(
    el("header", {}, heading, el("div", { className: "row-of" }, stop, downloads)),
    el(
      "ul",
      { className: "rows" },
      [...rows.values()].map((row) => el("li", {}, row)),
    ),
  );
  progress();
  return undefined;
}

/** Mark in the list which picture is open. */
export function markOpen(item) {
  for (const [each, row] of rows) row.setAttribute("aria-current", each === item);
}

function rowOf(item, open, progress) {
  const said = el("span", { className: "said" });
  const row = el(
    "button",
    { type: "button", className: "row", onclick: () => open(item) },
    item.address
      ? el("img", { src: item.address, alt: "", loading: "lazy", decoding: "async" })
      : el("span", { className: "no-image" }),
    el("span", { className: "name" }, item.name),
    said,
  );
  row
    .querySelector("img")
    ?.addEventListener("error", ({ target }) => target.replaceWith(el("span", { className: "no-image" })));
  const show = () => {
    row.dataset.state = item.state;
    said.textContent = lineOf(item);
    progress();
  };
  item.addEventListener("change", show);
  show();
  return row;
}

function rowsOf(items) {
  const header = ["name", "state", "model", "text", "tags", "confidence", "error"];
  return [
    header,
    ...items.map(({ name, state, answer, problem }) => [
      name,
      state,
      answer?.model,
      answer?.text,
      answer?.tags?.join(", "),
      answer?.confidence,
      problem?.message,
    ]),
  ];
}

const recordsOf = (items) =>
  items.map(({ name, state, answer, problem }) => ({ name, state, answer, error: problem?.message }));
