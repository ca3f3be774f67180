"""What a server holds besides rows, as its own statements: schemas, tables, views, code, events.

Read from the donor twice, before and after the snapshot: equal readings mean that no definition has
changed in between. Made on the node in an order in which each finds what it needs; a view that
needs another one is tried again after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from myha.database.schemas import OF_SERVERS, OUR_SCHEMA
from myha.database.statements import quoted
from myha.errors import MyhaError, ServerError
from myha.operations.heal.reseed.dump.tables import Column, Table
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import Reporter
from myha.servers.events import account

_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=\d+")
_SERVER_LACKS = {1146, 1356, 1305, 1049}  # a table, a valid view, a routine, a schema


@dataclass(frozen=True, slots=True)
class Definition:
    """One object's own statement, and what of a session it was written under."""

    kind: str  # TABLE, VIEW, PROCEDURE, FUNCTION, PACKAGE, PACKAGE BODY, TRIGGER, EVENT, SEQUENCE
    schema: str
    name: str
    text: str
    mode: str | None = None
    collation: str | None = None
    time_zone: str | None = None

    @property
    def full_name(self) -> str:
        return quoted(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Definitions:
    """All that is copied but rows."""

    schemas: tuple[tuple[str, str], ...]  # name, statement
    tables: tuple[Definition, ...]
    others: tuple[Definition, ...]
    rows: tuple[Table, ...]

    def same_as(self, other: Definitions) -> bool:
        """Whether nothing was defined anew between the two readings."""
        return self._fixed() == other._fixed()

    def _fixed(self) -> object:
        tables = tuple(replace(t, text=_AUTO_INCREMENT.sub("", t.text, 1)) for t in self.tables)
        columns = tuple((str(t), t.columns) for t in self.rows)
        return self.schemas, tables, self.others, columns


def unfit(donor: ReseedSession) -> str | None:
    """Why a dump would not be exact, None when it is."""
    rows = donor.query_named(
        "SELECT CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME) AS t, t.ENGINE AS e, t.TABLE_TYPE AS k "
        "FROM information_schema.TABLES t "
        "LEFT JOIN information_schema.ENGINES g ON g.ENGINE = t.ENGINE "
        f"WHERE t.TABLE_SCHEMA NOT IN {OF_SERVERS} AND (t.TABLE_TYPE = 'SYSTEM VERSIONED' "
        "OR (t.TABLE_TYPE = 'BASE TABLE' AND COALESCE(g.TRANSACTIONS, 'NO') <> 'YES')) LIMIT 1"
    )
    if not rows:
        return None
    row = rows[0]
    if row["k"] == "SYSTEM VERSIONED":
        return f"{row['t']} is system-versioned, and no client can write its history"
    return f"{row['t']} ({row['e']}) cannot be read in a snapshot"


def read(donor: ReseedSession) -> Definitions:
    """All definitions, as they are now."""
    schemas = tuple(
        (name, str(donor.query_named(f"SHOW CREATE DATABASE {quoted(name)}")[0]["Create Database"]))
        for name in _names(donor)
    )
    kinds = _tables(donor)
    tables = tuple(
        _definition(donor, "TABLE", schema, name)
        for schema, name, kind in kinds
        if kind == "BASE TABLE"
    )
    return Definitions(schemas, tables, tuple(_others(donor, kinds)), _rows(donor))


def _names(session: ReseedSession) -> list[str]:
    rows = session.query_named(
        "SELECT SCHEMA_NAME AS s FROM information_schema.SCHEMATA "
        f"WHERE SCHEMA_NAME NOT IN {OF_SERVERS} ORDER BY SCHEMA_NAME"
    )
    return [str(row["s"]) for row in rows]


def _tables(donor: ReseedSession) -> list[tuple[str, str, str]]:
    rows = donor.query_named(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS n, TABLE_TYPE AS k FROM information_schema.TABLES "
        f"WHERE TABLE_SCHEMA NOT IN {OF_SERVERS} ORDER BY 1, 2"
    )
    return [(str(row["s"]), str(row["n"]), str(row["k"])) for row in rows]


# Kind, schema and name of what is neither a table nor a view, in the order in which it is made.
_CODE = (
    "SELECT ROUTINE_TYPE AS k, ROUTINE_SCHEMA AS s, ROUTINE_NAME AS n "
    f"FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN {OF_SERVERS} ORDER BY 1, 2, 3",
    "SELECT 'TRIGGER' AS k, TRIGGER_SCHEMA AS s, TRIGGER_NAME AS n FROM information_schema.TRIGGERS"
    f" WHERE TRIGGER_SCHEMA NOT IN {OF_SERVERS} ORDER BY 2, EVENT_OBJECT_TABLE, ACTION_TIMING,"
    " EVENT_MANIPULATION, ACTION_ORDER",
    "SELECT 'EVENT' AS k, EVENT_SCHEMA AS s, EVENT_NAME AS n FROM information_schema.EVENTS "
    f"WHERE EVENT_SCHEMA NOT IN {OF_SERVERS} ORDER BY 2, 3",
)


def _others(donor: ReseedSession, kinds: Iterable[tuple[str, str, str]]) -> Iterable[Definition]:
    for schema, name, kind in kinds:
        if kind in {"VIEW", "SEQUENCE"}:
            yield _definition(donor, kind, schema, name)
    for query in _CODE:
        for row in donor.query_named(query):
            yield _definition(donor, str(row["k"]), str(row["s"]), str(row["n"]))


def _definition(donor: ReseedSession, kind: str, schema: str, name: str) -> Definition:
    shown = "TABLE" if kind == "SEQUENCE" else kind
    row = donor.query_named(f"SHOW CREATE {shown} {quoted(schema, name)}")[0]
    text = next((v for k, v in row.items() if k == "SQL Original Statement"), None) or next(
        (v for k, v in row.items() if k.startswith("Create ")), None
    )
    if text is None:
        raise MyhaError(
            f"{donor.name}: the server does not show the {kind.lower()} {schema}.{name}"
        )
    return Definition(
        kind,
        schema,
        name,
        str(text),
        mode=row.get("sql_mode"),
        collation=row.get("collation_connection"),
        time_zone=row.get("time_zone"),
    )


def _rows(donor: ReseedSession) -> tuple[Table, ...]:
    columns: dict[tuple[str, str], list[Column]] = {}
    for row in donor.query_named(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, COLUMN_NAME AS c, DATA_TYPE AS d "
        f"FROM information_schema.COLUMNS WHERE TABLE_SCHEMA NOT IN {OF_SERVERS} "
        "AND COALESCE(GENERATION_EXPRESSION, '') = '' ORDER BY 1, 2, ORDINAL_POSITION"
    ):
        found = columns.setdefault((str(row["s"]), str(row["t"])), [])
        found.append(Column(str(row["c"]), str(row["d"]).lower()))
    rows = donor.query_named(
        "SELECT t.TABLE_SCHEMA AS s, t.TABLE_NAME AS n, t.DATA_LENGTH AS b, "
        "EXISTS (SELECT 1 FROM information_schema.TABLE_CONSTRAINTS k "
        "WHERE k.TABLE_SCHEMA = t.TABLE_SCHEMA AND k.TABLE_NAME = t.TABLE_NAME "
        "AND k.CONSTRAINT_TYPE = 'PRIMARY KEY') AS has_key FROM information_schema.TABLES t "
        f"WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA NOT IN {OF_SERVERS} ORDER BY 1, 2"
    )
    return tuple(
        Table(
            str(row["s"]),
            str(row["n"]),
            tuple(columns.get((str(row["s"]), str(row["n"])), ())),
            bool(row["has_key"]),
            int(row["b"] or 0),
        )
        for row in rows
    )


# --- on the node -------------------------------------------------------------------------------


def drop_all(node: ReseedSession, reporter: Reporter) -> None:
    """Every schema of users goes. myha's own tables stay and are emptied: others look into them."""
    for name in _names(node):
        reporter.permit.require()
        if name != OUR_SCHEMA:
            node.do("drop_schema", schema=quoted(name))


def make_tables(node: ReseedSession, what: Definitions, reporter: Reporter) -> None:
    """All schemas and tables, without rows."""
    node.free_table_definitions()
    for _, text in what.schemas:
        node.query(text.replace("CREATE DATABASE ", "CREATE DATABASE IF NOT EXISTS ", 1))
    for table in what.tables:
        reporter.permit.require()
        _use(node, table.schema)
        if table.schema == OUR_SCHEMA:
            node.query(table.text.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))
            node.do("empty_table", table=table.full_name)
        else:
            node.query(table.text)


