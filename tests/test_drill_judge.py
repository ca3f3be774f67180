"""The drill's judge must notice what it is there to notice: each way to be wrong, one test."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from myha.core.events import Kind as JournalKind
from myha.core.journal_line import Line
from myha.drill.errant import (
    ERRANT_CLIENT,
    Errant,
    ErrantLedger,
    ErrantRow,
    ErrantTable,
    Quarantined,
    QuarantinedRow,
    in_flight,
)
from myha.drill.judge import Evidence, Judgement, Takeover, judge
from myha.drill.ledger import Attempt, Kind, LedgerReader, LedgerWriter, read_attempts
from myha.drill.quarantined import incidents, read_quarantined
from myha.drill.rows import IdRow, Row, Tables
from myha.drill.timeline import (
    Gap,
    around_change,
    before_fault,
    longest_gap,
    outage,
    phases_ms,
    returned,
    takeovers,
)
from myha.drill.worker import payload

SEED = 7
A, B = 1, 2  # server ids, and the offsets of their ids
FAULT_AT, OPENED_AT = 100.0, 100.2


def attempt(client: int, number: int, at: float, outcome: Kind = Kind.ACKNOWLEDGED) -> Attempt:
    told = outcome is Kind.ACKNOWLEDGED
    return Attempt(client, number, at, at + 0.01, outcome, row_id(client, number) if told else 0)


def origin(number: int) -> int:
    return A if number <= 3 else B


def row_id(client: int, number: int) -> int:
    return 100 * client + 2 * number + (1 if origin(number) == A else 0)


def row(client: int, number: int) -> Row:
    return Row(client, number, payload(SEED, client, number), origin(number))


def id_row(client: int, number: int) -> IdRow:
    return IdRow(row_id(client, number), client, number, origin(number))


# Two clients, numbers 1 to 3 on A, then A is lost, 4 to 6 on B.
KEYS = [(client, number) for client in (1, 2) for number in range(1, 7)]
TIMES = {1: 99.0, 2: 99.5, 3: 99.9, 4: 100.3, 5: 100.4, 6: 100.5}


def evidence() -> Evidence:
    tables = Tables(tuple(row(*key) for key in KEYS), tuple(id_row(*key) for key in KEYS))
    return Evidence(
        attempts=tuple(attempt(c, n, TIMES[n] + c / 1000) for c, n in KEYS),
        writer="b",
        tables={"a": tables, "b": tables},
        payload=lambda client, number: payload(SEED, client, number),
        takeovers=(Takeover(B, 100.1, OPENED_AT),),
        offsets={A: 1, B: 2},
    )


def without(tables: Tables, key: tuple[int, int]) -> Tables:
    return Tables(
        tuple(r for r in tables.rows if r.key != key), tuple(r for r in tables.ids if r.key != key)
    )


def on_both(good: Evidence, tables: Tables) -> Evidence:
    return replace(good, tables={"a": tables, "b": tables})


def problem(judgement: Judgement, words: str) -> bool:
    return any(words in one for one in judgement.problems)


def test_a_round_without_loss_is_good() -> None:
    judgement = judge(evidence())
    assert judgement == Judgement(acknowledged=12, converged=True)
    assert judgement.good


def test_an_acknowledged_row_missing_on_both_nodes_is_lost() -> None:
    good = evidence()
    judgement = judge(on_both(good, without(good.tables["a"], (2, 3))))
    assert judgement.acknowledged_lost == 1
    assert not judgement.converged
    assert problem(judgement, "client 2 number 3")


@pytest.mark.parametrize(("node", "lost"), [("a", 0), ("b", 1)])
def test_a_row_missing_on_one_node_is_a_difference_and_on_the_writer_lost(
    node: str, lost: int
) -> None:
    good = evidence()
    judgement = judge(
        replace(good, tables={**good.tables, node: without(good.tables[node], (1, 2))})
    )
    assert judgement.acknowledged_lost == lost
    assert not judgement.converged
    assert problem(judgement, f"not on {'the writer b' if lost else 'a'}")


def test_half_a_transaction_is_lost_and_named() -> None:
    good = evidence()
    whole = good.tables["a"]
    half = Tables(whole.rows, tuple(r for r in whole.ids if r.key != (1, 5)))
    judgement = judge(on_both(good, half))
    assert judgement.acknowledged_lost == 1
    assert not judgement.converged
    assert problem(judgement, "only half there")


def test_a_transaction_that_is_there_twice_is_duplicated() -> None:
    good = evidence()
    whole = good.tables["a"]
    twice = Tables(whole.rows, (*whole.ids, IdRow(998, 1, 4, B)))
    judgement = judge(on_both(good, twice))
    assert judgement.duplicated == 1
    assert problem(judgement, "more than once")


def test_a_row_that_differs_between_the_nodes_is_a_difference() -> None:
    good = evidence()
    rows = tuple(replace(r, origin=B) if r.key == (1, 1) else r for r in good.tables["a"].rows)
    judgement = judge(
        replace(good, tables={**good.tables, "b": Tables(rows, good.tables["b"].ids)})
    )
    assert not judgement.converged


def test_unanswered_transactions_may_be_there_or_not() -> None:
    good = evidence()
    open_ones = tuple(
        attempt(c, n, 100.0, Kind.UNANSWERED) if n == 3 else attempt(c, n, TIMES[n])
        for c, n in KEYS
    )
    judgement = judge(replace(on_both(good, without(good.tables["a"], (1, 3))), attempts=open_ones))
    assert judgement.good
    assert judgement.unacknowledged_present == 1
    assert judgement.acknowledged == 10


def test_a_row_whose_commit_was_never_sent_must_not_be_there() -> None:
    good = evidence()
    broken = tuple(
        attempt(c, n, TIMES[n], Kind.BROKEN_OFF if (c, n) == (1, 3) else Kind.ACKNOWLEDGED)
        for c, n in KEYS
    )
    assert problem(judge(replace(good, attempts=broken)), "never committed")


def test_a_row_that_nobody_began_must_not_be_there() -> None:
    good = evidence()
    fewer = tuple(a for a in good.attempts if (a.client, a.number) != (2, 6))
    assert problem(judge(replace(good, attempts=fewer)), "never committed")


def test_a_changed_payload_is_noticed() -> None:
    good = evidence()
    whole = good.tables["a"]
    rows = tuple(replace(r, payload="x") if r.key == (1, 1) else r for r in whole.rows)
    assert problem(judge(on_both(good, Tables(rows, whole.ids))), "payload")


def test_an_id_that_the_client_was_not_told_is_noticed() -> None:
    good = evidence()
    whole = good.tables["a"]
    ids = tuple(replace(r, id=901) if r.key == (1, 1) else r for r in whole.ids)
    assert problem(judge(on_both(good, Tables(whole.rows, ids))), "did not get")


def test_an_id_of_the_other_residue_class_is_noticed() -> None:
    good = evidence()
    whole = good.tables["a"]
    ids = tuple(replace(r, id=r.id + 1) if r.key == (1, 6) else r for r in whole.ids)
    assert problem(judge(on_both(good, Tables(whole.rows, ids))), "residue class")


def moved(good: Evidence, key: tuple[int, int], to: int) -> Evidence:
    """The same evidence with one transaction written on the other node."""
    whole = good.tables["a"]
    rows = tuple(replace(r, origin=to) if r.key == key else r for r in whole.rows)
    return on_both(good, Tables(rows, whole.ids))


def test_a_write_on_the_old_writer_after_the_new_one_opened_is_noticed() -> None:
    assert problem(judge(moved(evidence(), (1, 6), A)), "not the writer then")


def test_a_write_on_the_new_writer_before_it_was_on_record_is_noticed() -> None:
    assert problem(judge(moved(evidence(), (1, 1), B)), "not the writer then")


def test_writes_on_both_nodes_without_any_takeover_are_noticed() -> None:
    assert problem(judge(replace(evidence(), takeovers=())), "two nodes took writes in one epoch")


def test_writes_on_both_nodes_are_right_with_two_writers() -> None:
    assert judge(replace(evidence(), takeovers=(), single_writer=False)).good


def test_an_attempt_in_flight_during_the_takeover_may_be_on_either_node() -> None:
    good = evidence()
    attempts = tuple(
        replace(a, begun_at=99.95, ended_at=100.25) if (a.client, a.number) == (1, 4) else a
        for a in good.attempts
    )
    assert judge(replace(good, attempts=attempts)).good
    assert judge(moved(replace(good, attempts=attempts), (1, 4), A)).good


# --- errant rows: each is in quarantine, or lives on, or was destroyed ------------------------


INSERTED = Row(ERRANT_CLIENT, 1, "i" * 48, A)
INSERTED_ID = IdRow(2_001, ERRANT_CLIENT, 1, A)
OF_CLIENT_1 = ((1, 1), (1, 2))


def errant_rows() -> tuple[ErrantRow, ...]:
    """An insert, an update of client 1's first row, and a deletion of its second."""
    changed, deleted = (row(*key) for key in OF_CLIENT_1)
    return (
        ErrantRow(None, INSERTED),
        ErrantRow(None, INSERTED_ID),
        ErrantRow(changed, changed.spoilt("u" * 48)),
        ErrantRow(deleted, None),
        ErrantRow(id_row(1, 2), None),
    )


