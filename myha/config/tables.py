"""The tables of myha.toml: every key with its meaning, bounds and default."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from myha.config.accounts import AccountsConfig
from myha.config.address import AddressConfig
from myha.config.api import ApiConfig
from myha.config.balancers import HAProxyConfig
from myha.config.dns import DnsConfig
from myha.config.etcd import EtcdConfig
from myha.config.messages import HookConfig, NotifyConfig
from myha.config.retention import RetentionConfig
from myha.config.values import (
    FilePath,
    Host,
    OptionalPath,
    Port,
    Table,
    Words,
    join_address,
)
from myha.core.policy import Durability, Mode, StrayRule

DOCKER_STOP_SECONDS = 300  # before the engine kills a server that is shutting down
HEAL_WAYS = ("resume", "merge", "rewind", "reseed", "manual")


class ClusterConfig(Table):
    """What the pair is, what a client's OK promises, and where the supervisor keeps its record."""

    name: str = Field("main", description="Name of the pair in messages and the journal.")
    mode: Mode = Field(
        Mode.SINGLE_WRITER,
        strict=False,
        description='"single-writer": one writer, reads on both; "dual-writer": both take writes.',
    )
    durability: Durability = Field(
        Durability.LOSSLESS,
        strict=False,
        description="What a client's OK promises: "
        '"lossless" (the standby has the write), "bounded" (the same, but a commit waits for it '
        'only bounded_timeout_seconds), "async" (the writer has it). '
        '"dual-writer" takes "bounded" or "async".',
    )
    bounded_timeout_seconds: float = Field(
        1.0,
        ge=0.01,
        le=60,
        description='How long a commit waits for the standby with durability = "bounded".',
    )
    stray_replicas: StrayRule = Field(
        StrayRule.SOLO,
        strict=False,
        description="What to do when a replica outside the pair has semi-sync on and so could "
        'acknowledge in place of the standby: "solo" (the writer is not armed while that is so), '
        '"wait-for-all" (MySQL: a commit waits for those replicas and for the standby; MariaDB '
        'cannot do that and does the same as with "solo").',
    )
    event_scheduler: bool = Field(
        default=True,
        description="Whether the servers run scheduled events: setup sets event_scheduler so on "
        "both nodes. Events run on the writer only, wherever that is.",
    )
    store: Literal["local", "etcd"] = Field(
        "local",
        description='Where the record of the pair is kept: "local" (files in state_dir, one '
        'supervisor) or "etcd" (any number of supervisors; see [etcd]).',
    )
    state_dir: FilePath = Field(
        Path("/var/lib/myha"),
        description="Folder of the record, the journal, the lock and the control socket.",
    )


