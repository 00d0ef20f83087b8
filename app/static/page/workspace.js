// The workspace: pictures come in, the chosen model is asked, and what it says is shown.

import { answerCard, comparing } from "./answer.js";
import { chooseTask, chosen, fillNeeds, offerPages, onChoice } from "./choice.js";
import { $, alarm, announce, button, el } from "./dom.js";
import { keep } from "./history.js";
import { Item } from "./item.js";
import { markOpen, showList } from "./list.js";
import { onChange, refresh } from "./models.js";
import { leavePicture, showPicture } from "./picture.js";
import { TASKS } from "./tasks.js";
import { waiting } from "./waiting.js";
import { count } from "./words.js";

let items = [];
let current = null;
const welcome = $("#welcome");

/** Take pictures, as `{file}` or `{url}`; a task that suits them is chosen first. */
export function take(sources, task) {
  if (task) chooseTask(task);
  const fresh = sources.map((source) => new Item(source));
  for (const item of fresh) item.addEventListener("change", () => changed(item));
  // More pictures join those that are still on their way.
  const going = items.some((item) => item.busy);
  if (!going) forgetItems();
  items = [...items, ...fresh];
  showList(items, open);
  open(fresh[0]);
  if (items.length > 1) announce(count(items.length, "picture"));
  start(fresh);
}

/** Ask the chosen model, once it is on the machine. */
function start(asked) {
  const choice = chosen();
  if (choice.missing.length) return render();
  for (const item of asked) if (!item.busy) item.run(choice);
  return undefined;
}

function changed(item) {
  if (item.state === "done") {
    // What the service is not to keep, this browser does not keep either.
    if (item.runs.every(({ fields }) => fields.store !== "false")) keepQuietly(item);
    // It may have been loaded for this.
    refresh().catch(() => {});
  }
  if (item === current && (!item.busy || item.state === "waiting")) render();
}

async function keepQuietly(item) {
  try {
    item.kept = await keep(item);
  } catch {
    // A full disk, or a private window: the answer is shown all the same.
    announce("This browser does not keep a history now.");
  }
}

function open(item) {
  current = item;
  markOpen(item);
  render();
  if (items.length > 1) $("#picture").scrollIntoView({ block: "nearest" });
}

function leave() {
  forgetItems();
  current = null;
  offerPages(false);
  leavePicture();
  showList([], open);
  $("#answers").replaceChildren(welcome);
  $("#file").focus();
}

function forgetItems() {
  for (const item of items) item.forget();
  items = [];
}

/** Show the current picture and what is known of it. */
function render() {
  if (!current) return;
  offerPages(items.some((item) => item.isDocument));
  const frame = showPicture(current, leave, render);
  const place = $("#answers");
  const focused = place.contains(document.activeElement);
  place.replaceChildren(...shown(current, frame));
  // What had the focus is gone, such as the button that cancelled.
  if (focused) place.focus();
  if (current.state === "done") announce(`Done: ${current.runs.at(-1).answer.text || "nothing was found"}`);
}

function shown(item, frame) {
  const cards = item.runs.map((run, number) => answerCard(item, run, frame, number === 0));
  const several = el("div", { className: cards.length > 1 ? "cards several" : "cards" }, cards);
  if (item.busy) return [waiting(item), several];
  const parts = [];
  if (item.state === "failed") parts.push(failure(item));
  if (item.state === "cancelled")
    parts.push(el("p", { className: "nothing" }, "Cancelled. Nothing more is done for this picture."));
  parts.push(again(item), several);
  if (cards.length) parts.push(comparing(item, (choice) => item.run(alike(choice), true)));
  return parts.filter(Boolean);
}

/** A second model is asked about the same pages, and keeps the picture no more than the first. */
function alike({ task, fields }) {
  const { store, pages } = chosen().fields;
  return { task, fields: { ...fields, ...(store && { store }), ...(pages && { pages }) } };
}

function failure({ problem }) {
  return el(
    "div",
    { className: "failure", role: "alert" },
    el("h2", {}, problem.title),
    el("p", {}, problem.message),
    problem.requestId ? el("p", { className: "facts" }, `Request ${problem.requestId}`) : null,
  );
}

/** What can be done next: ask, with what is chosen now, or first fetch what that needs. */
function again(item) {
  const { task, fields, missing } = chosen();
  if (missing.length) {
    const list = el("ul", { className: "needs", tabIndex: -1, aria: { label: "Models that are missing" } });
    fillNeeds(list, missing);
    const failed = missing.some(({ model }) => model.state === "failed");
    return el(
      "div",
      { className: "missing" },
      el("h2", {}, failed ? "A model is missing" : "A download comes first"),
      el(
        "p",
        {},
        failed
          ? "This takes a model that could not be had. It can be tried again, or another one chosen."
          : "This takes a model that is not on this machine yet. It goes on by itself when the model is here.",
      ),
      list,
    );
  }
  const run = item.runs[0];
  const same = run && run.task === task && JSON.stringify(run.fields) === JSON.stringify(item.fieldsFor(fields));
  const part = item.region && items.length === 1 ? " this part" : "";
  const label = item.state === "failed" || same ? "Try again" : TASKS[task].verb + part;
  return item.state === "done" && same
    ? null
    : button(
        items.length > 1 ? `${label} all ${items.length}` : label,
        () => start(items.length > 1 ? items : [item]),
        { className: "button primary again" },
      );
}

/** A picture that waited for a model goes on when it is here. */
function onModels() {
  const { missing } = chosen();
  const waitingForModel = items.filter((item) => item.state === "new");
  if (waitingForModel.length && !missing.length) start(waitingForModel);
  const list = $(".missing .needs");
  if (list) fillNeeds(list, missing);
}

/** Show an entry of the history as it was. */
export function recall({ id, name, blob, url, runs }) {
  forgetItems();
  const file = blob && new File([blob], name, { type: blob.type });
  const item = new Item({ file, url: file ? null : url, name });
  Object.assign(item, { runs, state: "done", kept: id });
  item.addEventListener("change", () => changed(item));
  items = [item];
  showList(items, open);
  open(item);
}

onChange(onModels);
onChoice(() => current && !current.busy && render());
