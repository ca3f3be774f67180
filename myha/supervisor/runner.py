"""One pair's supervisor, in a thread: begun, ended, and begun again, whatever happens to it.

The others of its process notice nothing of it. A new configuration takes the place of the old one
at rest: the plan under way ends first.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from enum import StrEnum

from myha.config import Config
from myha.core.backoff import backoff_seconds
from myha.core.events import Kind
from myha.errors import MyhaError, SupervisorAwayError, SupervisorInLineError
from myha.ports import Lease
from myha.supervisor.admission import Admission
from myha.supervisor.line import Patience, stand_in_line
from myha.supervisor.news import Change
from myha.supervisor.pair import PairSupervisor
from myha.words import one_line

AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS = 1.0, 30.0
# One that has run for so long before a defect ended it begins again as after the first.
SETTLED_SECONDS = 60.0
ALIVE_SECONDS = 1.0  # between two signs of life while it waits

Say = Callable[[str, Kind, str], None]  # the pair, the kind of event, the line
Make = Callable[[Config, threading.Event, Lease | None], PairSupervisor]


class State(StrEnum):
    """What the thread does."""

    STARTING = "starting"
    RUNNING = "running"
    ENDING = "ending"  # until the plan under way is done
    IN_LINE = "in line"  # another process has the lease
    WAITING = "waiting"  # it could not begin, or ended by a defect; it is begun again


class PairRunner:
    """Keeps the supervisor of one pair running.

    With `alone` the thread ends when the first one cannot begin, and when one ends by a defect.
    """

    def __init__(
        self,
        config: Config,
        say: Say,
        *,
        alone: bool = False,
        begins: Callable[[], None] = lambda: None,
        alive: Callable[[str], None] = lambda _text: None,
        admission: Admission | None = None,
        make: Make = PairSupervisor,
        news: Callable[[Change], None] = lambda _change: None,
        patience_seconds: Patience = lambda _config, _was_taken: 0.0,
    ) -> None:
        """`begins` is called when the supervisor has the right to act, before it does; `alive`
        again and again with what it does while it has none; `news` when something about the pair
        has changed; `patience_seconds` how long a free lease is left to others.

        The first one begins when `admission` has a place for it.
        """
        self.name = config.cluster.name
        self.state = State.STARTING
        self.reason = ""  # why it waits
        self.failure: BaseException | None = None  # what ended one that is alone
        self.hangs = ""  # what is said of a loop that does not come round
        self._other_balancers = ""  # those of the one that acts, while this one is in line
        self._say = say
        self._alone = alone
        self._begins = begins
        self._alive = alive
        self._make = make
        self._admission = Admission() if admission is None else admission
        self._begin = threading.Event()  # it has been admitted, or is to end
        self._news = news
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._wanted: Config | None = config
        self._over = False
        self._leave = threading.Event()
        self._supervisor: PairSupervisor | None = None
        self._thread = threading.Thread(target=self._run, name=f"pair-{self.name}")

    # -- from other threads ----------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    @property
    def supervisor(self) -> PairSupervisor:
        """`SupervisorAwayError` while it does not run."""
        found = self._supervisor
        if self.hangs:
            raise SupervisorAwayError(f"the supervisor of {self.name} hangs: {self.hangs}")
        if found is None or self.state not in {State.RUNNING, State.ENDING}:
            again = "" if self.state is State.IN_LINE else "; it is tried again"
            why = f": {self.reason}{again}" if self.reason else ""
            text = f"the supervisor of {self.name} is {self.state}{why}"
            if self.state is State.IN_LINE:
                raise SupervisorInLineError(text, self._other_balancers)
            raise SupervisorAwayError(text)
        return found

    def change(self, config: Config | None, reason: str) -> bool:
        """Go on with another configuration; None: end, as soon as nothing is left half done.

        False when it has ended already.
        """
        with self._lock:
            if self._over:
                return False
            self._wanted = config
            self._leave.set()
            if config is None:
                self._begin.set()
            if self._supervisor is not None:
                self.state = State.ENDING
                self._supervisor.stop(reason)
        return True

    @property
    def config(self) -> Config | None:
        """What it goes on with; None when it is to end."""
        return self._wanted

    def hand_over(self, reason: str) -> None:
        """Let go of the lease at rest, and stand in line for it again."""
        with self._lock:
            if self._over or self._wanted is None or self._leave.is_set():
                return
            if self._supervisor is not None:
                self._leave.set()
                self.state = State.ENDING
                self._supervisor.stop(reason)

    @property
    def ended(self) -> bool:
        return self._over and not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    # -- whether it goes on ----------------------------------------------------------------------

    @property
    def rounds(self) -> tuple[object, int] | None:
        """Its supervisor, and the turns of that one's loop that have begun; None while none has to
        be made."""
        found = self._supervisor
        begun = None if found is None else found.rounds
        return None if begun is None else (found, begun)

    @property
    def busy(self) -> bool:
        """A plan is under way."""
        found = self._supervisor
        return found is not None and found.loop.running is not None

    def hang(self, why: str) -> None:
        """Say from now on that its loop hangs; an empty `why`: no more."""
        self.hangs = why
        self._news(Change.NEWS)

    @property
    def thread_id(self) -> int | None:
        return self._thread.ident

    def note(self, kind: Kind, text: str) -> None:
        """A line for the pair's journal alone, while it is open. May hang; raises MyhaError."""
        found = self._supervisor
        if found is not None:
            found.journal_file.note(kind, text, {})

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._admission.enter(self._begin)
        while not self._begin.wait(ALIVE_SECONDS):
            self._admission.expire()
        try:
            self._keep()
        finally:
            self._give_place()

    def _give_place(self) -> None:
        """Others may begin: this one has, or waits for something else than time to."""
        self._admission.leave(self._begin)

    def _keep(self) -> None:
        attempts, first = 0, True
        while (config := self._next()) is not None:
            began = time.monotonic()
            try:
                self._supervise(config)
                first = False
                continue
            except MyhaError as error:
                self.failure, why = error, str(error)
            except BaseException as defect:  # noqa: BLE001  # told, and no other pair's affair
                self.failure, why = defect, f"a defect, {type(defect).__name__}: {defect}"
                if not self._alone:
                    traceback.print_exc(file=sys.stderr)
            if self._alone and (first or not isinstance(self.failure, MyhaError)):
                self._over = True
                return
            self.failure = None
            self._give_place()
            attempts = 1 if time.monotonic() - began > SETTLED_SECONDS else attempts + 1
            self._wait(one_line(why), attempts)

    def _next(self) -> Config | None:
        with self._lock:
            self._leave.clear()
            self._over = self._wanted is None
            return self._wanted

    def _wait(self, why: str, attempts: int) -> None:
        if self._leave.is_set():
            return
        pause = backoff_seconds(attempts, AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS)
        if why != self.reason:
            self._say(self.name, Kind.UNSUPERVISED, f"not running, tried again: {why}")
        self.reason, self.state = why, State.WAITING
        self._news(Change.NEWS)
        ends = time.monotonic() + pause
        while not self._leave.is_set() and (left := ends - time.monotonic()) > 0:
            self._alive(f"not running, tried again: {why}")
            self._leave.wait(min(left, ALIVE_SECONDS))

    def _in_line(self, why: str, other_balancers: str) -> None:
        """Another process supervises the pair, and this one is at hand; the socket says so."""
        self._give_place()
        self._begins()
        self._alive(why)
        if why != self.reason:
            self._say(self.name, Kind.LEASE, why)
        self._other_balancers = other_balancers
        self.reason, self.state = why, State.IN_LINE
        self._news(Change.NEWS)

    def _supervise(self, config: Config) -> None:
        """Until it is to leave. Raises what it could not begin for, or ended by."""
        if not self.reason:
            self.state = State.STARTING
        lease = stand_in_line(config, self._leave, self._in_line, self._patience_seconds)
        if lease is None:
            return
        try:
            made = self._make(config, self._leave, lease)
        except BaseException as error:
            lease.release()
            if isinstance(error, MyhaError) and self._leave.is_set():
                return  # it was waiting for a node
            raise
        try:
            with self._lock:
                if self._leave.is_set():
                    return
                made.announce_to(self._news)
                made.on_surveyed = self._give_place
                self._supervisor, self.state, self.reason = made, State.RUNNING, ""
            # Last: from here on it is asked, and whoever is told that it is there may ask; without
            # the lock, since to answer takes those of all pairs, whose holder may wait for this.
            self._begins()
            made.run()
        finally:
            self._supervisor = None
            self._news(Change.NEWS)
            made.close()
