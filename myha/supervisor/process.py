"""`myha run`: the process around the supervisors of pairs, with its signals and control socket.

A file of one pair is supervised in this process. Where there may be several, they are spread over
workers, and this process has the socket, the signals and the configuration: see `workers`.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from myha.config import ProcessConfig, load_all
from myha.config.files import KeptFiles
from myha.config.load import documents_now
from myha.core.events import Kind
from myha.errors import MyhaError
from myha.hosts.service_manager import ServiceManager
from myha.hosts.signals import heard_by_a_thread
from myha.stores.local.lease import LocalLease
from myha.supervisor.api_process import ApiProcess
from myha.supervisor.control import PING, ControlServer, Data, exchange, socket_path
from myha.supervisor.journal import ITSELF, log
from myha.supervisor.log import LOG
from myha.supervisor.overview import PairLine, away, worst_first
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.pairs import OVERVIEW, WATCH, Changes, Pairs, changes, unknown
from myha.supervisor.workers import Worker, Workers, cores

CONFIG_CHECK_SECONDS = 2.0
OVERVIEW_SECONDS = 5.0
ALIVE_SECONDS, PING_SECONDS = 1.0, 5.0
RELOAD, STATUS = "reload", "status"
MAX_CLIENTS = 128


class Process(ABC):
    """What both kinds have in common: signals, the control socket, and a new configuration."""

    def __init__(self, config: ProcessConfig, api: tuple[str, ...] = ()) -> None:
        """`api`: the command of the process that answers HTTP; none: nobody does."""
        self.config = config
        self.api = ApiProcess(api, self._order)
        self.manager = ServiceManager()
        self._reloading = threading.Lock()
        self.control = ControlServer(
            socket_path(config.supervisor.state_dir), self._answer, MAX_CLIENTS
        )

    def run(self) -> None:
        """Until SIGTERM or SIGINT; plans under way reach their end first.

        Raises MyhaError when it cannot begin, and the defect that it ended by.
        """
        LOG.format = self.config.log.format
        with heard_by_a_thread((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self._heard):
            try:
                self._run()
            finally:
                self.api.stop()
                self.control.stop()

    def _heard(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            self._reload_by_signal()
        else:
            self.manager.ending(number.name)
            self._stop(number.name)

    @abstractmethod
    def _run(self) -> None: ...

    @abstractmethod
    def _stop(self, reason: str) -> None: ...

    @abstractmethod
    def _apply(self, config: ProcessConfig) -> None:
        """Have the pairs of this configuration."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Whom to ask for news: this process itself (an empty name), or each of its workers."""
        return ("",)

    def _order(self, config: ProcessConfig) -> Data:
        """What the process that answers HTTP is to know."""
        return {
            "parent": os.getpid(),
            "control": str(self.control.path),
            "sources": self.sources,
            "state_dir": str(config.supervisor.state_dir),
            "api": config.api.model_dump(mode="json"),
            "pairs": {name: one.order for name, one in config.pairs.items()},
        }

    def _answer(self, request: Data) -> Data:
        found = self.handle(request)
        if request.get("do") == STATUS and found.get("ok"):
            found["url"] = self.api.url
        return found

    @abstractmethod
    def handle(self, request: Data) -> Data:
        """One request of the control socket; in a thread of its own. Raises MyhaError."""

    # -- a new configuration ---------------------------------------------------------------------

    def _reload_by_signal(self) -> None:
        try:
            self.reload()
        except MyhaError:
            return  # it is in the log

    def reload(self) -> Changes:
        """Read the files again and have what they say. Raises MyhaError: nothing has changed."""
        with self._reloading, self._told_of_reload():
            try:
                new = load_all(self.config.path)
                self._refuse(new)
                anew = self.api.try_out(new)
                found = replace(changes(self.config.pairs, new.pairs), api=anew)
                self._apply(new)
            except MyhaError as error:
                first, *more = str(error).splitlines()
                others = f" (and {len(more)} more)" if more else ""
                text = f"{first}{others}; the configuration in force stays"
                log(ITSELF, Kind.RELOAD, f"refused: {text}")
                raise MyhaError(text) from None
            self.config = new
            self.api.have(new)
            log(ITSELF, Kind.RELOAD, str(found))
            return found

    @contextmanager
    def _told_of_reload(self) -> Iterator[None]:
        self.manager.reloading()
        try:
            yield
        finally:
            self.manager.reloaded()

    def _refuse(self, new: ProcessConfig) -> None:
        """What only a restart can change."""
        old = self.config
        if new.alone != old.alone:
            what = "one pair, and may have several now"
            what = "several pairs, and is of one now" if new.alone else what
            raise MyhaError(f"{new.path}: was of {what}: restart `myha run`")
        if new.supervisor != old.supervisor:
            key = "cluster.state_dir" if new.alone else "[supervisor]"
            raise MyhaError(f"{new.path}: {key} has changed: restart `myha run`")
        if new.log != old.log:
            raise MyhaError(f"{new.path}: [log] has changed: restart `myha run`")


class LoneProcess(Process):
    """One pair, in this process, which ends with it."""

    def __init__(self, config: ProcessConfig, api: tuple[str, ...] = ()) -> None:
        super().__init__(config, api)
        alive = self.manager.alive
        make = partial(PairSupervisor, alive=alive)
        self.pairs = Pairs(alone=True, begins=self._begins, alive=alive, make=make)
        self._open = False

    def _begins(self) -> None:
        """It has the lease now, and so the right to the socket."""
        if not self._open:
            self.control.start()
            self._open = True
            self.api.have(self.config)

    def _run(self) -> None:
        self.pairs.apply(self.config.pairs, "start")
        self.pairs.join()

    def _stop(self, reason: str) -> None:
        self.pairs.stop(reason)

    def _apply(self, config: ProcessConfig) -> None:
        self.pairs.apply(config.pairs)

    def handle(self, request: Data) -> Data:
        if request.get("do") == RELOAD:
            return {"ok": True, "text": str(self.reload())}
        return self.pairs.handle(request)


