// Many ways in for a picture: drop, choose, paste, camera, address, sample, drawing.

import { $, $$, alarm } from "./dom.js";
import { Problem } from "./api.js";
import { accept, refusal, sentence } from "./limits.js";

/** Call `take(sources, task)` with `{file}` or `{url}` objects, whichever way they come. */
export function listen(take) {
  const takeFiles = (files, task) => {
    const refusals = files.map(refusal).filter(Boolean);
    alarm(refusals.join(" "));
    const good = files.filter((file) => !refusal(file));
    if (good.length)
      take(
        good.map((file) => ({ file })),
        task,
      );
  };
  const takeUrl = (text) => {
    const url = text.trim();
    if (!/^(https?:\/\/\S+|data:image\/\S+)$/i.test(url)) {
      return alarm("That is not the address of a picture: it should begin with https:// or http://");
    }
    alarm();
    return take([{ url }]);
  };
  $("#limits").textContent = sentence;
  choosing(takeFiles);
  dropping(takeFiles, takeUrl);
  pasting(takeFiles, takeUrl);
  $("#url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    takeUrl($("#url").value);
  });
  for (const sample of $$("[data-sample]")) {
    sample.addEventListener("click", () =>
      fetchSample(sample.dataset.sample).then(
        (file) => takeFiles([file], sample.dataset.task),
        (problem) => alarm(problem.message),
      ),
    );
  }
  $("#open-camera").addEventListener("click", async () => (await import("./camera.js")).open(takeFiles));
  $("#open-sketch").addEventListener("click", async () => (await import("./sketch.js")).open(takeFiles));
}

function choosing(takeFiles) {
  const input = $("#file");
  input.accept = accept;
  input.addEventListener("change", () => {
    takeFiles([...input.files]);
    // So that the same file can be chosen again.
    input.value = "";
  });
}

/** True for a drag of files or of a link; a text may be dropped into a field. */
const carries = ({ dataTransfer: { types } }) => types.includes("Files") || types.includes("text/uri-list");

function dropping(takeFiles, takeUrl) {
  const veil = (shown) => document.body.classList.toggle("dragging", shown);
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    veil(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? veil(false));
  addEventListener("drop", (event) => {
    if (!carries(event)) return undefined;
    event.preventDefault();
    veil(false);
    const { files } = event.dataTransfer;
    if (files.length) return takeFiles([...files]);
    const [address] = event.dataTransfer.getData("text/uri-list").split(/\r?\n/);
    return address && takeUrl(address);
  });
}

function pasting(takeFiles, takeUrl) {
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      return takeFiles(files);
    }
    // A text pasted into a field is meant for the field.
    if (event.target.closest?.("input, textarea, select")) return undefined;
    return takeUrl(event.clipboardData.getData("text/plain"));
  });
}

async function fetchSample(name) {
  const response = await fetch(`static/samples/${name}`).catch(() => {
    throw Problem.unreachable();
  });
  return new File([await response.blob()], name, { type: response.headers.get("Content-Type") });
}
