"""All that a store has of a pair, as a value: to look at it, keep it, and put it elsewhere."""

from __future__ import annotations

import json
import secrets
from contextlib import closing
from dataclasses import field, replace
from typing import Any

from myha.config import Config
from myha.core.followers.record import FollowerRecord, follower_from_dict, follower_to_dict
from myha.core.record import Record
from myha.core.record_codec import record_from_dict, record_to_dict
from myha.core.values import value
from myha.errors import MyhaError, RefusedError
from myha.ports import Lease
from myha.stores.factory import (
    forget,
    open_followers,
    open_record_store,
    read_any_record,
    read_followers,
    store_location,
    supervisor_lease,
)

FORMAT = 1


@value(frozen=True, slots=True)
class Contents:
    """The pair's record and those of its read replicas, by name."""

    record: Record
    replicas: dict[str, FollowerRecord] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "record": record_to_dict(self.record),
            "replicas": {name: follower_to_dict(one) for name, one in self.replicas.items()},
        }


def contents_of(text: str) -> Contents:
    """The opposite. Raises MyhaError for what is no export of this program's."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise MyhaError(f"it is of format {raw['format']}, this version reads {FORMAT}")
        replicas = {name: follower_from_dict(one) for name, one in raw["replicas"].items()}
        return Contents(record_from_dict(raw["record"]), replicas)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MyhaError(f"it is no export of a record: {error!r}") from None


def stored(config: Config) -> Contents | None:
    """What there is now. Nothing is made or written."""
    record = read_any_record(config)
    return None if record is None else Contents(record, read_followers(config))


def with_store(config: Config, kind: str) -> Config:
    """The same configuration with the record in a store of another kind."""
    cluster = config.cluster.model_copy(update={"store": kind})
    return config.model_copy(update={"cluster": cluster})


def move(config: Config, old_kind: str) -> Contents:
    """Out of a store of this kind into the one that the configuration names.

    Its lineage stays the same, so that the servers know their supervisor again. Raises MyhaError
    when a supervisor has one of the two, and RefusedError when there is a record here already.
    """
    old = with_store(config, old_kind)
    lease = supervisor_lease(with_store(config, "etcd"))  # which has this machine's lock with it
    lease.acquire()
    try:
        found = stored(old)
        if found is None:
            raise MyhaError(f"there is no record of a pair in {store_location(old)}")
        own = lease if config.cluster.store == "etcd" else None
        _write(config, own, found, replaces=False)
        forget(old)
        return found
    finally:
        lease.release()


def restore(config: Config, contents: Contents, *, replaces: bool) -> None:
    """Put an export into the store, as a lineage of its own: what has happened since is not in it.

    Raises RefusedError when there is a record already and it is not to be replaced.
    """
    names = tuple(name for name, _ in contents.record.nodes)
    if sorted(names) != sorted(config.nodes):
        raise MyhaError(
            f"it is of nodes {' and '.join(names)}, {config.path} names "
            f"{' and '.join(config.nodes)}"
        )
    lease = supervisor_lease(config)
    lease.acquire()
    try:
        record = replace(contents.record, store=secrets.token_hex(8))
        _write(
            config,
            lease,
            replace(contents, record=record),
            replaces=replaces,
            override="myha store import --replace",
        )
    finally:
        lease.release()


def _write(
    config: Config,
    lease: Lease | None,
    contents: Contents,
    *,
    replaces: bool,
    override: str | None = None,
) -> None:
    """`override` is the command that replaces a record that is there, where there is one."""
    with closing(open_record_store(config, lease)) as store:
        there = store.read()
        if there is not None and not replaces:
            raise RefusedError(
                f"{store_location(config)} has a record already, of epoch {there.epoch}", override
            )
        version = max(0 if there is None else there.version, contents.record.version) + 1
        record = replace(contents.record, version=version)
        store.compare_and_set(0 if there is None else there.version, record)
    with closing(open_followers(config, lease)) as followers:
        for name in followers.all():
            followers.remove(name)
        for name, one in contents.replicas.items():
            followers.compare_and_set(name, 0, one)
