"""Making two prepared servers a pair, and proving that they are one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping

from myha.config import Config
from myha.database.flavours.base import Channel
from myha.errors import MyhaError
from myha.operations.setup.apply import Sessions
from myha.operations.setup.session import AdminSession
from myha.progress import Tell
from myha.servers.wanted import INCREMENT
from myha.waiting import wait_until

CONNECT_DEADLINE_SECONDS = 30.0
ERROR_DEADLINE_SECONDS = 5.0  # an error that the receiver still has after so many retries stays
ARRIVE_DEADLINE_SECONDS = 30.0
LOOK_SECONDS = 0.1
SPEAK_SECONDS = 2.0


def _await(holds: Callable[[], bool], deadline_seconds: float, tell: Tell, what: str) -> bool:
    """Poll until it holds; False at the deadline. Says what it waits for every two seconds."""
    begun = time.monotonic()
    spoken = begun

    def spoken_of() -> bool:
        nonlocal spoken
        now = time.monotonic()
        if now - spoken > SPEAK_SECONDS:
            tell(f"waiting for {what} ({now - begun:.0f} s)")
            spoken = now
        return holds()

    return wait_until(spoken_of, deadline_seconds, LOOK_SECONDS)


def start_replication(config: Config, sessions: Sessions, tell: Tell) -> None:
    """Both channels run and have brought everything; MyhaError tells what the server says."""
    for name, session in sessions.items():
        tell(f"{name}: start replication")
        session.carry_out("start_replication")
    for name, session in sessions.items():
        peer = _other(sessions, name)
        _await(_Connected(session), CONNECT_DEADLINE_SECONDS, tell, f"{name} to be connected")
        if not _running(_channel(session)):
            raise MyhaError(_why_not(config, session, peer))
    for name, session in sessions.items():
        peer = _other(sessions, name)
        _catch_up(config, session, peer, tell)


class _Connected:
    """True once replication runs, or once it has shown an error for too long to get over it."""

    def __init__(self, session: AdminSession) -> None:
        self._session = session
        self._failing_since: float | None = None

    def __call__(self) -> bool:
        channel = _channel(self._session)
        if _running(channel):
            return True
        if channel is None or not channel.error_code:
            self._failing_since = None
            return False
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        return now - self._failing_since > ERROR_DEADLINE_SECONDS


def _channel(session: AdminSession) -> Channel | None:
    return next((c for c in session.flavour.channels(session) if not c.name), None)


def _running(channel: Channel | None) -> bool:
    return channel is not None and channel.receiver == "ON" and channel.applier == "ON"


def _other(sessions: Sessions, name: str) -> AdminSession:
    return next(session for other, session in sessions.items() if other != name)


def _why_not(config: Config, session: AdminSession, peer: AdminSession) -> str:
    channel = _channel(session)
    address = config.nodes[peer.name].replication_address
    if channel is None:
        return f"{session.name}: has no replication channel; run `myha setup` again"
    reason = channel.error or (
        f"receiver {channel.receiver}, applier {channel.applier}, without an error"
    )
    return (
        f"{session.name}: does not replicate from {peer.name} at {address}: {reason}; check that "
        f"{session.name} can reach that address (nodes.{peer.name}.replication_host), then run "
        "`myha setup` again"
    )


def _catch_up(config: Config, session: AdminSession, peer: AdminSession, tell: Tell) -> None:
    """Wait until what the peer has now is here. The deadline begins anew while it makes headway."""
    wanted = peer.executed()
    lacking = wanted.minus(session.executed()).count()
    while lacking:
        before = lacking
        tell(f"{session.name}: {lacking} transactions of {peer.name} still missing")
        arrived = _await(
            lambda: wanted.minus(session.executed()).is_empty(),
            config.timing.applied_deadline_seconds,
            tell,
            f"{session.name} to catch up",
        )
        lacking = 0 if arrived else wanted.minus(session.executed()).count()
        if lacking >= before:
            raise MyhaError(_why_not(config, session, peer))


def set_roles(config: Config, sessions: Sessions, writer: str, tell: Tell) -> None:
    """The standby is closed before the writer is opened."""
    standby = _other(sessions, writer)
    if config.cluster.mode.value == "dual-writer":
        tell(f"{standby.name}: open it for writes")
        standby.carry_out("open")
    else:
        tell(f"{standby.name}: close it for writes; it is the standby")
        standby.carry_out("close")
    tell(f"{writer}: open it for writes; it is the writer")
    sessions[writer].carry_out("open")


def prove(config: Config, sessions: Sessions, writers: tuple[str, ...], tell: Tell) -> None:
    """A row written on each of `writers` arrives on the other, with an id of its residue class.

    The sessions have to be new ones: a session keeps the increments it began with.
    """
    for name in writers:
        session, peer = sessions[name], _other(sessions, name)
        token = secrets.token_hex(16)
        number = _write_marker(session, token)
        offset = config.nodes[name].auto_increment_offset
        if number % INCREMENT != offset % INCREMENT:
            raise MyhaError(
                f"{name}: generated the id {number}, which is not of its residue class ({offset} "
                f"modulo {INCREMENT}); see its auto_increment_* settings and init_connect"
            )
        began = time.monotonic()
        if not _await(
            lambda p=peer, t=token, i=number: _has_marker(p, t, i),  # type: ignore[misc]
            ARRIVE_DEADLINE_SECONDS,
            tell,
            f"the marker row of {name} to arrive at {peer.name}",
        ):
            raise MyhaError(f"the proof failed: {_why_not(config, peer, session)}")
        took_ms = (time.monotonic() - began) * 1000
        tell(
            f"proof: a row written on {name} (id {number}, its own residue class) arrived at "
            f"{peer.name} after {took_ms:.0f} ms"
        )


def _write_marker(session: AdminSession, token: str) -> int:
    values: Mapping[str, object] = {"node": session.name, "token": token}
    with session.writable(), session.logged():
        session.carry_out("write_marker", values)
        number = int(session.value("SELECT LAST_INSERT_ID()"))
        session.carry_out("forget_markers", values)
    return number


def _has_marker(session: AdminSession, token: str, number: int) -> bool:
    found = session.value("SELECT id FROM myha.marker WHERE token = %(token)s", {"token": token})
    return found is not None and int(found) == number
