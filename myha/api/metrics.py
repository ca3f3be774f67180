"""/metrics for Prometheus: what is known, as it is asked for, and what has been counted since this
process began."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from myha import __version__
from myha.api.counted import Counted, Lengths
from myha.api.metric_table import METRICS, PREFIX
from myha.api.rates import transactions
from myha.api.statuses import jobs_of, looked_at, servers_of
from myha.core.events import Kind, severity_of
from myha.core.node import Contact, ThreadState
from myha.core.record import Membership, Sync
from myha.supervisor.overview import NO_SUPERVISOR, PairLine
from myha.supervisor.status import NodeStatus, SeenNodeStatus, Status
from myha.supervisor.turns import BOUNDS_SECONDS

Data = dict[str, Any]
Values = tuple[str, ...]


class Gathered(Collector):
    """One scrape: families in the order of the table, filled from what is known."""

    def __init__(self) -> None:
        self._samples: dict[str, list[tuple[Values, float]]] = defaultdict(list)
        self._lengths: dict[str, list[tuple[Values, Lengths]]] = defaultdict(list)

    def add(self, name: str, value: float | bool | None, *labels: str) -> None:
        """Nothing where it is not known."""
        if value is not None:
            self._samples[name].append((labels, float(value)))

    def add_lengths(self, name: str, lengths: Lengths, *labels: str) -> None:
        self._lengths[name].append((labels, lengths))

    def collect(self) -> Iterator[Family]:
        for name, metric in METRICS.items():
            full = PREFIX + name
            if metric.kind == "histogram":
                lengths = HistogramMetricFamily(full, metric.help, labels=metric.labels)
                for labels, one in self._lengths[name]:
                    lengths.add_metric(labels, one.buckets(), one.total_seconds)
                yield lengths
                continue
            make = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
            family = make(full, metric.help, labels=metric.labels)
            for labels, value in self._samples[name]:
                family.add_metric(labels, value)
            yield family


def exposition(gathered: Gathered) -> bytes:
    """In Prometheus' text format, with what is known of this process itself."""
    registry = CollectorRegistry()
    registry.register(gathered)
    ProcessCollector(namespace=f"{PREFIX}api", pid=os.getpid, registry=registry)
    GCCollector(registry)
    return generate_latest(registry)


def gather(
    supervisor: Data,
    lines: Iterable[PairLine],
    statuses: Iterable[tuple[str, Status]],
    counted: Counted,
) -> Gathered:
    """Everything but what is in files."""
    found = Gathered()
    found.add("supervisor_up", supervisor["answering"])
    found.add("supervisor_silent_seconds", supervisor["silent_seconds"])
    found.add("build_info", 1, __version__)
    for line in lines:
        found.add("pair_supervised", line.verdict != NO_SUPERVISOR, line.name)
        found.add("pair_healthy", line.healthy, line.name)
    for name, status in statuses:
        _add_pair(found, name, status)
        _add_nodes(found, name, status)
        _add_balancers(found, name, status)
        found.add("conflicts_total", counted.conflicts[name], name)
    counted.add_to(found)
    return found


def _add_pair(found: Gathered, name: str, status: Status) -> None:
    found.add("pair_info", 1, name, status.mode.value, status.durability.value)
    found.add("pair_settled", status.settled, name)
    for verdict in status.verdicts:
        severity = severity_of(Kind.VERDICT, {"verdict": verdict.name})
        in_force = verdict.name == status.verdict
        found.add("pair_verdict", in_force, name, verdict.name, severity)
    found.add("pair_epoch", status.epoch, name)
    found.add("pair_armed", status.sync is Sync.ARMED, name)
    found.add("pair_maintenance", status.maintenance, name)
    found.add("pair_plan_running", status.running is not None, name)
    found.add("pair_refusals", len(status.refusals), name)
    found.add("pair_incidents", len(status.incidents), name)
    found.add("pair_lease_held", not status.lease_failure, name)
    found.add("pair_config_changed", status.config_changed, name)
    found.add("pair_journal_failed", bool(status.journal_failure), name)
    found.add("pair_dns_failed", bool(status.dns_failure), name)
    for job in jobs_of(status):
        labels = (name, job.kind, job.node)
        found.add("job_running", 1, *labels)
        percent = job.percent
        found.add("job_progress_ratio", None if percent is None else percent / 100, *labels)
    if loop := status.loop:
        lengths = Lengths(BOUNDS_SECONDS, list(loop.by_length), loop.busy_seconds)
        found.add_lengths("loop_turn_seconds", lengths, name)


def _add_nodes(found: Gathered, pair: str, status: Status) -> None:
    for node, seen in servers_of(status).items():
        _add_record(found, pair, node, seen, writer=status.writer == node)
        if isinstance(seen, SeenNodeStatus):
            kind = "replica" if node in status.replicas else "node"
            found.add("node_info", 1, pair, node, kind, seen.version)
        if (looked := looked_at(seen)) is not None:
            _add_look(found, pair, node, looked)
    for node, pulse in status.pulse.items():
        latency = pulse.latency_ms
        found.add(
            "node_pulse_latency_seconds", None if latency is None else latency / 1000, pair, node
        )
        found.add("node_pulse_stalled_seconds", pulse.stalled_seconds, pair, node)


def _add_record(found: Gathered, pair: str, node: str, seen: NodeStatus, *, writer: bool) -> None:
    found.add("node_up", seen.contact is Contact.ANSWERING, pair, node)
    found.add("node_writer", writer, pair, node)
    found.add("node_member", seen.membership is Membership.MEMBER, pair, node)
    found.add("node_fenced", seen.fenced, pair, node)


def _add_look(found: Gathered, pair: str, node: str, seen: SeenNodeStatus) -> None:
    found.add("node_open", seen.open, pair, node)
    found.add("node_lag_seconds", seen.lag_seconds, pair, node)
    found.add("node_lag_transactions", seen.lag_transactions, pair, node)
    found.add("node_lag_bytes", seen.lag_bytes, pair, node)
    for thread, its in (("receiver", seen.receiver), ("applier", seen.applier)):
        runs = its.state is ThreadState.RUNNING
        found.add("node_thread_running", runs, pair, node, thread)
    found.add("node_sessions", seen.sessions, pair, node)
    found.add("node_writes_stalled_seconds", seen.writes_stalled_seconds, pair, node)
    found.add("node_executed_transactions_total", transactions(seen.executed), pair, node)
    found.add("node_waits_for_standby", seen.semisync.source_waits, pair, node)
    waiting = seen.semisync.waiting_sessions
    found.add("node_semisync_waiting_sessions", waiting, pair, node)


def _add_balancers(found: Gathered, pair: str, status: Status) -> None:
    for name, balancer in status.balancers.items():
        found.add("balancer_up", balancer.answering, pair, name)
        if not balancer.answering:
            continue
        for route in balancer.routes:
            labels = (pair, name, route.pool, route.node)
            found.add("route_takes_traffic", route.takes_traffic, *labels)
            found.add("route_sessions", route.sessions, *labels)
