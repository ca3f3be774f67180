"""The charts of a round: write rate, latency, each client's waits, and the phases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean

from markupsafe import Markup

from myha.drill.html import svg
from myha.drill.series import ClientSeries, Series

WIDTH, LEFT, RIGHT = 960.0, 62.0, 14.0
RATE_HEIGHT, LATENCY_HEIGHT, WHOLE_HEIGHT = 170.0, 190.0, 110.0
TOP, AXIS = 18.0, 26.0
ROW_HEIGHT, LANES_LIMIT = 14.0, 64
RATES_LIMIT = 120  # points of a line
COLOURS = 8  # of clients, in the style sheet
# A client's wait for an OK, and its class in the style sheet, up to so many ms.
WAITS = ((10.0, "w0"), (50.0, "w1"), (200.0, "w2"), (1000.0, "w3"), (math.inf, "w4"))
LATENCY_LEAST_MS, LATENCY_MOST_MS = 1.0, 10_000.0


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked in every chart, in ms from the fault: the time without an OK, and phases."""

    gap_from_ms: float
    gap_until_ms: float
    phases_ms: dict[str, float]


class Plot:
    """Times to places, and what is behind every chart."""

    def __init__(self, series: Series, height: float) -> None:
        self.series, self.height = series, height
        self.bottom = height - AXIS
        self._per_ms = (WIDTH - LEFT - RIGHT) / max(1.0, series.until_ms - series.from_ms)

    def x(self, ms: float) -> float:
        inside = min(max(ms, self.series.from_ms), self.series.until_ms)
        return LEFT + (inside - self.series.from_ms) * self._per_ms

    def middle(self, bucket: float) -> float:
        return self.x(self.series.from_ms + (bucket + 0.5) * self.series.bucket_ms)

    def behind(self, marks: Marks) -> Iterator[Markup]:
        """The time without an OK, and the axis of time."""
        begin, end = self.x(marks.gap_from_ms), self.x(marks.gap_until_ms)
        length = svg.span(marks.gap_until_ms - marks.gap_from_ms)
        title = f"no client got an OK for {length}"
        yield svg.rect((begin, TOP, max(1.0, end - begin), self.bottom - TOP), "gap", title)
        for at in svg.ticks(self.series.from_ms, self.series.until_ms, 10):
            yield svg.line(self.x(at), TOP, self.x(at), self.bottom, "grid")
            yield svg.text(self.x(at), self.height - 8, svg.span(at), "tick", "middle")

    def before(self, marks: Marks) -> Iterator[Markup]:
        """The fault, and the first write after it."""
        written = marks.phases_ms.get("written")
        if written is not None:
            yield svg.line(self.x(written), TOP, self.x(written), self.bottom, "written")
        yield svg.line(self.x(0), TOP - 6, self.x(0), self.bottom, "fault")
        yield svg.text(self.x(0), TOP - 8, "fault", "fault-word", "middle")

    def rows(self, levels: Sequence[tuple[float, str]]) -> Iterator[Markup]:
        """Lines across, each at its height with its words."""
        for y, words in levels:
            yield svg.line(LEFT, y, WIDTH - RIGHT, y, "grid")
            yield svg.text(LEFT - 8, y + 4, words, "tick", "end")


def rate(series: Series, marks: Marks, height: float = RATE_HEIGHT) -> Markup:
    """OKs a second, of all clients together, smoothed over a few buckets."""
    plot, several = Plot(series, height), max(1, math.ceil(series.count / RATES_LIMIT))
    rates = [mean(some) for some in _groups(series.oks_per_second, several)]
    levels = svg.ticks(0, max((*rates, 10.0)) * 1.05, 4)
    top = max((*rates, levels[-1], 10.0))

    def y(value: float) -> float:
        return plot.bottom - (plot.bottom - TOP) * value / top

    points = [
        (plot.middle(number * several + (several - 1) / 2), y(value))
        for number, value in enumerate(rates)
    ]
    if not points:
        return Markup()
    closed = [(points[0][0], plot.bottom), *points, (points[-1][0], plot.bottom)]
    return svg.drawing(
        WIDTH,
        height,
        "Acknowledged transactions a second, over time",
        *plot.behind(marks),
        *plot.rows([(y(one), f"{one:,.0f}") for one in levels]),
        svg.path(closed, "rate-area", closed=True),
        svg.path(points, "rate"),
        *plot.before(marks),
    )


def _groups(values: Sequence[float], size: int) -> Iterator[Sequence[float]]:
    return (values[begin : begin + size] for begin in range(0, len(values), size))


def latency(series: Series, marks: Marks) -> Markup:
    """How long each client's slowest transaction took, moment by moment, on a log scale."""
    plot = Plot(series, LATENCY_HEIGHT)
    most = max((ms for one in series.clients for ms in one.slowest_ms), default=0.0)
    high = min(LATENCY_MOST_MS, max(100.0, 10.0 ** math.ceil(math.log10(max(1.0, most)))))

    def y(ms: float) -> float:
        inside = min(max(ms, LATENCY_LEAST_MS), high)
        share = math.log(inside / LATENCY_LEAST_MS) / math.log(high / LATENCY_LEAST_MS)
        return plot.bottom - (plot.bottom - TOP) * share

    decades = range(round(math.log10(high / LATENCY_LEAST_MS)) + 1)
    levels = [LATENCY_LEAST_MS * 10.0**one for one in decades]
    return svg.drawing(
        WIDTH,
        LATENCY_HEIGHT,
        "Latency of each client's transactions over time",
        *plot.behind(marks),
        *plot.rows([(y(one), svg.span(one)) for one in levels]),
        *(
            part
            for number, one in enumerate(series.clients)
            for part in _latency_of(one, plot, y, f"client c{number % COLOURS}")
        ),
        *plot.before(marks),
    )