def image(one: Row | IdRow | None) -> bytes:
    """A row as a binary log has it, by the manual; the bits for NULL come first."""
    if one is None:
        return b""
    if isinstance(one, IdRow):
        numbers = ((one.id, 8), (one.client, 4), (one.number, 8), (one.origin, 8))
        return b"\xf0" + b"".join(value.to_bytes(size, "little") for value, size in numbers)
    text = one.payload.encode()
    head = one.client.to_bytes(4, "little") + one.number.to_bytes(8, "little")
    length = len(text).to_bytes(2, "little")
    return b"\xf0" + head + length + text + one.origin.to_bytes(8, "little")


def kept(*rows: ErrantRow) -> Quarantined:
    """A quarantine that has them, between other events."""
    events = [b"head" + image(one.before) + image(one.after) + b"checksum" for one in rows]
    listed = {
        QuarantinedRow(
            f"app.{one.table}",
            image(one.before).hex() if one.before else None,
            image(one.after).hex() if one.after else None,
        )
        for one in rows
    }
    return Quarantined(b"".join(events), frozenset(listed))


def diverged(*in_quarantine: ErrantRow) -> Evidence:
    return replace(evidence(), errant=Errant(errant_rows()), kept=kept(*in_quarantine))


def merged(good: Evidence) -> Evidence:
    """The same with every errant change on both nodes."""
    whole = good.tables["a"]
    changed, deleted = OF_CLIENT_1
    rows = (r.spoilt("u" * 48) if r.key == changed else r for r in whole.rows if r.key != deleted)
    ids = (r for r in whole.ids if r.key != deleted)
    return on_both(good, Tables((*rows, INSERTED), (*ids, INSERTED_ID)))


