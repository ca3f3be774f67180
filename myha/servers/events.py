"""The application's scheduled events: on which node they run. Their status is a node's own state.

A server marks every event that it replicates as its source's to run, enabled or not. So which ones
the application has disabled is noted in a table of ours, which replicates; and who becomes the
writer enables the rest. Every such change stays out of the binary log, or the peer would get an
event's status, and a node that is not the writer a history of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from myha.core.node import Events
from myha.core.values import value
from myha.database.codes import in_known_words
from myha.database.connection import Values
from myha.database.schemas import OF_SYSTEM
from myha.database.session import Session
from myha.database.statements import Statements, quoted
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.words import listed

EventName: TypeAlias = tuple[str, str]  # schema, name

ATTEMPTS = 3  # a server that runs an event in the same moment may enable it again
NO_SUCH_EVENT = 1539
SCHEDULER_DISABLED = 1577
NAMES_SHOWN = 5
# Of one whose time is over it is not known whether it ran on the node that was the writer then.
_EVENTS = (
    "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, STATUS,"
    " COALESCE(COALESCE(EXECUTE_AT, ENDS) <= CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', TIME_ZONE), 0)"
    f" FROM information_schema.EVENTS WHERE EVENT_SCHEMA NOT IN {OF_SYSTEM}"
)
_NOTED = "SELECT event_schema, event_name FROM myha.disabled_events"
_MAY_SEE = (
    "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'EVENT'"
    " AND GRANTEE = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''',"
    " SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')"
)


class Status(Enum):
    """What an event does on this node."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    LEFT = "left"  # to the node that it replicated from: the servers' REPLICA_SIDE_DISABLED


@value(frozen=True, slots=True)
class Event:
    schema: str
    name: str
    definer: str
    status: Status
    over: bool  # its one time, or its last, has passed

    @property
    def key(self) -> EventName:
        return self.schema, self.name

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(slots=True)
class Placed:
    """What came of it, for the journal, and what could not be done."""

    enabled: list[str] = field(default_factory=list)
    kept_disabled: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        groups = (
            ("enabled", self.enabled),
            ("kept disabled", self.kept_disabled),
            ("disabled, since its time passed while no writer ran it", self.over),
            ("left to the writer", self.left),
            ("noted as disabled", self.noted),
        )
        return "; ".join(f"{what}: {listed(names, NAMES_SHOWN)}" for what, names in groups if names)


def read_events(session: Session) -> list[Event]:
    """All that the application has and our account may see.

    Where the scheduler is disabled at the server's start, MariaDB shows none and alters none.
    """
    known = {one.name: one for one in (Status.ENABLED, Status.DISABLED)}
    try:
        rows = session.query(_EVENTS)
    except ServerError as error:
        if error.code == SCHEDULER_DISABLED:
            return []
        raise
    return [
        Event(schema, name, definer, known.get(status, Status.LEFT), bool(over))
        for schema, name, definer, status, over in rows
    ]


def read_noted(session: Session) -> frozenset[EventName] | None:
    """Those that the application has disabled on the writer; None without the table."""
    rows = session.rows_if_there(_NOTED)
    return None if rows is None else frozenset((str(schema), str(name)) for schema, name in rows)


def may_see(session: Session) -> bool:
    """Whether our account may see events at all: without the privilege there seem to be none."""
    return bool(session.query(_MAY_SEE)[0][0])


def summary(session: Session, *, visible: bool) -> Events:
    """For the look."""
    if not visible:
        return Events(visible=False)
    events = read_events(session)
    disabled = disabled_of(events)
    noted = read_noted(session)
    return Events(
        enabled=sum(one.status is Status.ENABLED for one in events),
        left=sum(one.status is Status.LEFT for one in events),
        noted=disabled == (noted or frozenset()),
    )


def disabled_of(events: Iterable[Event]) -> frozenset[EventName]:
    return frozenset(one.key for one in events if one.status is Status.DISABLED)


