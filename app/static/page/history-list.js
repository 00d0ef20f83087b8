// The dialog with what this browser remembers: to search, open and delete.

import { announce, button, dialog, el } from "./dom.js";
import { entries, forget, forgetAll, matches } from "./history.js";
import { brief, count } from "./words.js";

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Show the history; `open` is called with the entry that is chosen. */
export async function showHistory(open) {
  let kept = [];
  const search = el("input", { type: "search", id: "search-history", autocomplete: "off" });
  const list = el("ul", { className: "past", aria: { busy: "true" } });
  const none = el("p", { className: "nothing" });
  const clear = button(
    "Delete all",
    async () => {
      if (!confirm(`Delete ${count(kept.length, "entry", "entries")} for good?`)) return;
      await forgetAll();
      kept = [];
      show();
    },
    { symbol: "trash" },
  );
  const show = () => {
    const found = kept.filter((entry) => matches(entry, search.value.trim()));
    list.replaceChildren(...found.map((entry) => row(entry)));
    none.textContent = kept.length
      ? "Nothing matches."
      : "Nothing yet. What is read here is kept in this browser, and only there.";
    none.hidden = found.length > 0;
    clear.hidden = !kept.length;
    announce(`${count(found.length, "entry", "entries")}`);
  };
  const row = (entry) => {
    const text = entry.runs.map(({ answer }) => answer.tags?.join(", ") || answer.text).join(" ");
    const item = el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          className: "row",
          onclick: () => {
            box.close();
            open(entry);
          },
        },
        small(entry),
        el("span", { className: "name" }, entry.name),
        el("span", { className: "when" }, WHEN.format(entry.at)),
        el("span", { className: "said" }, brief(text, 140)),
      ),
      button(
        "",
        async () => {
          await forget(entry.id);
          kept = kept.filter(({ id }) => id !== entry.id);
          show();
          search.focus();
        },
        { symbol: "trash", className: "quiet delete", aria: { label: `Delete ${entry.name}` } },
      ),
    );
    return item;
  };
  search.addEventListener("input", show);
  const box = dialog(
    "History",
    el("div", { className: "search" }, el("label", { for: search.id }, "Search"), search, clear),
    none,
    list,
  );
  box.classList.add("history");
  search.focus();
  kept = await entries();
  show();
  list.ariaBusy = "false";
}

function small({ small: blob }) {
  if (!blob) return el("span", { className: "no-image" });
  const image = el("img", { src: URL.createObjectURL(blob), alt: "" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  return image;
}
