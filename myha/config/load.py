"""Reading a myha.toml: checked, and every complaint in the words of its user."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from myha.config.balancers import BALANCER_KINDS
from myha.config.document import Config, content_hash
from myha.config.relations import relation_problems
from myha.config.tables import TABLES, NodeConfig, ReplicaConfig
from myha.config.values import Problem
from myha.errors import ConfigError

DEFAULT_PATHS = (Path("myha.toml"), Path("/etc/myha/myha.toml"))
FILE_LIMIT_BYTES = 1 << 20


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
    context = {"path": path, "content_hash": content_hash(content)}
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
        case ("replicas", _):
            return ReplicaConfig.model_fields
        case ("balancers", _):
            kinds = (kind.model_fields for kind in BALANCER_KINDS.values())
            return {key: field for fields in kinds for key, field in fields.items()}
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
