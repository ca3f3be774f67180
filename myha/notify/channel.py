"""One channel of one pair: a thread that tells what its `Pacer` says is due."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from myha.core.events import Event, Kind
from myha.core.values import value
from myha.errors import MyhaError
from myha.hosts.commands import run_to_end
from myha.notify.orders import ChannelOrder
from myha.notify.pacing import Pacer
from myha.notify.text import Message, message_of

SEND_SECONDS = 20.0
SENDER = "myha.notify.send"
# Messages that are sent at once, by all channels of this process; and by those whose last one was
# not taken, so that a mail server that hangs is in nobody's way.
SENDING, RETRYING = threading.BoundedSemaphore(4), threading.BoundedSemaphore(2)

Say = Callable[[Kind, str, dict[str, str]], None]  # a line for the pair's journal


@value(frozen=True, slots=True)
class ChannelState:
    """How it is doing: messages sent, events that wait to be told, events lost on their way here,
    and why the last message was not taken."""

    sent: int = 0
    waiting: int = 0
    lost: int = 0
    failure: str = ""


def deliver(url: str, message: Message) -> None:
    """Send it, in a process that is ended in time. Raises MyhaError with the reason."""
    _in_a_process({"url": url, **asdict(message)})


def understood(url: str) -> None:
    """Raises MyhaError when nothing could be sent there; nothing is."""
    _in_a_process({"url": url})


def _in_a_process(order: dict[str, str]) -> None:
    words, given = (sys.executable, "-m", SENDER), json.dumps(order)
    try:
        run_to_end("sending", words, SEND_SECONDS, given=given, whole_group=True)
    except MyhaError as error:
        raise MyhaError(str(error).removeprefix("sending failed: ")) from None


class Channel(threading.Thread):
    """`say` notes what others are to know: that it does not get through, and that it does again."""

    def __init__(
        self,
        pair: str,
        order: ChannelOrder,
        say: Say,
        changed: Callable[[], None],
        send: Callable[[str, Message], None] = deliver,
    ) -> None:
        super().__init__(name=f"channel-{order.name}", daemon=True)
        self.pair, self.order = pair, order
        self.state = ChannelState(failure=order.failure)
        self._say = say
        self._changed = changed
        self._send = send
        self._pacer = Pacer(order.takes, order.per_minute)
        self._more = threading.Condition()
        self._closing = False

    # -- from other threads ----------------------------------------------------------------------

    def take(self, events: tuple[Event, ...], lost: int = 0) -> None:
        with self._more:
            self._pacer.take(events, time.monotonic(), lost)
            waiting, all_lost = self._pacer.waiting, self.state.lost + lost
            self.state = ChannelState(self.state.sent, waiting, all_lost, self.state.failure)
            self._more.notify()

    def close(self) -> None:
        """Have it send what waits, once, and end."""
        with self._more:
            self._closing = True
            self._more.notify()

    # -- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        if self.order.failure:
            self._say(Kind.NOTIFY_FAILED, f"{self.order.name}: {self.order.failure}", self._fields)
            return
        while True:
            with self._more:
                due = self._pacer.due(time.monotonic(), hurry=self._closing)
                if self._closing and (due is None or due > 0):
                    return
                if due is None or due > 0:
                    self._more.wait(due)
                    continue
                if not self._pacer.waiting:
                    continue
                batch = self._pacer.begin()
            self._send_message(message_of(self.pair, batch, self.state.failure))

    @property
    def _fields(self) -> dict[str, str]:
        return {"channel": self.order.name}

    def _send_message(self, message: Message) -> None:
        before, failure = self.state.failure, ""
        with RETRYING if before else SENDING:
            try:
                self._send(self.order.url, message)
            except MyhaError as error:
                failure = str(error)
        with self._more:
            if failure:
                self._pacer.failed(time.monotonic())
            else:
                self._pacer.sent(time.monotonic())
            sent = self.state.sent + (not failure)
            self.state = ChannelState(sent, self._pacer.waiting, self.state.lost, failure)
        if failure and not before:
            self._say(Kind.NOTIFY_FAILED, f"{self.order.name}: {failure}", self._fields)
        if before and not failure:
            self._say(Kind.NOTIFY, f"{self.order.name} takes messages again", self._fields)
        self._changed()
