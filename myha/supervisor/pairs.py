"""The pairs that one process supervises, each for itself; what is asked of one finds it here."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial

from myha.config import Config
from myha.config.load import listed
from myha.core.events import Selector, Wanted
from myha.core.severity import Severity
from myha.core.values import value
from myha.errors import MyhaError, SupervisorAwayError, SupervisorInLineError
from myha.supervisor.admission import Admission
from myha.supervisor.control import PING, Data
from myha.supervisor.drill_note import NOTE, drill_note
from myha.supervisor.housekeeping import VERIFY
from myha.supervisor.journal import log
from myha.supervisor.news import News
from myha.supervisor.overview import PairLine, line_of
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.requests import REQUESTS
from myha.supervisor.runner import Make, PairRunner
from myha.supervisor.sharing import LOOK_SECONDS, Sharing

EVENTS_LIMIT = 1000
OVERVIEW = "overview"
WATCH = "watch"  # a long poll: answered as soon as something has changed
WATCH_LIMIT_SECONDS = 20
# Threads hand a failover to each other several times; the default of 5 ms would be paid each time.
THREAD_SWITCH_SECONDS = 0.0005
# Each thread that waits for the interpreter wakes up so often. Of many pairs, whose threads wait
# while the process is busy, at the default that alone took more than a processor, and they never
# got out of it: a pair has some ten threads, so that all of them wake up 50,000 times a second.
MANY_SWITCH_SECONDS, SWITCH_SECONDS_A_PAIR = 0.005, 0.0002
FREEZE_AFTER_SECONDS = 10.0  # when all have begun


@value(frozen=True, slots=True)
class Changes:
    """Names of pairs, by what a new configuration means for them; `api`: HTTP is answered anew."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    api: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.api)

    def __str__(self) -> str:
        changed = (*self.changed, *(("[api]",) if self.api else ()))
        parts = (("added", self.added), ("changed", changed), ("removed", self.removed))
        said = [f"{what}: {', '.join(names)}" for what, names in parts if names]
        return "; ".join(said) or "nothing has changed"


def switch_seconds(pairs: int) -> float:
    """How long a thread keeps the interpreter from others, in a process of so many pairs."""
    return max(MANY_SWITCH_SECONDS, pairs * SWITCH_SECONDS_A_PAIR)


def changes(old: Mapping[str, Config], new: Mapping[str, Config]) -> Changes:
    """A pair has changed when its file says something else of it, or another file has it."""
    return Changes(
        tuple(sorted(new.keys() - old.keys())),
        tuple(
            sorted(name for name in old.keys() & new.keys() if old[name].order != new[name].order)
        ),
        tuple(sorted(old.keys() - new.keys())),
    )


