// The pair as a picture: clients, balancers, nodes and replicas, and what flows between them.
//
// The boxes are ordinary elements, so that they wrap, scale and are read aloud; the wires are drawn
// over the measured boxes, in one SVG behind them.

import { h, render } from "./dom.js";
import { duration, plural } from "./format.js";
import { chip } from "./parts.js";
import { answers, channelTrouble, replicaRole, role, routedTo } from "./standing.js";

export class Topology {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "topology";
    this.status = null;
    this.box = null;
    this.wires = null;
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(status) {
    this.status = status;
    render(this.element,
      h("svg", { class: "wires", key: "wires", "aria-hidden": "true", ours: true }),
      h("div", { class: `tiers ${Object.keys(status.replicas ?? {}).length ? "with-replicas" : ""}`, key: "tiers" }, tiers(status)));
    this.draw();
  }

  draw() {
    if (!this.status || !this.element.isConnected) return;
    const svg = this.element.querySelector("svg");
    const found = boxes(this.element);
    svg.setAttribute("viewBox", `0 0 ${this.element.clientWidth} ${this.element.clientHeight}`);
    render(svg, wires(this.status, found));
  }
}

const GETS = { writer: "writes", reader: "reads" };

// -- boxes -----------------------------------------------------------------------------------------

function tiers(status) {
  const balancers = Object.entries(status.balancers);
  const replicas = Object.entries(status.replicas ?? {});
  const names = Object.keys(status.nodes);
  return [
    h("div", { class: "tier", key: "clients" }, h("div", { class: "clients", "data-box": "clients" }, clients(status))),
    balancers.length ? h("ul", { class: "tier balancers", key: "balancers", "aria-label": "Balancers" },
      balancers.map(([name, one]) => balancer(name, one))) : null,
    h("div", { class: "tier pair", key: "pair" },
      node(status, names[0]), h("div", { class: "between", key: "between" }, between(status)), node(status, names[1])),
    replicas.length ? h("ul", { class: "tier replicas", key: "replicas", "aria-label": "Read replicas" },
      replicas.map(([name, one]) => replica(name, one))) : null,
  ];
}

function sessionsOf(status, pool) {
  const routes = Object.values(status.balancers).flatMap((one) => one.routes ?? []);
  return routes.filter((one) => one.pool === pool).reduce((sum, one) => sum + one.sessions, 0);
}

function clients(status) {
  const known = Object.values(status.balancers).some((one) => one.answering);
  if (!known) return h("b", {}, "clients");
  return [h("b", {}, "clients"), h("span", { class: "faint" },
    ` ${plural(sessionsOf(status, "writer"), "session")} for writing, ${sessionsOf(status, "reader")} for reading`)];
}

function balancer(name, one) {
  const held = one.address;
  return h("li", { class: "box balancer", key: name, "data-box": `lb ${name}` },
    h("div", { class: "box-head" }, h("b", {}, name),
      one.answering ? h("span", { class: "faint" }, "balancer") : chip("bad", "no answer")),
    one.answering ? null : h("p", { class: "why" }, one.error || "not seen yet"),
    held ? h("p", { class: "faint" }, held.holds ? "has the shared address" : "in reserve") : null);
}

function node(status, name) {
  const one = status.nodes[name];
  const { word, level } = role(status, name, one);
  return box(name, one, chip(level, word), facts(status, name, one));
}

function replica(name, one) {
  const { word, level } = replicaRole(one);
  const lines = answers(one) ? [one.follows ? `follows ${one.follows}` : "follows nobody", lagLine(one),
    one.delay_seconds ? `delayed by ${duration(one.delay_seconds)} on purpose` : null] : [];
  return box(name, one, chip(level, word), lines, "li");
}

function box(name, one, label, lines, tag = "article") {
  const why = one.fenced || !answers(one) ? one.reason || one.error : "";
  return h(tag, { class: `box node ${answers(one) ? "" : "gone"}`, key: name, "data-box": `node ${name}`, "aria-label": `node ${name}` },
    h("div", { class: "box-head" }, h("b", { class: "name" }, name), label),
    lines.filter(Boolean).map((line) => h("p", {}, line)),
    why ? h("p", { class: "why" }, why) : null,
    one.stall_reason ? h("p", { class: "why" }, `writes have stood still for ${duration(one.writes_stalled_seconds)}: ${one.stall_reason}`) : null,
    answers(one) ? h("p", { class: "faint version" }, one.version) : h("p", { class: "faint" }, `for ${duration(one.contact_seconds)}`));
}

function facts(status, name, one) {
  if (!answers(one)) return [];
  const waiting = one.semisync.waiting_sessions;
  const pools = ["writer", "reader"].filter((pool) => routedTo(status, pool)?.has(name));
  return [
    `${one.open ? "open" : "closed"} for writes, ${plural(one.sessions, "session")}`,
    pools.length ? `gets ${pools.map((pool) => GETS[pool]).join(" and ")}` : "gets no traffic",
    waiting ? `${plural(waiting, "commit")} waiting` : null,
    channelTrouble(one) || one.lag_transactions ? lagLine(one) : null,
  ];
}

function lagLine(one) {
  const trouble = channelTrouble(one);
  if (trouble) return trouble;
  const rest = one.lag_transactions ? `, ${plural(one.lag_transactions, "transaction")} to apply` : "";
  return `${lag(one)} behind${rest}`;
}

function lag(one) {
  return one.lag_seconds === null || one.lag_seconds === undefined ? "?" : duration(one.lag_seconds);
}

