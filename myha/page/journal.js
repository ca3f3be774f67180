// The journal: what was seen, decided and done, the latest first, with a filter.

import { h } from "./dom.js";
import { clock, milliseconds, moment, utc } from "./format.js";
import { nothing, panel, sign } from "./parts.js";

const LEVELS = { critical: "bad", warning: "warn" };
const GROUPS = {
  all: ["all", () => true],
  main: ["without steps", (line) => line.kind !== "step"],
  severe: ["warnings and worse", (line) => line.severity in LEVELS],
  verdict: ["verdicts", (line) => line.kind === "verdict"],
  plan: ["plans and steps", (line) => /^(plan|step)/.test(line.kind)],
  asked: ["requests", (line) => /^(request|audit)/.test(line.kind)],
  trouble: ["failures and refusals", (line) => /(failed|refus)/.test(line.kind)],
  data: ["conflicts, heals, data", (line) => /^(conflict|heal|merged|job|loss|reseed|quarantine|verify|differ|wrong-id|out-of-reach)/.test(line.kind)],
};
const SHOWN = 150;

/** `filter`: {group, text}; `set(filter)` is called when a person changes it. */
export function journal(lines, filter, set, older) {
  const [, fits] = GROUPS[filter.group];
  const words = filter.text.toLowerCase();
  const found = lines.filter((line) => fits(line) && (!words || `${line.kind} ${line.text}`.toLowerCase().includes(words)));
  const shown = found.slice(-filter.limit).reverse();
  const aside = h("div", { class: "filters" },
    h("label", {}, h("span", { class: "unseen" }, "Which events"),
      h("select", { value: filter.group, on: { change: (event) => set({ ...filter, group: event.target.value }) } },
        Object.entries(GROUPS).map(([name, [word]]) => h("option", { value: name, selected: name === filter.group }, word)))),
    h("label", {}, h("span", { class: "unseen" }, "Events with this text"),
      h("input", { type: "search", placeholder: "filter", value: filter.text, on: { input: (event) => set({ ...filter, text: event.target.value }) } })));
  return panel("journal", "Events", { aside },
    shown.length ? h("ol", { class: "lines", tabindex: "0", "aria-label": "Events, the latest first" }, shown.map(lineOf)) : nothing("No such event."),
    found.length > shown.length || older
      ? h("button", { type: "button", class: "quiet more", on: { click: () => { set({ ...filter, limit: filter.limit + SHOWN }); older?.(); } } }, "Show older ones") : null);
}

export const FIRST_FILTER = { group: "main", text: "", limit: SHOWN };

function lineOf(line) {
  const took = line.took_ms === undefined ? "" : ` (${milliseconds(Number(line.took_ms))})`;
  const level = LEVELS[line.severity];
  return h("li", { key: line.id, class: `line ${level ?? ""} ${line.kind === "step" ? "step" : ""}` },
    h("time", { title: `${moment(line.wall)}, ${utc(line.wall)} UTC` }, clock(line.wall, true)),
    h("span", { class: "kind" }, line.kind),
    h("span", { class: "text" }, level ? [sign(level), h("span", { class: "unseen" }, `${line.severity}: `)] : null, line.text, h("span", { class: "faint" }, took)));
}
