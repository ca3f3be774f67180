"""The ids of the servers' present lives, as the supervisor will see them."""

from __future__ import annotations

from myha.config import Config
from myha.servers.factory import make_servers


def boot_ids(config: Config) -> dict[str, str]:
    """By node, seen with the supervisor's own account. Raises ServerError when it cannot look."""
    servers = make_servers(config)
    try:
        return {name: server.look().boot_id for name, server in servers.items()}
    finally:
        for server in servers.values():
            server.disconnect()
