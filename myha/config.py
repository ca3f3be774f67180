"""myha.toml as frozen values: every key with its meaning, bounds and default, and how keys relate.

Passwords are not part of the values: they are read when an account is asked for, from the
environment or from a file that only its owner can read. Every complaint is a ConfigError that names
the file, the dotted key and the remedy, one line for each problem.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from myha.core.model import Durability, Mode, Policy
from myha.errors import ConfigError

DEFAULT_PATHS = (Path("myha.toml"), Path("/etc/myha/myha.toml"))
FILE_LIMIT_BYTES = 1 << 20
PASSWORD_LIMIT_BYTES = 4096
SOCKET_PATH_LIMIT_BYTES = 96  # 107 in the kernel; HAProxy binds it under a longer, temporary name
REPLICATION_PASSWORD_LIMIT_CHARS = 32  # what CHANGE REPLICATION SOURCE / CHANGE MASTER accept
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")
HEAL_WAYS = ("resume", "merge", "rewind", "reseed", "manual")

Role = Literal["admin", "supervisor", "replication", "drill"]
Problem = tuple[str, str]  # dotted key; what is wrong with it and what to do


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` in its parts; ValueError when it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('must put an IPv6 address in brackets, like "[::1]:3307"')
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not colon or not host or any(c.isspace() for c in host) or not 1 <= number <= 65535:
        raise ValueError('must be "host:port" with a port from 1 to 65535, like "127.0.0.1:3307"')
    return host, number


def join_address(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_unix_socket(socket: str) -> bool:
    """Whether a balancer's `socket` is a path rather than `host:port`."""
    return "/" in socket


def _rooted(value: object, info: ValidationInfo) -> object:
    """A path counted from the configuration file's folder; an empty one is None."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    folder = info.context["path"].parent if info.context else Path.cwd()
    return folder / Path(value).expanduser()


def _host(value: str) -> str:
    if not value:
        raise ValueError("is empty; put the machine's name or address here")
    if any(c.isspace() or c in "/,;'\"" for c in value):
        raise ValueError("must be one host name or address, without a port")
    return value


def _address(value: str) -> str:
    split_address(value)
    return value


def _socket(value: str) -> str:
    if not is_unix_socket(value):
        split_address(value)
    elif not value.startswith("/"):
        raise ValueError('must be an absolute path, or "host:port"')
    elif len(value.encode()) > SOCKET_PATH_LIMIT_BYTES:
        raise ValueError(f"must be a path of at most {SOCKET_PATH_LIMIT_BYTES} bytes; shorten it")
    return value


def _user(value: str) -> str:
    if not 1 <= len(value) <= 32 or any(c in "'\"`\\" or not c.isprintable() for c in value):
        raise ValueError("must be 1 to 32 printable characters without quotes")
    return value


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
User = Annotated[str, AfterValidator(_user)]
FilePath = Annotated[Path, BeforeValidator(_rooted)]
OptionalPath = Annotated[Path | None, BeforeValidator(_rooted)]
Words = Annotated[tuple[str, ...], Field(strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class ClusterConfig(_Table):
    """What the pair is, what a client's OK promises, and where the supervisor keeps its record."""

    name: str = Field("main", description="Name of the pair in messages, metrics and the journal.")
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
    state_dir: FilePath = Field(
        Path("/var/lib/myha"),
        description="Folder of the record, the journal, the lock and the control socket.",
    )


