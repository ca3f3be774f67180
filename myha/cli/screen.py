"""`myha status --watch` of one pair: the picture, how the lags went, and the latest events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.text import Text

from myha.cli.asking import status_of
from myha.cli.events import read_events
from myha.cli.live import watch
from myha.cli.picture import is_utf8, picture
from myha.config import Config
from myha.core.journal_line import Line
from myha.errors import MyhaError
from myha.supervisor.status import SeenNodeStatus, Status

LAGS_KEPT = 64
EVENTS_KEPT = 60
EVENTS_LEAST = 3
_STYLES = {"critical": "bold red", "warning": "yellow", "notice": "cyan"}


@dataclass(slots=True)
class Seen:
    """The status, each server's latest lags in seconds, and the latest events, oldest first."""

    status: Status
    lags: dict[str, tuple[float, ...]] = field(default_factory=dict)
    events: tuple[Line, ...] = ()


class Source:
    """Fetches what is shown, and remembers what came before."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lags: dict[str, deque[float]] = {}
        self._events: deque[Line] = deque(maxlen=EVENTS_KEPT)

    def fetch(self) -> Seen:
        """Raises MyhaError."""
        status = status_of(self._config, announce=False)
        for name, one in (*status.nodes.items(), *status.replicas.items()):
            if isinstance(one, SeenNodeStatus) and one.lag_seconds is not None:
                self._lags.setdefault(name, deque(maxlen=LAGS_KEPT)).append(one.lag_seconds)
        with suppress(MyhaError):  # the status says what is the matter
            self._events.extend(self._new_events())
        lags = {name: tuple(values) for name, values in self._lags.items()}
        return Seen(status, lags, tuple(self._events))

    def _new_events(self) -> Iterable[Line]:
        last = self._events[-1].id if self._events else 0
        return read_events(self._config, EVENTS_KEPT, last)


def watch_pair(config: Config) -> None:
    """Until Ctrl-C."""

    def draw(seen: Seen, console: Console, height: int) -> RenderableType:
        return screen(seen, console, height, full_seconds=config.lag.out_seconds)

    watch(Console(), Source(config).fetch, draw, essence)


def essence(seen: Seen) -> object:
    """What is worth another picture where none can be redrawn: all but numbers that always move."""
    one = seen.status
    nodes = [
        (name, node.contact, node.membership, node.reason, node.wanted)
        for name, node in (*one.nodes.items(), *one.replicas.items())
    ]
    return (
        *(one.verdict, one.sentence, one.writer, one.epoch, one.sync, one.running),
        *(one.maintenance, one.healthy, one.supervisor, one.refusals),
        *(nodes, [(job.kind, job.node, job.phase) for job in one.jobs]),
        [(name, replica.verdict) for name, replica in one.replicas.items()],
        [(name, balancer.answering) for name, balancer in one.balancers.items()],
    )


def screen(seen: Seen, console: Console, height: int, *, full_seconds: float) -> RenderableType:
    """As much as fits: the picture first, then as many events as there is room for."""
    plain = not is_utf8(console)
    above: list[RenderableType] = []
    if seen.status.supervisor:
        above.append(Text(seen.status.supervisor, style="bold red"))
    above.append(
        picture(seen.status, console.width, seen.lags, full_seconds=full_seconds, plain=plain)
    )
    drawn = Group(*above)
    if height >= EVENTS_KEPT * 10 or not seen.events:
        return drawn
    used = len(console.render_lines(drawn, pad=False))
    room = max(EVENTS_LEAST, height - used - 2)
    latest = [event_line(one) for one in seen.events[-room:]]
    return Group(drawn, Text(), Text("latest events", style="bold dim"), *latest)


def event_line(event: Line) -> Text:
    """On one line, whatever its length."""
    stamp = datetime.fromtimestamp(event.wall, UTC).strftime("%H:%M:%S")
    took = "" if event.took_ms is None else f" ({event.took_ms} ms)"
    style = _STYLES.get(event.severity, "")
    return Text(
        f"{stamp} {event.kind}: {event.text}{took}",
        style=style,
        no_wrap=True,
        overflow="ellipsis",
    )
