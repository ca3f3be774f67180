"""SVG by hand: elements with escaped values, and scales with round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup, escape

WIDE = 600.0  # on a phone such a picture is moved under the finger


def element(name: str, *inner: str | Markup, **attributes: object) -> Markup:
    """`class_` is written `class`, and `stroke_width` `stroke-width`."""
    written = Markup().join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _short(value))
        for key, value in attributes.items()
    )
    body = Markup().join(escape(one) for one in inner)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, body)


def _short(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def text(x: float, y: float, said: str, class_: str = "", anchor: str = "start") -> Markup:
    return element("text", said, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(place: tuple[float, float, float, float], class_: str, title: str = "") -> Markup:
    """`place`: left, top, width, height. `title` is shown by whoever points at it."""
    inner = (element("title", title),) if title else ()
    x, y, width, height = place
    return element("rect", *inner, x=x, y=y, width=width, height=height, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    words = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{words}{' Z' if closed else ''}", class_=class_)


def drawing(width: float, height: float, label: str, *inner: Markup) -> Markup:
    """A whole picture, as wide as there is room. `label` says what it is to who does not see it."""
    box = f"0 0 {_short(width)} {_short(height)}"
    class_ = "wide" if width > WIDE else ""
    return element("svg", *inner, viewBox=box, role="img", aria_label=label, class_=class_)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`, at most so many."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def span(ms: float) -> str:
    """A time in as few words as it needs: `85 ms`, `1.5 s`."""
    if abs(ms) < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
