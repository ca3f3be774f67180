// Long work: heals, comparisons, the reading of both binary logs; with progress.

import { h } from "./dom.js";
import { duration, moment } from "./format.js";
import { chip, nothing, panel, progressBar } from "./parts.js";

const NAMES = { conflicts: "watching for conflicts", heal: "heal", verify: "comparing the data", divergence: "looking for errant rows" };
const RESULTS = { done: "ok", refused: "warn", failed: "bad", stopped: "unknown" };

export function jobs(status) {
  const running = [...status.jobs, ...Object.values(status.replicas ?? {}).flatMap((one) => one.jobs)];
  const last = Object.entries(status.last_jobs ?? {});
  const heals = Object.entries({ ...status.nodes, ...status.replicas }).filter(([, node]) => node.heal);
  if (!running.length && !last.length && !heals.length) return null;
  return panel("jobs", "Heals and jobs", {},
    running.length ? h("ul", { class: "plain" }, running.map(job)) : nothing("Nothing runs."),
    heals.map(([name, node]) => heal(name, node)),
    last.length ? h("ul", { class: "plain last" }, last.map(([kind, one]) => h("li", { key: kind },
      chip(RESULTS[one.result] ?? "unknown", one.result), `${NAMES[kind] ?? kind}, `, h("span", { class: "faint" }, moment(one.at)),
      one.text || one.reason ? h("p", { class: "faint" }, one.text || one.reason) : null))) : null);
}

function job(one) {
  const what = [NAMES[one.kind] ?? one.kind, one.node && `of ${one.node}`, one.method && `by ${one.method}`].filter(Boolean).join(" ");
  const left = one.left_seconds === null ? "" : `, ${duration(one.left_seconds)} left`;
  const percent = one.percent === null ? "" : `${Math.round(one.percent)} %`;
  const watches = one.kind === "conflicts";
  return h("li", { key: `${one.kind} ${one.node}`, class: "job" },
    h("div", { class: "job-head" }, h("b", {}, what), h("span", { class: "faint" }, watches ? "" : `${percent}${left}`)),
    watches ? null : progressBar(one.percent, what),
    h("p", { class: "faint" }, one.phase && !one.text.startsWith(one.phase) ? `${one.phase}: ` : "", one.text));
}

function heal(name, node) {
  const { heal: of } = node;
  const last = of.last.map((one) => h("li", { key: one.method }, `${one.method}: ${one.result}${one.reason ? `, ${one.reason}` : ""}`));
  const next = of.methods.length ? `to be tried: ${of.methods.join(", ")}` : "";
  if (node.cause !== "healing" && !of.refused.length && node.membership === "member") return null;
  return h("div", { class: "heal", key: `heal-${name}` },
    h("p", {}, h("b", {}, `Heal of ${name}`), next ? h("span", { class: "faint" }, ` ${next}`) : ""),
    of.refused.length ? h("ul", {}, of.refused.map((text) => h("li", {}, text))) : null,
    last.length ? h("ul", {}, last) : null);
}
