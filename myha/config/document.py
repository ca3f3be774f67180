"""A whole myha.toml as one value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, field_validator, model_validator

from myha.config.accounts import AccountsConfig
from myha.config.address import AddressConfig
from myha.config.balancers import BalancerConfig
from myha.config.dns import DnsConfig
from myha.config.etcd import EtcdConfig
from myha.config.files import Document
from myha.config.messages import HookConfig, NotifyConfig
from myha.config.retention import RetentionConfig
from myha.config.tables import (
    ClusterConfig,
    ConflictsConfig,
    FailoverConfig,
    HealConfig,
    LagConfig,
    LogConfig,
    NodeConfig,
    ReplicaConfig,
    ServerConfig,
    TimingConfig,
    VerifyConfig,
)
from myha.config.values import Table, split_address
from myha.core.policy import AddressPolicy, Policy
from myha.core.values import value
from myha.core.watchdog import Watchdog


def _unchanged() -> bool:
    return False


@value(frozen=True, slots=True)
class Origin:
    """Where the configuration of a pair came from.

    `path` is the file, `document` what it says of the pair, shared tables included, and `folder`
    where relative paths count from. `control_dir` has the control socket of the process that
    supervises it; None: its state_dir. `several`: there may be other pairs, so that commands have
    to name this one.
    """

    path: Path
    document: Document
    folder: Path
    changed: Callable[[], bool] = _unchanged
    control_dir: Path | None = None
    several: bool = False


class Config(Table):
    """The configuration of one pair, checked: a whole myha.toml, or a pair's part of one."""

    cluster: ClusterConfig = Field(description="The pair.")
    nodes: dict[str, NodeConfig] = Field(description="Exactly two nodes; their names are yours.")
    replicas: dict[str, ReplicaConfig] = Field(
        description="Read replicas beside the pair, if any; their names are yours."
    )
    etcd: EtcdConfig = Field(description='Where the record is, with cluster.store = "etcd".')
    accounts: AccountsConfig = Field(description="Logins.")
    balancers: dict[str, BalancerConfig] = Field(description="One or more balancers.")
    address: AddressConfig = Field(description="The address that the balancers share.")
    dns: DnsConfig = Field(description="A name that follows the writer.")
    timing: TimingConfig = Field(description="Intervals and deadlines.")
    lag: LagConfig = Field(description="When a reader lags too much.")
    failover: FailoverConfig = Field(description="How much is decided unattended.")
    heal: HealConfig = Field(description="How a node that returns is brought back.")
    conflicts: ConflictsConfig = Field(description="The live reader of write conflicts.")
    verify: VerifyConfig = Field(description="How the rows of the nodes are compared.")
    notify: dict[str, NotifyConfig] = Field(
        description="Channels that messages are sent through, if any; their names are yours."
    )
    hooks: dict[str, HookConfig] = Field(
        description="Commands that are run at events, if any; their names are yours."
    )
    retention: RetentionConfig = Field(description="How long journal and quarantine keep things.")
    log: LogConfig = Field(description="What is written to standard error.")

    _origin: Origin = PrivateAttr(default=Origin(Path("myha.toml"), {}, Path()))

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._origin = context["origin"]

    @model_validator(mode="before")
    @classmethod
    def _tables_to_leave_out(cls, document: object) -> object:
        if not isinstance(document, dict):
            return document
        named = {"nodes", "balancers"}
        return {table: {} for table in cls.model_fields if table not in named} | document

    @field_validator("nodes", mode="before")
    @classmethod
    def _offsets_by_order(cls, nodes: object) -> object:
        if not isinstance(nodes, dict):
            return nodes
        return {
            name: {"auto_increment_offset": order} | table if isinstance(table, dict) else table
            for order, (name, table) in enumerate(list(nodes.items())[:2], start=1)
        } | dict(list(nodes.items())[2:])

    @property
    def path(self) -> Path:
        """The file, absolute."""
        return self._origin.path

    @property
    def document(self) -> Document:
        """What the file says of this pair, as it was loaded."""
        return self._origin.document

    @property
    def order(self) -> dict[str, Any]:
        """What another process of myha makes the same configuration of: `load_ordered`. As JSON."""
        origin = self._origin
        return {
            "config": str(origin.path),
            "document": origin.document,
            "folder": str(origin.folder),
            "several": origin.several,
        }

    @property
    def control_dir(self) -> Path:
        """The folder of the control socket."""
        return self._origin.control_dir or self.cluster.state_dir

    @property
    def option(self) -> str:
        """What a command needs to find this pair among others: ` --pair NAME`, or nothing."""
        return f" --pair {self.cluster.name}" if self._origin.several else ""

    def changed_on_disk(self) -> bool:
        """Whether the file is no longer what was loaded (edited, removed or unreadable).

        Of a pair among others the process around it knows that.
        """
        return self._origin.changed()

    @property
    def names(self) -> tuple[str, str]:
        """The two nodes' names, in file order."""
        first, second = self.nodes
        return first, second

    @property
    def writer_address(self) -> tuple[str, int]:
        """Where a client that writes connects: the shared address, or the first balancer's."""
        host, port = split_address(next(iter(self.balancers.values())).writer_listen)
        return (self.address.host if self.address.ip else host), port

    @property
    def servers(self) -> dict[str, ServerConfig]:
        """Every database server by name: the two nodes, then the replicas."""
        return {**self.nodes, **self.replicas}

    def table_of(self, server: str) -> str:
        """The table of a node or replica in the file, for messages."""
        return f"{'replicas' if server in self.replicas else 'nodes'}.{server}"

    def policy(self) -> Policy:
        """As much of the configuration as decisions depend on."""
        first, second = self.nodes.values()
        return Policy(
            nodes=self.names,
            sources=(first.replication_address, second.replication_address),
            balancers=tuple(self.balancers),
            followers=tuple(self.replicas),
            delays=tuple(replica.delay_seconds for replica in self.replicas.values()),
            mode=self.cluster.mode,
            durability=self.cluster.durability,
            deadtime_seconds=self.timing.deadtime_seconds,
            heartbeat_period_seconds=self.timing.heartbeat_period_seconds,
            applied_deadline_seconds=self.timing.applied_deadline_seconds,
            lag_out_seconds=self.lag.out_seconds,
            lag_in_seconds=self.lag.in_seconds,
            lag_in_hold_seconds=self.lag.in_hold_seconds,
            max_outage_seconds=self.timing.max_outage_seconds,
            stalled_seconds=self.failover.stalled_seconds,
            flap_limit=self.failover.flap_limit,
            flap_window_seconds=self.failover.flap_window_seconds,
            flap_settled_seconds=self.failover.flap_settled_seconds,
            auto_failback=self.failover.auto_failback,
            preferred=self.failover.preferred,
            failback_after_seconds=self.failover.failback_after_seconds,
            fence_commands=tuple(n for n, node in self.nodes.items() if node.fence_command),
            heal=self.heal.policy,
            stray_replicas=self.cluster.stray_replicas,
            replication_user=self.accounts.replication_user,
            address=AddressPolicy(
                self.address.auto_failback,
                self.address.preferred,
                self.address.failback_after_seconds,
            )
            if self.address.ip
            else None,
            watchdog=Watchdog(watched) if (watched := self.failover.watchdog_seconds) else None,
            leave_sessions=tuple(n for n, one in self.balancers.items() if not one.ends_sessions),
        )
