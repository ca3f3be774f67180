"""Connections have bounds: in number, in time, in the size of what they say."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from myha.api import protocol
from myha.api.listening import listening
from myha.api.process import server_config
from myha.api.protocol import BoundedProtocol, _address_of
from tests.api.world import api_config
from tests.waiting import until

DEADLINE_SECONDS = 30.0
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    bound, _ = listening(api_config(), tmp_path)
    server = uvicorn.Server(server_config(api_config(), hello))
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([bound])))
    thread.start()
    yield bound.getsockname()
    server.should_exit = server.force_exit = True
    thread.join()
    assert BoundedProtocol.open_connections == 0
    assert not BoundedProtocol.by_address


def connected(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, DEADLINE_SECONDS)


def ended(one: socket.socket) -> bool:
    """Whether the other side has closed it, which is waited for."""
    try:
        return one.recv(1) == b""
    except ConnectionError:
        return True


def answered(one: socket.socket) -> bytes:
    one.sendall(HEAD + b"\r\n")
    return one.recv(12)


def test_who_does_not_say_what_he_wants_is_let_go(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    with connected(address) as silent, connected(address) as slow:
        slow.sendall(HEAD)
        assert ended(silent)
        assert ended(slow)
    with connected(address) as quick:
        assert answered(quick) == b"HTTP/1.1 200"


def test_headers_without_end_are_not_read(address: tuple[str, int]) -> None:
    with connected(address) as one:
        one.sendall(HEAD)
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                one.sendall(b"x-more: " + b"y" * 1000 + b"\r\n")


def test_beyond_the_bound_connections_are_closed_and_the_others_are_served(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    with ExitStack() as held:
        kept = [held.enter_context(connected(address)) for _ in range(3)]
        assert all(answered(one) == b"HTTP/1.1 200" for one in kept)
        assert ended(held.enter_context(connected(address)))
    until(lambda: not BoundedProtocol.open_connections, "all connections are closed")
    with connected(address) as one:
        assert answered(one) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("127.0.0.1", 1), ""),
        (("::1", 1, 0, 0), ""),
        (("192.0.2.1", 1), "192.0.2.1"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1%eth0"),
        (None, ""),
    ],
)
def test_this_machine_is_no_single_client(peer: Any, address: str) -> None:
    class Transport:
        def get_extra_info(self, _name: str) -> Any:
            return peer

    assert _address_of(Transport()) == address  # type: ignore[arg-type]


def test_one_address_has_not_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from elsewhere."""
    monkeypatch.setattr(protocol, "MAX_OF_AN_ADDRESS", 2)
    monkeypatch.setattr(BoundedProtocol, "by_address", type(BoundedProtocol.by_address)())
    aborted: list[str] = []

    class Transport:
        def get_extra_info(self, name: str) -> Any:
            return ("192.0.2.1", 1) if name == "peername" else None

        def abort(self) -> None:
            aborted.append("")

        def is_closing(self) -> bool:
            return True

        def close(self) -> None: ...

    async def many() -> None:
        config = server_config(api_config(), hello)
        state = uvicorn.server.ServerState()
        made = []
        for _ in range(4):
            one = BoundedProtocol(config, state, {}, asyncio.get_running_loop())
            one.connection_made(Transport())  # type: ignore[arg-type]
            made.append(one)
        assert len(aborted) == 2
        for one in made:
            one.connection_lost(None)

    asyncio.run(many())
    assert not BoundedProtocol.by_address