class NodeConfig(_Table):
    """One database server: how it is reached, and what this machine can do to it."""

    host: Host = Field(description="Where the supervisor and the balancers reach the node.")
    port: Port = Field(3306, description="Its port for SQL.")
    replication_host: Host = Field(
        "",
        validate_default=False,
        description="Where the other node reaches it.",
        json_schema_extra={"shown_default": "the same as host"},
    )
    replication_port: Port = Field(
        0,
        validate_default=False,
        description="The port at which the other node reaches it.",
        json_schema_extra={"shown_default": "the same as port"},
    )
    auto_increment_offset: int = Field(
        0,
        ge=1,
        le=2,
        validate_default=False,
        description="Residue class of the ids that this node generates (the increment is 2).",
        json_schema_extra={"shown_default": "1 for the first node, 2 for the second"},
    )
    option_file: OptionalPath = Field(
        None,
        description="Where setup installs the node's option file fragment, a path on this "
        "machine; empty: setup shows the fragment instead.",
    )
    fence_command: Words = Field(
        (),
        description="Command with arguments that fences the node from outside (power, network); "
        "exit status 0 must mean that it is certainly fenced. Empty: there is none.",
    )
    pid_file: OptionalPath = Field(
        None,
        description="The server's pid file, if it runs on this machine: lets the drill and a reseed "
        "act on the process. Goes with start_command.",
    )
    start_command: Words = Field(
        (),
        description="Command with arguments that starts the server again after a drill or a "
        "reseed. Goes with pid_file.",
    )
    data_dir: OptionalPath = Field(
        None,
        description="The server's data directory, if it is on this machine: lets a reseed replace "
        "it. Needs pid_file and start_command.",
    )
    init_command: Words = Field(
        (),
        description="Command with arguments that makes an empty data_dir with the administrator's "
        "account in it, for a reseed of a node whose data directory is lost. Needs data_dir.",
    )
    backup_command: Words = Field(
        (),
        description="Command that starts mariabackup on this machine (mbstream beside it), for a "
        "reseed of this node on MariaDB; empty: the one on PATH.",
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

    @property
    def address(self) -> str:
        """`host:port` for clients, the supervisor and the balancers."""
        return join_address(self.host, self.port)

    @property
    def replication_address(self) -> str:
        """`host:port` for the peer."""
        return join_address(self.replication_host, self.replication_port)


@dataclass(frozen=True, slots=True)
class Account:
    """A login; `password.get_secret_value()` gives the password, which repr and str hide."""

    user: str
    password: SecretStr


class AccountsConfig(_Table):
    """Logins. A password comes from its file, or from MYHA_<ROLE>_PASSWORD, which wins."""

    admin_user: User = Field(
        "root", description="Administrator on both nodes, for setup and reseed; never the daemon."
    )
    admin_password_file: FilePath = Field(
        Path("secrets/admin"),
        description="File with its password; or environment MYHA_ADMIN_PASSWORD.",
    )
    supervisor_user: User = Field(
        "myha", description="The daemon's account, which setup makes with least privileges."
    )
    supervisor_password_file: FilePath = Field(
        Path("secrets/supervisor"),
        description="File with its password; or environment MYHA_SUPERVISOR_PASSWORD.",
    )
    replication_user: User = Field(
        "myha_repl", description="The account with which the nodes replicate; setup makes it."
    )
    replication_password_file: FilePath = Field(
        Path("secrets/replication"),
        description="File with its password, at most 32 characters; "
        "or environment MYHA_REPLICATION_PASSWORD.",
    )
    drill_user: User = Field(
        "app",
        description="An application's account for the drill's clients; only the drill uses it.",
    )
    drill_password_file: FilePath = Field(
        Path("secrets/app"),
        description="File with its password; or environment MYHA_DRILL_PASSWORD.",
    )
    tls: Literal["auto", "require", "off"] = Field(
        "auto",
        description='Encryption: "auto" (TLS where the server offers it), "require", "off".',
    )

    _source: Path = PrivateAttr(default=Path("myha.toml"))

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._source = context["path"]

    @model_validator(mode="before")
    @classmethod
    def _default_files(cls, data: object) -> object:
        # Defaults too count from the file's folder: give them as text, as if the user had.
        if isinstance(data, dict):
            files = {k: str(f.default) for k, f in cls.model_fields.items() if k.endswith("_file")}
            return files | data
        return data

    def admin(self) -> Account:
        """The administrator's login; ConfigError when its password cannot be read."""
        return self._account("admin")

    def supervisor(self) -> Account:
        """The daemon's login; ConfigError when its password cannot be read."""
        return self._account("supervisor")

    def replication(self) -> Account:
        """The nodes' login to each other; ConfigError when its password cannot be read or used."""
        account = self._account("replication")
        length = len(account.password.get_secret_value())
        if length > REPLICATION_PASSWORD_LIMIT_CHARS:
            raise ConfigError(
                f"{self._source}: accounts.replication_password_file: the password has {length} "
                f"characters, replication takes at most {REPLICATION_PASSWORD_LIMIT_CHARS}; "
                "choose a shorter one"
            )
        return account

    def drill(self) -> Account:
        """The drill's clients' login; ConfigError when its password cannot be read."""
        return self._account("drill")

    def _account(self, role: Role) -> Account:
        user: str = getattr(self, f"{role}_user")
        variable = f"MYHA_{role.upper()}_PASSWORD"
        from_environment = os.environ.get(variable, "")
        if from_environment:
            return Account(user, SecretStr(from_environment))
        file: Path = getattr(self, f"{role}_password_file")
        try:
            return Account(user, SecretStr(read_password(file)))
        except _PasswordError as error:
            raise ConfigError(
                f"{self._source}: accounts.{role}_password_file: {error} (or set {variable})"
            ) from None


class _PasswordError(Exception):
    """Why a password file does not serve, with the remedy, without the key."""


def read_password(file: Path) -> str:
    """The one line of a password file that only its owner can read."""
    try:
        status = file.stat()
    except OSError as error:
        raise _PasswordError(
            f"cannot read {file} ({error.strerror}); put the password into it and chmod 600 it"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise _PasswordError(f"{file} is not a file; name a file that holds the password")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise _PasswordError(f"others can read {file} (mode {mode:04o}); run: chmod 600 {file}")
    if status.st_size > PASSWORD_LIMIT_BYTES:
        raise _PasswordError(f"{file} is longer than {PASSWORD_LIMIT_BYTES} bytes; one line is due")
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise _PasswordError(
            f"cannot read {file} ({error.strerror}); let this user own it"
        ) from None
    except UnicodeDecodeError:
        raise _PasswordError(f"{file} is not UTF-8 text; write the password as text") from None
    if not text:
        raise _PasswordError(f"{file} is empty; put the password into it")
    if "\n" in text or "\r" in text or "\0" in text:
        raise _PasswordError(f"{file} has more than one line; leave only the password in it")
    return text


class BalancerConfig(_Table):
    """One balancer in front of the pair."""

    kind: Literal["haproxy"] = Field("haproxy", description='What it is: "haproxy".')
    socket: Annotated[str, AfterValidator(_socket)] = Field(
        description='Its runtime socket with level admin: an absolute path, or "host:port".'
    )
    writer_listen: Address = Field(description='Where clients that write connect: "host:port".')
    reader_listen: Address = Field(description='Where clients that read connect: "host:port".')


class TimingConfig(_Table):
    """How often to look, and how long to wait. All in seconds."""

    deadtime_seconds: float = Field(
        1.5, ge=0.2, le=300, description="A writer silent for so long is lost."
    )
    look_interval_seconds: float = Field(
        0.25, ge=0.02, le=10, description="Time between two looks at a node or balancer."
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
        description="Heartbeat of an idle replication channel; a node heard through its peer "
        "is alive.",
    )
    applied_deadline_seconds: float = Field(
        30.0,
        ge=0.1,
        le=86400,
        description="How long a change of writer waits until all that was received is applied.",
    )


class LagConfig(_Table):
    """When a reader lags too much to serve reads. All in seconds."""

    out_seconds: float = Field(
        10.0, ge=0.1, le=86400, description="A reader that lags more goes out of the reader pool."
    )
    in_seconds: float = Field(
        2.0, ge=0.1, le=86400, description="It may come back when it lags less than this."
    )
    in_hold_seconds: float = Field(
        5.0, ge=0, le=3600, description="So long it must have lagged less than in_seconds before."
    )


class FailoverConfig(_Table):
    """How much the supervisor may decide unattended."""

    flap_limit: int = Field(
        3,
        ge=1,
        le=100,
        description="So many unattended failovers within flap_window_seconds; then only by hand.",
    )
    flap_window_seconds: float = Field(
        600.0, ge=1, le=604800, description="The time over which failovers are counted, in seconds."
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
        description="So long the preferred node must have been healthy before that.",
    )


class HealConfig(_Table):
    """How a node that returns is brought back."""

    policy: Words = Field(
        ("resume", "rewind", "manual"),
        description='Ways to try, in order: "resume" (nothing to undo), "merge" (its errant '
        'transactions flow to the writer), "rewind" (undo them on the node), "reseed" (replace its '
        'data), "manual" (leave it fenced and say why; last).',
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


class VerifyConfig(_Table):
    """How the rows of the two nodes are compared, and how often by the daemon."""

    every_seconds: float = Field(
        0.0,
        ge=0,
        le=31_536_000,
        description="Time between the daemon's own comparisons; 0: it makes none, `myha verify` "
        "does.",
    )
    tables: Words = Field(
        (), description='Tables that the daemon compares, as "schema.table"; empty: all.'
    )
    busy_percent: float = Field(
        100.0,
        ge=1,
        le=100,
        description="The share of its time that a comparison keeps its one session on each node "
        "busy.",
    )
    chunk_seconds: float = Field(
        0.2, ge=0.01, le=60, description="How long one chunk's query should take."
    )
    lag_limit_seconds: float = Field(
        1.0,
        ge=0.05,
        le=3600,
        description="Above this lag of the standby a comparison pauses; below it slows down "
        "while the lag grows.",
    )

    @field_validator("tables")
    @classmethod
    def _qualified(cls, tables: tuple[str, ...]) -> tuple[str, ...]:
        for name in tables:
            schema, _, table = name.partition(".")
            if not schema or not table:
                raise ValueError(f'{name!r} must be "schema.table"')
        return tables


class ConflictsConfig(_Table):
    """The live reader of write conflicts, a process beside the daemon."""

    enabled: bool = Field(
        default=True,
        description='Read both binary logs: always with mode = "dual-writer", around a failover '
        'with "single-writer".',
    )
    after_failover_seconds: float = Field(
        300.0,
        ge=0,
        le=86400,
        description='So long it reads after a failover with mode = "single-writer".',
    )
    audit: bool = Field(
        default=True,
        description="Report ids that a node generated outside its residue class, in the same pass.",
    )


class Config(_Table):
    """A whole myha.toml, checked; `path` is the file that it came from."""

    cluster: ClusterConfig = Field(description="The pair.")
    nodes: dict[str, NodeConfig] = Field(description="Exactly two nodes; their names are yours.")
    accounts: AccountsConfig = Field(description="Logins.")
    balancers: dict[str, BalancerConfig] = Field(description="One or more balancers.")
    timing: TimingConfig = Field(description="Intervals and deadlines.")
    lag: LagConfig = Field(description="When a reader lags too much.")
    failover: FailoverConfig = Field(description="How much is decided unattended.")
    heal: HealConfig = Field(description="How a node that returns is brought back.")
    conflicts: ConflictsConfig = Field(description="The live reader of write conflicts.")
    verify: VerifyConfig = Field(description="How the rows of the nodes are compared.")

    _path: Path = PrivateAttr(default=Path("myha.toml"))
    _content_hash: str = PrivateAttr(default="")

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._path = context["path"]
            self._content_hash = context["content_hash"]

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
        return self._path

    @property
    def content_hash(self) -> str:
        """SHA-256 of the file as it was loaded, in hex."""
        return self._content_hash

    def changed_on_disk(self) -> bool:
        """Whether the file is no longer what was loaded (edited, removed or unreadable)."""
        try:
            return _hash(self._path.read_bytes()) != self._content_hash
        except OSError:
            return True

    @property
    def names(self) -> tuple[str, str]:
        """The two nodes' names, in file order."""
        first, second = self.nodes
        return first, second

    def policy(self) -> Policy:
        """As much of the configuration as decisions depend on."""
        first, second = self.nodes.values()
        return Policy(
            nodes=self.names,
            sources=(first.replication_address, second.replication_address),
            balancers=tuple(self.balancers),
            mode=self.cluster.mode,
            durability=self.cluster.durability,
            deadtime_seconds=self.timing.deadtime_seconds,
            heartbeat_period_seconds=self.timing.heartbeat_period_seconds,
            lag_out_seconds=self.lag.out_seconds,
            lag_in_seconds=self.lag.in_seconds,
            lag_in_hold_seconds=self.lag.in_hold_seconds,
            flap_limit=self.failover.flap_limit,
            flap_window_seconds=self.failover.flap_window_seconds,
            auto_failback=self.failover.auto_failback,
            preferred=self.failover.preferred,
            failback_after_seconds=self.failover.failback_after_seconds,
            fence_commands=tuple(n for n, node in self.nodes.items() if node.fence_command),
            heal=self.heal.policy,
        )


def load(path: Path) -> Config:
    """The checked configuration in a file; ConfigError with one line for each problem."""
    path = path.expanduser().absolute()
    content = _read(path)
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; write it as TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}; correct it there") from None
    context = {"path": path, "content_hash": _hash(content)}
    try:
        config = Config.model_validate(document, context=context)
    except ValidationError as error:
        raise _refusal(path, (_explained(e) for e in error.errors(include_url=False))) from None
    problems = list(relation_problems(config))
    if problems:
        raise _refusal(path, problems)
    return config


def _read(path: Path) -> bytes:
    try:
        if path.is_file() and path.stat().st_size > FILE_LIMIT_BYTES:
            raise ConfigError(
                f"{path}: is larger than {FILE_LIMIT_BYTES} bytes; is it the right file?"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; write one with `myha init --path {path}`, "
            "or name another with --config"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); "
            "name a file that this user can read with --config"
        ) from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refusal(path: Path, problems: Iterable[Problem]) -> ConfigError:
    lines = (" ".join(f"{path}: {key}: {text}".split()) for key, text in problems)
    return ConfigError("\n".join(dict.fromkeys(lines)))


# --- what pydantic found, in the user's words -------------------------------------------------


def _explained(error: Mapping[str, Any]) -> Problem:
    location = tuple(str(part) for part in error["loc"] if part != "[key]")
    key, kind = ".".join(location), error["type"]
    if kind == "extra_forbidden":
        return key, _unknown_key(location)
    if kind == "missing":
        return key, _missing_key(location)
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return key, f"must be a table; write it as [{key}] with its keys below"
    if kind == "value_error":
        return key, str(error["ctx"]["error"])
    message = str(error["msg"]).replace("Input should be", "must be", 1)
    return key, message + _got(key, error["input"])


def _got(key: str, value: object) -> str:
    """What was found instead, unless it might be a secret or long."""
    if "password" in key or not isinstance(value, str | int | float | bool):
        return ""
    return f" (it is {value!r})" if len(repr(value)) <= 60 else ""


def _fields_at(location: tuple[str, ...]) -> Mapping[str, Any]:
    """The keys known in a table; empty where the names are the user's."""
    match location:
        case ():
            return Config.model_fields
        case ("nodes", _):
            return NodeConfig.model_fields
        case ("balancers", _):
            return BalancerConfig.model_fields
        case (table,) if table in TABLES:
            return TABLES[table].model_fields
        case _:
            return {}


def _unknown_key(location: tuple[str, ...]) -> str:
    known = list(_fields_at(location[:-1]))
    close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.6)
    prefixed = [k for k in known if k.startswith(location[-1])]
    if close or prefixed:
        return f"unknown key; did you mean {(close or prefixed)[0]}?"
    return f"unknown key; remove it (known here: {', '.join(known)})"