class ManyProcess(Process):
    """Any number of pairs, none too, each in one of the workers."""

    def __init__(self, config: ProcessConfig, api: tuple[str, ...] = ()) -> None:
        super().__init__(config, api)
        self._lease = LocalLease(config.supervisor.state_dir)
        self._workers = Workers(
            config.supervisor.workers or cores(), config.supervisor.state_dir, config.niceness
        )
        self._told = threading.Event()
        self._changed: frozenset[str] = frozenset()  # pairs of which the files say something else
        self._files = KeptFiles()

    def _run(self) -> None:
        self._lease.acquire()
        try:
            self.control.start()
            self._workers.start(self.config.pairs)
            log(ITSELF, Kind.SUPERVISOR, f"started, {len(self.config.pairs)} pairs")
            self.api.have(self.config)
            gc.freeze()
            threading.Thread(target=self._watch_files, name="config", daemon=True).start()
            while not self._told.wait(ALIVE_SECONDS):
                self._say_that_it_lives()
            self._workers.stop()
            self._workers.join()
            log(ITSELF, Kind.SUPERVISOR, "stopped")
        finally:
            self._lease.release()

    def _say_that_it_lives(self) -> None:
        """If it answers requests. Workers and the pairs in them are watched by themselves."""
        try:
            exchange(self.control.path, {"do": PING}, PING_SECONDS)
        except (OSError, ValueError):
            return
        count = len(self.config.pairs)
        self.manager.alive(f"supervising {count} pairs; `myha status` lists them, the worst first")

    def _stop(self, reason: str) -> None:
        log(ITSELF, Kind.SUPERVISOR, f"{reason}: stopping")
        self._told.set()

    def _apply(self, config: ProcessConfig) -> None:
        if self._told.is_set():
            raise MyhaError("the supervisor is stopping")
        self._workers.have(config.pairs)
        self._changed = frozenset()

    def _watch_files(self) -> None:
        """Say once that the files are others than those in force."""
        while not self._told.wait(CONFIG_CHECK_SECONDS):
            self._lease.renew()
            with self._reloading:
                before, self._changed = self._changed, self._differing()
            if self._changed - before:
                names = ", ".join(sorted(self._changed))
                text = f"{self.config.path}, or a file beside it, has changed for {names}"
                log(ITSELF, Kind.CONFIG, f"{text}: `myha reload` has them use the new one")

    def _differing(self) -> frozenset[str]:
        pairs = self.config.pairs
        try:
            now = documents_now(self.config.path, self._files.read)
        except MyhaError:
            return frozenset(pairs)
        return frozenset(
            name
            for name in pairs.keys() | now.keys()
            if name not in pairs or name not in now or pairs[name].document != now[name]
        )

    # -- requests --------------------------------------------------------------------------------

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(worker.name for worker in self._workers)

    def _watch(self, request: Data) -> Data:
        """What one worker says to it, with what only this process knows."""
        named = [one for one in self._workers if one.name == request.get("source")]
        if not named:
            raise MyhaError(f"there is no source {request.get('source')!r} of news")
        found = named[0].ask(request)
        for name, one in (found.get("pairs") or {}).items():
            for what in ("line", "status"):
                if one[what] is not None:
                    one[what]["config_changed"] = name in self._changed
        return found

    def handle(self, request: Data) -> Data:
        what, name = request.get("do"), request.get("pair")
        if what == PING:
            return {"ok": True}
        if what == RELOAD:
            return {"ok": True, "text": str(self.reload())}
        if what == WATCH:
            return self._watch(request)
        if what == OVERVIEW:
            lines = [one.model_dump(mode="json") for one in worst_first(self._overview())]
            return {"ok": True, "pairs": lines}
        pairs = self.config.pairs
        if name is None and len(pairs) == 1:
            (name,) = pairs
        if not isinstance(name, str) or name not in pairs:
            raise unknown(pairs, name)
        found = self._workers.ask(name, {**request, "pair": name})
        if what == STATUS and found.get("ok"):
            found["config_changed"] = name in self._changed
        return found

    def _overview(self) -> list[PairLine]:
        """What the workers say; a pair of one that says nothing has a line all the same."""
        known: dict[str, PairLine] = {}
        with ThreadPoolExecutor(len(self._workers)) as pool:
            for lines in pool.map(_lines_of, self._workers):
                known |= {one.name: one for one in lines}
        lines = [known.get(name, away(name, "not begun yet")) for name in self.config.pairs]
        lines += [one for name, one in known.items() if name not in self.config.pairs]  # ending
        return [
            one.model_copy(update={"config_changed": one.name in self._changed}) for one in lines
        ]


def _lines_of(worker: Worker) -> list[PairLine]:
    try:
        answer = worker.ask({"do": OVERVIEW}, OVERVIEW_SECONDS)
    except MyhaError as error:
        return [away(name, str(error)) for name in worker.pairs]
    return [PairLine.model_validate(one) for one in answer["pairs"]]


def process_of(config: ProcessConfig, api: tuple[str, ...] = ()) -> Process:
    """The one that the configuration asks for; `api` is the command of what answers HTTP."""
    return LoneProcess(config, api=api) if config.alone else ManyProcess(config, api=api)
