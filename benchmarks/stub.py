"""Simulated pairs at the protocol level: servers and balancers that answer as real ones did.

`record` supervises a real pair for a while and keeps what each statement was answered;
`serve` answers the same to any number of supervisors, each pair on ports of its own. What moves by
itself on an idle pair moves here too: heartbeat rows, the clock, and what the receiver counts. A
statement that was not seen is answered with OK, and said. A process: `python -m benchmarks.stub
ORDER.json`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from myha.balancers.haproxy.adapter import HAProxyBalancer
from myha.config import load
from myha.database.results import ReadingConnection
from myha.ports import WatchedServer
from myha.servers.base import BaseServer
from myha.servers.lag import stamp
from myha.servers.sessions import CLOCK
from myha.supervisor.pair import PairSupervisor

OK = b"\x00\x00\x00\x02\x00\x00\x00"
_NUMBERS = re.compile(rb"\d+(\.\d+)?")
_BEATS = re.compile(rb"\d+=\d{4}-\d\d-\d\dT[\d:.]+(,\d+=[\dT:.-]+)*")
_BEATS_ROW = b"REPLACE INTO myha.heartbeat"
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+")
_PROGRESS = re.compile(rb"([0-9a-f-]{36}/\d+/)\d+(/.*)", re.DOTALL)
CLAIM = b"SELECT store, term, holder, account FROM myha.claim"
_CLAIMS = re.compile(
    rb"INSERT INTO myha\.claim .*?VALUES \(1, '([^']*)', (\d+), '([^']*)', '([^']*)',", re.DOTALL
)
# The account's sessions, whom a new supervisor ends: nobody else is here.
_OTHERS = re.compile(rb"SELECT (t\.PROCESSLIST_ID|p\.ID), COALESCE\(")
_HEARTBEAT_COUNT = b"Slave_received_heartbeats"
_CLOCK_COLUMN = CLOCK.removeprefix("SELECT ").encode()
_SET_NAMES = b"SET NAMES "  # the driver reads its answer past what is recorded
# What stands for a value that moves, as long as that is.
_BEAT, _COUNT, _TIME = b"\1" * 26, b"\2" * 9, b"\3" * 17
COM_QUIT, COM_QUERY = 1, 3
SSL_REQUEST_BYTES = 32
CLIENT_SSL = 0x0800
CAPABILITIES = 0x000FA68D  # as 4.1 clients want it: plugin login, secure connection, no SSL
HUNG = "hung"


def packets_of(data: bytes) -> list[bytes]:
    """The bodies of the packets."""
    found, at = [], 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def packed(bodies: list[bytes], first: int = 1) -> bytes:
    return b"".join(
        struct.pack("<I", len(body))[:3] + bytes([(first + number) % 256]) + body
        for number, body in enumerate(bodies)
    )


def _length(body: bytes, at: int) -> tuple[int | None, int]:
    """A length-encoded integer, None for NULL, and where it ends."""
    first = body[at]
    if first < 0xFB:
        return first, at + 1
    if first == 0xFB:
        return None, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    return int.from_bytes(body[at + 1 : at + 1 + size], "little"), at + 1 + size


def values_of(row: bytes, limit: int = 1 << 16) -> list[bytes | None]:
    """The first so many strings of it."""
    found: list[bytes | None] = []
    at = 0
    while at < len(row) and len(found) < limit:
        size, at = _length(row, at)
        found.append(None if size is None else row[at : at + size])
        at += size or 0
    return found


def row_of(values: list[bytes | None]) -> bytes:
    out = bytearray()
    for value in values:
        if value is None:
            out += b"\xfb"
            continue
        size = len(value)
        if size < 0xFB:
            out.append(size)
        elif size < 1 << 16:
            out += b"\xfc" + struct.pack("<H", size)
        else:
            out += b"\xfd" + struct.pack("<I", size)[:3]
        out += value
    return bytes(out)


class Answer:
    """What a statement is answered: bytes, or rows of which some values move by themselves."""

    def __init__(self, data: bytes, *, parsed: bool = True) -> None:
        self.data = data
        bodies = packets_of(data) if parsed else []
        self.moving: list[tuple[int, int, str]] = []  # row, column, how
        if not bodies or bodies[0][:1] in {b"\x00", b"\xff", b"\xfe"}:
            return
        columns, _ = _length(bodies[0], 0)
        assert columns is not None
        names = [values_of(body, 5)[4] for body in bodies[1 : columns + 1]]
        self._head, rows = bodies[: columns + 2], bodies[columns + 2 : -1]
        self._end = bodies[-1]
        self._rows = [values_of(row) for row in rows]
        for number, row in enumerate(self._rows):
            for column, value in enumerate(row):
                how = _how_it_moves(value, names[column])
                if how:
                    self.moving.append((number, column, how))
        self._pieces = self._cut()

    def value(self, row: int, column: int) -> bytes:
        found = self._rows[row][column]
        assert found is not None
        return found

    def with_rows(self, *rows: list[bytes | None]) -> bytes:
        """The same columns with these rows."""
        return packed([*self._head, *(row_of(row) for row in rows), self._end])

    def now(self, beat: bytes) -> bytes:
        if not self.moving:
            return self.data
        count = b"%d" % (10 ** (len(_COUNT) - 1) + int(time.monotonic() * 2))
        values = {_BEAT: beat, _COUNT: count, _TIME: b"%.6f" % time.time()}
        return b"".join([values.get(piece, piece) for piece in self._pieces])

    def _cut(self) -> list[bytes]:
        """The answer with marks where something moves, at which it is cut: to put it together anew
        for each statement takes longer than all else that is done for it."""
        rows = [list(row) for row in self._rows]
        for number, column, how in self.moving:
            old = rows[number][column] or b""
            if how == "beats":
                rows[number][column] = _STAMP.sub(_BEAT, old)
            elif how == "progress":
                rows[number][column] = _PROGRESS.sub(rb"\g<1>" + _COUNT + rb"\2", old)
            else:
                rows[number][column] = _TIME if how == "clock" else _COUNT
        marked = packed([*self._head, *(row_of(row) for row in rows), self._end])
        return re.split(b"(%s)" % b"|".join((_BEAT, _COUNT, _TIME)), marked)


def _how_it_moves(value: bytes | None, name: bytes | None) -> str:
    if value is None:
        return ""
    if _BEATS.fullmatch(value):
        return "beats"
    if _PROGRESS.fullmatch(value):
        return "progress"
    if name == _CLOCK_COLUMN:
        return "clock"
    return "count" if name == _HEARTBEAT_COUNT else ""


class Recording:
    """Statement to answer, of one server or balancer; numbers in a statement may be others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        packets = path.stem != "lb1"
        self.exact = {
            bytes.fromhex(q): Answer(bytes.fromhex(a), parsed=packets) for q, a in known.items()
        }
        self.like = {_NUMBERS.sub(b"?", q): a for q, a in self.exact.items()}
        self.other: dict[bytes, Answer] = {}  # what only the peer was asked
        self.unknown: set[bytes] = set()

    def answer(self, statement: bytes, beat: bytes) -> bytes:
        if statement.startswith(_SET_NAMES):
            return packed([OK])
        found = self.exact.get(statement)
        shape = b"" if found else _NUMBERS.sub(b"?", statement)
        found = found or self.like.get(shape) or self.other.get(statement)
        if found is not None:
            return found.now(beat)
        if shape not in self.unknown:
            self.unknown.add(shape)
            text = f"not recorded: {statement[:300]!r}"
            print(text, file=sys.stderr, flush=True)  # noqa: T201
        return packed([OK])

    def keep(self, statement: bytes, answer: bytes) -> None:
        self.exact[statement] = Answer(answer)

    def save(self) -> None:
        self.path.write_text(json.dumps({q.hex(): a.data.hex() for q, a in self.exact.items()}))


