"""What a stopped applier says of itself, and what kind of trouble that is."""

import re
from dataclasses import dataclass
from typing import Any

from myha.binlog.node import Node
from myha.core.applier_errors import class_of

_GTID = re.compile(r"\btransaction '([^']+)'|\bGtid (\d+-\d+-\d+)")
_PLACE = re.compile(r"(?:source|master) log ([^,\s]+), end_log_pos (\d+)")
_TABLE = re.compile(r"event on table ([^;]+);")
_KEY = re.compile(r"Duplicate entry .* for key '([^']+)'")
_FOREIGN_KEY = re.compile(
    r"\(`(?P<schema>(?:[^`]|``)+)`\.`(?P<child>(?:[^`]|``)+)`, CONSTRAINT `(?P<name>(?:[^`]|``)+)`"
    r" FOREIGN KEY \((?P<columns>[^)]+)\) REFERENCES (?:`(?P<other>(?:[^`]|``)+)`\.)?"
    r"`(?P<parent>(?:[^`]|``)+)` \((?P<referenced>[^)]+)\)"
)
_SECONDARY = 1756  # the coordinator stopped since a worker had failed


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The constraint that an error names; columns and referenced columns correspond."""

    name: str
    child: str  # schema.table
    columns: tuple[str, ...]
    parent: str
    referenced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of an applier, with what its message tells of the place."""

    errno: int
    message: str  # one line
    gtid: str = ""
    file: str = ""  # of the server that it replicates from
    end_log_pos: int = 0  # where the failing event ends in that file; 0 where it is not told

    @property
    def kind(self) -> str:
        """Its class; `other` for a number that is not known."""
        return class_of(self.errno)

    @property
    def table(self) -> str:
        found = _TABLE.search(self.message)
        return found[1].replace("`", "") if found else ""

    @property
    def key(self) -> str:
        """The unique key that it names, without its table."""
        found = _KEY.search(self.message)
        return found[1].rpartition(".")[2] if found else ""

    @property
    def foreign_key(self) -> ForeignKey | None:
        found = _FOREIGN_KEY.search(self.message)
        if found is None:
            return None
        return ForeignKey(
            name=found["name"],
            child=f"{found['schema']}.{found['child']}",
            columns=_names(found["columns"]),
            parent=f"{found['other'] or found['schema']}.{found['parent']}",
            referenced=_names(found["referenced"]),
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("`").replace("``", "`") for name in text.split(","))


def applier_failure(node: Node[Any]) -> Failure | None:
    """The error that has stopped the node's applier, None when there is none."""
    failures = _mysql(node) if node.flavour == "mysql" else _mariadb(node)
    failures = [one for one in failures if one.errno]
    # With several workers the others report that they were rolled back: the cause is not theirs.
    failures.sort(key=lambda one: (one.errno == _SECONDARY, one.kind == "waiting"))
    return failures[0] if failures else None


def _mysql(node: Node[Any]) -> list[Failure]:
    rows = node.rows(
        "SELECT last_error_number, last_error_message, applying_transaction"
        " FROM performance_schema.replication_applier_status_by_worker WHERE channel_name = ''"
        " UNION ALL SELECT last_error_number, last_error_message, ''"
        " FROM performance_schema.replication_applier_status_by_coordinator"
        " WHERE channel_name = ''"
    )
    return [_failure(int(number or 0), str(text), str(gtid)) for number, text, gtid in rows]


def _mariadb(node: Node[Any]) -> list[Failure]:
    return [
        _failure(int(row["Last_SQL_Errno"] or 0), str(row["Last_SQL_Error"]), "")
        for row in node.named_rows("SHOW ALL SLAVES STATUS")
    ]


def _failure(errno: int, text: str, gtid: str) -> Failure:
    message = " ".join(text.split())
    named, place = _GTID.search(message), _PLACE.search(message)
    told = (named[1] or named[2]) if named else gtid
    return Failure(
        errno=errno,
        message=message,
        gtid=told,
        file=place[1] if place else "",
        end_log_pos=int(place[2]) if place else 0,
    )
