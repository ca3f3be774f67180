"""Setup's part for read replicas: each is prepared and recorded, or let go.

The pair stays as it is. No lease is needed: a running supervisor knows nothing of a new replica,
and keeps on a known one just what is prepared here. What has to be done with its data is the
supervisor's: setup leaves a record that says how it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from myha.balancers.factory import make_balancers
from myha.config import Config, split_address
from myha.core.events import Kind
from myha.core.followers.record import FollowerRecord
from myha.core.gtid import GtidSet
from myha.core.record import Cause, Record, away
from myha.database.codes import NO_REPLICATION, tolerated
from myha.database.connection import Endpoint, connect
from myha.database.flavours import flavour_of
from myha.database.session import Session
from myha.errors import BalancerError, MyhaError, ServerError
from myha.operations.setup.actions import Action, Stage, preparing
from myha.operations.setup.apply import carry_out, show_due_fragment
from myha.operations.setup.desired import first_writer
from myha.operations.setup.facts import Facts
from myha.operations.setup.gather import gather
from myha.operations.setup.replica_checks import Beginning, beginning, refusals
from myha.operations.setup.session import STATEMENT_DEADLINE_SECONDS, AdminSession
from myha.ports import Balancer
from myha.progress import Tell
from myha.stores.factory import open_followers, open_journal, read_any_record, read_followers

CONNECT_DEADLINE_SECONDS = 5.0
TAKE_OUT_DEADLINE_SECONDS = 5.0

_RECORDED = {
    Beginning.FOLLOWS: (Cause.TRUSTED, "added by setup: its data is the pair's"),
    Beginning.AFRESH: (Cause.TRUSTED, "added by setup: it begins with the pair's history"),
    Beginning.SEEDED: (Cause.NEW, "added by setup: it holds no data yet"),
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One replica of the file: what has to be done there, and how it begins (None: on record)."""

    facts: Facts
    writer: Facts
    actions: tuple[Action, ...]
    begins: Beginning | None