class Server(asyncio.BufferedProtocol):
    """One connection to a simulated server."""

    space = memoryview(bytearray(1 << 16))  # for all: what is in it is taken out at once

    def __init__(self, node: Node) -> None:
        self.node = node
        self.buffer = b""
        self.phase = "greeted"
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        if self.transport is None:
            self.node.connections.add(self)
        self.transport = transport
        if self.phase == "greeted" and not self.node.state:
            capabilities = CAPABILITIES | (CLIENT_SSL if self.node.tls else 0)
            greeting = (
                b"\x0a" + self.node.version + b"\x00" + struct.pack("<I", id(self) & 0xFFFFFF)
                + b"12345678\x00" + struct.pack("<H", capabilities & 0xFFFF) + b"\x2d"
                + struct.pack("<HH", 2, capabilities >> 16) + bytes([21]) + b"\x00" * 10
                + b"123456789012\x00mysql_native_password\x00"
            )  # fmt: skip
            transport.write(packed([greeting], 0))

    def connection_lost(self, _error: Exception | None) -> None:
        self.node.connections.discard(self)

    def get_buffer(self, _hint: int) -> memoryview:
        """No more than what asks for TLS at first: what follows that is TLS's."""
        return self.space[: 4 + SSL_REQUEST_BYTES] if self.phase == "greeted" else self.space

    def buffer_updated(self, size: int) -> None:
        self.buffer += bytes(self.space[:size])
        if self.phase == "greeted":
            self.phase = "login"
        self._take()

    def _take(self) -> None:
        """What has come whole; while TLS begins nobody could be answered."""
        if self.node.state == HUNG or self.phase == "tls":
            return
        while len(self.buffer) >= 4:
            size = int.from_bytes(self.buffer[:3], "little")
            if len(self.buffer) < 4 + size:
                return
            number, body = self.buffer[3], self.buffer[4 : 4 + size]
            self.buffer = self.buffer[4 + size :]
            self._packet(number, body)

    def _packet(self, number: int, body: bytes) -> None:
        if self.phase == "login":
            if len(body) == SSL_REQUEST_BYTES:
                self.phase = "tls"
                self.transport.pause_reading()
                task = asyncio.ensure_future(self._start_tls())
                self.node.tasks.add(task)
                task.add_done_callback(self.node.tasks.discard)
                return
            self.phase = "commands"
            self.transport.write(packed([OK], number + 1))
        elif body[0] == COM_QUERY:
            self._query(body[1:])
        elif body[0] == COM_QUIT:
            self.transport.close()
        else:
            self.transport.write(packed([OK]))

    def _query(self, statement: bytes) -> None:
        if statement.startswith(b"DO SLEEP"):
            return
        if statement.startswith(_BEATS_ROW) and (found := _STAMP.search(statement)):
            self.node.pair.beat = found[0]
        self.transport.write(self._answer(statement))

    def _answer(self, statement: bytes) -> bytes:
        """As recorded, but for what each pair has of its own: whose it is, and since when."""
        node = self.node
        claimed = _CLAIMS.match(statement)
        if claimed:
            store, term, account, holder = claimed.groups()
            node.claim = [store, term, holder, account]
        if statement == CLAIM and node.claim:
            return node.recording.exact[CLAIM].with_rows(node.claim)
        if _OTHERS.match(statement) and statement in node.recording.exact:
            return node.recording.exact[statement].with_rows()
        return node.recording.answer(statement, node.pair.beat)

    async def _start_tls(self) -> None:
        loop = asyncio.get_running_loop()
        assert self.node.tls is not None
        with suppress(OSError, ssl.SSLError):
            self.transport = await loop.start_tls(
                self.transport, self, self.node.tls, server_side=True
            )
            self.phase = "login"
            self._take()  # the rest of the login comes encrypted, without another greeting


