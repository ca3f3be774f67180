"""Reading a server's binary log over its replication protocol, up to its present end.

The account needs REPLICATION SLAVE. The connection is used up by a dump: close it afterwards.
Every wait has the deadline that the caller gives; errors are those of `myha.errors`.
"""

from collections.abc import Iterator

from pymysql.err import MySQLError

from myha.binlog import events
from myha.binlog.events import EventType, RawEvent
from myha.database.connection import Connection, error_code
from myha.database.flavours.base import DumpRequest
from myha.database.session import Deadline
from myha.errors import ServerError, ServerSilentError
from myha.words import one_line

POSITION_LOST = 1236  # what a server answers to a position that it cannot send from
TORN_LOG = "truncated in the middle of event"  # the same, at half an event

_LEAST_WAIT_SECONDS = 0.05
_PATIENCE = "SET SESSION net_write_timeout = 3600"  # we write to disk between two reads


class TornLogError(ServerError):
    """A file of the binary log ends in the middle of an event."""


def refused(message: str, code: int, text: str) -> ServerError:
    """The error for a stream that the server ended; `text` is what it said."""
    kind = TornLogError if code == POSITION_LOST and TORN_LOG in text else ServerError
    return kind(message, code)


def dump(
    connection: Connection, request: DumpRequest, deadline_seconds: float
) -> Iterator[RawEvent]:
    """All events that are asked for, oldest first."""
    ends = Deadline(deadline_seconds)
    try:
        with connection.cursor() as cursor:
            for statement in (_PATIENCE, *request.settings):
                connection._read_timeout = _left(ends)
                cursor.execute(statement)
        # PyMySQL has no public call for a replication stream; these names are what it has.
        connection._execute_command(request.command, request.payload)
        checksum = False
        while True:
            connection._read_timeout = _left(ends)
            data: bytes = connection._read_packet().get_all_data()
            if data[0] == 0xFE and len(data) < 9:
                return
            event, checksum = _event(data[1:], checksum)
            yield event
    except MySQLError as error:
        if ends.passed:
            raise ServerSilentError(
                f"the binary log was not read to its end within {deadline_seconds:g} s",
                error_code(error),
            ) from error
        text = one_line(error.args[-1] if error.args else error)
        raise refused(f"the binary log cannot be read: {text}", error_code(error), text) from error


def _event(raw: bytes, checksum: bool) -> tuple[RawEvent, bool]:
    """Parse, and tell whether the next events carry a checksum."""
    kind = raw[4] if len(raw) > 4 else 0
    if kind == EventType.FORMAT_DESCRIPTION:
        return events.parse(raw, checksum=True), events.format_has_checksum(raw)
    if kind == EventType.ROTATE:  # the first one comes before the format description
        return events.parse(raw, checksum=events.has_valid_checksum(raw)), checksum
    return events.parse(raw, checksum=checksum), checksum


def _left(ends: Deadline) -> float:
    return max(_LEAST_WAIT_SECONDS, ends.left_seconds)
