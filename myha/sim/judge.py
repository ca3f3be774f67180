"""Holds a simulated pair against the invariants after every event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from myha.core import invariants
from myha.core.invariants import NodeState, Opened, Received, Routed, State, Undone
from myha.core.node import ThreadState
from myha.core.planning import PairDecision
from myha.core.plans import ChangeRecord, Plan
from myha.core.policy import Mode, Policy
from myha.core.record import Cause, Membership, Record, Sync
from myha.core.view import View
from myha.sim.clients import Ledger
from myha.sim.older import OlderData
from myha.sim.process import DIRECT, ENABLED, RESTS, ServerProcess
from myha.sim.resets import LogResets
from myha.sim.server import SimServer
from myha.sim.store import SimStore
from myha.sim.world import World

BEGUN_SECONDS = 0.02  # a plan that had begun before may still change the record


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, and when (virtual seconds)."""

    at_seconds: float
    name: str
    sentence: str


def _makes_solo(plan: Plan | None) -> bool:
    changes = [one.change for one in plan.steps if isinstance(one, ChangeRecord)] if plan else []
    return any(one.sync is Sync.SOLO for one in changes)


class Acting(Protocol):
    """A supervisor, as far as it is judged."""

    name: str
    alive: bool

    @property
    def may_act(self) -> bool: ...


