// The API key, where the service wants one: asked for once, kept in this tab.

import { dialog, el } from "./dom.js";

const KEPT = "api-key";
let asking = null;

export const key = () => sessionStorage.getItem(KEPT);

export const keyHeaders = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

/** Ask for a key; false when the person would rather not. Several who ask at the same time share the answer. */
export function askForKey() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  return new Promise((resolve) => {
    const refused = key() !== null;
    sessionStorage.removeItem(KEPT);
    const input = el("input", { type: "password", id: "api-key", required: true, autocomplete: "off" });
    let given = false;
    const form = el(
      "form",
      {
        className: "key",
        onsubmit: (event) => {
          event.preventDefault();
          sessionStorage.setItem(KEPT, input.value.trim());
          given = true;
          box.close();
        },
      },
      refused ? el("p", { role: "alert", className: "wrong" }, "That key was not accepted.") : null,
      el("p", {}, "This service answers only to those who have a key. It is kept in this tab until you close it."),
      el("label", { for: "api-key" }, "API key"),
      input,
      el("button", { className: "button primary" }, "Continue"),
    );
    const box = dialog("API key", form);
    box.addEventListener("close", () => resolve(given));
    input.focus();
  });
}