def _missing_key(location: tuple[str, ...]) -> str:
    leaf = location[-1]
    if len(location) == 1:
        return f"missing; add a table [{leaf}.NAME], as `myha init` writes it"
    field = _fields_at(location[:-1]).get(leaf)
    meaning = f" ({field.description.rstrip('.')})" if field is not None else ""
    return f"missing; add {leaf} = ...{meaning}"


# --- checks between keys ----------------------------------------------------------------------


def relation_problems(config: Config) -> Iterator[Problem]:
    """Contradictions between values that are each allowed by themselves."""
    yield from _name_problems(config)
    yield from _node_problems(config)
    yield from _mode_problems(config)
    yield from _account_problems(config)
    yield from _balancer_problems(config)
    yield from _timing_problems(config)


def _name_problems(config: Config) -> Iterator[Problem]:
    if len(config.nodes) != 2:
        yield (
            "nodes",
            f"has {len(config.nodes)} nodes; a pair has exactly two, [nodes.a] and [nodes.b]",
        )
    if not config.balancers:
        yield "balancers", "names no balancer; add a table [balancers.NAME]"
    for table, names in (("nodes", config.nodes), ("balancers", config.balancers)):
        for name in names:
            if not NAME_PATTERN.fullmatch(name):
                yield (
                    f"{table}.{name}",
                    "is no valid name; use a lower-case letter, then up to 31 of a-z, 0-9, _ and -",
                )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", config.cluster.name):
        yield "cluster.name", "must be 1 to 64 letters, digits, _, . and -; choose another name"


