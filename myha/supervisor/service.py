"""`myha run`: one supervisor, put together from its configuration, with signals and socket."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_fixed

from myha.balancers.haproxy import HAProxyBalancer
from myha.config import Config
from myha.core.model import Mode, Record, View
from myha.core.planning import Decision
from myha.core.plans import RecordChange
from myha.errors import MyhaError, ServerGoneError
from myha.hosts.signals import told
from myha.ports import Balancer, Server, WatchedServer
from myha.servers.base import BaseServer
from myha.servers.factory import adapter_of, make_servers
from myha.stores.local import LocalStore, SupervisorLock, read_record
from myha.supervisor.brain import Brain
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.control import PING, ControlServer, Data, alive, socket_path
from myha.supervisor.daemon import Daemon, Request
from myha.supervisor.executor import Tools
from myha.supervisor.housekeeping import Housekeeping
from myha.supervisor.jobs import ProcessJobs
from myha.supervisor.journal import StoreJournal
from myha.supervisor.pulse import Pulse
from myha.supervisor.status import status
from myha.supervisor.watchers import BalancerWatcher, NodeWatcher, Watcher
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
        self._check(read_record(config.cluster.state_dir))  # before anything is made there
        self.lock = SupervisorLock(config.cluster.state_dir)
        self.lock.acquire()
        self.store = LocalStore(config.cluster.state_dir)
        record = self._take_over(self._record())
        self.journal = StoreJournal(self.store, self.clock)
        self.servers: dict[str, WatchedServer] = make_servers(
            config, self._flavour(), before_replication=finish_rewind
        )
        balancers: dict[str, Balancer] = {
            name: HAProxyBalancer(name, one.socket, config.timing.call_deadline_seconds)
            for name, one in config.balancers.items()
        }
        servers: dict[str, Server] = dict(self.servers)
        commands = {name: node.fence_command for name, node in config.nodes.items()}
        self.jobs = ProcessJobs(config.path, self.clock, self.journal)
        self.tools = Tools(
            servers,
            balancers,
            self.store,
            self.clock,
            ThreadedCalls(),
            self.journal,
            self.jobs,
            CommandFence(commands),
        )
        now, wall = self.clock.monotonic(), self.clock.wall()
        brain = Brain(config.policy(), now, wall, record)
        self.daemon = Daemon(brain, self.tools, self._watchers)
        self.jobs.emit = self.daemon.queue.put
        self.housekeeping = Housekeeping(config, self.jobs, self.clock, self.journal, self._seen)
        self.jobs.on_ended = self.housekeeping.ended
        self.control = ControlServer(socket_path(config.cluster.state_dir), self.handle)
        self.pulses = {name: self._pulse(name) for name in self.servers}
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
        return waiting(adapter_of, self.config)

    def _record(self) -> Record:
        return self._check(self.store.read())

    def _check(self, record: Record | None) -> Record:
        if record is None:
            raise MyhaError(
                f"there is no record of a pair in {self.config.cluster.state_dir}: run `myha setup`"
            )
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

    def _watchers(self, emit: Any) -> list[Watcher]:
        interval = self.config.timing.look_interval_seconds
        nodes = [NodeWatcher(server, interval, emit) for server in self.servers.values()]
        balancers = [BalancerWatcher(one, interval, emit) for one in self.tools.balancers.values()]
        return [*nodes, *balancers]

    def _seen(self) -> tuple[View, Decision]:
        return self.daemon.brain.view, self.daemon.brain.decision

    def _pulse(self, name: str) -> Pulse:
        timing = self.config.timing

        def wanted() -> bool:
            view = self.daemon.brain.view
            look, record = view.node(name).look, view.record
            writes = view.policy.mode is Mode.DUAL_WRITER or (record and record.writer == name)
            return look is not None and look.open and bool(writes)

        return Pulse(
            self.servers[name],
            self.clock,
            timing.pulse_interval_seconds,
            timing.call_deadline_seconds,
            wanted,
        )

    # -- life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until SIGTERM or SIGINT; a plan under way reaches its end first."""
        sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        self.journal.note(
            "supervisor", f"started, process {os.getpid()}", {"pid": str(os.getpid())}
        )
        self.control.start()
        for pulse in self.pulses.values():
            pulse.start()
        self.housekeeping.start()
        threading.Thread(target=self._watch_config, name="config", daemon=True).start()
        gc.freeze()
        try:
            with told((signal.SIGTERM, signal.SIGINT), self._stop):
                self.daemon.run()
        finally:
            self._ending.set()
            self.housekeeping.stop()
            self.jobs.close()
            for pulse in self.pulses.values():
                pulse.stop()
            self.control.stop()
            self.journal.note("supervisor", "stopped; routing and replication stay as they are", {})
            self.lock.release()

    def _stop(self, number: signal.Signals) -> None:
        running = self.daemon.brain.running
        first = f" when the plan under way is done: {running.sentence}" if running else ""
        self.journal.note("supervisor", f"{number.name}: stopping{first}", {})
        self.daemon.stop()

    def _watch_config(self) -> None:
        said = False
        while not self._ending.wait(CONFIG_CHECK_SECONDS):
            alive(self.config.cluster.state_dir)
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
            limit = min(EVENTS_LIMIT, int(request.get("limit", 50)))
            return {"ok": True, "events": self.store.events(limit, int(request.get("after", 0)))}
        if name in REQUESTS:
            return self._request(name, request)
        return {"ok": False, "text": f"there is no request {name!r}"}

    def _status(self) -> Data:
        brain = self.daemon.brain
        brain_view, decision, running = brain.view, brain.decision, brain.running
        data = status(brain_view, decision, running, self.housekeeping.diagnoses.found())
        data["ok"] = True
        data["name"] = self.config.cluster.name
        data["pid"] = os.getpid()
        data["config_changed"] = self.config.changed_on_disk()
        data["journal_failure"] = self.journal.failure
        data["last_jobs"] = self.housekeeping.last()
        data["pulse"] = {
            name: {"stalled_seconds": round(one.stalled_seconds(), 2), "error": one.error}
            for name, one in self.pulses.items()
        }
        return data

    def _request(self, name: str, request: Data) -> Data:
        arguments = {str(k): str(v) for k, v in request.items() if k != "do" and v is not None}
        asked = Request(name, arguments)
        text = " ".join(f"{key}={value}" for key, value in sorted(arguments.items()))
        self.journal.note("request", f"{name} {text}".strip(), {})
        self.daemon.ask(asked, REQUEST_DEADLINE_SECONDS)
        if not asked.ok:
            self.journal.note("request-refused", f"{name}: {asked.text}", {})
        return {
            "ok": asked.ok,
            "text": asked.text,
            "override": asked.override,
            "ask_again": asked.ask_again,
        }
