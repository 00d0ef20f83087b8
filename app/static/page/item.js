// A picture and what became of it: waiting, working, done, failed or cancelled, with an answer of each model asked.

import { request } from "./api.js";
import { generate } from "./generate.js";

const AT_ONCE = 3;

let working = 0;
const queue = [];

/** A picture as a `{file}` or a `{url}`. It sends `change` when something of it changed. */
export class Item extends EventTarget {
  state = "new";
  step = {};
  startedAt = 0;
  problem = null;
  /** The part that is to be looked at, `[x0, y0, x1, y1]` in fractions, or null for the whole picture. */
  region = null;
  /** `{task, fields, answer}` of each model that was asked, the newest answer of each. */
  runs = [];
  #blob = null;
  #address = null;
  #abort = null;

  constructor({ file = null, url = null, name }) {
    super();
    this.file = file;
    this.url = url;
    this.name = name ?? file?.name ?? nameOf(url);
  }

  get source() {
    return { file: this.file, url: this.url };
  }

  /** True for a file that may have several pages. */
  get isDocument() {
    return /\.(pdf|tiff?)$/i.test(this.name) || /pdf|tiff/.test(this.blob?.type ?? "");
  }

  /** The fields of a request for this picture: `pages` only for a document, `region` where a part is marked. */
  fieldsFor({ pages, ...fields }) {
    return {
      ...fields,
      ...(pages && this.isDocument ? { pages } : {}),
      ...(this.region ? { region: this.region.join(",") } : {}),
    };
  }

  get busy() {
    return this.state === "waiting" || this.state === "working";
  }

  get answer() {
    return this.runs[0]?.answer;
  }

  /** Ask a model; `compare` keeps what others answered. */
  async run({ task, fields: wanted }, compare = false) {
    const fields = this.fieldsFor(wanted);
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.problem = null;
    this.step = {};
    this.#become("waiting");
    try {
      await turn(signal);
      this.startedAt = performance.now();
      this.#become("working");
      const answer = await generate(this.source, fields, {
        signal,
        onStep: (step) => {
          this.step = step;
          this.#changed();
        },
      }).finally(done);
      const others = compare ? this.runs.filter((run) => run.answer.model !== answer.model) : [];
      this.runs = compare ? [...others, { task, fields, answer }] : [{ task, fields, answer }];
      await this.#fetchPicture(answer);
      this.#become("done");
    } catch (problem) {
      this.problem = signal.aborted ? null : problem;
      this.#become(signal.aborted ? "cancelled" : "failed");
    }
  }

  cancel() {
    this.#abort?.abort();
  }

  /** The picture's bytes, where this browser has them. */
  get blob() {
    return this.file ?? this.#blob;
  }

  /** An address under which this page alone can show the picture, or null. */
  get address() {
    if (!this.#address && this.blob) this.#address = URL.createObjectURL(this.blob);
    return this.#address;
  }

  /** Let the browser forget the picture's bytes. */
  forget() {
    this.cancel();
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
  }

  async #fetchPicture({ image }) {
    // The page may not ask other sites; but the service kept what it fetched.
    if (this.blob || !image.saved_as) return;
    try {
      const blob = await (await request(image.saved_as)).blob();
      this.#blob = new Blob([blob], { type: `image/${image.format.toLowerCase()}` });
    } catch {
      // The text is there all the same; the picture is shown as an empty frame.
    }
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Wait for a turn: a few pictures at once keep the service busy without filling its queue. */
function turn(signal) {
  if (working < AT_ONCE) {
    working += 1;
    return undefined;
  }
  return new Promise((resolve, reject) => {
    queue.push(resolve);
    signal.addEventListener("abort", () => {
      const place = queue.indexOf(resolve);
      if (place >= 0) {
        queue.splice(place, 1);
        reject(signal.reason);
      }
    });
  });
}

function done() {
  const next = queue.shift();
  if (next) next();
  else working -= 1;
}

function nameOf(url) {
  if (url.startsWith("data:")) return "pasted picture";
  const { pathname, host } = new URL(url);
  const last = pathname.split("/").pop();
  try {
    return decodeURIComponent(last) || host;
  } catch {
    // A percent sign that begins no escape, as in 100%.jpg: the name is shown as it is written.
    return last;
  }
}
