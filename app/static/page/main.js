// The page: a choice, ways in for pictures, and the workspace where answers are shown.

import { renderChoice } from "./choice.js";
import { $, alarm } from "./dom.js";
import { listen } from "./sources.js";
import { all, onChange, refresh } from "./models.js";

// Nothing of it is needed before the first picture comes, so nothing waits for it.
const workspace = import("./workspace.js");

onChange(renderChoice);
listen((sources, task) => take(sources, task).catch((problem) => alarm(problem.message)));
$("#open-history").addEventListener("click", async () => {
  const { showHistory } = await import("./history-list.js");
  showHistory((await workspace).recall).catch(() => alarm("This browser does not keep a history."));
});

async function take(sources, task) {
  // Faster than the first answer, or the service was away.
  if (!all().length) await refresh();
  (await workspace).take(sources, task);
}

refresh()
  .catch((problem) => alarm(problem.message))
  .finally(() => {
    document.body.dataset.ready = "true";
    performance.mark("usable");
  });
