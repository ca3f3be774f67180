"""The process that answers HTTP: told by the supervisor's what to know, and ended with it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from typing import Any

import uvicorn

from myha.api.app import application
from myha.api.feed import Feed
from myha.api.guard import App, Receive, Scope, Send
from myha.api.history import History
from myha.api.known import Known
from myha.api.listening import keep, listening, try_listening, url_of
from myha.api.order import Order, order_of
from myha.api.protocol import BoundedProtocol
from myha.api.tokens import TokenFile
from myha.api.world import World
from myha.config import ApiConfig
from myha.core.journal_line import Line
from myha.errors import MyhaError
from myha.job import end_with_parent
from myha.supervisor.worker import take_all_descriptors
from myha.words import one_line

SIGN_OF_LIFE_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 30
ORDER_LIMIT_BYTES = 1 << 26


def send(**what: str) -> None:
    """A line to the supervisor's process; one that has gone hears nothing."""
    try:
        print(json.dumps(what), flush=True)  # noqa: T201  # its standard output is for that
    except OSError:
        os._exit(1)


def run() -> int:
    """Until the supervisor ends. Exit status 1 when HTTP cannot be answered."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is the supervisor's affair
    take_all_descriptors()
    try:
        order = order_of(json.loads(sys.stdin.readline(ORDER_LIMIT_BYTES)))
        if order.parent != os.getppid():
            return 1  # it died before we could ask to be told
        if order.trial:
            return _try(order)
        bound, said = listening(order.api, order.state_dir)
        known = Known(order.pairs)
        known.url = url_of(order.api, bound)
        world = World(
            known,
            order.control,
            order.pairs,
            TokenFile(order.tokens_file),
            history=History(len(order.pairs)),
        )
        known.changed_pairs.append(world.history.take)
        port = bound.getsockname()[1]
        app = application(world, order.api, port, lambda text: send(log=text))
        config = server_config(order.api, app)
    except (MyhaError, ValueError, KeyError) as error:
        send(failed=one_line(error))
        return 1
    if said:
        send(log=said)
    if order.api.port == 0 and (said := keep(order.state_dir, port)):
        send(log=said)
    asyncio.run(_serve(order, bound, config, world))
    return 0


def _try(order: Order) -> int:
    """Whether it could be answered; nobody is. Raises MyhaError."""
    try_listening(order.api, order.own_port)
    server_config(order.api, _nothing)
    return 0


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """In place of the application, which a trial does not make."""


def server_config(api: ApiConfig, app: App) -> uvicorn.Config:
    """Raises MyhaError when the certificate does not serve."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what clients do wrong is theirs
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        ssl_certfile=api.tls_certificate,
        ssl_keyfile=api.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or error
        raise MyhaError(f"api.tls_certificate, api.tls_key: {why}; put PEM files there") from None
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


async def _serve(order: Order, bound: socket.socket, config: uvicorn.Config, world: World) -> None:
    loop, known = asyncio.get_running_loop(), world.known
    server = uvicorn.Server(config)

    def take(source: str, answer: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(known.take, source, answer)

    def silent(source: str, why: str, gone: bool) -> None:
        loop.call_soon_threadsafe(lambda: known.silent(source, why, gone=gone))

    def lines(pair: str, found: list[Line]) -> None:
        loop.call_soon_threadsafe(known.journal, pair, found)
        loop.call_soon_threadsafe(world.counted.take, pair, found)

    for source in order.sources:
        Feed(
            order.control,
            source,
            lambda: world.pairs,
            take,
            silent,
            lines,
            lambda: known.watched,
        ).start()
    threading.Thread(target=_hear, args=(loop, world, server), name="orders", daemon=True).start()
    signs = asyncio.create_task(_send_signs(world))
    send(url=known.url)
    await server.serve([bound])
    known.end()
    signs.cancel()


def _hear(loop: asyncio.AbstractEventLoop, world: World, server: uvicorn.Server) -> None:
    """Further orders, until the supervisor's process has ended."""
    try:
        while line := sys.stdin.readline(ORDER_LIMIT_BYTES):
            order = order_of(json.loads(line))
            loop.call_soon_threadsafe(_have, world, order)
    except (MyhaError, ValueError, KeyError) as error:
        send(failed=f"an order was not understood: {error}")
    server.should_exit = True


def _have(world: World, order: Order) -> None:
    world.pairs = order.pairs
    world.known.names = tuple(order.pairs)
    world.history.forget(order.pairs)
    world.known.publish_overview()


async def _send_signs(world: World) -> None:
    """That the event loop still turns; and to listeners, when the supervisor has fallen silent."""
    while True:
        send(sign="alive")
        for _ in range(int(SIGN_OF_LIFE_SECONDS * 2)):
            await asyncio.sleep(0.5)
            world.known.publish_overview()
