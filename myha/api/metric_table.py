"""Every metric: its name, kind, help and labels. `docs/metrics.md` has the same table.

Names and units are by the conventions of Prometheus: base units, `_total` for what only grows,
1 and 0 for what is so or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


PAIR, NODE = ("pair",), ("pair", "node")
ROUTE = ("pair", "balancer", "pool", "node")

_TABLE = (
    Metric("supervisor_up", "gauge", "1 while the supervisor answers."),
    Metric("supervisor_silent_seconds", "gauge", "Since when it has not; 0 while it answers."),
    Metric("build_info", "gauge", "Always 1; the version of myha.", ("version",)),
    Metric("pair_supervised", "gauge", "1 while a supervisor looks after the pair.", PAIR),
    Metric("pair_healthy", "gauge", "1 while the pair and its replicas are healthy.", PAIR),
    Metric(
        "pair_info",
        "gauge",
        "Always 1; how the pair is configured.",
        ("pair", "mode", "durability"),
    ),
    Metric("pair_settled", "gauge", "1 when all was looked at since the last plan.", PAIR),
    Metric(
        "pair_verdict",
        "gauge",
        "1 for the verdict in force, 0 for others that hold.",
        ("pair", "verdict", "severity"),
    ),
    Metric("pair_epoch", "gauge", "Grows at every change of writer.", PAIR),
    Metric("pair_armed", "gauge", "1 while the writer waits for the standby.", PAIR),
    Metric("pair_maintenance", "gauge", "1 while maintenance is on.", PAIR),
    Metric("pair_plan_running", "gauge", "1 while a plan is under way.", PAIR),
    Metric("pair_refusals", "gauge", "How many plans are refused for now.", PAIR),
    Metric("pair_incidents", "gauge", "How many plans have failed and not succeeded since.", PAIR),
    Metric("pair_lease_held", "gauge", "1 while the supervisor may act on the pair.", PAIR),
    Metric("pair_config_changed", "gauge", "1 while the file is not what is in force.", PAIR),
    Metric("pair_journal_failed", "gauge", "1 while the journal cannot be written.", PAIR),
    Metric("pair_dns_failed", "gauge", "1 while the name does not follow the writer.", PAIR),
    Metric("job_running", "gauge", "1 for each job that runs.", ("pair", "kind", "node")),
    Metric(
        "job_progress_ratio",
        "gauge",
        "How far a job is, if known.",
        ("pair", "kind", "node"),
    ),
    Metric("node_up", "gauge", "1 while the node answers the supervisor.", NODE),
    Metric(
        "node_info",
        "gauge",
        "Always 1; kind is node or replica, version the server's.",
        ("pair", "node", "kind", "version"),
    ),
    Metric("node_writer", "gauge", "1 for the writer on record.", NODE),
    Metric("node_open", "gauge", "1 while the node takes writes.", NODE),
    Metric("node_member", "gauge", "1 while the node is a member on record.", NODE),
    Metric("node_fenced", "gauge", "1 while the node is fenced on record.", NODE),
    Metric("node_lag_seconds", "gauge", "How old what was applied last is.", NODE),
    Metric("node_lag_transactions", "gauge", "Received and not applied yet.", NODE),
    Metric("node_lag_bytes", "gauge", "The same in bytes of the relay log, if known.", NODE),
    Metric(
        "node_thread_running",
        "gauge",
        "1 while a replication thread runs: receiver or applier.",
        ("pair", "node", "thread"),
    ),
    Metric("node_sessions", "gauge", "Sessions of clients on the node.", NODE),
    Metric("node_writes_stalled_seconds", "gauge", "For how long no commit has finished.", NODE),
    Metric("node_executed_transactions_total", "counter", "What the node has executed.", NODE),
    Metric("node_waits_for_standby", "gauge", "1 while commits wait for semi-sync.", NODE),
    Metric("node_semisync_waiting_sessions", "gauge", "Sessions that wait for it now.", NODE),
    Metric("node_pulse_latency_seconds", "gauge", "How long writing the heartbeat took.", NODE),
    Metric("node_pulse_stalled_seconds", "gauge", "For how long that has not finished.", NODE),
    Metric("balancer_up", "gauge", "1 while the balancer answers.", ("pair", "balancer")),
    Metric("route_takes_traffic", "gauge", "1 while the balancer routes to the node.", ROUTE),
    Metric("route_sessions", "gauge", "Sessions through the balancer.", ROUTE),
    Metric("loop_turn_seconds", "histogram", "How long the turns of the pair's loop take.", PAIR),
    Metric(
        "plan_seconds",
        "histogram",
        "Changes of writer, from the plan's beginning to its end.",
        ("pair", "plan", "outcome"),
    ),
    Metric(
        "plan_step_seconds",
        "histogram",
        "Their steps: the phases of a failover.",
        ("pair", "plan", "step"),
    ),
    Metric("events_total", "counter", "Lines of the journal.", ("pair", "kind", "severity")),
    Metric("conflicts_total", "counter", "Conflicting writes told of in the journal.", PAIR),
    Metric("quarantine_incidents", "gauge", "Incidents in quarantine.", PAIR),
    Metric("quarantine_rows", "gauge", "Rows in quarantine.", PAIR),
    Metric("api_requests_total", "counter", "Requests over HTTP.", ("status",)),
    Metric("api_connections", "gauge", "Connections that are open."),
    Metric("api_listeners", "gauge", "Who listens to the stream."),
)

METRICS = {metric.name: metric for metric in _TABLE}
PREFIX = "myha_"
