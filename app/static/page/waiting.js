// Where a request is, in words, with its seconds and a way to stop it.

import { announce, button, el } from "./dom.js";
import { count, percent } from "./words.js";

/** Say where a picture is on its way. */
export function whereIs({ state, step }) {
  if (state === "waiting") return "Waiting for its turn";
  if ("uploading" in step) return `Uploading ${percent(step.uploading)}`;
  switch (step.stage) {
    case "downloading":
      return `Downloading the model ${step.done} %`;
    case "loading":
      return "Loading the model";
    case "lines":
      return step.done < step.found ? `Line ${step.done + 1} of ${step.found}` : `${count(step.found, "line")} read`;
    case "pages":
      return step.done < step.found ? `Page ${step.done + 1} of ${step.found}` : `${count(step.found, "page")} read`;
    default:
      break;
  }
  if (step.queued > 1) return `Place ${step.queued} in the queue`;
  return step.queued === 1 ? "Next in the queue" : "Looking at the picture";
}

const shareOf = ({ step }) =>
  "uploading" in step ? step.uploading : step.found > 1 ? step.done / step.found : undefined;

/** A panel that follows an item until it is done. */
export function waiting(item) {
  const where = el("p", { className: "where" });
  const bar = el("progress", { max: 1, aria: { label: "Progress" } });
  const clock = el("span", { className: "clock", aria: { hidden: "true" } });
  const panel = el(
    "div",
    { className: "waiting" },
    where,
    bar,
    el(
      "p",
      { className: "foot" },
      clock,
      button("Cancel", () => item.cancel(), { className: "button small" }),
    ),
  );
  let said = 0;
  const show = () => {
    const words = whereIs(item);
    if (words !== where.textContent && performance.now() - said > 2000) {
      // Not every line of a page: who listens would hear nothing else.
      said = performance.now();
      announce(words);
    }
    where.textContent = words;
    const share = shareOf(item);
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  };
  const tick = () => {
    if (!item.busy || !panel.isConnected) {
      clearInterval(timer);
      item.removeEventListener("change", show);
    }
    if (item.startedAt) clock.textContent = `${Math.floor((performance.now() - item.startedAt) / 1000)} s`;
  };
  item.addEventListener("change", show);
  const timer = setInterval(tick, 250);
  show();
  return panel;
}
