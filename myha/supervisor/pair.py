"""`myha run`: one supervisor, put together from its configuration, with signals and socket."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from myha.balancers.factory import make_balancers
from myha.config import Config
from myha.core.model import Record, View
from myha.core.planning import Decision
from myha.core.plans import RecordChange
from myha.errors import MyhaError, ServerGoneError
from myha.hosts.signals import told
from myha.ports import Server, WatchedServer
from myha.servers.base import BaseServer
from myha.servers.factory import flavour_of, make_servers
from myha.stores.factory import open_journal, open_record_store, require_record, supervisor_lease
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.control import PING, ControlServer, Data, socket_path
from myha.supervisor.driver import Driver
from myha.supervisor.executor import Tools
from myha.supervisor.heartbeat import HeartbeatWriter
from myha.supervisor.housekeeping import Housekeeping
from myha.supervisor.jobs import ProcessJobs
from myha.supervisor.journal import LoggedJournal
from myha.supervisor.loop import Loop, Request
from myha.supervisor.status import status
from myha.undo.rewind import finish_rewind

REQUESTS = frozenset({"switchover", "failover", "fence", "unfence", "heal", "maintenance"})
REQUEST_DEADLINE_SECONDS = 55.0
EVENTS_LIMIT = 1000
# Threads hand a failover to each other several times; the default of 5 ms would be paid each time.
THREAD_SWITCH_SECONDS = 0.0005
CONFIG_CHECK_SECONDS = 2.0
FLAVOUR_RETRY_SECONDS = 1.0


class SystemClock:
    """Implements `myha.ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class CommandFence:
    """Implements `myha.ports.OutsideFence` by each node's fence_command; status 0 is success."""

    def __init__(self, commands: dict[str, tuple[str, ...]]) -> None:
        self._commands = commands

    def fence(self, node: str, deadline_seconds: float) -> None:
        command = self._commands.get(node)
        if not command:
            raise MyhaError(f"nodes.{node} has no fence_command")
        try:
            done = subprocess.run(  # the administrator's own command
                command, timeout=deadline_seconds, capture_output=True, check=False
            )
        except subprocess.TimeoutExpired:
            raise MyhaError(f"the fence_command of {node} did not end in time") from None
        except OSError as error:
            raise MyhaError(f"the fence_command of {node} cannot be run: {error}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise MyhaError(
                f"the fence_command of {node} failed with {done.returncode}: {' '.join(said)}"
            )


class Service:
    """Everything that lives as long as `myha run` does."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = SystemClock()
        self._check(require_record(config))  # before anything is made there
        self.lease = supervisor_lease(config)
        self.lease.acquire()
        self.store = open_record_store(config)
        record = self._take_over(self._check(require_record(config)))
        self.journal_file = open_journal(config)
        self.journal = LoggedJournal(self.journal_file)
        self.servers: dict[str, WatchedServer] = make_servers(
            config, self._flavour(), before_replication=finish_rewind
        )
        servers: dict[str, Server] = dict(self.servers)
        commands = {name: node.fence_command for name, node in config.nodes.items()}
        self.jobs = ProcessJobs(config.path, self.clock, self.journal)
        self.tools = Tools(
            servers,
            make_balancers(config),
            self.store,
            self.clock,
            ThreadedCalls(),
            self.journal,
            self.jobs,
            CommandFence(commands),
        )
        now, wall = self.clock.monotonic(), self.clock.wall()
        self.loop = Loop(config.policy(), now, wall, record)
        interval = config.timing.look_interval_seconds
        self.driver = Driver(self.loop, self.tools, self.servers, interval)
        self.jobs.emit = self.driver.queue.put
        self.housekeeping = Housekeeping(config, self.jobs, self.clock, self.journal, self._seen)
        self.jobs.on_ended = self.housekeeping.ended
        self.control = ControlServer(socket_path(config.cluster.state_dir), self.handle)
        self.heartbeats = {name: self._heartbeat(name) for name in self.servers}
        self._ending = threading.Event()

    def _flavour(self) -> type[BaseServer]:
        """Wait for a node that says what it is: with both lost there is nobody to tell apart."""

        def say(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome is not None:
                self.journal.note("supervisor", f"waiting: {state.outcome.exception()}", {})

        waiting = Retrying(
            retry=retry_if_exception_type(ServerGoneError),
            wait=wait_fixed(FLAVOUR_RETRY_SECONDS),
            before_sleep=say,
        )
        return waiting(flavour_of, self.config)

    def _check(self, record: Record) -> Record:
        names = tuple(name for name, _ in record.nodes)
        if sorted(names) != sorted(self.config.nodes):
            raise MyhaError(
                f"the record in {self.config.cluster.state_dir} is of nodes {' and '.join(names)}, "
                f"{self.config.path} names {' and '.join(self.config.nodes)}: use the file that "
                "the pair was set up with"
            )
        return record

    def _take_over(self, record: Record) -> Record:
        """Move the record on, so that no step of a predecessor that only slept still fits."""
        change = RecordChange("another supervisor takes over")
        taken = change.apply(record, self.clock.wall())
        self.store.compare_and_set(record.version, taken)
        return taken

    def _seen(self) -> tuple[View, Decision]:
        return self.loop.view, self.loop.decision

    def _heartbeat(self, name: str) -> HeartbeatWriter:
        timing = self.config.timing
        return HeartbeatWriter(
            self.servers[name],
            self.clock,
            timing.pulse_interval_seconds,
            timing.call_deadline_seconds,
            lambda: self.loop.writes_heartbeat(name),
        )

    # -- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a plan under way reaches its end first."""
        sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        self.journal.note(
            "supervisor", f"started, process {os.getpid()}", {"pid": str(os.getpid())}
        )
        self.control.start()
        for heartbeat in self.heartbeats.values():
            heartbeat.start()
        self.housekeeping.start()
        threading.Thread(target=self._watch_config, name="config", daemon=True).start()
        gc.freeze()
        try:
            with told((signal.SIGTERM, signal.SIGINT), self._stop):
                self.driver.run()
        finally:
            self._ending.set()
            self.housekeeping.stop()
            self.jobs.close()
            for heartbeat in self.heartbeats.values():
                heartbeat.stop()
            self.control.stop()
            self.journal.note("supervisor", "stopped; routing and replication stay as they are", {})
            self.lease.release()

    def _stop(self, number: signal.Signals) -> None:
        running = self.loop.running
        first = f" when the plan under way is done: {running.sentence}" if running else ""
        self.journal.note("supervisor", f"{number.name}: stopping{first}", {})
        self.driver.stop()

    def _watch_config(self) -> None:
        said = False
        while not self._ending.wait(CONFIG_CHECK_SECONDS):
            self.lease.renew()
            changed = self.config.changed_on_disk()
            if changed and not said:
                self.journal.note(
                    "config",
                    f"{self.config.path} has changed; this supervisor still uses the file as it "
                    "was at its start: restart it to use the new one",
                    {},
                )
            said = changed

    # -- the control socket ----------------------------------------------------------------------

    def handle(self, request: Data) -> Data:
        """One request of the control socket; in a thread of its own."""
        name = str(request.get("do", ""))
        if name == PING:
            return {"ok": True}
        if name == "status":
            return self._status()
        if name == "events":
            limit, after = int(request.get("limit", 50)), int(request.get("after", 0))
            events = self.journal_file.events(min(EVENTS_LIMIT, limit), after)
            return {"ok": True, "events": events}
        if name in REQUESTS:
            return self._request(name, request)
        return {"ok": False, "text": f"there is no request {name!r}"}

    def _status(self) -> Data:
        loop = self.loop
        data = status(loop.view, loop.decision, loop.running, self.housekeeping.diagnoses.found())
        data["ok"] = True
        data["name"] = self.config.cluster.name
        data["pid"] = os.getpid()
        data["config_changed"] = self.config.changed_on_disk()
        data["journal_failure"] = self.journal.failure
        data["last_jobs"] = self.housekeeping.last()
        data["pulse"] = {
            name: {"stalled_seconds": round(one.stalled_seconds(), 2), "error": one.error}
            for name, one in self.heartbeats.items()
        }
        return data

    def _request(self, name: str, request: Data) -> Data:
        arguments = {str(k): str(v) for k, v in request.items() if k != "do" and v is not None}
        text = " ".join(f"{key}={value}" for key, value in sorted(arguments.items()))
        self.journal.note("request", f"{name} {text}".strip(), {})
        reply = self.driver.ask(Request(name, arguments), REQUEST_DEADLINE_SECONDS)
        if not reply.ok:
            self.journal.note("request-refused", f"{name}: {reply.text}", {})
        return {
            "ok": reply.ok,
            "text": reply.text,
            "override": reply.override,
            "ask_again": reply.ask_again,
        }
