// Lag, write rate and latency of the last hour, as small plots with one line for each node.

import { h } from "./dom.js";
import { clock, duration, milliseconds, short } from "./format.js";

const HOUR = 3600;
const SPANS = [300, 900, 1800, HOUR];
const HEIGHT = 104, LEFT = 30, BOTTOM = 16, TOP = 6;

export const METRICS = [
  { id: "lag_seconds", title: "Lag", unit: "s", floor: 0.1, show: duration },
  { id: "transactions_per_second", title: "Writes", unit: "transactions/s", floor: 10, show: (v) => `${short(v)}/s` },
  { id: "pulse_latency_ms", title: "Pulse", unit: "ms", floor: 10, show: milliseconds },
];

/** `series`: by metric, by node, lists of [wall, value]. `nodes`: all names, in the order in which
 * they are told apart. `cursor`: a wall time, or null; `width` in pixels. */
export function plots({ series, nodes, now, cursor, width, point }) {
  return h("div", { class: "plots" }, METRICS.map((metric) => plot(metric, series[metric.id] ?? {}, { nodes, now, span: spanOf(series, now), cursor, width, point })));
}

/** How many seconds are drawn: an hour, or less where less is known. */
function spanOf(series, now) {
  const first = Object.values(series).flatMap(Object.values).map((points) => points[0]?.[0] ?? now);
  const known = now - Math.min(now, ...first);
  return SPANS.find((span) => span >= known) ?? HOUR;
}

function plot(metric, lines, { nodes, now, span, cursor, width, point }) {
  const names = nodes.filter((name) => name in lines);
  const values = names.flatMap((name) => lines[name].map(([, value]) => value)).filter(Number.isFinite);
  const top = niceTop(Math.max(metric.floor, ...values.length ? [maximum(values)] : []));
  const x = (wall) => LEFT + (width - LEFT) * (1 - (now - wall) / span);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const at = cursor ?? now;
  return h("figure", { class: "plot", key: metric.id },
    h("figcaption", {},
      h("b", {}, metric.title), " ", h("span", { class: "faint" }, metric.unit),
      h("span", { class: "legend" }, names.map((name) => h("span", { key: name, class: `key line-${nodes.indexOf(name) % 4}` },
        h("svg", { viewBox: "0 0 18 6", "aria-hidden": "true" }, h("path", { d: "M0 3H18" })), name, " ",
        h("b", {}, told(metric, lines[name], at, cursor === null)))))),
    h("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`, class: "chart", role: "img", tabindex: "0",
      "aria-label": spoken(metric, lines, names, span),
      on: {
        pointermove: (event) => point(wallAt(event, now, span, width)),
        pointerleave: () => point(null),
        blur: () => point(null),
        keydown: (event) => moved(event, at, now, span, point),
      },
    },
      [0, 0.5, 1].map((part) => h("g", { class: "grid", key: `y${part}` },
        h("path", { d: `M${LEFT} ${y(top * part)}H${width}` }),
        part === 0.5 ? null : h("text", { x: LEFT - 5, y: y(top * part) + 3.5, "text-anchor": "end" }, short(top * part)))),
      (width > 260 ? [1, 2 / 3, 1 / 3, 0] : [1, 0]).map((part) => Math.round(part * span / 60)).map((minutes, index) => h("text", { class: "tick", key: `x${minutes}`, y: HEIGHT - 3,
        x: Math.min(width, Math.max(LEFT, x(now - minutes * 60))), "text-anchor": index === 0 ? "start" : minutes ? "middle" : "end" },
        minutes ? `−${minutes} min` : "now")),
      names.map((name) => h("path", { key: `l-${name}`, class: `series line-${nodes.indexOf(name) % 4}`, d: pathOf(lines[name], x, y, now - span) })),
      cursor === null ? null : h("path", { class: "cursor", key: "cursor", d: `M${x(cursor)} ${TOP}V${HEIGHT - BOTTOM}` })),
    h("p", { class: "at faint", "aria-live": "off" }, cursor === null ? "" : `at ${clock(cursor)}`));
}

function maximum(values) {
  return values.reduce((most, one) => Math.max(most, one), 0);
}

function niceTop(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value * 1.0001) ?? value;
}

/** At most one highest and one lowest point for each column, so that no spike is lost. */
function pathOf(points, x, y, since) {
  const columns = new Map();
  for (const [wall, value] of points) {
    if (wall < since) continue;
    const column = Math.round(x(wall));
    const found = columns.get(column);
    if (!Number.isFinite(value)) columns.set(column, found ?? null);
    else if (!found) columns.set(column, [value, value]);
    else columns.set(column, [Math.min(found[0], value), Math.max(found[1], value)]);
  }
  let path = "", before = null;
  for (const [column, found] of [...columns].sort((one, other) => one[0] - other[0])) {
    if (found === null) { before = null; continue; }
    const gap = before === null || column - before > 8;
    path += `${gap ? "M" : "L"}${column} ${y(found[1]).toFixed(1)}`;
    if (found[0] !== found[1]) path += `V${y(found[0]).toFixed(1)}`;
    else if (gap) path += "h0.6";
    before = column;
  }
  return path;
}

function nearest(points, wall, last) {
  for (let number = points.length - 1; number >= 0; number -= 1) {
    if (points[number][0] <= wall + 0.01) {
      return last || wall - points[number][0] < 60 ? points[number][1] : null;
    }
  }
  return null;
}

function told(metric, points, wall, last) {
  const value = nearest(points, wall, last);
  return Number.isFinite(value) ? metric.show(value) : "–";
}

function spoken(metric, lines, names, span) {
  const told = names.map((name) => {
    const values = lines[name].map(([, value]) => value).filter(Number.isFinite);
    if (!values.length) return `${name}: nothing known`;
    return `${name}: ${metric.show(values.at(-1))} now, at most ${metric.show(maximum(values))}`;
  });
  return `${metric.title} of the last ${duration(span)}. ${told.join("; ")}`;
}

function wallAt(event, now, span, width) {
  const box = event.currentTarget.getBoundingClientRect();
  const part = ((event.clientX - box.left) / box.width * width - LEFT) / (width - LEFT);
  return now - span * (1 - Math.min(1, Math.max(0, part)));
}

function moved(event, at, now, span, point) {
  const by = { ArrowLeft: -span / 60, ArrowRight: span / 60, Home: -span, End: span }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  point(Math.min(now, Math.max(now - span, at + by)));
}
