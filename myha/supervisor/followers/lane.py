"""One replica's lane, put together: what the pair's supervisor starts, tells, asks and stops."""

from __future__ import annotations

import sys
import threading
import traceback

from myha.config import Config
from myha.core.events import Kind
from myha.core.followers.view import PairSeen
from myha.core.view import View
from myha.ports import FollowerStore
from myha.servers.factory import FollowerServers
from myha.supervisor.clock import SystemClock
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.driver import Driver
from myha.supervisor.executor import Tools
from myha.supervisor.followers.driver import FollowerDriver
from myha.supervisor.followers.executor import FollowerExecutor
from myha.supervisor.followers.loop import FollowerLoop
from myha.supervisor.jobs import ProcessJobs
from myha.supervisor.requests import Reply, Request

STOP_SECONDS = 15.0  # a step under way may have to reach its deadline


class FollowerLane:
    """Its threads, connections and jobs are its own; the pair's it shares none of."""

    def __init__(
        self,
        config: Config,
        servers: FollowerServers,
        followers: FollowerStore,
        pair: Driver,
        view: View,
    ) -> None:
        self.name = servers.server.name
        self.defect = ""
        self._servers = servers
        self._journal = pair.tools.journal
        clock = SystemClock()
        self.jobs = ProcessJobs(
            config.path, clock, self._journal, pair=config.cluster.name, order=config.order
        )
        tools = Tools(
            {**servers.nodes, self.name: servers.server},
            pair.tools.balancers,  # which keep no state between calls
            pair.tools.store,  # of which it only reads
            clock,
            ThreadedCalls(),
            self._journal,
            self.jobs,
            lease=pair.tools.lease,
        )
        self.loop = FollowerLoop(self.name, view, followers.read(self.name))
        self.driver = FollowerDriver(
            self.loop,
            tools,
            FollowerExecutor(tools, servers.server, followers),
            config.timing.look_interval_seconds,
            pair.balancers,
        )
        self.jobs.emit = self.driver.queue.put
        self._thread = threading.Thread(target=self._run, name=f"lane-{self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def pair_seen(self, seen: PairSeen) -> None:
        """What the pair's loop knows now; returns at once, whatever the lane is doing."""
        if not self.defect:
            self.driver.pair_seen(seen)

    def ask(self, request: Request, deadline_seconds: float) -> Reply:
        if self.defect:
            return Reply(ok=False, text=f"the lane of {self.name} has ended: {self.defect}")
        return self.driver.ask(request, deadline_seconds)

    def stop(self) -> None:
        """Have it end; `close` waits for that."""
        self.driver.stop()

    def close(self) -> None:
        self._thread.join(STOP_SECONDS)
        self.jobs.close()
        self._servers.disconnect()

    def _run(self) -> None:
        """A defect ends this lane, loudly, and not the supervisor that fails the pair over."""
        try:
            self.driver.run()
        except BaseException as defect:  # noqa: BLE001
            self.defect = f"{type(defect).__name__}: {' '.join(str(defect).split())}"
            traceback.print_exc(file=sys.stderr)
            text = f"the lane of {self.name} has ended by a defect, {self.defect}: restart myha run"
            self._journal.note(Kind.DEFECT, text, {"node": self.name})