class ReplicaSetup:
    """One run for all replicas. `tell` shows a line; `confirm` asks whether to go on."""

    def __init__(self, config: Config, tell: Tell, confirm: Callable[[], bool]) -> None:
        self._config = config
        self._tell = tell
        self._confirm = confirm
        self._failures: list[str] = []

    def run(self, *, plan_only: bool = False) -> None:
        """Raises MyhaError with a line for each replica that is not as it should be at the end.

        One that fails is not in the way of the others.
        """
        config, known = self._config, read_followers(self._config)
        gone = {name: one for name, one in known.items() if name not in config.replicas}
        if not config.replicas and not gone:
            return
        record = read_any_record(config)
        if record is None and not plan_only:
            return  # the pair comes first
        found = self._look(record, known)
        actions = [action for one in found for action in one.actions]
        new = [one for one in found if one.begins is not None]
        if not (actions or new or gone):
            self._left_to_the_user(found, record)
            self._done("nothing to do: the replicas are set up" if found else "")
            return
        self._show(actions, new, gone)
        if plan_only:
            self._done("")
            return
        if not self._confirm():
            self._tell("nothing was changed on the replicas")
            return
        for name, its_record in gone.items():
            self._let_go(name, its_record)
        for one in found:
            self._guarded(one.facts.node, lambda one=one: self._prepare(one))  # type: ignore[misc]
        self._left_to_the_user(self._look(read_any_record(config), read_followers(config)), record)
        if config.replicas and (new or gone):
            self._tell(
                "give HAProxy the configuration that `myha balancer render` prints, reload it, and "
                "restart the supervisor: it takes the replicas from there"
            )
        self._done("the replicas are set up")

    def _done(self, text: str) -> None:
        if self._failures:
            raise MyhaError("\n".join(dict.fromkeys(self._failures)))
        if text:
            self._tell(text)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except MyhaError as error:
            text = str(error)
            self._failures.append(text if text.startswith(f"{name}:") else f"{name}: {text}")

    # --- looking

    def _look(self, record: Record | None, known: Mapping[str, FollowerRecord]) -> list[_Prepared]:
        """Every replica of the file that answers and may be one; of the others it is told why."""
        writer = record.writer if record is not None else first_writer(self._config)
        found: list[_Prepared] = []
        with ExitStack() as stack:
            source = stack.enter_context(self._session(writer))
            purged = source.flavour.purged(source)
            pair = gather(self._config, {writer: source})
            others = [*pair.values(), *self._peer(writer)]
            for name in self._config.replicas:
                try:
                    with self._session(name) as session:
                        facts = gather(self._config, {name: session})[name]
                        # The writer later than the replica: what it lacks then is errant.
                        later = replace(pair[writer], executed_later=source.executed())
                except ServerError as error:
                    self._unanswering(name, str(error), on_record=name in known)
                    continue
                one = self._judge(facts, later, tuple(others), purged, known)
                others.append(facts)
                if one is not None:
                    found.append(one)
        return found

    def _session(self, name: str) -> AdminSession:
        return AdminSession(self._config, name, self._config.accounts.admin())

    def _peer(self, writer: str) -> Iterator[Facts]:
        """The other node's, for its server id; it may be lost while a replica is added."""
        name = next(one for one in self._config.names if one != writer)
        try:
            with self._session(name) as session:
                yield gather(self._config, {name: session})[name]
        except ServerError as error:
            self._tell(f"warning: {error}: its server id could not be compared")

    def _unanswering(self, name: str, error: str, *, on_record: bool) -> None:
        if on_record:
            self._tell(f"warning: {error}: {name} was left as it is")
        else:
            self._failures.append(error)

    def _judge(
        self,
        facts: Facts,
        writer: Facts,
        others: tuple[Facts, ...],
        purged: GtidSet,
        known: Mapping[str, FollowerRecord],
    ) -> _Prepared | None:
        is_known = facts.node in known
        rest = tuple(other for other in others if other.node != writer.node)
        why = list(refusals(self._config, facts, writer, rest, known=is_known))
        begins: Beginning | None = None
        if not is_known and not why:
            begins, why = beginning(facts, writer, purged)
        if why:
            self._failures += why
            return None
        facts = replace(facts, domains_taken=frozenset(one.domain for one in rest))
        actions = sorted(self._wanted(facts, writer, begins), key=lambda action: action.stage)
        return _Prepared(facts, writer, tuple(actions), begins)

    def _wanted(self, facts: Facts, writer: Facts, begins: Beginning | None) -> Iterator[Action]:
        yield from preparing(self._config, facts, writer)
        if begins is Beginning.AFRESH and not facts.executed.is_empty():
            sentence = f"start its history over ({facts.executed}; there is no data)"
            yield Action(Stage.HISTORY, facts.node, sentence, "forget_history")

    # --- telling

    def _show(
        self,
        actions: list[Action],
        new: list[_Prepared],
        gone: Mapping[str, FollowerRecord],
    ) -> None:
        self._tell("the plan for the replicas:")
        for name in gone:
            self._tell(f"  {name}: let it go: out of the readers, its replication ended")
        for action in actions:
            self._tell(f"  {action}")
        for one in new:
            assert one.begins is not None
            self._tell(
                f"  {one.facts.node}: close it for writes and record it as new: {one.begins.value}"
            )

    def _left_to_the_user(self, found: list[_Prepared], record: Record | None) -> None:
        if record is None:
            return
        for one in found:
            show_due_fragment(self._config, one.facts, one.writer, self._tell)

    # --- doing

    def _prepare(self, one: _Prepared) -> None:
        name = one.facts.node
        with self._session(name) as session:
            carry_out(self._config, {name: session}, list(one.actions), self._tell)
            if one.begins is not None:
                session.carry_out("close")
        address = self._config.replicas[name].address
        with closing(open_followers(self._config)) as store:
            known = store.read(name)
            if known is None:
                assert one.begins is not None
                entry = away(*_RECORDED[one.begins])
                store.compare_and_set(name, 0, FollowerRecord(1, entry, address))
                self._note(name, f"{name} is a read replica: {one.begins.value}")
            elif known.address != address:
                moved = replace(known, version=known.version + 1, address=address)
                store.compare_and_set(name, known.version, moved)

    def _let_go(self, name: str, record: FollowerRecord) -> None:
        """Off record first: from then on no supervisor acts on it."""
        with closing(open_followers(self._config)) as store:
            store.remove(name)
        for balancer in make_balancers(self._config).values():
            take_out(name, balancer, self._tell)
        try:
            self._end_replication(name, record.address)
        except ServerError as error:
            self._tell(
                f"warning: {error}: its replication was not ended; do it there with STOP REPLICA "
                "and RESET REPLICA ALL"
            )
        self._note(name, f"{name} is no read replica any more; it stays read-only with its data")

    def _end_replication(self, name: str, address: str) -> None:
        host, port = split_address(address)
        connection = connect(
            Endpoint(host, port),
            self._config.accounts.admin(),
            connect_timeout_seconds=CONNECT_DEADLINE_SECONDS,
            read_timeout_seconds=CONNECT_DEADLINE_SECONDS,
            tls=self._config.accounts.tls,
        )
        with Session(connection, STATEMENT_DEADLINE_SECONDS, where=f"{name}: {address}") as session:
            for sql in flavour_of(session).statements("setup").all("forget_replication"):
                with tolerated(*NO_REPLICATION):
                    session.query(sql)

    def _note(self, name: str, text: str) -> None:
        self._tell(text)
        with closing(open_journal(self._config)) as journal:
            journal.note(Kind.SETUP, text, {"node": name})


def take_out(replica: str, balancer: Balancer, tell: Tell) -> None:
    """Of the readers, as far as the balancer can do that."""
    try:
        balancer.take_out(replica, ("reader",), TAKE_OUT_DEADLINE_SECONDS)
    except BalancerError as error:
        # It may have been reloaded already, and not know it any more.
        tell(f"warning: {replica} could not be taken out of traffic: {error}")
    else:
        if not balancer.ends_sessions:
            tell(f"warning: sessions on {replica} through {balancer.name} go on until they end")
    finally:
        balancer.close()