def counts(judgement: Judgement) -> tuple[int, int, int, int]:
    return judgement.errant, judgement.quarantined, judgement.merged, judgement.destroyed


def test_errant_rows_in_quarantine_are_counted() -> None:
    judgement = judge(diverged(*errant_rows()))
    assert judgement.problems == ()
    assert counts(judgement) == (5, 5, 0, 0)


def test_errant_rows_that_live_on_in_the_pair_are_counted() -> None:
    judgement = judge(merged(diverged()))
    assert judgement.problems == ()
    assert counts(judgement) == (5, 0, 5, 0)
    assert judgement.acknowledged_lost == 0


def test_rows_that_were_merged_and_kept_as_well_are_merged() -> None:
    assert counts(judge(merged(diverged(*errant_rows())))) == (5, 0, 5, 0)


@pytest.mark.parametrize("gone", range(5))
def test_an_errant_row_that_is_nowhere_is_destroyed(gone: int) -> None:
    rows = errant_rows()
    judgement = judge(diverged(*(one for number, one in enumerate(rows) if number != gone)))
    assert counts(judgement) == (5, 4, 0, 1)
    assert problem(judgement, "1 errant rows are neither in quarantine nor in the pair")


def lost_with(*in_quarantine: ErrantRow, may_be_kept: bool) -> Judgement:
    """A crash that took client 2's number 3 with it, as `async` allows."""
    good = evidence()
    shown = on_both(good, without(good.tables["a"], (2, 3)))
    return judge(replace(shown, kept=kept(*in_quarantine), may_be_kept=may_be_kept))


