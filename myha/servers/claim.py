"""Which supervisor acts on a server: a row there that only grows, and the end of older sessions.

A lease in a store says who may act; it cannot stop a process that stood still with a command in its
hand. So the server itself refuses it. Every session through which a supervisor acts first reads the
claim and goes no further unless that is its own. Who takes over writes the row, and then ends all
other sessions of the account and waits until they have gone. What logged in before the row was
written is in the list of sessions by then, and is ended; what logs in later reads the row. No
statement carries anything for it: it costs a connection one round trip, and a step nothing.

The row is the node's own, not replicated. What only writes rows (heartbeat, proof) has sessions
that are not asked, and may stay while its commit waits: to end that could release others' commits.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from myha.core.values import value
from myha.database.codes import NO_SUCH_THREAD, tolerated
from myha.database.connection import Endpoint
from myha.database.session import Deadline, Session, WarmSession
from myha.errors import ClaimedError, ServerError
from myha.servers.sessions import ServerSessions


@value(frozen=True, slots=True)
class Claim:
    """`store` is the id of the record's lineage, `term` the version at which it was taken over."""

    store: str
    term: int
    holder: str = ""  # for people, and to tell copies of one record from each other
    account: str = ""  # whose sessions the next one has to end

    def covers(self, other: Claim) -> bool:
        """Whether it is the same supervisor's, in the same term."""
        mine, others = (self.store, self.term, self.holder), (other.store, other.term, other.holder)
        return mine == others


def read_claim(session: Session) -> Claim | None:
    """None where there is none. Raises ServerError."""
    rows = session.rows_if_there("SELECT store, term, holder, account FROM myha.claim")
    if not rows:
        return None
    store, term, holder, account = rows[0]
    return Claim(str(store), int(term), str(holder), str(account))


class Claimant:
    """One supervisor's claim on all of its servers. Safe for use by several threads."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.lock = threading.Lock()
        self._servers: list[ServerSessions] = []

    def take_on(self, server: ClaimedServer) -> None:
        """From now on this adapter's steps are under the claim. Not while it is in use."""
        server.claimant = self
        self._servers.append(server)

    def connection_ids(self, endpoint: Endpoint) -> set[int]:
        """This supervisor's own connections to a server, through whichever adapter."""
        same = (one for one in self._servers if one.endpoint == endpoint)
        return {number for one in same for number in one.connection_ids()}

    def require(self, name: str, found: Claim | None) -> None:
        """Raises ClaimedError when the server is another supervisor's."""
        mine = self.claim
        if found is None or mine.covers(found):
            return
        if found.store == mine.store and found.term < mine.term:
            return
        if found.store != mine.store:
            raise ClaimedError(
                f"{name} belongs to the supervisor of another store ({found.holder}): stop that"
                f" one; if it is gone for good, `myha setup` takes {name} over"
            )
        if found.term == mine.term:
            raise ClaimedError(
                f"{name} belongs to a supervisor with a copy of this record ({found.holder}): stop"
                " one of the two, and remove its record"
            )
        raise ClaimedError(
            f"{name} was taken over by a later supervisor ({found.holder}, term {found.term}; this"
            f" one has term {mine.term}). If that one is gone and the record here is an older one"
            " that was put back, give it a lineage of its own: `myha store export`, then `import`"
        )


class ClaimedServer(ServerSessions):
    """A server that only its claimant acts on; without a claimant it is for looking only."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.claimant: Claimant | None = None
        self._schema_sql = self.flavour.statements("setup_schema")

    def claim_now(self, deadline_seconds: float) -> None:
        """Make the server this supervisor's, if it is reached: see `_verify`."""
        self._control.keep_warm(0.0, deadline_seconds)

    def _verify(self, session: WarmSession) -> None:
        """Called for each new session of a step.

        Raises ClaimedError when the server is another supervisor's, ServerError when it cannot be
        claimed now. When it returns the server is this one's, and no older session acts on it.
        """
        if self.claimant is None:
            return
        found = read_claim(session)
        if found is not None and self.claimant.claim.covers(found):
            return
        with self.claimant.lock:
            self._take(session, self.claimant)

    def _require_ours(self, session: Session) -> None:
        if self.claimant is None:
            return
        found = read_claim(session)
        if found is None or not self.claimant.claim.covers(found):
            session.close()
            self.claimant.require(self.name, found)
            raise ClaimedError(f"{self.name}: its claim has changed; it is looked at again")

    def _take(self, session: WarmSession, claimant: Claimant) -> None:
        claim, found = claimant.claim, read_claim(session)
        claimant.require(self.name, found)
        if found is not None and claim.covers(found):
            return
        values = {
            "store": claim.store,
            "term": claim.term,
            "holder": claim.holder,
            "account": self.account.user,
        }
        accounts = {self.account.user} | ({found.account} if found is not None else set())
        session.run(self._sql.all("unlogged_session"))
        with self._alterable(session):
            if found is None:
                session.run(self._schema_sql.all("make_schema"))
                session.run(self._schema_sql.all("make_claim"))
            self._run(session, "write_claim", values)
        session.run(self._sql.all("logged_session"))
        found = read_claim(session)
        claimant.require(self.name, found)
        if found is None or not claim.covers(found):
            raise ServerError(f"{self.name}: the claim is not there when read back")
        self._end_others(session, claimant, accounts)

    def _end_others(
        self, session: WarmSession, claimant: Claimant, accounts: Iterable[str]
    ) -> None:
        """None of these accounts' is left but our own, and those whose commit waits."""

        def gone() -> bool:
            own = claimant.connection_ids(self.endpoint)
            others = [
                number
                for account in accounts
                for number, commits in self._account_sessions(session, account)
                if number not in own and not commits
            ]
            for number in others:
                self._end(session, number)
            return not others

        with session.limited(Deadline(session.left_seconds)):
            self._until(gone, session.deadline, "sessions of another supervisor have not ended")

    def _end(self, session: WarmSession, number: int) -> None:
        with tolerated(NO_SUCH_THREAD):
            self._run(session, "kill_session", {"id": number})

    @abstractmethod
    def _alterable(self, session: WarmSession) -> AbstractContextManager[None]:
        """Lets the session write what is the server's own, also where clients may not write."""

    @abstractmethod
    def _account_sessions(self, session: WarmSession, account: str) -> list[tuple[int, bool]]:
        """A supervisor account's sessions, without replication's: the id of each, and whether it
        is in a commit."""
