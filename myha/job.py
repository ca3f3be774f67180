"""A job: the process in which the supervisor has long work done.

One JSON order on standard input, which then stays open: its end says that the supervisor has gone.
JSON lines on standard output, see `myha.progress.JsonReporter`. Nothing here decides
what is done; the order's kind names the module that does it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from myha.binlog.errors import HealRefusedError, LookAgainError
from myha.config import load_ordered
from myha.errors import MyhaError
from myha.files import locked
from myha.hosts.priority import own_niceness, set_niceness
from myha.hosts.signals import heard_by_a_thread
from myha.loading import loading
from myha.progress import JsonReporter, Reporter
from myha.words import one_line

# Kind: the module whose `run(order, reporter)` does it, saying at the end what was done.
KINDS = {
    "heal": "myha.operations.heal.run",
    "verify": "myha.operations.verify.job",
    "conflicts": "myha.conflicts.job",
    "diagnosis": "myha.operations.divergence.job",
    "retention": "myha.operations.quarantine.job",
}
PR_SET_PDEATHSIG = 1
# A job that is to end and hangs in a call ends by force after so long.
END_GRACE_SECONDS = 10.0
LOCK_SECONDS = 15.0
LONG_NICENESS = 5  # what takes long anyway lets a failover's processes go first
LONG = frozenset({"heal", "verify", "retention"})
EAGER = "conflicts"  # reads what is written, as it is written
ORDER_LIMIT_BYTES = 1_000_000

Order = dict[str, Any]


class Work(Protocol):
    """What a module of `KINDS` has."""

    def run(self, order: Order, reporter: Reporter) -> str | dict[str, Any]:
        """Do it; returns what was done, in one line, or with more fields beside `text`.

        Raises HealRefusedError (nothing was changed, and trying again would not help) or another
        MyhaError (it may be run again).
        """


def main() -> int:
    """Exit status 0 when an outcome was told, whatever it is."""
    end_with_parent()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever prints goes to the error output, not between the lines
    reporter = JsonReporter(out)
    line = sys.stdin.readline(ORDER_LIMIT_BYTES)
    try:
        order: Order = json.loads(line)
    except ValueError:
        reporter.failed("the order is not a line of JSON")
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is the supervisor's affair
    with heard_by_a_thread((signal.SIGTERM,), lambda _number: _ending(reporter)):
        return obey(order, reporter)


def obey(order: Order, reporter: JsonReporter) -> int:
    """Do it, unless whoever ordered it has died already, and until that happens."""
    threading.Thread(target=_watch_parent, args=(reporter,), daemon=True).start()
    if order.get("parent") not in (None, os.getppid()):
        return 1  # it died before we could ask to be told
    kind = order.get("kind")
    if kind == EAGER:
        set_niceness(own_niceness())  # the supervisor's, for the session of this process too
    else:
        set_niceness(LONG_NICENESS if kind in LONG else 0)
    perform(order, reporter)
    return 0


def perform(order: Order, reporter: JsonReporter) -> None:
    """Do what is ordered and tell exactly one outcome; a defect is one too, with its place."""
    kind = str(order.get("kind"))
    if kind not in KINDS:
        reporter.refused(f"there is no job of kind {kind!r}")
        return
    try:
        with loading():
            work: Work = importlib.import_module(KINDS[kind])
        with only_one(order, reporter):
            said = work.run(order, reporter)
    except LookAgainError as error:
        reporter.failed(one_line(error))
    except HealRefusedError as error:
        reporter.refused(one_line(error))
    except MyhaError as error:
        reporter.failed(one_line(error))
    except Exception as defect:  # noqa: BLE001  # told as the outcome, and in full on stderr
        traceback.print_exc()
        reporter.failed(f"{type(defect).__name__}: {one_line(defect)}")
    else:
        more = {"text": said} if isinstance(said, str) else said
        reporter.done(**more)


@contextmanager
def only_one(order: Order, reporter: Reporter) -> Iterator[None]:
    """No two jobs of a kind work on one node, though a killed supervisor's may still be ending.

    Raises MyhaError too when there is no such pair in the configuration.
    """
    kind, node = str(order["kind"]), str(order.get("node", ""))
    config = load_ordered(order)
    name = f"job-{kind}-{node}.lock" if node else f"job-{kind}.lock"
    path = config.cluster.state_dir / name

    def stopped() -> bool:
        return bool(reporter.permit.refusal())

    with ExitStack() as held:
        try:
            held.enter_context(locked(path, wait_seconds=LOCK_SECONDS, stop=stopped))
        except BlockingIOError:
            raise MyhaError(f"another {kind} of {node or 'the pair'} runs") from None
        except OSError as error:
            raise MyhaError(f"{path}: {error.strerror}") from None
        yield


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when the thread that started this process ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _watch_parent(reporter: JsonReporter) -> None:
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.read(4096):
            pass
    _ending(reporter)


def _ending(reporter: JsonReporter) -> None:
    """End at the next boundary, or by force when a call hangs; children go the same way."""
    if reporter.permit.refusal():
        return
    reporter.permit.withdraw("by the supervisor")
    threading.Thread(target=_force, daemon=True).start()


def _force() -> None:
    time.sleep(END_GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
