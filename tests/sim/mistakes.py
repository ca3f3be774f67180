"""Deliberate mistakes: the real plans, executor and server with one thing done wrong each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from myha.core.node import SemiSync
from myha.core.plans import (
    AwaitApplied,
    AwaitCaughtUp,
    AwaitDrained,
    AwaitReceived,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    EnableWaiting,
    FenceOutside,
    ForgetReceived,
    KillClients,
    Open,
    PlaceEvents,
    Plan,
    ProveWrite,
    PutIn,
    RecordChange,
    RequireNoErrant,
    RestoreSettings,
    RestoreSource,
    StartReplication,
    Step,
    StopReceiver,
    StopReplication,
    TakeOut,
)
from myha.core.record import Cause, Sync, away, member
from myha.sim.cluster import Mutation
from myha.sim.flavours import UUIDS, Transaction
from myha.sim.heal import SimHeal
from myha.sim.server import SimServer
from myha.sim.world import Doing
from myha.supervisor.executor import Executor, Run


def without(
    kinds: tuple[str, ...], step: type[Step] | tuple[type[Step], ...]
) -> Callable[[Plan], Plan]:
    def mutate(plan: Plan) -> Plan:
        if plan.kind not in kinds:
            return plan
        return replace(plan, steps=tuple(one for one in plan.steps if not isinstance(one, step)))

    return mutate


def cut_off_before_its_clients(plan: Plan) -> Plan:
    """The order of a failover from a dead writer, for one that still answers its last clients."""
    if plan.kind != "failover" or not any(isinstance(one, AwaitDrained) for one in plan.steps):
        return plan
    out = [one for one in plan.steps if isinstance(one, TakeOut)]
    rest = [one for one in plan.steps if not isinstance(one, AwaitDrained | TakeOut)]
    at = next(i for i, one in enumerate(rest) if isinstance(one, StopReceiver)) + 1
    return replace(plan, steps=(*rest[:at], *out, *rest[at:]))


def first(kind: str, early: type[Step]) -> Callable[[Plan], Plan]:
    """The steps of type `early` are done before all others."""

    def mutate(plan: Plan) -> Plan:
        if plan.kind != kind:
            return plan
        moved = [one for one in plan.steps if isinstance(one, early)]
        rest = [one for one in plan.steps if not isinstance(one, early)]
        return replace(plan, steps=(*moved, *rest))

    return mutate


def rejoin_unlooked(plan: Plan) -> Plan:
    """Whatever comes back is started at once, as if it had been found clean."""
    if plan.kind == "isolate":
        return replace(plan, steps=tuple(s for s in plan.steps if not isinstance(s, StopReceiver)))
    if plan.kind == "rejoin":
        steps = tuple(s for s in plan.steps if not isinstance(s, RequireNoErrant))
        return replace(plan, steps=steps)
    if plan.kind != "fence-errant":
        return plan
    node = plan.node
    peer = "db1" if node == "db2" else "db2"
    back = RecordChange("back", nodes=((node, member(f"{node}-1")),))
    steps = (StartReplication(node=node), StartReplication(node=peer), ChangeRecord(change=back))
    return replace(plan, steps=steps)


def armed_before_it_waits(plan: Plan) -> Plan:
    if plan.kind != "arm" or not any(isinstance(one, ChangeRecord) for one in plan.steps):
        return plan
    record = [one for one in plan.steps if isinstance(one, ChangeRecord)]
    rest = [one for one in plan.steps if not isinstance(one, ChangeRecord)]
    return replace(plan, steps=(*record, *rest))


def armed_at_failover(plan: Plan) -> Plan:
    """Says armed at once, as if the new writer waited already."""
    if plan.kind != "failover":
        return plan
    steps = tuple(
        replace(one, change=replace(one.change, sync=Sync.ARMED))
        if isinstance(one, ChangeRecord)
        else one
        for one in plan.steps
    )
    return replace(plan, steps=steps)


def opened_in_any_life(plan: Plan) -> Plan:
    steps = tuple(replace(s, boot_id="") if isinstance(s, Open) else s for s in plan.steps)
    return replace(plan, steps=steps)


class Careless(Executor):
    """Does not ask whether somebody else has decided since."""

    def _check_epoch(self, run: Run, step: Step) -> None:
        """Nothing is checked."""

    def _change_record(self, run: Run, step: ChangeRecord) -> None:
        record = self.tools.store.read()
        assert record is not None
        run.epoch, run.version = record.epoch, record.version
        super()._change_record(run, step)


class ReleasesFirst(SimServer):
    """Fences in the wrong order: the waiting commits are released, then the clients are cut off."""

    def do_fence(self) -> None:
        self.do_disable_waiting()
        super().do_fence()


class KillsTheGroupsLeader(SimServer):
    """Fences by killing one after the other: on MariaDB the first one's wait is its group's."""

    def do_fence(self) -> None:
        if self.flavour.counts_waiting and self.waiting:
            _, session, _ = self.waiting[next(iter(self.waiting))]
            if session is not None:
                session.end()
            self.do_disable_waiting()
        super().do_fence()


class CountsOnly(SimServer):
    """Says how many replicas acknowledge, and takes each for the standby."""

    def semisync_now(self) -> SemiSync:
        seen = super().semisync_now()
        known = tuple(replace(one, identity=UUIDS[1 - self.index]) for one in seen.acknowledgers)
        return replace(seen, acknowledgers=known)


class EnablesAllEvents(SimServer):
    """Does not know which events the application has disabled: a replica's status does not tell."""

    def is_noted(self, event: str) -> bool:
        return False


