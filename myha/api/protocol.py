"""How uvicorn reads requests, with bounds that it has none for: connections, headers, and time."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 1000
# Whoever needs longer to say what he wants holds a connection and nothing else.
HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
HEAD_LIMIT_BYTES = 32_768


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Those beyond the bound are closed at once, unheard."""

    open_connections: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        cls = BoundedProtocol
        self._counted = cls.open_connections < MAX_CONNECTIONS
        self._in_head, self._head_bytes = True, 0
        self._late: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if not self._counted:
            transport.abort()
            return
        cls.open_connections += 1
        self._expect(HEAD_SECONDS)

    def _expect(self, seconds: float) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        if self._counted:
            self._counted = False
            BoundedProtocol.open_connections -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._counted:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self._give_up()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        self._expect(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._expect(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        super().on_message_complete()

    def on_response_complete(self) -> Any:
        self._in_head, self._head_bytes = True, 0
        return super().on_response_complete()
