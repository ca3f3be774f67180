"""What setup reads of one server: values only, so that checks and plans can be tested as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from myha.core.gtid import GtidSet
from myha.core.settings import is_on
from myha.database.flavours.base import Channel, Flavour


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the user's; `shape` is a digest of its columns."""

    schema: str
    name: str
    engine: str
    has_key: bool
    transactional: bool
    data_bytes: int = 0
    shape: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Session:
    """A client's session, for the list of those with old increments."""

    number: int
    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.number} ({self.user}@{self.host})"


@dataclass(frozen=True, slots=True)
class Login:
    """One of our accounts on one server: does it exist, what may it, does its password work?"""

    exists: bool = False
    password_works: bool = False
    requires_tls: bool = False
    grants: frozenset[tuple[str, str]] = frozenset()  # (privilege, object)


@dataclass(frozen=True, slots=True)
class Facts:
    """One server as setup found it. Times in seconds; `variables` are the global ones."""

    node: str
    flavour: Flavour
    version: str
    server_id: int
    server_uuid: str
    executed: GtidSet
    executed_later: GtidSet  # read after both servers' `executed`: tells errant from in flight
    variables: Mapping[str, str]
    persisted: Mapping[str, str] = field(default_factory=dict)  # MySQL: mysqld-auto.cnf
    configured: frozenset[str] = frozenset()  # MariaDB: variables whose value is the option file's
    plugins: frozenset[str] = frozenset()
    privileges: frozenset[str] = frozenset()  # that the server knows, in capitals
    enabled_events: tuple[str, ...] = ()  # of the user's, that run here where the scheduler does
    schemas: frozenset[str] = frozenset()
    tables: tuple[Table, ...] = ()
    objects: int = 0  # views, routines, triggers and events of the user's
    domains_taken: frozenset[int] = frozenset()  # GTID domains of further servers of the pair
    channels: tuple[Channel, ...] = ()
    filters: tuple[str, ...] = ()  # replication filters in force, as `name = rule`
    replica_ids: tuple[int, ...] = ()  # server ids that replicate from here
    accounts: frozenset[str] = frozenset()
    supervisor: Login = Login()
    replication: Login = Login()
    our_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    claim: tuple[str, str] | None = None  # the store and the holder of the node's claim
    claimant_lives: bool = False  # its account was just seen to be at work here
    tls: bool = False
    clock_ahead_seconds: float = 0.0  # of this machine's clock
    clock_doubt_seconds: float = 0.0
    disk_free_bytes: int | None = None  # None: not to be seen from here
    stale_sessions: tuple[Session, ...] = ()
    fragment: str | None = None  # the option file fragment as installed; None: none, or unreadable
    fragment_missed: bool = False  # the server has started since it was installed and not read it
    own_writes: int = 0  # transactions that began here while it was watched for a moment
    domains_written: frozenset[int] = frozenset()  # theirs

    @property
    def has_data(self) -> bool:
        return bool(self.tables) or self.objects > 0

    @property
    def domain(self) -> int:
        """Its GTID domain; 0 where it has none."""
        return int(self.variables.get("gtid_domain_id", "0"))

    def on(self, variable: str) -> bool:
        return is_on(self.variables.get(variable, "OFF"))

    def lacks(self, peer: Facts) -> GtidSet:
        """What `peer` had executed and this server, asked later, had not."""
        return peer.executed.minus(self.executed_later)

    def channel_from(self, source: str) -> Channel | None:
        return next((c for c in self.channels if c.source == source), None)

    def channel_to(self, peer: Facts, source: str) -> Channel | None:
        """The channel to this server, by whatever name of its host it was made."""
        return self.channel_from(source) or next(
            (c for c in self.channels if c.source_server_id == peer.server_id), None
        )
