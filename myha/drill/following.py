"""Read replicas in a drill: since when each replicates from the new writer, by its own word."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from myha.core.journal_line import Line
from myha.database.session import Session
from myha.drill import timeline
from myha.drill.target import Target
from myha.errors import MyhaError

FOLLOW_LIMIT_MS = 1000.0  # from the new writer's first client to a replica's replicating from it
POLL_SECONDS = 0.01
RECONNECT_SECONDS = 0.2
JOIN_SECONDS = 5.0


@dataclass
class Sources:
    """From which address one replica was seen to receive, and since when; "" while from none."""

    changes: list[tuple[float, str]] = field(default_factory=list)

    def see(self, at: float, source: str) -> None:
        if not self.changes or self.changes[-1][1] != source:
            self.changes.append((at, source))

    def follows_from(self, source: str) -> float | None:
        """Since when it has received from this address without a break; None when it does not."""
        if not self.changes or self.changes[-1][1] != source:
            return None
        return self.changes[-1][0]


@dataclass(frozen=True, slots=True)
class ReplicaResult:
    """`follows_ms`: from the new writer's first client to replicating from it, 0 when it did so
    before; None without a change of writer, or when it never did. `healed`: by which method."""

    follows_ms: float | None = None
    healed: str = ""


class FollowWatch:
    """Asks every replica whom it replicates from, until it is stopped."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._over = threading.Event()
        self.sources = {name: Sources() for name in target.config.replicas}
        self._threads = [
            threading.Thread(target=self._watch, args=(name,), name=f"follow-{name}", daemon=True)
            for name in self.sources
        ]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches during the block."""
        for thread in self._threads:
            thread.start()
        with ExitStack() as stack:
            stack.callback(self._stop)
            yield

    def _stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def _watch(self, name: str) -> None:
        while not self._over.is_set():
            # A replica that is being given new data ends its connections, or does not answer.
            with suppress(MyhaError), self._target.administrator(name) as session:
                while not self._over.wait(POLL_SECONDS):
                    self._look(name, session)
            self._over.wait(RECONNECT_SECONDS)

    def _look(self, name: str, session: Session) -> None:
        channels = self._target.flavour.channels(session)
        own = next((one for one in channels if not one.name), None)
        running = own is not None and (own.receiver, own.applier) == ("ON", "ON")
        self.sources[name].see(time.monotonic(), own.source if own is not None and running else "")


def results(
    sources: Mapping[str, Sources],
    writer_address: str,
    routed_at: float | None,
    events: Sequence[Line],
) -> dict[str, ReplicaResult]:
    """What each replica did. `routed_at`: when the new writer got its first client, if it did."""
    found = {}
    for name, seen in sources.items():
        own = [one for one in events if one.node == name]
        since = seen.follows_from(writer_address)
        follows_ms = None
        if routed_at is not None and since is not None:
            follows_ms = round(max(0.0, (since - routed_at) * 1000), 1)
        found[name] = ReplicaResult(follows_ms, timeline.healed_by(own))
    return found


def problems(found: Mapping[str, ReplicaResult], writer: str, *, changed: bool) -> Iterable[str]:
    """What is not as it must be. A replica that had to be healed follows when that is done."""
    for name, one in found.items():
        if not changed or one.healed:
            continue
        if one.follows_ms is None:
            yield f"{name} was not seen to replicate from {writer}"
        elif one.follows_ms > FOLLOW_LIMIT_MS:
            yield (
                f"{name} replicated from {writer} only {one.follows_ms:.0f} ms after that was"
                f" routed to; the limit is {FOLLOW_LIMIT_MS:.0f} ms"
            )


def of_pair(target: Target, events: Iterable[Line]) -> list[Line]:
    """The journal without what was done about replicas."""
    return [one for one in events if one.node not in target.config.replicas]
