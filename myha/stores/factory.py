"""The store of a pair's record, by `cluster.store`: a kind is one folder and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from myha.config import Config
from myha.core.followers.record import FollowerRecord
from myha.core.record import Record
from myha.errors import MyhaError
from myha.ports import FollowerStore, Lease, RecordStore
from myha.stores.local.followers import LocalFollowerStore
from myha.stores.local.followers import read_followers as read_local_followers
from myha.stores.local.journal import LocalJournal
from myha.stores.local.lease import LocalLease
from myha.stores.local.record import LocalRecordStore
from myha.stores.local.record import read_record as read_local_record


@dataclass(frozen=True, slots=True)
class _Kind:
    """What reads is for other processes than the supervisor, and changes nothing."""

    open: Callable[[Path], RecordStore]
    read: Callable[[Path], Record | None]
    open_followers: Callable[[Path], FollowerStore]
    read_followers: Callable[[Path], dict[str, FollowerRecord]]
    lease: Callable[[Path], Lease]


_KINDS = {
    "local": _Kind(
        LocalRecordStore, read_local_record, LocalFollowerStore, read_local_followers, LocalLease
    )
}


def open_record_store(config: Config) -> RecordStore:
    """For the supervisor and setup, which hold the lease. `MyhaError` when it cannot be made."""
    return _KINDS[config.cluster.store].open(config.cluster.state_dir)


def open_followers(config: Config) -> FollowerStore:
    """The records of the read replicas; for whom and when as `open_record_store`."""
    return _KINDS[config.cluster.store].open_followers(config.cluster.state_dir)


def read_followers(config: Config) -> dict[str, FollowerRecord]:
    """Those records as they are now, by name. Nothing is made or written."""
    return _KINDS[config.cluster.store].read_followers(config.cluster.state_dir)


def read_follower(config: Config, name: str) -> FollowerRecord | None:
    """The one of this replica; None when it has none."""
    return read_followers(config).get(name)


def supervisor_lease(config: Config) -> Lease:
    """The right to act on the pair; not yet acquired."""
    return _KINDS[config.cluster.store].lease(config.cluster.state_dir)


def open_journal(config: Config) -> LocalJournal:
    """It is a file on this machine whatever the store. `MyhaError` when it cannot be made."""
    return LocalJournal(config.cluster.state_dir, config.cluster.name)


def read_record(config: Config) -> Record | None:
    """The record as it is now; None when there is none. `MyhaError` when it cannot be read.

    Nothing is made or written.
    """
    return _KINDS[config.cluster.store].read(config.cluster.state_dir)


def require_record(config: Config) -> Record:
    """As `read_record`; `MyhaError` too when there is none."""
    record = read_record(config)
    if record is None:
        raise MyhaError(
            f"there is no record of a pair in {config.cluster.state_dir}: run `myha setup`"
        )
    return record
