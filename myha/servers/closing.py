"""Closing a server for writes: read-only, and the end of the sessions that hold it up."""

from __future__ import annotations

import contextlib
import math
import time
from abc import abstractmethod
from collections.abc import Callable

from myha.core.values import value
from myha.database.codes import NO_SUCH_THREAD, tolerated
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError
from myha.servers.claim import ClaimedServer

KILL_ROUND_SECONDS = 0.02
TELL_SECONDS = 0.5  # to take a statement back when a deadline has passed
_NOT_OURS_TO_KILL = frozenset({1095, 1227})


@value(frozen=True, slots=True)
class Client:
    """A client's session.

    `commits`: in a commit, and there it `waits` for an acknowledgement. `works`: in a statement,
    where the flavour's fence has to know.
    """

    id: int
    user: str
    waits: bool = False
    commits: bool = False
    works: bool = False


class ClosingServer(ClaimedServer):
    """The steps that close a server."""

    def close_gently(self, grace_seconds: float, deadline_seconds: float) -> None:
        """Read-only with commits in flight finished; who else holds it up is ended after the grace.

        Raises ServerError at the deadline, and then the order to close has been taken back.
        """
        with self._control.borrow(Deadline(deadline_seconds)) as session:

            def end_blockers(second: WarmSession, seconds: float) -> None:
                if seconds >= 2 * grace_seconds:
                    ids = self._not_in_commit(second)
                else:
                    ids = self._blockers(second, session.connection_id)
                self._kill_all(second, only=ids)

            self._close(session, grace_seconds, end_blockers)

    def kill_clients(self, deadline_seconds: float) -> None:
        """End the client sessions that are there; ServerError if one cannot be ended."""
        with self._control.borrow(Deadline(deadline_seconds)) as session:
            denied = self._end_clients(session, until_none_is_left=False)
        if denied:
            raise ServerError(
                f"{self.name}: the supervisor's account may not end the sessions of"
                f" {', '.join(sorted(denied))}: end them by hand, or grant it SYSTEM_USER"
            )

    @abstractmethod
    def _is_closed(self, session: WarmSession) -> bool:
        """Whether read-only is on."""

    @abstractmethod
    def _clients(self, session: WarmSession) -> list[Client]:
        """All client sessions apart from the supervisor's own account."""

    @abstractmethod
    def _blockers(self, session: WarmSession, closer: int) -> set[int]:
        """The sessions that hold up the session `closer`, which waits to set read-only."""

    def _close(
        self,
        session: WarmSession,
        grace_seconds: float,
        while_waiting: Callable[[WarmSession, float], None],
    ) -> None:
        """Set read-only. While that waits, after the grace, call `while_waiting(second, seconds)`.

        At the deadline the statement is killed, since it would close the node some time later.
        """
        began = time.monotonic()
        wait_seconds = math.ceil(session.left_seconds) + 1  # the deadline below comes first
        (statement,) = self._sql.all("close", **self._words(session))
        session.send(statement, {"wait_seconds": wait_seconds})
        if session.receive(min(grace_seconds, session.left_seconds)) is None:
            with self._control.fresh(session.deadline) as second:
                self._close_slowly(session, second, began, while_waiting)
        if not self._is_closed(session):
            raise ServerError(f"{self.name}: read-only is not on when read back")

    def _close_slowly(
        self,
        session: WarmSession,
        second: WarmSession,
        began: float,
        while_waiting: Callable[[WarmSession, float], None],
    ) -> None:
        deadline = session.deadline
        try:
            while not deadline.passed:
                while_waiting(second, time.monotonic() - began)
                if session.receive(min(KILL_ROUND_SECONDS, deadline.left_seconds)) is not None:
                    return
        except ServerError:
            self._take_back(session, second)
            raise
        self._take_back(session, second)
        raise ServerError(
            f"{self.name}: read-only did not come on within {deadline.seconds:.2g} s:"
            " a commit waits for an acknowledgement, or a session cannot be ended"
        )

    def _take_back(self, session: WarmSession, second: WarmSession) -> None:
        """Kill the statement that `session` waits for, and read its end or drop the connection."""
        if not session.waiting:
            return
        with contextlib.suppress(ServerError):
            second.limit = Deadline(TELL_SECONDS)
            self._run(second, "kill_statement", {"id": session.connection_id})
            session.receive(TELL_SECONDS)
        if session.waiting:
            with contextlib.suppress(ServerError):
                second.limit = Deadline(TELL_SECONDS)
                self._run(second, "kill_session", {"id": session.connection_id})
            session.close()

    def _end_clients(self, session: WarmSession, *, until_none_is_left: bool) -> set[str]:
        """Kill clients; returns the users that may not be killed.

        `until_none_is_left`: again, until all are that have connected meanwhile. Clients that
        connect anew as fast as they are killed keep that from ever being so, unless logins are
        refused. When KILL returns, the session's connection is shut. The thread may stay for a
        while, and on MySQL as long as its commit waits, but nobody hears it any more.
        """
        killed: set[int] = set()
        denied: set[str] = set()

        def ended() -> bool:
            fresh = [c for c in self._clients(session) if c.id not in killed]
            for client in fresh:
                if self._kill(session, client):
                    killed.add(client.id)
                else:
                    denied.add(client.user)
            return not until_none_is_left or all(client.user in denied for client in fresh)

        self._until(ended, session.deadline, "client sessions are still there")
        return denied

    def _kill_all(self, session: WarmSession, only: set[int] | None = None) -> set[int]:
        """Kill every client (or those of `only`); returns the ids of those that it might kill."""
        return {
            client.id
            for client in self._clients(session)
            if (only is None or client.id in only) and self._kill(session, client)
        }

    def _not_in_commit(self, session: WarmSession) -> set[int]:
        """A commit ends by itself once it is acknowledged; to kill one may tell others OK."""
        return {one.id for one in self._clients(session) if not one.commits}

    def _kill(self, session: WarmSession, client: Client) -> bool:
        """False if the account may not; a session that has gone meanwhile is fine."""
        with tolerated(*_NOT_OURS_TO_KILL):
            with tolerated(NO_SUCH_THREAD):
                self._run(session, "kill_session", {"id": client.id})
            return True
        return False
