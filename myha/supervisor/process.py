"""`myha run`: the process around the supervisors of pairs, with its signals and control socket."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from myha.errors import MyhaError
from myha.hosts.signals import heard_by_a_thread
from myha.supervisor.control import PING, ControlServer, Data
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.requests import REQUESTS

EVENTS_LIMIT = 1000
# Threads hand a failover to each other several times; the default of 5 ms would be paid each time.
THREAD_SWITCH_SECONDS = 0.0005


class Process:
    """Runs supervisors, each with its loop on a thread, and answers on one control socket."""

    def __init__(self, supervisors: Iterable[PairSupervisor], control_path: Path) -> None:
        self.pairs = {one.name: one for one in supervisors}
        self.control = ControlServer(control_path, self.handle)
        self._defects: list[BaseException] = []

    def run(self) -> None:
        """Until SIGTERM or SIGINT; plans under way reach their end first.

        Raises MyhaError when the control socket cannot be made, and the defect that a pair's
        supervisor ended with.
        """
        sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        threads = [
            threading.Thread(target=self._run_pair, args=(one,), name=f"pair-{name}")
            for name, one in self.pairs.items()
        ]
        self.control.start()
        gc.freeze()
        try:
            with heard_by_a_thread((signal.SIGTERM, signal.SIGINT), self._stop):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        finally:
            self.control.stop()
            for one in self.pairs.values():
                one.close()
        if self._defects:
            raise self._defects[0]

    def _run_pair(self, supervisor: PairSupervisor) -> None:
        try:
            supervisor.run()
        except BaseException as defect:  # noqa: BLE001  # raised again where the process ends
            self._defects.append(defect)
            self._stop_all(f"the supervisor of {supervisor.name} has failed")

    def _stop(self, number: signal.Signals) -> None:
        self._stop_all(number.name)

    def _stop_all(self, reason: str) -> None:
        for one in self.pairs.values():
            one.stop(reason)

    # -- the control socket ----------------------------------------------------------------------

    def handle(self, request: Data) -> Data:
        """One request of the control socket; in a thread of its own. Raises MyhaError."""
        name = str(request.get("do", ""))
        if name == PING:
            return {"ok": True}
        pair = self._pair(request.get("pair"))
        if name == "status":
            return pair.status().as_json()
        if name == "events":
            limit = min(EVENTS_LIMIT, _whole(request, "limit", 50))
            return {"ok": True, "events": pair.events(limit, _whole(request, "after", 0))}
        if name not in REQUESTS:
            raise MyhaError(f"there is no request {name!r}")
        more = {k: v for k, v in request.items() if k not in ("do", "pair") and v is not None}
        reply = pair.request(name, {key: str(value) for key, value in more.items()})
        return asdict(reply)

    def _pair(self, name: object) -> PairSupervisor:
        """The pair that a request names; one that is alone need not be named."""
        for one in self.pairs.values():
            if name == one.name or (name is None and len(self.pairs) == 1):
                return one
        names = " and ".join(self.pairs)
        if name is None:
            raise MyhaError(f"this supervisor has the pairs {names}: name one")
        raise MyhaError(f"this supervisor has the pair {names}, and not {name}")


def _whole(request: Data, key: str, default: int) -> int:
    value = request.get(key, default)
    if not isinstance(value, int) or value < 0:
        raise MyhaError(f"{key} has to be a whole number from 0 on, and is {value!r}")
    return value
