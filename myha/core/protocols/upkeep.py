"""What is put right without a change of role: the schema and the routes. Pure."""

from __future__ import annotations

from myha.core.plans import (
    MakeSchema,
)
from myha.core.protocols.answer import Answer, make
from myha.core.situation import Situation


def make_schema(it: Situation) -> Answer:
    sentence = f"recreate the schema myha on {it.writer}"
    return make(it, "make-schema", it.writer, sentence, MakeSchema(node=it.writer))


def route(it: Situation) -> Answer:
    return make(it, "route", it.writer, "correct the routing of the balancers", *it.routing)
