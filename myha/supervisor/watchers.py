"""Threads that only look: one for each node and balancer, each putting values on one queue.

A watcher looks at its interval, at once when somebody pokes it, and at once when the connection
that it keeps hangs up: a crash is known in milliseconds, whatever the interval.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

from myha.core.address import Standing
from myha.core.balancer import BalancerLook
from myha.core.node import Contact
from myha.core.observations import (
    BalancerLooked,
    BalancerMissed,
    NodeLooked,
    NodeMissed,
    Observation,
)
from myha.errors import BalancerError, ServerError, ServerGoneError, ServerSilentError
from myha.ports import Balancer, WatchedServer
from myha.supervisor.appearances import APPEARANCES

FULL_CODES = frozenset({1040, 1203, 1226})
DENIED_CODES = frozenset({1044, 1045, 1130, 1227, 1396, 1698, 1862, 3118, 3159, 4151})
FOREIGN_CODE = -1
SHUTTING_DOWN_CODE = 1053
MIN_PAUSE_SECONDS = 0.01  # between two looks that events ask for

Emit = Callable[[Observation], None]


def _close(descriptors: tuple[int, ...]) -> None:
    for one in descriptors:
        os.close(one)


class Watcher(threading.Thread):
    """The common part: wait for the interval, a poke or a hang-up, then look. Ends with `stop`."""

    def __init__(self, name: str, interval_seconds: float, emit: Emit) -> None:
        super().__init__(name=f"watch-{name}", daemon=True)
        self._interval_seconds = interval_seconds
        self._emit = emit
        self._ending = False
        self._wake_read, self._wake_write = pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Not before nobody can poke it any more: the numbers are given out again.
        weakref.finalize(self, _close, pipe)

    def poke(self) -> None:
        """Look now rather than at the interval."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return  # the pipe is full of pokes already: it will wake

    def stop(self) -> None:
        self._ending = True
        self.poke()

    def run(self) -> None:
        next_at = time.monotonic()
        while not self._ending:
            self.look()
            now = time.monotonic()
            next_at = max(next_at + self._interval_seconds, now + MIN_PAUSE_SECONDS)
            # Looks that were asked for in between do not count: many of them must not be followed
            # by a long time without any.
            next_at = min(next_at, now + self._interval_seconds)
            self._wait(next_at)
        self.leave()

    def look(self) -> None:
        raise NotImplementedError

    def leave(self) -> None:
        """Let go of what the watcher holds, in its own thread."""

    def hangup_fds(self) -> tuple[int, ...]:
        """Descriptors that become readable or hang up when the watched thing is lost."""
        return ()

    def _wait(self, until: float) -> bool:
        """Until then, or a poke or hang-up: whether it was one of these."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for descriptor in self.hangup_fds():
            poll.register(descriptor, select.POLLIN | select.POLLRDHUP | select.POLLHUP)
        left_seconds = until - time.monotonic()
        woken = poll.poll(max(0.0, left_seconds) * 1000)
        if woken:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake_read, 4096):
                    pass
        return bool(woken)


class NodeWatcher(Watcher):
    """Looks at one database server over a connection of its own."""

    def __init__(self, server: WatchedServer, interval_seconds: float, emit: Emit) -> None:
        super().__init__(server.name, interval_seconds, emit)
        self._server = server
        self._connects = False

    def hangup_fds(self) -> tuple[int, ...]:
        return self._server.hangup_fds()

    def leave(self) -> None:
        self._server.leave_watch()

    def look(self) -> None:
        at = time.monotonic()
        connected = bool(self._server.hangup_fds())
        try:
            self._emit(NodeLooked(self._server.name, self._server.look()))
            self._connects = False
        except ServerGoneError as error:
            self._look_again(at, connected, error)
        except ServerError as error:
            self._miss(at, error, hung_up=False)

    def _look_again(self, at: float, connected: bool, error: ServerGoneError) -> None:
        """A broken connection proves little: only a refused new one says that nobody is there."""
        refused = self._server.refuses()
        if refused:
            closing = error.code == SHUTTING_DOWN_CODE
            self._emit(
                NodeMissed(self._server.name, at, Contact.REFUSING, connected, str(error), closing)
            )
            return
        if refused is None:  # not even its host says a word: to wait for that once more is idle
            silent = ServerSilentError(f"{error}; a new one is not answered")
            self._miss(at, silent, hung_up=connected)
            return
        at = time.monotonic()
        try:
            self._emit(NodeLooked(self._server.name, self._server.look()))
        except ServerError as again:
            self._miss(at, again, hung_up=connected)

    def _miss(self, at: float, error: ServerError, *, hung_up: bool) -> None:
        contact = contact_of(error)
        if contact is Contact.REFUSING and not self._server.refuses():
            contact = Contact.SILENT  # it broke, but a new connection is not refused
        if contact is not Contact.SILENT:
            self._connects = False
        missed = NodeMissed(
            self._server.name, at, contact, hung_up, str(error), connects=self._connects
        )
        self._emit(missed)  # that it is silent must not wait for whether its port accepts
        if contact is Contact.SILENT:
            before, self._connects = self._connects, self._server.connects()
            if before is not self._connects:
                self._emit(replace(missed, hung_up=False, connects=self._connects))


def contact_of(error: ServerError) -> Contact:
    """What a failed look says of the node."""
    if isinstance(error, ServerSilentError):
        return Contact.SILENT
    if isinstance(error, ServerGoneError):
        return Contact.REFUSING
    if error.code in FULL_CODES:
        return Contact.FULL
    if error.code in DENIED_CODES:
        return Contact.DENIED
    if error.code == FOREIGN_CODE:
        return Contact.FOREIGN
    return Contact.SILENT


class BalancerWatcher(Watcher):
    """Looks at one balancer. One that comes up routes nobody until it is told, so that is not left
    to the interval: what it changes by coming up is glanced at all the time."""

    def __init__(
        self,
        balancer: Balancer,
        interval_seconds: float,
        emit: Emit,
        standing: Callable[[BalancerLook], Standing] | None = None,
    ) -> None:
        """`standing`: what to tell the balancer after a look, where there is a shared address."""
        super().__init__(balancer.name, interval_seconds, emit)
        self._balancer = balancer
        self._standing = standing
        self._appeared: object = None

    def run(self) -> None:
        self._appeared = self._balancer.appearance()
        if self._appeared is None:  # there is nothing to glance at
            super().run()
            return
        glance = self._glance  # the same object at both ends
        with APPEARANCES.watching(glance, self._balancer.appears_in()):
            super().run()

    def _glance(self) -> None:
        appeared = self._balancer.appearance()
        if appeared not in (self._appeared, ()):
            self._appeared = appeared
            self.poke()

    def look(self) -> None:
        self._appeared = self._balancer.appearance()
        at = time.monotonic()
        try:
            look = self._balancer.look()
        except BalancerError as error:
            self._emit(BalancerMissed(self._balancer.name, at, str(error)))
            return
        # Everything in the look is at least as new as its beginning, and that is all it proves.
        look = replace(look, at=at)
        self._emit(BalancerLooked(self._balancer.name, look))
        if self._standing is None or look.address is None:
            return
        try:
            self._balancer.stand(self._standing(look))
        except BalancerError as error:
            self._emit(BalancerMissed(self._balancer.name, at, str(error)))
