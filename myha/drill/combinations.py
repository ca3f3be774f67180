"""Which faults come together in a round of chaos, drawn from a seed. Pure.

Each round has something that strikes one of the two nodes (or the power of all), and up to two
things beside it that strike neither's data: the supervisor, the balancer, a link between two hosts,
members of etcd.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from myha.drill.clock import HOUR_SECONDS

WRITER, STANDBY, SUPERVISOR, BALANCER = "writer", "standby", "supervisor", "balancer"
ETCD = "etcd"
KILL, FREEZE, STALL, STEP, POWER_CUT, CUT = "kill", "freeze", "stall", "step", "power", "cut"
LINKS = (
    (WRITER, STANDBY),
    (SUPERVISOR, WRITER),
    (SUPERVISOR, STANDBY),
    (BALANCER, WRITER),
    (BALANCER, STANDBY),
    (SUPERVISOR, BALANCER),
)
WITH_ETCD = (SUPERVISOR, ETCD)
ETCD_MEMBERS = 3
BESIDE_LIMIT = 2
BEGINS_WITHIN_SECONDS, LASTS_SECONDS = 3.0, (0.3, 6.0)


@dataclass(frozen=True, slots=True)
class Act:
    """One fault: when it begins, from the round's first on, and how long it lasts, in seconds.

    A cut without `to` is one from all others; with it what is lost is what `who` sends there, and
    with `both_ways` what comes from there too. `argument`: by how many seconds a clock is stepped;
    how many members are killed.
    """

    what: str
    who: str
    at_seconds: float
    for_seconds: float
    to: str = ""
    both_ways: bool = True
    argument: int = 0

    def __str__(self) -> str:
        if self.to:
            return f"{self.what} {self.who} {'-' if self.both_ways else '>'} {self.to}"
        count = f"{self.argument} of " if self.argument and self.who == ETCD else ""
        return f"{self.what} {count}{self.who}".strip()


def draw(seed: int, number: int, given: Collection[str]) -> tuple[Act, ...]:
    """The combination of a round, in the order in which its faults begin.

    `given`: of STALL, STEP, CUT and ETCD those that the sandbox was made for. The same arguments,
    the same combination; how long everything takes is up to the machine.
    """
    rng = random.Random(f"chaos/{seed}/{number}")
    at_a_node = [KILL, KILL, FREEZE, *(kind for kind in (STALL, CUT) if kind in given)]
    first = rng.choice([*at_a_node, *at_a_node, POWER_CUT])
    if first == POWER_CUT:
        return (_act(rng, first, ""),)
    acts = [_act(rng, first, rng.choice((WRITER, WRITER, STANDBY)))]
    links = (*LINKS, *([WITH_ETCD] if ETCD in given else []))
    acts += [_beside(rng, one, links) for one in _kinds_beside(rng, given)]
    return tuple(sorted(acts, key=lambda act: act.at_seconds))


def _kinds_beside(rng: random.Random, given: Collection[str]) -> list[str]:
    """What else, each at most once, so that nothing is killed and frozen at the same time."""
    kinds = [SUPERVISOR, BALANCER, *(kind for kind in (STEP, ETCD) if kind in given)]
    kinds += [CUT, CUT] if CUT in given else []
    rng.shuffle(kinds)
    return kinds[: rng.randint(0, BESIDE_LIMIT)]


def _beside(rng: random.Random, kind: str, links: Sequence[tuple[str, str]]) -> Act:
    if kind == STEP:
        return _act(rng, STEP, SUPERVISOR, argument=rng.choice((HOUR_SECONDS, -HOUR_SECONDS)))
    if kind == ETCD:
        return _act(rng, KILL, ETCD, argument=rng.randint(1, ETCD_MEMBERS))
    if kind != CUT:
        return _act(rng, rng.choice((KILL, FREEZE)), kind)
    if rng.random() < 1 / (len(links) + 1):
        return _act(rng, CUT, SUPERVISOR)
    one, other = rng.choice(links)
    if rng.random() < 0.5:
        one, other = other, one
    return _act(rng, CUT, one, to=other, both_ways=rng.random() < 0.5)


def _act(
    rng: random.Random,
    what: str,
    who: str,
    *,
    to: str = "",
    both_ways: bool = True,
    argument: int = 0,
) -> Act:
    at = round(rng.uniform(0.0, BEGINS_WITHIN_SECONDS), 2)
    lasts = round(rng.uniform(*LASTS_SECONDS), 2)
    return Act(what, who, at, lasts, to, both_ways, argument)
