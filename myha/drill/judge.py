"""The judgement over a round: what the clients were told against what the two servers hold. Pure.

The ledger is the only witness for what was acknowledged, the tables of both nodes the only one for
what is there, and the rows themselves say on which node each was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from myha.drill.errant import Errant, ErrantRow, Fate, Fates, Quarantined, fates
from myha.drill.ledger import Attempt, Kind
from myha.drill.rows import IdRow, Key, Row, Tables
from myha.servers.wanted import INCREMENT

EXAMPLES = 3


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
    what is missing on the other node alone is a difference. `errant` is what was written on a node
    that had been replaced, `kept` what the quarantine holds of it. `fenced` is a node that was left
    out on purpose and in the end: it is not compared, but what it still has is not destroyed.
    `may_be_kept`: an OK says nothing of the other node (`async`), so what was acknowledged may be
    missing if it is in quarantine.
    """

    attempts: tuple[Attempt, ...]
    writer: str
    tables: Mapping[str, Tables]
    payload: Callable[[int, int], str]
    takeovers: tuple[Takeover, ...] = ()
    offsets: Mapping[int, int] = field(default_factory=dict)
    single_writer: bool = True
    may_be_kept: bool = False
    errant: Errant = field(default_factory=Errant)
    kept: Quarantined = field(default_factory=Quarantined)
    writer_tables: frozenset[str] = frozenset()
    fenced: str = ""

    def compared(self) -> Mapping[str, Tables]:
        """The nodes that must hold the same."""
        return {name: tables for name, tables in self.tables.items() if name != self.fenced}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of the transactions of a round, and of its errant rows."""

    acknowledged: int = 0
    acknowledged_lost: int = 0
    unacknowledged_present: int = 0
    duplicated: int = 0
    errant: int = 0
    quarantined: int = 0
    merged: int = 0
    left: int = 0
    destroyed: int = 0

    def counts(self) -> dict[str, int]:
        return {one.name: getattr(self, one.name) for one in fields(Counts)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement(Counts):
    """`problems` is empty when everything is as it must be; each is one sentence."""

    converged: bool
    problems: tuple[str, ...] = ()
    excused: frozenset[Key] = frozenset()  # lost as the durability allows, and in quarantine

    @property
    def good(self) -> bool:
        return not self.problems


def judge(evidence: Evidence) -> Judgement:
    """Compare the ledgers with both nodes and the quarantine."""
    fate = fates(
        evidence.errant,
        evidence.tables[evidence.writer],
        evidence.kept,
        writer_tables=evidence.writer_tables,
        fenced=evidence.tables.get(evidence.fenced),
    )
    compared = evidence.compared()
    acknowledged = _expected(evidence, fate)
    lost = _missing(acknowledged, evidence.tables[evidence.writer])
    kept: set[Key] = set()
    if evidence.may_be_kept:
        kept = {key for key in lost if _is_kept(evidence, acknowledged[key])}
        acknowledged = {key: one for key, one in acknowledged.items() if key not in kept}
    unexplained = _missing(acknowledged, evidence.tables[evidence.writer])
    behind = [
        sentence
        for name, tables in compared.items()
        if name != evidence.writer
        for sentence in _sentence(
            f"acknowledged, and not on {name}", _missing(acknowledged, tables)
        )
    ]
    present = {row.key for tables in compared.values() for row in tables.rows}
    present |= {row.key for tables in compared.values() for row in tables.ids}
    unanswered = {(a.client, a.number) for a in evidence.attempts if a.outcome is Kind.UNANSWERED}
    duplicated = _duplicated(compared)
    differing = list(_differences(compared))
    problems = [
        *_sentence(f"acknowledged, and not on the writer {evidence.writer}: lost", unexplained),
        *behind,
        *_sentence("present more than once", duplicated),
        *differing,
        *_strangers(compared, {*acknowledged, *unanswered, *_merged_keys(fate)}, present),
        *_wrong_content(evidence, fate),
        *(_second_writers(evidence) if evidence.single_writer else ()),
        *fate.problems(),
        *evidence.kept.problems,
    ]
    return Judgement(
        acknowledged=sum(one.acknowledged for one in evidence.attempts),
        acknowledged_lost=len(lost),
        unacknowledged_present=len(present & unanswered),
        duplicated=len(duplicated),
        converged=not (differing or behind or unexplained or evidence.fenced),
        problems=tuple(problems),
        errant=len(evidence.errant) + fate.others,
        quarantined=fate.count(Fate.QUARANTINED),
        merged=fate.count(Fate.MERGED),
        left=fate.count(Fate.LEFT),
        destroyed=fate.count(Fate.DESTROYED),
        excused=frozenset(kept),
    )


def _expected(evidence: Evidence, fate: Fates) -> dict[Key, Attempt]:
    """What was acknowledged, without the rows whose errant deletion the pair took over."""
    deleted = {one.key for one in fate.merged_rows() if one.after is None}
    told = {(a.client, a.number): a for a in evidence.attempts if a.acknowledged}
    return {key: attempt for key, attempt in told.items() if key not in deleted}


def _is_kept(evidence: Evidence, attempt: Attempt) -> bool:
    """Both rows of a transaction are in quarantine, as one node had them."""
    client, number = attempt.client, attempt.number
    return any(
        evidence.kept.holds(ErrantRow(None, Row(client, number, text, origin)))
        and evidence.kept.holds(ErrantRow(None, IdRow(attempt.row_id, client, number, origin)))
        for text in (evidence.payload(client, number),)
        for origin in evidence.offsets
    )


def _merged_keys(fate: Fates) -> set[Key]:
    """Keys of errant rows that the pair took over: nobody among the clients wrote them."""
    return {one.key for one in fate.merged_rows() if one.after is not None}


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


def _strangers(nodes: Mapping[str, Tables], known: set[Key], present: set[Key]) -> Iterator[str]:
    """Rows of transactions that were broken off before COMMIT, or that nobody began."""
    yield from _sentence("there although it was never committed", present - known)
    for name, tables in nodes.items():
        rows, ids = {row.key for row in tables.rows}, {row.key for row in tables.ids}
        yield from _sentence(f"only half there on {name}", rows ^ ids)


def _wrong_content(evidence: Evidence, fate: Fates) -> Iterator[str]:
    told = {(a.client, a.number): a.row_id for a in evidence.attempts if a.acknowledged}
    merged = {one.key: one.after for one in fate.merged_rows() if isinstance(one.after, Row)}

    def is_right(row: Row) -> bool:
        expected = merged.get(row.key)
        if expected is not None:
            return row == expected
        return row.payload == evidence.payload(*row.key)

    for name, tables in evidence.compared().items():
        wrong = [row.key for row in tables.rows if not is_right(row)]
        yield from _sentence(f"with a payload on {name} that was never written", wrong)
        moved = [r.key for r in tables.ids if told.get(r.key, r.id) != r.id]
        yield from _sentence(f"with an id on {name} that its client did not get", moved)
        misfit = [
            r.key
            for r in tables.ids
            if r.origin in evidence.offsets and (r.id - evidence.offsets[r.origin]) % INCREMENT
        ]
        yield from _sentence(f"with an id on {name} of the other node's residue class", misfit)


def _second_writers(evidence: Evidence) -> Iterator[str]:
    """Writes on a node outside the time in which the journal says that it was the writer.

    Both edges are given away: the old writer may go on until the new one is open, the new one may
    not be heard of before it is on record.
    """
    origins = {
        row.key: row.origin for tables in evidence.compared().values() for row in tables.rows
    }
    wrong: list[Key] = []
    for attempt in evidence.attempts:
        key = (attempt.client, attempt.number)
        allowed = _writers_during(evidence, attempt)
        if key in origins and allowed and origins[key] not in allowed:
            wrong.append(key)
    yield from _sentence("written on a node that was not the writer then", wrong)
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


def _sentence(what: str, keys: Iterable[Key]) -> Iterator[str]:
    found = sorted(keys)
    if found:
        examples = ", ".join(f"client {c} number {n}" for c, n in found[:EXAMPLES])
        more = ", ..." if len(found) > EXAMPLES else ""
        noun = "transaction" if len(found) == 1 else "transactions"
        yield f"{len(found)} {noun} {what}: {examples}{more}"
