"""Both binary logs side by side until told to stop: connections, gaps, lag, and what is found.

One thread reads both streams in turns, so that the detector needs no lock and the two stay close.
"""

from __future__ import annotations

import gc
import select
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from myha.binlog.columns import Query
from myha.binlog.row_events import TableMap
from myha.binlog.stream import POSITION_LOST, TornLogError
from myha.config import Config
from myha.conflicts.companion import Companion, ReadUpTo
from myha.conflicts.extract import AuditRule, Table, fits
from myha.conflicts.folding import Collations
from myha.conflicts.key_questions import KeyQuestions
from myha.conflicts.keys import Facts, read_facts
from myha.conflicts.node_state import NodeState
from myha.conflicts.reader import Reader
from myha.conflicts.report import Findings
from myha.conflicts.tables import CALL_SECONDS, Tables
from myha.conflicts.wire import Link
from myha.core.backoff import backoff_seconds
from myha.core.conflicts import HELD_LIMIT_BYTES, Detector
from myha.core.events import Kind
from myha.core.gtid import GtidSet
from myha.database.connection import Endpoint
from myha.database.flavours import Flavour
from myha.database.schemas import OUR_SCHEMA
from myha.database.session import WarmSession
from myha.errors import MyhaError, ServerError, ServerGoneError
from myha.progress import Progress, Reporter

TORN_ATTEMPTS = 2
HEARTBEAT_SECONDS = 1.0
SILENT_LIMIT_SECONDS = 5.0
START_TOGETHER_SECONDS = 3.0  # so long one node waits for the other, so that both begin alike
POLL_SECONDS = 0.1
REPORT_EVERY_SECONDS = 0.5
BEHIND_TOLD_SECONDS = 5.0
_BACKOFF_FIRST_SECONDS, _BACKOFF_LAST_SECONDS = 0.1, 5.0
_STEADY_SECONDS = 5.0