def make_others(
    node: ReseedSession, donor: ReseedSession, what: Definitions, reporter: Reporter
) -> None:
    """Sequences, code, views, triggers and events, after the rows: no trigger has fired for them.

    Events are as replication would have made them: they do not run here, at no moment.
    """
    stop_scheduler(node)
    waiting = sorted(what.others, key=lambda one: _ORDER.get(one.kind, 0))
    while waiting:
        later: list[Definition] = []
        for one in waiting:
            reporter.permit.require()
            try:
                _make(node, donor, one)
            except ServerError as error:
                if error.code not in _SERVER_LACKS:
                    raise
                later.append(one)
                reason = error
        if len(later) == len(waiting):
            raise MyhaError(f"{later[0].kind.lower()} {later[0].schema}.{later[0].name}: {reason}")
        waiting = later
    leave_events(node)


_ORDER = {"SEQUENCE": 0, "PACKAGE": 1, "PACKAGE BODY": 2, "VIEW": 4, "TRIGGER": 5, "EVENT": 6}


def _make(node: ReseedSession, donor: ReseedSession, one: Definition) -> None:
    _use(node, one.schema)
    node.do("session_mode", {"mode": one.mode or ""})
    if one.collation:
        node.do("connection_collation", {"collation": one.collation})
    if one.time_zone:
        node.do("session_time_zone", {"zone": one.time_zone})
    try:
        node.query(one.text)
    finally:
        node.do("loader")
        if one.time_zone:
            node.do("session_time_zone", {"zone": "+00:00"})
    if one.kind == "SEQUENCE":
        value = donor.value(f"SELECT next_not_cached_value FROM {one.full_name}")
        node.do("set_sequence", {"value": int(value)}, sequence=one.full_name)


def stop_scheduler(node: ReseedSession) -> None:
    """No event runs while the node is not itself yet: some may write under read-only."""
    if str(node.value("SELECT @@GLOBAL.event_scheduler")) == "ON":
        node.do("stop_scheduler")


def leave_events(node: ReseedSession) -> None:
    """What the copy brought as enabled is the donor's to run. What is disabled is so on both."""
    for row in node.query_named(
        "SELECT EVENT_SCHEMA AS s, EVENT_NAME AS n, DEFINER AS d FROM information_schema.EVENTS "
        f"WHERE STATUS = 'ENABLED' AND EVENT_SCHEMA NOT IN {OF_SERVERS}"
    ):
        event = quoted(str(row["s"]), str(row["n"]))
        definer = account(str(row["d"]))
        node.do_as_old("leave_event", event=event, definer=definer)


def _use(node: ReseedSession, schema: str) -> None:
    node.wire.select_db(schema)
