"""Does to a simulated cluster what can happen to a real one, and repairs it all at the end."""

from __future__ import annotations

from collections.abc import Callable

from myha.core.node import ThreadState
from myha.core.record import Membership
from myha.core.settings import Difference
from myha.sim.cluster import Cluster
from myha.sim.election import ETCD, SimEtcd
from myha.sim.parameters import RELAY_LOG, Fault
from myha.sim.process import DUPLICATE_KEY, FILTER, OPTION, RELAY_LOG_DAMAGED, SETTING
from myha.sim.server import SimServer
from myha.sim.supervisor import HANG_UP_SECONDS, SimSupervisor

DURING_SECONDS = 0.0008
RETURNS_SECONDS = 0.1  # a supervisor that died or stands still is replaced after so long
SLOW_FACTOR = 40.0
HEARS_LATER_SECONDS = (0.02, 0.1)
SHUTDOWN_SECONDS = 0.25
ELSEWHERE = "elsewhere:3306"
STRANGER_WRITES_SECONDS = 0.03
LOG_RETRY_SECONDS = 0.01
OLDER_SECONDS = 0.05  # in which the data of a server that has crashed are replaced


class Faults:
    """Carries the faults of one history out."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.waiting: list[Fault] = []
        self.cut_from_supervisor: set[str] = set()
        self.over = False
        cluster.on_new_supervisor.append(self._begins)

    def _begins(self, supervisor: SimSupervisor) -> None:
        supervisor.on_step = self.on_step
        for name in self.cut_from_supervisor:
            self.world.cut(supervisor.name, name)

    def plan(self) -> None:
        for fault in self.cluster.parameters.faults:
            if fault.plan:
                self.waiting.append(fault)
            else:
                self.world.after(fault.at_seconds, self.strike, fault)

    def on_step(self, _supervisor: SimSupervisor, kind: str, index: int) -> None:
        """A plan or a job stands before a step: is that what a fault has waited for?"""
        for fault in self.waiting:
            if fault.plan in ("any", kind) and fault.step == index:
                self.waiting.remove(fault)
                if fault.during:
                    self.world.after(0.0005 + DURING_SECONDS, self.strike, fault)
                else:
                    self.strike(fault)
                return

    def strike(self, fault: Fault) -> None:
        if self.over:
            return
        self.world.note(f"FAULT {fault.what} {fault.role}{fault.argument}")
        DEEDS[fault.what](self, fault)

    # -- who ---------------------------------------------------------------------------------------

    def node(self, fault: Fault) -> SimServer:
        record = self.cluster.store.record
        writer = record.writer
        name = writer if fault.role == "writer" else self.cluster.policy.peer(writer)
        return self.cluster.servers[name]

    def later(self, fault: Fault, undo: Callable[..., None], *arguments: object) -> None:
        self.world.after(fault.for_seconds, undo, *arguments)

    # -- nodes -------------------------------------------------------------------------------------

    def crash(self, fault: Fault) -> None:
        self._crash(self.node(fault), fault)

    def shut_down(self, fault: Fault) -> None:
        server = self.node(fault)
        server.shut_down()
        for supervisor in self.cluster.supervisors:
            self.world.after(HANG_UP_SECONDS, supervisor.hung_up, server.name)
        self.world.after(SHUTDOWN_SECONDS, self._crash, server, fault)

    def crash_both(self, fault: Fault) -> None:
        for i, server in enumerate(self.cluster.servers.values()):
            self._crash(server, fault, i * 0.05)

    def _crash(self, server: SimServer, fault: Fault, extra_seconds: float = 0.0) -> None:
        self._hang_up(server)
        self.world.after(fault.for_seconds + extra_seconds, server.restart)

    def _hang_up(self, server: SimServer) -> None:
        server.crash()
        for supervisor in self.cluster.supervisors:
            self.world.after(HANG_UP_SECONDS, supervisor.hung_up, server.name)

    def hang(self, fault: Fault) -> None:
        server = self.node(fault)
        server.freeze()
        self.later(fault, server.thaw)

    def disk_stalls(self, fault: Fault) -> None:
        server = self.node(fault)
        server.stall()
        self.later(fault, server.thaw)

    def full(self, fault: Fault) -> None:
        server = self.node(fault)
        server.full = True
        self.later(fault, setattr, server, "full", False)

    def applier_fails(self, fault: Fault) -> None:
        server, damaged = self.node(fault), fault.argument == RELAY_LOG
        if server.up:
            server.applier_running = False
            server.applier_errno = RELAY_LOG_DAMAGED if damaged else DUPLICATE_KEY
            server.touched()
        if not damaged:
            self.later(fault, self._mend_applier, server)

    def _mend_applier(self, server: SimServer) -> None:
        if server.applier_errno == DUPLICATE_KEY:
            server.applier_errno = 0
            server.touched()

    # -- strangers ---------------------------------------------------------------------------------

    def stranger_opens(self, fault: Fault) -> None:
        server = self.node(fault)
        if server.alive and not server.open:
            server.open = server.by_stranger = True
            server.opened_by_stranger_at = self.world.now
            server.do_place_events(run=True)  # takes it for the writer
            server.touched()
            self.world.after(STRANGER_WRITES_SECONDS, self._stranger_writes, server)

    def _stranger_writes(self, server: SimServer) -> None:
        if server.alive and server.by_stranger and server.open:
            server.begin(None, None)

    def stranger_closes(self, fault: Fault) -> None:
        server = self.node(fault)
        if server.alive and not server.waiting:
            server.open = server.by_stranger = False
            server.touched()

    def stranger_stops_replication(self, fault: Fault) -> None:
        server = self.node(fault)
        if server.alive:
            server.do_stop_replication()
            server.touched()

    def stranger_moves_source(self, fault: Fault) -> None:
        server = self.node(fault)
        if server.alive:
            running = server.channel.state is not ThreadState.STOPPED
            server.channel.stop()
            server.channel.source = ELSEWHERE
            if running:
                server.channel.start()
            server.touched()

    def stranger_resets_source(self, fault: Fault) -> None:
        """RESET REPLICA ALL on one that has applied all: what else it would throw away is lost by
        whoever runs it, until it is received again."""
        server = self.node(fault)
        if server.alive and not server.relay:
            server.do_stop_replication()
            server.channel.source = ""
            server.touched()

    def stranger_changes_settings(self, fault: Fault) -> None:
        self._change(self.node(fault), SETTING, OPTION)

    def stranger_filters(self, fault: Fault) -> None:
        """A filter, in the option file too: from now on whatever is applied is left out."""
        self._change(self.node(fault), FILTER)

    def _change(self, server: SimServer, *what: Difference) -> None:
        if server.alive:
            server.changed += tuple(one for one in what if one not in server.changed)
            server.touched()

    def stray_replica(self, fault: Fault) -> None:
        """A replica outside the pair connects with semi-sync, and leaves again."""
        server = self.node(fault)
        if server.alive and server.stray is None:
            server.stray_connects()
            self.later(fault, server.stray_leaves)

    # -- logs --------------------------------------------------------------------------------------

    def resets_log(self, fault: Fault) -> None:
        """When both have all and nothing is under way: what else is lost is the stranger's affair.

        A replica stays where it was, in a file that is gone, and is sent nothing until it connects.
        """
        server = self.node(fault)
        rests = server.alive and not (server.waiting or server.relay or server.peer.relay)
        same = server.has == server.peer.has and server.peer.channel.flows
        if rests and same and self._nothing_is_done():
            self.world.note(f"the log of {server.name} is reset")
            server.reset_log()
            server.peer.channel.misplaced = True
            server.touched()
            self.cluster.judge.resets.reset(server)
        else:
            self._again(fault)

    def _nothing_is_done(self) -> bool:
        """Both nodes are members as they are now, and no plan is under way."""
        record, acting = self.cluster.store.record, self.cluster.supervisor
        members = [
            entry.membership is Membership.MEMBER
            and entry.boot_id == self.cluster.servers[name].boot_id
            for name, entry in record.nodes
        ]
        return all(members) and acting is not None and acting.loop.running is None

    def purges_log(self, fault: Fault) -> None:
        """Under a connected replica a server purges nothing that it has yet to send."""
        server = self.node(fault)
        if server.alive and server.peer.channel.state is not ThreadState.RUNNING:
            server.purge_log()
        else:
            self._again(fault)

    def _again(self, fault: Fault) -> None:
        self.world.after(LOG_RETRY_SECONDS, self._log_strike, fault)

    def _log_strike(self, fault: Fault) -> None:
        if not self.over:
            DEEDS[fault.what](self, fault)

    def comes_back_older(self, fault: Fault) -> None:
        """A snapshot is taken; some time later it crashes, and that is put in its data's place."""
        server = self.node(fault)
        if server.alive:
            self.cluster.judge.older.snapshot(server)
            self.later(fault, self._crash_to_older, server)

    def _crash_to_older(self, server: SimServer) -> None:
        if server.up and not self.over:
            self._hang_up(server)
            self.world.after(OLDER_SECONDS, self._older, server)

    def _older(self, server: SimServer) -> None:
        if not server.up:
            if self.cluster.judge.older.put_back(server):
                self.world.note(f"{server.name} has older data")
                self.cluster.judge.recount()
            server.restart()

    # -- links -------------------------------------------------------------------------------------

    def cut_pair(self, fault: Fault) -> None:
        first, second = self.cluster.servers
        self._cut(fault, first, second)

    def _cut(self, fault: Fault, one: str, other: str) -> None:
        self.world.cut(one, other)
        self.later(fault, self.world.mend, one, other)

    def cut_supervisor(self, fault: Fault) -> None:
        self._cut_supervisors(fault, self.node(fault).name)

    def isolate_supervisor(self, fault: Fault) -> None:
        """From both nodes at once, when all is well. Its watchers look at other moments each, so
        that it hears of one first: here that one is cut off first."""
        standby = self.node(fault).name
        self._cut_supervisors(fault, standby)
        later = self.world.rng.uniform(*HEARS_LATER_SECONDS)
        self.world.after(later, self._isolated, fault, self.cluster.policy.peer(standby))

    def _isolated(self, fault: Fault, writer: str) -> None:
        if not self.over:
            self._cut_supervisors(fault, writer)
            self.cluster.judge.isolated_at = self.world.now

    def cut_supervisor_balancer(self, fault: Fault) -> None:
        self._cut_supervisors(fault, next(iter(self.cluster.balancers)))

    def _cut_supervisors(self, fault: Fault, name: str) -> None:
        self.cut_from_supervisor.add(name)
        for supervisor in self.cluster.supervisors:
            self.world.cut(supervisor.name, name)
        self.later(fault, self._mend_supervisors, name)

    def _mend_supervisors(self, name: str) -> None:
        self.cluster.judge.isolated_at = None
        self.cut_from_supervisor.discard(name)
        for supervisor in self.cluster.supervisors:
            self.world.mend(supervisor.name, name)

    def cut_writer(self, fault: Fault) -> None:
        """From its peer and the supervisor; clients still reach it."""
        self.cut_pair(fault)
        self.cut_supervisor(fault)

    def watchdog_killed(self, fault: Fault) -> None:
        """On a server that the supervisor reaches: else nobody could know."""
        server, one = self.node(fault), self.cluster.supervisor
        reached = one is not None and self.world.linked(one.name, server.name)
        if server.alive and server.watchdog is not None and reached:
            server.watchdog.killed()

    def clock_steps_back(self, fault: Fault) -> None:
        watchdog = self.node(fault).watchdog
        if watchdog is not None:
            watchdog.clock_steps_back()

    def cut_balancer(self, fault: Fault) -> None:
        self._cut(fault, next(iter(self.cluster.balancers)), self.node(fault).name)

    def slow(self, fault: Fault) -> None:
        self.world.latency_seconds = self.cluster.parameters.latency_seconds * SLOW_FACTOR
        self.later(fault, self._fast)

    def _fast(self) -> None:
        self.world.latency_seconds = self.cluster.parameters.latency_seconds

    # -- supervisors and balancers -----------------------------------------------------------------

    def supervisor_dies(self, fault: Fault) -> None:
        one = self.cluster.supervisor
        if one is not None:
            one.kill()
            if self.cluster.etcd is None:
                self.later(fault, self._replace)

    def _replace(self) -> None:
        if self.cluster.supervisor is None:
            for one in self.cluster.supervisors:
                one.deposed = True
            self.cluster.new_supervisor()

    def supervisor_stands_still(self, fault: Fault) -> None:
        """Another takes over meanwhile; the old one goes on with its plan when it wakes."""
        one = self.cluster.supervisor
        if one is not None:
            self._pause(one, fault)

    def _pause(self, one: SimSupervisor, fault: Fault) -> None:
        """Between two steps: a call that is under way is not stopped by it."""
        if one.in_call:
            self.world.after(0.001, self._pause, one, fault)
        elif not self.over:
            one.pause()
            if self.cluster.etcd is None:
                self.world.after(RETURNS_SECONDS, self._replace)
            self.later(fault, one.resume)

    def freezes_with_a_command(self, fault: Fault) -> None:
        """Between asking whether it may act and acting; another takes over meanwhile."""
        one = self.cluster.supervisor
        if one is not None and self.cluster.etcd is not None:
            one.in_hand_seconds = fault.for_seconds

    def etcd_is_lost(self, fault: Fault) -> None:
        etcd = self.cluster.etcd
        if etcd is not None:
            etcd.goes_down()
            self.later(fault, etcd.comes_up)

    def cut_etcd(self, fault: Fault) -> None:
        """From the one that acts."""
        one = self.cluster.supervisor
        if one is not None and self.cluster.etcd is not None:
            self._cut(fault, one.name, ETCD)

    def balancer_restarts(self, fault: Fault) -> None:
        one = list(self.cluster.balancers.values())[-1]
        one.crash()
        self.later(fault, self._balancer_up, one.name)

    def _balancer_up(self, name: str) -> None:
        balancer = self.cluster.balancers[name]
        if not balancer.up:
            balancer.restart()

    # -- operators ---------------------------------------------------------------------------------

    def request(self, fault: Fault) -> None:
        one = self.cluster.supervisor
        if one is None:
            return
        record = self.cluster.store.record
        arguments = {
            "fence": {"node": self.cluster.policy.peer(record.writer)},
            "heal": {"node": self.cluster.policy.peer(record.writer), "method": "reseed"},
            "failover": {"accept_loss": "yes"},
            "maintenance": {"state": "on"},
        }.get(fault.argument, {})
        done = one.request(fault.argument, arguments)
        if done and fault.argument == "failover":
            self.cluster.judge.loss_accepted = True

    # -- the end -----------------------------------------------------------------------------------

    def repair(self) -> None:
        """Everything works again, and one supervisor is at work."""
        self.world.note("everything is repaired")
        self.over = True
        self.waiting.clear()
        cluster, world = self.cluster, self.world
        self._fast()
        for name in (*cluster.servers, *cluster.balancers):
            self._mend_supervisors(name)
            for other in (*cluster.servers, *cluster.balancers):
                world.mend(name, other)
        for server in cluster.servers.values():
            server.full = False
            server.stray_leaves()
            server.restart()
            server.thaw()
            self._mend_applier(server)
            if server.channel.source == ELSEWHERE:
                server.channel.stop()
                server.channel.source = server.channel.own_source
                server.touched()
        for balancer in cluster.balancers:
            self._balancer_up(balancer)
        if cluster.etcd is not None:
            self._repair_etcd(cluster.etcd)
            return
        working = cluster.supervisor
        for one in cluster.supervisors:
            if one is not working:
                one.kill()
        if working is None:
            cluster.new_supervisor()

    def _repair_etcd(self, etcd: SimEtcd) -> None:
        """Whoever is in line has the lease soon, if nobody has it now."""
        if not etcd.up:
            etcd.comes_up()
        for one in self.cluster.supervisors:
            self.world.mend(one.name, ETCD)
            if one.alive and (one.paused or one.name != etcd.holder):
                one.kill()


