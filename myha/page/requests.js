// What can be asked for, as data: the fields of each form, and commands as forms. Pure.

/** Fields: `node` (a choice of nodes), `text`, `seconds`, `check`, `choice`. `nodes(status)` says
 * which ones make sense; `danger`: the button is drawn as one that costs something. */
export const REQUESTS = {
  switchover: {
    title: "Switch over",
    about: "Makes the standby the writer, as planned: nothing is lost. Clients reconnect.",
    verb: "Switch over",
    fields: [
      { name: "to", kind: "node", label: "New writer", nodes: (status) => Object.keys(status.nodes).filter((name) => name !== status.writer) },
      { name: "max_outage_seconds", option: "max_outage", kind: "seconds", label: "Writes may stop for (s)", hint: "as configured" },
      { name: "now", kind: "check", label: "At once, however long writes stop" },
    ],
  },
  failover: {
    title: "Fail over",
    about: "Makes the standby the writer when the writer cannot hand over.",
    verb: "Fail over",
    danger: true,
    fields: [
      { name: "to", kind: "node", label: "New writer", nodes: (status) => Object.keys(status.nodes).filter((name) => name !== status.writer) },
      { name: "accept_loss", kind: "check", label: "Accept that acknowledged writes may be missing on it", danger: true },
    ],
  },
  fence: {
    title: "Fence",
    about: "No traffic, read-only, no replication, until it is unfenced or healed.",
    verb: "Fence",
    danger: true,
    fields: [
      { name: "node", kind: "node", label: "Node", nodes: (status) => all(status).filter((name) => name !== status.writer && !of(status, name).fenced) },
      { name: "reason", kind: "text", label: "Reason, kept on record" },
    ],
  },
  unfence: {
    title: "Unfence",
    about: "Lets a fenced node rejoin. It is inspected first, and fenced again if it has errant transactions.",
    verb: "Unfence",
    fields: [{ name: "node", kind: "node", label: "Node", nodes: (status) => all(status).filter((name) => of(status, name).fenced) }],
  },
  heal: {
    title: "Heal",
    about: "Brings a fenced node back; what it has beyond the writer goes to quarantine first.",
    verb: "Heal",
    fields: [
      { name: "node", kind: "node", label: "Node", nodes: (status) => all(status).filter((name) => of(status, name).fenced) },
      { name: "method", kind: "choice", label: "Method", choices: ["auto", "resume", "merge", "rewind", "reseed"] },
      { name: "accept_loss", kind: "check", label: "Accept that what cannot be put into quarantine is lost", danger: true },
    ],
  },
  verify: {
    title: "Verify",
    about: "Compares the rows of both nodes while they serve, in a job that can be watched here.",
    verb: "Compare",
    fields: [],
  },
  maintenance: {
    title: "Maintenance",
    about: "While it is on, myha observes and does not act.",
    verb: "Change",
    fields: [{ name: "state", kind: "choice", label: "Maintenance", choices: ["on", "off"], first: (status) => (status.maintenance ? "off" : "on") }],
  },
};

function all(status) {
  return [...Object.keys(status.nodes), ...Object.keys(status.replicas ?? {})];
}

function of(status, name) {
  return status.nodes[name] ?? status.replicas[name];
}

/** What a field would offer just now. */
export function choices(field, status) {
  return field.kind === "node" ? field.nodes(status) : field.choices ?? [];
}

/** Whether a form makes sense just now: each node that it needs has at least one choice. */
export function possible(name, status) {
  return REQUESTS[name].fields.every((field) => field.kind !== "node" || field.nodes(status).length);
}

/** The form for a command that a refusal names: {name, values}, or null where the page has none. */
export function formOf(command) {
  const [program, name, ...words] = command.split(/\s+/);
  const request = REQUESTS[name];
  if (program !== "myha" || !request) return null;
  const values = {};
  const free = request.fields.filter((field) => ["node", "state"].includes(field.name));
  while (words.length) {
    const word = words.shift();
    if (word === "--pair" || word === "--config") {
      words.shift();
    } else if (word.startsWith("--")) {
      const key = word.slice(2).replaceAll("-", "_");
      const field = request.fields.find((one) => (one.option ?? one.name) === key);
      if (!field) return null;
      values[field.name] = field.kind === "check" ? true : words.shift();
    } else {
      const field = free.shift();
      if (!field) return null;
      values[field.name] = word;
    }
  }
  return { name, values };
}

/** The body of a request out of a form's values: what was left empty is left out. */
export function bodyOf(name, values) {
  const body = {};
  for (const { name: key, kind } of REQUESTS[name].fields) {
    const value = values[key];
    if (value === "" || value === false) continue;
    // What is no number goes as it was typed: the answer then says what is wrong with it.
    const number = Number(value.toString().replace(",", "."));
    body[key] = kind === "seconds" && Number.isFinite(number) ? number : value;
  }
  return body;
}
