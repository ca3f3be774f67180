"""Where HTTP is answered: the socket, and a port that stays the same over restarts."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path

from myha.config import ApiConfig
from myha.errors import MyhaError
from myha.files import replacing

PORT_FILE = "api.port"
BACKLOG = 512


def listening(api: ApiConfig, state_dir: Path) -> tuple[socket.socket, str]:
    """The socket, and what there is to say of it, if anything. Raises MyhaError."""
    if api.port:
        try:
            return _bound(api.host, api.port), ""
        except OSError as error:
            raise MyhaError(_why(api, error)) from None
    kept = _kept_port(state_dir)
    try:
        return _bound(api.host, kept), ""
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not kept:
            raise MyhaError(_why(api, error)) from None
    return _bound(api.host, 0), f"port {kept} of {api.host}, used before, is taken: another one"


def try_listening(api: ApiConfig, own_port: int) -> None:
    """Raises MyhaError when the configured port could not be had by whoever has `own_port` now."""
    try:
        _bound(api.host, 0 if api.port == own_port else api.port).close()
    except OSError as error:
        raise MyhaError(_why(api, error)) from None


def keep(state_dir: Path, port: int) -> str:
    """Have the same port the next time; why that cannot be, if so."""
    if _kept_port(state_dir) == port:
        return ""
    return _keep(state_dir, port)


def url_of(api: ApiConfig, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    scheme = "https" if api.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: an answer in two pieces would else wait 40 ms for the delayed
        # acknowledgement of its first one. asyncio sees to that itself only where the socket says
        # that its protocol is TCP.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind((host, port))
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _kept_port(state_dir: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        port = int((state_dir / PORT_FILE).read_text(encoding="ascii"))
        return port if 0 < port < 65536 else 0
    return 0


def _keep(state_dir: Path, port: int) -> str:
    try:
        with replacing(state_dir / PORT_FILE) as file:
            file.write(f"{port}\n".encode())
    except OSError as error:
        why = error.strerror or error
        return f"{state_dir / PORT_FILE} cannot be written ({why}): the port may change"
    return ""


def _why(api: ApiConfig, error: OSError) -> str:
    where = api.listen or api.host
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by another program: end that, or set api.listen to another port"
    return f"cannot listen at {where}: {error.strerror or error}"
