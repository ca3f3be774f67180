"""Binary log events and their inverse, without a server: lengths, checksums, order, refusals."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myha.binlog import events, row_events, stream
from myha.binlog.errors import RewindRefusedError, TornTransactionError
from myha.binlog.events import EventType, RawEvent
from myha.binlog.torn_files import LostEndError, past_torn_ends
from myha.binlog.transactions import streamed
from myha.core.gtid import MysqlGtidSet
from myha.database.flavours.base import Gtid
from myha.database.flavours.mysql import encode_gtid_set
from myha.undo import later_changes
from myha.undo.inverse import TableCounts, changes, count, redo_step, undo_step
from myha.undo.later_changes import LaterChanges

UUID = bytes(range(16))
UUID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"
LONG, VARCHAR = 3, 15

Row = tuple[int | None, bytes | None]


class Transaction(NamedTuple):
    """One transaction, its GTID event first."""

    gtid: Gtid
    events: tuple[RawEvent, ...]


rows = st.tuples(
    st.none() | st.integers(0, 2**32 - 1), st.none() | st.binary(min_size=0, max_size=300)
)


def make(kind: int, body: bytes, *, flags: int = 0, log_pos: int = 1000) -> RawEvent:
    size = events.HEADER_BYTES + len(body) + events.CHECKSUM_BYTES
    data = events.HEADER.pack(1_700_000_000, kind, 7, size, log_pos, flags) + body
    return events.parse(data + zlib.crc32(data).to_bytes(4, "little"), checksum=True)


def image(row: Row) -> bytes:
    number, text = row
    nulls = (number is None) | (text is None) << 1
    data = bytes([nulls])
    if number is not None:
        data += number.to_bytes(4, "little")
    if text is not None:
        data += len(text).to_bytes(2, "little") + text
    return data


def table_event(table_id: int = 5) -> RawEvent:
    """t.x (a INT, b VARCHAR(300)), the names in its optional metadata."""
    names = b"\x01a\x01b"
    return make(
        EventType.TABLE_MAP,
        table_id.to_bytes(6, "little") + b"\x01\x00" + b"\x01t\x00" + b"\x01x\x00"
        b"\x02" + bytes([LONG, VARCHAR]) + b"\x02" + (300).to_bytes(2, "little") + b"\x03"
        b"\x01\x01\x80" + bytes([4, len(names)]) + names,
    )


def rows_event(kind: EventType, images: list[bytes], *, bitmap: bytes = b"\x03") -> RawEvent:
    extra = b"\x02\x00" if kind >= EventType.WRITE_ROWS else b""
    bitmaps = bitmap * (2 if kind in events.UPDATES else 1)
    head = (5).to_bytes(6, "little") + b"\x00\x00" + extra + b"\x02" + bitmaps
    return make(kind, head + b"".join(images))


def gtid_event(number: int = 1) -> RawEvent:
    return make(EventType.GTID, b"\x00" + UUID + number.to_bytes(8, "little"))


def query(text: bytes) -> RawEvent:
    return make(EventType.QUERY, struct.pack("<IIBHH", 1, 0, 1, 0, 3) + b"abc" + b"t\x00" + text)


FORMAT = make(EventType.FORMAT_DESCRIPTION, b"\x04\x00" + bytes(70) + b"\x01")


def transaction(*body: RawEvent, number: int = 1) -> Transaction:
    first = gtid_event(number)
    parts = (first, query(b"BEGIN"), *body, make(EventType.XID, bytes(8)))
    return Transaction(events.gtid(first), parts)


def undo(*errant: Transaction) -> list[bytes]:
    """What undoes them, the last change first."""
    found = [rows for one in errant for rows in changes(one)]
    return [undo_step(rows, checksum=True) for rows in reversed(found)]


def parsed(step: bytes) -> tuple[RawEvent, RawEvent]:
    length = int.from_bytes(step[9:13], "little")
    first = events.parse(step[:length], checksum=True)
    return first, events.parse(step[length:], checksum=True)


KINDS = st.sampled_from(
    [
        EventType.WRITE_ROWS,
        EventType.UPDATE_ROWS,
        EventType.DELETE_ROWS,
        EventType.WRITE_ROWS_V1,
        EventType.UPDATE_ROWS_V1,
        EventType.DELETE_ROWS_V1,
    ]
)


@given(st.lists(st.tuples(KINDS, st.lists(rows, min_size=2, max_size=6)), max_size=4))
def test_inverse_has_every_image_swapped_in_reverse_order(
    content: list[tuple[EventType, list[Row]]],
) -> None:
    body: list[RawEvent] = []
    for kind, some in content:
        even = some[: len(some) // 2 * 2]
        body += [table_event(), rows_event(kind, [image(row) for row in even])]
    one = transaction(*body)
    wanted = [
        (after, before)
        for found in reversed(list(changes(one)))
        for before, after in reversed(found.images)
    ]
    got: list[tuple[bytes | None, bytes | None]] = []
    for step in undo(one):
        mapped, event = parsed(step)
        table = row_events.table_map(mapped)
        assert (table.name, table.columns) == ("t.x", ("a", "b"))
        found = row_events.row_changes(event, table)
        flags = int.from_bytes(event.body[6:8], "little")
        assert flags == events.STATEMENT_END | events.NO_FOREIGN_KEY_CHECKS
        got += found.images
    assert got == wanted


@given(st.lists(rows, min_size=1, max_size=5))
def test_inverse_of_the_inverse_does_the_same_again(some: list[Row]) -> None:
    one = transaction(table_event(), rows_event(EventType.WRITE_ROWS, [image(r) for r in some]))
    (step,) = undo(one)
    (again,) = undo(transaction(*parsed(step)))
    assert [again] == [redo_step(found, checksum=True) for found in changes(one)]


def test_transactions_are_undone_last_one_first() -> None:
    first = transaction(table_event(), rows_event(EventType.WRITE_ROWS, [image((1, b""))]))
    second = transaction(table_event(), rows_event(EventType.DELETE_ROWS, [image((2, b""))]))
    kinds = [parsed(step)[1].type for step in undo(first, second)]
    assert kinds == [EventType.WRITE_ROWS, EventType.DELETE_ROWS]
    tables: dict[str, TableCounts] = {}
    for one in (first, second):
        for found in changes(one):
            count(tables, found)
    assert tables == {"t.x": TableCounts(inserted=1, deleted=1, columns=("a", "b"))}


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (query(b"DROP TABLE x"), "has a statement"),
        (query(b"ROLLBACK TO SAVEPOINT x"), "has a statement"),
        (make(EventType.TRANSACTION_PAYLOAD, b"x"), "compressed"),
        (make(EventType.PARTIAL_UPDATE_ROWS, b"x"), "partial JSON"),
        (make(EventType.XA_PREPARE, b"x"), "XA"),
        (make(5, b"x"), "event of type 5"),
        (make(172, b"x"), "event of type 172"),
        (rows_event(EventType.WRITE_ROWS, [image((1, b""))]), "no table map"),
    ],
)
def test_whatever_is_no_plain_row_change_is_refused(event: RawEvent, why: str) -> None:
    with pytest.raises(RewindRefusedError, match=why):
        undo(transaction(event))


def test_ignorable_events_and_savepoints_are_passed_over() -> None:
    one = transaction(query(b"SAVEPOINT `a`"), make(200, b"x", flags=events.IGNORABLE_FLAG))
    assert undo(one) == []


def test_partial_or_torn_images_are_refused() -> None:
    partial = rows_event(EventType.WRITE_ROWS, [image((1, b""))], bitmap=b"\x01")
    with pytest.raises(RewindRefusedError, match="partial row images"):
        undo(transaction(table_event(), partial))
    torn = rows_event(EventType.WRITE_ROWS, [image((1, b"long"))[:-2]])
    with pytest.raises(RewindRefusedError, match="could not be split"):
        undo(transaction(table_event(), torn))


def test_a_transaction_without_its_end_is_refused() -> None:
    whole = transaction(table_event(), rows_event(EventType.WRITE_ROWS, [image((1, b""))]))
    cut = Transaction(whole.gtid, whole.events[:-1])
    with pytest.raises(RewindRefusedError, match="its end is not in the binary log"):
        undo(cut)


@pytest.mark.parametrize("kind", [7, 11, 12, 20, 99])
def test_columns_of_unknown_length_are_refused(kind: int) -> None:
    body = bytes(6) + b"\x01\x00\x01t\x00\x01x\x00\x01" + bytes([kind]) + b"\x00\x00"
    with pytest.raises(RewindRefusedError, match=r"column 1 of t\.x"):
        row_events.table_map(make(EventType.TABLE_MAP, body))


def test_a_later_change_of_an_errant_row_is_found_and_others_are_not() -> None:
    def update(before: Row, after: Row) -> Transaction:
        images = [image(before), image(after)]
        return transaction(table_event(), rows_event(EventType.UPDATE_ROWS, images))

    later = LaterChanges()
    later.kept(update((1, b"new"), (1, b"newer")))  # before any errant one: no matter
    later.errant("t.x", image((1, b"new")))
    later.kept(update((2, b"new"), (2, b"x")))
    with pytest.raises(RewindRefusedError, match="which stays, changed a row of t.x"):
        later.kept(update((1, b"new"), (1, b"newer")))
    with pytest.raises(RewindRefusedError, match="after the errant transactions"):
        later.kept(transaction(query(b"ALTER TABLE x ADD y INT")))


def test_more_errant_rows_than_can_be_compared_are_refused_only_if_a_change_came_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(later_changes, "MAX_ROWS", 1)
    later = LaterChanges()
    later.errant("t.x", image((1, b"a")))
    later.errant("t.x", image((2, b"b")))
    later.kept(transaction(table_event(), rows_event(EventType.WRITE_ROWS, [image((3, b""))])))
    with pytest.raises(RewindRefusedError, match="too many to compare"):
        later.kept(transaction(table_event(), rows_event(EventType.DELETE_ROWS, [image((3, b""))])))


def test_a_wrong_checksum_or_length_is_refused() -> None:
    raw = gtid_event().raw
    with pytest.raises(RewindRefusedError, match="wrong checksum"):
        events.parse(raw[:-1] + bytes([raw[-1] ^ 1]), checksum=True)
    with pytest.raises(RewindRefusedError, match="states"):
        events.parse(raw[:-1], checksum=True)
    with pytest.raises(RewindRefusedError, match="too short"):
        events.parse(raw[:5], checksum=False)


def test_gtids_of_every_kind_have_the_servers_names() -> None:
    assert str(events.gtid(gtid_event(9))) == f"{UUID_TEXT}:9"
    mariadb = make(EventType.MARIADB_GTID, struct.pack("<QIB", 12, 3, 4) + bytes(6))
    assert str(events.gtid(mariadb)) == "3-7-12"
    assert not events.gtid(mariadb).is_ddl
    ddl = make(EventType.MARIADB_GTID, struct.pack("<QIB", 12, 3, 1 | 32) + bytes(6))
    assert events.gtid(ddl).is_ddl


def test_a_stream_becomes_transactions_with_their_places() -> None:
    rotate = make(EventType.ROTATE, (4).to_bytes(8, "little") + b"binlog.000007")
    body = (query(b"BEGIN"), make(EventType.XID, bytes(8)))
    found = list(streamed([rotate, FORMAT, gtid_event(1), *body, gtid_event(2), *body]))
    assert [one.gtid.number for one in found] == [1, 2]
    assert {one.file for one in found} == {"binlog.000007"}
    assert found[0].offset == 1000 - len(gtid_event(1).raw)
    with pytest.raises(RewindRefusedError, match="outside any transaction"):
        list(streamed([rotate, FORMAT, *body]))


def test_a_streamed_transaction_is_passed_over_where_it_is_not_taken() -> None:
    body = (query(b"BEGIN"), make(EventType.XID, bytes(8)))
    stream_of_two = [FORMAT, gtid_event(1), *body, FORMAT, gtid_event(2), *body]
    taken = []
    for one in streamed(iter(stream_of_two)):
        first = next(one.events)
        assert events.gtid(first) == one.gtid
        taken.append(len(list(one.events)) if one.gtid.number == 2 else 0)
    assert taken == [0, 2]


def test_a_torn_transaction_is_passed_over_and_cannot_be_taken_for_a_whole_one() -> None:
    whole = (query(b"BEGIN"), make(EventType.XID, bytes(8)))
    rolled_back = (query(b"BEGIN"), query(b"ROLLBACK TO `s`"))
    for torn in ((), whole[:1], rolled_back, (query(b"XA START 'x'"), query(b"XA END 'x'"))):
        events_of_two = [FORMAT, gtid_event(1), *torn, FORMAT, gtid_event(2), *whole]
        assert [one.gtid.number for one in streamed(events_of_two)] == [1, 2]
        with pytest.raises(TornTransactionError, match=":1 is torn"):
            for one in streamed(events_of_two):
                list(one.events)


@pytest.mark.parametrize(
    "body",
    [
        (query(b"CREATE TABLE x (i INT)"),),
        (query(b"BEGIN"), query(b"COMMIT")),
        (query(b"BEGIN"), query(b"ROLLBACK")),
        (query(b"XA COMMIT 'x'"),),
        (query(b"XA START 'x'"), query(b"XA END 'x'"), make(EventType.XA_PREPARE, b"")),
        (make(EventType.TRANSACTION_PAYLOAD, b""),),
    ],
    ids=repr,
)
def test_a_whole_transaction_is_one_before_the_next_file(body: tuple[RawEvent, ...]) -> None:
    taken = [len(list(one.events)) for one in streamed([FORMAT, gtid_event(), *body, FORMAT])]
    assert taken == [1 + len(body)]


def mariadb_gtid(number: int, *, standalone: bool = False) -> RawEvent:
    return make(EventType.MARIADB_GTID, struct.pack("<QIB6x", number, 1, standalone))


def test_mariadb_says_itself_whether_something_ends_the_transaction() -> None:
    statement, torn = query(b"INSERT INTO t VALUES (1)"), "1-7-[12] is torn"
    for one in streamed([FORMAT, mariadb_gtid(1, standalone=True), statement, FORMAT]):
        assert len(list(one.events)) == 2
    for one in streamed([FORMAT, mariadb_gtid(2), statement, FORMAT]):
        with pytest.raises(TornTransactionError, match=torn):
            list(one.events)


def rotate_to(name: str) -> RawEvent:
    return make(EventType.ROTATE, (4).to_bytes(8, "little") + name.encode())


def log_of(*numbers: int, name: str, before: int, torn: bool = False) -> Iterator[RawEvent]:
    """A file of a MariaDB binary log; `before` is the last number ahead of it."""
    yield rotate_to(name)
    yield FORMAT
    yield make(EventType.MARIADB_GTID_LIST, struct.pack("<IIIQ", 1, 1, 7, before))
    for number in numbers:
        yield mariadb_gtid(number)
        yield make(EventType.XID, bytes(8))
    if torn:
        raise stream.TornLogError("binlog truncated in the middle of event", 1236)


def test_a_log_is_read_on_behind_what_a_crash_cut_off() -> None:
    files = {
        "b2": lambda: log_of(3, name="b2", before=2, torn=True),
        "b3": lambda: log_of(4, 5, name="b3", before=3),
    }
    first = log_of(1, 2, name="b1", before=0, torn=True)
    found = past_torn_ends(first, {"b1": "b2", "b2": "b3"}.get, lambda file: files[file]())
    assert [one.gtid.number for one in streamed(found)] == [1, 2, 3, 4, 5]


def test_a_torn_log_that_misses_what_was_committed_is_refused() -> None:
    files = {
        "b2": lambda: log_of(4, name="b2", before=3),
        "b3": lambda: log_of(5, name="b3", before=4),
    }
    torn = log_of(1, 2, name="b1", before=0, torn=True)
    with pytest.raises(LostEndError, match="what was committed there is missing"):
        list(past_torn_ends(torn, {"b1": "b2", "b2": "b3"}.get, lambda file: files[file]()))


def test_a_log_whose_last_file_is_torn_has_no_end() -> None:
    torn = log_of(1, name="b1", before=0, torn=True)
    with pytest.raises(stream.TornLogError):
        list(past_torn_ends(torn, lambda _: None, lambda _: iter(())))


def test_gtid_sets_are_encoded_as_the_dump_command_takes_them() -> None:
    plain = encode_gtid_set(MysqlGtidSet.parse(f"{UUID_TEXT}:1-5:7"))
    assert plain == struct.pack("<Q", 1) + UUID + struct.pack("<QQQQQ", 2, 1, 6, 7, 8)
    tagged = encode_gtid_set(MysqlGtidSet.parse(f"{UUID_TEXT}:1:tag:2"))
    assert tagged[:8] == bytes([1, 2, 0, 0, 0, 0, 0, 1])
    assert b"\x06tag" in tagged
    assert encode_gtid_set(MysqlGtidSet()) == bytes(8)
