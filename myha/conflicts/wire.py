"""The connection of a reader: a replication stream that never ends, read in large pieces.

PyMySQL logs in; after the dump command its socket is read directly, since a packet at a time
through its buffers costs several times what the events themselves do. The server sees a replica
that is none: it asks for no semi-sync, so it never acknowledges anything.
"""

from __future__ import annotations

import random
import ssl
import time
from typing import Any

from pymysql.err import MySQLError

from myha.binlog.session import logs_cascades
from myha.core.gtid import GtidSet
from myha.database.connection import Endpoint, Login, Tls, connect
from myha.database.flavours import flavour_of
from myha.database.session import Session
from myha.errors import ServerGoneError

PIECE_BYTES = 512 << 10
CONNECT_SECONDS = 3.0
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
        connection = connect(
            endpoint,
            account,
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=CONNECT_SECONDS,
            tls=tls,
        )
        session = self._session = Session(connection, CONNECT_SECONDS, where=str(endpoint))
        self.heard_at = time.monotonic()
        self._sock: Any = None
        try:
            self.flavour = flavour_of(session)
            self.identity = self.flavour.identity(session)
            self.executed = self.flavour.logged(session)
            self.purged = self.flavour.purged(session)
            self.logs_cascades = logs_cascades(session)
        except BaseException:
            self.close()
            raise

    def start(self, after: GtidSet) -> None:
        """Begin the stream with everything that is not in `after`."""
        server_id = random.randint(_FIRST_SERVER_ID, _LAST_SERVER_ID)
        request = self.flavour.dump_after(
            after, server_id, heartbeat_seconds=self._heartbeat_seconds
        )
        # A reader that is behind is not gone.
        self._session.run(("SET SESSION net_write_timeout = 600", *request.settings))
        wire = self._session.wire
        try:
            wire._execute_command(request.command, request.payload)
        except (MySQLError, OSError) as error:
            raise ServerGoneError(f"{self.endpoint}: {error}") from None
        self._sock = wire._sock
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
        self._session.drop()
