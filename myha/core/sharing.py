"""Which of several supervisors should have a pair, so that all have about as many. Pure.

Each puts the supervisors of a pair into an order of its own, by a hash of both names: the first one
there should have it. Nobody has to agree with anybody, and who comes or goes moves no other pairs
than those that it takes or leaves (rendezvous hashing, Thaler and Ravishankar 1998).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping

# For how long the others leave a free lease to those that come before them.
PATIENCE_SECONDS = 0.1
# One that was given away and came back is not given away again before: the other cannot have it.
AGAIN_SECONDS = 600.0

Alive = Mapping[str, Collection[str]]  # the pairs of each supervisor that is there


def order(pair: str, alive: Alive) -> tuple[str, ...]:
    """The supervisors that have this pair in their configuration, the one that should act first."""

    def weight(supervisor: str) -> bytes:
        return hashlib.sha256(f"{pair}\0{supervisor}".encode()).digest()

    return tuple(sorted((one for one, pairs in alive.items() if pair in pairs), key=weight))


def patience_seconds(pair: str, me: str, alive: Alive) -> float:
    """How long `me` leaves a lease that is free to others; 0 where nobody comes before it."""
    found = order(pair, alive)
    return PATIENCE_SECONDS * found.index(me) if me in found else 0.0


def to_give(
    me: str, mine: Iterable[str], alive: Alive, given: Mapping[str, float], now: float
) -> Iterator[tuple[str, str]]:
    """Of the pairs on which `me` acts those that another one should have, and who that is.

    `given`: when each was last given away.
    """
    for pair in sorted(mine):
        found = order(pair, alive)
        due = now - given.get(pair, float("-inf")) >= AGAIN_SECONDS
        if due and me in found and found[0] != me:
            yield pair, found[0]
