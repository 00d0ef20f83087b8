// What a person may want of a picture, and which models can do it.

import { all, byName, onMachine, standardModel } from "./models.js";

const CAPTIONERS = ["caption", "grounded-caption"];
const ALT_TEXT = "alt-text";
/** The reader of lines that reads print. */
const SCRIPTS = "tesseract";
/** The reader of handwriting that comes with the project; larger ones read better. */
const OWN = "handwriting";

/** `kinds` are tasks of models, the most fitting first; `asks` is what a model that does several is asked for; `verb`
 * names the button. An `instructed` task is for models that follow an instruction. */
export const TASKS = {
  describe: { verb: "Describe", kinds: CAPTIONERS, asks: "caption" },
  boxes: { verb: "Describe", kinds: ["grounded-caption"], asks: "ground" },
  objects: { verb: "Find", kinds: ["detect"], asks: "detect" },
  print: { verb: "Read", kinds: ["read-page"], asks: "read" },
  handwriting: { verb: "Read", kinds: ["read-line", "read-page"], asks: "read" },
  tags: { verb: "Tag", kinds: [...CAPTIONERS, "read-page"], tagged: true },
  ask: { verb: "Ask", kinds: CAPTIONERS, instructed: true },
  alt: { verb: "Write alt text", kinds: [] },
};

/** The models that can do a task, the most fitting kind first, and those last that do it beside something else. Alt
 * text is made by several together. */
export function candidates(task) {
  const { kinds, instructed } = TASKS[task];
  const rank = ({ name }) => (name === OWN ? 1 : 0);
  const mainly = kinds.flatMap((kind) =>
    all()
      .filter((model) => model.task === kind && model.name !== SCRIPTS)
      .sort((one, other) => rank(one) - rank(other)),
  );
  if (instructed) return mainly.filter(isInstructed);
  if (task === "print") mainly.push(...all().filter((model) => model.name === SCRIPTS));
  const besides = kinds.flatMap((kind) => all().filter((model) => model.tasks.includes(kind)));
  return [...new Set([...mainly, ...besides.filter((model) => model.task !== "read-line")])];
}

export const isInstructed = (model) => model.accepts.includes("instruction");

export const taggers = () => all().filter((model) => model.task === "tag" || model.tags_images);

/** The model that a task starts with: the service's own choice where it fits, else the first that is here. */
export function suggestion(task) {
  const able = candidates(task);
  const standard = able.find((model) => model.name === standardModel());
  return standard && TASKS[task].kinds[0] === standard.task ? standard : (able.find(onMachine) ?? able[0]);
}

/** The languages that a model reads, as tags of BCP 47; what RapidOCR does not read, the service gives to tesseract. */
export function languagesOf(model) {
  const together = model?.name === "rapidocr" ? [model, byName("tesseract")] : [model];
  return [...new Set(together.flatMap((each) => each?.languages ?? []))];
}

/** The names of the options that a task with a model takes. */
export function optionsOf(task, model) {
  const always = ["store", "pages"];
  if (task === "alt") return ["max_length", ...always];
  const { asks, kinds, tagged } = TASKS[task];
  const does = (asks && kinds.find((kind) => model?.tasks.includes(kind))) ?? model?.task;
  const own = (model?.options ?? []).filter((name) => model.only_for[name]?.includes(does) ?? true);
  return [...always, ...own, ...(tagged ? ["tagger"] : [])];
}

/** The models that must be here before a task can be done; `optional` ones make it better. Where no tagger is named,
 * the service takes what it has. */
export function needs(task, modelName, taggerName) {
  if (task === "alt") {
    const both = [{ model: suggestion("print") }, { model: suggestion("describe"), optional: true }];
    return both.filter(({ model }) => model);
  }
  const names = TASKS[task].tagged ? [modelName, taggerName] : [modelName];
  return names
    .map(byName)
    .filter(Boolean)
    .map((model) => ({ model }));
}

/** The fields of a request to the service. */
export function fieldsOf(task, modelName, taggerName, options) {
  const fields = { model: task === "alt" ? ALT_TEXT : modelName, ...options };
  const { asks } = TASKS[task];
  if (asks && byName(modelName)?.options.includes("task")) fields.task = asks;
  if (TASKS[task].tagged) Object.assign(fields, { tags: "true" }, taggerName && { tagger: taggerName });
  return fields;
}