def _same(host: str) -> str:
    host = host.casefold()
    return "127.0.0.1" if host in {"localhost", "::1"} else host


def _node_problems(config: Config) -> Iterator[Problem]:
    for name, node in config.nodes.items():
        if bool(node.pid_file) != bool(node.start_command):
            yield f"nodes.{name}.pid_file", "goes with start_command; set both, or neither"
        if node.data_dir and not node.start_command:
            yield f"nodes.{name}.data_dir", "needs pid_file and start_command; set them, or not it"
        if node.init_command and not node.data_dir:
            yield f"nodes.{name}.init_command", "needs data_dir; name the directory that it makes"
        for key in ("fence_command", "start_command", "init_command", "backup_command"):
            if "" in getattr(node, key)[:1]:
                yield f"nodes.{name}.{key}", "begins with an empty word; name the program first"
    if len(config.nodes) != 2:
        return
    (first, a), (second, b) = config.nodes.items()
    if (_same(a.host), a.port) == (_same(b.host), b.port):
        yield f"nodes.{second}.host", f"is the same server as nodes.{first}; give each node its own"
    elif (_same(a.replication_host), a.replication_port) == (
        _same(b.replication_host),
        b.replication_port,
    ):
        yield (
            f"nodes.{second}.replication_host",
            f"is the same address as that of nodes.{first}; a node must not replicate from itself",
        )
    if a.auto_increment_offset == b.auto_increment_offset:
        yield (
            f"nodes.{second}.auto_increment_offset",
            f"is the same as that of nodes.{first}; give one node 1 and the other 2",
        )


