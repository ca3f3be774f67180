"""One hook of one pair: a thread that runs its command for each event, one after another."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from myha.core.events import Event, Kind
from myha.core.values import value
from myha.errors import MyhaError
from myha.hosts.commands import run_to_end
from myha.notify.channel import Say
from myha.notify.orders import HookOrder, event_as_json

WAITING_LIMIT = 16
OUTPUT_CHARS = 1000
RUNNING = threading.BoundedSemaphore(4)  # commands at once, of all hooks of this process


@value(frozen=True, slots=True)
class HookState:
    """How it is doing: how often it has run and failed, and how many events it was not run for
    since too many were waiting."""

    runs: int = 0
    failed: int = 0
    dropped: int = 0
    failure: str = ""


class Hook(threading.Thread):
    def __init__(self, pair: str, order: HookOrder, say: Say, changed: Callable[[], None]) -> None:
        super().__init__(name=f"hook-{order.name}", daemon=True)
        self.pair, self.order = pair, order
        self.state = HookState()
        self._say = say
        self._changed = changed
        self._events: queue.Queue[Event | None] = queue.Queue(WAITING_LIMIT)

    # -- from one other thread -------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Run it for this event, if it is one of its, after those that wait already."""
        if not any(one.takes(event.kind, event.subject) for one in self.order.on):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            state = self.state
            self.state = HookState(state.runs, state.failed, state.dropped + 1, state.failure)
            text = f"{self.order.name} was not run at {_at(event)}: {WAITING_LIMIT} others wait"
            self._say(Kind.HOOK_FAILED, text, self._fields(event))
            self._changed()

    def close(self) -> None:
        """Have it end after what it runs now."""
        try:
            while True:
                self._events.get_nowait()
        except queue.Empty:
            self._events.put(None)

    # -- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        while (event := self._events.get()) is not None:
            with RUNNING:
                self._run(event)
            self._changed()

    def _run(self, event: Event) -> None:
        order, began, failure, said = self.order, time.monotonic(), "", ""
        try:
            said = run_to_end(
                order.name,
                order.command,
                order.timeout_seconds,
                given=json.dumps(event_as_json(event)) + "\n",
                environment={**own_environment(), **variables(order.name, event)},
                whole_group=True,
            )
        except MyhaError as error:
            failure = str(error)
        took = f"{time.monotonic() - began:.1f} s"
        state, fields = self.state, self._fields(event) | {"took": took}
        failed = state.failed + bool(failure)
        self.state = HookState(state.runs + 1, failed, state.dropped, failure)
        if failure:
            self._say(Kind.HOOK_FAILED, f"{failure} (at {_at(event)})", fields)
            return
        output = said[-OUTPUT_CHARS:]
        last = output.splitlines()[-1:] or ["no output"]
        text = f"{order.name} at {_at(event)}, {took}: {last[0]}"
        self._say(Kind.HOOK, text, fields | ({"output": output} if output else {}))

    def _fields(self, event: Event) -> dict[str, str]:
        return {"hook": self.order.name, "event": str(event.kind)}


def _at(event: Event) -> str:
    return f"{event.kind}:{event.subject}" if event.subject else str(event.kind)


def own_environment() -> dict[str, str]:
    """This process's own, without what is myha's: its passwords may be in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MYHA_")}


def variables(hook: str, event: Event) -> dict[str, str]:
    """What a hook's command is told, beside the event itself as JSON on its standard input."""
    stamp = datetime.fromtimestamp(event.wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return {
        "MYHA_HOOK": hook,
        "MYHA_PAIR": event.pair,
        "MYHA_EVENT": str(event.kind),
        "MYHA_SUBJECT": event.subject,
        "MYHA_SEVERITY": str(event.severity),
        "MYHA_TIME": f"{stamp}Z",
        "MYHA_TEXT": event.text,
        "MYHA_NODE": event.fields.get("node", ""),
        "MYHA_EPOCH": event.fields.get("epoch", ""),
    }