/** Both channels of the pair in words; the arrows beside them say the same. */
function between(status) {
  const names = Object.keys(status.nodes);
  const solo = status.durability === "lossless" && status.mode !== "dual-writer";
  return [
    channelText(status, names[0], names[1], "first"),
    solo ? h("p", { class: "sync" }, status.sync === "armed" ? chip("ok", "armed") : chip("warn", "solo")) : h("p", { class: "sync faint" }, status.durability),
    channelText(status, names[1], names[0], "second"),
  ];
}

function channelText(status, source, target, place) {
  const one = status.nodes[target];
  const trouble = channelTrouble(one);
  const behind = target === status.writer && status.mode !== "dual-writer" ? "" : lag(one);
  return h("p", { class: `channel ${place} ${trouble ? "broken" : ""}`, title: trouble || `from ${source} to ${target}` },
    h("span", { class: "unseen" }, `${target} replicates from ${source}: `),
    trouble ? h("span", {}, shortly(trouble)) : behind || h("span", { class: "unseen" }, "flows"));
}

/** "receiver stopped (error 1)" as "receiver stopped", of which a phone shows the last word. */
function shortly(trouble) {
  const words = trouble.replace(/ \(.*/, "").split(" ");
  return [h("span", { class: "roomy" }, words.slice(0, -1).join(" "), " "), words.at(-1)];
}

// -- wires -----------------------------------------------------------------------------------------

function boxes(root) {
  const outer = root.getBoundingClientRect();
  const found = new Map();
  for (const element of root.querySelectorAll("[data-box]")) {
    const at = element.getBoundingClientRect();
    const left = at.left - outer.left, top = at.top - outer.top;
    found.set(element.dataset.box, { left, top, right: left + at.width, bottom: top + at.height, x: left + at.width / 2, y: top + at.height / 2 });
  }
  return found;
}

function wires(status, at) {
  const drawn = [];
  const nodes = { ...status.nodes, ...status.replicas };
  const clientsAt = at.get("clients");
  const balancers = Object.entries(status.balancers);
  for (const [name, one] of balancers) {
    const from = at.get(`lb ${name}`);
    if (!from) continue;
    drawn.push(down(`c-${name}`, clientsAt, from, 0, 0, one.answering ? "plain" : "plain off"));
    for (const route of one.routes ?? []) {
      const to = at.get(`node ${route.node}`);
      if (!to || !route.takes_traffic) continue;
      const write = route.pool === "writer";
      const answered = answers(nodes[route.node]);
      const kind = `${write ? "write" : "read"} ${answered ? "on" : "broken"}`;
      const key = `${route.pool}-${name}-${route.node}`;
      drawn.push(route.node in status.nodes ? down(key, from, to, write ? -14 : 14, write ? -22 : 22, kind)
        : around(key, from, to, at.get(`node ${Object.keys(status.nodes)[1]}`).right + 12, kind));
    }
  }
  const [a, b] = Object.keys(status.nodes);
  drawn.push(across(`r-${a}-${b}`, at.get(`node ${a}`), at.get(`node ${b}`), -26, status.nodes[b]));
  drawn.push(across(`r-${b}-${a}`, at.get(`node ${b}`), at.get(`node ${a}`), 26, status.nodes[a]));
  for (const [name, one] of Object.entries(status.replicas ?? {})) {
    const from = at.get(`node ${one.follows}`), to = at.get(`node ${name}`);
    if (from && to) drawn.push(up(`f-${name}`, from, to, `replicate ${channelTrouble(one) ? "broken" : "on"}`));
  }
  return drawn.filter(Boolean);
}

function down(key, from, to, shiftFrom, shiftTo, kind) {
  const x1 = from.x + shiftFrom, x2 = to.x + shiftTo, y1 = from.bottom, y2 = to.top;
  const bend = Math.min(60, (y2 - y1) * 0.6);
  return wire(key, kind, `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2 - 7}`, head(x2, y2, 0, 1), [(x1 + x2) / 2, (y1 + y2) / 2]);
}

/** To a replica, past the pair on its right. */
function around(key, from, to, gutter, kind) {
  const x1 = from.right, y1 = from.y, x2 = to.right, y2 = to.y - 8, r = 10;
  return wire(key, kind, `M${x1} ${y1}H${gutter - r}Q${gutter} ${y1} ${gutter} ${y1 + r}V${y2 - r}Q${gutter} ${y2} ${gutter - r} ${y2}H${x2 + 7}`,
    head(x2, y2, -1, 0), [gutter, (y1 + y2) / 2]);
}

function up(key, from, to, kind) {
  const x1 = from.x, x2 = to.x, y1 = from.bottom, y2 = to.top;
  const bend = (y2 - y1) * 0.6;
  return wire(key, kind, `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2 - 7}`, head(x2, y2, 0, 1), [(x1 + x2) / 2, (y1 + y2) / 2]);
}

function across(key, from, to, shift, target) {
  const right = to.x > from.x;
  const x1 = right ? from.right : from.left, x2 = right ? to.left : to.right;
  const y = (from.y + to.y) / 2 + shift, way = right ? 1 : -1;
  const kind = `replicate ${channelTrouble(target) ? "broken" : "on"}`;
  return wire(key, kind, `M${x1} ${y}L${x2 - 7 * way} ${y}`, head(x2, y, way, 0), [(x1 + x2) / 2, y]);
}

function head(x, y, dx, dy) {
  const [px, py] = [-dy * 4.5, dx * 4.5], [bx, by] = [x - dx * 8, y - dy * 8];
  return `M${x} ${y}L${bx + px} ${by + py}L${bx - px} ${by - py}Z`;
}

function wire(key, kind, path, arrow, [x, y]) {
  return h("g", { key, class: `wire ${kind}` },
    h("path", { class: "line", d: path }),
    h("path", { class: "head", d: arrow }),
    kind.endsWith("broken") ? h("path", { class: "cross", d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` }) : null);
}
