"""The process that sends messages and runs hooks for the pairs of one supervisor's process.

`myha.notify.orders` says what goes through its standard input and output. It never makes the other
side wait: its main thread does nothing but read and pass on.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from myha.core.events import Event, Kind
from myha.core.journal_line import Note
from myha.hosts.priority import set_niceness
from myha.notify.channel import Channel
from myha.notify.hook import Hook
from myha.notify.orders import Data, PairOrder, event_of_json

# What waits when the supervisor ends is told within this time, or not at all. Where that has died
# and this process is told to end, a service manager waits for it before it starts the next one.
LAST_WORDS_SECONDS, HURRIED_SECONDS = 15.0, 3.0
LOOK_SECONDS = 0.1


class PairMessenger:
    """The channels and hooks of one pair."""

    def __init__(self, pair: str, order: PairOrder, out: Lines) -> None:
        self.pair = pair
        self._out = out
        self.channels = [Channel(pair, one, self._say, self.send_state) for one in order.channels]
        self.hooks = [Hook(pair, one, self._say, self.send_state) for one in order.hooks]
        for thread in (*self.channels, *self.hooks):
            thread.start()

    def take(self, event: Event | None, lost: int) -> None:
        events = () if event is None else (event,)
        for channel in self.channels:
            told_itself = event is not None and event.fields.get("channel") == channel.order.name
            channel.take(() if told_itself else events, lost)
        if event is not None:
            for hook in self.hooks:
                hook.take(event)

    def _say(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        self._out.write({"pair": self.pair, "note": Note(kind, text, fields).as_json()})

    def send_state(self) -> None:
        state = {
            "channels": {one.order.name: asdict(one.state) for one in self.channels},
            "hooks": {one.order.name: asdict(one.state) for one in self.hooks},
        }
        self._out.write({"pair": self.pair, "state": state})

    def close(self) -> Sequence[Channel | Hook]:
        """Have all end; the threads that do."""
        threads: list[Channel | Hook] = [*self.channels, *self.hooks]
        for one in threads:
            one.close()
        return threads


class Lines:
    """JSON lines to the supervisor, from several threads; one that has gone is not told."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def write(self, line: Data) -> None:
        with self._lock:
            try:
                print(json.dumps(line), file=self._out, flush=True)
            except (OSError, ValueError):
                return


class Messenger:
    """Does what the lines say, until there are no more."""

    def __init__(self, out: TextIO) -> None:
        self._out = Lines(out)
        self._pairs: dict[str, PairMessenger] = {}
        self._ended = False  # the supervisor by itself, in peace
        self._hurried = False
        self._leaving: list[threading.Thread] = []

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            order: dict[str, Any] = json.loads(line)
            if order.get("end"):
                self._ended = True
            else:
                self._obey(str(order["pair"]), order)
        if not self._ended:
            self._announce_death()
        for pair in self._pairs.values():
            self._leaving += pair.close()
        began = time.monotonic()
        while any(one.is_alive() for one in self._leaving):
            hurried = self._hurried and not self._ended
            if time.monotonic() - began > (HURRIED_SECONDS if hurried else LAST_WORDS_SECONDS):
                return
            time.sleep(LOOK_SECONDS)

    def hurry(self) -> None:
        """Somebody waits for the end of this process. From any thread, and a signal's handler."""
        self._hurried = True

    def _obey(self, name: str, order: Data) -> None:
        pair = self._pairs.get(name)
        if "have" in order or order.get("leave"):
            if pair is not None:
                self._leaving = [one for one in self._leaving if one.is_alive()]
                self._leaving += self._pairs.pop(name).close()
            if "have" in order:
                made = PairMessenger(name, PairOrder.of_json(order["have"]), self._out)
                self._pairs[name] = made
                made.send_state()
        elif pair is not None:
            event = order.get("event")
            pair.take(event_of_json(event) if event else None, int(order.get("lost", 0)))

    def _announce_death(self) -> None:
        text = (
            "the supervisor has ended without a word, by a signal or a defect: routing and "
            "replication stay as they are, and nobody would fail over"
        )
        for name, pair in self._pairs.items():
            pair.take(Event(time.time(), name, Kind.UNSUPERVISED, text), 0)


def main() -> int:
    set_niceness(0)  # the supervisor's own is for failovers
    messenger = Messenger(sys.stdout)
    # Of a terminal or a unit they are the supervisor's, whose end is the end of the lines.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: messenger.hurry())
    messenger.read(sys.stdin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
