// The values of the last hour, for the plots: read once, then added to. Pure but for the clock.

const HOUR = 3600;
const METRICS = ["lag_seconds", "transactions_per_second", "pulse_latency_ms"];

export class History {
  /** `found` is an answer of the API: `at`, seconds since the epoch, and `nodes` with lists as long. */
  constructor(found) {
    this.version = 0; // grows with what is added
    this.series = Object.fromEntries(METRICS.map((name) => [name, {}]));
    this.add(found);
  }

  add({ at, nodes }) {
    this.version += 1;
    for (const [node, of] of Object.entries(nodes)) {
      for (const metric of METRICS) {
        this.append(metric, node, of[metric].map((value, index) => [at[index], value]));
      }
    }
  }

  append(metric, node, points) {
    const mine = this.series[metric];
    const had = mine[node] ?? [];
    const last = had.at(-1)?.[0] ?? 0;
    const fresh = points.filter(([wall]) => wall > last);
    const known = node in mine || fresh.some(([, value]) => value !== null);
    if (!fresh.length || !known) return;
    const since = fresh.at(-1)[0] - HOUR;
    mine[node] = [...had.filter(([wall]) => wall >= since), ...fresh];
  }
}
