// The last failovers and switchovers, each with its phases on a scale of its own.

import { h } from "./dom.js";
import { milliseconds, moment, utc } from "./format.js";
import { chip, nothing, panel } from "./parts.js";

export function changes(lines) {
  return panel("changes", "Changes of writer", {},
    lines.length ? h("ol", { class: "timelines" }, lines.map(one))
      : nothing("None that the journal still has."));
}

function one(line, number) {
  // What runs beside has all the time it wants: it does not set the scale.
  const last = Math.max(0.1, ...line.steps.filter((step) => !step.beside).map((step) => step.ended));
  const serving = servedAt(line);
  const level = line.failed ? "bad" : line.ended === null ? "busy" : "ok";
  const word = line.failed ? "failed" : line.ended === null ? "under way" : "done";
  return h("li", { key: line.id, class: "timeline" },
    h("details", { open: number === 0 },
      h("summary", {},
        h("span", { class: "what" }, chip(level, word), line.text),
        h("span", { class: "faint" }, h("time", { title: utc(line.wall) }, moment(line.wall)),
          line.ended === null ? "" : ` · routed after ${milliseconds(serving ?? line.ended)}`)),
      line.failed ? h("p", { class: "why" }, line.failed) : null,
      h("table", { class: "phases" },
        h("caption", { class: "unseen" }, `Phases of: ${line.text}`),
        h("thead", { class: "unseen" }, h("tr", {}, ["phase", "from the decision", "took", "when"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, line.steps.map((step, index) => row(step, last, index))))));
}

function row(step, last, index) {
  const left = Math.min(99, step.began / last * 100);
  const width = Math.max(0.8, (step.ended - step.began) / last * 100);
  return h("tr", { key: index, class: step.failed ? "failed" : step.beside ? "beside" : "" },
    h("th", { scope: "row", title: step.text }, step.failed ? `${step.name} ✕` : step.phase || step.name),
    h("td", { class: "number" }, milliseconds(step.ended)),
    h("td", { class: "number faint" }, milliseconds(step.ended - step.began)),
    h("td", { class: "span" }, h("span", { class: "bar", "aria-hidden": "true", style: { left: `${left.toFixed(2)}%`, width: `${Math.min(width, 100 - left).toFixed(2)}%` } })));
}

/** When clients were routed to the new writer, in ms from the decision. */
function servedAt(line) {
  const routed = line.steps.filter((step) => step.name === "put-in" && !step.failed);
  return routed.length ? routed[0].ended : null;
}
