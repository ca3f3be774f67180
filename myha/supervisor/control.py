"""The control socket: one JSON object a line in, one out. Local, for its owner only (mode 0600)."""

from __future__ import annotations

import json
import re
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from myha.errors import MyhaError, SupervisorAwayError
from myha.stores.local.lease import holder_of

SOCKET_NAME = "myha.sock"
REQUEST_LIMIT_BYTES = 65_536
CLIENT_TIMEOUT_SECONDS = 60.0
ASK_AGAIN_SECONDS = 0.2
PING = "ping"
PING_TIMEOUT_SECONDS = 2.0
MAX_CLIENTS = 16

Data = dict[str, Any]
Handler = Callable[[Data], Data]


def socket_path(state_dir: Path) -> Path:
    return state_dir / SOCKET_NAME


def ask(path: Path, request: Data, timeout_seconds: float = CLIENT_TIMEOUT_SECONDS) -> Data:
    """Ask the running daemon. `SupervisorAwayError` when there is none, or it answers nothing.

    A request may take long, for one that hangs two seconds are enough to say so: it is asked first
    whether it is there.
    """
    _ask(path, {"do": PING}, PING_TIMEOUT_SECONDS)
    return _ask(path, request, timeout_seconds)


def ask_until(
    path: Path, request: Data, wait_seconds: float, tell: Callable[[str], None] = lambda _text: None
) -> Data:
    """Ask again for as long as the answer is that nothing was done yet and that this may change.

    The supervisor goes on with whatever else is due between two tries.
    """
    ends = time.monotonic() + wait_seconds
    while True:
        answer = ask(path, request)
        if answer.get("ok") or not answer.get("ask_again") or time.monotonic() >= ends:
            return answer
        tell(str(answer.get("text")))
        time.sleep(ASK_AGAIN_SECONDS)


def _hangs(path: Path, timeout_seconds: float) -> SupervisorAwayError:
    """The words for a supervisor that is there and silent: who, since when, what to do."""
    who, since = "the supervisor", ""
    holder = holder_of(path.parent)
    if holder is not None:
        pid = holder.pid
        state = None
        with suppress(OSError):
            state = re.search(r"^State:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)
        who = f"the supervisor (process {pid}" + (f", {state[1]})" if state else ")")
        silent = time.time() - holder.renewed_wall
        since = f"; its last sign of life was {silent:.0f} s ago"
        since += f". If it is stopped, `kill -CONT {pid}` lets it go on; else end it with"
        since += f" `kill -9 {pid}` and start `myha run`: clients do not notice that"
    return SupervisorAwayError(f"{who} does not answer within {timeout_seconds:g} s{since}")


def _ask(path: Path, request: Data, timeout_seconds: float) -> Data:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout_seconds)
            client.connect(str(path))
            client.sendall(json.dumps(request).encode() + b"\n")
            with client.makefile("rb") as lines:
                line = lines.readline()
    except (FileNotFoundError, ConnectionRefusedError):
        raise SupervisorAwayError(
            f"no supervisor is running here ({path} does not answer); start it with `myha run`"
        ) from None
    except PermissionError:
        raise MyhaError(f"{path} belongs to another user: run this as the user of myha") from None
    except TimeoutError:
        raise _hangs(path, timeout_seconds) from None
    except OSError as error:
        raise MyhaError(f"{path}: {error.strerror or error}") from None
    if not line:
        raise SupervisorAwayError("the supervisor ended before it answered; see its log")
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

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path = path
        self._handle = handle
        self._free = threading.BoundedSemaphore(MAX_CLIENTS)
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
            self.path.unlink(missing_ok=True)
