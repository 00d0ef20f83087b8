// The models of the service and their states, kept up to date while one is on its way.

import { request } from "./api.js";
import { bytes, percent } from "./words.js";

const BUSY = ["downloading", "loading"];
const EVERY = 800;

let models = [];
let standard = null;
let timer = 0;
/** Models that this page asked for: their states may lag behind. */
const asked = new Set();
const listeners = new Set();

export const all = () => models;
export const byName = (name) => models.find((model) => model.name === name);
export const standardModel = () => standard;
export const onMachine = (model) => ["on_disk", "loading", "ready"].includes(model.state);
export const onChange = (listener) => listeners.add(listener);

/** Ask for the states, and ask again while they change. */
export async function refresh() {
  clearTimeout(timer);
  const response = await request("models");
  ({ models, default: standard } = await response.json());
  for (const name of asked) if (["ready", "failed"].includes(byName(name)?.state)) asked.delete(name);
  for (const listener of listeners) listener();
  if (asked.size || models.some(({ state }) => BUSY.includes(state))) timer = setTimeout(quietly, EVERY);
}

const quietly = () =>
  refresh().catch(() => {
    timer = setTimeout(quietly, 5 * EVERY);
  });

/** Start downloading and loading a model. */
export async function load(name) {
  await request(`models/${encodeURIComponent(name)}/load`, { method: "POST" });
  asked.add(name);
  await refresh();
}

/** Take a model out of memory, or stop its download. Throws Problem, for one while the model is at work. */
export async function unload(name) {
  await request(`models/${encodeURIComponent(name)}/unload`, { method: "POST" });
  asked.delete(name);
  await refresh();
}

/** Say in a few words where a model is. */
export function stateOf(model) {
  switch (model.state) {
    case "ready":
      return "ready";
    case "on_disk":
      return "on this machine";
    case "loading":
      return "loading";
    case "downloading":
      return `downloading ${percent(model.progress ?? 0)}`;
    case "failed":
      return "failed";
    default:
      return model.size_bytes ? `${bytes(model.size_bytes)} to download` : "to download";
  }
}
