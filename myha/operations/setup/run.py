"""`myha setup` from beginning to end: look, check, show, apply, join, prove, record, look again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from myha.config import Account, Config
from myha.core.events import Kind
from myha.core.policy import Mode
from myha.core.record import Record, Sync, member
from myha.errors import MyhaError, ServerError
from myha.operations.setup import gtids
from myha.operations.setup.actions import Action, Stage, fragment_is_due, plan
from myha.operations.setup.adoption import needs_gtids, serving_as, serving_writer
from myha.operations.setup.apply import Sessions, carry_out, show_due_fragment, show_fragment
from myha.operations.setup.checks import Findings, check, replicates
from myha.operations.setup.contents import different_contents
from myha.operations.setup.desired import first_writer
from myha.operations.setup.facts import Facts
from myha.operations.setup.gather import claimant_lives, gather
from myha.operations.setup.gtids import adopting
from myha.operations.setup.history import History
from myha.operations.setup.proof import prove, set_roles, start_replication
from myha.operations.setup.rows import different_rows
from myha.operations.setup.session import AdminSession
from myha.operations.setup.writes import sample
from myha.ports import RecordStore
from myha.progress import Tell
from myha.stores.factory import (
    open_journal,
    open_record_store,
    read_any_record,
    store_location,
    supervisor_lease,
)
from myha.words import listed

BootIds = Callable[[Config], Mapping[str, str]]


class Seeding(Protocol):
    """How a node without data gets that of the other one before the two become a pair."""

    @property
    def action(self) -> Action: ...

    def carry_out(self, tell: Tell) -> None:
        """Copy the data. MyhaError when it did not get there; setup may be run again."""


Seeder = Callable[[Config, tuple[Facts, Facts]], Seeding]  # MyhaError when there is no way


class Setup:
    """One run of setup. `tell` shows a line; `confirm` asks whether to go on."""

    def __init__(
        self,
        config: Config,
        tell: Tell,
        confirm: Callable[[], bool],
        boot_ids: BootIds,
        seeder: Seeder,
    ) -> None:
        """ConfigError when a password that setup needs cannot be read."""
        self._config = config
        self._tell = tell
        self._confirm = confirm
        self._boot_ids = boot_ids
        self._seeder = seeder
        self._admin: Account = config.accounts.admin()
        self._store = ""  # the id of the record's lineage
        self._writer = first_writer(config)
        self._adopts = ""  # how the pair serves that replicates already
        self._compared = False
        self._told: set[str] = set()
        config.accounts.supervisor()
        config.accounts.replication()

    def run(self, *, plan_only: bool = False, kick: bool = False) -> None:
        """Raises MyhaError, with a line for each reason, when the pair is not set up at the end."""
        record = self._record()
        self._store = secrets.token_hex(8) if record is None else record.store
        with self._sessions() as sessions:
            pair, findings = self._look(sessions, record)
            if record is not None:  # later, since a look with its account is like a supervisor's
                self._refuse_mixed_up(record)
            findings = self._compare(sessions, pair, findings)
        self._judge(findings)
        first = adopting(self._config, pair) if findings.history is History.IN_FLIGHT else []
        seeding = self._seeder(self._config, pair) if findings.history is History.SEED else None
        actions = self._plan(pair, findings, record, kick=kick)
        if seeding is not None:
            actions.insert(0, seeding.action)
        self._show(pair, [*first, *actions])
        if plan_only:
            return
        if not actions:
            self._tell("nothing to do: the pair is set up")
            self._prove_again(record, pair)
            self._left_to_the_user(pair)
            return
        if not self._confirm():
            self._tell("nothing was changed")
            return
        self._apply(actions, record, seeding, first=first, kick=kick)

    # --- looking

    def _refuse_mixed_up(self, record: Record) -> None:
        """A server is known by the life that it is in, which is on record."""
        with suppress(ServerError):  # one that refuses the supervisor's account: setup mends that
            lives = self._boot_ids(self._config)
            for name, other in zip(self._config.names, self._config.names[::-1], strict=True):
                known = {node: entry.boot_id for node, entry in record.nodes}
                if lives[name] != known.get(name) and lives[name] == known.get(other):
                    raise MyhaError(
                        f"nodes.{name} leads to the server that is {other} on record: correct the "
                        "addresses in the configuration"
                    )

    def _judge(self, findings: Findings) -> None:
        """Tell the warnings, each once. MyhaError when something forbids to go on."""
        for warning in findings.warnings:
            if warning not in self._told:
                self._tell(f"warning: {warning}")
            self._told.add(warning)
        if findings.refusals:
            raise MyhaError("\n".join(findings.refusals))

    def _plan(
        self,
        pair: tuple[Facts, Facts],
        findings: Findings,
        record: Record | None,
        *,
        kick: bool = False,
    ) -> list[Action]:
        return plan(
            self._config,
            pair,
            findings.history,
            record,
            store=self._store,
            kick=kick,
            writer=self._writer,
        )

    def _record(self) -> Record | None:
        return read_any_record(self._config)

    @contextmanager
    def _sessions(self) -> Iterator[dict[str, AdminSession]]:
        """A new session on each node, or one error with a line for each node that has none."""
        names = self._config.names
        with ThreadPoolExecutor(len(names)) as pool:
            futures = [pool.submit(self._session, name) for name in names]
        results = [future.result() for future in futures]
        sessions = {s.name: s for s in results if isinstance(s, AdminSession)}
        try:
            failures = [str(error) for error in results if isinstance(error, MyhaError)]
            if failures:
                raise MyhaError("\n".join(failures))
            yield sessions
        finally:
            for session in sessions.values():
                session.close()

    def _session(self, name: str) -> AdminSession | ServerError:
        try:
            return AdminSession(self._config, name, self._admin)
        except ServerError as error:
            return error

    def _look(
        self, sessions: dict[str, AdminSession], record: Record | None
    ) -> tuple[tuple[Facts, Facts], Findings]:
        facts = gather(self._config, sessions)
        first, second = (self._claimed(facts[it], sessions[it]) for it in self._config.names)
        if record is None and replicates(self._config, first, second):
            writes = sample(sessions)
            first, second = (
                replace(
                    one,
                    own_writes=writes[one.node].count,
                    domains_written=writes[one.node].domains,
                )
                for one in (first, second)
            )
            self._writer = serving_writer(self._config, first, second)
            self._adopts = serving_as(self._config, (first, second), self._writer)
        return (first, second), check(self._config, first, second, record, self._replica_ids)

    def _claimed(self, facts: Facts, session: AdminSession) -> Facts:
        """With whether the supervisor of another record is at work, where such a one has it."""
        if facts.claim is None or facts.claim[0] == self._store:
            return facts
        return replace(facts, claimant_lives=claimant_lives(session))

    @cached_property
    def _replica_ids(self) -> frozenset[int]:
        """Of the read replicas that answer: whatever else replicates from a node is a stranger."""
        found = set()
        for name in self._config.replicas:
            with suppress(ServerError), AdminSession(self._config, name, self._admin) as session:
                found.add(int(session.value("SELECT @@GLOBAL.server_id")))
        return frozenset(found)

    def _compare(
        self, sessions: Sessions, pair: tuple[Facts, Facts], findings: Findings
    ) -> Findings:
        """Data that should be the same on both is compared before anything is built on it."""
        if findings.refusals or not pair[0].has_data or self._compared:
            return findings
        if findings.history is History.SAME:
            refusals, warnings = different_contents(sessions, pair, self._tell)
        elif findings.history is History.IN_FLIGHT and self._is_in_step(pair):
            writer, standby = pair if pair[0].node == self._writer else pair[::-1]
            refusals, warnings = different_rows(self._config, writer, standby, self._tell)
            self._compared = True
        else:
            return findings
        return Findings(refusals, (*findings.warnings, *warnings), findings.history)

    def _is_in_step(self, pair: tuple[Facts, Facts]) -> bool:
        """Whether one moment of both can be found: what one has, the other gets by its GTID."""
        for facts in pair:
            by_file = not facts.flavour.keeps_replica_position  # a set may then have holes
            for channel in facts.channels:
                if "OFF" in (channel.receiver, channel.applier):
                    return False
                if by_file and not channel.by_gtid:
                    return False
        return not any(needs_gtids(facts) for facts in pair)

    # --- telling

    def _show(self, pair: tuple[Facts, Facts], actions: list[Action]) -> None:
        if not actions:
            return
        if self._adopts:
            self._tell(f"they replicate already, and are taken over as they serve: {self._adopts}")
        self._tell(f"the plan, {len(actions)} steps:")
        for action in actions:
            self._tell(f"  {action}")
        installs = {action.node for action in actions if action.stage is Stage.FILE}
        for facts, peer in (pair, pair[::-1]):
            if facts.node in installs or fragment_is_due(self._config, facts, peer):
                show_fragment(self._config, facts, peer, self._tell)

    def _left_to_the_user(self, pair: tuple[Facts, Facts]) -> None:
        for facts, peer in (pair, pair[::-1]):
            show_due_fragment(self._config, facts, peer, self._tell)
            if facts.stale_sessions:
                self._tell(
                    f"warning: {facts.node}: these sessions began before the new settings and may "
                    f"generate ids of the wrong residue class: {listed(facts.stale_sessions)}"
                    "; end them with `myha setup --kick-sessions`, or restart their clients"
                )

    # --- doing

    def _apply(
        self,
        actions: list[Action],
        record: Record | None,
        seeding: Seeding | None,
        *,
        first: list[Action],
        kick: bool,
    ) -> None:
        lease = supervisor_lease(self._config)
        try:
            lease.acquire()
        except MyhaError as error:
            raise MyhaError(f"{error}; setup changes nothing while a supervisor runs") from None
        store = open_record_store(self._config, lease)
        journal = open_journal(self._config)
        try:
            if seeding is not None:
                seeding.carry_out(self._tell)
                actions = self._plan_again()
            if first:
                with self._sessions() as sessions:
                    gtids.carry_out(sessions, first, self._tell)
                actions = self._plan_again(kick=kick)
            with self._sessions() as sessions:
                carry_out(self._config, sessions, actions, self._tell)
            joined = record if record is not None else self._join(store)
            pair = self._look_again(joined)
            if record is not None:
                self._prove_again(record, pair)
            self._left_to_the_user(pair)
            self._tell("the pair is set up; the supervisor (`myha run`) keeps it")
            journal.note(Kind.SETUP, f"setup: {len(actions)} steps done", {})
        finally:
            journal.close()
            store.close()
            lease.release()

    def _plan_again(self, *, kick: bool = False) -> list[Action]:
        """What is left to do once both hold one history, or replicate by GTID."""
        with self._sessions() as sessions:
            pair, findings = self._look(sessions, None)
            if findings.history is History.IN_FLIGHT:
                findings = self._compare(sessions, pair, findings)
        self._judge(findings)
        return self._plan(pair, findings, None, kick=kick)

    def _join(self, store: RecordStore) -> Record:
        try:
            with self._sessions() as sessions:
                start_replication(self._config, sessions, self._tell)
                set_roles(self._config, sessions, self._writer, self._tell)
                prove(self._config, sessions, self._config.names, self._tell)
            record = self._first_record()
            store.compare_and_set(0, record)
        except MyhaError as error:
            raise MyhaError(
                f"{error}; the servers are prepared, but no pair yet: correct this and run "
                "`myha setup` again, it goes on from here"
            ) from None
        self._tell(
            f"recorded: epoch {record.epoch}, writer {record.writer}, in "
            f"{store_location(self._config)}"
        )
        return record

    def _first_record(self) -> Record:
        lives = self._boot_ids(self._config)
        nodes = tuple((name, member(lives[name])) for name in self._config.names)
        return Record(
            version=1,
            epoch=1,
            writer=self._writer,
            sync=Sync.SOLO,
            nodes=nodes,
            writer_since_wall=time.time(),
            pair=self._config.cluster.name,
            store=self._store,
        )

    def _prove_again(self, record: Record | None, pair: tuple[Facts, Facts]) -> None:
        """On a pair in service only its writers write: a standby's row would break the rule of one.

        What is fenced stays so: bringing it back is the supervisor's, and a proof no reason to.
        """
        if record is None:
            return
        dual = self._config.cluster.mode is Mode.DUAL_WRITER
        writers = self._config.names if dual else (record.writer,)
        hindrances = out_of_service(pair, writers)
        if hindrances:
            self._tell(f"no proof, because the pair is not in service: {'; '.join(hindrances)}")
            self._tell(
                "the supervisor (`myha run`) brings it back; `myha status` shows its progress"
            )
            return
        with self._sessions() as sessions:
            prove(self._config, sessions, writers, self._tell)
        if not dual:
            self._tell("proved from the writer to the standby only: the pair is in service")

    def _look_again(self, record: Record) -> tuple[Facts, Facts]:
        """Read everything back: nothing may be left to do, but what is the user's to do."""
        with self._sessions() as sessions:
            pair, findings = self._look(sessions, record)
        left = self._plan(pair, findings, record)
        if left:
            raise MyhaError(
                "\n".join(
                    f"{action}: was done, but is undone again; see the server's log, then run "
                    "`myha setup` again"
                    for action in left
                    if action.stage is not Stage.JOIN
                )
            )
        return pair


def out_of_service(pair: tuple[Facts, Facts], writers: tuple[str, ...]) -> list[str]:
    """Why a marker row could not be written or would not arrive now, as clauses."""
    found = []
    for facts, peer in (pair, pair[::-1]):
        if facts.node in writers and facts.on("read_only"):
            found.append(f"{facts.node} is closed for writes")
        channel = next((c for c in facts.channels if not c.name), None)
        running = channel is not None and channel.receiver == channel.applier == "ON"
        if peer.node in writers and not running:
            why = f" ({channel.error})" if channel is not None and channel.error else ""
            found.append(f"{facts.node} does not replicate{why}")
    return found
