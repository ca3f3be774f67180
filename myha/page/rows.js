// Rows beside each other: what a conflict made of one, and what a heal took out.

import { h } from "./dom.js";
import { cell, moment, plural } from "./format.js";
import { chip, command, nothing, panel } from "./parts.js";

const CONFLICTS_SHOWN = 20;

// -- conflicts -------------------------------------------------------------------------------------

export function conflicts(lines) {
  if (!lines.length) return null;
  const shown = lines.slice(-CONFLICTS_SHOWN).reverse();
  return panel("conflicts", "Conflicts", { aside: chip("warn", plural(lines.length, "conflict")) },
    h("ul", { class: "plain" }, shown.map((line) => h("li", { key: line.id },
      line.first?.node ? h("details", {},
        h("summary", {}, h("span", { class: "what" }, h("b", {}, line.table), ` ${line.key} ${valuesOf(line.values)}`),
          h("span", { class: "faint" }, `${line.first.change} on ${line.first.node}, ${line.second.change} on ${line.second.node} · ${moment(line.wall)}`)),
        sides(line.first, line.second)) : h("p", {}, line.text)))));
}

function valuesOf(values) {
  return Object.entries(values ?? {}).map(([name, value]) => `${name}=${cell(value)}`).join(", ");
}

/** A line of the journal as the API gives conflicts: the two writes as objects. */
export function conflictOf(line) {
  const side = (name) => ({
    node: line[`${name}_node`],
    gtid: line[`${name}_gtid`],
    change: line[`${name}_change`],
    before: parsed(line[`${name}_before`]),
    after: parsed(line[`${name}_after`]),
  });
  return { ...line, values: parsed(line.values), first: side("first"), second: side("second") };
}

function sides(first, second) {
  const images = [first.before, first.after, second.before, second.after].map((image) => image ?? {});
  const columns = [...new Set(images.flatMap((image) => Object.keys(image)))];
  const heads = ["column", "before", `on ${first.node}`, `on ${second.node}`];
  return table(heads, columns.map((column) => {
    const before = column in images[0] ? images[0][column] : images[2][column];
    return [column, before, images[1][column], images[3][column]];
  }), (values, index) => index > 1 && cell(values[index]) !== cell(values[1]));
}

function parsed(value) {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

// -- quarantine ------------------------------------------------------------------------------------

/** `opened`: by id, what was read of an incident; `open(id)` reads it. */
export function quarantine(list, opened, open) {
  if (!list.length) return null;
  return panel("quarantine", "Quarantine", { aside: chip("warn", plural(list.length, "incident")) },
    h("p", { class: "faint" }, "What heals took out of the live data, complete and replayable."),
    h("ul", { class: "plain" }, list.map((one) => h("li", { key: one.id },
      h("details", { on: { toggle: (event) => { if (event.target.open) open(one.id); } } },
        h("summary", {},
          h("span", { class: "what" }, h("b", {}, `${one.kind} of ${one.node}`), ` ${plural(one.transactions, "transaction")}, ${plural(one.rows, "row")}`),
          h("span", { class: "faint" }, moment(Date.parse(one.at) / 1000), one.merged ? ` · ${one.merged} merged` : "")),
        h("div", { class: "incident-body", tabindex: "0", role: "region", "aria-label": `rows of ${one.id}` }, incident(one, opened[one.id])))))));
}

function incident(one, read) {
  if (!read) return h("p", { class: "faint" }, "reading…");
  if (read.error) return h("p", { class: "why" }, read.error);
  const rows = read.of_rows.filter((row) => !String(row.table).startsWith("myha."));
  return [
    h("p", {}, "Try it on the writer, without keeping anything: ", command(`myha quarantine replay ${one.id}`)),
    rows.length ? rows.map((row, index) => change(row, index)) : nothing("No rows of yours; its files tell the rest."),
    read.next_offset !== null ? h("p", { class: "faint" }, "All of it: ", command(`myha quarantine show ${one.id} --all`)) : null,
  ];
}

function change(row, index) {
  const before = imageOf(row.before), after = imageOf(row.after);
  const columns = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return h("div", { class: "row-change", key: index },
    h("p", {}, h("b", {}, row.table), ` ${row.change} `, h("span", { class: "faint" }, row.gtid ?? "")),
    table(["column", "before", "after"], columns.map((column) => [column, before?.[column], after?.[column]]),
      (values, at) => at > 0 && before !== null && after !== null && cell(values[1]) !== cell(values[2]),
      [before === null ? 1 : -1, after === null ? 2 : -1]));
}

/** Values by column; what could not be split into columns is shown as it is. */
function imageOf(image) {
  if (image === null || image === undefined) return null;
  return typeof image === "object" ? image : { row: image };
}

// -- both ------------------------------------------------------------------------------------------

/** `differs(values, index)`: whether a cell is to be marked; `absent`: columns without a row. */
function table(heads, rows, differs, absent = []) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "values, side by side" }, h("table", { class: "values" },
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((values) => h("tr", {},
      values.map((value, index) => index === 0 ? h("th", { scope: "row" }, value)
        : absent.includes(index) ? h("td", { class: "absent" }, "no row")
          : h("td", { class: `${differs(values, index) ? "differs" : ""} ${value === null || value === undefined ? "null" : ""}` },
            differs(values, index) ? h("span", { class: "mark", title: "differs" }, "≠ ") : null, cell(value))))))));
}
