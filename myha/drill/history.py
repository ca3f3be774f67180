"""What the clients' ledgers alone prove about the order of things. Pure.

One machine, one monotonic clock: whatever was answered before something else was sent came before
it. Which node said OK is told by the id that its answer carried: the two generate ids of different
residue classes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from myha.drill.ledger import Attempt, Read
from myha.drill.rows import Key
from myha.servers.wanted import INCREMENT

EXAMPLES = 3
# On a busy machine a client that has just been let in again may be that late.
BEYOND_WHOLE_SECONDS = 3.0
Names: TypeAlias = Mapping[int, str]  # of the nodes, by server id


@dataclass(frozen=True, slots=True)
class Reign:
    """One epoch: who was the writer on record, and since when (monotonic)."""

    server_id: int
    since: float


@dataclass(frozen=True, slots=True)
class Wait:
    """One client's time without an OK, counted from the fault in ms, and who had answered it last
    and next (empty: nobody did)."""

    client: int
    began_ms: float
    length_ms: float
    before: str
    after: str

    def __str__(self) -> str:
        where = f"{self.before or 'nobody'} to {self.after or 'nobody'}"
        if self.before == self.after:
            where = self.before or "nobody"
        return (
            f"client {self.client} waited {self.length_ms:.0f} ms from"
            f" {self.began_ms:+.0f} ms on ({where})"
        )


@dataclass(frozen=True, slots=True)
class History:
    """The ledgers of a round with what is needed to read them.

    `nodes`: the residue class of ids by server id; `names`: of the nodes by server id. `reigns`
    is empty where no node is the only writer: a read is then compared with what its own node said.
    `excused`: transactions of which the judge knows already why they are not there. `since` and
    `until` limit the time in which waits are looked for, `whole_at` is when the pair was whole
    again (None: never), `explained_seconds` how long a wait the fault explains, `back_off_seconds`
    how much later than that TCP may try again what a cut had stopped. Clients from `past_balancer`
    on are connected to one node: their waits are that node's.
    """

    attempts: Sequence[Attempt]
    reads: Sequence[Read]
    nodes: Mapping[int, int]
    names: Names
    reigns: Sequence[Reign]
    fault_at: float
    since: float
    until: float
    whole_at: float | None
    explained_seconds: float
    excused: Set[Key] = frozenset()
    past_balancer: int | None = None
    back_off_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """`overlapping` OKs of a node after another one's of a later epoch, `stale` reads of so many
    `reads`, `waits` longer than the fault explains; `problems` in one sentence each."""

    overlapping: int = 0
    reads: int = 0
    stale: int = 0
    waits: tuple[Wait, ...] = ()
    problems: tuple[str, ...] = ()


def examine(history: History) -> Findings:
    """All that the ledgers prove."""
    oks = sorted(
        (one for one in history.attempts if one.acknowledged and one.ended_at is not None),
        key=lambda one: one.begun_at,
    )
    wrong = list(_overlapping(history, oks))
    stale = list(_stale(history, oks))
    waits = tuple(_long_waits(history, oks))
    return Findings(
        overlapping=len(wrong),
        reads=len(history.reads),
        stale=len(stale),
        waits=waits,
        problems=(
            *_sentence("acknowledged after another node had acknowledged in a later epoch", wrong),
            *_sentence("stale", stale),
            *_beyond_whole(history, oks),
        ),
    )


def answered_by(history: History, attempt: Attempt) -> int:
    """The server id of the node whose answer the attempt has; 0 when the id tells nothing."""
    for server_id, offset in history.nodes.items():
        if attempt.row_id and (attempt.row_id - offset) % INCREMENT == 0:
            return server_id
    return 0


# -- one node in each epoch ------------------------------------------------------------------------


def _overlapping(history: History, oks: Sequence[Attempt]) -> Iterator[str]:
    """OKs that fit into no order of the epochs.

    Of each OK it is known which epochs it can be of: those of its node, none that was recorded
    after it was answered, none before the epoch of an OK that was answered before it was sent. All
    doubt is in its favour: each is taken for one of the earliest epoch that it can be of, so that
    it binds those after it as little as it can.
    """
    if not history.reigns:
        return
    by_end = sorted(range(len(oks)), key=lambda n: oks[n].ended_at or 0.0)
    earliest = [0] * len(oks)
    floor, latest, position = 0, oks[0] if oks else None, 0
    for number, attempt in enumerate(oks):
        while position < len(by_end) and (oks[by_end[position]].ended_at or 0) < attempt.begun_at:
            done = by_end[position]
            if earliest[done] > floor:
                floor, latest = earliest[done], oks[done]
            position += 1
        epochs = _epochs_of(history, attempt)
        fitting = [one for one in epochs if one >= floor]
        earliest[number] = fitting[0] if fitting else floor
        if not fitting and answered_by(history, attempt):
            yield _overlap(history, attempt, latest if floor else None)


def _epochs_of(history: History, attempt: Attempt) -> list[int]:
    server_id = answered_by(history, attempt)
    ended_at = attempt.ended_at or attempt.begun_at
    return [
        number
        for number, reign in enumerate(history.reigns)
        if reign.server_id == server_id and reign.since <= ended_at
    ]


def _overlap(history: History, late: Attempt, before: Attempt | None) -> str:
    text = f"client {late.client} number {late.number} by {_node(history, late)}"
    if before is None:
        return f"{text}, which was not the writer yet"
    after = 1000 * (late.begun_at - (before.ended_at or 0.0))
    return (
        f"{text}, sent {after:.1f} ms after {_node(history, before)} had answered client"
        f" {before.client} number {before.number}"
    )


# -- no read of the past ---------------------------------------------------------------------------


def _stale(history: History, oks: Sequence[Attempt]) -> Iterator[str]:
    """Reads of a client's highest number below one that was acknowledged before they were sent.

    With two writers only what the node that was read from had acknowledged itself counts: what the
    other one takes comes to it later.
    """
    apart = not history.reigns
    told: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
    for one in oks:
        if (one.client, one.number) not in history.excused:
            node = answered_by(history, one) if apart else 0
            told[node, one.client].append((one.ended_at or 0.0, one.number))
    for times in told.values():
        times.sort()
    for read in history.reads:
        times = told[read.server_id if apart else 0, read.of]
        known = bisect_left(times, (read.sent_at, 0))
        # A client's own numbers grow with their answers: the last one before is the highest.
        if known and times[known - 1][1] > read.value:
            where = history.names.get(read.server_id, f"server {read.server_id}")
            yield (
                f"client {read.client} read {read.value} as the last number of client {read.of}"
                f" on {where} at {1000 * (read.sent_at - history.fault_at):+.0f} ms, after"
                f" {times[known - 1][1]} had been acknowledged"
            )


# -- no wait without a reason ----------------------------------------------------------------------


def _gaps(history: History, oks: Iterable[Attempt]) -> Iterator[tuple[float, float, Wait]]:
    """Every time between two OKs of one client, and from the last one to the end."""
    by_client: dict[int, list[Attempt]] = defaultdict(list)
    for one in oks:
        if history.past_balancer is None or one.client < history.past_balancer:
            by_client[one.client].append(one)
    for client, own in sorted(by_client.items()):
        edges = [(one.ended_at or 0.0, _node(history, one)) for one in own]
        for (began, before), (ended, after) in pairwise((*edges, (history.until, ""))):
            if ended > history.since and began < history.until:
                length_ms = round(1000 * (ended - began), 1)
                began_ms = round(1000 * (began - history.fault_at), 1)
                yield began, ended, Wait(client, began_ms, length_ms, before, after)


def _long_waits(history: History, oks: Iterable[Attempt]) -> list[Wait]:
    """Those that are longer than the fault explains, the longest first."""
    limit_ms = 1000 * history.explained_seconds
    found = [wait for _, _, wait in _gaps(history, oks) if wait.length_ms > limit_ms]
    return sorted(found, key=lambda wait: -wait.length_ms)


def _beyond_whole(history: History, oks: Sequence[Attempt]) -> Iterator[str]:
    """Clients that waited on although the pair was whole."""
    if history.whole_at is None:
        return
    limit = history.whole_at + BEYOND_WHOLE_SECONDS + history.back_off_seconds
    for began, ended, wait in _gaps(history, oks):
        if began < history.whole_at and ended > limit:
            beyond = ended - history.whole_at
            yield f"{wait}: {beyond:.1f} s of it after the pair was whole again"


def _node(history: History, attempt: Attempt) -> str:
    server_id = answered_by(history, attempt)
    return history.names.get(server_id, f"server {server_id}" if server_id else "a node unknown")


def _sentence(what: str, found: Sequence[str]) -> Iterator[str]:
    if found:
        more = ", ..." if len(found) > EXAMPLES else ""
        kind = "reads" if what == "stale" else "transactions"
        noun = kind if len(found) > 1 else kind[:-1]
        yield f"{len(found)} {noun} {what}: {'; '.join(found[:EXAMPLES])}{more}"