class ServerConfig(Table):
    """One database server: how to reach it, and what this machine can do to it."""

    host: Host = Field(
        description="Address at which the supervisor and the balancers reach the node."
    )
    port: Port = Field(3306, description="Its port for SQL.")
    option_file: OptionalPath = Field(
        None,
        description="Where setup installs the node's option file fragment, a path on this "
        "machine; empty: setup shows the fragment instead.",
    )
    pid_file: OptionalPath = Field(
        None,
        description="The server's pid file, if it runs on this machine: lets the drill and a "
        "reseed act on the process. Goes with start_command.",
    )
    start_command: Words = Field(
        (),
        description="Command with arguments that starts the server again after a drill or a "
        "reseed. Goes with pid_file, or with stop_command.",
    )
    stop_command: Words = Field(
        (),
        description="Command with arguments that ends the server for a drill or a reseed, and "
        "returns when it has ended. Goes with start_command, in place of pid_file.",
    )
    container: str = Field(
        "",
        max_length=128,
        pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$",
        description="The Docker container that the server runs in, if `docker` on this machine can "
        "act on it: lets the drill kill and freeze it, and gives start_command and stop_command "
        "their defaults (`docker start`, `docker stop -t 300`). In place of pid_file.",
    )
    shell: Words = Field(
        (),
        description="Command that runs a shell script on the node's host, for a drill or a reseed; "
        'myha appends the script as the last word: ["ssh", "-o", "BatchMode=yes", "mysql@db1"], '
        '["docker", "exec", "-i", "db1", "sh", "-c"]. Empty: the node is on this machine.',
    )
    data_dir: OptionalPath = Field(
        None,
        description="The server's data directory, on its host: lets a reseed replace it. Needs "
        "start_command; on another machine also shell.",
    )
    init_command: Words = Field(
        (),
        description="Command with arguments that makes an empty data_dir with the administrator's "
        "account in it, for a reseed of a node whose data directory is lost. Needs data_dir.",
    )
    backup_command: Words = Field(
        (),
        description="Command that starts mariabackup on the node's host (mbstream must be there "
        "too), for a reseed on MariaDB, of this node or from it; empty: the one on PATH there.",
    )

    @model_validator(mode="before")
    @classmethod
    def _container_commands(cls, data: object) -> object:
        container = data.get("container") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(container, str) or not container:
            return data
        # Lists, as the file has them: they are checked like the user's own.
        start, stop = ["docker", "start"], ["docker", "stop", "-t", str(DOCKER_STOP_SECONDS)]
        own = {"start_command": [*start, container], "stop_command": [*stop, container]}
        return own | data

    @property
    def address(self) -> str:
        """`host:port` for clients, the supervisor and the balancers."""
        return join_address(self.host, self.port)


