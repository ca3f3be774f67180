"""The text of a commented configuration: every key, with what is known of the servers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from myha.config import (
    TABLES,
    ApiConfig,
    SupervisorConfig,
    shown_default,
    toml_value,
)
from myha.config.supervisor import LOG
from myha.config.values import Table
from myha.operations.discover.judge import Discovery
from myha.words import one_line

WIDTH = 96

# Keys that have no default: what stands in the file.
_SAMPLES = {
    "balancers.lb1.socket": "/run/haproxy/admin.sock",
    "balancers.lb1.writer_listen": "127.0.0.1:3307",
    "balancers.lb1.reader_listen": "127.0.0.1:3308",
    "nodes.a.host": "",
    "nodes.b.host": "",
    "notify.mail.url_file": "secrets/mail",
    "hooks.script.on": ("plan-done:failover", "plan-done:switchover"),
    "hooks.script.command": ("/usr/local/bin/after-failover",),
}
_NAMED = {
    "nodes": ("a", "b"),
    "balancers": ("lb1",),
    "replicas": ("r1",),
    "notify": ("mail",),
    "hooks": ("script",),
}
_OF_THE_FILE = {"cluster.name", "cluster.state_dir"}  # which a pair among others has by its file
_OF_THE_PROCESS = {"api", "log"}  # which several pairs share
_OPTIONAL = {"replicas", "notify", "hooks"}  # a pair has none, unless its owner gives it some


NOTHING = Discovery({})


def template(pair: str = "", known: Discovery = NOTHING) -> str:
    """The whole file: keys that must be given stand open, the others as comments with defaults.

    `pair`: one of several, in a file of its own beside the one that they share. `known`: of servers
    that were looked at; what they told stands open too, with where it comes from.
    """
    what, where = (f"the pair {pair}", "myha.toml's") if pair else ("myha", "this file's")
    fill = "" if known.keys else " Fill in the hosts;"
    shows = "what is commented out shows its default."
    lines = [
        f"# Configuration of {what}.{fill or ' Written from what runs;'} {shows}",
        f"# Durations are in seconds. Relative paths count from {where} folder.",
        *_found(known),
    ]
    for table, model in TABLES.items():
        if pair and table in _OF_THE_PROCESS:
            continue
        for position, name in enumerate(_NAMED.get(table, ("",))):
            section = f"{table}.{name}" if name else table
            if table == "replicas":
                lines += ["", *known.replicas] if known.replicas else []
            head = f"# [{section}]" if table in _OPTIONAL else f"[{section}]"
            lines += ["", head]
            if position == 0:
                lines += _comment(model.__doc__ or "")
            for key, field in model.model_fields.items():
                if pair and f"{table}.{key}" in _OF_THE_FILE:
                    continue
                told = known.keys.get(f"{section}.{key}")
                explain = position == 0
                if told is not None:
                    lines += ["", *_comment(field.description or "")] if explain else [""]
                    lines += [*_comment(f"Found: {told.origin}."), _value(key, told.value)]
                    continue
                lines += _key(section, table, key, field.description or "", explain=explain)
    return "\n".join(lines) + "\n"


def _found(known: Discovery) -> Iterator[str]:
    """What was seen, and what could not be told."""
    if known.notes:
        yield "#"
    for note in known.notes:
        yield from _comment(f"Found: {note}.")
    if known.questions:
        yield "#"
    for question in known.questions:
        yield from _comment(f"Question: {question}.")


def _value(key: str, value: object) -> str:
    return f"{key} = {toml_value(value)}"


def shared_template() -> str:
    """The file beside pairs.d: what the pairs share."""
    lines = [
        *_comment(
            "Configuration of myha for several pairs. Each is a file in pairs.d, as `myha init "
            "--pair NAME` writes it, or tables [pairs.NAME...] here. Tables like [timing] or "
            "[accounts] that stand here are for all pairs, key by key, where a pair has no own."
        ),
    ]
    tables: dict[str, type[Table]] = {
        "supervisor": SupervisorConfig,
        "api": ApiConfig,
        LOG: TABLES[LOG],
    }
    for table, model in tables.items():
        lines += ["", f"[{table}]", *_comment(model.__doc__ or "")]
        for key, field in model.model_fields.items():
            text = _comment(field.description or "")
            lines += ["", *text, f"# {key} = {toml_value(field.default)}"]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )


def _key(section: str, table: str, key: str, meaning: str, *, explain: bool) -> list[str]:
    lines = ["", *_comment(meaning)] if explain else []
    sample = _SAMPLES.get(f"{section}.{key}")
    if sample is not None:
        commented = "# " if table in _OPTIONAL else ""
        return [*lines, f"{commented}{key} = {toml_value(sample)}"]
    default = shown_default(table, key)
    if TABLES[table].model_fields[key].is_required():
        return [*lines, f"# {key} = ...  (required)"]
    model_default = TABLES[table].model_fields[key].default
    if default != toml_value(model_default):  # it depends on other keys: say so in words
        return [*lines, f"# {key} = ...  (default: {default})"] if explain else lines
    return [*lines, f"# {key} = {default}"] if explain else lines
