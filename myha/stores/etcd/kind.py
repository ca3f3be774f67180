"""The store `etcd` of a configuration."""

from __future__ import annotations

import os
import socket
from functools import cache

from myha.config import Config
from myha.config.etcd import EtcdConfig
from myha.core.followers.record import FollowerRecord
from myha.core.record import Record
from myha.errors import ConfigError
from myha.ports import Lease
from myha.stores.etcd.client import EtcdClient, Login
from myha.stores.etcd.lease import EtcdLease
from myha.stores.etcd.presence import EtcdPresence
from myha.stores.etcd.record import EtcdFollowerStore, EtcdRecordStore
from myha.stores.local.lease import LocalLease


@cache
def _client(config: EtcdConfig) -> EtcdClient:
    """One for all that asks, in this process, for its connections are kept."""
    if not config.endpoints:
        raise ConfigError("etcd.endpoints is empty: name the members of the cluster")
    login = Login(config.user, config.password()) if config.user else None
    return EtcdClient(
        config.endpoints, seconds=config.call_deadline_seconds, tls=config.tls(), login=login
    )


def prefix(config: Config) -> str:
    """What the keys of a pair begin with."""
    return f"{config.etcd.prefix}/{config.cluster.name}/"


def open_record(config: Config, lease: Lease | None) -> EtcdRecordStore:
    return EtcdRecordStore(_client(config.etcd), prefix(config) + "record", _own(lease))


def read_record(config: Config) -> Record | None:
    return open_record(config, None).read()


def open_followers(config: Config, lease: Lease | None) -> EtcdFollowerStore:
    return EtcdFollowerStore(_client(config.etcd), prefix(config) + "replicas/", _own(lease))


def read_followers(config: Config) -> dict[str, FollowerRecord]:
    return open_followers(config, None).all()


def lease(config: Config) -> EtcdLease:
    holder = f"{socket.gethostname()}, process {os.getpid()}"
    key = prefix(config) + "leader"
    here = LocalLease(config.cluster.state_dir)
    return EtcdLease(
        _client(config.etcd),
        key,
        config.etcd.lease_seconds,
        holder,
        here,
        balancers=config.balancers,
    )


def presence(config: Config, supervisor: str, part: str) -> EtcdPresence:
    """No pair's name begins with a dot."""
    return EtcdPresence(
        _client(config.etcd), f"{config.etcd.prefix}/.supervisors/", supervisor, part
    )


def location(config: Config) -> str:
    return f"etcd below {prefix(config)}"


def forget(config: Config) -> None:
    client = _client(config.etcd)
    client.delete_below(prefix(config) + "record")
    client.delete_below(prefix(config) + "replicas/")


def _own(lease: Lease | None) -> EtcdLease | None:
    assert lease is None or isinstance(lease, EtcdLease)
    return lease
