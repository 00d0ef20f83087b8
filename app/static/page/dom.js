// Elements, always with text and never with markup, and what is said to those who do not see the page.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Make an element: its properties (`dataset` and `aria` as objects, `on…` as listeners), then its children. */
export function el(tag, { dataset = {}, aria = {}, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

export const button = (label, onclick, { symbol, className = "quiet", ...rest } = {}) =>
  el("button", { type: "button", className, onclick, ...rest }, symbol ? icon(symbol) : null, label);

/** Say something to a screen reader, politely. */
export function announce(text) {
  $("#status").textContent = text;
}

/** Say what went wrong, where everybody sees and hears it; nothing takes it away again. */
export function alarm(text = "") {
  const place = $("#alarm");
  place.replaceChildren();
  if (text)
    place.append(
      el("p", {}, text),
      button("Close", () => alarm(), { className: "quiet close" }),
    );
}

/** Make a modal dialog with a heading, shown at once and gone when it is closed. */
export function dialog(title, ...children) {
  const heading = el("h2", { id: `dialog-${Date.now()}` }, title);
  const close = button("", () => box.close(), { symbol: "close", className: "quiet close", aria: { label: "Close" } });
  const box = el("dialog", { aria: { labelledby: heading.id } }, el("header", {}, heading, close), ...children);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}
