"""Keys from real binary logs, against mysql-replication, the servers' collations and slow code."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

import pymysql
import pytest
from pydantic import SecretStr
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from myha.binlog.row_events import TableMap
from myha.binlog.values import RowDecoder
from myha.config import Account
from myha.conflicts.extract import AuditRule, Table
from myha.conflicts.folding import Collations, weights_query
from myha.conflicts.keys import read_facts
from myha.conflicts.reader import Reader
from myha.conflicts.wire import Link
from myha.core.conflicts import Detector, Transaction
from myha.database.connection import Endpoint
from myha.database.flavours import FLAVOURS
from myha.sandbox.cluster import Cluster
from tests.real.conftest import need
from tests.waiting import until

pytestmark = pytest.mark.real

TABLES = {
    "plain": "id INT AUTO_INCREMENT PRIMARY KEY, n INT NOT NULL, c CHAR(20) NOT NULL",
    "mixed": "a SMALLINT UNSIGNED NOT NULL, pad VARCHAR(300), v VARCHAR(30) COLLATE utf8mb4_bin"
    " NOT NULL, big TEXT, d DECIMAL(12,4), dt DATETIME(6), e ENUM('x','y','z'), raw VARBINARY(8),"
    " PRIMARY KEY (v, a), UNIQUE u1 (d, dt), UNIQUE u2 (raw), UNIQUE u3 (e, d, a)",
    "nullable": "n1 INT, n2 BIGINT UNSIGNED, n3 DATE, n4 CHAR(5), n5 INT NOT NULL, n6 MEDIUMINT,"
    " n7 INT, n8 INT, n9 INT, UNIQUE u1 (n5), UNIQUE u2 (n1, n2), UNIQUE u3 (n3), UNIQUE u4 (n9)",
}
KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "plain": {"PRIMARY": ("id",)},
    "mixed": {"PRIMARY": ("v", "a"), "u1": ("d", "dt"), "u2": ("raw",), "u3": ("e", "d", "a")},
    "nullable": {"u1": ("n5",), "u2": ("n1", "n2"), "u3": ("n3",), "u4": ("n9",)},
}
ROW_KEY = {"plain": "PRIMARY", "mixed": "PRIMARY", "nullable": "u1"}
STATEMENTS = 400

COLLATIONS = {
    "mysql": (
        "utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_general_ci", "utf8mb4_unicode_ci",
        "utf8mb4_unicode_520_ci", "utf8mb4_bin", "utf8mb4_de_pb_0900_ai_ci", "latin1_swedish_ci",
        "latin1_german2_ci", "utf16_general_ci",
    ),
    "mariadb": (
        "utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_bin",
        "utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs", "utf8mb4_nopad_bin", "latin1_swedish_ci",
        "latin1_german2_ci", "utf16_general_ci",
    ),
}  # fmt: skip
# Letters that some collation takes for equal to others, or for nothing at all.
ALPHABET = (
    "aA\u00e1\u00c4\u00e6\u00c6bBc\u00e7d\u00f0De\u00e9\u00c8\u0301o\u00f6\u00f8\u0152\u0153s"
    "S\u00df\u017ftT\u00fe123\u0663\u00b2  .-_\u200d\u00ad\u0000\u043a\u041a\u0439\u0451"
    "\u0401\u304b\u30ab\u304c\u31f0\u4e00\u2f00\U00010000\U00010001\U0001f642\u00a0"
)


Change = tuple[str, dict[str, Any], dict[str, Any]]  # table, before, after


class Server:
    """The first of the session's two bare servers, as a reader sees it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        node = cluster.nodes["a"]
        self.endpoint = Endpoint(node.host, node.port)
        self.account = Account("admin", SecretStr(cluster.secret("admin")))
        self._connection: pymysql.Connection[Any] | None = None

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host=self.endpoint.host,
            port=self.endpoint.port,
            user="admin",
            password=self.cluster.secret("admin"),
            autocommit=True,
            charset="utf8mb4",
            **options,
        )

    def rows(self, sql: str, values: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        if self._connection is None:
            self._connection = self.connect()
        with self._connection.cursor() as cursor:
            cursor.execute(sql, tuple(values) or None)
            return list(cursor.fetchall())

    def end_of_log(self) -> tuple[str, int]:
        """File and byte; nothing writes meanwhile."""
        word = "MASTER" if self.cluster.state.flavour == "mariadb" else "BINARY LOG"
        file, position, *_ = self.rows(f"SHOW {word} STATUS")[0]
        return str(file), int(position)

    def link(self) -> Link:
        return Link(self.endpoint, self.account, "auto", 1.0)

    def weights(self, charset: str, collation: str, texts: Sequence[bytes]) -> Sequence[bytes]:
        flavour = FLAVOURS[self.cluster.state.flavour]
        found = self.rows(weights_query(flavour, charset, collation, texts))
        return [one or b"" for one in found[0]]


@pytest.fixture(scope="module")
def own_servers() -> Iterator[Callable[[str], Cluster]]:
    """Servers of this module's own: what it writes stays in their histories."""
    made: dict[str, Cluster] = {}

    def get(flavour: str) -> Cluster:
        if flavour not in made:
            for name in (flavour, "haproxy"):
                need(name)
            made[flavour] = Cluster.create(flavour=flavour)
            made[flavour].start_servers()
        return made[flavour]

    yield get
    for cluster in made.values():
        cluster.down()


@pytest.fixture
def server(flavour: str, own_servers: Callable[[str], Cluster]) -> Server:
    return Server(own_servers(flavour))


class Everything:
    """Surroundings that read every table, and keep what is told."""

    def __init__(self, server: Server, detector: Detector) -> None:
        self.server = server
        self.detector = detector
        self.beyond: list[tuple[str, str]] = []
        self.wrong_ids: list[bytes] = []

    def table(self, side: int, table_map: TableMap) -> Table | None:
        collations = Collations(self.server.weights)
        facts = read_facts(
            self.server.rows, collations, table_map.schema, table_map.table, cascades_logged=True
        )
        audit = AuditRule(1, lambda _transaction, _table, raw: self.wrong_ids.append(raw))
        return Table(table_map, facts, detector=self.detector, audit=audit)

    def out_of_reach(self, reason: str, table: str, changes: int) -> None:
        self.beyond.append((reason, table))

    def schema_changed(self) -> None:
        pass


class Kept(Detector):
    """A detector that keeps every transaction."""

    def __init__(self) -> None:
        super().__init__(in_order=False)
        self.all: list[Transaction] = []

    def own(self, side: int, number: Any) -> Transaction:
        transaction = super().own(side, number)
        if transaction not in self.all:
            self.all.append(transaction)
        return transaction


def read_from(server: Server, start: Any) -> tuple[Kept, Everything]:
    """The whole log behind a GTID set, through the reader's own code."""
    detector = Kept()
    surroundings = Everything(server, detector)
    link = server.link()
    target = server.link()
    reader = Reader(0, detector, surroundings, link.flavour.position_after(start))
    reader.identify(link.identity, None)
    link.start(start)
    end = server.end_of_log()

    def done() -> bool:
        piece = link.read()
        if piece:
            # In pieces of any size: an event may begin and end anywhere.
            for at in range(0, len(piece), 777):
                reader.feed(piece[at : at + 777])
        at_the_end = (reader.file, reader.log_pos) == end  # behind the last transaction's rows
        return at_the_end and bool(reader.position.begun() == target.executed)

    until(done, "the end of the log", 30)
    link.close()
    target.close()
    return detector, surroundings


def workload(server: Server, seed: int) -> None:
    """Random changes; one that a unique key refuses changes nothing."""
    chance = random.Random(seed)
    with server.connect(database="keys_test") as connection, connection.cursor() as cursor:
        for _ in range(STATEMENTS):
            table = chance.choice(list(TABLES))
            try:
                cursor.execute(*_statement(chance, table))
            except pymysql.err.IntegrityError:
                continue


def _statement(chance: random.Random, table: str) -> tuple[str, tuple[Any, ...]]:
    values = _values(chance, table)
    kind = chance.random()
    if kind < 0.5:
        count = chance.randint(1, 4)
        rows = [values, *(_values(chance, table) for _ in range(count - 1))]
        marks = ", ".join(f"({', '.join(['%s'] * len(row))})" for row in rows)
        names = ", ".join(values)
        given = tuple(one for row in rows for one in row.values())
        return f"INSERT INTO {table} ({names}) VALUES {marks}", given
    if kind < 0.85:
        chosen = dict(chance.sample(list(values.items()), chance.randint(1, len(values))))
        sets = ", ".join(f"{name} = %s" for name in chosen)
        limit = chance.choice((1, 1, 3))
        return f"UPDATE {table} SET {sets} ORDER BY RAND(1) LIMIT {limit}", tuple(chosen.values())
    return f"DELETE FROM {table} ORDER BY RAND(2) LIMIT 2", ()


def _values(chance: random.Random, table: str) -> dict[str, Any]:
    def number(most: int) -> int:
        return chance.randint(0, most)

    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.3 else value

    text = "".join(chance.choices("abcdé ß", k=number(12)))
    if table == "plain":
        return {"n": number(9), "c": text}
    if table == "mixed":
        return {
            "a": number(60_000), "pad": maybe("p" * number(300)), "v": text,
            "big": maybe(text * 90),
            "d": maybe(f"{number(99999)}.{number(9999):04d}"),
            "dt": maybe(datetime(2001, 2, 3, 4, 5, number(59), number(999_999))),  # noqa: DTZ001
            "e": maybe(chance.choice("xyz")), "raw": maybe(chance.randbytes(number(8))),
        }  # fmt: skip
    return {
        "n1": maybe(number(2**31 - 1)), "n2": maybe(number(2**63)),
        "n3": maybe(date(2020, 1, 1 + number(27))), "n4": maybe(text[:5]),
        "n5": number(10**9) - 5 * 10**8, "n6": maybe(-number(2**23)), "n7": maybe(1),
        "n8": maybe(2), "n9": maybe(number(10**6)),
    }  # fmt: skip


def judged(server: Server, file: str, position: int, end: int) -> list[Change]:
    """Every row change, as mysql-replication reads it."""
    stream = BinLogStreamReader(
        connection_settings={
            "host": server.endpoint.host,
            "port": server.endpoint.port,
            "user": "admin",
            "password": server.cluster.secret("admin"),
        },
        server_id=4_190_000_001,
        log_file=file,
        log_pos=position,
        resume_stream=True,
        blocking=True,  # else MariaDB cuts the connection off with events still on their way
        end_log_pos=end,
        is_mariadb=server.cluster.state.flavour == "mariadb",
        only_schemas=["keys_test"],
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )
    found: list[Change] = []
    for event in stream:
        for row in event.rows:
            before = row.get("before_values", row.get("values", {}))
            after = row.get("after_values", row.get("values", {}))
            if isinstance(event, WriteRowsEvent):
                before = {}
            elif isinstance(event, DeleteRowsEvent):
                after = {}
            for values in (before, after):  # it gives binary data as text where it is ASCII
                if isinstance(raw := values.get("raw"), str):
                    values["raw"] = raw.encode("ascii")
            found.append((event.table, before, after))
    stream.close()
    return found


def plain(value: Any, column: Any) -> Any:
    """A value of ours as mysql-replication has it."""
    if column.data_type == "enum" and isinstance(value, int):
        return column.members[value - 1]
    if isinstance(value, bytes) and column.charset is not None:
        return value.decode()
    if column.data_type == "datetime" and value is not None:
        return datetime.fromisoformat(value)
    if column.data_type == "date" and value is not None:
        return date.fromisoformat(value)
    return value


def expected_keys(table: str, before: dict[str, Any], after: dict[str, Any]) -> set[Any]:
    """By the words of docs/conflicts.md: which keys a change touches."""
    found = set()
    for key, columns in KEYS[table].items():
        old = tuple(before[one] for one in columns) if before else None
        new = tuple(after[one] for one in columns) if after else None
        if old == new and key != ROW_KEY[table]:
            continue
        found |= {(key, one) for one in (old, new) if one is not None and None not in one}
    return found


def test_rows_and_keys_agree_with_an_independent_reader(server: Server) -> None:
    server.rows("CREATE DATABASE keys_test")
    try:
        for name, columns in TABLES.items():
            server.rows(f"CREATE TABLE keys_test.{name} ({columns}) CHARACTER SET utf8mb4")
        link = server.link()
        start = link.executed
        link.close()
        old_words = server.cluster.state.flavour == "mariadb"
        show = "SHOW MASTER STATUS" if old_words else "SHOW BINARY LOG STATUS"
        file, begin = server.rows(show)[0][:2]
        workload(server, seed=3)
        expected = judged(server, file, begin, server.rows(show)[0][1])
        detector, surroundings = read_from(server, start)
    finally:
        server.rows("DROP DATABASE keys_test")
    assert surroundings.beyond == []
    ours: list[Change] = []
    for transaction in detector.all:
        compiled: dict[int, list[Any]] = {}
        for index, keys in transaction.touched or ():
            compiled.setdefault(id(index), []).extend(keys)
        slow: dict[int, list[Any]] = {}
        for table, kind, body in transaction.events:
            decode = RowDecoder(table.map, table.facts.columns)
            for change in table.changes(kind, body):
                for slot, key in table.keys_of(change):
                    slow.setdefault(id(slot.by_side[0]), []).append(key)
                ours.append((table.map.table, *(_decoded(table, decode, one) for one in change)))
            _check_keys(table, kind, body, ours)
        assert {at: sorted(map(repr, keys)) for at, keys in compiled.items()} == {
            at: sorted(map(repr, keys)) for at, keys in slow.items()
        }
    assert len(ours) > STATEMENTS / 2
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine[0] == theirs[0]
        for own, other in zip(mine[1:], theirs[1:], strict=True):
            assert {n: (v, other[n]) for n, v in own.items() if other[n] != v} == {}
            assert own.keys() == other.keys()
    wrong = [
        row for name, before, row in ours if name == "plain" and not before and row["id"] % 2 == 0
    ]
    assert len(surroundings.wrong_ids) == len(wrong) > 0


def _decoded(table: Table, decode: RowDecoder, image: bytes | None) -> dict[str, Any]:
    if image is None or table.facts is None:
        return {}
    columns = table.facts.columns
    return {c.name: plain(v, c) for c, v in zip(columns, decode(image), strict=True)}


def _check_keys(table: Table, kind: int, body: bytes, ours: list[Any]) -> None:
    """Of the changes just decoded: the touched keys are those that the rule names."""
    changes = table.changes(kind, body)
    for change, (name, before, after) in zip(changes, ours[-len(changes) :], strict=True):
        touched = set()
        keys = {id(slot): key for slot, key in table.slots}
        for slot, value in table.keys_of(change):
            key = keys[id(slot)]
            for image, row in zip(change, (before, after), strict=True):
                known = None if image is None else table.key_of(key, image)
                if known is not None and known[0] == value:
                    touched.add((key.name, tuple(row[part.fact.name] for part in key.parts)))
        assert touched == expected_keys(name, before, after)


def test_texts_that_a_collation_takes_for_equal_are_looked_up_as_equal(
    server: Server, flavour: str
) -> None:
    chance = random.Random(5)
    equal_pairs = 0
    for collation in COLLATIONS[flavour]:
        charset = collation.split("_")[0]
        codec = {"utf8mb4": "utf-8", "latin1": "cp1252", "utf16": "utf-16-be"}[charset]
        texts = ["".join(chance.choices(ALPHABET, k=chance.randint(1, 3))) for _ in range(4000)]
        raw = sorted({text.encode(codec, "replace") for text in texts})
        fold = Collations(server.weights).fold(charset, collation, None)
        assert fold is not None
        classes: dict[bytes, list[bytes]] = {}
        for at in range(0, len(raw), 1000):
            part = raw[at : at + 1000]
            for text, weight in zip(part, server.weights(charset, collation, part), strict=True):
                classes.setdefault(weight, []).append(text)
        for weight, same in classes.items():
            folds = {fold(text) for text in same}
            assert len(folds) == 1, (collation, weight, same[:5])
            equal_pairs += len(same) - 1
        assert len({fold(text) for text in raw}) > len(classes) / 5, f"{collation}: too coarse"
    assert equal_pairs > 1000


def test_a_table_altered_between_two_statements_is_read_again(server: Server) -> None:
    """The columns come from one statement and the keys from the next."""
    alter = iter(
        ["ALTER TABLE altered.t DROP COLUMN a, ADD COLUMN b INT NOT NULL, ADD UNIQUE w (b)"]
    )

    def query(sql: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        if "information_schema.statistics" in sql and (change := next(alter, "")):
            server.rows(change)
        return server.rows(sql, values)

    server.rows("CREATE DATABASE altered")
    try:
        server.rows("CREATE TABLE altered.t (id INT PRIMARY KEY, a INT NOT NULL, UNIQUE u (a))")
        facts = read_facts(query, Collations(server.weights), "altered", "t", cascades_logged=True)
        assert facts is not None
        assert [one.name for one in facts.columns] == ["id", "b"]
        assert {key.name: [part.column for part in key.parts] for key in facts.keys} == {
            "PRIMARY": [0],
            "w": [1],
        }
    finally:
        server.rows("DROP DATABASE altered")
