"""The store `local` of a configuration."""

from __future__ import annotations

from myha.config import Config
from myha.core.followers.record import FollowerRecord
from myha.core.record import Record
from myha.ports import Lease
from myha.stores.local import followers, record
from myha.stores.local.followers import LocalFollowerStore
from myha.stores.local.lease import LocalLease
from myha.stores.local.record import LocalRecordStore


def open_record(config: Config, lease: Lease | None) -> LocalRecordStore:  # noqa: ARG001
    return LocalRecordStore(config.cluster.state_dir)


def read_record(config: Config) -> Record | None:
    return record.read_record(config.cluster.state_dir)


def open_followers(config: Config, lease: Lease | None) -> LocalFollowerStore:  # noqa: ARG001
    return LocalFollowerStore(config.cluster.state_dir)


def read_followers(config: Config) -> dict[str, FollowerRecord]:
    return followers.read_followers(config.cluster.state_dir)


def forget(config: Config) -> None:
    """The files are kept under another name, as long as there are no newer ones."""
    folder = config.cluster.state_dir
    for one in (LocalRecordStore(folder), LocalFollowerStore(folder)):
        one.close()  # the last one to close it leaves no write-ahead log behind
    for name in (record.FILE, followers.FILE):
        if (folder / name).exists():
            (folder / name).replace(folder / f"{name}.moved")


def lease(config: Config) -> LocalLease:
    return LocalLease(config.cluster.state_dir)


def presence(config: Config, supervisor: str, part: str) -> None:
    """Only one supervisor can use a folder."""


def location(config: Config) -> str:
    return str(config.cluster.state_dir)
