"""Which of the configured nodes is the writer, and how a comparison logs in to them."""

from __future__ import annotations

from dataclasses import dataclass

from myha.config import Account, Config
from myha.core.policy import Mode
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import ConfigError
from myha.operations.log_in import connector, flavour_at
from myha.stores.factory import require_record


@dataclass(frozen=True, slots=True)
class Pair:
    """The two nodes by role, as the record has them now."""

    flavour: Flavour
    writer: str
    standby: str
    both_ways: bool
    account: Account
    config: Config

    def connect(self, node: str) -> Connect:
        return connector(self.config, node, self.account)

    def peer(self, node: str) -> str:
        return self.standby if node == self.writer else self.writer


def supervised(config: Config) -> Pair:
    """The pair with the supervisor's account. Raises MyhaError when there is no record yet."""
    return _pair(config, config.accounts.supervisor())


def administered(config: Config) -> Pair:
    """The pair with the administrator's account. ConfigError when its password is not there."""
    return _pair(config, config.accounts.admin())


def _pair(config: Config, account: Account) -> Pair:
    record = require_record(config)
    if record.writer not in config.nodes:
        raise ConfigError(
            f"the writer on record, {record.writer!r}, is not a node of this configuration"
        )
    standby = next(name for name in config.nodes if name != record.writer)
    return Pair(
        flavour=flavour_at(config, record.writer, account),
        writer=record.writer,
        standby=standby,
        both_ways=config.cluster.mode is Mode.DUAL_WRITER,
        account=account,
        config=config,
    )
