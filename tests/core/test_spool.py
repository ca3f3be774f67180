"""Transactions on disk: read again in both directions, found again in a file, cut files refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from myha.binlog.events import EventType, RawEvent
from myha.binlog.transactions import streamed
from myha.database.flavours import MYSQL
from myha.errors import MyhaError
from myha.undo.inverse import changes
from myha.undo.later_changes import LaterChanges
from myha.undo.quarantine import Draft
from myha.undo.spool import ChangePlaces, Spool
from myha.undo.summed_files import verify
from tests.core.test_binlog import FORMAT, image, make, rows_event, table_event, transaction

COUNT = 3


def stream() -> Iterator[RawEvent]:
    """Transactions of two row events each; the second one is too large for one read."""
    yield make(EventType.ROTATE, (4).to_bytes(8, "little") + b"binlog.000007")
    yield FORMAT
    for number in range(1, COUNT + 1):
        wide = [image((number, b"x" * 299)) for _ in range(2000 if number == 2 else 1)]
        yield from transaction(
            table_event(),
            rows_event(EventType.WRITE_ROWS, wide),
            rows_event(EventType.DELETE_ROWS, [image((number, None))]),
            number=number,
        ).events


def test_a_spool_is_read_in_both_directions(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events")
    places = ChangePlaces(spool, tmp_path)
    forward = []
    for one in streamed(stream()):
        forward += [(c.event.raw, c.images) for c in places.changes(spool.add(one))]
    backward = [(c.event.raw, c.images) for c in places.backwards()]
    assert len(forward) == 2 * COUNT
    assert backward == forward[::-1]
    assert [one.gtid.number for one in spool.transactions] == [1, 2, 3]
    assert {one.file for one in spool.transactions} == {"binlog.000007"}
    again = Spool.of_file(tmp_path / "events") if spool.finish() else None
    assert again is not None
    assert [(o.gtid, o.digest) for o in again.transactions] == [
        (o.gtid, o.digest) for o in spool.transactions
    ]
    found = [(c.event.raw, c.images) for o in again.transactions for c in changes(o)]
    assert found == forward
    for each in (places, spool, again):
        each.close()


def test_a_spool_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events"
    spool = Spool(path)
    for one in streamed(stream()):
        spool.add(one)
    spool.finish()
    spool.close()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(MyhaError, match="cut short"):
        Spool.of_file(path)


def test_a_draft_is_complete_or_absent(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Draft(tmp_path, flavour=MYSQL, query=None) as draft:
        draft.take_changes(streamed(stream()), LaterChanges())
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    paths = []
    for _ in range(2):
        with Draft(tmp_path, flavour=MYSQL, query=None) as draft:
            draft.take_changes(streamed(stream()), LaterChanges())
            paths.append(draft.finish("rewind", {"why": "a test"}))
            assert len(list(draft.undo_steps())) == 2 * COUNT
    assert paths[0] == paths[1]
    assert list(tmp_path.iterdir()) == [paths[0]]
    verify(paths[0])
