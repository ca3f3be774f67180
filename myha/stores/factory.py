"""The store of a pair's record, by `cluster.store`: a kind is one folder, with its `kind.py`.

What reads is for other processes than the supervisor, and changes nothing.
"""

from __future__ import annotations

from typing import Protocol

from myha.config import Config
from myha.core.followers.record import FollowerRecord
from myha.core.record import Record
from myha.errors import MyhaError
from myha.ports import FollowerStore, Lease, Presence, RecordStore
from myha.stores.local import kind as local
from myha.stores.local.journal import LocalJournal


class _Kind(Protocol):
    def open_record(self, config: Config, lease: Lease | None) -> RecordStore: ...

    def read_record(self, config: Config) -> Record | None: ...

    def open_followers(self, config: Config, lease: Lease | None) -> FollowerStore: ...

    def read_followers(self, config: Config) -> dict[str, FollowerRecord]: ...

    def lease(self, config: Config) -> Lease: ...

    def presence(self, config: Config, supervisor: str, part: str) -> Presence | None: ...

    def location(self, config: Config) -> str: ...

    def forget(self, config: Config) -> None: ...


def _kind(config: Config) -> _Kind:
    if config.cluster.store == "etcd":
        from myha.stores.etcd import kind as etcd  # noqa: PLC0415  # an HTTP client comes with it

        return etcd
    return local


def store_location(config: Config) -> str:
    """Where the record is, for messages."""
    return _kind(config).location(config)


def open_record_store(config: Config, lease: Lease | None) -> RecordStore:
    """For whoever holds the lease; None where another lock keeps supervisors away. `MyhaError` when
    it cannot be made."""
    return _kind(config).open_record(config, lease)


def open_followers(config: Config, lease: Lease | None = None) -> FollowerStore:
    """The records of the read replicas; with the lease where they are the supervisor's changes."""
    return _kind(config).open_followers(config, lease)


def read_followers(config: Config) -> dict[str, FollowerRecord]:
    """Those records as they are now, by name. Nothing is made or written."""
    return _kind(config).read_followers(config)


def read_follower(config: Config, name: str) -> FollowerRecord | None:
    """The one of this replica; None when it has none."""
    return read_followers(config).get(name)


def supervisor_lease(config: Config) -> Lease:
    """The right to act on the pair; not yet acquired."""
    return _kind(config).lease(config)


def presence(config: Config, supervisor: str, part: str) -> Presence | None:
    """Where supervisors that share this store tell of themselves; None where there is but one."""
    return _kind(config).presence(config, supervisor, part)


def forget(config: Config) -> None:
    """Remove the pair's record and those of its replicas. Nobody may use them meanwhile."""
    _kind(config).forget(config)


def open_journal(config: Config) -> LocalJournal:
    """It is a file on this machine whatever the store. `MyhaError` when it cannot be made."""
    return LocalJournal(config.cluster.state_dir, config.cluster.name)


def misfit(config: Config, record: Record) -> str:
    """Why a record is not this configuration's, in one sentence; empty when it is."""
    names = sorted(name for name, _ in record.nodes)
    right = "use the file that the pair was set up with"
    if names != sorted(config.nodes):
        return (
            f"the record in {store_location(config)} is of nodes {' and '.join(names)}, "
            f"{config.path} names {' and '.join(config.nodes)}: {right}"
        )
    if record.pair not in ("", config.cluster.name):
        return (
            f"the record in {store_location(config)} is of the pair {record.pair}, "
            f"{config.path} is of {config.cluster.name}: {right}"
        )
    return ""


def read_any_record(config: Config) -> Record | None:
    """What is there, be it another configuration's; None when nothing is. `MyhaError` when it
    cannot be read. Nothing is made or written."""
    return _kind(config).read_record(config)


def read_record(config: Config) -> Record | None:
    """The same; `MyhaError` too when it is another configuration's."""
    record = read_any_record(config)
    if record is not None and (why_not := misfit(config, record)):
        raise MyhaError(why_not)
    return record


def require_record(config: Config) -> Record:
    """As `read_record`; `MyhaError` too when there is none."""
    record = read_record(config)
    if record is None:
        raise no_record(config)
    return record


def no_record(config: Config) -> MyhaError:
    return MyhaError(f"there is no record of a pair in {store_location(config)}: run `myha setup`")