class NodeConfig(ServerConfig):
    """One database server: how to reach it, and what this machine can do to it."""

    replication_host: Host = Field(
        "",
        validate_default=False,
        description="Address at which the other node reaches it.",
        json_schema_extra={"shown_default": "the same as host"},
    )
    replication_port: Port = Field(
        0,
        validate_default=False,
        description="Port at which the other node reaches it.",
        json_schema_extra={"shown_default": "the same as port"},
    )
    auto_increment_offset: int = Field(
        0,
        ge=1,
        le=2,
        validate_default=False,
        description="Which ids this node generates: 1 for odd ones, 2 for even ones.",
        json_schema_extra={"shown_default": "1 for the first node, 2 for the second"},
    )
    dns_address: str = Field(
        "",
        description="The IP address that dns.name gets while this node is the writer: that of a "
        "balancer beside it, say. Needed with dns.server.",
    )
    fence_command: Words = Field(
        (),
        description="Command with arguments that fences the node from outside (power, network); "
        "exit status 0 must mean that it is fenced for certain. Empty: there is none.",
    )

    @model_validator(mode="before")
    @classmethod
    def _replication_address(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        # A wrong host or port is complained of once, under the user's own key: it is not copied.
        own: dict[str, object] = {}
        host, port = data.get("host"), data.get("port", 3306)
        if isinstance(host, str) and host:
            own["replication_host"] = host
        if isinstance(port, int) and 1 <= port <= 65535:
            own["replication_port"] = port
        return own | data

    @field_validator("dns_address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        try:
            return str(ip_address(address)) if address else address
        except ValueError:
            raise ValueError("must be an IP address, without a port") from None

    @property
    def replication_address(self) -> str:
        """`host:port` for the peer."""
        return join_address(self.replication_host, self.replication_port)


class ReplicaConfig(ServerConfig):
    """A read replica beside the pair: it follows the writer and serves reads, and never writes."""

    weight: int = Field(
        100,
        ge=1,
        le=256,
        description="Its share of the reads, beside the nodes of the pair, which have 100 each.",
    )
    delay_seconds: int = Field(
        0,
        ge=0,
        le=2_592_000,
        description="It applies a change so long after the change was made. Above lag.out_seconds "
        "it serves no reads.",
    )


class TimingConfig(Table):
    """How often to check, how long to wait (in seconds), and with which priority."""

    deadtime_seconds: float = Field(
        1.5, ge=0.2, le=300, description="A writer that is silent for this long is lost."
    )
    look_interval_seconds: float = Field(
        0.5, ge=0.02, le=10, description="Time between two checks of a node or balancer."
    )
    pulse_interval_seconds: float = Field(
        0.5, ge=0.05, le=10, description="Time between two writes of the heartbeat row."
    )
    call_deadline_seconds: float = Field(
        1.0, ge=0.05, le=60, description="How long one call to a server or a balancer may take."
    )
    heartbeat_period_seconds: float = Field(
        0.5,
        ge=0.1,
        le=60,
        description="Heartbeat of an idle replication channel; a node that its peer still hears is "
        "alive.",
    )
    applied_deadline_seconds: float = Field(
        30.0,
        ge=0.1,
        le=86400,
        description="How long a change of writer waits until the new one has applied all it "
        "received.",
    )
    max_outage_seconds: float = Field(
        0.2,
        ge=0.05,
        le=60,
        description="How long writes may stop for a switchover. It begins when the standby is "
        "close enough behind for that, and is undone if it takes longer.",
    )
    switchover_wait_seconds: float = Field(
        60.0,
        ge=1,
        le=86400,
        description="How long `myha switchover` waits for the standby to be close enough behind.",
    )
    niceness: int = Field(
        -10,
        ge=-20,
        le=0,
        description="Niceness of the supervisor and the conflict reader. Below 0 they run ahead of "
        "other processes on a busy machine, if the kernel permits it (root, or LimitNICE= in the "
        "unit). 0: like any other process.",
    )


class LagConfig(Table):
    """When a reader lags too much to serve reads. All in seconds."""

    out_seconds: float = Field(
        10.0, ge=0.1, le=86400, description="A reader that lags more leaves the reader pool."
    )
    in_seconds: float = Field(
        2.0, ge=0.1, le=86400, description="It may come back when it lags less than this."
    )
    in_hold_seconds: float = Field(
        5.0, ge=0, le=3600, description="For how long it must lag less than in_seconds first."
    )


class FailoverConfig(Table):
    """How much the supervisor may decide unattended."""

    stalled_seconds: float = Field(
        10.0,
        ge=0,
        le=86400,
        description="A writer that is there and commits nothing for this long, as when its disk is "
        "full or stops, is replaced; a standby that receives nothing is not waited for; 0: never.",
    )
    flap_limit: int = Field(
        3,
        ge=1,
        le=100,
        description="How many unattended failovers are allowed within flap_window_seconds. After "
        "that only by hand, or when the writer is proven dead, the standby has everything, and the "
        "writer had been the writer for flap_settled_seconds.",
    )
    flap_window_seconds: float = Field(
        600.0, ge=1, le=604800, description="The time over which failovers are counted, in seconds."
    )
    flap_settled_seconds: float = Field(
        60.0,
        ge=1,
        le=86400,
        description="A writer that dies sooner than this after it took over is part of a "
        "failover loop.",
    )
    watchdog_seconds: float = Field(
        0.0,
        ge=0,
        le=3600,
        description='With durability "bounded" or "async": a writer that hears nothing from the '
        "supervisor closes itself, so that the standby may take over, all margins included, this "
        "long after the supervisor last reached it. 0: it does not, and a writer that is silent is "
        "replaced only with a fence_command.",
    )
    auto_failback: bool = Field(
        default=False,
        description="Give the writer role back to the preferred node by switchover.",
    )
    preferred: str = Field("", description="The node that should be the writer; empty: neither.")
    failback_after_seconds: float = Field(
        300.0,
        ge=0,
        le=604800,
        description="For how long both nodes must have been healthy before that.",
    )


class HealConfig(Table):
    """How a node that returns is healed."""

    policy: Words = Field(
        ("resume", "rewind", "manual"),
        description='Ways to try, in order: "resume" (nothing to undo), "merge" (apply its '
        'errant transactions on the writer), "rewind" (undo them on the node), "reseed" (replace '
        'its data), "manual" (leave it fenced and say why; must be last).',
    )
    verify_limit_seconds: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="After a merge or rewind, how long the tables that it touched are compared at "
        "most before the node rejoins; 0: until all their rows are compared. The writer runs alone "
        "until the node rejoins.",
    )

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: tuple[str, ...]) -> tuple[str, ...]:
        for way in policy:
            if way not in HEAL_WAYS:
                raise ValueError(f"does not know {way!r}; choose from {', '.join(HEAL_WAYS)}")
        if not policy or len(set(policy)) != len(policy):
            raise ValueError('must name each way once, at least "manual"')
        if "manual" in policy[:-1]:
            raise ValueError('must have "manual" last: nothing after it would be tried')
        return policy


