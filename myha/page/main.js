// The page: what is known, where one is, and when it is drawn.

import { AnswerError, address, read } from "./api.js";
import { changes } from "./changes.js";
import { h, remembered, render } from "./dom.js";
import { Forms } from "./forms.js";
import { freshness, head } from "./frame.js";
import { jobs } from "./jobs.js";
import { FIRST_FILTER, journal } from "./journal.js";
import { overview } from "./overview.js";
import { panel } from "./parts.js";
import { History } from "./history.js";
import { plots } from "./plots.js";
import { REQUESTS, possible } from "./requests.js";
import { conflictOf, conflicts, quarantine } from "./rows.js";
import { lineLevel, standing } from "./standing.js";
import { Stream } from "./stream.js";
import { timelines, told } from "./timelines.js";
import { Topology } from "./topology.js";
import { unsupervised, verdict } from "./verdict.js";

const LINES_KEPT = 3000;
const LINES_AT_ONCE = 300;
const LINES_AT_MOST = 1000;
const CHANGES_SHOWN = 8;
const PLOT_SECONDS = 5; // in an hour's plot less than a pixel

const page = document.getElementById("page");
const bar = document.getElementById("bar");
const fresh = document.getElementById("fresh");
const topology = new Topology();
const forms = new Forms(document.getElementById("dialog"), () => ({ pair: known.pair, status: known.status }));

const known = {
  lines: null, // of all pairs
  away: null, // {why, since}, where the supervisor does not answer the process that serves this page
  pair: null, // the name of the one that is shown; null: all
  status: null,
  problem: "",
  connection: { live: null, why: "", heardAt: null },
  ...ofOnePair(),
};
const view = { filter: FIRST_FILTER, pairs: { text: "", only: false }, cursor: null };
const part = remembered();
let drawn = false;

function ofOnePair() {
  return { journal: [], older: true, history: null, quarantine: [], incidents: {}, conflicts: [], changes: [] };
}

// -- what comes in ---------------------------------------------------------------------------------

const stream = new Stream(take, (connection) => {
  known.connection = connection;
  draw();
}, readAll);
forms.tokenKept = () => stream.again();

function take(kind, data) {
  if (kind === "pairs") {
    known.lines = data.pairs;
    const { answering, silent_seconds: silent, text } = data.supervisor;
    known.away = answering ? null : { why: text || "the supervisor does not answer", since: Date.now() / 1000 - silent };
    choose();
  } else if (kind === "status" && data.pair === known.pair) {
    known.status = data.status;
  } else if (kind === "journal" && data.pair === known.pair) {
    added([data.line]);
  }
  draw();
}

function added(lines) {
  const ids = new Set(known.journal.map((line) => line.id));
  const fresh = lines.filter((line) => !ids.has(line.id));
  if (!fresh.length) return;
  known.journal = [...known.journal, ...fresh].sort((one, other) => one.id - other.id).slice(-LINES_KEPT);
  known.conflicts = merged(known.conflicts, fresh.filter((line) => line.kind === "conflict").map(conflictOf));
  if (fresh.some((line) => /^(heal|job-|quarantine|merged|loss)/.test(line.kind))) readQuarantine();
}

function merged(lines, more) {
  const all = new Map([...lines, ...more].map((line) => [line.id, line]));
  return [...all.values()].sort((one, other) => one.id - other.id);
}

// -- what is read once -----------------------------------------------------------------------------

async function readInto(path, query, take) {
  const pair = known.pair;
  try {
    const found = await read(path, query);
    if (pair === known.pair) take(found);
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    if (error.needsToken) known.problem = "Reading needs a token here.";
  }
  draw();
}

function readAll() {
  if (known.pair === null || known.problem) return;
  const at = (...parts) => address("pairs", known.pair, ...parts);
  readInto(at("events"), { limit: LINES_AT_ONCE }, ({ events }) => added(events));
  readInto(at("failovers"), {}, ({ failovers }) => { known.changes = failovers.map(told); });
  readInto(at("history"), { minutes: 60 }, (found) => { known.history = new History(found); });
  readInto(at("conflicts"), {}, ({ conflicts: found }) => { known.conflicts = merged(known.conflicts, found.filter((line) => line.kind === "conflict")); });
  readQuarantine();
}

function readQuarantine() {
  readInto(address("pairs", known.pair, "quarantine"), {}, ({ incidents }) => { known.quarantine = incidents; });
}

async function openIncident(id) {
  if (known.incidents[id] && !known.incidents[id].error) return;
  const found = await read(address("pairs", known.pair, "quarantine", id)).catch((error) => ({ error: error.message }));
  known.incidents = { ...known.incidents, [id]: found };
  draw();
}

function readOlder() {
  readInto(address("pairs", known.pair, "events"), { limit: LINES_AT_MOST }, ({ events }) => {
    known.older = false;
    added(events);
  });
}

// -- where one is ----------------------------------------------------------------------------------

function choose() {
  const names = known.lines.map((line) => line.name);
  const wanted = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  const pair = wanted || (names.length === 1 ? names[0] : null);
  const there = names.includes(pair);
  if (pair === known.pair && !(known.problem && there)) return;
  Object.assign(known, ofOnePair(), { pair, status: null, problem: pair === null || there ? "" : `There is no pair ${pair}.` });
  Object.assign(view, { filter: FIRST_FILTER, cursor: null });
  // Of many pairs only their lines are asked for: the statuses of 500 are a lot.
  stream.start(there ? pair : null);
}

