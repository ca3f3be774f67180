"""The drill's own load, for the parts that measure something beside it."""

from __future__ import annotations

from pathlib import Path

from myha.drill.target import DATABASE, Target
from myha.drill.worker import Order


def order(target: Target, directory: Path, clients: int) -> Order:
    """Clients that write through the balancer as fast as they can, ledgers in `directory`."""
    host, port = target.writer_address
    return Order(
        host=host,
        port=port,
        user=target.account.user,
        password=target.account.password.get_secret_value(),
        database=DATABASE,
        flavour=target.flavour.name,
        directory=str(directory),
        clients=clients,
        seed=1,
    )


def server(report: dict[str, object]) -> str:
    """The server's name and version, from a report's `flavour` and `server_version`."""
    version = str(report["server_version"]).partition("-")[0]
    return f"{'MySQL' if report['flavour'] == 'mysql' else 'MariaDB'} {version}"


def met(good: bool) -> str:
    """How a target is judged."""
    return "met" if good else "**not met**"