class Node:
    """One simulated server: what it answers, and who is connected."""

    def __init__(
        self, pair: Pair, recording: Recording, version: bytes, tls: ssl.SSLContext | None
    ) -> None:
        self.pair, self.recording, self.version, self.tls = pair, recording, version, tls
        self.connections: set[Server] = set()
        self.tasks: set[Any] = set()
        self.claim: list[bytes | None] = []  # as written here, in place of the recorded one
        self.state = ""


class Pair:
    def __init__(self) -> None:
        self.beat = stamp(time.time()).encode()


def certificate(folder: Path) -> ssl.SSLContext:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out",
         str(cert), "-days", "2", "-subj", "/CN=stub"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


class Balancer:
    """A simulated HAProxy: its table as recorded, but for who has been put in or taken out."""

    def __init__(self, recording: Recording) -> None:
        answers = (one.data for asked, one in recording.exact.items() if b"show info" in asked)
        answer = next(answers).decode()
        tables, self._info = answer.split("\nName: ", 1)
        writer, reader = tables.split("\n\n", 1)
        self._tables = {"writer": writer.strip("\n"), "reader": reader.strip("\n")}
        self._states: dict[tuple[str, str], str] = {}  # by pool and node, where it was changed

    def answer(self, line: str) -> str:
        return "".join(self._answer(one.split()) for one in line.split(";"))

    def _answer(self, words: list[str]) -> str:
        match words:
            case ["show", "stat", pool, *_]:
                return self._table(pool)
            case ["show", "info"]:
                return f"Name: {self._info}"
            case ["set", "server", server, "state", state]:
                pool, node = server.split("/")
                self._states[pool, node] = {"ready": "no check"}.get(state, state.upper())
        return "\n"

    def _table(self, pool: str) -> str:
        head, *rows = self._tables[pool].splitlines()
        status = head.split(",").index("status")
        out = [head]
        for row in rows:
            cells = row.split(",")
            cells[status] = self._states.get((pool, cells[1]), cells[status])
            out.append(",".join(cells))
        return "\n".join(out) + "\n\n"