def healed_before_the_job_ended(plan: Plan) -> Plan:
    """The record says that the node is healed as soon as the job runs."""
    if plan.kind != "start-heal":
        return plan
    entry = away(Cause.HEALED, "healed")
    record = ChangeRecord(change=RecordChange("healed", nodes=((plan.node, entry),)))
    return replace(plan, steps=(*plan.steps, record))


def routed_while_it_is_healed(plan: Plan) -> Plan:
    if plan.kind != "start-heal":
        return plan
    return replace(plan, steps=(*plan.steps, PutIn(node=plan.node, pool="reader", balancers=LB)))


def filter_cleared_without_fencing(plan: Plan) -> Plan:
    """As if what a filter left out would come by itself once it is gone."""
    if plan.kind != "fence" or "filter" not in plan.sentence:
        return plan
    steps = (
        StopReplication(node=plan.node),
        RestoreSource(node=plan.node, clears_filters=True),
        StartReplication(node=plan.node),
    )
    return replace(plan, steps=steps)


def reset_and_started_again(plan: Plan) -> Plan:
    """As if all that a standby lacks of a log that was reset came by itself."""
    if plan.kind != "fence" or "reset the binary log" not in plan.sentence:
        return plan
    steps = (StopReplication(node=plan.node), StartReplication(node=plan.node))
    return replace(plan, steps=steps)


def purged_and_started_again(plan: Plan) -> Plan:
    if plan.kind != "fence" or "has purged" not in plan.sentence:
        return plan
    return replace(plan, steps=(StartReplication(node=plan.node),))


LB = ("lb1",)


class KeepsNothing(SimHeal):
    """Undoes before anything is in quarantine."""

    def quarantine(self, errant: list[Transaction]) -> None:
        """Nothing is kept."""


class SaysDoneTooEarly(SimHeal):
    """Says that it is done when it has written the quarantine."""

    def change(self, errant: list[Transaction]) -> Doing[None]:
        yield 0.0


class AsksNoRecord(SimHeal):
    """Goes on although somebody else has decided since."""

    def require_record(self) -> None:
        """Nothing is asked."""


MISTAKES: dict[str, Mutation] = {
    "open before all is applied": Mutation(
        mutate_plan=without(("failover", "install", "reinstate"), AwaitApplied)
    ),
    "a server opened in another life than it was looked at in": Mutation(
        mutate_plan=opened_in_any_life
    ),
    "the writer opened beside a standby that somebody opened": Mutation(
        mutate_plan=without(("install",), (CloseGently, KillClients, AwaitCaughtUp))
    ),
    "solo recorded after the release": Mutation(mutate_plan=first("release", DisableWaiting)),
    "a server that shuts down is cut off before its clients": Mutation(
        mutate_plan=cut_off_before_its_clients
    ),
    "receiver not stopped at a failover": Mutation(
        mutate_plan=without(("failover",), StopReceiver)
    ),
    "a silent writer is replaced without its fence command": Mutation(
        mutate_plan=without(("failover",), FenceOutside)
    ),
    "rejoin without a look": Mutation(mutate_plan=rejoin_unlooked),
    "a step carried out for an old epoch": Mutation(executor=Careless),
    "armed recorded before it waits": Mutation(mutate_plan=armed_before_it_waits),
    "armed recorded without waiting at all": Mutation(mutate_plan=without(("arm",), EnableWaiting)),
    "armed without proof that all was received": Mutation(
        mutate_plan=without(("arm",), (ProveWrite, AwaitReceived))
    ),
    "armed recorded at a failover": Mutation(mutate_plan=armed_at_failover),
    "waiting commits released before the clients are cut": Mutation(server=ReleasesFirst),
    "a commit group's leader killed before the rest": Mutation(server=KillsTheGroupsLeader),
    "acknowledgements counted, whoever gives them": Mutation(server=CountsOnly),
    "a source that was reset is not set up again": Mutation(
        mutate_plan=without(("restore-source", "rejoin"), RestoreSource)
    ),
    "a damaged relay log thrown away while the record says armed": Mutation(
        mutate_plan=without(("receive-again",), ChangeRecord)
    ),
    "a filter cleared without fencing": Mutation(mutate_plan=filter_cleared_without_fencing),
    "the replica of a log that was reset is started again": Mutation(
        mutate_plan=reset_and_started_again
    ),
    "names that a reset log has forgotten go on to count": Mutation(
        mutate_plan=without(("fence",), ForgetReceived)
    ),
    "a standby whose source has purged its logs is started again": Mutation(
        mutate_plan=purged_and_started_again
    ),
    "what a stranger changed is left so": Mutation(
        mutate_plan=without(
            ("restore-settings", "restore-replication", "rejoin"),
            (RestoreSettings, RestoreSource),
        )
    ),
    "no guard against a loop of failovers": Mutation(
        policy=lambda policy: replace(policy, flap_limit=1000)
    ),
    "the writer listens to a lost standby": Mutation(
        mutate_plan=without(("release", "isolate", "stop-listening"), StopReceiver)
    ),
    "a new writer's events stay a replica's": Mutation(
        mutate_plan=without(("failover", "install", "switchover", "place-events"), PlaceEvents)
    ),
    "events that were disabled are enabled": Mutation(server=EnablesAllEvents),
    "healed on record before the job ended": Mutation(mutate_plan=healed_before_the_job_ended),
    "traffic for a node that is being healed": Mutation(mutate_plan=routed_while_it_is_healed),
    "undone before it is in quarantine": Mutation(heal=KeepsNothing),
    "a heal that says done before it has changed anything": Mutation(heal=SaysDoneTooEarly),
    "a heal that does not ask the record": Mutation(heal=AsksNoRecord),
}
