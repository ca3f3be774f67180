"""What differs between the flavours of servers, as far as more than one part of myha needs it.

A flavour is one object, made in one file here; the supervisor's adapter stands in `servers/`, the
statements that change a server under `sql/`. Everything else asks the object: no name of a flavour
and no version is compared anywhere.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from typing import ClassVar, NamedTuple, Protocol

from myha.core.conflicts import Range
from myha.core.gtid import GtidSet
from myha.core.settings import ChannelOptions, Setting, When
from myha.core.values import value
from myha.database import statements
from myha.database.session import Session

COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID = 0x12, 0x1E
NON_BLOCKING = 0x01  # a dump that ends at the log's present end


class Identity(NamedTuple):
    """Whose transactions are a node's own."""

    server_id: int
    uuid: str  # MySQL; "" on MariaDB
    domain: int  # MariaDB; 0 on MySQL


class Gtid(NamedTuple):
    """The name of one transaction; `origin` is a MySQL `uuid[:tag]` or a MariaDB domain."""

    origin: str | int
    number: int
    server_id: int
    is_ddl: bool

    def __str__(self) -> str:
        if isinstance(self.origin, str):
            return f"{self.origin}:{self.number}"
        return f"{self.origin}-{self.server_id}-{self.number}"


class Position(Protocol):
    """What has been read of one node's binary log: what a reader resumes after.

    A transaction counts as read when the next one begins: one that was cut off comes again.
    """

    def begin(self, origin: Hashable, number: int, server_id: int) -> None:
        """A transaction begins; `origin`: 16 bytes of UUID, or `uuid:tag`, or a domain."""

    def gtids(self) -> GtidSet:
        """All that was read to its end."""

    def begun(self) -> GtidSet:
        """The same, and the transaction that began last."""


class DumpRequest(NamedTuple):
    """How a replication stream is asked for: settings of the session, a command, its payload."""

    settings: tuple[str, ...]
    command: int
    payload: bytes


class ApplierError(NamedTuple):
    """What a stopped applier says; `gtid` is empty where the server does not tell it apart."""

    errno: int
    message: str
    gtid: str = ""


@value(frozen=True, slots=True)
class Channel(ChannelOptions):
    """A configured replication channel as it is now; `source` is `host:port`."""

    name: str = ""
    receiver: str = "OFF"  # ON, CONNECTING or OFF
    applier: str = "OFF"
    error_code: int = 0
    error: str = ""
    source_server_id: int = 0


