"""Which of the configured nodes is the writer, and how a comparison logs in to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from myha.config import Account, Config
from myha.core.policy import Mode
from myha.core.settings import is_on
from myha.database.connection import Connect
from myha.database.flavours import Flavour, flavour_of
from myha.database.session import Session
from myha.errors import ConfigError, MyhaError
from myha.operations.log_in import connector, flavour_at, log_in
from myha.stores.factory import read_record, require_record

LOOK_DEADLINE_SECONDS = 10.0


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
    """The pair with the supervisor's account.

    Before it is on record with the administrator's: what setup found to differ can be looked at.
    Raises MyhaError when the two are not a pair yet.
    """
    return _pair(config, config.accounts.supervisor)


def administered(config: Config) -> Pair:
    """The pair with the administrator's account. ConfigError when its password is not there."""
    return _pair(config, config.accounts.admin)


def _not_yet_on_record(config: Config) -> Pair:
    """Two servers that replicate; the writer is the one that is open, where only one is."""
    account = config.accounts.admin()
    opened, replicates, flavour = [], False, None
    for name in config.names:
        with Session(log_in(config, name, account), LOOK_DEADLINE_SECONDS, where=name) as session:
            flavour = flavour_of(session)
            replicates = replicates or bool(flavour.channels(session))
            if not is_on(session.variable("read_only") or "OFF"):
                opened.append(name)
            if not is_on(session.variable("gtid_mode") or "ON"):
                raise MyhaError(
                    f"{name}: has no GTIDs yet, by which one moment of both nodes is found: "
                    "`myha setup` switches them on before it compares"
                )
    if not replicates or flavour is None:
        require_record(config)  # says what is to be done
    assert flavour is not None
    writer = opened[0] if len(opened) == 1 else config.failover.preferred or config.names[0]
    return _by_role(config, flavour, writer, account)


def _pair(config: Config, account: Callable[[], Account]) -> Pair:
    record = read_record(config)
    if record is None:
        return _not_yet_on_record(config)
    if record.writer not in config.nodes:
        raise ConfigError(
            f"the writer on record, {record.writer!r}, is not a node of this configuration"
        )
    ours = account()
    return _by_role(config, flavour_at(config, record.writer, ours), record.writer, ours)


def _by_role(config: Config, flavour: Flavour, writer: str, account: Account) -> Pair:
    standby = next(name for name in config.names if name != writer)
    both_ways = config.cluster.mode is Mode.DUAL_WRITER
    return Pair(flavour, writer, standby, both_ways, account, config)
