"""Which balancer should have the address that clients connect to. Pure.

keepalived on the balancers' own hosts holds and moves the address, with no supervisor in the way.
By itself it knows of hosts and of HAProxy processes that die, not of what they route: that is what
the supervisor tells each HAProxy at every look, and keepalived reads it there.

- *Told*: the routing of this process was right once. A process that has just started routes nobody,
  and is not told. It lasts as long as the process.
- *Preferred*: this one is right and another one is not, so the address belongs here. It runs out by
  itself, by the balancer's own clock, when it is not said again.

All that is not said leaves the balancers equal, and among equals the address stays where it is. So
a supervisor that dies, or stands still, or reaches nobody, moves nothing: no balancer becomes stale
a moment before another one. (Were each one fresh for a while after every look instead, the first
one to run out would lose the address to one that is as stale.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from myha.core.balancer import BalancerLook, Reach
from myha.core.policy import AddressPolicy
from myha.core.reaching import reach_after
from myha.core.routing import KEEP, wanted
from myha.core.view import View

MISSED_LOOKS = 2  # one of them may be lost by whoever looks: it stood still meanwhile


class Standing(Enum):
    """What a balancer is told after a look at it."""

    AS_IT_IS = "as it is"  # nothing is known that would change it
    TOLD = "told"  # and not preferred
    PREFERRED = "preferred"  # and told
    DOUBTED = "doubted"  # neither: whoever says so is cut off, and this balancer with it


@dataclass(slots=True)
class _Seen:
    """What was seen of one balancer, by the time of the looks."""

    right_at: float  # when it last routed as it should
    right_since: float | None = None
    looked_at: float = -1.0
    holds: bool = False
    reach: Reach = field(default_factory=Reach)


class Standings:
    """What each balancer is to be told, look by look. Not for use by two threads at once."""

    def __init__(self, balancers: tuple[str, ...], policy: AddressPolicy, at: float) -> None:
        self._policy = policy
        # None is held to be wrong before there was time to look at it.
        self._seen = {name: _Seen(right_at=at) for name in balancers}

    def after(self, view: View, name: str, look: BalancerLook) -> Standing:
        """What to tell this balancer, of which this is the newest look."""
        mine, deadtime = self._seen[name], view.policy.deadtime_seconds
        self._note(view, mine, look)
        others = {known: one for known, one in self._seen.items() if known != name}
        record = view.record
        if record is None or record.maintenance or not others:
            return Standing.AS_IT_IS
        if not view.node(record.writer).answering:
            unreached = any(look.at - one.looked_at > deadtime for one in others.values())
            isolated = all(_silent(view, node, look.at) for node in view.policy.nodes)
            return Standing.DOUBTED if isolated and unreached else Standing.AS_IT_IS
        if mine.right_at != look.at:
            return Standing.AS_IT_IS
        wrong = {known for known in others if self._is_wrong(view, known, look.at)}
        held = any(one.holds for known, one in others.items() if known not in wrong)
        if wrong and (mine.holds or not held):
            return Standing.PREFERRED
        return Standing.PREFERRED if self._falls_back(name, look.at) else Standing.TOLD

    def _is_wrong(self, view: View, name: str, at: float) -> bool:
        """It has not been right for the dead time, by attempts to look and not for want of any."""
        deadtime, seen = view.policy.deadtime_seconds, view.balancer(name)
        right_at = self._seen[name].right_at
        if at - right_at <= deadtime or at - seen.checked_at > 2 * deadtime:
            return False
        return seen.misses >= MISSED_LOOKS or (seen.answering and seen.checked_at > right_at)

    def _falls_back(self, name: str, at: float) -> bool:
        mine, policy = self._seen[name], self._policy
        if not policy.auto_failback or policy.preferred != name or mine.holds:
            return False
        return mine.right_since is not None and (
            at - mine.right_since >= policy.failback_after_seconds
        )

    def _note(self, view: View, mine: _Seen, look: BalancerLook) -> None:
        mine.looked_at, mine.holds = look.at, look.holds
        if view.record is not None:
            writer = view.record.writer
            mine.reach = reach_after(mine.reach, look, writer, view.node(writer))
        failing = mine.reach.failing
        if failing:
            mine.right_at = -1.0  # there is no doubt that would have to be waited out
        if failing or not routes_as_wanted(view, look):
            mine.right_since = None
            return
        mine.right_at = look.at
        mine.right_since = look.at if mine.right_since is None else mine.right_since


def routes_as_wanted(view: View, look: BalancerLook) -> bool:
    """The nodes of the pair are in and out there as they should be."""
    routes = {(route.pool, route.node): route.takes_traffic for route in look.routes}
    return all(
        (want := wanted(view, pool, node)) is KEEP or routes.get((pool, node)) is want
        for node in view.policy.nodes
        for pool in ("writer", "reader")
    )


def _silent(view: View, node: str, at: float) -> bool:
    seen = view.node(node)
    return not seen.answering and at - seen.contact_since > view.policy.deadtime_seconds