class Watch:
    """The reader of conflicts of a pair. `run` returns when its permit ends."""

    def __init__(
        self,
        config: Config,
        reporter: Reporter,
        *,
        since: str = "",
        limit_bytes: int = HELD_LIMIT_BYTES,
    ) -> None:
        """`since`: a GTID set or position to begin behind; else behind what both nodes have."""
        self._since = since
        self._reporter = reporter
        self._limit_bytes = limit_bytes
        self._audit = config.conflicts.audit
        self._remainders = [node.auto_increment_offset % 2 for node in config.nodes.values()]
        account, tls = config.accounts.supervisor(), config.accounts.tls
        names = config.names
        self._questions = KeyQuestions()
        self.findings = Findings(reporter, names, self._questions.same)
        self.detector: Detector | None = None
        self._nodes: list[NodeState] = []
        self._collations = Collations(self._questions.weights)
        for side, (name, node) in enumerate(config.nodes.items()):
            endpoint = Endpoint(node.host, node.port)

            def session(endpoint: Endpoint = endpoint) -> WarmSession:
                return WarmSession(endpoint, account, connect_timeout_seconds=CALL_SECONDS, tls=tls)

            def link(endpoint: Endpoint = endpoint) -> Link:
                return Link(endpoint, account, tls, HEARTBEAT_SECONDS)

            companion = Companion(name, link, session())
            tables = Tables(name, session(), self._reading_facts(side))
            self._nodes.append(NodeState(name, side, companion, session(), tables))
            self._questions.ask_of(self._nodes[-1].session)
        self._started_at = time.monotonic()
        self._reported_at = 0.0
        self._reported_rows = 0

    # ---- the loop

    def run(self, seconds: float | None = None) -> None:
        """Until its permit ends, or for so many seconds. Raises MyhaError for a wrong pair."""
        self._started_at = self._reported_at = time.monotonic()
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, 50, 100)  # little is made here that only a collection can free
        try:
            for node in self._nodes:
                node.companion.start()
                node.tables.start()
            while not self._reporter.permit.refusal():
                if seconds is not None and time.monotonic() - self._started_at >= seconds:
                    break
                self._turn()
            self.findings.report_rest(now=True)
        finally:
            gc.set_threshold(*thresholds)
            for node in self._nodes:
                node.companion.stop()
                node.tables.stop()
                node.session.close()
                if node.link is not None:
                    node.link.close()

    def _turn(self) -> None:
        for node in self._nodes:
            if node.link is None:
                self._adopt(node)
        for node in self._ready():
            self._read(node)
        now = time.monotonic()
        if now - self._reported_at >= REPORT_EVERY_SECONDS:
            self._report(now)

    def _ready(self) -> list[NodeState]:
        open_nodes = [one for one in self._nodes if one.link is not None and not self._waits(one)]
        if not open_nodes:
            time.sleep(POLL_SECONDS / 10)
            return []
        if pending := [one for one in open_nodes if one.link is not None and one.link.pending()]:
            return pending
        poll = select.poll()
        numbers = {}
        for one in open_nodes:
            if one.link is not None:
                numbers[one.link.fileno()] = one
                poll.register(one.link.fileno(), select.POLLIN | select.POLLHUP)
        return [numbers[number] for number, _ in poll.poll(POLL_SECONDS * 1000)]

    def _waits(self, node: NodeState) -> bool:
        """Whether this reader has run so far ahead of the other that it should pause."""
        peer = self._nodes[1 - node.side]
        return (
            peer.link is not None and self.detector is not None and self.detector.ahead(node.side)
        )

    def _read(self, node: NodeState) -> None:
        if node.link is None or node.reader is None or self.detector is None:
            return
        try:
            piece = self._piece(node)
            if piece:
                node.reader.feed(piece)
        except ServerGoneError as error:
            self._lose(node, str(error))
        except ServerError as error:
            # Behind a torn end all is there, and the next connection begins with the next file.
            torn = isinstance(error, TornLogError) and node.failures < TORN_ATTEMPTS
            node.lost = node.lost or (error.code == POSITION_LOST and not torn)
            self._lose(node, f"{node.link.endpoint}: {error} (error {error.code})")
        if self.detector.clashes:
            self.findings.clashes(self.detector.take_clashes())

    def _piece(self, node: NodeState) -> bytes:
        return node.link.read() if node.link is not None else b""

    # ---- connections

    def _lose(self, node: NodeState, why: str) -> None:
        if node.link is not None:
            node.link.close()
        node.link = None
        now = time.monotonic()
        node.failures = 0 if now - node.begun_at > _STEADY_SECONDS else node.failures + 1
        wait = backoff_seconds(node.failures + 1, _BACKOFF_FIRST_SECONDS, _BACKOFF_LAST_SECONDS)
        node.try_at = now + wait if node.failures else now
        self._report_error(node, why)
        node.companion.need_link()

    def _report_error(self, node: NodeState, why: str) -> None:
        if why and why != node.reported_error:
            self._reporter.event(
                Kind.CONFLICTS_READER, f"{node.name} is not read: {why}", node=node.name
            )
        node.reported_error = why

    def _adopt(self, node: NodeState) -> None:
        """Take the companion's new connection and let it stream, when the time is right."""
        now = time.monotonic()
        if not node.companion.ready:
            if node.companion.error:
                self._report_error(node, node.companion.error)
            return
        peer = self._nodes[1 - node.side]
        first = node.reader is None and peer.reader is None
        if first and not peer.companion.ready and now - self._started_at < START_TOGETHER_SECONDS:
            return
        if now < node.try_at:
            return
        if first and peer.companion.ready:
            links = {node.side: node.companion.take_link(), peer.side: peer.companion.take_link()}
            common = links[0].executed.intersection(links[1].executed)
            for one in self._nodes:
                self._begin(one, links[one.side], common)
            return
        link = node.companion.take_link()
        common = peer.reader.position.begun() if peer.reader is not None else link.executed
        self._begin(node, link, common)

    def _begin(self, node: NodeState, link: Link, common: GtidSet) -> None:
        self._check_flavour(link)
        if self.detector is None:
            self.detector = Detector(
                in_order=link.flavour.copies_in_order, limit_bytes=self._limit_bytes
            )
        node.identity, node.logs_cascades = link.identity, link.logs_cascades
        peer = self._nodes[1 - node.side]
        self._identify(node)
        seen_through = not (node.reader is None or node.lost or node.was_reset)
        try:
            if node.reader is None:
                start = self._first_start(node, link, common)
            else:
                start = self._resume(node, link)
            link.start(start)
        except (ServerError, ValueError) as error:
            node.lost = node.lost or isinstance(error, ValueError)
            link.close()
            self._lose(node, str(error))
            return
        node.link, node.begun_at = link, time.monotonic()
        node.lost = node.was_reset = False
        self._report_error(node, "")
        if not seen_through:
            self._meet_tables(node)
        if peer.identity is not None:
            self._identify(peer)

    def _meet_tables(self, node: NodeState) -> None:
        """At a new place in the log nothing is known of the tables: ask before the rows come."""
        node.facts.clear()
        if node.reader is not None:
            node.reader.forget_tables()
        node.tables.ask_all()
        with suppress(ServerError):  # connected now, for what cannot be known beforehand
            node.session.query("SELECT 1")

    def _check_flavour(self, link: Link) -> None:
        if self._questions.flavour not in (None, link.flavour):
            raise MyhaError(
                f"{link.endpoint} is {link.flavour}, and its peer is {self._questions.flavour}"
            )
        self._questions.flavour = link.flavour

    def _identify(self, node: NodeState) -> None:
        peer = self._nodes[1 - node.side].identity
        if node.reader is not None and node.identity is not None:
            node.reader.identify(node.identity, peer)

    def _first_start(self, node: NodeState, link: Link, common: GtidSet) -> GtidSet:
        """Behind what both nodes have: what is under way between them is still to be compared."""
        executed = link.executed
        if self._since:
            common = link.flavour.parse(self._since)
        start = executed if node.lost else executed.intersection(common)
        self._report_unseen(node, link.purged.minus(start))
        start = start.union(link.purged)
        if self.detector is None:
            raise RuntimeError("a reader begins without a detector")
        node.reader = Reader(node.side, self.detector, self, link.flavour.position_after(start))
        self._identify(node)
        self._jump(node, link.flavour, start)
        return start

    def _resume(self, node: NodeState, link: Link) -> GtidSet:
        """Behind what was read; what the server has no more, or has lost, is told and left out."""
        reader, detector = node.reader, self.detector
        if reader is None or detector is None:
            raise RuntimeError("a reader that never began cannot resume")
        read = reader.position.gtids()
        executed = link.executed
        start = read
        undone = read.minus(read)
        if node.lost or node.was_reset:
            undone = reader.position.begun().minus(executed)
        if not undone.is_empty():
            self._reporter.event(
                Kind.CONFLICTS_GAP,
                f"{node.name} no longer has {undone.count()} transactions that were read",
                node=node.name,
            )
            detector.drop(node.side, link.flavour.ranges(undone, link.identity))
            start = read.intersection(executed)
        unseen = link.purged.minus(start)
        start = start.union(link.purged)
        if node.lost and unseen.is_empty() and undone.is_empty():
            unseen, start = executed.minus(start), executed
        self._report_unseen(node, unseen)
        if start != read or not undone.is_empty():
            self._jump(node, link.flavour, start)
            reader.restart(link.flavour.position_after(start))
        else:
            reader.restart()
        return start

    def _report_unseen(self, node: NodeState, unseen: GtidSet) -> None:
        if unseen.is_empty():
            return
        node.unseen += unseen.count()
        self._reporter.event(
            Kind.CONFLICTS_GAP,
            f"{node.name} has purged binary logs that were not read yet:"
            f" {unseen.count()} transactions were not compared",
            node=node.name,
            unseen=str(unseen.count()),
        )

    def _jump(self, node: NodeState, flavour: Flavour, start: GtidSet) -> None:
        peer = self._nodes[1 - node.side].identity
        if self.detector is not None and node.identity is not None:
            copies = flavour.ranges(start, peer) if peer is not None else []
            self.detector.jump(node.side, flavour.ranges(start, node.identity), copies)

    # ---- for the readers (Surroundings)

    def table(self, side: int, table_map: TableMap) -> Table | None:
        if table_map.schema == OUR_SCHEMA or self.detector is None:
            return None
        node = self._nodes[side]
        name = (table_map.schema, table_map.table)
        if name not in node.facts:
            known = node.tables.known(name)
            node.facts[name] = self._ask_facts(node, *name) if known is None else known
        facts = node.facts[name]
        missing = "table_not_found"
        if facts is not None and not fits(table_map, facts):
            facts, missing = None, "table_changed"
            node.tables.drop(name)
            del node.facts[name]  # as it is now is not as it will be when the reader has caught up
        audit = None
        if self._audit:
            audit = AuditRule(self._remainders[side], self.findings.wrong_id)
        return Table(table_map, facts, detector=self.detector, audit=audit, missing=missing)

    def out_of_reach(self, reason: str, table: str, changes: int) -> None:
        self.findings.beyond(reason, table, changes)

    def schema_changed(self) -> None:
        met = {name for node in self._nodes for name in node.facts}
        for node in self._nodes:
            node.tables.ask_again(met)
            node.facts.clear()
            if node.reader is not None:
                node.reader.forget_tables()

    def _reading_facts(self, side: int) -> Callable[[Query, str, str], Facts | None]:
        def read(query: Query, schema: str, table: str) -> Facts | None:
            logged = self._nodes[side].logs_cascades
            return read_facts(query, self._collations, schema, table, cascades_logged=logged)

        return read

    def _ask_facts(self, node: NodeState, schema: str, table: str) -> Facts | None:
        """From the node itself, else from its peer, which has the same tables soon enough."""
        read = self._reading_facts(node.side)
        for one in (node, self._nodes[1 - node.side]):
            with suppress(ServerError):
                return read(one.session.query, schema, table)
        return None

    # ---- telling

    def _report(self, now: float) -> None:
        for node in self._nodes:
            if node.link is not None and node.link.silent_seconds > SILENT_LIMIT_SECONDS:
                self._lose(
                    node, f"{node.link.endpoint}: no heartbeat for {SILENT_LIMIT_SECONDS:g} s"
                )
            self._check_log(node)
            self._report_behind(node)
        self.findings.report_rest()
        rows = self.rows
        rate = (rows - self._reported_rows) / max(1e-6, now - self._reported_at)
        self._reported_at, self._reported_rows = now, rows
        self._reporter.progress(Progress("watch", rows, None, "rows", rate, text=self.summary()))

    def _check_log(self, node: NodeState) -> None:
        """Whether the log that is read is still the server's; the companion compares."""
        reader, end = node.reader, node.companion.end
        if node.link is None or reader is None:
            node.companion.read_up_to = None
            return
        if end is not None and end.was_reset and node.companion.read_up_to is not None:
            node.companion.read_up_to, node.companion.end = None, None
            node.was_reset = True
            self._lose(node, f"{node.link.endpoint}: its binary log was reset")
            return
        if reader.file:
            node.companion.read_up_to = ReadUpTo(reader.file, reader.log_pos)

    def _report_behind(self, node: NodeState) -> None:
        seconds, count = node.behind()
        if seconds < BEHIND_TOLD_SECONDS:
            node.reported_behind_seconds = 0.0
        elif seconds > 2 * node.reported_behind_seconds:
            node.reported_behind_seconds = seconds
            self._reporter.event(
                Kind.CONFLICTS_BEHIND,
                f"the reader of {node.name} is {seconds:.0f} s and {count or 0:,} bytes behind",
                node=node.name,
                seconds=f"{seconds:.0f}",
                bytes=str(count or 0),
            )

    @property
    def rows(self) -> int:
        return sum(node.reader.rows for node in self._nodes if node.reader is not None)

    def summary(self) -> str:
        """The state in one line."""
        found = self.findings
        parts = [f"{found.conflicts} conflicts"]
        if self._audit:
            parts.append(f"{found.wrong_ids} ids of the wrong class")
        for node in self._nodes:
            seconds, count = node.behind()
            if node.link is None:
                parts.append(f"{node.name} is not read")
            elif count:
                parts.append(f"{node.name} {seconds:.0f} s and {count:,} bytes behind")
        if beyond := sum(found.out_of_reach.values()):
            parts.append(f"{beyond} changes not compared")
        return ", ".join(parts)

    def metrics(self) -> dict[str, Any]:
        """Every count, for programs."""
        found, detector = self.findings, self.detector
        beyond: dict[str, dict[str, int]] = {}
        for (reason, table), count in found.out_of_reach.items():
            beyond.setdefault(reason, {})[table] = count
        return {
            "rows": self.rows,
            "conflicts": found.conflicts,
            "conflicts_by_table": dict(found.by_table),
            "equal_only_when_folded": found.false_matches,
            "wrong_ids": found.wrong_ids,
            "out_of_reach": beyond,
            "given_up": detector.given_up if detector is not None else 0,
            "held_bytes": detector.held_bytes if detector is not None else 0,
            "nodes": {node.name: self._node_metrics(node) for node in self._nodes},
        }

    def _node_metrics(self, node: NodeState) -> dict[str, Any]:
        held = self.detector.live(node.side) if self.detector is not None else 0
        return {**node.metrics(), "held": held}
