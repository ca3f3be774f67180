"""What the ledgers prove of the order of things: each finding on a history made for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from myha.drill import history
from myha.drill.history import BEYOND_WHOLE_SECONDS, Findings, History, Reign, examine
from myha.drill.ledger import (
    Attempt,
    Kind,
    LedgerReader,
    LedgerWriter,
    Read,
    read_attempts,
    read_reads,
)

A, B = 1, 2  # server ids, and the offsets of their ids
FAULT_AT, RECORDED_AT, WHOLE_AT, UNTIL = 100.0, 100.1, 103.0, 104.0
OLD, NEW = Reign(A, float("-inf")), Reign(B, RECORDED_AT)


def ok(client: int, number: int, begun: float, node: int, took: float = 0.01) -> Attempt:
    """An OK of a node, by an id of its residue class."""
    row_id = 100 * client + 2 * number + (node == A)
    return Attempt(client, number, begun, begun + took, Kind.ACKNOWLEDGED, row_id)


# Two clients, each number 1 and 2 on A, then 3 and 4 on B; served again when the pair is whole.
ATTEMPTS = tuple(
    ok(client, number, at + client / 1000, node)
    for client in (1, 2)
    for number, at, node in ((1, 99.0, A), (2, 99.9, A), (3, 100.3, B), (4, 103.5, B))
)


def made(attempts: tuple[Attempt, ...] = ATTEMPTS, **changed: object) -> History:
    good = History(
        attempts=attempts,
        reads=(Read(1, 2, 99.5, 1, A), Read(2, 1, 100.4, 3, B)),
        nodes={A: 1, B: 2},
        names={A: "a", B: "b"},
        reigns=(OLD, NEW),
        fault_at=FAULT_AT,
        since=FAULT_AT,
        until=UNTIL,
        whole_at=WHOLE_AT,
        explained_seconds=3.5,
    )
    return replace(good, **changed)  # type: ignore[arg-type]


def test_a_history_as_it_should_be() -> None:
    assert examine(made()) == Findings(reads=2)


def test_nothing_is_found_in_no_history() -> None:
    assert examine(made((), reads=())) == Findings()


# --- one node in each epoch -------------------------------------------------------------------


def test_an_ok_of_the_old_writer_after_one_of_the_new_is_found() -> None:
    found = examine(made((*ATTEMPTS, ok(3, 1, 100.32, A))))
    assert found.overlapping == 1
    (problem,) = (one for one in found.problems if "later epoch" in one)
    assert "client 3 number 1 by a, sent 9.0 ms after b had answered client 1 number 3" in problem


def test_an_ok_that_was_under_way_when_the_new_writer_answered_proves_nothing() -> None:
    # Sent before the new one's first OK was there: it may have been carried out before.
    assert examine(made((*ATTEMPTS, ok(3, 1, 100.305, A, took=3.3)))).overlapping == 0


def test_an_ok_of_the_new_writer_before_it_was_one_is_found() -> None:
    found = examine(made((*ATTEMPTS, ok(3, 1, 99.95, B))))
    assert found.overlapping >= 1
    assert any("client 3 number 1 by b, which was not the writer yet" in p for p in found.problems)


def test_the_role_may_come_back_with_an_epoch_of_its_own() -> None:
    late = tuple(ok(3, 1 + n, 102.0 + n, A) for n in (0, 1))
    earlier = tuple(one for one in ATTEMPTS if one.begun_at < 102)
    again = Reign(A, 101.9)
    assert examine(made((*earlier, *late), reigns=(OLD, NEW, again))).overlapping == 0
    # ... and then nobody else's OK belongs there.
    found = examine(made((*ATTEMPTS, *late), reigns=(OLD, NEW, again)))
    assert found.overlapping == 2
    # ... nor does one before that epoch was on record.
    early = ok(4, 1, 101.0, A)
    assert examine(made((*earlier, *late, early), reigns=(OLD, NEW, again))).overlapping == 1


def test_with_two_writers_both_answer() -> None:
    mixed = (*ATTEMPTS, ok(3, 1, 100.32, A), ok(3, 2, 99.95, B))
    assert examine(made(mixed, reigns=(), reads=())).overlapping == 0


# --- no read of the past ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "stale"),
    [
        (Read(1, 2, 99.5, 0, A), 1),
        (Read(1, 2, 100.5, 2, A), 1),
        (Read(1, 2, 100.5, 2, B), 1),
        (Read(1, 2, 100.305, 2, B), 0),  # sent before client 2 was told
        (Read(1, 2, 100.5, 4, B), 0),  # newer than anybody was told
        (Read(1, 9, 100.5, 0, B), 0),  # of a client that has written nothing
    ],
)
def test_a_read_must_not_be_older_than_what_anybody_was_told(read: Read, stale: int) -> None:
    found = examine(made(reads=(read,)))
    assert (found.reads, found.stale) == (1, stale)
    assert bool(found.problems) is bool(stale)


def test_a_stale_read_is_named() -> None:
    (problem,) = examine(made(reads=(Read(1, 2, 100.5, 2, A),))).problems
    assert problem == (
        "1 read stale: client 1 read 2 as the last number of client 2 on a at +500 ms, after 3 had"
        " been acknowledged"
    )


def test_what_is_lost_and_kept_is_no_stale_read_besides() -> None:
    read = Read(1, 2, 100.2, 1, B)
    assert examine(made(reads=(read,))).stale == 1
    assert examine(made(reads=(read,), excused=frozenset({(2, 2)}))).stale == 0


def test_with_two_writers_a_node_must_know_what_it_said_itself() -> None:
    of_the_other, of_its_own = Read(1, 2, 100.5, 2, A), Read(1, 2, 100.5, 2, B)
    assert examine(made(reads=(of_the_other,), reigns=())).stale == 0
    assert examine(made(reads=(of_its_own,), reigns=())).stale == 1


# --- no wait without a reason -----------------------------------------------------------------


def test_waits_that_the_fault_does_not_explain_are_named_the_longest_first() -> None:
    found = examine(made(explained_seconds=1.0))
    assert found.problems == ()
    assert [(one.client, one.before, one.after) for one in found.waits] == [
        (1, "b", "b"),
        (2, "b", "b"),
    ]
    assert found.waits[0].length_ms == 3200.0
    assert str(found.waits[0]) == "client 1 waited 3200 ms from +311 ms on (b)"
    assert len(examine(made(explained_seconds=0.2)).waits) == 6  # and those to the very end


def test_a_wait_before_the_fault_is_none_of_its() -> None:
    early = tuple(one for one in ATTEMPTS if one.begun_at < 99.8)
    assert examine(made(early, explained_seconds=0.5, until=99.85)).waits == ()


def test_a_wait_that_goes_on_when_the_pair_is_whole_is_a_problem() -> None:
    until = WHOLE_AT + BEYOND_WHOLE_SECONDS + 1
    left = tuple(one for one in ATTEMPTS if one.client == 1 or one.begun_at < WHOLE_AT)
    found = examine(made((*left, ok(1, 5, until - 0.5, B)), until=until))
    (problem,) = found.problems
    assert problem.startswith("client 2 waited")
    assert "to nobody" in problem
    assert problem.endswith(
        f"{BEYOND_WHOLE_SECONDS + 1:.1f} s of it after the pair was whole again"
    )
    assert (
        examine(made((*left, ok(1, 5, until - 0.5, B)), until=until, whole_at=None)).problems == ()
    )


def test_a_connection_that_a_cut_had_silenced_may_come_back_as_late_as_tcp_tries_again() -> None:
    until = WHOLE_AT + BEYOND_WHOLE_SECONDS + 1
    left = tuple(one for one in ATTEMPTS if one.client == 1 or one.begun_at < WHOLE_AT)
    late = (*left, ok(1, 5, until - 0.5, B))
    assert examine(made(late, until=until, back_off_seconds=0.9)).problems != ()
    assert examine(made(late, until=until, back_off_seconds=1.1)).problems == ()


def test_clients_past_the_balancer_wait_for_their_own_node() -> None:
    until = WHOLE_AT + BEYOND_WHOLE_SECONDS + 1
    direct = (*ATTEMPTS, *(ok(1, n, WHOLE_AT + n - 4, B) for n in (5, 6, 7)))
    direct = (*direct, *(ok(2, n, WHOLE_AT + n - 4, B) for n in (5, 6, 7)), ok(1001, 1, 99.9, A))
    given = made(direct, until=until, reads=())
    assert "client 1001" in examine(given).problems[0]
    assert examine(replace(given, past_balancer=1001)).problems == ()


# --- the ledger -------------------------------------------------------------------------------


def test_reads_and_transactions_share_a_ledger(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path, 3)
    writer.write(Kind.ASKED, 7, 1.0)
    writer.write(Kind.READ, 41, 1.1, B)
    writer.write(Kind.BEGUN, 1, 1.2)
    writer.write(Kind.ACKNOWLEDGED, 1, 1.3, 8)
    writer.write(Kind.ASKED, 8, 1.4)  # never answered
    writer.close()
    assert read_reads(tmp_path) == [Read(3, 7, 1.0, 41, B)]
    assert read_attempts(tmp_path) == [Attempt(3, 1, 1.2, 1.3, Kind.ACKNOWLEDGED, 8)]
    reader = LedgerReader(tmp_path)
    assert reader.advance() == 1
    assert (reader.served_since(1.2), reader.served_since(1.3)) == (1, 0)


def test_the_id_tells_the_node() -> None:
    given = made()
    assert [history.answered_by(given, one) for one in ATTEMPTS[:4]] == [A, A, B, B]
    assert history.answered_by(given, Attempt(1, 1, 1.0)) == 0
