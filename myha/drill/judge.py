"""The judgement over a round: what the clients were told against what the two servers hold. Pure.

The ledger is the only witness for what was acknowledged, the tables of both nodes the only one for
what is there, and the rows themselves say on which node each was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from myha.drill.ledger import Attempt, Kind

Key: TypeAlias = tuple[int, int]  # client, number
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Row:
    client: int
    number: int
    payload: str
    origin: int  # server id of the node that took the write

    @property
    def key(self) -> Key:
        return self.client, self.number


@dataclass(frozen=True, slots=True)
class IdRow:
    id: int
    client: int
    number: int
    origin: int

    @property
    def key(self) -> Key:
        return self.client, self.number


@dataclass(frozen=True, slots=True)
class Tables:
    """What one node holds, in the order of its keys."""

    rows: tuple[Row, ...]
    ids: tuple[IdRow, ...]


@dataclass(frozen=True, slots=True)
class Takeover:
    """A change of writer in the journal: recorded, and opened (None: not seen) on the new one."""

    server_id: int
    recorded_at: float
    opened_at: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a round left behind. `offsets`: the residue class of ids by server id.

    `writer` is the node that clients are served from now: what is missing there is lost to them,
    what is missing on the other node alone is a difference.
    """

    attempts: tuple[Attempt, ...]
    writer: str
    tables: Mapping[str, Tables]
    payload: Callable[[int, int], str]
    takeovers: tuple[Takeover, ...] = ()
    offsets: Mapping[int, int] = field(default_factory=dict)
    increment: int = 2
    single_writer: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """`problems` is empty when everything is as it must be; each is one sentence."""

    acknowledged: int
    acknowledged_lost: int
    unacknowledged_present: int
    duplicated: int
    converged: bool
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.problems


def judge(evidence: Evidence) -> Judgement:
    """Compare the ledger with both nodes."""
    acknowledged = {(a.client, a.number): a for a in evidence.attempts if a.acknowledged}
    lost = _missing(acknowledged, evidence.tables[evidence.writer])
    behind = [
        sentence
        for name, tables in evidence.tables.items()
        if name != evidence.writer
        for sentence in _say(f"acknowledged, and not on {name}", _missing(acknowledged, tables))
    ]
    present = {row.key for tables in evidence.tables.values() for row in tables.rows}
    present |= {row.key for tables in evidence.tables.values() for row in tables.ids}
    unanswered = {(a.client, a.number) for a in evidence.attempts if a.outcome is Kind.UNANSWERED}
    duplicated = _duplicated(evidence.tables)
    differing = list(_differences(evidence.tables))
    problems = [
        *_say(f"acknowledged, and not on the writer {evidence.writer}: lost", lost),
        *behind,
        *_say("present more than once", duplicated),
        *differing,
        *_strangers(evidence, acknowledged, unanswered, present),
        *_wrong_content(evidence),
        *(_second_writers(evidence) if evidence.single_writer else ()),
    ]
    return Judgement(
        acknowledged=len(acknowledged),
        acknowledged_lost=len(lost),
        unacknowledged_present=len(present & unanswered),
        duplicated=len(duplicated),
        converged=not differing and not behind and not lost,
        problems=tuple(problems),
    )


def _missing(acknowledged: Mapping[Key, Attempt], tables: Tables) -> list[Key]:
    """Acknowledged transactions of which either row is not in the tables."""
    whole = {row.key for row in tables.rows} & {row.key for row in tables.ids}
    return sorted(set(acknowledged) - whole)


def _duplicated(nodes: Mapping[str, Tables]) -> list[Key]:
    found: set[Key] = set()
    for tables in nodes.values():
        for kind in (tables.rows, tables.ids):
            counts = Counter(row.key for row in kind)
            found |= {key for key, count in counts.items() if count > 1}
    return sorted(found)


def _differences(nodes: Mapping[str, Tables]) -> Iterator[str]:
    (first, one), *others = nodes.items()
    for name, other in others:
        for table, ours, theirs in (
            ("the table of numbers", one.rows, other.rows),
            ("the table of ids", one.ids, other.ids),
        ):
            if ours != theirs:
                only_ours, only_theirs = set(ours) - set(theirs), set(theirs) - set(ours)
                example = next(iter(only_ours or only_theirs), None)
                yield (
                    f"{table} differs: {len(only_ours)} rows only on {first},"
                    f" {len(only_theirs)} only on {name}, such as {example}"
                )


