"""The address that the balancers share, which keepalived moves: how it fares."""

from __future__ import annotations

from myha.core.balancer import BalancerView
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict

# While the address moves nobody is seen to have it, or both are: it is said once in a second.
SETTLED_SECONDS = 5.0


def _balancers(it: Situation) -> list[BalancerView]:
    """None where there is no shared address."""
    return [one for _, one in it.view.balancers] if it.policy.address is not None else []


def _unheld(it: Situation) -> bool:
    known = _balancers(it)
    if not known or any(one.answering and one.look and one.look.holds for one in known):
        return False
    return it.at - max(one.held_at for one in known) > SETTLED_SECONDS


def _held_twice(it: Situation) -> bool:
    since = (one.held_since for one in _balancers(it) if one.answering)
    return sum(one is not None and it.at - one > SETTLED_SECONDS for one in since) > 1


def _unasked(it: Situation) -> bool:
    looks = (one.look for one in _balancers(it) if one.answering)
    return any(look is not None and look.address is None for look in looks)


def concerns(it: Situation) -> bool:
    """Without a shared address there is nothing to say of it."""
    return it.policy.address is not None


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "address-unheld",
        "No balancer that answers has the shared address, as if keepalived did not run there.",
        _unheld,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "address-twice",
        "The shared address is on two balancers' hosts: their keepalived do not hear each other.",
        _held_twice,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "address-unasked",
        "A balancer has nothing that keepalived could read: its configuration is from before "
        "address.ip was set.",
        _unasked,
    ),
)
