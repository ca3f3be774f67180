"""Random combinations of the faults that the other scenarios play one at a time.

All of a round's faults are undone, the pair has to be whole, and the round is judged before the
next one begins: so a run of any length needs no more memory than its longest round.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial

from myha.drill.acting import ActingClient
from myha.drill.combinations import (
    BALANCER,
    BESIDE_LIMIT,
    CUT,
    ETCD,
    FREEZE,
    POWER_CUT,
    STALL,
    STANDBY,
    STEP,
    SUPERVISOR,
    WRITER,
    Act,
    draw,
)
from myha.drill.disks import Stall, give_disks, start_if_gone
from myha.drill.leaders import until_another_acts
from myha.drill.power import POWER
from myha.drill.stage import (
    STOP_DEADLINE_SECONDS,
    Fault,
    Scenario,
    Stage,
    silence,
    start_anew,
)
from myha.errors import MyhaError
from myha.hosts.local import LocalHost
from myha.sandbox import clocks, disks
from myha.sandbox.cluster import Cluster
from myha.sandbox.network.faults import Cut, both_ways
from myha.sandbox.network.layout import BALANCERS

WHOLE_SECONDS = 180.0

Undo = Callable[[], None]


def give_everything(cluster: Cluster) -> None:
    """Disks where we may mount, and clocks."""
    if disks.why_not() == "":
        give_disks(cluster)
    clocks.give_clocks(cluster)


def _given(cluster: Cluster) -> list[str]:
    """What this sandbox was made for."""
    has = {
        STEP: True,
        STALL: disks.has_disks(cluster.directory),
        CUT: cluster.network is not None,
        ETCD: bool(cluster.etcd),
    }
    return [kind for kind, there in has.items() if there]


def _strike(stage: Stage) -> Fault:
    cluster = stage.target.cluster
    if cluster is None:
        raise MyhaError("chaos is for sandboxes only")
    acts = draw(stage.seed, stage.number, _given(cluster))
    said = " + ".join(map(str, acts))
    stage.tell(f"{said}, each undone after a while")
    stage.slow_down()  # a long run must not fill the disk
    if acts[0].what == POWER_CUT:
        power = POWER[0].strike(stage)
        return Fault(power.at, said)
    at = time.monotonic()
    agenda = [(act.at_seconds, act, True) for act in acts]
    agenda += [(act.at_seconds + act.for_seconds, act, False) for act in acts]
    doer, undo = _Doer(stage, cluster), dict[Act, Undo]()
    stage.undo(doer.await_starts)  # the last of all
    for seconds, act, begins in sorted(agenda, key=lambda one: one[0]):
        time.sleep(max(0.0, at + seconds - time.monotonic()))
        if begins:
            stage.tell(str(act))
            undo[act] = doer.begin(act)
        else:
            stage.tell(f"undo: {act}")
            undo.pop(act)()
    doer.await_starts()
    return Fault(at, said)


@dataclass
class _Doer:
    """Does one fault after the other, and knows which links are cut by which."""

    stage: Stage
    cluster: Cluster
    cuts: dict[Act, tuple[Cut, ...]] = field(default_factory=dict)
    starts: list[Future[None]] = field(default_factory=list)
    pool: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, BESIDE_LIMIT + 1))

    def begin(self, act: Act) -> Undo:
        """Do it; what undoes it, once. A round that breaks off does that by itself."""
        if act.what == CUT:
            return self._cut(act)
        if act.what == STEP:
            return self._step_clock(act.argument)
        if act.what == STALL:
            return self._stall(self._node(act.who))
        if act.who == ETCD:
            return self._kill_etcd(act.argument)
        host = self._process(act.who)
        back = cache(partial(self._restore, host))  # what is put right is not looked at again
        self.stage.undo(back)
        if act.what == FREEZE:
            host.freeze()
        else:
            host.kill()
        return back

    def _restore(self, host: LocalHost) -> None:
        """Let it go on, or begin to start it: what was fenced from outside meanwhile is gone.

        Nobody waits for it to serve here: it may be for a link that is cut.
        """
        if host.frozen():
            host.thaw()
            return
        self.starts.append(self.pool.submit(start_anew, host))

    def await_starts(self) -> None:
        """All that were begun. Raises MyhaError for one that does not serve in time."""
        while self.starts:
            self.starts.pop().result()
        self.pool.shutdown(wait=False)

    def _node(self, role: str) -> str:
        return self.stage.writer if role == WRITER else self.stage.standby

    def _process(self, who: str) -> LocalHost:
        """Of several supervisors the one that acts, if one does just now."""
        if who in (WRITER, STANDBY):
            return self.cluster.servers[self._node(who)]
        if who == BALANCER:
            return self.cluster.haproxy
        number, client = 0, self.stage.target.client
        if isinstance(client, ActingClient):
            with suppress(MyhaError):
                number = client.acting()
        return self.cluster.supervisors[number]

    def _step_clock(self, seconds: int) -> Undo:
        back = partial(clocks.step, self.cluster, clocks.SUPERVISOR, 0)
        self.stage.undo(back)
        clocks.step(self.cluster, clocks.SUPERVISOR, seconds)
        return back

    def _stall(self, name: str) -> Undo:
        stall = Stall(self.cluster.machines[name].directory)
        self.stage.undo(stall.end)
        stall.begin()
        return partial(self._go_on, stall, name)

    def _go_on(self, stall: Stall, name: str) -> None:
        stall.end()
        start_if_gone(self.stage, name)

    def _kill_etcd(self, count: int) -> Undo:
        rng = random.Random(f"etcd/{self.stage.seed}/{self.stage.number}")
        for name in rng.sample(sorted(self.cluster.etcd), count):
            self.cluster.etcd[name].kill()
        back = cache(self._start_etcd)
        self.stage.undo(back)
        return back

    def _start_etcd(self) -> None:
        for one in self.cluster.etcd.values():
            if not one.running():
                one.await_gone(STOP_DEADLINE_SECONDS)
        self.cluster.start_etcd()

    # -- links -------------------------------------------------------------------------------

    def _cut(self, act: Act) -> Undo:
        some = self._hosts(act.who)
        hosts = self.stage.target.network.hosts
        others = self._hosts(act.to) if act.to else [host for host in hosts if host not in some]
        found = both_ways(some, others)
        self.cuts[act] = found if act.both_ways else found[:1]
        self.stage.undo(self._join_all)
        self._in_force()
        return partial(self._join, act, time.monotonic())

    def _join(self, act: Act, since: float) -> None:
        self.cuts.pop(act, None)
        self._in_force()
        self.stage.backs_off(time.monotonic() - since)

    def _join_all(self) -> None:
        self.cuts.clear()
        self._in_force()

    def _in_force(self) -> None:
        self.stage.target.network.faults.cut([cut for cuts in self.cuts.values() for cut in cuts])

    def _hosts(self, role: str) -> list[str]:
        if role == ETCD:
            return sorted(self.cluster.etcd)
        if role == SUPERVISOR:
            return [self.stage.target.acting_host]
        return [BALANCERS[0] if role == BALANCER else self._node(role)]


def _mend(stage: Stage, fault: Fault) -> None:
    if fault.node == POWER_CUT:
        POWER[0].mend(stage, fault)
    stage.undone()
    several = isinstance(stage.target.client, ActingClient)
    config = stage.target.config
    after = until_another_acts(config) if several else silence(config)
    stage.explain(time.monotonic() - fault.at + after)


CHAOS = (
    Scenario(
        "chaos",
        "several things happen at once: a server, its disk, the supervisor, the balancer, a clock,"
        " links, etcd",
        "kill, freeze and stall processes and disks at random",
        _strike,
        _mend,
        unattended_failover=True,
        sandbox_only=True,
        may_time_out=True,
        ticks=False,
        fit=give_everything,
        whole_seconds=WHOLE_SECONDS,
    ),
)
