"""Several supervisors of the same many pairs have about as many each.

A thread of its own tells the others of this process and its pairs, and gives away those that
another one should have: at rest, as when it is stopped, so that clients notice nothing. Who stands
in line leaves a free lease to those that should have it for a moment.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from myha.config import Config
from myha.config.etcd import EtcdConfig
from myha.core.sharing import Alive, patience_seconds, to_give
from myha.core.verdicts import HEALTHY
from myha.errors import MyhaError
from myha.ports import Presence
from myha.stores.factory import presence
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.runner import PairRunner, State

LOOK_SECONDS = 5.0
GIVES_AT_ONCE = 5  # in each look
# So long after a pair was given away the other one has time to begin, on a machine at work too.
GIVEN_SECONDS = GIVEN_PATIENCE_SECONDS = 10.0
JOIN_SECONDS = 5.0  # then it is not told, and its word runs out
QUIET_JOBS = frozenset({"conflicts"})  # nothing is lost when they are begun anew


class Sharing:
    """Of the runners of one process. `part` tells it from others of the same supervisor."""

    def __init__(
        self,
        runners: Callable[[], Iterable[PairRunner]],
        part: str,
        *,
        look_seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runners = runners
        self._part = part
        self._look_seconds = look_seconds
        self._clock = clock
        self._ending = threading.Event()
        self._presences: dict[tuple[EtcdConfig, str], Presence] = {}
        self._alive: dict[str, Alive] = {}  # by pair, as last seen
        self._given: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The others need not wait for this one any more. `join` waits for that to be said."""
        self._ending.set()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def patience_seconds(self, config: Config, was_taken: bool) -> float:
        """How long a free lease is left to others: longer if it was given away just now, unless it
        `was_taken` since. Whoever took it has gone then, and nobody is to be waited for."""
        name = config.cluster.name
        given = self._clock() - self._given.get(name, float("-inf")) < GIVEN_SECONDS
        if given and not was_taken:
            return GIVEN_PATIENCE_SECONDS
        return patience_seconds(name, supervisor_of(config), self._alive.get(name, {}))

    def _run(self) -> None:
        while not self._ending.wait(self._look_seconds):
            try:
                self.look()
            except MyhaError:
                continue  # etcd does not answer, which each pair's lease says for itself
        for one in self._presences.values():
            one.end()

    def look(self) -> None:
        """Once. Raises MyhaError when a store does not answer."""
        groups: dict[tuple[EtcdConfig, str], dict[str, PairRunner]] = {}
        configs: dict[tuple[EtcdConfig, str], Config] = {}
        for runner in self._runners():
            config = runner.config
            if config is not None and config.cluster.store == "etcd" and not runner.ended:
                key = (config.etcd, supervisor_of(config))
                configs[key] = config
                groups.setdefault(key, {})[runner.name] = runner
        for (etcd, me), runners in groups.items():
            self._share(configs[etcd, me], me, runners)
        for key in self._presences.keys() - groups.keys():
            self._presences.pop(key).end()

    def _share(self, config: Config, me: str, runners: Mapping[str, PairRunner]) -> None:
        made = self._presences.get((config.etcd, me))
        if made is None:
            made = presence(config, me, self._part)
            if made is None:
                return
            self._presences[config.etcd, me] = made
        made.announce(runners)
        seen = made.alive()
        twice = {
            name: {one: pairs for one, pairs in seen.items() if one in self._alive.get(name, {})}
            for name in runners
        }
        for name in runners:
            self._alive[name] = seen
        mine = [name for name, one in runners.items() if one.state is State.RUNNING]
        now = self._clock()
        due = (
            (name, to)
            for name in mine
            for _, to in to_give(me, [name], twice[name], self._given, now)
            if _rests(runners[name])
        )
        for name, to in islice(due, GIVES_AT_ONCE):
            self._given[name] = now
            runners[name].hand_over(f"{to.partition(':')[0]} is to act on it, to share the pairs")


def supervisor_of(config: Config) -> str:
    """The name of the supervisor, the same after a restart: the host, and its folder there."""
    return f"{socket.gethostname()}:{config.control_dir}"


def _rests(runner: PairRunner) -> bool:
    """All is well and nothing is under way that would have to be begun again."""
    try:
        return at_rest(runner.supervisor)
    except MyhaError:
        return False


def at_rest(one: PairSupervisor) -> bool:
    view, decision = one.loop.view, one.loop.decision
    quiet = one.loop.running is None and all(job.kind in QUIET_JOBS for job in view.jobs)
    well = bool(decision.verdicts) and decision.verdicts[0] is HEALTHY and decision.fresh
    return quiet and well and view.record is not None and not view.record.maintenance
