"""What every way of healing works with: the order, the two servers, the record that allows it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from myha.config import Account, Config, load
from myha.core.model import Cause
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import ConfigError, MyhaError
from myha.operations.log_in import connector
from myha.ports import WatchedServer
from myha.progress import Reporter
from myha.servers.factory import adapter_of, make_servers
from myha.stores.factory import read_record
from myha.undo.quarantine import FOLDER as QUARANTINE_FOLDER
from myha.undo.rewind import finish_rewind

RECORD_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class HealOrder:
    """Which node, by which method, for which heal on record, and under which writer and epoch."""

    node: str
    method: str
    id: int
    writer: str
    epoch: int
    accept_loss: bool = False

    @staticmethod
    def of(raw: Mapping[str, Any]) -> HealOrder:
        return HealOrder(
            node=str(raw["node"]),
            method=str(raw["method"]),
            id=int(raw["id"]),
            writer=str(raw["writer"]),
            epoch=int(raw["epoch"]),
            accept_loss=bool(raw.get("accept_loss", False)),
        )


def off_record(config: Config, order: HealOrder) -> str:
    """Why the record does not say that this heal is under way; empty when it does."""
    record = read_record(config)
    if record is None:
        return f"there is no record in {config.cluster.state_dir}"
    if (record.writer, record.epoch) != (order.writer, order.epoch):
        return f"the writer on record is {record.writer} since epoch {record.epoch}"
    entry = record.node(order.node)
    if entry.cause is not Cause.HEALING or entry.heal is None:
        return f"{order.node} is not on record as being healed: it is {entry.membership}"
    if (entry.heal.id, entry.heal.method) != (order.id, order.method):
        return f"{order.node} is being healed by {entry.heal.method} on record, for another reason"
    return ""


class GuardedReporter:
    """A reporter that says stop as soon as the record no longer allows the heal."""

    def __init__(self, reporter: Reporter, config: Config, order: HealOrder) -> None:
        self._reporter = reporter
        self._config = config
        self._order = order
        self._asked_at = float("-inf")
        self._why = ""
        self.progress = reporter.progress
        self.event = reporter.event

    def cancelled(self) -> bool:
        now = time.monotonic()
        if not self._why and now - self._asked_at >= RECORD_EVERY_SECONDS:
            self._asked_at = now
            self._why = off_record(self._config, self._order)
        return bool(self._why) or self._reporter.cancelled()

    def require_record(self) -> None:
        """Raises `MyhaError` with the reason; asked anew just before something is changed."""
        self._why = self._why or off_record(self._config, self._order)
        if self._why:
            raise MyhaError(f"nothing was changed: {self._why}")


class HealWork:
    """One heal under way. Raises as `adapter_of` when made while neither node answers."""

    def __init__(self, config_path: Path, order: HealOrder, reporter: Reporter) -> None:
        self.config: Config = load(config_path)
        self.order = order
        self.reporter = GuardedReporter(reporter, self.config, order)
        kind = adapter_of(self.config)
        self.flavour: Flavour = kind.flavour
        servers = make_servers(self.config, kind, before_replication=finish_rewind)
        self.node: WatchedServer = servers[order.node]
        self.writer: WatchedServer = servers[order.writer]
        self.quarantine_dir = self.config.cluster.state_dir / QUARANTINE_FOLDER

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
