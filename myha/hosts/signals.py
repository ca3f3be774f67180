"""Signals: another handler for a while, or a thread that hears of them.

A handler of Python's runs between two instructions of the main thread, also of another handler. It
must not wait for any lock that the interrupted code may hold, which rules out an Event, a line in a
journal, and even the start of a thread. Here the interpreter does no more than to write the
signal's number into a pipe (`signal.set_wakeup_fd`).
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

JOIN_SECONDS = 5.0
_READ_BYTES = 64


@contextmanager
def handled(
    numbers: tuple[signal.Signals, ...],
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    """In the block these signals have this handler. For the main thread only."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def ignored() -> Iterator[None]:
    """No second Ctrl-C stops a clean-up half way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN):
        yield


@contextmanager
def heard_by_a_thread(
    numbers: tuple[signal.Signals, ...], tell: Callable[[signal.Signals], None]
) -> Iterator[None]:
    """While in the block, call `tell` in a thread of its own for each of these signals.

    The main thread goes on undisturbed, a system call of its too. For the main thread only, and one
    block at a time. A signal that comes again before the first was told may be told once.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen() -> None:
        while numbers_there := os.read(reader, _READ_BYTES):
            for number in dict.fromkeys(numbers_there):
                if number in numbers:
                    try:
                        tell(signal.Signals(number))
                    except Exception:  # noqa: BLE001  # or no later signal would be heard
                        traceback.print_exc()

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    thread.start()
    fd_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        with handled(numbers, _leave_it_to_the_pipe):
            yield
    finally:
        signal.set_wakeup_fd(fd_before)
        os.close(writer)
        thread.join(JOIN_SECONDS)
        if not thread.is_alive():
            os.close(reader)


def _leave_it_to_the_pipe(_number: int, _frame: object) -> None:
    """A handler there must be, or the signal ends the process."""
