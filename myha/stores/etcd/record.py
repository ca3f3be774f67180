"""The records in etcd, each a key with JSON, changed by compare-and-set under a lease."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from myha.core.followers.record import FollowerRecord, follower_from_dict, follower_to_dict
from myha.core.record import Record
from myha.core.record_codec import record_from_dict, record_to_dict
from myha.errors import StoreConflictError, StoreError
from myha.stores.etcd.client import Compare, Delete, Entry, EtcdClient, Put
from myha.stores.etcd.lease import EtcdLease

# Of a key's value. Fields that records got later are the codec's affair.
FORMAT = 1

Data = Mapping[str, Any]


class Versioned(Protocol):
    @property
    def version(self) -> int: ...


T = TypeVar("T", bound=Versioned)


class _Key(Generic[T]):
    """One record. `alone`: while the lease is held nobody else changes it, so it is read once."""

    def __init__(
        self,
        client: EtcdClient,
        key: str,
        lease: EtcdLease | None,
        decode: Callable[[Data], T],
        encode: Callable[[T], bytes],
        *,
        alone: bool,
    ) -> None:
        self._alone = alone
        self._client, self._key, self._lease = client, key, lease
        self._decode, self._encode = decode, encode
        self._lock = threading.Lock()
        self._known: tuple[T | None, int] | None = None  # the record and its revision

    def read(self) -> T | None:
        with self._lock:
            return self._read()[0]

    def _read(self) -> tuple[T | None, int]:
        lease = self._lease if self._alone else None
        if self._known is not None and lease is not None and lease.holds():
            return self._known
        self._known = None
        found = self._client.get(self._key)
        known = (None, 0) if found is None else (decoded(found, self._decode), found.modified)
        self._known = known
        return known

    def compare_and_set(self, expected: int, record: T) -> None:
        with self._lock:
            known, revision = self._read()
            if (0 if known is None else known.version) != expected:
                raise _conflict(self._key, expected)
            guard = () if self._lease is None else self._lease.guard()
            unchanged = Compare(self._key, "MOD", revision)
            self._known = None  # also when it is not known whether the change was made
            made = self._client.transact(
                (unchanged, *guard), (Put(self._key, self._encode(record)),)
            )
            if made is None:
                raise _conflict(self._key, expected)
            self._known = (record, made)


def _conflict(key: str, expected: int) -> StoreConflictError:
    return StoreConflictError(
        f"{key} in etcd is no longer at version {expected}, or the lease is another supervisor's"
    )


def decoded(found: Entry, decode: Callable[[Data], T]) -> T:
    """Raises StoreError for what is no record of this program's, or of a newer format."""
    try:
        raw = json.loads(found.value)
        written = int(raw.get("format", 0))  # records had no number before there were formats
        if written <= FORMAT:
            return decode(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{found.key} in etcd is no record that this version can read: {error!r}"
        ) from None
    raise StoreError(
        f"{found.key} in etcd is of format {written}, and this version of myha knows formats up to "
        f"{FORMAT}: install the version that wrote it, or a newer one"
    )


def encoded(record: Data) -> bytes:
    """With the number of its format: the next change of a record of an earlier one adds it."""
    return json.dumps({"format": FORMAT, **record}).encode()


def _bytes_of(record: Record) -> bytes:
    return encoded(record_to_dict(record))


def _bytes_of_follower(record: FollowerRecord) -> bytes:
    return encoded(follower_to_dict(record))


class EtcdRecordStore:
    """Implements `myha.ports.RecordStore`. Without a lease it is for reading, and for the first
    record of a pair."""

    def __init__(self, client: EtcdClient, key: str, lease: EtcdLease | None = None) -> None:
        self._record = _Key[Record](client, key, lease, record_from_dict, _bytes_of, alone=True)
        self.read = self._record.read
        self.compare_and_set = self._record.compare_and_set

    def close(self) -> None:
        """Nothing is kept open here."""


class EtcdFollowerStore:
    """Implements `myha.ports.FollowerStore`, below a prefix that ends in a slash."""

    def __init__(self, client: EtcdClient, prefix: str, lease: EtcdLease | None = None) -> None:
        self._client, self._prefix, self._lease = client, prefix, lease
        self._keys: dict[str, _Key[FollowerRecord]] = {}

    def all(self) -> dict[str, FollowerRecord]:
        found = self._client.all_below(self._prefix)
        return {
            one.key.removeprefix(self._prefix): decoded(one, follower_from_dict) for one in found
        }

    def read(self, name: str) -> FollowerRecord | None:
        return self._of(name).read()

    def compare_and_set(self, name: str, expected_version: int, record: FollowerRecord) -> None:
        self._of(name).compare_and_set(expected_version, record)

    def remove(self, name: str) -> None:
        self._keys.pop(name, None)
        self._client.transact((), (Delete(self._prefix + name),))

    def close(self) -> None:
        """Nothing is kept open here."""

    def _of(self, name: str) -> _Key[FollowerRecord]:
        if name not in self._keys:
            key = self._prefix + name
            # Setup adds and changes replicas while the supervisor runs.
            self._keys[name] = _Key(
                self._client, key, self._lease, follower_from_dict, _bytes_of_follower, alone=False
            )
        return self._keys[name]
