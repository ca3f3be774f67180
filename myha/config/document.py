"""A whole myha.toml: read, checked, and every complaint in the words of its user."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from myha.config.accounts import AccountsConfig
from myha.config.relations import relation_problems
from myha.config.tables import (
    TABLES,
    BalancerConfig,
    ClusterConfig,
    ConflictsConfig,
    FailoverConfig,
    HealConfig,
    LagConfig,
    NodeConfig,
    TimingConfig,
    VerifyConfig,
)
from myha.config.values import Problem, Table
from myha.core.model import Policy
from myha.errors import ConfigError

DEFAULT_PATHS = (Path("myha.toml"), Path("/etc/myha/myha.toml"))
FILE_LIMIT_BYTES = 1 << 20


class Config(Table):
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
            applied_deadline_seconds=self.timing.applied_deadline_seconds,
            lag_out_seconds=self.lag.out_seconds,
            lag_in_seconds=self.lag.in_seconds,
            lag_in_hold_seconds=self.lag.in_hold_seconds,
            max_outage_seconds=self.timing.max_outage_seconds,
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
