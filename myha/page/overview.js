// All pairs, the worst first.

import { h } from "./dom.js";
import { plural } from "./format.js";
import { chip, nothing, sign } from "./parts.js";
import { LEVELS, lineLevel } from "./standing.js";

/** `filter`: {text, only}; `set(filter)` when a person changes it. */
export function overview(lines, filter, set) {
  const words = filter.text.toLowerCase();
  const levels = lines.map(lineLevel);
  const shown = lines.filter((line, index) => (!filter.only || levels[index] !== "ok")
    && (!words || `${line.name} ${line.verdict} ${line.writer ?? ""}`.toLowerCase().includes(words)));
  const trouble = levels.filter((level) => level !== "ok").length;
  return h("section", { class: "overview", key: "overview", "aria-labelledby": "overview-title" },
    h("div", { class: "overview-head" },
      h("h1", { id: "overview-title" }, plural(lines.length, "pair")),
      h("p", { role: "status", "aria-live": "polite" }, trouble ? chip("warn", `${trouble} not healthy`) : chip("ok", "all healthy")),
      h("div", { class: "filters" },
        h("label", { class: "check" }, h("input", { type: "checkbox", checked: filter.only, on: { change: (event) => set({ ...filter, only: event.target.checked }) } }), "only those not healthy"),
        h("label", {}, h("span", { class: "unseen" }, "Pairs with this text"),
          h("input", { type: "search", placeholder: "filter", value: filter.text, on: { input: (event) => set({ ...filter, text: event.target.value }) } })))),
    shown.length ? h("ul", { class: "pairs" }, shown.map(line)) : nothing("No such pair."));
}

function line(one) {
  const level = lineLevel(one);
  return h("li", { key: one.name, class: `pair-line ${level}` },
    h("a", { href: `#/${encodeURIComponent(one.name)}` },
      sign(level),
      h("b", { class: "name" }, one.name, h("span", { class: "unseen" }, `, ${LEVELS[level].word}`)),
      h("span", { class: "verdict-name" }, one.verdict),
      h("span", { class: "text" }, one.running ? `${one.running} (under way)` : one.sentence),
      h("span", { class: "faint writer" }, one.writer ? `writer ${one.writer}` : "", one.sync ? ` · ${one.sync}` : "", one.epoch ? ` · epoch ${one.epoch}` : "")));
}
