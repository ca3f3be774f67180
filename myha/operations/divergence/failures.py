"""What a stopped applier says of itself, and what kind of trouble that is."""

import re
from dataclasses import dataclass

from myha.binlog.node import Node
from myha.core.applier_errors import class_of
from myha.database.flavours.base import ApplierError
from myha.words import one_line

_GTID = re.compile(r"\btransaction '([^']+)'|\bGtid (\d+-\d+-\d+)")
_POSITION = re.compile(r"(?:source|master) log ([^,\s]+), end_log_pos (\d+)")
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


def applier_failure(node: Node) -> Failure | None:
    """The error that has stopped the node's applier, None when there is none."""
    found = node.flavour.applier_errors(node)
    failures = [_failure(one) for one in found if one.errno]
    # With several workers the others report that they were rolled back: the cause is not theirs.
    failures.sort(key=lambda one: (one.errno == _SECONDARY, one.kind == "waiting"))
    return failures[0] if failures else None


def _failure(error: ApplierError) -> Failure:
    message = one_line(error.message)
    named, position = _GTID.search(message), _POSITION.search(message)
    gtid = (named[1] or named[2]) if named else error.gtid
    return Failure(
        errno=error.errno,
        message=message,
        gtid=gtid,
        file=position[1] if position else "",
        end_log_pos=int(position[2]) if position else 0,
    )
