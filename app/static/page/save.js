// Files made of answers, and texts put on the clipboard.

import { announce, el } from "./dom.js";

/** Let the browser save a text or a blob as a file. */
export function save(name, content, type = "text/plain;charset=utf-8") {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export const stem = (name) => name.replace(/\.[^.]*$/, "") || "picture";

/** Copy a text, and show on the button that it is done. */
export async function copy(text, made) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text);
  }
  announce("Copied");
  made.classList.add("done");
  setTimeout(() => made.classList.remove("done"), 1500);
}

/** As browsers did it before: over plain http only localhost may use the clipboard. */
function copyBySelection(text) {
  const area = el("textarea", { value: text, className: "hidden" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

const quoted = (text) => (/^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command that asks the same of the service. */
export function curl({ url, name }, fields, key) {
  // A name may hold what curl takes for a separator.
  const image = url ? `image_url=${url}` : `image_file=@"${name.replaceAll(/["\\]/g, "\\$&")}"`;
  const parts = Object.entries(fields).map(([field, value]) => ["--form-string", `${field}=${value}`]);
  return [
    "curl",
    ...(key ? ["-H", '"Authorization: Bearer $API_KEY"'] : []),
    ...[[url ? "--form-string" : "-F", image], ...parts].flatMap(([flag, value]) => [flag, quoted(value)]),
    quoted(new URL("generate-text", document.baseURI).href),
  ].join(" ");
}

const cell = (value) => {
  // A spreadsheet runs what begins like a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** Rows as CSV (RFC 4180). */
export const csv = (rows) => rows.map((row) => `${row.map((value) => cell(value ?? "")).join(",")}\r\n`).join("");
