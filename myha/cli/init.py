"""`myha init`: a commented myha.toml with every key, and passwords for setup's accounts."""

from __future__ import annotations

import os
import secrets
import textwrap
from pathlib import Path

import click

from myha.config import (
    REPLICATION_PASSWORD_LIMIT_CHARS,
    TABLES,
    ApiConfig,
    SupervisorConfig,
    shown_default,
    toml_value,
)
from myha.config.files import read_file
from myha.config.pairs import has_pairs
from myha.config.supervisor import LOG, PAIR_NAME, PAIRS_FOLDER
from myha.config.values import Table
from myha.errors import ConfigError

WIDTH = 96
GENERATED = ("supervisor", "replication")

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


def template(pair: str = "") -> str:
    """The whole file: keys that must be given stand open, the others as comments with defaults.

    `pair`: one of several, in a file of its own beside the one that they share.
    """
    what, where = (f"the pair {pair}", "myha.toml's") if pair else ("myha", "this file's")
    lines = [
        f"# Configuration of {what}. Fill in the hosts; what is commented out shows its default.",
        f"# Durations are in seconds. Relative paths count from {where} folder.",
    ]
    for table, model in TABLES.items():
        if pair and table in _OF_THE_PROCESS:
            continue
        for position, name in enumerate(_NAMED.get(table, ("",))):
            section = f"{table}.{name}" if name else table
            head = f"# [{section}]" if table in _OPTIONAL else f"[{section}]"
            lines += ["", head]
            if position == 0:
                lines += _comment(model.__doc__ or "")
            for key, field in model.model_fields.items():
                if pair and f"{table}.{key}" in _OF_THE_FILE:
                    continue
                lines += _key(section, table, key, field.description or "", explain=position == 0)
    return "\n".join(lines) + "\n"


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
        " ".join(text.split()),
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


@click.command("init")
@click.option(
    "--path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("myha.toml"),
    show_default=True,
    help="Where to write the configuration.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing configuration.")
@click.option(
    "--pair",
    metavar="NAME",
    help="Add a pair to a supervisor of several: write pairs.d/NAME.toml beside the configuration.",
)
def init(path: Path, force: bool, pair: str | None) -> None:
    """Write a commented myha.toml and passwords for the new accounts.

    The accounts themselves are made by `myha setup`.
    """
    folder, option, text = path.absolute().parent / "secrets", "", template()
    if pair is not None:
        _refuse_pair(path, pair)
        if not path.exists():
            _place(path, shared_template(), folder, force=False)
            click.echo(f"wrote {path}: what the pairs share")
        path = path.absolute().parent / PAIRS_FOLDER / f"{pair}.toml"
        option, text = f" --pair {pair}", template(pair)
    made = _place(path, text, folder, force=force)
    click.echo(f"wrote {path}: fill in the two hosts and the balancer's addresses")
    for file in made:
        click.echo(f"wrote {file}: a random password (mode 0600)")
    click.echo(
        f"put the administrator's password into {folder / 'admin'} (chmod 600), "
        f"or set MYHA_ADMIN_PASSWORD; then: myha setup{option} --plan"
    )


def _refuse_pair(path: Path, pair: str) -> None:
    if not PAIR_NAME.fullmatch(pair):
        raise ConfigError(f"--pair {pair!r}: use 1 to 64 letters, digits, _, . and -")
    if path.exists() and not has_pairs(read_file(path).document):
        raise ConfigError(
            f"{path}: is of one pair. For several, put it into {PAIRS_FOLDER}/NAME.toml, where "
            "NAME is its cluster.name, and write a new one with `myha init --pair`"
        )


def _place(path: Path, text: str, folder: Path, *, force: bool) -> list[Path]:
    """Write a configuration, and passwords where there are none; which were made."""
    taken = f"{path}: exists already; use --force to overwrite it, or another --path"
    if path.exists() and not force:
        raise ConfigError(taken)
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        # The passwords first: if they cannot be written, there is no half configuration.
        folder.mkdir(mode=0o700, exist_ok=True)
        made = [file for role in GENERATED if (file := _make_password(folder / role))]
        _write(path, text, force=force)
    except FileExistsError:
        raise ConfigError(taken) from None
    except OSError as error:
        where = error.filename or path
        raise ConfigError(
            f"{where}: cannot be written ({error.strerror}); use another --path"
        ) from None
    return made


def _make_password(file: Path) -> Path | None:
    """A random password in a new file; one that is there stays, since servers may know it."""
    try:
        _write(file, f"{random_password()}\n", mode=0o600)
    except FileExistsError:
        return None
    return file


def _write(file: Path, text: str, *, mode: int = 0o644, force: bool = False) -> None:
    how = os.O_TRUNC if force else os.O_EXCL
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | how, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)


def random_password() -> str:
    """As long as replication takes, with each kind of character that a policy may want."""
    while True:
        password = secrets.token_urlsafe(24)[:REPLICATION_PASSWORD_LIMIT_CHARS]
        if (
            password[0].isalnum()
            and any(c.isdigit() for c in password)
            and any(c.islower() for c in password)
            and any(c.isupper() for c in password)
            and any(c in "-_" for c in password)
        ):
            return password
