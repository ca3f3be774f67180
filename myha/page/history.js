// The values of the last hour, for the plots: read once, then added to.

const HOUR = 3600;
const METRICS = ["lag_seconds", "transactions_per_second", "pulse_ms"];

export class History {
  /** `found` is an answer of the API: {nodes: {NAME: {METRIC: [[wall, value], ...]}}}. */
  constructor(found) {
    this.series = Object.fromEntries(METRICS.map((name) => [name, {}]));
    this.add(found);
  }

  add(found) {
    for (const [node, of] of Object.entries(found.nodes ?? {})) {
      for (const metric of METRICS) this.append(metric, node, of[metric] ?? []);
    }
  }

  append(metric, node, points) {
    const mine = this.series[metric];
    const had = mine[node] ?? [];
    const last = had.at(-1)?.[0] ?? 0;
    const fresh = points.filter(([wall]) => wall > last);
    if (!fresh.length && (node in mine || !points.length)) return;
    const since = (fresh.at(-1)?.[0] ?? last) - HOUR;
    mine[node] = [...had.filter(([wall]) => wall >= since), ...fresh];
  }

  /** A status between two answers moves the lag on. */
  seen(status) {
    const now = Date.now() / 1000;
    for (const [name, node] of Object.entries({ ...status.nodes, ...status.replicas })) {
      if (name !== status.writer && Number.isFinite(node.lag_seconds)) this.append("lag_seconds", name, [[now, node.lag_seconds]]);
    }
  }
}