class VerifyConfig(Table):
    """How the rows of the two nodes are compared, and how often by the daemon."""

    every_seconds: float = Field(
        0.0,
        ge=0,
        le=31_536_000,
        description="Time between the daemon's own comparisons; 0: none, only `myha verify` "
        "compares.",
    )
    tables: Words = Field(
        (), description='Tables that the daemon compares, as "schema.table"; empty: all.'
    )
    busy_percent: float = Field(
        100.0,
        ge=1,
        le=100,
        description="For which percentage of the time a comparison may keep its session on each "
        "node busy.",
    )
    chunk_seconds: float = Field(
        0.1, ge=0.01, le=60, description="How long the query of one chunk should take."
    )
    lag_limit_seconds: float = Field(
        1.0,
        ge=0.05,
        le=3600,
        description="A comparison pauses while the standby lags more than this, and slows down "
        "while a smaller lag grows.",
    )

    @field_validator("tables")
    @classmethod
    def _qualified(cls, tables: tuple[str, ...]) -> tuple[str, ...]:
        for name in tables:
            schema, _, table = name.partition(".")
            if not schema or not table:
                raise ValueError(f'{name!r} must be "schema.table"')
        return tables


class ConflictsConfig(Table):
    """The live reader of write conflicts, a process of its own."""

    enabled: bool = Field(
        default=True,
        description='Read both binary logs: always with mode = "dual-writer", around a failover '
        'with "single-writer".',
    )
    after_failover_seconds: float = Field(
        300.0,
        ge=0,
        le=86400,
        description='How long it reads after a failover with mode = "single-writer".',
    )
    audit: bool = Field(
        default=True,
        description="Also report ids that do not fit the auto_increment_offset of their node.",
    )


class LogConfig(Table):
    """What `myha run` writes to standard error; one for all pairs of a process."""

    format: Literal["text", "json"] = Field(
        "text",
        description='"text": lines for people; "json": one JSON object a line, for programs.',
    )


TABLES: dict[str, type[Table]] = {
    "cluster": ClusterConfig,
    "nodes": NodeConfig,
    "replicas": ReplicaConfig,
    "accounts": AccountsConfig,
    "etcd": EtcdConfig,
    "balancers": HAProxyConfig,
    "address": AddressConfig,
    "dns": DnsConfig,
    "timing": TimingConfig,
    "lag": LagConfig,
    "failover": FailoverConfig,
    "heal": HealConfig,
    "conflicts": ConflictsConfig,
    "verify": VerifyConfig,
    "notify": NotifyConfig,
    "hooks": HookConfig,
    "retention": RetentionConfig,
    "log": LogConfig,
    "api": ApiConfig,
}


def shown_default(table: str, key: str) -> str:
    """A key's default as the documentation and `myha init` show it; empty when it must be given."""
    field = TABLES[table].model_fields[key]
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown_default" in extra:
        return str(extra["shown_default"])
    return "" if field.is_required() else toml_value(field.default)


def toml_value(value: object) -> str:
    """A default written as TOML."""
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str | Path):
        return f'"{value}"'
    return str(value)
