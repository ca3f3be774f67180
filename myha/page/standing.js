// What a status means for a person: how bad it is, and the three facts asked first. Pure.
//
// How bad follows from what clients feel, and not from a list of verdicts: a verdict that this page
// does not know of is judged like all others.

/** How bad: what is drawn, and said, for each. */
export const LEVELS = {
  ok: { word: "healthy", sign: "✓" },
  busy: { word: "under way", sign: "↻" },
  warn: { word: "needs attention", sign: "!" },
  bad: { word: "writes are down", sign: "✕" },
  unknown: { word: "not known", sign: "?" },
};

/** {level, facts}: each fact has a level, a heading and a text. */
export function standing(status) {
  if (status.supervisor) {
    return {
      level: "bad",
      word: "no supervisor",
      facts: [{ level: "bad", name: "Supervisor", text: status.supervisor }],
    };
  }
  const facts = [writes(status), protection(status), reads(status)];
  return { level: levelOf(status, facts), word: "", facts };
}

function levelOf(status, facts) {
  if (facts[0].level === "bad") return "bad";
  if (status.refusals.length || status.lease_failure || fenced(status).length) return "warn";
  if (status.running) return "busy";
  return status.healthy && facts.every((fact) => fact.level === "ok") ? "ok" : "warn";
}

export function fenced(status) {
  return Object.entries(status.nodes).filter(([, node]) => node.fenced).map(([name]) => name);
}

export function answers(node) {
  return node.contact === "answering";
}

/** Who takes writes, and is routed to where there are balancers. */
export function writersServing(status) {
  const routed = routedTo(status, "writer");
  return Object.entries(status.nodes)
    .filter(([name, node]) => answers(node) && node.open && (routed === null || routed.has(name)))
    .map(([name]) => name);
}

/** The nodes that a pool sends clients to; null where no balancer answers. */
export function routedTo(status, pool) {
  const answering = Object.values(status.balancers).filter((one) => one.answering);
  if (!answering.length) return null;
  const routes = answering.flatMap((one) => one.routes);
  return new Set(routes.filter((one) => one.pool === pool && one.takes_traffic).map((one) => one.node));
}

function writes(status) {
  const name = "Writes";
  const serving = writersServing(status);
  const stalled = serving.filter((node) => status.nodes[node].stall_reason);
  if (stalled.length) {
    return { level: "bad", name, text: `${stalled[0]} is stalled: ${status.nodes[stalled[0]].stall_reason}` };
  }
  if (serving.length) return { level: "ok", name, text: `go to ${serving.join(" and ")}` };
  const waits = status.running ? ", and a plan is under way" : "";
  return { level: "bad", name, text: `nobody takes writes${waits}` };
}

function protection(status) {
  const name = "An OK means";
  if (status.durability !== "lossless") {
    const how = { async: "on one node, and sent to the other", bounded: "on one node; the other is close behind" };
    return { level: "ok", name, text: how[status.durability] ?? status.durability };
  }
  if (status.sync === "armed") return { level: "ok", name, text: "on both nodes" };
  return { level: "warn", name, text: "on one node only: it runs alone" };
}

function reads(status) {
  const name = "Reads";
  const routed = routedTo(status, "reader");
  if (routed === null) return { level: "warn", name, text: "no balancer answers" };
  if (!routed.size) return { level: "bad", name, text: "nobody is routed to" };
  return { level: "ok", name, text: `go to ${[...routed].sort().join(", ")}` };
}

/** A pair's line in the list of all. */
export function lineLevel(line) {
  if (line.supervisor) return "bad";
  if (line.healthy) return "ok";
  if (line.running) return "busy";
  return /^(isolated|both-lost|writer-|not-set-up)/.test(line.verdict) ? "bad" : "warn";
}

/** The role of a node in one word, and how it is meant. */
export function role(status, name, node) {
  if (!answers(node)) return { word: { refusing: "down", silent: "silent" }[node.contact] ?? node.contact, level: "bad" };
  if (node.heal && node.cause === "healing") return { word: "healing", level: "busy" };
  if (node.fenced) return { word: "fenced", level: "warn" };
  if (node.membership && node.membership !== "member") return { word: node.membership, level: "warn" };
  if (name === status.writer) return { word: "writer", level: node.open ? "ok" : "bad" };
  if (status.mode === "dual-writer") return { word: "writer", level: "ok" };
  return { word: "standby", level: "ok" };
}

export function replicaRole(replica) {
  if (!answers(replica)) return role({}, "", replica);
  if (replica.cause === "healing") return { word: "healing", level: "busy" };
  if (replica.fenced) return { word: "fenced", level: "warn" };
  return { word: "replica", level: replica.healthy ? "ok" : "warn" };
}

/** Why a replication channel does not flow; empty where it does. */
export function channelTrouble(node) {
  if (!answers(node)) return "no answer";
  for (const [name, thread] of [["receiver", node.receiver], ["applier", node.applier]]) {
    if (thread.state !== "running") return `${name} ${thread.state}${thread.errno ? ` (error ${thread.errno})` : ""}`;
  }
  return "";
}

/** The command that ends a fence by hand, where no refusal names one. */
export function byHand(status) {
  if (status.refusals.some((one) => one.override)) return [];
  const all = { ...status.nodes, ...status.replicas };
  return Object.entries(all)
    .filter(([, node]) => node.fenced && node.cause !== "healing")
    .map(([name, node]) => node.cause === "by-hand"
      ? { name, text: `${name} was fenced by hand`, command: `myha unfence ${name}` }
      : { name, text: `${name} waits to be healed: ${node.reason}`,
          command: `myha heal ${name}${node.cause === "broken" ? " --method reseed" : ""}` });
}
