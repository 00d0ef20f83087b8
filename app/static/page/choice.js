// The form above the picture: the task, and one click away the exact model and its options.

import { $, $$, alarm, announce, button, el } from "./dom.js";
import { byName, load, onMachine, stateOf, unload } from "./models.js";
import { remember, remembered } from "./remember.js";
import { candidates, fieldsOf, isInstructed, languagesOf, needs, optionsOf, suggestion, taggers, TASKS } from "./tasks.js";
import { bytes, percent } from "./words.js";

const form = $("#choice");
const model = form.elements.model;
const tagger = form.elements.tagger;
const language = form.elements.language;
const listeners = new Set();
/** True while a document of pages is shown. */
let ofPages = false;
/** States as they were last announced. */
const announced = new Map();

export const onChoice = (listener) => listeners.add(listener);

const task = () => form.elements.task.value;

/** What is chosen: the task, the fields of a request, and the models that are still missing for it. */
export function chosen() {
  const wanted = optionsOf(task(), byName(model.value));
  const options = Object.fromEntries(
    $$("[data-option]", form)
      .map((label) => $("input, select", label))
      .filter((input) => input.name !== "tagger" && wanted.includes(input.name))
      .map((input) => [input.name, input.type === "checkbox" ? (input.checked ? input.value : "") : input.value.trim()])
      .filter(([, value]) => value !== ""),
  );
  return {
    task: task(),
    fields: fieldsOf(task(), model.value, tagger.value, options),
    missing: needs(task(), model.value, tagger.value).filter((need) => !need.optional && !onMachine(need.model)),
  };
}

/** Choose a task, as a click on it would. */
export function chooseTask(name) {
  form.elements.task.value = name;
  taskChanged();
}

/** Show models and states as they are now. */
export function renderChoice() {
  if (!task()) form.elements.task.value = remembered().task ?? firstTask();
  fill(model, candidates(task()), model.value || remembered().models?.[task()] || suggestion(task())?.name);
  fill(tagger, taggers(), tagger.value || remembered().tagger, el("option", { value: "" }, "automatic"));
  fillLanguages();
  renderOptions();
  renderNeeds();
}

/** Offer the languages that the chosen model reads, by their names in the person's own language. */
function fillLanguages() {
  const names = new Intl.DisplayNames(undefined, { type: "language" });
  const named = languagesOf(byName(model.value)).map((tag) => [names.of(tag), tag]);
  named.sort(([one], [other]) => one.localeCompare(other));
  const options = [["automatic", ""], ...named].map(([name, value]) => el("option", { value }, name));
  offer(language, options, language.value || remembered().language);
}

const firstTask = () => (onMachine(suggestion("describe") ?? {}) ? "describe" : "print");

function fill(select, able, wanted, ...first) {
  const named = able.map((each) => el("option", { value: each.name }, `${each.name} (${stateOf(each)})`));
  offer(select, [...first, ...named], wanted);
}

/** Put options into a list, and choose one of them. */
function offer(select, options, wanted) {
  // A list that is open just now would close.
  if (options.map((option) => option.text).join() === [...select.options].map((option) => option.text).join()) return;
  select.replaceChildren(...options);
  if (options.some(({ value }) => value === wanted)) select.value = wanted;
}

/** Offer the choice of pages, or take it away. */
export function offerPages(offered) {
  ofPages = offered;
  renderOptions();
}

function renderOptions() {
  const wanted = optionsOf(task(), byName(model.value)).filter((name) => name !== "pages" || ofPages);
  for (const label of $$("[data-option]", form)) label.hidden = !wanted.includes(label.dataset.option);
  $("#model-field").hidden = model.options.length === 0;
  const [label, placeholder] = promptWords(byName(model.value));
  $("#prompt-label").textContent = label;
  form.elements.prompt.placeholder = placeholder;
}

/** What a prompt is for a model, and what may stand in its place. */
function promptWords(chosen) {
  if (chosen && isInstructed(chosen)) return ["Instruction or question", "What is in this picture?"];
  // A model that does several things is not given a beginning, but what to look for.
  if (chosen?.options.includes("task")) return ["Find the phrases of", "its own description"];
  return ["Begin the text with", "a photography of"];
}

function renderNeeds() {
  const rows = needs(task(), model.value, tagger.value);
  fillNeeds($("#needs"), rows);
  for (const {
    model: { name, state },
  } of rows) {
    if (announced.has(name) && announced.get(name) !== state) announce(`${name}: ${stateOf(byName(name))}`);
    announced.set(name, state);
  }
}

/** Show in a list how models are, each with what can be done for it. */
export function fillNeeds(list, rows) {
  const focused = list.contains(document.activeElement);
  list.replaceChildren(...rows.map(needRow));
  // The button that was pressed has made way for its progress.
  if (focused) list.focus();
}

function needRow({ model: needed, optional }) {
  const { name, state, error, size_bytes: size } = needed;
  const row = el(
    "li",
    { className: "need", dataset: { state } },
    el("span", { className: "dot", aria: { hidden: "true" } }),
    el(
      "span",
      {},
      el("strong", {}, name),
      ` ${stateOf(needed)}${optional && !onMachine(needed) ? ", for a description" : ""}`,
    ),
  );
  const acting = (label, act, className = "quiet small") =>
    button(label, () => act(name).catch((problem) => alarm(problem.message)), {
      className,
      aria: { label: `${label}: ${name}` },
    });
  if (state === "downloading") {
    row.append(
      el("progress", {
        max: 1,
        value: needed.progress ?? 0,
        aria: { label: `${name}: ${percent(needed.progress ?? 0)}` },
      }),
      acting("Stop", unload),
    );
  } else if (state === "loading") {
    row.append(el("progress", { aria: { label: `${name} is loading` } }));
  } else if (state === "ready") {
    row.append(acting("Unload", unload));
  } else {
    const label =
      state === "on_disk" ? "Load" : state === "failed" ? "Try again" : `Download${size ? ` ${bytes(size)}` : ""}`;
    row.append(acting(label, load, state === "on_disk" ? "quiet small" : "button small"));
  }
  if (state === "failed") row.append(el("span", { className: "why" }, error));
  return row;
}

function taskChanged() {
  // Each task has a model of its own.
  model.replaceChildren();
  remember({ task: task() });
  renderChoice();
  // The question stands among the options.
  if (TASKS[task()].instructed) $("#options").open = true;
  for (const listener of listeners) listener();
}

form.addEventListener("submit", (event) => event.preventDefault());
// Not "change": a field sends it when a button is pressed, which would be replaced before it is released.
form.addEventListener("input", ({ target }) => {
  if (target.name === "task") return taskChanged();
  if (target === model) remember({ models: { ...remembered().models, [task()]: model.value } });
  if (target === model) fillLanguages();
  if (target === tagger) remember({ tagger: tagger.value });
  if (target === language) remember({ language: language.value });
  renderOptions();
  renderNeeds();
  for (const listener of listeners) listener();
});
