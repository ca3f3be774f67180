// Plans as timelines: what the journal's lines say of each, in order. Pure.

// What a step that has ended means on the way to the next write.
const PHASES = {
  record: "recorded",
  "stop-receiver": "cut",
  "take-out": "fenced",
  close: "closed",
  "await-near": "near",
  "await-applied": "applied",
  "await-caught-up": "applied",
  "disable-waiting": "released",
  "enable-waiting": "armed",
  open: "opened",
  "put-in": "routed",
  "prove-write": "written",
};
const TAKEOVERS = new Set(["failover", "switchover", "reinstate", "install"]);

/** Plans out of journal lines, the latest first: {id, plan, node, text, wall, ended, failed, steps}.
 * `wall` is when it began, in seconds since the epoch; a step has `began` and `ended` in ms from
 * there, and `beside` where it runs beside the others. */
export function timelines(lines, wanted = TAKEOVERS) {
  const found = [];
  let running = null;
  for (const line of lines) {
    if (!wanted.has(line.plan)) continue;
    if (line.kind === "plan") {
      running = begun(line);
      found.push(running);
    } else if (running === null || line.plan !== running.plan || line.node !== running.node) {
      continue;
    } else if (line.kind === "step" || line.kind === "step-failed") {
      running.steps.push(stepOf(line, running));
    } else if (line.kind === "plan-done" || line.kind === "plan-failed") {
      running.ended = since(line, running);
      running.failed = line.kind === "plan-failed" ? line.text : "";
    }
  }
  return found.reverse();
}

/** One that the API has put together, in the same form. */
export function told({ id, plan, node, sentence, began_wall: wall, total_ms: ended, outcome, reason, phases }) {
  const failed = outcome === "done" || outcome === "running" ? "" : reason || outcome;
  const steps = phases.map((one) => ({
    name: one.step,
    phase: PHASES[one.step] ?? "",
    text: one.text,
    began: one.began_ms,
    ended: one.ended_ms,
    beside: one.beside,
    failed: one.failed,
  }));
  return { id, plan, node, text: sentence, wall, ended, failed, steps };
}

function begun(line) {
  const { id, plan, node, text, wall, at } = line;
  return { id, plan, node, text, wall, at, ended: null, failed: "", steps: [] };
}

function since(line, running) {
  return Math.max(0, (line.at - running.at) * 1000);
}

function stepOf(line, running) {
  const ended = since(line, running);
  const took = Number(line.took_ms ?? 0);
  return {
    name: line.step ?? "",
    phase: PHASES[line.step] ?? "",
    text: line.text,
    began: Math.max(0, ended - took),
    ended,
    beside: line.beside === "yes",
    failed: line.kind === "step-failed",
  };
}