def _mode_problems(config: Config) -> Iterator[Problem]:
    dual = config.cluster.mode is Mode.DUAL_WRITER
    if dual and config.cluster.durability is Durability.LOSSLESS:
        yield (
            "cluster.durability",
            '"lossless" cannot be had with mode = "dual-writer"; '
            'set durability = "bounded" or "async"',
        )
    failover = config.failover
    if failover.preferred and failover.preferred not in config.nodes:
        names = ", ".join(config.nodes)
        yield "failover.preferred", f"{failover.preferred!r} is not a node; choose from {names}"
    if failover.auto_failback and not failover.preferred:
        yield "failover.auto_failback", "needs failover.preferred; name the node there"
    if failover.auto_failback and dual:
        yield "failover.auto_failback", 'has no meaning with mode = "dual-writer"; set it to false'


def _account_problems(config: Config) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for role in get_args(Role):
        key = f"{role}_user"
        user: str = getattr(config.accounts, key)
        if user in seen:
            yield f"accounts.{key}", f"is the same account as {seen[user]}; give each its own"
        seen.setdefault(user, key)


def _balancer_problems(config: Config) -> Iterator[Problem]:
    sockets: dict[str, str] = {}
    nodes = {(_same(node.host), node.port): name for name, node in config.nodes.items()}
    for name, balancer in config.balancers.items():
        if balancer.socket in sockets:
            yield (
                f"balancers.{name}.socket",
                f"is the same as that of balancers.{sockets[balancer.socket]}; give each its own",
            )
        sockets.setdefault(balancer.socket, name)
        if balancer.writer_listen == balancer.reader_listen:
            yield (
                f"balancers.{name}.reader_listen",
                "is the same as writer_listen; use another port",
            )
        for key in ("writer_listen", "reader_listen"):
            host, port = split_address(getattr(balancer, key))
            if (_same(host), port) in nodes:
                node = nodes[_same(host), port]
                yield f"balancers.{name}.{key}", f"is the address of nodes.{node}; use another port"


