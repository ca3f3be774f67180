"""The supervisor of one pair, put together from its configuration.

It knows of no process around it and of no other pair: whoever runs it gives it a thread.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_fixed,
)

from myha.balancers.factory import make_balancers
from myha.config import Config
from myha.core.address import Standings
from myha.core.events import ALL, Kind, Selector, Wanted
from myha.core.followers.view import PairSeen
from myha.core.journal_line import Line, Note
from myha.core.planning import PairDecision
from myha.core.plans import RecordChange
from myha.core.record import Record
from myha.core.verdicts import situation_of
from myha.core.view import View
from myha.errors import ClaimedError, MyhaError, ServerGoneError
from myha.ports import Lease, WatchedServer
from myha.servers.base import BaseServer
from myha.servers.claim import Claim, Claimant
from myha.servers.factory import adapter_of, make_followers, make_leases, make_servers
from myha.stores.factory import (
    misfit,
    open_followers,
    open_journal,
    open_record_store,
    require_record,
    supervisor_lease,
)
from myha.supervisor.clock import SystemClock
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.driver import Driver
from myha.supervisor.executor import Tools
from myha.supervisor.fence_command import CommandFence
from myha.supervisor.followers.lane import FollowerLane
from myha.supervisor.followers.requests import OF_A_REPLICA
from myha.supervisor.followers.status import replica_status
from myha.supervisor.heartbeat import HeartbeatWriter
from myha.supervisor.housekeeping import VERIFY, Housekeeping
from myha.supervisor.jobs import ProcessJobs
from myha.supervisor.journal import LoggedJournal
from myha.supervisor.lease import KeptLeases, LeaseKeeper
from myha.supervisor.loop import CHANGES_WRITER, Loop
from myha.supervisor.messages import MESSENGER, Attached, order_of
from myha.supervisor.news import Change, Noticing
from myha.supervisor.on_writer_change import OnWriterChange
from myha.supervisor.requests import Reply, Request
from myha.supervisor.standings import SharedStandings
from myha.supervisor.status import Status
from myha.supervisor.status_builder import build_status
from myha.undo.rewind import finish_rewind

REQUEST_DEADLINE_SECONDS = 55.0
CONFIG_CHECK_SECONDS = 2.0
# Arguments of a request that are none of the command's.
DRY_RUN, WHO, FROM = "dry_run", "who", "from"
OF_WHO_ASKS = frozenset({DRY_RUN, WHO, FROM})
FLAVOUR_RETRY_SECONDS = 1.0
DAY_SECONDS = 86_400.0


def _holder() -> str:
    """Who this is, for those who find its claim."""
    return f"{socket.gethostname()}, process {os.getpid()}"


class PairSupervisor:
    """One pair's record, journal, watchers, loop, executor and jobs."""

    def __init__(
        self,
        config: Config,
        leave: threading.Event | None = None,
        lease: Lease | None = None,
        alive: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Takes the record over, with a lease that it holds, or acquires. Waits for a node that
        says which flavour it is, until `leave`. `alive` is called by the loop at each turn, and by
        whoever waits, with the verdict or the reason; it must not wait for anything.

        Raises MyhaError when there is no record, another supervisor has it, or it does not fit,
        and ServerGoneError when it was told to leave meanwhile; nothing is held then.
        """
        self.config = config
        self._leave = threading.Event() if leave is None else leave
        self._alive = alive
        self.name = config.cluster.name
        self.clock = SystemClock()
        self._check(require_record(config))  # before anything is made there
        if lease is None:
            lease = supervisor_lease(config)
            lease.acquire()
        self.lease = lease
        with ExitStack() as held:
            held.callback(lease.release)
            self._make(config, held)
            held.pop_all()

    def _make(self, config: Config, held: ExitStack) -> None:
        """What needs the lease; `held` lets go of it all when this fails."""
        lease = self.lease
        self.store = open_record_store(config, lease)
        held.callback(self.store.close)
        record = self._take_over(self._check(require_record(config)))
        self.claimant = Claimant(Claim(record.store, record.term, _holder()))
        self.journal_file = open_journal(config)
        held.callback(self.journal_file.close)
        self.journal = LoggedJournal(self.journal_file, self.name)
        self.messages = self._attach(held)
        kind = self._flavour()
        self.servers: dict[str, WatchedServer] = make_servers(
            config, kind, before_replication=finish_rewind, claimant=self.claimant
        )
        calls = ThreadedCalls()
        self._claim_nodes(calls)
        commands = {name: node.fence_command for name, node in config.nodes.items()}
        self.jobs = ProcessJobs(
            config.path, self.clock, self.journal, pair=self.name, order=config.order
        )
        self.tools = Tools(
            self.servers,
            make_balancers(config),
            self.store,
            self.clock,
            calls,
            self.journal,
            self.jobs,
            CommandFence(commands),
            lease=lease,
        )
        now, wall = self.clock.monotonic(), self.clock.wall()
        self.loop = Loop(config.policy(), now, wall, record)
        interval = config.timing.look_interval_seconds
        address = self.loop.view.policy.address
        standings = None
        if address is not None:
            standings = SharedStandings(
                Standings(tuple(config.balancers), address, now), lambda: self.loop.view
            )
        self.driver = Driver(self.loop, self.tools, self.servers, interval, standing=standings)
        lease.on_lost = self._lease_is_lost
        lease.on_trouble = self._lease_is_in_trouble
        if lease.lost:  # before anybody was told
            self.driver.lose()
        self.jobs.emit = self.driver.queue.put
        self.housekeeping = Housekeeping(
            config, self.jobs, self.clock, self.journal, self._seen, tidy=self._tidy
        )
        self.jobs.on_ended = self.housekeeping.ended
        self.heartbeats = {name: self._heartbeat(name) for name in self.servers}
        self.keepers = self._make_keepers()
        if self.keepers:
            self.tools.leases = KeptLeases(self.keepers)
        self._ending = threading.Event()
        self._passed: tuple[object, ...] = ()
        self._spoken, self._spoken_of = "", tuple[object, ...]()
        self.lanes = self._make_lanes(kind) if config.replicas else {}
        self.pointer = self._make_pointer()
        self.driver.before_turn = self._before_turn
        self.driver.after_turn = self._after_turn
        self._noticing = Noticing()
        self._on_news: Callable[[Change], None] = lambda _change: None
        # Called once in the loop's thread, when every node has been looked at, whatever came of it.
        # Must not wait for anything.
        self.on_surveyed: Callable[[], None] = lambda: None
        self._surveyed = False

    def _attach(self, held: ExitStack) -> Attached | None:
        """Have the events told, where somebody is to be told."""
        order = order_of(self.config)
        if not order:
            return None
        attached = MESSENGER.have(self.name, order, self.journal.note)
        held.callback(attached.leave)
        self.journal.listeners.append(attached.offer)
        return attached

    def _make_lanes(self, kind: type[BaseServer]) -> dict[str, FollowerLane]:
        """One for each read replica. They read the pair's record, and have their own."""
        followers = open_followers(self.config, self.lease)
        made = make_followers(
            self.config,
            self.servers,
            kind,
            before_replication=finish_rewind,
            claimant=self.claimant,
        )
        return {
            name: FollowerLane(
                self.config,
                servers,
                followers,
                self.driver,
                self.loop.view,
            )
            for name, servers in made.items()
        }

    def _make_pointer(self) -> OnWriterChange | None:
        """What lets a name in DNS follow the writer, where there is one."""
        if not self.config.dns.server:
            return None
        from myha.naming.dns import DnsName  # noqa: PLC0415  # much comes with it

        addresses = {name: node.dns_address for name, node in self.config.nodes.items()}
        return OnWriterChange(DnsName(self.config.dns).point, addresses, self.journal)

    def _before_turn(self) -> None:
        """In the loop's thread: it goes on. The sentence is made anew only when it may differ."""
        view, decision = self.loop.view, self.loop.decision
        known = (decision.verdicts[:1], view.record)
        if known != self._spoken_of:
            it = situation_of(view)
            said = [one.text(it) for one in decision.verdicts[:1] if it is not None]
            self._spoken = said[0] if said else "looking at the pair"
            self._spoken_of = known
        self._alive(self._spoken)

    def _after_turn(self) -> None:
        """In the loop's thread; waits for nothing."""
        if not self._surveyed and self.loop.decision.fresh:
            self._surveyed = True
            self.on_surveyed()
        for heartbeat in self.heartbeats.values():
            heartbeat.wake()
        if self.lanes:
            self._pass_to_lanes()
        if self.pointer is not None:
            self.pointer.pair_seen(self.loop.view)
        lanes = tuple(lane.loop.decision.verdicts for lane in self.lanes.values())
        change = self._noticing.changed(self.loop, lanes, looked=not self.driver.rested)
        if change is not None:
            self._on_news(change)

    def _pass_to_lanes(self) -> None:
        """What has changed, as one value."""
        view, running = self.loop.view, self.loop.running
        known = (view.record, view.nodes, view.balancers, running)
        if all(new is old for new, old in zip(known, self._passed, strict=False)) and self._passed:
            return
        self._passed = known
        changing = running is not None and running.kind in CHANGES_WRITER
        for lane in self.lanes.values():
            lane.pair_seen(PairSeen(view.at, view, changing))

    def _flavour(self) -> type[BaseServer]:
        """Wait for a node that says what it is: with both lost there is nobody to tell apart."""

        def note_wait(state: RetryCallState) -> None:
            why = state.outcome.exception() if state.outcome is not None else None
            self._alive(f"waiting: {why}")
            if state.attempt_number == 1:
                self.journal.note(Kind.SUPERVISOR, f"waiting: {why}", {})

        waiting = Retrying(
            retry=retry_if_exception_type(ServerGoneError),
            wait=wait_fixed(FLAVOUR_RETRY_SECONDS),
            before_sleep=note_wait,
            sleep=sleep_using_event(self._leave),
            stop=stop_when_event_set(self._leave),
            reraise=True,
        )
        return waiting(adapter_of, self.config)

    def _check(self, record: Record) -> Record:
        if why_not := misfit(self.config, record):
            raise MyhaError(why_not)
        return record

    def _take_over(self, record: Record) -> Record:
        """Move the record on, so that no step of a predecessor that only slept still fits."""
        change = RecordChange("another supervisor takes over")
        taken = change.apply(record, self.clock.wall())
        store = record.store or secrets.token_hex(8)
        taken = replace(taken, pair=self.name, store=store, term=taken.version)
        self.store.compare_and_set(record.version, taken)
        return taken

    def _claim_nodes(self, calls: ThreadedCalls) -> None:
        """Both at once, before anything is looked at. One that is not reached now is claimed as
        soon as it is. Raises ClaimedError when one belongs to another supervisor."""
        deadline = self.config.timing.call_deadline_seconds
        claims = [
            (name, partial(server.claim_now, deadline)) for name, server in self.servers.items()
        ]
        outcome = calls.all(claims, 2 * deadline)
        for name, error in outcome.items():
            if isinstance(error, ClaimedError):
                raise error
            if error is not None:
                self.journal.note(Kind.CLAIM, f"{name} is not claimed yet: {error}", {"node": name})

    def _tidy(self) -> bool:
        """Remove a little of what the journal need not keep any more; whether there is more."""
        limits = self.config.retention
        days = limits.journal_days
        before = self.clock.wall() - days * DAY_SECONDS if days else float("-inf")
        return self.journal_file.prune(before, limits.journal_mb)

    def _seen(self) -> tuple[View, PairDecision]:
        return self.loop.view, self.loop.decision

    def _heartbeat(self, name: str) -> HeartbeatWriter:
        timing = self.config.timing
        return HeartbeatWriter(
            self.servers[name],
            self.clock,
            timing.pulse_interval_seconds,
            timing.call_deadline_seconds,
            lambda: self.loop.writes_heartbeat(name),
        )

    def _make_keepers(self) -> dict[str, LeaseKeeper]:
        """One for each node, where the writer has a watchdog."""
        watchdog = self.loop.view.policy.watchdog
        if watchdog is None:
            return {}
        return {
            name: LeaseKeeper(
                lease,
                watchdog,
                self.config.timing.call_deadline_seconds,
                wanted=partial(self.loop.lease_of, name),
                resting=lambda: self.loop.replaces_writer,
                emit=self.driver.queue.put,
            )
            for name, lease in make_leases(self.servers, watchdog).items()
        }

    # -- the right to act ------------------------------------------------------------------------

    def _lease_is_lost(self) -> None:
        self.journal.note(
            Kind.LEASE_LOST, "the lease has run out: another supervisor may act now", {}
        )
        self.driver.lose()

    def _lease_is_in_trouble(self, why: str) -> None:
        text = (
            f"the lease is not renewed: {why}; nothing is done meanwhile"
            if why
            else ("the lease is renewed again")
        )
        self.journal.note(Kind.LEASE, text, {})

    # -- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """The loop, in this thread, until `stop`; a plan under way reaches its end first."""
        self.journal.note(
            Kind.SUPERVISOR,
            f"started, process {os.getpid()}",
            {"pid": str(os.getpid()), "life": "begun"},
        )
        threading.Thread(target=self._note_sudden_end, name="lives", daemon=True).start()
        for heartbeat in self.heartbeats.values():
            heartbeat.start()
        for keeper in self.keepers.values():
            keeper.start()
        self.housekeeping.start()
        threading.Thread(target=self._watch_config, name="config", daemon=True).start()
        for lane in self.lanes.values():
            lane.start()
        if self.pointer is not None:
            self.pointer.start()
        try:
            self.driver.run()
        finally:
            self._ending.set()
            self._end_lanes()
            if self.pointer is not None:
                self.pointer.stop()
            self.housekeeping.stop()
            self.jobs.close()
            for keeper in self.keepers.values():
                keeper.stop()
            for heartbeat in self.heartbeats.values():
                heartbeat.stop()

    def _note_sudden_end(self) -> None:
        """Say so when the last supervisor that wrote into this journal did not end by itself."""
        wanted = Wanted((Selector(Kind.SUPERVISOR),))
        with suppress(MyhaError):  # a journal that cannot be read tells nothing
            lives = [one for one in self.journal_file.events(20, 0, wanted) if one.life]
            if len(lives) > 1 and lives[-2].life == lives[-1].life == "begun":
                text = (
                    f"the supervisor before this one (process {lives[-2].pid}) ended without"
                    " a word: it was killed, or its host was lost"
                )
                self.journal.note(Kind.UNSUPERVISED, text, {})

    def _end_lanes(self) -> None:
        for lane in self.lanes.values():
            lane.stop()
        for lane in self.lanes.values():
            lane.close()

    def stop(self, reason: str) -> None:
        """From any thread: have `run` end as soon as nothing is left half done."""
        running = self.loop.running
        first = f" when the plan under way is done: {running.sentence}" if running else ""
        self.journal.note(Kind.SUPERVISOR, f"{reason}: stopping{first}", {})
        self.driver.stop()

    def close(self) -> None:
        """After `run`: let go of the record. Another supervisor may have it from now on.

        Its connections too: the process may go on with others.
        """
        text = "stopped; routing and replication stay as they are"
        self.journal.note(Kind.SUPERVISOR, text, {"life": "ended"})
        self.lease.release()
        if self.messages is not None:
            self.messages.leave()
        for server in self.servers.values():
            server.disconnect()
        for balancer in self.tools.balancers.values():
            balancer.close()
        self.store.close()
        self.journal_file.close()

    def _watch_config(self) -> None:
        said = False
        while not self._ending.wait(CONFIG_CHECK_SECONDS):
            self.lease.renew()
            changed = self.config.changed_on_disk()
            if changed and not said:
                self.journal.note(
                    Kind.CONFIG,
                    f"{self.config.path} has changed; this supervisor still uses it as it was: "
                    "`myha reload` has it use the new one",
                    {},
                )
            said = changed

    @property
    def rounds(self) -> int | None:
        """How many turns of its loop have begun; None while it has none to make."""
        begun = self.driver.turns.begun
        return None if not begun or self._ending.is_set() else begun

    # -- what is asked of it, from other threads -------------------------------------------------

    def announce_to(self, to: Callable[[Change], None]) -> None:
        """Call `to` whenever the status or the journal says something new. It must not wait."""
        self._on_news, self.journal.on_line = to, partial(to, Change.NEWS)
        to(Change.NEWS)

    def status(self) -> Status:
        loop, failures = self.loop, self.housekeeping.diagnoses.found()
        known = build_status(self.name, loop.view, loop.decision, loop.running, failures)
        own: dict[str, Any] = {
            "pid": os.getpid(),
            "config_changed": self.config.changed_on_disk(),
            "journal_failure": self.journal.failure,
            "dns_failure": "" if self.pointer is None else self.pointer.failure,
            "last_jobs": self.housekeeping.last(),
            "loop": self.driver.turns.status(),
            "pulse": {name: one.status() for name, one in self.heartbeats.items()},
        }
        if self.messages is not None:
            own["notify"], own["hooks"] = self.messages.channels(), self.messages.hooks()
            own["messages_failure"] = MESSENGER.failure
        if not self.lease.holds():
            why = "it is not renewed, and another supervisor may have it: nothing is done here"
            own |= {"lease_failure": why, "healthy": False, "settled": False}
        if self.lanes:
            own["replicas"] = {
                name: replica_status(one.loop.view, one.loop.decision, one.loop.running, one.defect)
                for name, one in self.lanes.items()
            }
        return known.model_copy(update=own)

    def events(self, limit: int, after: int, wanted: Wanted = ALL) -> list[Line]:
        """The journal's last lines with an id above `after`, oldest first."""
        return self.journal_file.events(limit, after, wanted)

    def note(self, note: Note) -> None:
        """A line of the journal and the log, from whoever may ask here."""
        self.journal.note(note.kind, note.text, dict(note.fields))

    def request(self, name: str, arguments: dict[str, str]) -> Reply:
        """Have it done, and wait for that.

        Of the arguments `dry_run` says that only the plan is wanted, and `who` and `from`, who has
        asked from where; the others are the request's own.
        """
        own = {key: value for key, value in arguments.items() if key not in OF_WHO_ASKS}
        text = " ".join([name, *(f"{key}={value}" for key, value in sorted(own.items()))])
        if arguments.get(DRY_RUN) == "yes":
            return self._dry_run(name, own)
        self.journal.note(Kind.REQUEST, text, {})
        reply = self._verify() if name == VERIFY else self._ask(Request(name, own))
        if not reply.ok:
            self.journal.note(Kind.REQUEST_REFUSED, f"{name}: {reply.text}", {})
        if WHO in arguments:
            self._audit(text, arguments, reply)
        return reply

    def _ask(self, request: Request) -> Reply:
        of_a_replica = request.name in OF_A_REPLICA
        lane = self.lanes.get(request.arguments.get("node", "")) if of_a_replica else None
        driver = self.driver if lane is None else lane
        return driver.ask(request, REQUEST_DEADLINE_SECONDS)

    def _dry_run(self, name: str, arguments: dict[str, str]) -> Reply:
        if name == VERIFY:
            return Reply(True, "would be done: the rows of both nodes are compared, by a job")
        return self._ask(Request(name, arguments, dry_run=True))

    def _verify(self) -> Reply:
        """A comparison, as one that is due by time."""
        try:
            self.housekeeping.compare()
        except MyhaError as error:
            return Reply(False, str(error))
        return Reply(True, "the comparison has begun; the status shows how far it is")

    def _audit(self, what: str, arguments: dict[str, str], reply: Reply) -> None:
        outcome = "done" if reply.ok else "refused"
        fields = {key: arguments.get(key, "") for key in (WHO, FROM)}
        said = f"{fields[WHO]}, from {fields[FROM]}: {what}: {outcome}"
        self.journal.note(Kind.AUDIT, said, {**fields, "what": what, "outcome": outcome})
