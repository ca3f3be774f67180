"""Receivers of messages on loopback: an HTTP server, a mail server, and one that never answers."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

DEADLINE_SECONDS = 120.0


class Received:
    """What has come, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200  # of the answers, where they have one
        self._all: queue.Queue[dict[str, Any]] = queue.Queue()

    def put(self, message: dict[str, Any]) -> None:
        self._all.put(message)

    def next(self) -> dict[str, Any]:
        return self._all.get(timeout=DEADLINE_SECONDS)

    def until(self, text: str) -> list[dict[str, Any]]:
        """All up to the one that has the text in its title or body."""
        found = [self.next()]
        while text not in found[-1]["title"] + found[-1]["message"]:
            found.append(self.next())
        return found

    @property
    def empty(self) -> bool:
        return self._all.empty()


@contextmanager
def http_receiver() -> Iterator[Received]:
    """What Apprise's json:// posts to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(received.status)
            self.end_headers()
            if received.status == 200:
                received.put(message)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"json://127.0.0.1:{server.server_port}/hidden-token")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE_SECONDS)


@contextmanager
def mail_receiver() -> Iterator[Received]:
    """Mail, as `title` and `message`, with the envelope's recipients in `to`."""

    class Handler:
        async def handle_DATA(  # noqa: N802  # aiosmtpd's
            self, _server: SMTP, _session: Session, envelope: Envelope
        ) -> str:
            mail = message_from_bytes(envelope.content or b"", EmailMessage, policy=policy.default)  # type: ignore[arg-type]
            body = mail.get_body(("plain",)) if isinstance(mail, EmailMessage) else None
            received.put(
                {
                    "to": envelope.rcpt_tos,
                    "title": mail["subject"],
                    "message": "" if body is None else body.get_content(),
                }
            )
            return "250 taken"

    controller = Controller(Handler(), hostname="127.0.0.1", port=free_port())
    controller.start()
    received = Received(
        f"mailto://127.0.0.1:{controller.port}?smtp=127.0.0.1&from=myha@example.com"
        "&to=dba@example.com"
    )
    try:
        yield received
    finally:
        controller.stop()


@contextmanager
def silent_receiver() -> Iterator[str]:
    """Its URL: it lets one connect and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"json://127.0.0.1:{server.getsockname()[1]}/?rto=600&cto=600"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