def _timing_problems(config: Config) -> Iterator[Problem]:
    timing, lag = config.timing, config.lag
    deadtime = timing.deadtime_seconds
    if deadtime < 2 * timing.heartbeat_period_seconds:
        yield (
            "timing.deadtime_seconds",
            "is less than twice heartbeat_period_seconds, so one late heartbeat looks like a loss; "
            f"set it to {2 * timing.heartbeat_period_seconds:g} or more",
        )
    if deadtime < 2 * timing.look_interval_seconds:
        yield (
            "timing.deadtime_seconds",
            "is less than twice look_interval_seconds, so one slow look would count as a loss; "
            f"set it to {2 * timing.look_interval_seconds:g} or more",
        )
    if timing.call_deadline_seconds > deadtime:
        yield (
            "timing.call_deadline_seconds",
            "is more than deadtime_seconds, so a hung server is noticed late; "
            f"set it to {deadtime:g} or less",
        )
    if lag.in_seconds > lag.out_seconds:
        yield (
            "lag.in_seconds",
            "is more than out_seconds, so a reader would go out and in at once; "
            f"set it to {lag.out_seconds:g} or less",
        )
    if timing.pulse_interval_seconds > lag.in_seconds:
        yield (
            "timing.pulse_interval_seconds",
            "is more than lag.in_seconds, so no reader would ever come back; "
            f"set it to {lag.in_seconds:g} or less",
        )


TABLES: dict[str, type[_Table]] = {
    "cluster": ClusterConfig,
    "nodes": NodeConfig,
    "accounts": AccountsConfig,
    "balancers": BalancerConfig,
    "timing": TimingConfig,
    "lag": LagConfig,
    "failover": FailoverConfig,
    "heal": HealConfig,
    "conflicts": ConflictsConfig,
    "verify": VerifyConfig,
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
