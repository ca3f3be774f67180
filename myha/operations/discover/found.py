"""What is seen of one server that may be half of a pair. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from myha.core.settings import is_on
from myha.database.flavours.base import Channel, Flavour
from myha.operations.setup.writes import Writes


@dataclass(frozen=True, slots=True)
class ConnectedReplica:
    """A server that replicates from here, as it has registered; `host` is empty where it has not
    told (report_host)."""

    server_id: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class FoundServer:
    """One server at one moment, as it was reached at `host:port`."""

    host: str
    port: int
    flavour: Flavour
    version: str
    server_id: int
    variables: Mapping[str, str]
    channels: tuple[Channel, ...] = ()
    filters: tuple[str, ...] = ()
    replicas: tuple[ConnectedReplica, ...] = ()
    writes: Writes = field(default_factory=Writes)

    def on(self, variable: str) -> bool:
        return is_on(self.variables.get(variable, "OFF"))

    @property
    def waits(self) -> bool:
        """Its commits wait for an acknowledgement, under the older names too."""
        return self.on("rpl_semi_sync_source_enabled") or self.on("rpl_semi_sync_master_enabled")

    def channel_to(self, other: FoundServer) -> Channel | None:
        return next((c for c in self.channels if c.source_server_id == other.server_id), None)
