"""Events on a server's sockets: an idle connection that hangs up, a port that refuses."""

from __future__ import annotations

import math
import select
import socket

from myha.servers.connection import Session

_EVENTS = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLRDHUP


def hangup_fd(session: Session) -> int:
    """The socket of an idle session, for a poll of one's own; -1 when it has no connection."""
    return session.fileno()


def wait_hangup(session: Session, timeout_seconds: float) -> bool:
    """True as soon as the idle connection hangs up; False after `timeout_seconds` without that.

    Anything that arrives unasked counts: a server says something on an idle connection only to end
    it. A session without a connection answers True at once.
    """
    return wait_hangup_fd(session.fileno(), timeout_seconds)


def wait_hangup_fd(fd: int, timeout_seconds: float) -> bool:
    """The same for a file descriptor; one that is closed (-1) counts as hung up."""
    if fd < 0:
        return True
    poll = select.poll()
    poll.register(fd, _EVENTS)
    return bool(poll.poll(max(0, math.ceil(timeout_seconds * 1000))))


def tcp_refused(host: str, port: int, timeout_seconds: float) -> bool | None:
    """Whether the port refuses connections: False when it accepts, None when nobody answers."""
    try:
        with socket.create_connection((host, port), timeout_seconds):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return None
