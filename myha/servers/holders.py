"""The sessions that hold up a server which is to take writes: backups and readers with their locks.

As long as they like, for a server cannot know that all clients wait for it: whoever has read-locked
tables (a dump, a snapshot), or reads a table that was altered meanwhile, stops its applier.
"""

from __future__ import annotations

from abc import abstractmethod

from myha.core.values import value
from myha.database.session import WarmSession
from myha.servers.closing import Client, ClosingServer
from myha.words import listed


@value(frozen=True, slots=True)
class Holder:
    """A client's session whose lock others wait for, or may."""

    id: int
    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (connection {self.id})"


class FreeingServer(ClosingServer):
    """The step that frees a server. `_held` says why sessions were ended."""

    _held = "it waited for their locks"

    def end_holders(self, deadline_seconds: float) -> str:
        """End the clients' sessions whose locks the applier, or a session of the supervisor's own,
        waits for. Returns what was done, in one line; empty when there was nothing to do."""
        with self._step(deadline_seconds) as session:
            found = self._holders(session)
            ended = [one for one in found if self._kill(session, Client(one.id, one.user))]
        spared = [one for one in found if one not in ended]
        return "; ".join(
            [
                *([f"ended {listed(ended)}: {self._held}"] if ended else []),
                *([f"may not end {listed(spared)}: end it by hand"] if spared else []),
            ]
        )

    @abstractmethod
    def _holders(self, session: WarmSession) -> list[Holder]:
        """Whom to end, so that the applier and the supervisor's own sessions wait no more."""