addEventListener("resize", draw);
addEventListener("hashchange", () => {
  if (known.lines) choose();
  scrollTo(0, 0);
  draw();
  document.getElementById("content").focus({ preventScroll: true });
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part of the address after # is the pair's name
  document.getElementById("content").focus();
});

// -- drawing ---------------------------------------------------------------------------------------

function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    drawAll();
  });
}

function drawAll() {
  const now = Date.now() / 1000;
  const stale = known.connection.live === false || Boolean(known.away);
  document.documentElement.classList.toggle("is-stale", stale);
  render(fresh, freshness({ connection: known.connection, away: known.away, now }));
  render(bar, head({ pair: known.pair, several: (known.lines?.length ?? 0) > 1, forms, forgotten: draw }));
  document.title = titleOf(stale);
  if (known.problem && !known.status) render(page, h("p", { class: "loading", key: "problem" }, known.problem));
  else if (known.pair !== null && known.status) drawPair(now);
  else if (known.pair === null && known.lines) render(page, overview(known.lines, view.pairs, set("pairs")));
  else if (lineOfPair()?.supervisor) render(page, unsupervised(lineOfPair()));
  else render(page, h("p", { class: "loading", key: "loading" }, known.connection.live === false ? known.connection.why : "Reading…"));
}

function set(name) {
  return (value) => { view[name] = value; draw(); };
}

function lineOfPair() {
  return known.lines?.find((line) => line.name === known.pair);
}

function titleOf(stale) {
  const mark = stale ? "stale: " : "";
  if (known.pair !== null && known.status) return `${mark}${known.status.verdict} · ${known.pair} · myha`;
  const trouble = known.lines?.filter((line) => lineLevel(line) !== "ok").length ?? 0;
  return `${mark}${trouble ? `${trouble} not healthy · ` : ""}myha`;
}

function drawPair(now) {
  const { status } = known;
  render(page,
    h("h1", { class: "unseen", key: "name" }, `Pair ${known.pair}`),
    verdict(status, (text) => forms.opener(text)),
    h("div", { class: "columns", key: "columns" },
      h("div", { class: "column wide", key: "wide" },
        panel("picture", "Topology", { aside: summaryOf(status) }, h("div", { key: "slot", ours: true, ref: (slot) => slot.append(topology.element) })),
        part("last-hour", [known.pair, known.history?.version, view.cursor, plotWidth(), Math.floor(now / PLOT_SECONDS)], () => lastHour(status, now)),
        part("changes", [known.journal, known.changes], () => changes(changesNow())),
        part("conflicts", [known.conflicts], () => conflicts(known.conflicts))),
      h("div", { class: "column narrow", key: "narrow" },
        operations(status),
        part("jobs", [status], () => jobs(status)),
        part("quarantine", [known.quarantine, known.incidents], () => quarantine(known.quarantine, known.incidents, openIncident)),
        part("journal", [known.journal, view.filter, known.older], () => journal(known.journal, view.filter, set("filter"), known.older ? readOlder : null)))));
  topology.show(status);
}

function lastHour(status, now) {
  const nodes = [...Object.keys(status.nodes), ...Object.keys(status.replicas ?? {})];
  return panel("last-hour", "Last hour", {}, known.history
    ? plots({ series: known.history.series, nodes, now, cursor: view.cursor, width: plotWidth(), point: set("cursor") })
    : h("p", { class: "nothing" }, "Reading…"));
}

/** One pixel of the screen for one of the drawing, so that the letters stay legible. */
function plotWidth() {
  return Math.max(200, Math.round(page.querySelector(".plot")?.clientWidth ?? 240));
}

function summaryOf(status) {
  const { mode, durability, epoch } = status;
  return h("span", { class: "faint" }, `${mode}, ${durability}`, epoch === null ? "" : `, epoch ${epoch}`);
}

/** Those that the journal tells here, and older ones as the supervisor has put them together. */
function changesNow() {
  const live = timelines(known.journal);
  const ids = new Set(live.map((one) => one.id));
  return [...live, ...known.changes.filter((one) => !ids.has(one.id))].slice(0, CHANGES_SHOWN);
}

function operations(status) {
  const away = known.connection.live === false || Boolean(known.away);
  return panel("operations", "Operate", {},
    h("div", { class: "buttons" }, Object.entries(REQUESTS).map(([name, request]) => h("button", {
      type: "button", key: name, disabled: away || !possible(name, status), on: { click: () => forms.open(name) },
    }, name === "maintenance" ? `Maintenance ${status.maintenance ? "off" : "on"}…` : `${request.title}…`))),
    h("p", { class: "faint" }, "Each shows its plan first, and asks before anything is done."));
}

// -- begin -----------------------------------------------------------------------------------------

setInterval(() => {
  // Times that pass, and plots that move; between two of these only what has changed is drawn.
  if (!document.hidden) draw();
}, 1000);
setInterval(() => {
  if (known.history && !document.hidden && known.connection.live) {
    readInto(address("pairs", known.pair, "history"), { minutes: 1 }, (found) => known.history?.add(found));
  }
}, 10_000);
stream.start(null);
draw();
