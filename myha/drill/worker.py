"""The drill's clients: a process of its own, `python -m myha.drill.worker`.

Each client is a thread with one connection to the balancer's writer port, as an application has it:
a numbered row and an auto-increment row in one transaction, COMMIT, the answer into the ledger, the
next. After an error it connects again at once. The order comes as one JSON line on standard input
(a password must not stand in a process list); the end of the input is the order to stop. What the
clients saw comes as one JSON line on standard output.
"""

from __future__ import annotations

import hashlib
import json
import resource
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.err import MySQLError

from myha.database.statements import load
from myha.drill.ledger import Kind, LedgerWriter

# Threads hand over to each other at every answer; the default of 5 ms would be paid each time.
THREAD_SWITCH_SECONDS = 0.0005
PAUSE_AFTER_ERROR_SECONDS = 0.005
# After so many errors in a row, which is seconds, it asks less often: who logs in two hundred times
# a second on a node that is being fenced and healed takes the machine from it.
ERRORS_IN_A_ROW, PAUSE_AFTER_MANY_SECONDS = 200, 0.1
CONNECT_TIMEOUT_SECONDS = 1.0
STOP_DEADLINE_SECONDS = 15.0
SAMPLES_LIMIT = 200_000
SLOW_DOWN = b"slow down"
SLOW_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Order:
    """What the clients shall do. `pause_ms` is each client's rest after an acknowledgement,
    `first_client` the number of the first of them: no two have the same in one round. With
    `reads_every` a client reads once in so many transactions, and after its first OK on a new
    connection; 0: never.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    flavour: str  # its name
    directory: str
    clients: int
    seed: int
    pause_ms: float = 0.0
    answer_timeout_seconds: float = 8.0
    tls: bool = False
    first_client: int = 1
    reads_every: int = 0


@dataclass(slots=True)
class Seen:
    """What one client saw, besides its ledger. Times in milliseconds."""

    transaction_ms: list[float] = field(default_factory=list)
    connect_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def payload(seed: int, client: int, number: int) -> str:
    """What a row must hold: the judge knows it from its key alone."""
    return hashlib.sha256(f"{seed}/{client}/{number}".encode()).hexdigest()[:48]


class BriefLogin(pymysql.connections.Connection):
    """Logs in with two statements less than the driver's own way.

    The clients share this machine with the servers, and in a change of writer all of them log in at
    once: what a login costs them is measured as outage of the pair.
    """

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        """The handshake has told the server already."""


class Client(threading.Thread):
    """One connection, one transaction after the other."""

    def __init__(self, order: Order, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._order = order
        self._client = number
        self._pause_seconds = order.pause_ms / 1000
        # Not named _stop: a thread has that already.
        self._ending = stop
        self._ledger = LedgerWriter(Path(order.directory), number)
        self._connection: pymysql.Connection[Any] | None = None
        statements = load(order.flavour, "drill")
        self._begin = statements.one("drill_begin")
        self._insert = statements.one("drill_insert")
        self._insert_id = statements.one("drill_insert_id")
        self._last = statements.one("drill_last")
        self._reads = 0
        self._errors = 0  # in a row
        self._until_read = 1
        self.seen = Seen()

    def slow_down(self) -> None:
        self._pause_seconds = max(self._pause_seconds, SLOW_PAUSE_SECONDS)

    def run(self) -> None:
        number = 0
        while not self._ending.is_set():
            if self._connection is None and not self._connect():
                self._rest_after_error(PAUSE_AFTER_ERROR_SECONDS)
                continue
            number += 1
            if not (self._read() and self._transaction(number)):
                self._drop()
                self._rest_after_error(self._pause_seconds)
                continue
            self._errors = 0
            if self._pause_seconds:
                self._ending.wait(self._pause_seconds)
        self._drop()
        self._ledger.close()

    def _rest_after_error(self, seconds: float) -> None:
        self._errors += 1
        many = self._errors > ERRORS_IN_A_ROW
        self._ending.wait(PAUSE_AFTER_MANY_SECONDS if many else seconds)

    def _connect(self) -> bool:
        order, started = self._order, time.monotonic()
        options: dict[str, Any] = {} if order.tls else {"ssl_disabled": True}
        try:
            self._connection = BriefLogin(
                host=order.host,
                port=order.port,
                user=order.user,
                password=order.password,
                database=order.database,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=order.answer_timeout_seconds,
                write_timeout=order.answer_timeout_seconds,
                autocommit=None,  # by the statement
                init_command=self._begin,
                program_name="myha-drill",
                **options,
            )
        except (MySQLError, OSError) as error:
            self._count("connect", error)
            return False
        self._until_read = 1  # not before its first transaction: others wait for that
        self._sample(self.seen.connect_ms, started)
        return True

    def _read(self) -> bool:
        """Now and then: the last number of one of the clients, each in its turn, before a
        transaction. True when the connection may be used on."""
        connection, every = self._connection, self._order.reads_every
        if connection is None or not every:
            return connection is not None
        self._until_read -= 1
        if self._until_read >= 0:
            return True
        self._until_read, self._reads = every - 1, self._reads + 1
        of = self._order.first_client + (self._client + self._reads) % self._order.clients
        self._ledger.write(Kind.ASKED, of, time.monotonic())
        try:
            with connection.cursor() as cursor:
                cursor.execute(self._last % {"client": of})
                value, server_id = cursor.fetchone() or (0, 0)
        except (MySQLError, OSError) as error:
            self._count("read", error)
            return False
        self._ledger.write(Kind.READ, int(value), time.monotonic(), int(server_id))
        return True

    def _transaction(self, number: int) -> bool:
        """True when the connection may be used on. The ledger has the outcome either way."""
        connection = self._connection
        if connection is None:
            return False
        values = {
            "client": self._client,
            "number": number,
            "payload": payload(self._order.seed, self._client, number),
        }
        begun = time.monotonic()
        self._ledger.write(Kind.BEGUN, number, begun)
        outcome, row_id, step = Kind.BROKEN_OFF, 0, "insert"
        try:
            connection.query(self._insert % values)
            connection.query(self._insert_id % values)
            row_id = connection.insert_id()  # type: ignore[no-untyped-call]
            outcome, step = Kind.UNANSWERED, "commit"
            connection.commit()
            outcome = Kind.ACKNOWLEDGED
        except (MySQLError, OSError) as error:
            self._count(step, error)
        self._ledger.write(outcome, number, time.monotonic(), row_id)
        if outcome is not Kind.ACKNOWLEDGED:
            return False
        self._sample(self.seen.transaction_ms, begun)
        return True

    def _count(self, step: str, error: Exception) -> None:
        code = error.args[0] if error.args else ""
        known = code if isinstance(code, int) else type(error).__name__
        self.seen.errors[f"{step} {known}"] += 1

    def _sample(self, samples: list[float], started: float) -> None:
        if len(samples) < SAMPLES_LIMIT:
            samples.append((time.monotonic() - started) * 1000)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(MySQLError, OSError):
                connection._force_close()  # type: ignore[attr-defined]


def summary(seen: list[Seen], began: float) -> dict[str, Any]:
    """What the clients saw together, and what they themselves cost."""
    transactions = [sample for one in seen for sample in one.transaction_ms]
    connects = [sample for one in seen for sample in one.connect_ms]
    errors: Counter[str] = sum((one.errors for one in seen), Counter())
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = used.ru_utime + used.ru_stime
    return {
        "seconds": round(time.monotonic() - began, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "cpu_ms_per_transaction": round(1000 * cpu_seconds / max(1, len(transactions)), 3),
        "transaction_ms": _spread(transactions),
        "connect_ms": _spread(connects),
        "connects": len(connects),
        "errors": dict(errors),
    }


def _spread(samples: list[float]) -> dict[str, float] | None:
    if not samples:
        return None
    ordered = sorted(samples)
    return {
        "median": round(statistics.median(ordered), 3),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    began = time.monotonic()
    stop = threading.Event()
    first = order.first_client
    clients = [Client(order, number, stop) for number in range(first, first + order.clients)]
    for client in clients:
        client.start()
    for line in sys.stdin:  # until our parent closes it, or is no more
        if line.strip().encode() == SLOW_DOWN:
            for client in clients:
                client.slow_down()
    stop.set()
    ends = time.monotonic() + STOP_DEADLINE_SECONDS
    for client in clients:
        client.join(max(0.0, ends - time.monotonic()))
    left = sum(client.is_alive() for client in clients)
    said = summary([client.seen for client in clients], began)
    sys.stdout.write(json.dumps({**said, "stuck": left}) + "\n")


def order_line(order: Order) -> bytes:
    """The order as the line that `main` reads."""
    return json.dumps(asdict(order)).encode() + b"\n"


if __name__ == "__main__":
    main()
