// Marks: a phrase or a line of the text and its place on the picture, each lighting up the other.

/** A line below this is marked as one to check; of handwriting, the least sure third has a mean of 0.88. */
export const LOW = 0.8;

/** Phrases have one colour each, as many as answer.css has; their numbers say the same. */
export const COLOURS = 6;

/** Tie all elements in `roots` that have the same `data-mark` together, on hover, focus and tap, while `active()`. */
export function tie(roots, active) {
  let kept = null;
  const marked = (mark) => roots.flatMap((root) => [...root.querySelectorAll(`[data-mark="${mark}"]`)]);
  const of = (event) => (active() ? event.target.closest?.("[data-mark]")?.dataset.mark : undefined);
  const light = (mark, lit) =>
    mark !== undefined && marked(mark).forEach((element) => element.classList.toggle("lit", lit));
  const keep = (mark) => {
    if (kept !== null) marked(kept).forEach((element) => press(element, false));
    kept = mark === kept ? null : mark;
    if (kept !== null) marked(kept).forEach((element) => press(element, true));
  };
  for (const root of roots) {
    root.addEventListener("pointerover", (event) => light(of(event), true));
    root.addEventListener("pointerout", (event) => light(of(event), false));
    root.addEventListener("focusin", (event) => light(of(event), true));
    root.addEventListener("focusout", (event) => light(of(event), false));
    root.addEventListener("click", (event) => {
      const mark = of(event);
      if (mark === undefined || !getSelection().isCollapsed) return;
      keep(mark);
      for (const other of roots)
        if (other !== root) other.querySelector(`[data-mark="${mark}"]`)?.scrollIntoView({ block: "nearest" });
    });
    root.addEventListener("keydown", (event) => onKey(event, root, keep, of));
  }
}

function press(element, pressed) {
  element.classList.toggle("kept", pressed);
  if (element.hasAttribute("aria-pressed")) element.setAttribute("aria-pressed", pressed);
}

/** Enter and space press; the arrows go through the marks, of which only one is a tab stop. */
function onKey(event, root, keep, of) {
  const mark = of(event);
  if (mark === undefined) return;
  if ((event.key === "Enter" || event.key === " ") && event.target.localName !== "button") {
    event.preventDefault();
    keep(mark);
  }
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  if (!(event.key in steps)) return;
  const stops = [...root.querySelectorAll("[data-mark][tabindex]")];
  const next = stops[stops.indexOf(event.target) + steps[event.key]];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