class Judge:
    """Looks at the servers themselves, not at what a supervisor believes of them."""

    def __init__(
        self,
        world: World,
        policy: Policy,
        servers: dict[str, SimServer],
        store: SimStore,
        ledger: Ledger,
    ) -> None:
        self.world = world
        self.policy = policy
        self.servers = servers
        self.store = store
        self.ledger = ledger
        self.violations: list[Violation] = []
        self.loss_accepted = False
        self.isolated_at: float | None = None  # since when no supervisor reaches either node
        self._dual = policy.mode is Mode.DUAL_WRITER
        self._connected_as = dict.fromkeys(servers, Membership.MEMBER)
        self._failed_since_armed: set[str] = set()
        self._forgiven: set[int] = set()
        self._opening_seen: dict[str, float] = {}  # the stranger's that a look showed to a decision
        self._filters_seen: set[str] = set()  # of whom a look showed the filter to a decision
        self._lives_seen = {one.boot_id for one in servers.values()}  # that decisions knew of
        self._good: set[tuple[object, ...]] = set()
        self._writer_lacks = self._standby_lacks = 0
        self.resets = LogResets(policy, servers, store.record, self.broken)
        self.older = OlderData()
        self._recount(store.record)
        world.check = self.check
        store.on_change = self._record_changed
        ledger.on_ok = self._acknowledged
        for server in servers.values():
            server.on_opened = self._opened
            server.on_received = self._received
            server.on_undone = self._undone
            server.on_merged = self._merged
            server.on_dropped = self.recount
            server.on_failed = self._failed
            server.on_left_out = self._left_out
            server.channel.on_connected = self._connected
            server.channel.on_skipped = self._skipped

    def broken(self, name: str, sentence: str) -> None:
        if self.unforeseen:
            return
        self.world.note(f"BROKEN: {name}: {sentence}")
        self.violations.append(Violation(self.world.now, name, sentence))

    @property
    def unforeseen(self) -> bool:
        """Nobody could know what has happened, and nothing is judged any more."""
        return self.resets.unforeseen or self.older.unforeseen

    def looked(self, supervisor: str, server: SimServer) -> None:
        """`supervisor` has had a whole look at it."""
        self.resets.looked(supervisor, server)
        self.older.looked(supervisor, server)

    def _skipped(self, server: ServerProcess) -> None:
        if server.peer.name in self.older.had and server.peer.written_by_stranger:
            self.older.unforeseen = True  # names given anew, by whoever opened it
        else:
            self.resets.skipped(server)

    def accept_loss(self) -> None:
        """An operator goes on without what only the other node, or nobody, has."""
        self.loss_accepted = True
        for server in self.servers.values():
            server.given_up |= self.older.destroyed

    def one_acts(self, supervisors: Iterable[Acting]) -> None:
        """No two may take the lease for their own, whatever their clocks."""
        acting = [one.name for one in supervisors if one.alive and one.may_act]
        if len(acting) > 1:
            self.broken("one-acts", f"{' and '.join(acting)} take the lease for their own")

    # -- acknowledged writes ---------------------------------------------------------------------

    def _pair(self, record: Record) -> tuple[SimServer, SimServer]:
        return self.servers[record.writer], self.servers[self.policy.peer(record.writer)]

    def recount(self) -> None:
        self._recount(self.store.record)
        self.world.dirty = True

    def _recount(self, record: Record) -> None:
        writer, standby = self._pair(record)
        known = self.ledger.acknowledged.keys() - self._forgiven
        if known - writer.has and len(self._failed_since_armed) > 1:
            # Both have failed since they were last known to hold the same: more than one failure.
            self._forgiven |= known - writer.has
            known -= self._forgiven
        self._writer_lacks = len(known - writer.has)
        self._standby_lacks = len(known - standby.has)

    def _acknowledged(self, serial: int) -> None:
        writer, standby = self._pair(self.store.record)
        origin = self.ledger.acknowledged[serial][0]
        if any(one.by_stranger and one.index == origin for one in (writer, standby)):
            self._forgiven.add(serial)  # whoever opened it answers for it
            return
        if serial in writer.released_unseen or serial in standby.released_unseen:
            self._forgiven.add(serial)  # between two looks nobody can know of the stray
            return
        self._writer_lacks += serial not in writer.has
        self._standby_lacks += serial not in standby.has
        if self._writer_lacks or self._standby_lacks:
            self.world.dirty = True

    def _record_changed(self, old: Record, new: Record) -> None:
        if self.world.trace is not None:
            self.world.note(
                f"on record: epoch {new.epoch}, writer {new.writer}, {new.sync}, "
                + ", ".join(f"{name} {node.membership}" for name, node in new.nodes)
            )
        self.resets.record_changed(old, new)
        self._judge_loss(old, new)
        if old.writer != new.writer and new.node(old.writer).membership is not Membership.MEMBER:
            self._failed_since_armed.add(old.writer)  # it was lost, dead or not
        if old.writer != new.writer:
            self._took_over(self.servers[new.writer])
        if old.writer != new.writer or old.sync is not new.sync:
            if new.sync is Sync.ARMED:
                self._failed_since_armed = {
                    one.name for one in self.servers.values() if not one.alive
                }
            self._recount(new)
        if len(new.failover_walls) > len(old.failover_walls):
            self._failed_over(old, new)
        self.world.dirty = True

    def _judge_loss(self, old: Record, new: Record) -> None:
        """Who reaches neither node knows nothing of either."""
        since = self.isolated_at
        if since is None or self.world.now < since + BEGUN_SECONDS:
            return
        for name, entry in new.nodes:
            if entry.cause is Cause.LOST and old.node(name).membership is Membership.MEMBER:
                self.broken("lost-by-who-sees", f"{name} is lost on record, and nobody can know")

    def _failed_over(self, old: Record, new: Record) -> None:
        """Above the limit only proven deaths lead to a failover, and none feeds on the last."""
        if len(new.failover_walls) <= self.policy.flap_limit:
            return
        held_seconds = new.failover_walls[-1] - old.writer_since_wall
        writer = self.servers[old.writer]
        if writer.up and old.node(old.writer).boot_id != writer.boot_id:
            return  # it has restarted, and lost what the other one has: nothing to wait for
        loop = held_seconds < self.policy.flap_settled_seconds
        if loop or old.sync is not Sync.ARMED or (writer.up and not writer.leaving):
            self.broken(
                "failovers-apart",
                f"one more failover, {held_seconds:.2f} s after the last change of writer",
            )

    # -- filters -----------------------------------------------------------------------------------

    def _left_out(self, server: ServerProcess, serials: set[int]) -> None:
        """With one writer its peer writes nothing, unless a stranger does: that one answers."""
        if self._dual or server.name != self.store.record.writer:
            server.left_out |= serials

    def _knows_filter(self, server: ServerProcess) -> bool:
        return bool(server.left_out) and server.name in self._filters_seen

    def _took_over(self, server: ServerProcess) -> None:
        """What it left out before anybody could see its filter is lost to the pair."""
        if self._knows_filter(server) and not self.loss_accepted:
            self.broken("left-out", f"{server.name} is the writer, and left changes out")
        server.left_out.clear()

    def _failed(self, server: ServerProcess) -> None:
        self._failed_since_armed.add(server.name)

    def _connected(self, server: ServerProcess) -> None:
        self._connected_as[server.name] = self._membership(server.peer.name)

    # -- at every instant ------------------------------------------------------------------------

    def check(self) -> None:
        record = self.store.record
        writer, standby = self._pair(record)
        standby_entry = record.node(standby.name)
        armed = record.sync is Sync.ARMED
        # With older data it lacks what it lacks; opened so, it is judged.
        waits = writer.name in self.older.newer and not writer.open
        writer_lacks = 0 if waits else self._writer_lacks
        key = (
            self._would_acknowledge(writer),
            self._would_acknowledge(standby),
            writer.by_stranger,
            standby.by_stranger,
            writer.waits and writer.wait_limit_seconds is None,
            standby_entry.boot_id == standby.boot_id,
            writer_lacks,
            self._standby_lacks if armed else 0,
            armed,
            standby_entry.membership,
            self.loss_accepted,
            writer.events[RESTS],
            standby.events[RESTS],
        )
        if key in self._good:
            return
        state = self._state(record, writer, standby, writer_lacks)
        fine = True
        for one in invariants.broken(invariants.STATE, state):
            self.broken(one.name, one.sentence)
            fine = False
        if fine:
            self._good.add(key)

    def _would_acknowledge(self, server: ServerProcess) -> bool:
        """After a forced failover a writer that may live counts only while clients are on it.

        What only a stray lets it say that nobody has had a chance to see does not count. Nor does
        what a server says that stood still past its lease, until its watchdog has closed it, or
        whose watchdog somebody has killed between two renewals.
        """
        if server.overslept or server.unwatched_by_hand:
            return False
        if self._unseen(server) and server.waits and not server.peer.channel.acknowledges:
            return False
        if not self.loss_accepted:
            return server.acknowledges
        through_balancers = any(one.balancer != DIRECT for one in server.sessions)
        return server.acknowledges and through_balancers

    def _state(
        self, record: Record, writer: SimServer, standby: SimServer, writer_lacks: int
    ) -> State:
        def node(server: ServerProcess, lacks: int) -> NodeState:
            return NodeState(
                acknowledges=self._would_acknowledge(server),
                by_stranger=server.by_stranger,
                waits=server.waits and server.wait_limit_seconds is None,
                runs_disabled=server.events[RESTS] == ENABLED,
                in_recorded_life=record.node(server.name).boot_id == server.boot_id,
                lacks=lacks,
            )

        return State(
            mode=self.policy.mode,
            durability=self.policy.durability,
            sync=record.sync,
            writer=node(writer, writer_lacks),
            standby=node(standby, self._standby_lacks if record.sync is Sync.ARMED else 0),
            standby_membership=record.node(standby.name).membership,
            loss_accepted=self.loss_accepted,
        )

    # -- at what a supervisor decides ------------------------------------------------------------

    @staticmethod
    def _unseen(server: ServerProcess) -> bool:
        return server.stray is not None and not server.stray.known

    def decided(self, supervisor: str, view: View, decision: PairDecision) -> None:
        """Once a look has shown a stray, the record may not go on to say armed by its word."""
        self._lives_seen.update(node.look.boot_id for _, node in view.nodes if node.look)
        record = self.store.record
        current = view.record is not None and view.record.version == record.version
        if not (decision.fresh and current) or record.maintenance:
            return  # in maintenance nothing is done about it
        self.resets.decided(supervisor, view)
        self.older.decided(supervisor)
        self._see_filters(view)
        self._see_strangers(view)
        for server in self.servers.values():
            look = view.node(server.name).look
            if server.stray is None or look is None or look.at <= server.stray.since:
                continue
            on_writer = server.name == record.writer and view.node(server.name).answering
            armed = on_writer and record.sync is Sync.ARMED
            if armed and server.waits and server.wait_count == 1:
                self._expect_solo(view, decision)
            else:
                server.stray.known = True

    def _see_filters(self, view: View) -> None:
        for server in self.servers.values():
            look = view.node(server.name).look
            if look is not None and look.filters:
                self._filters_seen.add(server.name)

    def _see_strangers(self, view: View) -> None:
        for server in self.servers.values():
            look, since = view.node(server.name).look, server.opened_by_stranger_at
            if server.by_stranger and look is not None and look.open and look.at > since:
                self._opening_seen[server.name] = since

    def _unapplied(self, server: ServerProcess) -> int:
        """But for what a stranger writes on its peer that nobody could know to be open."""
        peer = server.peer
        known = self._opening_seen.get(peer.name) == peer.opened_by_stranger_at
        unforeseen = set() if known else peer.written_by_stranger
        return sum(one.serial not in unforeseen for one in server.relay)

    def _expect_solo(self, view: View, decision: PairDecision) -> None:
        if not _makes_solo(decision.plan) and not any(i.plan == "distrust" for i in view.incidents):
            self.broken(
                "armed-by-the-standby",
                "the record goes on to say armed while a stray replica can acknowledge",
            )

    # -- at what somebody does -------------------------------------------------------------------

    def _membership(self, node: str) -> Membership:
        return self.store.record.node(node).membership

    def _opened(self, server: ServerProcess) -> None:
        did = Opened(
            is_writer=server.name == self.store.record.writer,
            dual=self._dual,
            membership=self._membership(server.name),
            unapplied=self._unapplied(server),
            receiving=server.channel.state is not ThreadState.STOPPED,
            known_life=server.boot_id in self._lives_seen,
        )
        self.world.note(f"{server.name} opens")
        for one in invariants.broken(invariants.OPENED, did):
            self.broken(one.name, f"{server.name}: {one.sentence}")

    def routed(self, node: str) -> None:
        if self._knows_filter(self.servers[node]) and node != self.store.record.writer:
            self.broken("left-out", f"traffic was sent to {node}, which left changes out")
        for one in invariants.broken(invariants.ROUTED, Routed(self._membership(node))):
            self.broken(one.name, f"{node}: {one.sentence}")

    def _received(self, server: ServerProcess) -> None:
        if server.name != self.store.record.writer or not server.open or server.peer.by_stranger:
            return
        known = self._connected_as[server.name]
        if known is not Membership.MEMBER:  # it may have been looked at since
            known = self._membership(server.peer.name)
        did = Received(known)
        for one in invariants.broken(invariants.RECEIVED, did):
            self.broken(one.name, f"{server.name}: {one.sentence}")

    def _undone(self, server: ServerProcess, transactions: int, quarantined: int) -> None:
        healing = self.store.record.node(server.name).cause is Cause.HEALING
        did = Undone(transactions, quarantined, healing)
        for one in invariants.broken(invariants.UNDONE, did):
            self.broken(one.name, f"{server.name}: {one.sentence}")
        self.recount()

    def _merged(self, server: ServerProcess) -> None:
        self._undone(server, 0, 0)

    # -- at the end ------------------------------------------------------------------------------

    def at_the_end(self) -> None:
        """Nothing that a client heard OK for is nowhere: it is live, or in quarantine."""
        first, second = self.servers.values()
        kept = first.has | second.has
        for server in (first, second):
            kept |= {one.serial for one in server.quarantine}
            kept |= server.written_when_emptied  # whoever opened it answers for it
        gone = self.ledger.acknowledged.keys() - kept - self.older.destroyed
        if gone:
            self.broken("nothing-destroyed", f"{len(gone)} acknowledged writes are nowhere")

    def lost(self) -> int:
        """Acknowledged writes that the writer on record lacks at the end."""
        return len(self.ledger.acknowledged.keys() - self._pair(self.store.record)[0].has)
