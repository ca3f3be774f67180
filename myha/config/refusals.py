"""What is wrong with a configuration, in the words of its user: file, key, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from myha.config.balancers import BALANCER_KINDS
from myha.config.document import Config
from myha.config.supervisor import SupervisorConfig
from myha.config.tables import TABLES, NodeConfig, ReplicaConfig
from myha.config.values import Problem
from myha.errors import ConfigError
from myha.words import one_line


def refusal(path: Path, problems: Iterable[Problem], prefix: str = "") -> ConfigError:
    """A line for each problem; `prefix` is how the keys begin in this file."""
    lines = (line_of(path, (prefix + key, text)) for key, text in problems)
    return ConfigError("\n".join(dict.fromkeys(lines)))


def line_of(path: Path, problem: Problem) -> str:
    key, text = problem
    return one_line(f"{path}: {key}: {text}")


def problems_of(error: ValidationError, above: tuple[str, ...] = ()) -> Iterable[Problem]:
    """What pydantic found; `above` is the table that it was given."""
    return (_explained(one, above) for one in error.errors(include_url=False))


def _explained(error: Mapping[str, Any], above: tuple[str, ...]) -> Problem:
    location = above + tuple(str(part) for part in _in_file(error["loc"]) if part != "[key]")
    key, kind = ".".join(location), error["type"]
    if kind == "union_tag_invalid":
        found = error["input"]["kind"]
        known = " or ".join(repr(one) for one in BALANCER_KINDS)
        return f"{key}.kind", f"must be {known}{_got('kind', found)}"
    if kind == "extra_forbidden":
        return key, _unknown_key(location)
    if kind == "missing":
        return key, _missing_key(location)
    if kind in {"model_type", "dict_type", "model_attributes_type", "union_tag_not_found"}:
        return key, f"must be a table; write it as [{key}] with its keys below"
    if kind == "value_error":
        return key, str(error["ctx"]["error"])
    message = str(error["msg"]).replace("Input should be", "must be", 1)
    return key, message + _got(key, error["input"])


def _in_file(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Without the kind of a balancer, which pydantic puts behind its name."""
    match location:
        case ("balancers", name, _, *rest):
            return ("balancers", name, *rest)
    return location


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
        case ("supervisor",):
            return SupervisorConfig.model_fields
        case (table,) if table in TABLES:
            return TABLES[table].model_fields
        case _:
            return {}


def _unknown_key(location: tuple[str, ...]) -> str:
    return not_known(location[-1], list(_fields_at(location[:-1])))


def not_known(key: str, known: Sequence[str]) -> str:
    """What is said of a key that is none of those."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    prefixed = [k for k in known if k.startswith(key)]
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