async def _balancer(known: Balancer, reader: Any, writer: Any) -> None:
    """HAProxy's runtime socket: a line in, an answer out, and good-bye."""
    line = await reader.readline()
    writer.write(known.answer(line.decode().strip()).encode())
    with suppress(OSError):
        await writer.drain()
        writer.close()


async def serve(order: dict[str, Any]) -> None:
    """Until the standard input ends. `order`: a list of pairs, each with two ports and a socket."""
    folder = Path(order["recordings"])
    versions = json.loads((folder / "versions.json").read_text())
    recordings = {name: Recording(folder / f"{name}.json") for name in ("a", "b", "lb1")}
    recordings["a"].other, recordings["b"].other = recordings["b"].exact, recordings["a"].exact
    with tempfile.TemporaryDirectory() as made:
        tls = certificate(Path(made)) if order["tls"] and versions["tls"] else None
        loop = asyncio.get_running_loop()
        for one in order["pairs"]:
            pair = Pair()
            for name, port in one["ports"].items():
                node = Node(pair, recordings[name], versions[name].encode(), tls)
                await loop.create_server(partial(Server, node), "127.0.0.1", port, backlog=64)
            answers = partial(_balancer, Balancer(recordings["lb1"]))
            await asyncio.start_unix_server(answers, one["socket"])
        print("ready", flush=True)  # noqa: T201
        await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)  # nobody is to be told what became of whom was being answered


# -- recording -------------------------------------------------------------------------------------


def record(config_path: Path, recordings: Path, seconds: float) -> None:
    """Supervise a real pair for so long, and keep what its servers and its balancer answer.

    Its record says solo at the beginning, so that arming is among it; and what is asked in trouble
    only is asked at the end.
    """
    config = load(config_path)
    recordings.mkdir(parents=True)
    names = {node.port: name for name, node in config.nodes.items()}
    kept = {name: Recording(recordings / f"{name}.json") for name in (*config.nodes, "lb1")}
    versions: dict[str, Any] = {"tls": False}  # by node; and whether they offer it
    read, execute, result, call = (
        ReadingConnection._read_bytes,
        ReadingConnection._execute_command,
        ReadingConnection._read_query_result,
        HAProxyBalancer._call,
    )

    def executing(connection: Any, command: int, sql: Any) -> None:
        text = sql.encode("utf8") if isinstance(sql, str) else bytes(sql)
        connection.heard = (text, bytearray()) if command == COM_QUERY else None
        execute(connection, command, sql)

    def reading(connection: Any, count: int) -> bytes:
        data: bytes = read(connection, count)
        if getattr(connection, "heard", None):
            connection.heard[1].extend(data)
        return data

    def resulting(connection: Any, unbuffered: bool = False) -> Any:
        found = result(connection, unbuffered)
        heard = getattr(connection, "heard", None)
        if heard and heard[1]:
            name = names[connection.port]
            kept[name].keep(heard[0], bytes(heard[1]))
            versions[name] = connection.server_version
            versions["tls"] |= isinstance(connection._sock, ssl.SSLSocket)
        return found

    def calling(balancer: Any, commands: list[str], ends: float) -> str:
        answer: str = call(balancer, commands, ends)
        kept["lb1"].exact["; ".join(commands).encode()] = Answer(answer.encode(), parsed=False)
        return answer

    ReadingConnection._read_bytes = reading
    ReadingConnection._execute_command = executing  # type: ignore[method-assign, assignment]
    ReadingConnection._read_query_result = resulting  # type: ignore[method-assign, assignment]
    HAProxyBalancer._call = calling  # type: ignore[method-assign, assignment]
    supervisor = PairSupervisor(config)
    threading.Timer(seconds, supervisor.stop, ("the recording ends",)).start()
    supervisor.run()
    for server in supervisor.servers.values():
        _ask_in_trouble(server)
    supervisor.close()
    for one in kept.values():
        one.save()
    (recordings / "versions.json").write_text(json.dumps(versions))


def _ask_in_trouble(server: WatchedServer) -> None:
    """What a supervisor asks a server that was late with an answer, or whose settings moved."""
    assert isinstance(server, BaseServer)
    server.semisync()
    with server.new_session() as session:
        session.limit = 5.0
        server.flavour.identity(session)
        session.value(CLOCK)


def main() -> None:
    order = json.loads(Path(sys.argv[1]).read_text())
    if order["do"] == "record":
        record(Path(order["config"]), Path(order["recordings"]), order["seconds"])
    else:
        asyncio.run(serve(order))


if __name__ == "__main__":
    main()
    os._exit(0)