def test_what_async_may_lose_has_to_be_in_quarantine_whole() -> None:
    both = ErrantRow(None, row(2, 3)), ErrantRow(None, id_row(2, 3))
    allowed = lost_with(*both, may_be_kept=True)
    assert allowed.good
    assert allowed.converged
    assert allowed.acknowledged_lost == 1
    for judgement in (
        lost_with(*both, may_be_kept=False),
        lost_with(may_be_kept=True),
        lost_with(both[0], may_be_kept=True),
        lost_with(both[1], may_be_kept=True),
    ):
        assert problem(judgement, "client 2 number 3")
        assert not judgement.converged


def test_a_quarantine_with_another_image_does_not_count() -> None:
    rows = errant_rows()
    other = replace(rows[2], after=row(1, 1).spoilt("x" * 48))
    judgement = judge(diverged(*rows[:2], other, *rows[3:]))
    assert judgement.destroyed == 1
    only_new = replace(rows[2], before=None)
    assert judge(diverged(*rows[:2], only_new, *rows[3:])).destroyed == 1


def test_a_heal_that_took_out_one_half_is_noticed() -> None:
    rows = errant_rows()
    good = diverged(*rows)
    whole = good.tables["a"]
    half = on_both(good, Tables((*whole.rows, INSERTED), (*whole.ids, INSERTED_ID)))
    judgement = judge(half)
    assert counts(judgement) == (5, 3, 2, 0)
    assert problem(judgement, "incomplete")


def test_an_errant_deletion_that_only_one_node_took_over_is_a_difference() -> None:
    good = merged(diverged())
    whole = evidence().tables["a"]
    one_sided = replace(good, tables={**good.tables, "a": whole})
    assert not judge(one_sided).converged


def test_a_statement_must_be_kept_word_for_word() -> None:
    table = ErrantTable("myha_drill_errant", "CREATE TABLE myha_drill_errant (id INT)")
    good = replace(evidence(), errant=Errant(tables=(table,)))
    assert judge(good).destroyed == 1
    there = replace(good, kept=Quarantined(b"..." + table.statement.encode() + b"..."))
    assert counts(judge(there)) == (1, 1, 0, 0)
    assert judge(replace(good, writer_tables=frozenset({table.table}))).merged == 1


def test_what_a_node_that_was_left_fenced_still_has_is_not_destroyed() -> None:
    good = diverged()
    fenced = replace(
        good, tables={"a": merged(good).tables["a"], "b": good.tables["b"]}, fenced="a"
    )
    judgement = judge(fenced)
    assert judgement.problems == ()
    assert (judgement.left, judgement.destroyed) == (5, 0)
    assert not judgement.converged


