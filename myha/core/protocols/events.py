"""The application's scheduled events: they run on the writer and on it alone. Pure."""

from __future__ import annotations

from myha.core.plans import (
    PlaceEvents,
)
from myha.core.protocols.answer import Answer, make
from myha.core.situation import Situation

PLACE_EVENTS_DEADLINE_SECONDS = 10.0  # there may be thousands


def run_events(node: str) -> PlaceEvents:
    deadline = PLACE_EVENTS_DEADLINE_SECONDS
    return PlaceEvents(node=node, beside=True, best_effort=True, deadline_seconds=deadline)


def no_events(node: str) -> PlaceEvents:
    """What cannot be changed is found by the looks, and is in the way of nothing."""
    return PlaceEvents(node=node, run=False, best_effort=True)


def run_writers_events(it: Situation) -> Answer:
    """With two writers the application may have disabled one on the other node, just now."""
    ask = it.standby if it.dual and it.s.answering else ""
    step = PlaceEvents(node=it.writer, ask=ask, deadline_seconds=PLACE_EVENTS_DEADLINE_SECONDS)
    sentence = f"run the events on {it.writer} that are not disabled"
    return make(it, "place-events", it.writer, sentence, step)


def run_no_events_on_standby(it: Situation) -> Answer:
    deadline = PLACE_EVENTS_DEADLINE_SECONDS
    step = PlaceEvents(node=it.standby, run=False, deadline_seconds=deadline)
    sentence = f"leave the events on {it.standby} to {it.writer}"
    return make(it, "place-events", it.standby, sentence, step)