def _strangers(
    evidence: Evidence,
    acknowledged: Mapping[Key, Attempt],
    unanswered: set[Key],
    present: set[Key],
) -> Iterator[str]:
    """Rows of transactions that were broken off before COMMIT, or that nobody began."""
    yield from _say(
        "there although it was never committed", present - unanswered - set(acknowledged)
    )
    for name, tables in evidence.tables.items():
        rows, ids = {row.key for row in tables.rows}, {row.key for row in tables.ids}
        yield from _say(f"only half there on {name}", rows ^ ids)


def _wrong_content(evidence: Evidence) -> Iterator[str]:
    told = {(a.client, a.number): a.row_id for a in evidence.attempts if a.acknowledged}
    for name, tables in evidence.tables.items():
        wrong = [r.key for r in tables.rows if r.payload != evidence.payload(*r.key)]
        yield from _say(f"with a payload on {name} that was never written", wrong)
        moved = [r.key for r in tables.ids if told.get(r.key, r.id) != r.id]
        yield from _say(f"with an id on {name} that its client was not told", moved)
        misfit = [
            r.key
            for r in tables.ids
            if r.origin in evidence.offsets
            and (r.id - evidence.offsets[r.origin]) % evidence.increment
        ]
        yield from _say(f"with an id on {name} of the other node's residue class", misfit)


def _second_writers(evidence: Evidence) -> Iterator[str]:
    """Writes on a node outside the time in which the journal says that it was the writer.

    Both edges are given away: the old writer may go on until the new one is open, the new one may
    not be heard of before it is on record.
    """
    origins = {row.key: row.origin for tables in evidence.tables.values() for row in tables.rows}
    wrong: list[Key] = []
    for attempt in evidence.attempts:
        key = (attempt.client, attempt.number)
        allowed = _writers_during(evidence, attempt)
        if key in origins and allowed and origins[key] not in allowed:
            wrong.append(key)
    yield from _say("written on a node that was not the writer then", wrong)
    yield from _overlaps(evidence, origins)


def _writers_during(evidence: Evidence, attempt: Attempt) -> set[int]:
    """Server ids that may have taken a write; empty when the journal does not tell."""
    takeovers = evidence.takeovers
    if not takeovers:
        return set()
    opened = [t.opened_at for t in takeovers if t.opened_at is not None]
    first = sum(at <= attempt.begun_at for at in opened)
    if attempt.acknowledged and attempt.ended_at is not None:
        last = sum(t.recorded_at <= attempt.ended_at for t in takeovers)
    else:
        last = len(takeovers)  # it may have been carried out at any time since
    allowed = {t.server_id for t in takeovers[max(0, first - 1) : last]}
    if first == 0:
        others = set(evidence.offsets) - {takeovers[0].server_id}
        return allowed | others if others else set()
    return allowed


def _overlaps(evidence: Evidence, origins: Mapping[Key, int]) -> Iterator[str]:
    """The writer changed in the rows more often than in the journal.

    Only what is certain counts: a transaction that began after another was acknowledged came after
    it, whatever the clients' threads were doing.
    """
    ordered = sorted(
        (a for a in evidence.attempts if a.acknowledged and (a.client, a.number) in origins),
        key=lambda a: a.begun_at,
    )
    changes, current, current_until = 0, None, 0.0
    for attempt in ordered:
        origin = origins[attempt.client, attempt.number]
        if attempt.ended_at is None:
            continue
        if current is None:
            current, current_until = origin, attempt.ended_at
        elif origin == current:
            current_until = min(current_until, attempt.ended_at)
        elif attempt.begun_at > current_until:
            changes += 1
            current, current_until = origin, attempt.ended_at
    if changes > len(evidence.takeovers):
        yield (
            f"the node that took the writes changed {changes} times, the writer on record"
            f" {len(evidence.takeovers)} times: two nodes took writes in one epoch"
        )


def _say(what: str, keys: Iterable[Key]) -> Iterator[str]:
    found = sorted(keys)
    if found:
        examples = ", ".join(f"client {c} number {n}" for c, n in found[:EXAMPLES])
        more = ", ..." if len(found) > EXAMPLES else ""
        noun = "transaction" if len(found) == 1 else "transactions"
        yield f"{len(found)} {noun} {what}: {examples}{more}"
