"""The control socket: one JSON object a line in, one out. Local, for its owner only (mode 0600)."""

from __future__ import annotations

import json
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from myha.errors import MyhaError

SOCKET_NAME = "myha.sock"
REQUEST_LIMIT_BYTES = 65_536
CLIENT_TIMEOUT_SECONDS = 60.0
PING = "ping"
MAX_CLIENTS = 16

Data = dict[str, Any]
Handler = Callable[[Data], Data]


def socket_path(state_dir: Path) -> Path:
    return state_dir / SOCKET_NAME


def exchange(path: Path, request: Data, timeout_seconds: float) -> Data:
    """Ask whoever serves the socket. Raises OSError, `TimeoutError` too, when nobody answers; and
    ValueError when what serves it ends before it has."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout_seconds)
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("rb") as lines:
            line = lines.readline()
    if not line:
        raise ValueError("it ended before it answered")
    answer: Data = json.loads(line)
    return answer


def _left(client: socket.socket) -> bool:
    """Whether who asked has gone: told that nobody answers, a person has done something else since.

    A supervisor that stood still finds such requests when it goes on.
    """
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


class ControlServer:
    """Serves the socket in threads of its own; `handle` is called for every request."""

    def __init__(self, path: Path, handle: Handler, max_clients: int = MAX_CLIENTS) -> None:
        self.path = path
        self._handle = handle
        self._free = threading.BoundedSemaphore(max_clients)
        self._inode = 0
        self._server: socketserver.ThreadingUnixStreamServer | None = None

    def start(self) -> None:
        """Raises `MyhaError` when the socket cannot be made. The caller holds the lock."""
        outer = self

        class Connection(socketserver.StreamRequestHandler):
            timeout = CLIENT_TIMEOUT_SECONDS

            def handle(self) -> None:
                outer._serve(self)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that went away is its own affair."""

        try:
            self.path.unlink(missing_ok=True)
            self._server = Server(str(self.path), Connection)
            self.path.chmod(0o600)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            raise MyhaError(f"cannot make the control socket {self.path}: {error}") from None
        threading.Thread(target=self._server.serve_forever, name="control", daemon=True).start()

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        if not self._free.acquire(blocking=False):
            self._reply(connection, {"ok": False, "text": "too many clients; try again"})
            return
        try:
            while line := connection.rfile.readline(REQUEST_LIMIT_BYTES):
                if _left(connection.connection):
                    return
                self._reply(connection, self._answer(line))
        except (TimeoutError, OSError):
            return
        finally:
            self._free.release()

    def _answer(self, line: bytes) -> Data:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "text": "that is not a JSON object on one line"}
        if not isinstance(request, dict):
            return {"ok": False, "text": "that is not a JSON object on one line"}
        try:
            return self._handle(request)
        except MyhaError as error:
            return {"ok": False, "text": str(error)}

    def _reply(self, connection: socketserver.StreamRequestHandler, answer: Data) -> None:
        connection.wfile.write(json.dumps(answer).encode() + b"\n")

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            # Another process may have made its own there: one that took over from us.
            with suppress(OSError):
                if self.path.stat().st_ino == self._inode:
                    self.path.unlink()
