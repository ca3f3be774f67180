"""The status of a pair as it is drawn: at any width, with and without colours. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from myha.core.node import Contact, ThreadState
from myha.core.policy import Mode
from myha.core.record import Sync
from myha.supervisor.status import (
    BalancerStatus,
    JobStatus,
    NodeStatus,
    RefusalStatus,
    ReplicaStatus,
    SeenNodeStatus,
    Status,
    ThreadStatus,
)

WIDE_COLUMNS = 76  # below that what can be done without is left out
BAR_CELLS = 20
HEALTHY_REPLICA = "replica-healthy"
_SPARKS = "▁▂▃▄▅▆▇█"
_PLAIN_SPARKS = "_.,-~=+#"


def picture(
    seen: Status,
    width: int,
    lags: Mapping[str, Sequence[float]] | None = None,
    *,
    full_seconds: float = 10.0,
    plain: bool = False,
) -> RenderableType:
    """The whole status. `lags`: each server's latest, for a line of `full_seconds` height.

    `plain`: no characters but ASCII.
    """
    wide = width >= WIDE_COLUMNS
    parts: list[RenderableType] = [_head(seen), _flow(seen, plain=plain)]
    cells = 24 if width >= 100 else 8 if wide else 5
    sparks = {
        name: sparkline(values, full_seconds, cells, plain=plain)
        for name, values in (lags or {}).items()
    }
    parts.append(_nodes(seen, sparks, wide=wide))
    if seen.replicas:
        parts.append(_replicas(seen, sparks, wide=wide))
    parts.append(_balancers(seen))
    return Group(*parts)


def is_utf8(console: Console) -> bool:
    """Whether the terminal shows more than ASCII."""
    return console.encoding.lower().startswith("utf")


def sparkline(values: Sequence[float], full: float, cells: int, *, plain: bool = False) -> str:
    """The latest values, one a cell; what is `full` or more fills its cell."""
    marks = _PLAIN_SPARKS if plain else _SPARKS
    top = len(marks) - 1
    latest = list(values)[-cells:]
    return "".join(marks[min(top, int(top * max(0.0, one) / full + 0.999))] for one in latest)


# --- what is the matter -------------------------------------------------------------------------


def _head(seen: Status) -> RenderableType:
    style = "green" if seen.healthy else "yellow"
    head = Text.assemble((f"{seen.name}: ", "bold"), (seen.verdict, f"bold {style}"))
    lines = [head]
    if seen.supervisor:
        lines.append(Text("From the record, and from what this command itself sees:"))
    lines.append(Text(seen.sentence))
    maintenance = ", maintenance" if seen.maintenance else ""
    lines.append(
        Text(
            f"{seen.mode}, {seen.durability}, epoch {seen.epoch}, writer {seen.writer}, "
            f"{seen.sync}{maintenance}"
        )
    )
    if seen.running:
        lines.append(Text(f"under way: {seen.running}", style="cyan"))
    lines += [_job(job) for job in seen.jobs]
    lines += _refused("", seen.refusals)
    if seen.config_changed:
        lines.append(Text("the configuration file has changed since the start", style="yellow"))
    if seen.lease_failure:
        lines.append(Text(f"the lease: {seen.lease_failure}; this may be old", style="bold red"))
    lines += [Text(failure, style="yellow") for failure in seen.own_failures]
    return Group(*lines)


def _refused(whose: str, refusals: Sequence[RefusalStatus]) -> Iterator[Text]:
    for refusal in refusals:
        yield Text(f"{whose}refused: {refusal.reason}", style="red")
        if refusal.override:
            yield Text(f"  to override: {refusal.override}", style="red")


def _job(job: JobStatus) -> Text:
    return Text(progress_bar(job.percent) + job_line(job), style="cyan")


def progress_bar(percent: float | None) -> str:
    """Empty where nobody knows how much there is to do."""
    if percent is None:
        return ""
    done = int(BAR_CELLS * min(100.0, max(0.0, percent)) / 100)
    return f"[{'#' * done}{'.' * (BAR_CELLS - done)}] "


def job_line(job: JobStatus) -> str:
    """What a job does and how far it is: `heal of db2 by rewind, for 3 s: read 40%, 5 s left`."""
    words = [job.kind]
    if job.node:
        words.append(f"of {job.node}")
    if job.method:
        words.append(f"by {job.method}")
    return f"{' '.join(words)}, for {job.seconds:.0f} s: {job.text}"


# --- who writes and who follows -----------------------------------------------------------------


def _flow(seen: Status, *, plain: bool) -> Text:
    """`a ==> b --> r1`: double where the writer waits for it, broken where nothing arrives."""
    armed, runs, broken = ("==>", "-->", "-x ") if plain else ("══►", "──►", "─✗ ")
    names = [*([seen.writer] if seen.writer else []), *(n for n in seen.nodes if n != seen.writer)]
    flow = Text(names[0], style="bold") if names else Text()
    for name in names[1:]:
        one = seen.nodes[name]
        arrow = broken if not replicates(one) else armed if seen.sync is Sync.ARMED else runs
        flow.append(f" {arrow} ", style="red" if arrow is broken else "")
        flow.append(name)
    for name, replica in seen.replicas.items():
        arrow = runs if replicates(replica) else broken
        flow.append(f"  {arrow} ", style="red" if arrow is broken else "")
        flow.append(name)
    return flow


def replicates(one: NodeStatus) -> bool:
    return (
        isinstance(one, SeenNodeStatus)
        and one.contact is Contact.ANSWERING
        and one.receiver.state is ThreadState.RUNNING
        and one.applier.state is ThreadState.RUNNING
    )


def _table(*columns: str, wide: bool = True) -> Table:
    """Cells are cut off where the terminal is too narrow, never broken: a row is a line."""
    table = Table(box=None, padding=(0, 1 if not wide else 2, 0, 0), header_style="bold dim")
    for column in columns:
        least = 4 if column == "lag" else len(column)
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=least)
    return table


def _nodes(seen: Status, sparks: Mapping[str, str], *, wide: bool) -> RenderableType:
    columns = ["node", "role", "state", "receiver", "applier", "lag", "waits"]
    if wide:
        columns.append("sessions")
    table, notes = _table(*columns, wide=wide), []
    for name, node in seen.nodes.items():
        if node.reason:
            notes.append(Text(f"{name}: {node.reason}", style="red"))
        role = _role(seen, name, node)
        if not isinstance(node, SeenNodeStatus) or node.contact is not Contact.ANSWERING:
            contact = Text(str(node.contact), style="red")
            table.add_row(name, role, contact, *[""] * (len(columns) - 3))
            continue
        alone = name == seen.writer and seen.mode is not Mode.DUAL_WRITER
        row = [
            name,
            role,
            "open" if node.open else "closed",
            thread_text(node.receiver),
            thread_text(node.applier),
            "" if alone else lag_text(node, sparks.get(name, "")),
            "yes" if node.semisync.source_waits else "no",
        ]
        table.add_row(*row, *([str(node.sessions)] if wide else []))
    return Group(Text(), table, *notes)


def _role(seen: Status, name: str, node: NodeStatus) -> str:
    if name == seen.writer:
        return "writer"
    if node.membership != "member":
        return str(node.membership or "?")
    return "writer" if seen.mode is Mode.DUAL_WRITER else "standby"


def _replicas(seen: Status, sparks: Mapping[str, str], *, wide: bool) -> RenderableType:
    columns = ["replica", "follows", "verdict", "lag", "reads"]
    if wide:
        columns[3:3] = ["receiver", "applier"]
    table, notes = _table(*columns, wide=wide), []
    for name, one in seen.replicas.items():
        table.add_row(*_replica(name, one, sparks.get(name, ""), wide=wide))
        if one.verdict != HEALTHY_REPLICA:
            notes.append(Text(f"{name}: {one.sentence}", style="yellow"))
        notes += [_job(job) for job in one.jobs]
        notes += _refused(f"{name}: ", one.refusals)
    return Group(Text(), table, *notes)


def _replica(name: str, one: ReplicaStatus, spark: str, *, wide: bool) -> list[Text | str]:
    threads, lag = ["", ""], ""
    if isinstance(one, SeenNodeStatus) and one.contact is Contact.ANSWERING:
        threads, lag = [thread_text(one.receiver), thread_text(one.applier)], lag_text(one, spark)
    verdict = Text(one.verdict.removeprefix("replica-"), style="" if one.healthy else "yellow")
    reads = {True: "yes", False: "no", None: "as it is"}[one.wanted["reader"]]
    return [name, one.follows or "nobody", verdict, *(threads if wide else []), lag, reads]


def thread_text(thread: ThreadStatus) -> str:
    return str(thread.state) + (f" ({thread.errno})" if thread.errno else "")


def lag_text(node: SeenNodeStatus, spark: str = "") -> str:
    seconds = "?" if node.lag_seconds is None else f"{node.lag_seconds:.2f} s"
    behind = node.lag_transactions
    words = [seconds, f"({behind} to apply)" if behind else "", spark]
    return " ".join(filter(None, words))


def _balancers(seen: Status) -> RenderableType:
    shared = any(one.address for one in seen.balancers.values())
    table = _table("balancer", "writer pool", "reader pool", *(["address"] if shared else []))
    notes = []
    for name, balancer in seen.balancers.items():
        if not balancer.answering:
            table.add_row(name, Text("no answer", style="red"), "")
            notes.append(Text(balancer.error or f"{name} was not seen yet", style="red"))
            continue
        pools: dict[str, list[str]] = {"writer": [], "reader": []}
        for route in balancer.routes:
            if route.takes_traffic and route.pool in pools:
                pools[route.pool].append(f"{route.node} ({route.sessions})")
        cells = [", ".join(pools[pool]) or "nobody" for pool in pools]
        table.add_row(name, *cells, *([_address(balancer)] if shared else []))
    return Group(Text(), table, *notes)


def _address(balancer: BalancerStatus) -> str:
    """Whether it has the shared address, and what keepalived reads there."""
    seen = balancer.address
    if seen is None:
        return "not asked"
    words = ("here" if seen.holds else "", "preferred" if seen.preferred else "")
    return ", ".join(filter(None, (*words, "" if seen.told else "not told"))) or "-"
