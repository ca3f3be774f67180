"""The connection of a reader: a replication stream that never ends, read in large pieces.

PyMySQL logs in; after the dump command its socket is read directly, since a packet at a time
through its buffers costs several times what the events themselves do. The server sees a replica
that is none: it asks for no semi-sync, so it never acknowledges anything.
"""

from __future__ import annotations

import random
import ssl
import struct
import time
from contextlib import suppress
from typing import Any

from pymysql.err import MySQLError

from myha.binlog.stream import encode_gtid_set
from myha.conflicts.positions import Identity
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.database.connection import Connection, Endpoint, Login, Tls, connect, translate
from myha.errors import ServerGoneError

PIECE_BYTES = 512 << 10
CONNECT_SECONDS = 3.0
_COM_BINLOG_DUMP, _COM_BINLOG_DUMP_GTID = 0x12, 0x1E
_THROUGH_GTID = 0x04
# Two readers of one id would throw each other out: each takes one of its own, far from the ids
# that people choose.
_FIRST_SERVER_ID, _LAST_SERVER_ID = 4_200_000_000, 4_294_967_290


class Link:
    """A logged-in connection, at first for questions, after `start` for the stream only."""

    def __init__(
        self, endpoint: Endpoint, account: Login, tls: Tls, heartbeat_seconds: float
    ) -> None:
        """Logs in. Raises ServerGoneError, ServerSilentError or ServerError."""
        self.endpoint = endpoint
        self._heartbeat_seconds = heartbeat_seconds
        self._connection: Connection = connect(
            endpoint,
            account,
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=CONNECT_SECONDS,
            tls=tls,
        )
        self.heard_at = time.monotonic()
        self._sock: Any = None
        try:
            version = str(self.rows("SELECT VERSION()")[0][0])
            self.flavour = "mariadb" if "mariadb" in version.lower() else "mysql"
            self.identity = self._identity()
            self.executed, self.purged = self._gtids()
            self.logs_cascades = self._logs_cascades()
        except BaseException:
            self.close()
            raise

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        except MySQLError as error:
            raise translate(error, str(self.endpoint), CONNECT_SECONDS) from None
        except OSError as error:
            raise ServerGoneError(f"{self.endpoint}: {error}") from None

    def _identity(self) -> Identity:
        if self.flavour == "mariadb":
            server_id, domain = self.rows("SELECT @@GLOBAL.server_id, @@GLOBAL.gtid_domain_id")[0]
            return Identity(int(server_id), "", int(domain))
        server_id, uuid = self.rows("SELECT @@GLOBAL.server_id, @@GLOBAL.server_uuid")[0]
        return Identity(int(server_id), str(uuid).lower(), 0)

    def _gtids(self) -> tuple[MysqlGtidSet | MariadbGtidSet, MysqlGtidSet]:
        """What its binary log has, or had; and what of that is purged, where the server knows."""
        if self.flavour == "mariadb":
            text = str(self.rows("SELECT @@GLOBAL.gtid_binlog_pos")[0][0])
            return MariadbGtidSet.parse(text), MysqlGtidSet()
        executed, purged = self.rows("SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged")[0]
        return MysqlGtidSet.parse(str(executed)), MysqlGtidSet.parse(str(purged))

    def _logs_cascades(self) -> bool:
        """Whether a foreign key's cascade is in the binary log as row changes of its own."""
        rows = self.rows("SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
        return bool(rows) and str(rows[0][1]) == "OFF"

    def start(self, after: MysqlGtidSet | MariadbGtidSet) -> None:
        """Begin the stream with everything that is not in `after`."""
        server_id = random.randint(_FIRST_SERVER_ID, _LAST_SERVER_ID)
        period = int(self._heartbeat_seconds * 1e9)
        if isinstance(after, MysqlGtidSet):
            uuid = f"{random.getrandbits(32):08x}-0000-4000-8000-{random.getrandbits(48):012x}"
            setup = (
                "SET @source_binlog_checksum = @@GLOBAL.binlog_checksum,"
                f" @source_heartbeat_period = {period}, @replica_uuid = '{uuid}'"
            )
            gtids = encode_gtid_set(after)
            request = struct.pack("<HIIQI", _THROUGH_GTID, server_id, 0, 4, len(gtids)) + gtids
            command = _COM_BINLOG_DUMP_GTID
        else:
            setup = (
                "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum,"
                f" @master_heartbeat_period = {period}, @mariadb_slave_capability = 4,"
                f" @slave_connect_state = '{after.position()}',"
                " @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0"
            )
            request = struct.pack("<IHI", 4, 0, server_id)
            command = _COM_BINLOG_DUMP
        self.rows("SET SESSION net_write_timeout = 600")  # a reader that is behind is not gone
        self.rows(setup)
        try:
            self._connection._execute_command(command, request)
        except (MySQLError, OSError) as error:
            raise ServerGoneError(f"{self.endpoint}: {error}") from None
        self._sock = self._connection._sock
        self._sock.setblocking(False)
        self.heard_at = time.monotonic()

    def fileno(self) -> int:
        return -1 if self._sock is None else int(self._sock.fileno())

    def read(self) -> bytes:
        """What has come, at most `PIECE_BYTES`, b"" for nothing yet. Raises ServerGoneError."""
        pieces: list[bytes] = []
        size = 0
        while size < PIECE_BYTES:
            try:
                piece: bytes = self._sock.recv(PIECE_BYTES)  # with TLS one record, 16 KiB
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError as error:
                raise ServerGoneError(f"{self.endpoint}: {error}") from None
            if not piece:
                if pieces:
                    break  # the next call says that it is closed
                raise ServerGoneError(f"{self.endpoint}: the server closed the connection")
            pieces.append(piece)
            size += len(piece)
        if pieces:
            self.heard_at = time.monotonic()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pending(self) -> bool:
        """Whether TLS has decrypted bytes that no poll would tell of."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    @property
    def silent_seconds(self) -> float:
        return time.monotonic() - self.heard_at

    def close(self) -> None:
        with suppress(Exception):
            self._connection._force_close()