class Pairs:
    """Safe for several threads."""

    def __init__(
        self,
        *,
        alone: bool = False,
        begins: Callable[[], None] = lambda: None,
        alive: Callable[[str], None] = lambda _text: None,
        make: Make = PairSupervisor,
        part: str = "",
        share_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`alone`: the end of the pair's supervisor is that of the process.

        `begins` and `alive` are for the runner of each pair. `part` tells this process from others
        of the same supervisor; every `share_seconds` it looks for those with which it shares pairs.
        """
        if alone:
            sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        self._alone = alone
        self._begins = begins
        self._alive = alive
        self._make = make
        self._lock = threading.Lock()
        self._configs: dict[str, Config] = {}
        self._runners: dict[str, PairRunner] = {}
        self._stopping = threading.Event()
        self._news = News()
        self._admission = Admission(on_empty=_settle_later)
        self._sharing = Sharing(self.runners, part, look_seconds=share_seconds)
        if not alone:
            self._sharing.start()

    # -- which pairs there are -------------------------------------------------------------------

    def apply(self, configs: Mapping[str, Config], reason: str = "reload") -> Changes:
        """Have these pairs from now on. Waits for nobody: what ends ends at rest."""
        with self._lock:
            if self._stopping.is_set():
                raise MyhaError("the supervisor is stopping")
            new = changes(self._configs, configs)
            self._configs = dict(configs)
            if not self._alone:
                sys.setswitchinterval(switch_seconds(len(configs)))
            self._runners = {n: one for n, one in self._runners.items() if not one.ended}
            for name in new.removed:
                self._news.announce(name)
                if name in self._runners:
                    self._runners[name].change(None, f"{reason}: not in the configuration any more")
            for name in new.changed:
                self._begin(name, f"{reason}: its configuration has changed")
            for name in new.added:
                self._begin(name, reason)
        return new

    def _begin(self, name: str, reason: str) -> None:
        """Or go on with a thread of the same name, which may be ending."""
        config, runner = self._configs[name], self._runners.get(name)
        if runner is not None and runner.change(config, reason):
            return
        runner = self._runners[name] = PairRunner(
            config,
            log,
            alone=self._alone,
            begins=self._begins,
            alive=self._alive,
            admission=self._admission,
            make=self._make,
            news=partial(self._news.announce, name),
            patience_seconds=self._sharing.patience_seconds,
        )
        runner.start()

    # -- the end ---------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """All of them; plans under way reach their end first."""
        self._sharing.stop()
        with self._lock:
            self._stopping.set()
            for one in self._runners.values():
                one.change(None, reason)

    def join(self) -> None:
        """Until all have ended. Raises what one that was alone ended by."""
        while waiting := [one for one in self.runners() if not one.ended]:
            waiting[0].join()
        self._sharing.join()
        for one in self.runners():
            if one.failure is not None:
                raise one.failure

    def runners(self) -> list[PairRunner]:
        with self._lock:
            return list(self._runners.values())

    # -- requests --------------------------------------------------------------------------------

    def overview(self) -> list[PairLine]:
        return [line_of(one) for one in self.runners() if not one.ended]

    def handle(self, request: Data) -> Data:
        """One request of the control socket; in a thread of its own. Raises MyhaError."""
        name = str(request.get("do", ""))
        if name == PING:
            return {"ok": True}
        if name == OVERVIEW:
            return {"ok": True, "pairs": [line.model_dump(mode="json") for line in self.overview()]}
        if name == WATCH:
            return self._watch(request)
        try:
            pair = self._runner(request.get("pair")).supervisor
        except SupervisorInLineError as error:
            away = {"ok": False, "text": str(error), "away": True}
            return away | {"in_line": True, "other_balancers": error.other_balancers}
        except SupervisorAwayError as error:
            return {"ok": False, "text": str(error), "away": True}
        return answer(pair, name, request)

    def _watch(self, request: Data) -> Data:
        """What has changed since a version, as soon as anything has: the line of each such pair,
        and its status where it is supervised. `watched`: the pairs of which somebody wants to know
        at once what moves by itself, or true for all."""
        since = _whole(request, "since", 0)
        if request.get("life") != self._news.life:
            since = 0
        seconds = min(WATCH_LIMIT_SECONDS, _whole(request, "wait", 0))
        self._news.watch(_watched(request))
        version, changed = self._news.since(since, seconds)
        known = {one.name: one for one in self.runners() if not one.ended}
        return {
            "ok": True,
            "life": self._news.life,
            "version": version,
            "names": sorted(known),
            "pairs": {name: _seen(one) for name, one in known.items() if name in changed},
        }

    def _runner(self, name: object) -> PairRunner:
        """The pair that a request names; one that is alone need not be named."""
        known = {one.name: one for one in self.runners() if not one.ended}
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if isinstance(name, str) and name in known:
            return known[name]
        raise unknown(known, name)


def _seen(runner: PairRunner) -> Data:
    """One pair for whoever watches: its line, and its status where there is one."""
    line = line_of(runner).model_dump(mode="json")
    try:
        return {"line": line, "status": runner.supervisor.status().as_json()}
    except MyhaError:
        return {"line": line, "status": None}


def _settle_later() -> None:
    timer = threading.Timer(FREEZE_AFTER_SECONDS, _settle)
    timer.daemon = True
    timer.start()


def _settle() -> None:
    """What there is now stays, and need not be looked through again: all but what has ended since
    the last time, with what it still holds open."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def unknown(known: Iterable[str], name: object) -> MyhaError:
    """Why a request for that pair finds none."""
    has = f"this supervisor has {listed(known)}"
    return MyhaError(f"{has}: name one" if name is None else f"{has}, and not {name}")


def answer(pair: PairSupervisor, name: str, request: Data) -> Data:
    """What one pair's supervisor says to a request. Raises MyhaError."""
    if name == "status":
        return pair.status().as_json()
    if name == "events":
        limit = min(EVENTS_LIMIT, _whole(request, "limit", 50))
        lines = pair.events(limit, _whole(request, "after", 0), _wanted(request))
        return {"ok": True, "events": [one.as_json() for one in lines]}
    if name == NOTE:
        pair.note(drill_note(request))
        return {"ok": True}
    if name not in REQUESTS and name != VERIFY:
        raise MyhaError(f"there is no request {name!r}")
    more = {k: v for k, v in request.items() if k not in {"do", "pair"} and v is not None}
    return asdict(pair.request(name, {key: str(value) for key, value in more.items()}))


def _wanted(request: Data) -> Wanted:
    """Raises MyhaError."""
    kinds, since = request.get("kinds", []), request.get("since", 0.0)
    if not isinstance(kinds, list) or not isinstance(since, int | float):
        raise MyhaError("kinds have to be a list, and since a number of seconds since the epoch")
    try:
        least = Severity(request.get("severity", Severity.INFO))
        return Wanted(tuple(Selector.of(str(one)) for one in kinds), least, float(since))
    except ValueError as error:
        raise MyhaError(str(error)) from None


def _watched(request: Data) -> frozenset[str] | None:
    """Raises MyhaError."""
    names = request.get("watched", [])
    if names is True:
        return None
    if not isinstance(names, list):
        raise MyhaError(f"watched has to be a list of pairs, or true, and is {names!r}")
    return frozenset(map(str, names))


def _whole(request: Data, key: str, default: int) -> int:
    value = request.get(key, default)
    if not isinstance(value, int) or value < 0:
        raise MyhaError(f"{key} has to be a whole number from 0 on, and is {value!r}")
    return value
