"""How uvicorn reads requests, with bounds that it has none for: connections, headers, and time."""

from __future__ import annotations

import asyncio
from collections import Counter
from ipaddress import ip_address
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_CONNECTIONS = 1000
MAX_OF_AN_ADDRESS = 200  # unless it is this machine's own
# Whoever needs longer to say what he wants holds a connection and nothing else.
HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
HEAD_LIMIT_BYTES = 32_768


def _address_of(transport: asyncio.Transport) -> str:
    """Empty for this machine itself, which has one address for all of its users."""
    peer = transport.get_extra_info("peername")
    if not peer:
        return ""
    address = str(peer[0])
    return "" if ip_address(address.partition("%")[0]).is_loopback else address


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Those beyond the bound are closed at once, unheard."""

    open_connections: ClassVar[int] = 0
    by_address: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        cls = BoundedProtocol
        self._address = _address_of(transport)
        self._counted = (
            cls.open_connections < MAX_CONNECTIONS
            and cls.by_address[self._address] < MAX_OF_AN_ADDRESS
        )
        self._in_head, self._head_bytes = True, 0
        self._late: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if not self._counted:
            transport.abort()
            return
        cls.open_connections += 1
        if self._address:
            cls.by_address[self._address] += 1
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
            self._forget_address()
        super().connection_lost(exc)

    def _forget_address(self) -> None:
        by_address = BoundedProtocol.by_address
        by_address[self._address] -= 1
        if by_address[self._address] <= 0:
            del by_address[self._address]

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
