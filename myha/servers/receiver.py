"""Stopping a server's receiver, for certain and without waiting for whoever it tries to reach."""

from __future__ import annotations

from abc import abstractmethod

from myha.core.node import ThreadState
from myha.core.values import value
from myha.database.codes import NO_SUCH_THREAD
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError
from myha.servers.sessions import ServerSessions

STOPPING_SECONDS = 0.05  # in which an order to stop is normally carried out


@value(frozen=True, slots=True)
class ReceiverThread:
    """The thread of the default channel's receiver; `id` for KILL, 0 where there is none.

    `takes`: it may be about to take in an event, or to acknowledge one.
    """

    id: int
    state: ThreadState
    takes: bool


class ReceivingServer(ServerSessions):
    """The step after which the node takes in nothing more.

    A receiver that is told to stop ends what it is doing first. A connect to an address that has
    vanished lasts until the kernel gives up, seconds later; MariaDB's tries for seconds to tell a
    source that hangs good-bye. None of that can end in another event taken in: once it is killed,
    the receiver looks at that after every connect and after every event that it has read, before it
    takes the event in. So it has stopped for all purposes when it is killed and was seen, after
    that, to be at neither. That it was told to stop is not enough: somebody else's order may be
    under way, and ours waits for that one's locks.
    """

    def stop_receiver(self, deadline_seconds: float) -> None:
        deadline = Deadline(deadline_seconds)
        with self._control.borrow(deadline) as stopping:
            (statement,) = self._sql.all("stop_receiver", **self._words(stopping))
            stopping.send(statement)
            if stopping.receive(min(STOPPING_SECONDS, deadline.left_seconds)) is None:
                with self._control.fresh(deadline) as session:
                    self._until(
                        lambda: self._takes_nothing_more(session),
                        deadline,
                        "the receiver has not stopped",
                    )
                return
            self._until(
                lambda: self._receiver(stopping).state is ThreadState.STOPPED,
                deadline,
                "the receiver has not stopped",
            )

    def _takes_nothing_more(self, session: WarmSession) -> bool:
        """Kill the receiver, and see that this one is at nothing that ends in an event taken in."""
        before = self._receiver(session)
        if before.state is ThreadState.STOPPED or not before.id:
            return before.state is ThreadState.STOPPED
        try:
            self._run(session, "kill_session", {"id": before.id})
        except ServerError as error:
            if error.code != NO_SUCH_THREAD:
                raise
            return False  # it has ended meanwhile: the next look shows that
        after = self._receiver(session)
        if after.state is ThreadState.STOPPED:
            return True
        return after.id == before.id and not after.takes

    @abstractmethod
    def _receiver(self, session: WarmSession) -> ReceiverThread:
        """As of now; of several channels the pair's own."""
