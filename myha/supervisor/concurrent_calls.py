"""Calls beside the plan: in threads, so that nothing on the old writer is in the new one's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from myha.errors import MyhaError

MAX_THREADS = 16


class ThreadedCalls:
    """Implements `myha.ports.ConcurrentCalls`. One that never returns costs one of 16 threads."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(MAX_THREADS)

    def start(self, call: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        if not self._free.acquire(blocking=False):
            done(MyhaError("too many calls are under way in the background"))
            return

        def work() -> None:
            try:
                done(outcome(call))
            finally:
                self._free.release()

        threading.Thread(target=work, name="beside", daemon=True).start()

    def all(
        self, calls: Iterable[tuple[str, Callable[[], None]]], deadline_seconds: float
    ) -> dict[str, Exception | None]:
        listed = list(calls)
        if len(listed) == 1:  # the usual case pays for no thread; the call keeps its own deadline
            return {listed[0][0]: outcome(listed[0][1])}
        results: dict[str, Exception | None] = {
            name: MyhaError(f"no answer in {deadline_seconds:g} s") for name, _ in listed
        }
        answered = threading.Condition()
        waiting = {name for name, _ in listed}

        def noted(name: str) -> Callable[[Exception | None], None]:
            def note(error: Exception | None) -> None:
                with answered:
                    if name in waiting:
                        results[name] = error
                        waiting.discard(name)
                        answered.notify()

            return note

        for name, call in listed:
            self.start(call, noted(name))
        end = time.monotonic() + deadline_seconds
        with answered:
            answered.wait_for(lambda: not waiting, timeout=max(0.0, end - time.monotonic()))
            waiting.clear()
            return dict(results)


def outcome(call: Callable[[], None]) -> Exception | None:
    """The error that a call ends with, None when it succeeds; a defect is not swallowed."""
    try:
        call()
    except MyhaError as error:
        return error
    return None