class Flavour(ABC):
    """One flavour. All that asks a server raises as its session does."""

    name: ClassVar[str]  # also of its folder under sql/
    title: ClassVar[str]
    oldest: ClassVar[tuple[int, ...]]  # the version that setup asks for
    marker: ClassVar[str]  # a variable that no other flavour has

    # What a server of it can do.
    persists: ClassVar[bool]  # SET PERSIST; without it an option file outlives a restart
    shows_session_variables: ClassVar[bool]  # of other sessions
    has_domains: ClassVar[bool]  # of GTIDs: each node its own
    keeps_replica_position: ClassVar[bool]  # what it asks its source for is not its executed set
    clones: ClassVar[bool]  # the clone plugin
    backs_up: ClassVar[bool]  # by a program that copies the files of a server that runs
    has_json_type: ClassVar[bool]  # that is no text
    leaves_torn_files: ClassVar[bool]  # of its binary log, when it is killed
    copies_in_order: ClassVar[bool]  # a source's transactions have the same order on the replica

    # The supervisor may tell it to wait only for a standby that is there: that costs nothing.
    waits_for_present_only: ClassVar[bool]

    source_word: ClassVar[str]  # in the names of its variables
    replica_word: ClassVar[str]
    semisync_plugins: ClassVar[tuple[str, ...]]  # to install; none where they are built in
    log_updates_variable: ClassVar[str]  # to log what it applies, as a later writer has to
    replicas_sql: ClassVar[str]  # the replicas that are connected
    filters_sql: ClassVar[str]  # name and rule of the replication filters in force
    configured_sql: ClassVar[str]  # one column `n`: the variables that a restart keeps as they are
    runtime_sql: ClassVar[str]  # one column: those set while it runs, which it does not keep itself
    grant_tables: ClassVar[Mapping[str, str]]  # table of mysql -> its column with the account
    dump_settings: ClassVar[str]  # what a session sets before it asks for a dump
    after_format_event: ClassVar[bytes]  # what a client sends behind BINLOG with a format event
    reseeding: ClassVar[GtidSet]  # a node's history while its data is nobody's

    # In the queries of a comparison (`operations/verify`).
    explain: ClassVar[str]
    comma: ClassVar[str]  # CONCAT_WS's first argument, with which it goes by the others' bytes
    sums_ranges_cheaply: ClassVar[bool]  # several sums in one query cost no more than one
    one_weight_level: ClassVar[str]  # what WEIGHT_STRING needs to give comparable weights

    def __str__(self) -> str:
        return self.name

    def statements(self, subject: str) -> statements.Statements:
        """The named statements of one subject. FileNotFoundError when there are none."""
        return statements.load(self.name, subject)

    # ---- transactions

    @abstractmethod
    def parse(self, text: str) -> GtidSet:
        """Read the server's text; raises ValueError."""

    @abstractmethod
    def executed(self, session: Session) -> GtidSet:
        """Every transaction that is committed, written there or replicated."""

    @abstractmethod
    def visible(self, session: Session) -> GtidSet:
        """Those too whose rows can be seen, or that were sent to a replica, before they count."""

    @abstractmethod
    def logged(self, session: Session) -> GtidSet:
        """What its binary log has, or had."""

    @abstractmethod
    def purged(self, session: Session) -> GtidSet:
        """What of that is known to be there no more; empty where the server does not know."""

    @abstractmethod
    def await_executed(self, session: Session, wanted: GtidSet, seconds: float) -> bool:
        """Wait inside the server, for `seconds` (0: not at all) at most, until all of it is
        committed."""

    @abstractmethod
    def holds(self, gtids: GtidSet, one: Gtid) -> bool: ...

    @abstractmethod
    def missing(self, wanted: GtidSet, found: Iterable[Gtid]) -> GtidSet:
        """What of `wanted` was not found, as far as numbers are not skipped."""

    @abstractmethod
    def ranges(self, gtids: GtidSet, identity: Identity) -> list[Range]:
        """The transactions of one node in a set, as the detector of conflicts names them."""

    @abstractmethod
    def position_after(self, gtids: GtidSet) -> Position:
        """A reader's place that begins right behind a set."""

    @abstractmethod
    def history(self, session: Session, kept: GtidSet) -> str:
        """What a server's GTID state is set to, so that it has only `kept` of this session's.

        Raises ValueError when it cannot be set to that.
        """

    # ---- replication

    @abstractmethod
    def identity(self, session: Session) -> Identity: ...

    @abstractmethod
    def threads(self, session: Session) -> dict[str, tuple[str, str]]:
        """Each channel's receiver (ON, CONNECTING, OFF) and applier (ON, OFF), by its name."""

    @abstractmethod
    def channels(self, session: Session) -> tuple[Channel, ...]: ...

    def filters(self, session: Session) -> tuple[str, ...]:
        """The replication filters in force, each as `name = rule`."""
        return tuple(f"{name} = {rule}" for name, rule in session.query(self.filters_sql))

    @abstractmethod
    def applier_errors(self, session: Session) -> list[ApplierError]:
        """What the default channel's applier says, also where that is no error (0)."""

    @abstractmethod
    def offers_tls(self, session: Session) -> bool: ...

    @abstractmethod
    def dump_after(
        self, gtids: GtidSet, server_id: int, *, heartbeat_seconds: float | None = None
    ) -> DumpRequest:
        """All events that are not in `gtids`, to the log's present end; with heartbeats for ever.

        Raises ValueError when the set is no position.
        """

    def dump_from(self, file: str, offset: int, server_id: int) -> DumpRequest:
        """All events from a byte of a file to the log's present end."""
        head = struct.pack("<IHI", offset, NON_BLOCKING, server_id)
        name = file.encode("utf-8", "surrogateescape")
        return DumpRequest((self.dump_settings,), COM_BINLOG_DUMP, head + name)

    @abstractmethod
    def prepared(self, session: Session) -> tuple[str, ...]:
        """XA transactions that are prepared, each as `XA COMMIT` and `XA ROLLBACK` name it."""

    @abstractmethod
    def inexact(self, session: Session) -> str | None:
        """A setting under which the server would not apply row events exactly, None if none."""

    def settings(self, net_timeout_seconds: int, domain: int) -> tuple[Setting, ...]:
        """What setup makes of replication; `domain` is the node's GTID domain, if any."""
        source, replica, boot = self.source_word, self.replica_word, When.AT_BOOT
        waits, acknowledges = f"rpl_semi_sync_{source}", f"rpl_semi_sync_{replica}"
        timeout = str(net_timeout_seconds)
        return (
            *self.own_settings(domain),
            Setting(f"{replica}_net_timeout", timeout, why="notice a dead link", rests=True),
            Setting(
                f"{acknowledges}_enabled", "ON", why="acknowledge what is received", rests=True
            ),
            Setting(f"{waits}_wait_point", "AFTER_SYNC", why="no reads of what may be lost"),
            Setting(
                f"{waits}_wait_no_{replica}",
                "ON",
                why="a commit goes on waiting",
                supervisors=self.waits_for_present_only,
            ),
            Setting(f"{waits}_enabled", "OFF", boot, "only the supervisor arms a writer"),
            Setting("read_only", "ON", boot, "boot fenced"),
            Setting(f"skip_{replica}_start", "ON", boot, "boot fenced: replicate once inspected"),
            Setting("relay_log_recovery", "ON", boot, "a crash may tear the relay log"),
        )

    @abstractmethod
    def own_settings(self, domain: int) -> tuple[Setting, ...]:
        """Those of them that no other flavour has."""

    # ---- expressions

    @abstractmethod
    def xor(self, digest: str) -> str:
        """An aggregate: the XOR of hexadecimal SHA-256 digests."""

    @abstractmethod
    def text_bytes(self, name: str) -> str:
        """The stored bytes of a text column, in CONCAT_WS with `comma` or in SHA2."""

    @abstractmethod
    def raw_bytes(self, name: str) -> str:
        """The same of a column without any character set."""