DEEDS: dict[str, Callable[[Faults, Fault], None]] = {
    "crash": Faults.crash,
    "shut-down": Faults.shut_down,
    "crash-both": Faults.crash_both,
    "hang": Faults.hang,
    "disk-stalls": Faults.disk_stalls,
    "cut-pair": Faults.cut_pair,
    "cut-supervisor": Faults.cut_supervisor,
    "isolate-supervisor": Faults.isolate_supervisor,
    "cut-balancer": Faults.cut_balancer,
    "cut-writer": Faults.cut_writer,
    "watchdog-killed": Faults.watchdog_killed,
    "clock-steps-back": Faults.clock_steps_back,
    "cut-supervisor-balancer": Faults.cut_supervisor_balancer,
    "slow": Faults.slow,
    "supervisor-dies": Faults.supervisor_dies,
    "supervisor-stands-still": Faults.supervisor_stands_still,
    "freezes-with-a-command": Faults.freezes_with_a_command,
    "etcd-is-lost": Faults.etcd_is_lost,
    "cut-etcd": Faults.cut_etcd,
    "balancer-restarts": Faults.balancer_restarts,
    "stranger-opens": Faults.stranger_opens,
    "stranger-closes": Faults.stranger_closes,
    "stranger-stops-replication": Faults.stranger_stops_replication,
    "stranger-moves-source": Faults.stranger_moves_source,
    "stranger-resets-source": Faults.stranger_resets_source,
    "stranger-changes-settings": Faults.stranger_changes_settings,
    "stranger-filters": Faults.stranger_filters,
    "resets-log": Faults.resets_log,
    "purges-log": Faults.purges_log,
    "comes-back-older": Faults.comes_back_older,
    "stray-replica": Faults.stray_replica,
    "full": Faults.full,
    "applier-fails": Faults.applier_fails,
    "request": Faults.request,
}
