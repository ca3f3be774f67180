"""The process that sends messages and runs hooks, as the supervisor sees it.

There is one for all pairs of a process, while one of them has a channel or a hook. Whoever notes an
event never waits: events go into a queue with a bound, which a thread empties into the other
process; what does not fit is counted, and the channels are told how many that were. One that hangs
or dies is replaced.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from myha.config import Config
from myha.core.events import Event, Kind
from myha.core.journal_line import Note
from myha.core.values import value
from myha.errors import ConfigError
from myha.notify.orders import ChannelOrder, Data, HookOrder, PairOrder, event_as_json
from myha.supervisor.status import HookStatus, NotifyStatus

MODULE = "myha.notify.messenger"
QUEUE_LIMIT = 1000
WRITE_SECONDS = 30.0  # one that takes no line for so long has hung
LEAVE_SECONDS = 5.0
AGAIN_SECONDS = 5.0

NoteDown = Callable[[Kind, str, dict[str, str]], None]


@dataclass(eq=False)
class Attached:
    """A pair that has channels or hooks. `offer` each event of it."""

    pair: str
    order: PairOrder
    note: NoteDown
    messenger: MessengerProcess
    lost: int = 0
    state: Data = field(default_factory=dict)

    def offer(self, event: Event) -> None:
        """From any thread; waits for nothing."""
        if self.order.wants(event):
            self.messenger.offer(self, event)

    def leave(self) -> None:
        """No more of this pair: what was offered goes on its way first."""
        self.messenger.leave(self)

    def channels(self) -> dict[str, NotifyStatus]:
        return {
            name: NotifyStatus.model_validate(one)
            for name, one in self.state.get("channels", {}).items()
        }

    def hooks(self) -> dict[str, HookStatus]:
        return {
            name: HookStatus.model_validate(one)
            for name, one in self.state.get("hooks", {}).items()
        }


@value(frozen=True, slots=True)
class _Leave:
    done: threading.Event


_Item = tuple[Attached, "Event | _Leave | None"]  # None: it is new


def _had(one: Attached) -> Data:
    return {"pair": one.pair, "have": one.order.as_json()}


class MessengerProcess:
    """Started with the first pair, ended with the last one. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs: list[Attached] = []
        self._queue: queue.Queue[_Item] = queue.Queue(QUEUE_LIMIT)
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0  # a new one is not started before that
        self.failure = ""  # why there is no such process just now

    # -- from other threads ----------------------------------------------------------------------

    def have(self, pair: str, order: PairOrder, note: NoteDown) -> Attached:
        one = Attached(pair, order, note, self)
        with self._lock:
            self._pairs.append(one)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="messages", daemon=True)
                self._thread.start()
        self._queue.put((one, None))
        return one

    def offer(self, one: Attached, event: Event) -> None:
        try:
            self._queue.put_nowait((one, event))
        except queue.Full:
            one.lost += 1

    def leave(self, one: Attached) -> None:
        done = threading.Event()
        with suppress(queue.Full):
            self._queue.put((one, _Leave(done)), timeout=LEAVE_SECONDS)
            done.wait(LEAVE_SECONDS)

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None else process.pid

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        """Until the last pair has left."""
        while True:
            one, what = self._queue.get()
            if isinstance(what, _Leave):
                last, ending = self._remove(one)
                what.done.set()
                if ending is not None:
                    ending.wait()  # it tells what waits, and nobody waits for that
                if last:
                    return
            elif what is None:
                if self._process is None or not self._write([_had(one)]):
                    self._alive()  # a new one is told of all
            else:
                self._pass_on(one, what)

    def _pass_on(self, one: Attached, event: Event) -> None:
        lost = one.lost
        if not self._alive():
            one.lost += 1
            return
        line = {"pair": one.pair, "event": event_as_json(event), "lost": lost}
        written = self._write([line])  # takes its time, in which more may be lost
        one.lost += -lost if written else 1

    def _remove(self, one: Attached) -> tuple[bool, subprocess.Popen[bytes] | None]:
        """Whether it was the last one, and the process that was told to end then."""
        with self._lock:
            self._pairs = [other for other in self._pairs if other is not one]
            last = not self._pairs
            if last:
                self._thread = None
        process = self._process
        if process is None:
            return last, None
        more: list[Data] = [{"end": True}] if last else []
        self._write([{"pair": one.pair, "leave": True}, *more])
        if not last:
            return False, None
        self._process = None
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        return True, process

    def _alive(self) -> bool:
        """Whether there is a process, or one could be started now. A new one is told all pairs."""
        if self._process is not None and self._process.poll() is None:
            return True
        if time.monotonic() < self._not_before:
            return False
        self._not_before = time.monotonic() + AGAIN_SECONDS
        try:
            process = self._process = subprocess.Popen(
                (sys.executable, "-m", MODULE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._process, self.failure = None, f"cannot be started: {error.strerror or error}"
            return False
        self.failure = ""
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        threading.Thread(
            target=self._listen, args=(process,), name="messages-out", daemon=True
        ).start()
        with self._lock:
            pairs = list(self._pairs)
        for one in pairs:  # what the last one had not told yet is lost
            one.lost += max((c.waiting for c in one.channels().values()), default=0)
            one.state = {}
        return self._write([_had(one) for one in pairs])

    def _write(self, lines: Iterable[Data]) -> bool:
        """False when it did not take them: it has ended, or is ended now for not taking them."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        until = time.monotonic() + WRITE_SECONDS
        room = select.poll()
        room.register(process.stdin, select.POLLOUT)
        try:
            while data:
                if not select.select([], [process.stdin], [], max(0.0, until - time.monotonic()))[
                    1
                ]:
                    raise TimeoutError
                data = data[os.write(process.stdin.fileno(), data) :]
        except (OSError, ValueError):
            process.kill()
            process.wait()
            self.failure = "the process that sends messages and runs hooks has ended or hung"
            return False
        return True

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """What it says, until it ends."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with suppress(ValueError, KeyError, TypeError):
                    self._heard(json.loads(line))

    def _heard(self, said: Data) -> None:
        with self._lock:
            named = [one for one in self._pairs if one.pair == said["pair"]]
        for one in named:
            if "state" in said:
                one.state = dict(said["state"])
            if "note" in said:
                note = Note.of_json(said["note"])
                one.note(note.kind, note.text, dict(note.fields))


MESSENGER = MessengerProcess()  # this process's


def order_of(config: Config) -> PairOrder:
    """All channels and hooks of a pair; a channel whose URL cannot be read says so."""
    channels = []
    for name, one in config.notify.items():
        url = failure = ""
        try:
            url = one.url().get_secret_value()
        except ConfigError as error:
            failure = str(error)
        order = ChannelOrder(name, url, one.severity, one.per_minute, failure, *one.selectors)
        channels.append(order)
    hooks = (
        HookOrder(name, one.selectors, one.command, one.timeout_seconds)
        for name, one in config.hooks.items()
    )
    return PairOrder(tuple(channels), tuple(hooks))
