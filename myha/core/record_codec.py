"""The record as a dictionary that JSON can hold, for every store and for whoever prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from myha.core.record import Cause, Heal, Membership, NodeRecord, Record, Sync


def record_to_dict(record: Record) -> dict[str, Any]:
    return asdict(record)


def record_from_dict(raw: Mapping[str, Any]) -> Record:
    """The opposite, of what JSON made of it too. KeyError or ValueError when it is no record."""
    if raw["writer"] not in {name for name, _ in raw["nodes"]}:
        raise ValueError(f"its writer {raw['writer']} is none of its nodes")
    return Record(
        version=raw["version"],
        epoch=raw["epoch"],
        writer=raw["writer"],
        sync=Sync(raw["sync"]),
        nodes=tuple((name, node_from_dict(entry)) for name, entry in raw["nodes"]),
        maintenance=raw["maintenance"],
        failover_walls=tuple(raw["failover_walls"]),
        writer_since_wall=raw["writer_since_wall"],
        pair=raw.get("pair", ""),  # records from before had none
        store=raw.get("store", ""),
        term=raw.get("term", 0),
    )


def node_from_dict(raw: Mapping[str, Any]) -> NodeRecord:
    heal = raw.get("heal")  # records from before there were heals have none
    return NodeRecord(
        membership=Membership(raw["membership"]),
        cause=Cause(raw["cause"]),
        reason=raw["reason"],
        boot_id=raw["boot_id"],
        heal=None if heal is None else _heal_from_dict(heal),
    )


def _heal_from_dict(raw: Mapping[str, Any]) -> Heal:
    return Heal(
        id=raw["id"],
        methods=tuple(raw["methods"]),
        cause=Cause(raw["cause"]),
        reason=raw["reason"],
        refused=tuple(raw["refused"]),
        accept_loss=raw["accept_loss"],
    )
