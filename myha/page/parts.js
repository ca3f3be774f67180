// Small pieces that several parts of the page use.

import { h } from "./dom.js";
import { LEVELS } from "./standing.js";

/** A sign whose shape says the same as its colour; for eyes only. */
export function sign(level) {
  return h("span", { class: `sign ${level}`, "aria-hidden": "true" }, LEVELS[level].sign);
}

export function chip(level, word) {
  return h("span", { class: `chip ${level}` }, sign(level), word);
}

export function panel(id, title, props, ...children) {
  const { aside, ...more } = props ?? {};
  return h("section", { class: `panel ${id}`, key: id, "aria-labelledby": `${id}-title`, ...more },
    h("header", { class: "panel-head" }, h("h2", { id: `${id}-title` }, title), aside ?? null),
    ...children);
}

/** A command to be read, copied, or opened as a form where the page has one for it. */
export function command(text, open) {
  return h("span", { class: "command" },
    h("code", {}, text),
    h("button", { type: "button", class: "quiet", on: { click: (event) => copy(event, text) } }, "Copy"),
    open ? h("button", { type: "button", class: "quiet", on: { click: open } }, "Open…") : null);
}

async function copy(event, text) {
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

export function progressBar(percent, label) {
  const known = percent !== null && percent !== undefined;
  return h("div", {
    class: known ? "progress" : "progress unknown", role: "progressbar", "aria-label": label,
    "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": known ? Math.round(percent) : null,
  }, h("div", { style: known ? { width: `${Math.min(100, percent)}%` } : {} }));
}

export function nothing(text) {
  return h("p", { class: "nothing" }, text);
}
