"""Closing a MariaDB server: nobody may hear OK for a commit that nobody has acknowledged."""

from __future__ import annotations

from myha.database.flavours import MARIADB
from myha.database.session import WarmSession
from myha.errors import ServerError
from myha.servers.base import BaseServer
from myha.servers.closing import Client
from myha.servers.mariadb_look import DUMPS

IDLE_SPARED_SECONDS = 0.2  # in a fence: few idle sessions hold up read-only (LOCK TABLES does)
WAITS_FOR_ACK = "p.STATE LIKE 'Waiting for semi-sync ACK%%'"
SESSIONS = (
    "p.USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user')"
    " AND p.COMMAND NOT IN ('Binlog Dump', 'Daemon')"
)
# Of the supervisor's own, a heartbeat or proof whose commit waits is in the way like any client's.
_COMMITS = f"(p.STATE LIKE 'Commit%%' OR {WAITS_FOR_ACK})"
_TO_END = f"{SESSIONS} AND (p.USER <> %(user)s OR {_COMMITS})"


class MariaDBFence(BaseServer):
    """The steps that close a MariaDB server."""

    flavour = MARIADB

    def fence(self, deadline_seconds: float) -> None:
        """Nobody may hear OK for a commit that nobody has acknowledged; then read-only.

        A thread waits for the acknowledgement on behalf of its whole commit group. KILL ends its
        wait without an answer to its own client, but all others of its group hear OK. So nothing
        is killed in a group that can still move, and the one that waits last of all:

        1. No acknowledgement comes in any more (the replicas' connections are ended): the commit
           that waits stays where it is, and all others behind it.
        2. Read-only is asked for, which waits for those commits; no statement begins behind it.
        3. Once one commit waits, and all later ones so stand behind it, all sessions are killed but
           that one; their connections are shut by that.
        4. Then that one. What it lets go has nobody left to tell.

        While no commit waits, a session in a transaction may yet become the one that waits for
        others: only those are ended that hold up read-only, and none while another commits.

        What an account with READ_ONLY ADMIN begins later is beyond any fence on MariaDB.
        """
        with self._step(deadline_seconds) as session:
            self._end_acknowledgements(session)
            closer = session.connection_id
            killed: set[int] = set()

            def silence(second: WarmSession, seconds: float) -> None:
                if not self._waits_for_lock(second, closer):
                    return
                self._end_acknowledgements(second)  # a replica may be back by now
                clients = self._clients(second)
                if any(one.waits for one in clients) or self._applier_waits(second):
                    self._silence(second, clients, killed)
                else:
                    idle_too = seconds >= IDLE_SPARED_SECONDS
                    self._end_holders(second, clients, idle_too=idle_too)

            self._close(session, 0.0, silence)
            denied = self._end_clients(session, until_none_is_left=False)
            if any(c.waits and c.user in denied for c in self._clients(session)):
                raise ServerError(
                    f"{self.name}: a commit of {', '.join(sorted(denied))} waits for an"
                    " acknowledgement and may not be cut off: end it by hand"
                )
            self._disable_waiting(session)

    def _end_acknowledgements(self, session: WarmSession) -> None:
        """End the replicas' connections where commits wait for them. They connect again in time."""
        if not self._semisync_now(session).source_enabled:
            return

        def ended() -> bool:
            for number, _, _ in session.query(DUMPS):
                self._kill(session, Client(int(number), ""))
            return self._semisync_now(session).source_clients == 0

        self._until(ended, session.deadline, "a replica still acknowledges")

    def _waits_for_lock(self, session: WarmSession, closer: int) -> bool:
        rows = session.query(
            "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = %(id)s", {"id": closer}
        )
        return bool(rows) and str(rows[0][0]).startswith("Waiting for")

    def _end_holders(self, session: WarmSession, clients: list[Client], *, idle_too: bool) -> None:
        """Kill who works, or with `idle_too` everybody, as long as nobody commits.

        Looked at anew before each one: he may have come to his commit, with others behind him.
        """
        for client in clients:
            now = {one.id: one for one in self._clients(session)}
            if any(one.commits for one in now.values()):
                return
            if client.id in now and (idle_too or now[client.id].works):
                self._kill(session, client)

    def _silence(self, session: WarmSession, clients: list[Client], killed: set[int]) -> None:
        """Kill all but the commit that waits; that one too as soon as it is the only one left.

        The node's own applier may be the one that waits. For it there is nobody to tell.
        """
        for client in clients:
            if not client.waits and self._kill(session, client):
                killed.add(client.id)
        left = [one for one in self._clients(session) if one.id not in killed]
        if any(one.commits and not one.waits for one in left):
            return
        # Whoever else is left has connected since, and stands behind read-only.
        waiting = [one for one in left if one.waits]
        killed.update(one.id for one in waiting if self._kill(session, one))
        if not waiting and self._applier_waits(session):
            self._run_in_time(session, "disable_waiting")

    def _applier_waits(self, session: WarmSession) -> bool:
        rows = session.query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST p"
            f" WHERE p.USER = 'system user' AND {WAITS_FOR_ACK.replace('%%', '%')}"
        )
        return bool(rows[0][0])

    def _is_closed(self, session: WarmSession) -> bool:
        return bool(int(session.value("SELECT @@GLOBAL.read_only")))

    def _clients(self, session: WarmSession) -> list[Client]:
        rows = session.query(
            f"SELECT p.ID, p.USER, COALESCE({WAITS_FOR_ACK}, 0), COALESCE({_COMMITS}, 0),"
            f" p.COMMAND <> 'Sleep' FROM information_schema.PROCESSLIST p WHERE {_TO_END}",
            {"user": self.account.user},
        )
        return [
            Client(int(number), user or "", bool(waits), bool(commits), bool(works))
            for number, user, waits, commits, works in rows
        ]

    def _account_sessions(self, session: WarmSession, account: str) -> list[tuple[int, bool]]:
        rows = session.query(
            f"SELECT p.ID, COALESCE({_COMMITS}, 0) FROM information_schema.PROCESSLIST p"
            f" WHERE {SESSIONS} AND p.USER = %(user)s",
            {"user": account},
        )
        return [(int(number), bool(commits)) for number, commits in rows]

    def _blockers(self, session: WarmSession, closer: int) -> set[int]:
        """Sessions at work or in a transaction: who holds which lock is not shown by default.

        Not those in a commit: they end by themselves when the standby has acknowledged, and to
        kill one would tell others of its group OK before that (see `fence`).
        """
        rows = session.query(
            f"SELECT p.ID FROM information_schema.PROCESSLIST p WHERE {_TO_END}"
            " AND (p.COMMAND <> 'Sleep' OR p.ID IN"
            " (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX))"
            f" AND NOT COALESCE({_COMMITS}, 0)",
            {"user": self.account.user},
        )
        return {int(number) for (number,) in rows} - {closer}