def _latency_of(
    one: ClientSeries, plot: Plot, y: Callable[[float], float], class_: str
) -> Iterator[Markup]:
    """A line through all that it got an OK for; where it waited long, the line is broken."""
    points: list[tuple[float, float]] = []
    last = 0
    for number, ms in enumerate(one.slowest_ms):
        if not ms:
            continue
        waited = (number - last) * plot.series.bucket_ms
        if points and waited > max(100.0, 3 * plot.series.bucket_ms):
            yield svg.path(points, class_)
            points = []
        points.append((plot.middle(number), y(ms)))
        last = number
    if points:
        yield svg.path(points, class_)


def lanes(series: Series, marks: Marks) -> Markup:
    """A row for each client: how long it waits for its next OK, and where it met an error."""
    shown = series.clients[:LANES_LIMIT]
    height = TOP + ROW_HEIGHT * len(shown) + AXIS
    plot = Plot(series, height)
    parts = list(plot.behind(marks))
    for row, one in enumerate(shown):
        y = TOP + row * ROW_HEIGHT
        parts.append(svg.text(LEFT - 8, y + ROW_HEIGHT - 4, str(one.client), "tick", "end"))
        for begin, end, class_ in _waits(one, series.bucket_ms):
            left = plot.x(series.from_ms + begin * series.bucket_ms)
            right = plot.x(series.from_ms + end * series.bucket_ms)
            parts.append(svg.rect((left, y + 1, right - left, ROW_HEIGHT - 2), class_))
        parts += (
            svg.rect((plot.middle(number) - 1, y + 4, 2, ROW_HEIGHT - 8), "error", "an error")
            for number, failures in enumerate(one.failures)
            if failures
        )
    label = "How long each client waited for an OK, over time"
    return svg.drawing(WIDTH, height, label, *parts, *plot.before(marks))


def _waits(one: ClientSeries, bucket_ms: float) -> Iterator[tuple[int, int, str]]:
    """Stretches of buckets, from and to, with the class of the wait."""
    classes: list[str] = []
    for got, buckets in groupby(one.slowest_ms, key=bool):
        run = list(buckets)
        if got:
            classes += (_class_of(ms) for ms in run)
        else:
            classes += [_class_of(max(len(run) * bucket_ms, 0.0))] * len(run)
    number = 0
    for class_, run_of in groupby(classes):
        length = len(list(run_of))
        yield number, number + length, class_
        number += length


def _class_of(ms: float) -> str:
    return next(class_ for limit, class_ in WAITS if ms <= limit)


def phases(marks: Marks) -> Markup:
    """From the fault to the first write: what was reached when, and how long it took."""
    found = sorted(marks.phases_ms.items(), key=lambda one: one[1])
    if not found:
        return Markup()
    row, left, right = 24.0, 110.0, 90.0
    height, last = TOP + row * len(found) + 8, max(found[-1][1], 1.0)

    def x(ms: float) -> float:
        return left + (WIDTH - left - right) * max(0.0, ms) / last

    parts, before = [], 0.0
    for number, (name, at) in enumerate(found):
        y = TOP + number * row
        words = name.replace("_", " ")
        took = svg.span(max(0.0, at - before))
        parts += [
            svg.line(left, y + row, WIDTH - right, y + row, "grid"),
            svg.text(left - 10, y + 16, words, "phase-word", "end"),
            svg.rect(
                (x(before), y + 5, max(2.0, x(at) - x(before)), row - 9),
                "phase phase-written" if name == "written" else "phase",
                f"{words} at {svg.span(at)}, {took} after what was before it",
            ),
            svg.text(x(max(at, 0.0)) + 8, y + 16, f"{at:.0f} ms", "phase-time"),
        ]
        before = max(at, 0.0)
    return svg.drawing(WIDTH, height, "The phases, from the fault", *parts)


def outages(values: Sequence[float]) -> Markup:
    """How long writes stopped in each of many rounds: a bar for each."""
    height, bottom = 130.0, 130.0 - AXIS
    levels = svg.ticks(0, max((*values, 1.0)) * 1.05, 4)
    top = max((*values, levels[-1]))
    step = (WIDTH - LEFT - RIGHT) / len(values)
    width = min(28.0, step * 0.7)

    def y(ms: float) -> float:
        return bottom - (bottom - TOP) * ms / top

    parts = []
    for one in levels:
        parts.append(svg.line(LEFT, y(one), WIDTH - RIGHT, y(one), "grid"))
        parts.append(svg.text(LEFT - 8, y(one) + 4, svg.span(one), "tick", "end"))
    for number, value in enumerate(values):
        middle = LEFT + (number + 0.5) * step
        title = f"round {number + 1}: {svg.span(value)}"
        parts.append(
            svg.rect((middle - width / 2, y(value), width, bottom - y(value)), "bar", title)
        )
        if len(values) <= 40 or number % 5 == 4:
            parts.append(svg.text(middle, height - 8, str(number + 1), "tick", "middle"))
    return svg.drawing(WIDTH, height, "How long writes stopped in each round", *parts)
