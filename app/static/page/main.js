// The page: a choice, ways in for pictures, and the desk where they are worked on.

import { renderChoice } from "./choice.js";
import { $, alarm } from "./dom.js";
import { listen } from "./intake.js";
import { all, onChange, refresh } from "./models.js";

// Nothing of it is needed before the first picture comes, so nothing waits for it.
const desk = import("./desk.js");

onChange(renderChoice);
listen((sources, task) => take(sources, task).catch((problem) => alarm(problem.message)));
$("#open-history").addEventListener("click", async () => {
  const { showPast } = await import("./past.js");
  showPast((await desk).recall).catch(() => alarm("This browser does not keep a history."));
});

async function take(sources, task) {
  // Faster than the first answer, or the service was away.
  if (!all().length) await refresh();
  (await desk).take(sources, task);
}

refresh()
  .catch((problem) => alarm(problem.message))
  .finally(() => {
    document.body.dataset.ready = "true";
    performance.mark("usable");
  });
