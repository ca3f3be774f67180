"""What a heal would do: what is errant, which methods apply or why not, how long each may take.

Reads only. What it says holds for the moment: a heal looks again before it changes anything.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.core.gtid import GtidSet
from myha.core.protocols.healing import METHODS
from myha.core.record import NodeRecord, Record
from myha.errors import MyhaError, ServerError
from myha.operations.log_in import connector
from myha.progress import Reporter, amount, duration
from myha.servers.base import BaseServer
from myha.servers.factory import adapter_of, make_followers, make_servers
from myha.stores.factory import read_follower, require_record
from myha.undo.inverse import TableCounts
from myha.undo.rewind import RewindPlan, plan_rewind

TABLES_TOLD = 20
# What this program was seen to do at least on a machine of two cores; a guess for any other.
UNDO_ROWS_PER_SECOND = 5_000.0
CHECK_ROWS_PER_SECOND = 1_000.0
COPY_BYTES_PER_SECOND = 60_000_000.0
FIXED_SECONDS = 3.0  # processes, sessions, replication that connects


@dataclass(frozen=True, slots=True)
class MethodPlan:
    """One method: what it would do, or (`refused`) why it does not apply. `seconds` is a guess."""

    method: str
    does: str = ""
    refused: str = ""
    seconds: float | None = None

    def line(self) -> str:
        if self.refused:
            return f"{self.method}: does not apply: {self.refused}"
        about = "" if self.seconds is None else f"; about {duration(self.seconds)}, then verified"
        return f"{self.method}: {self.does}{about}"


@dataclass(frozen=True, slots=True)
class HealPlan:
    """`errant` None: not to be known, since the node does not answer."""

    node: str
    writer: str
    standing: str
    errant: GtidSet | None
    contents: RewindPlan | None
    methods: tuple[MethodPlan, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def possible(self) -> bool:
        return any(not one.refused for one in self.methods)

    def lines(self) -> list[str]:
        found = [f"{self.node}: {self.standing}; the writer is {self.writer}", *self.problems]
        if self.errant is None:
            found.append("its errant transactions cannot be determined")
        elif self.errant.is_empty():
            found.append(f"no errant transactions: {self.writer} has all that {self.node} has")
        else:
            found.append(f"errant: {self.errant.count()} transactions: {self.errant}")
        if self.contents is not None:
            found += _contents(self.contents)
        found.append("methods, in the order in which they would be tried:")
        found += [f"  {one.line()}" for one in self.methods]
        if not self.methods:
            found.append("  none: heal.policy names no method; name one with --method")
        return found


def _contents(plan: RewindPlan) -> list[str]:
    size = amount(plan.size_bytes, "bytes")
    lines = [f"  {plan.transactions} transactions with {plan.rows} rows, {size} of binary log"]
    for name, counts in sorted(plan.tables.items())[:TABLES_TOLD]:
        lines.append(f"  {name}: {_counts(counts)}")
    if len(plan.tables) > TABLES_TOLD:
        lines.append(f"  and {len(plan.tables) - TABLES_TOLD} more tables")
    return lines


def _counts(counts: TableCounts) -> str:
    parts = {"inserted": counts.inserted, "updated": counts.updated, "deleted": counts.deleted}
    return ", ".join(f"{number} {what}" for what, number in parts.items() if number)


def plan_heal(config: Config, node: str, method: str, reporter: Reporter) -> HealPlan:
    """What `myha heal` would do. Raises `MyhaError` when NODE cannot be healed."""
    record = require_record(config)
    if node not in config.servers:
        raise MyhaError(f"there is no node {node}; the nodes are {' and '.join(config.servers)}")
    if node == record.writer:
        raise MyhaError(f"{node} is the writer: its data is the pair's data")
    return _Planner(config, record, node, reporter).plan(_methods(config, method))


def _standing(config: Config, record: Record, node: str) -> NodeRecord:
    if node not in config.replicas:
        return record.node(node)
    replica = read_follower(config, node)
    if replica is None:
        raise MyhaError(f"{node} is not on record; run `myha setup`")
    return replica.entry


def _methods(config: Config, method: str) -> tuple[str, ...]:
    if method != "auto":
        return (method,)
    return tuple(one for one in config.heal.policy if one in METHODS)


class _Planner:
    def __init__(self, config: Config, record: Record, node: str, reporter: Reporter) -> None:
        self.config = config
        self.writer = record.writer
        self.name = node
        self.entry = _standing(config, record, node)
        self.reporter = reporter
        self.kind: type[BaseServer] = adapter_of(config)
        self.servers = make_servers(config, self.kind)
        if node in config.replicas:
            self.servers[node] = make_followers(config, kind=self.kind)[node].server

    def plan(self, methods: tuple[str, ...]) -> HealPlan:
        try:
            histories, problems = self._histories()
            errant = None if histories is None else histories[0].minus(histories[1])
            contents, refused = self._contents(histories)
            plans = tuple(self._method(one, errant, contents, refused) for one in methods)
        finally:
            for server in self.servers.values():
                server.disconnect()
        reason = f" ({self.entry.reason})" if self.entry.reason else ""
        return HealPlan(
            node=self.name,
            writer=self.writer,
            standing=f"{self.entry.membership} on record{reason}",
            errant=errant,
            contents=contents,
            methods=plans,
            problems=problems,
        )

    def _histories(self) -> tuple[tuple[GtidSet, GtidSet] | None, tuple[str, ...]]:
        """The node's first, then the writer's: what that one gets meanwhile is no error."""
        try:
            executed = self.servers[self.name].executed()
        except ServerError as error:
            return None, (f"{self.name} does not answer: {error}",)
        return (executed, self.servers[self.writer].executed()), ()

    def _contents(self, histories: tuple[GtidSet, GtidSet] | None) -> tuple[RewindPlan | None, str]:
        """What the errant transactions hold, or why they cannot be undone or merged exactly."""
        if histories is None:
            return None, "the node does not answer"
        executed, keep = histories
        if executed.minus(keep).is_empty():
            return None, ""
        connect = connector(self.config, self.name, self.config.accounts.supervisor())
        with tempfile.TemporaryDirectory(prefix="myha-plan-") as scratch:
            try:
                plan = plan_rewind(
                    connect,
                    self.kind.flavour,
                    executed,
                    keep,
                    scratch=Path(scratch),
                    reporter=self.reporter,
                )
            except HealRefusedError as error:
                return None, error.reason
        return plan, ""

    def _method(
        self, method: str, errant: GtidSet | None, contents: RewindPlan | None, refused: str
    ) -> MethodPlan:
        if method == "reseed":
            return self._reseed()
        if refused:
            return MethodPlan(method, refused=refused)
        if errant is not None and errant.is_empty():
            return MethodPlan(method, does="nothing to undo or apply; all data is verified")
        rows = contents.rows if contents is not None else 0
        if method == "rewind":
            return MethodPlan(
                method,
                does=f"{rows} rows undone on {self.name} in one transaction, kept in quarantine",
                seconds=FIXED_SECONDS + rows / UNDO_ROWS_PER_SECOND,
            )
        return MethodPlan(
            method,
            does=f"{rows} rows applied on {self.writer}, if each is there still as {self.name} "
            "saw it; all of them are checked first",
            seconds=FIXED_SECONDS + rows / CHECK_ROWS_PER_SECOND,
        )

    def _reseed(self) -> MethodPlan:
        from myha.operations.heal.reseed import ReseedOrder, plan_reseed  # noqa: PLC0415

        order = ReseedOrder(self.config, self.name, self.writer)
        try:
            plan = plan_reseed(order)
        except HealRefusedError as error:
            return MethodPlan("reseed", refused=error.reason)
        except MyhaError as error:
            return MethodPlan("reseed", refused=str(error))
        seconds = FIXED_SECONDS + plan.size_bytes / COPY_BYTES_PER_SECOND
        return MethodPlan("reseed", does=f"all data replaced: {plan}", seconds=seconds)
