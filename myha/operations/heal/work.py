"""What every way of healing works with: the order, the two servers, the record that allows it."""

from __future__ import annotations

import json
from typing import Any, cast

from myha.config import Account, Config
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import ConfigError, MyhaError
from myha.operations.heal.permit import HealPermit
from myha.operations.log_in import connector
from myha.ports import FollowingServer, JobOrder, WatchedServer
from myha.progress import Reporter, WithPermit
from myha.servers.factory import adapter_of, make_followers, make_servers
from myha.undo.quarantine import FOLDER as QUARANTINE_FOLDER
from myha.undo.rewind import finish_rewind


class HealWork:
    """One heal under way. Raises as `adapter_of` when made while neither node answers."""

    def __init__(self, config: Config, order: JobOrder, reporter: Reporter) -> None:
        self.config = config
        self.order = order
        self.permit = HealPermit(reporter.permit, self.config, order)
        self.reporter: Reporter = WithPermit(reporter, self.permit)
        kind = adapter_of(self.config)
        self.flavour: Flavour = kind.flavour
        self._replica: FollowingServer | None = None
        self.node: WatchedServer
        if order.node in self.config.replicas:
            # Without its delay: what it has is compared when it has caught up.
            made = make_followers(
                self.config, kind=kind, before_replication=finish_rewind, delayed=False
            )[order.node]
            self.node = self._replica = made.server
            self.writer: WatchedServer = made.nodes[order.writer]
        else:
            servers = make_servers(self.config, kind, before_replication=finish_rewind)
            self.node, self.writer = servers[order.node], servers[order.writer]
        self.quarantine_dir = self.config.cluster.state_dir / QUARANTINE_FOLDER

    def restore_source(self, deadline_seconds: float, *, clears_filters: bool) -> None:
        """The node's channel is that to the writer."""
        if self._replica is not None:
            writer = self.order.writer
            self._replica.follow(writer, deadline_seconds, clears_filters=clears_filters)
        else:
            self.node.restore_source(deadline_seconds, clears_filters=clears_filters)

    @property
    def incident(self) -> dict[str, str]:
        """What the quarantine notes of it; `heal` is how this heal finds its own again."""
        order = self.order
        return {
            "node": order.node,
            "writer": order.writer,
            "epoch": str(order.epoch),
            "heal": str(order.id),
            "method": order.method,
        }

    def connector(self, node: str, *, admin: bool = False) -> Connect:
        """Makes connections to a node: the supervisor's, or where it is there the admin's."""
        account = self.config.accounts.supervisor()
        if admin:
            account = admin_account(self.config) or account
        return connector(self.config, node, account)

    def quarantined_tables(self) -> frozenset[str]:
        """The tables that this heal's transactions changed, as the quarantine has them."""
        found: set[str] = set()
        for path in self.quarantine_dir.glob("*/summary.json"):
            try:
                summary = json.loads(path.read_text())
            except (OSError, ValueError) as error:
                raise MyhaError(f"{path}: cannot be read: {error}") from None
            incident = cast("dict[str, Any]", summary.get("incident") or {})
            mine = (incident.get("node"), incident.get("heal"))
            if mine == (self.order.node, str(self.order.id)):
                found.update(summary.get("tables") or {})
        return frozenset(found)

    def close(self) -> None:
        self.node.disconnect()
        self.writer.disconnect()


def admin_account(config: Config) -> Account | None:
    """The administrator's login, None when its password is not there for us."""
    try:
        return config.accounts.admin()
    except ConfigError:
        return None
