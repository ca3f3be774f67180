"""What is put right without a change of role: the schema and the routes. Pure."""

from __future__ import annotations

from myha.core.plans import ROUTE, MakeSchema
from myha.core.protocols.answer import Answer, make
from myha.core.situation import Situation


def make_schema(it: Situation) -> Answer:
    sentence = f"recreate the schema myha on {it.writer}"
    return make(it, "make-schema", it.writer, sentence, MakeSchema(node=it.writer))


def route(it: Situation) -> Answer:
    return make(it, ROUTE, it.writer, "correct the routing of the balancers", *it.routing)


def route_out_only(it: Situation) -> Answer:
    """Of a supervisor that reaches neither node: who is out on record gets no traffic all the same,
    where the last plan was cut short before that was done."""
    if not it.apart_routing:
        return None
    sentence = f"take {it.standby}, which is no member on record, out of the balancers"
    return make(it, ROUTE, it.writer, sentence, *it.apart_routing)
