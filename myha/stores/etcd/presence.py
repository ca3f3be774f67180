"""Which supervisors there are: each keeps a key with its pairs, for as long as it lives."""

from __future__ import annotations

import json
from collections.abc import Iterable

from myha.errors import StoreError
from myha.stores.etcd.client import EtcdClient, Put

TTL_SECONDS = 15


class EtcdPresence:
    """Implements `myha.ports.Presence`. For one thread."""

    def __init__(self, client: EtcdClient, prefix: str, supervisor: str, part: str) -> None:
        """The keys are below `prefix`; `part` is the one of the supervisor's processes."""
        self._client, self._prefix = client, prefix
        self._key = f"{prefix}{supervisor}\n{part}"
        self._lease = 0
        self._said = b""

    def announce(self, pairs: Iterable[str]) -> None:
        value = json.dumps(sorted(pairs)).encode()
        if not self._lease or self._client.keep_alive(self._lease) == 0:
            self._lease, _ = self._client.grant(TTL_SECONDS)
            self._said = b""
        if value != self._said:
            self._client.transact((), (Put(self._key, value, self._lease),))
            self._said = value

    def alive(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for entry in self._client.all_below(self._prefix):
            supervisor = entry.key.removeprefix(self._prefix).partition("\n")[0]
            found.setdefault(supervisor, set()).update(_names(entry.value))
        return found

    def end(self) -> None:
        lease, self._lease = self._lease, 0
        if lease:
            try:
                self._client.revoke(lease)
            except StoreError:
                return  # it runs out by itself


def _names(value: bytes) -> list[str]:
    """None where it is not what this program writes."""
    try:
        found = json.loads(value)
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []
