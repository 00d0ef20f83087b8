// One request to /generate-text as an event stream: how far it is, and at last its answer.

import { Problem, formOf } from "./api.js";
import { askForKey, keyHeaders } from "./key.js";

/**
 * Send a picture. `onStep` is told `{uploading: fraction}`, `{queued: position}` and `{stage, done, found}`; aborting
 * the signal closes the connection, and the service drops the job. Throws Problem, or the signal's AbortError.
 */
export async function generate(source, fields, { onStep, signal }) {
  const outcome = await send(source, fields, onStep, signal);
  if (outcome instanceof Problem && outcome.status === 401 && (await askForKey())) {
    return generate(source, fields, { onStep, signal });
  }
  if (outcome instanceof Problem) throw outcome;
  return outcome;
}

function send(source, fields, onStep, signal) {
  signal.throwIfAborted();
  // fetch() tells nothing of an upload's progress.
  const call = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    const events = eventReader(onStep, resolve);
    call.open("POST", "generate-text");
    call.setRequestHeader("Accept", "text/event-stream");
    for (const [name, value] of Object.entries(keyHeaders())) call.setRequestHeader(name, value);
    call.upload.onprogress = ({ loaded, total }) => onStep({ uploading: total ? loaded / total : 0 });
    call.upload.onload = () => onStep({ queued: null });
    call.onprogress = () => call.status === 200 && events.read(call.responseText);
    call.onload = () => {
      if (call.status !== 200) return resolve(Problem.of(call.status, call.responseText));
      events.read(call.responseText);
      return resolve(new Problem({ detail: "The service broke off in the middle. Try again." }));
    };
    call.onerror = () => resolve(Problem.unreachable());
    call.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => call.abort(), { once: true });
    call.send(formOf(source, fields));
  });
}

/** Read Server-Sent Events out of a text that grows. */
function eventReader(onStep, onEnd) {
  const handlers = {
    queued: ({ position = null }) => onStep({ queued: position }),
    progress: onStep,
    result: onEnd,
    error: (problem) => onEnd(new Problem(problem)),
  };
  let seen = 0;
  return {
    read(text) {
      for (let end; (end = text.indexOf("\n\n", seen)) >= 0; seen = end + 2) {
        const [, name, data] = text.slice(seen, end).match(/^event: (\w+)\ndata: (.*)$/s);
        handlers[name](JSON.parse(data));
      }
    },
  };
}
