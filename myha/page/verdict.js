// The verdict in words, what clients feel of it, and what follows.

import { h } from "./dom.js";
import { duration, plural } from "./format.js";
import { chip, command, sign } from "./parts.js";
import { LEVELS, byHand, standing } from "./standing.js";

/** `open(command)`: a function that opens the form for a command, or null where there is none. */
export function verdict(status, open) {
  const { level, facts, word } = standing(status);
  const more = status.verdicts.slice(1);
  return h("section", { class: `verdict ${level}`, key: "verdict", "aria-label": "Verdict" },
    h("div", { class: "verdict-head" },
      chip(level, word || LEVELS[level].word),
      status.verdict === LEVELS[level].word ? null : h("span", { class: "verdict-name" }, status.verdict),
      status.maintenance ? chip("warn", "maintenance: nothing is done") : null,
      status.settled ? null : h("span", { class: "faint" }, "looking…")),
    h("p", { class: "sentence", role: "status", "aria-live": "polite", "aria-atomic": "true" },
      h("span", { class: "unseen" }, `${word || LEVELS[level].word}: `),
      status.sentence || status.supervisor || ""),
    h("dl", { class: "facts" }, facts.map(fact)),
    more.length ? h("details", { class: "also", key: "also" },
      h("summary", {}, `${plural(more.length, "more finding")}`),
      h("ul", {}, more.map((one) => h("li", {}, one.sentence)))) : null,
    h("div", { class: "follows", key: "follows" }, follows(status, open)));
}

/** A pair of which there is no status: its line in the list of all. */
export function unsupervised(line) {
  return h("section", { class: "verdict bad", key: "unsupervised", "aria-label": "Verdict" },
    h("div", { class: "verdict-head" }, chip("bad", "no supervisor")),
    h("p", { class: "sentence", role: "status" }, line.sentence),
    h("p", {}, "Clients are routed as they were; nobody would replace a writer. On the supervisor's machine: ", command("myha status")));
}

function fact(one) {
  return h("div", { key: one.name },
    h("dt", {}, sign(one.level), one.name),
    h("dd", {}, one.level === "ok" ? null : h("span", { class: "unseen" }, "attention: "), one.text));
}

function follows(status, open) {
  const lines = [
    status.running ? h("p", { class: "running", key: "running" }, h("span", { class: "spin", "aria-hidden": "true" }),
      h("b", {}, "Under way: "), status.running) : null,
    ...status.refusals.map((one) => refused("", one, open)),
    ...Object.entries(status.replicas ?? {}).flatMap(([name, replica]) =>
      [trouble(name, replica), ...replica.refusals.map((one) => refused(`${name}: `, one, open))]),
    ...byHand(status).map((one) => h("div", { class: "refusal", key: `hand-${one.name}` },
      h("p", {}, sign("warn"), one.text), command(one.command, open(one.command)))),
    ...warnings(status),
    ...status.incidents.map((one) => h("p", { class: "incident" }, sign("warn"),
      `${duration(one.ago_seconds)} ago ${one.plan} of ${one.node} failed`,
      one.attempts > 1 ? ` (attempt ${one.attempts})` : "", `: ${one.reason}`)),
  ].filter(Boolean);
  if (lines.length) return lines;
  if (status.healthy) return [h("p", { class: "faint" }, "Nothing to do.")];
  return [h("p", { key: "by-hand" }, "Nothing that myha could do now. What you can do: ", command("myha explain"))];
}

function refused(who, one, open) {
  return h("div", { class: "refusal", key: `refused-${who}${one.verdict}${one.reason}` },
    h("p", {}, sign("warn"), h("b", {}, "Refused: "), who, one.reason),
    one.override ? h("p", { class: "override" }, "To override, once you know what that costs: ",
      command(one.override, open(one.override))) : null);
}

function trouble(name, replica) {
  if (replica.healthy) return null;
  return h("p", { key: `replica-${name}` }, sign(replica.running ? "busy" : "warn"), replica.sentence);
}

function warnings(status) {
  const said = [
    [status.lease_failure, "The supervisor may not act just now: "],
    [status.journal_failure, "The journal cannot be written: "],
    [status.dns_failure, "DNS was not updated: "],
  ].filter(([why]) => why).map(([why, what]) => what + why);
  if (status.config_changed) said.push("The configuration file has changed; `myha reload` puts it in force.");
  return said.map((text) => h("p", { class: "incident", key: text }, sign("warn"), text));
}
