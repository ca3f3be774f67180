"""What the simulated servers of the benchmark of many pairs answer."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.stub import OK, Answer, Balancer, Recording, packed, packets_of, row_of, values_of
from myha.servers.sessions import CLOCK

BEAT = b"2026-11-29T06:34:18.244138"
END = b"\xfe\0\0\2\0"


def result(names: list[bytes], *rows: list[bytes | None]) -> bytes:
    heads = [row_of([b"def", b"", b"", b"", name, name]) for name in names]
    return packed([bytes([len(names)]), *heads, END, *map(row_of, rows), END])


def rows_of(data: bytes, columns: int) -> list[list[bytes | None]]:
    packets = packets_of(data)
    assert [packet[:1] for packet in (packets[columns + 1], packets[-1])] == [b"\xfe", b"\xfe"]
    return [values_of(one) for one in packets[columns + 2 : -1]]


def test_what_moves_on_an_idle_pair_moves_and_the_rest_stays() -> None:
    beats = b"1=2026-11-29T06:00:00.000001,2=2026-11-29T06:00:00.500001"
    names = [b"beats", b"Slave_received_heartbeats", b"same", b"none"]
    answer = Answer(result(names, [beats, b"7", b"x" * 300, None]))
    (row,) = rows_of(answer.now(BEAT), 4)
    assert row[0] == b"1=%s,2=%s" % (BEAT, BEAT)
    assert int(row[1] or 0) > 7
    assert row[2:] == [b"x" * 300, None]


def test_the_clock_says_what_time_it_is() -> None:
    name = CLOCK.removeprefix("SELECT ").encode()
    answer = Answer(result([name], [b"1764399999.123456"]))
    before = time.time()
    (row,) = rows_of(answer.now(BEAT), 1)
    assert before - 0.001 <= float(row[0] or 0) <= time.time() + 0.001


def test_a_statement_with_other_numbers_is_answered_the_same(tmp_path: Path) -> None:
    data = result([b"node"], [b"a"])
    asked = b"SELECT node FROM myha.proof WHERE epoch = 7"
    (tmp_path / "a.json").write_text(json.dumps({asked.hex(): data.hex()}))
    known = Recording(tmp_path / "a.json")
    assert known.answer(asked.replace(b"7", b"81"), BEAT) == data
    assert known.answer(b"SET NAMES utf8mb4", BEAT) == packed([OK])
    assert not known.unknown
    assert known.answer(b"SELECT 1", BEAT) == packed([OK])
    assert known.unknown


def test_the_balancer_shows_who_was_taken_out(tmp_path: Path) -> None:
    table = "# pxname,svname,scur,econ,bout,status,\n{0},a,0,0,0,no check,\n{0},b,0,0,0,MAINT,\n\n"
    recorded = table.format("writer") + table.format("reader") + "Name: HAProxy\nPid: 7\n\n"
    asked = "show stat writer 4 -1; show stat reader 4 -1; show info"
    (tmp_path / "lb1.json").write_text(json.dumps({asked.encode().hex(): recorded.encode().hex()}))
    one = Balancer(Recording(tmp_path / "lb1.json"))
    assert one.answer(asked) == recorded
    said = one.answer("set server reader/a state maint; show stat reader 4 -1")
    assert said == "\n" + table.format("reader").replace("a,0,0,0,no check", "a,0,0,0,MAINT")
    one.answer("set server writer/b state ready")
    assert "writer,b,0,0,0,no check," in one.answer("show stat writer 4 -1")