def test_a_row_that_a_repair_has_overwritten_is_in_quarantine(tmp_path: Path) -> None:
    changed = row(1, 1)
    lost = changed.spoilt("1" * 48)
    folder = tmp_path / "repair-1"
    folder.mkdir()
    values = {"client": 1, "number": 1, "payload": lost.payload.encode().hex(), "origin": A}
    line = {
        "table": "app.myha_drill",
        "key": ["1", "1"],
        "before": {name: {"value": str(value), "text": "..."} for name, value in values.items()},
        "after": None,
    }
    (folder / "rows.jsonl").write_text(json.dumps(line) + "\n")
    digest = hashlib.sha256((folder / "rows.jsonl").read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  rows.jsonl\n")
    found = read_quarantined(tmp_path)
    assert found.holds(ErrantRow(changed, lost))
    assert not found.holds(ErrantRow(changed, changed.spoilt("2" * 48)))
    good = replace(evidence(), errant=Errant((ErrantRow(changed, lost),)), kept=found)
    assert counts(judge(good)) == (1, 1, 0, 0)


def test_rows_of_commits_in_flight_are_errant_too() -> None:
    rows = errant_rows()
    node = evidence().tables["a"]
    more = Row(1, 7, payload(SEED, 1, 7), A)
    held = Tables((*node.rows, INSERTED, more), (*node.ids, INSERTED_ID))
    assert in_flight(held, node, rows) == [ErrantRow(None, more)]
    unseen = ErrantRow(None, more)
    judgement = judge(diverged(*rows, unseen))
    assert counts(judgement) == (6, 6, 0, 0)


def test_the_ledger_of_errant_rows_is_on_disk_at_once(tmp_path: Path) -> None:
    ledger = ErrantLedger(tmp_path / "errant.jsonl")
    for one in errant_rows():
        ledger.add(one)
    ledger.add(ErrantTable("t", "CREATE TABLE t (id INT)"))
    assert ledger.all().rows == errant_rows()
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert len(lines) == len(ledger.all()) == 6
    assert lines[0]["after"]["payload"] == INSERTED.payload


def test_a_quarantine_is_read_with_its_checksums(tmp_path: Path) -> None:
    assert incidents(tmp_path / "none") == frozenset()
    one = errant_rows()[2]
    for name in ("before", "since", ".partial-x"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "events.binlog").write_bytes(image(one.before) + image(one.after))
        line = {
            "table": "app.myha_drill",
            "before": image(one.before).hex(),
            "after": image(one.after).hex(),
        }
        (folder / "rows.jsonl").write_text(json.dumps(line) + "\n")
        sums = [
            f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n"
            for file in ("events.binlog", "rows.jsonl")
        ]
        (folder / "SHA256SUMS").write_text("".join(sums))
    found = read_quarantined(tmp_path, frozenset({"before"}))
    assert found.problems == ()
    assert found.holds(one)
    assert found.others([one]) == 0
    assert found.others([]) == 1
    (tmp_path / "since" / "rows.jsonl").write_text("")
    assert any("checksum" in said for said in read_quarantined(tmp_path).problems)
    (tmp_path / "since" / "events.binlog").unlink()
    assert any("lacks its file" in said for said in read_quarantined(tmp_path).problems)


# --- the ledger -------------------------------------------------------------------------------


def test_the_ledger_gives_back_what_was_written_and_drops_a_torn_entry(tmp_path: Path) -> None:
    ledger = LedgerWriter(tmp_path, 3)
    ledger.write(Kind.BEGUN, 1, 10.0)
    ledger.write(Kind.ACKNOWLEDGED, 1, 10.5, row_id=77)
    ledger.write(Kind.BEGUN, 2, 11.0)
    ledger.write(Kind.UNANSWERED, 2, 11.5)
    ledger.write(Kind.BEGUN, 3, 12.0)
    ledger.write(Kind.BROKEN_OFF, 3, 12.5)
    ledger.write(Kind.BEGUN, 4, 13.0)
    ledger.close()
    with (tmp_path / "client-3.ledger").open("ab") as file:
        file.write(b"\x02torn")
    assert read_attempts(tmp_path) == [
        Attempt(3, 1, 10.0, 10.5, Kind.ACKNOWLEDGED, 77),
        Attempt(3, 2, 11.0, 11.5, Kind.UNANSWERED),
        Attempt(3, 3, 12.0, 12.5, Kind.BROKEN_OFF),
        Attempt(3, 4, 13.0, None, Kind.UNANSWERED),
    ]


def test_the_ledger_is_followed_while_it_grows(tmp_path: Path) -> None:
    reader = LedgerReader(tmp_path)
    ledger = LedgerWriter(tmp_path, 1)
    assert reader.advance() == 0
    for number in (1, 2):
        ledger.write(Kind.BEGUN, number, 1.0)
        ledger.write(Kind.ACKNOWLEDGED, number, 2.0 + number)
    assert reader.advance() == 2
    assert reader.advance() == 0
    assert reader.last_acknowledged_at == 4.0
    ledger.close()


# --- times ------------------------------------------------------------------------------------


def test_the_gap_over_all_clients_is_shorter_than_that_of_one() -> None:
    attempts = [
        *(attempt(1, n, at) for n, at in enumerate([99.0, 99.99, 100.19, 100.3], 1)),
        *(attempt(2, n, at) for n, at in enumerate([99.0, 99.89, 100.39], 1)),
    ]
    together, one_client_ms = outage(attempts, FAULT_AT, 100.41)
    assert together.length_ms == pytest.approx(200)
    assert together.began_ms == pytest.approx(0)
    assert one_client_ms == pytest.approx(500)


def test_a_gap_before_the_fault_does_not_count() -> None:
    assert longest_gap([90.0, 99.9, 100.1, 100.2], FAULT_AT, 100.25).length_ms == pytest.approx(200)


def test_writes_that_never_came_back_are_a_gap_up_to_the_end() -> None:
    gap = longest_gap([99.0, 99.9], FAULT_AT, 160.0)
    assert gap.length_ms == pytest.approx(60_100)
    assert longest_gap([], FAULT_AT, 160.0) == Gap(60_000, 0)


def test_a_stall_after_a_change_of_writer_is_not_the_changes_own() -> None:
    times = [99.5, 99.8, 99.99, 100.04, 100.05, 100.35, 100.36]
    attempts = [attempt(1, number, at) for number, at in enumerate(times, 1)]
    assert around_change(attempts, FAULT_AT, 50.0) == pytest.approx(50, abs=0.1)
    assert outage(attempts, FAULT_AT, 100.37)[0].length_ms == pytest.approx(300)
    assert before_fault(attempts, FAULT_AT, 0.3) == pytest.approx(190)
    assert before_fault(attempts, FAULT_AT, 0.1) is None


def step(at: float, plan: str, name: str, node: str = "b", **more: str) -> Line:
    fields = {"plan": plan, "step": name, "node": node, **more}
    return Line(0, at, 0.0, JournalKind.STEP, "", fields)


def of_plan(at: float, kind: JournalKind, node: str) -> Line:
    return Line(0, at, 0.0, kind, "", {"plan": "failover", "node": node})


EVENTS = [
    of_plan(99.0, JournalKind.PLAN, "a"),
    Line(0, 100.09, 0.0, JournalKind.VERDICT, "the writer is dead"),
    of_plan(100.1, JournalKind.PLAN, "b"),
    step(100.11, "failover", "record"),
    step(100.12, "failover", "stop-receiver"),
    step(100.13, "failover", "take-out"),
    step(100.14, "failover", "fence", beside="yes"),
    step(100.15, "failover", "await-applied"),
    step(100.16, "failover", "open"),
    step(100.17, "failover", "put-in"),
    of_plan(100.18, JournalKind.PLAN_DONE, "b"),
]


def test_phases_count_from_the_fault_and_leave_out_what_was_before() -> None:
    assert phases_ms(EVENTS, ("failover",), FAULT_AT) == {
        "detected": 100.0,
        "recorded": 110.0,
        "cut": 120.0,
        "fenced": 130.0,
        "applied": 150.0,
        "opened": 160.0,
        "routed": 170.0,
    }


def test_takeovers_are_read_from_the_journal() -> None:
    assert takeovers(EVENTS, {"a": A, "b": B}) == (Takeover(B, 100.11, 100.16),)


@pytest.mark.parametrize(
    ("plans", "how"),
    [
        (["failover"], ""),
        (["failover", "rejoin"], "resume"),
        (["failover", "fence-errant", "heal", "healed by merge: x", "rejoin"], "merge"),
        (["failover", "fence-errant", "heal", "healed by rewind: 2 undone", "rejoin"], "rewind"),
        (["fence", "healed by reseed: 1 GB", "rejoin", "failover", "rejoin"], "reseed"),
        (["failover", "fence-errant"], "fenced"),
        (["failover", "fence-errant", "healed by rewind"], "fenced"),
    ],
)
def test_how_a_node_returned_is_read_from_the_journal(plans: list[str], how: str) -> None:
    events = []
    for words in plans:
        plan = words.partition(" ")[0]
        events.append(Line(0, 0.0, 0.0, JournalKind.PLAN, f"a is {words}", {"plan": plan}))
        events.append(Line(0, 0.0, 0.0, JournalKind.PLAN_DONE, "done", {"plan": plan}))
    assert returned(events) == how
