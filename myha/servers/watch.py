"""Whether a port refuses connections: the proof that no server process is behind it."""

from __future__ import annotations

import socket


def tcp_refused(host: str, port: int, timeout_seconds: float) -> bool | None:
    """Whether the port refuses connections: False when it accepts, None when nobody answers."""
    try:
        with socket.create_connection((host, port), timeout_seconds):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return None