class EventPlacer:
    """Changes the status of events, through a session that nobody else uses: it is not logged."""

    def __init__(self, session: Session, sql: Statements, schema_sql: Statements) -> None:
        self._session = session
        self._sql = sql
        self._schema_sql = schema_sql
        self.placed = Placed()

    def run(self, disabled: frozenset[EventName], is_open: Callable[[], bool]) -> None:
        """Enable what was left to the peer, but for what the application has disabled.

        One whose time is over is disabled: enabled, the server would run it at once, and the old
        writer may have run it already. `is_open` is asked before each: a node that has been
        replaced since must not begin.
        """
        noted = read_noted(self._session)
        disabled |= noted or frozenset()
        self._do("unlogged_session")
        for event in read_events(self._session):
            if event.status is not Status.LEFT:
                continue
            if not is_open():
                raise ServerError("it is read-only, so it is not the writer: no event is enabled")
            if event.key in disabled:
                self._alter(event, "disable_event", self.placed.kept_disabled)
            elif event.over:
                self._alter(event, "disable_event", self.placed.over)
            else:
                self._alter(event, "enable_event", self.placed.enabled)
        self._note(noted, disabled)
        self._confirm(Status.LEFT)

    def leave(self, alterable: Callable[[], AbstractContextManager[None]]) -> None:
        """Leave what is enabled here to the peer; `alterable` lets a closed node take that."""
        enabled = self._enabled()
        if not enabled:
            return
        self._do("unlogged_session")
        with alterable():
            for _ in range(ATTEMPTS):
                for event in enabled:
                    self._alter(event, "leave_event", self.placed.left)
                enabled = self._enabled()
                if not enabled or self.placed.failed:
                    break
        self._confirm(Status.ENABLED)

    def _enabled(self) -> list[Event]:
        events = read_events(self._session)
        return [one for one in events if one.status is Status.ENABLED]

    def _note(self, noted: frozenset[EventName] | None, disabled: frozenset[EventName]) -> None:
        """Which ones the application has disabled, for the next writer; this is replicated."""
        events = read_events(self._session)
        unchanged = {one.key for one in events if one.status is Status.LEFT and one.key in disabled}
        wanted = disabled_of(events) | unchanged
        if wanted == (noted or frozenset()):
            return
        self._do("logged_session")
        if noted is None:
            self._session.run(self._schema_sql.all("make_disabled_events"))
        for schema, name in sorted((noted or frozenset()) - wanted):
            self._do("forget_disabled_event", {"schema": schema, "name": name})
        for schema, name in sorted(wanted - (noted or frozenset())):
            self._do("note_disabled_event", {"schema": schema, "name": name})
            self.placed.noted.append(f"{schema}.{name}")

    def _do(self, block: str, arguments: Values = None) -> None:
        self._session.run(self._sql.all(block), arguments)

    def _alter(self, event: Event, block: str, done: list[str]) -> None:
        """One that cannot be altered is named, and is not in the way of the others."""
        try:
            self._query(event, block)
        except (ServerGoneError, ServerSilentError):
            raise
        except ServerError as error:
            if error.code != NO_SUCH_EVENT:  # it has been dropped meanwhile
                self.placed.failed.append(f"{event}: {error}")
        else:
            if str(event) not in done:
                done.append(str(event))

    def _query(self, event: Event, block: str) -> None:
        words = {"definer": account(event.definer), "event": qualified(event)}
        in_known_words(
            lambda name: self._session.query(self._sql.one(name, **words)), block, self._sql.names()
        )

    def _confirm(self, unwanted: Status) -> None:
        """Read back. An event made or changed meanwhile is the next look's affair."""
        if self.placed.failed:
            raise ServerError("events that cannot be altered: " + "; ".join(self.placed.failed))
        done = {*self.placed.enabled, *self.placed.kept_disabled, *self.placed.left}
        events = read_events(self._session)
        still = [str(one) for one in events if one.status is unwanted and str(one) in done]
        if still:
            raise ServerError(
                f"events that are as they were when read back: {listed(still, NAMES_SHOWN)}"
            )


def account(definer: str) -> str:
    """`user@host`, as the catalogue has it, in a statement; a role has no host."""
    user, _, host = definer.rpartition("@")
    return f"{quoted(user)}@{quoted(host)}" if host else quoted(user)


def qualified(event: Event) -> str:
    return f"{quoted(event.schema)}.{quoted(event.name)}"
