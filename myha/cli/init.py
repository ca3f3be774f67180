"""`myha init`: a commented myha.toml with every key, and passwords for setup's accounts."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

import click
from pydantic import SecretStr

from myha.cli.template import NOTHING, shared_template, template
from myha.config import (
    REPLICATION_PASSWORD_LIMIT_CHARS,
    Account,
    split_address,
)
from myha.config.accounts import PasswordError, read_password
from myha.config.files import read_file
from myha.config.pairs import has_pairs
from myha.config.supervisor import PAIR_NAME, PAIRS_FOLDER
from myha.errors import ConfigError
from myha.operations.discover.judge import Discovery, judge
from myha.operations.discover.look import look_at_pair

GENERATED = ("supervisor", "replication")


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
@click.option(
    "--from",
    "start",
    metavar="HOST[:PORT]",
    help="Look at this server and its peer, and write what they tell. Nothing is changed there.",
)
@click.option(
    "--peer", metavar="HOST[:PORT]", help="With --from: where its peer is, if that is not seen."
)
@click.option(
    "--user",
    default="root",
    show_default=True,
    help="With --from: the administrator's account on both. Its password is taken from "
    "MYHA_ADMIN_PASSWORD or secrets/admin, or asked for.",
)
def init(
    *,
    path: Path,
    force: bool,
    pair: str | None,
    start: str | None,
    peer: str | None,
    user: str,
) -> None:
    """Write a commented myha.toml and passwords for the new accounts.

    The accounts themselves are made by `myha setup`. With --from the file is that of a pair that
    replicates already: each value with where it comes from, and what cannot be seen as a question.
    """
    folder, option = path.absolute().parent / "secrets", ""
    if peer is not None and start is None:
        raise ConfigError("--peer goes with --from")
    if path.exists() and pair is None and not force:  # before anybody is asked for a password
        raise ConfigError(_taken(path))
    known = NOTHING if start is None else _discovered(start, peer, user, folder)
    text = template(known=known)
    if pair is not None:
        _refuse_pair(path, pair)
        if not path.exists():
            _write_files(path, shared_template(), folder, force=False)
            click.echo(f"wrote {path}: what the pairs share")
        path = path.absolute().parent / PAIRS_FOLDER / f"{pair}.toml"
        option, text = f" --pair {pair}", template(pair, known)
    made = _write_files(path, text, folder, force=force)
    rest = "the balancer's addresses" if start else "the two hosts and the balancer's addresses"
    click.echo(f"wrote {path}: fill in {rest}")
    for file in made:
        click.echo(f"wrote {file}: a random password (mode 0600)")
    for question in known.questions:
        click.echo(f"question: {question}")
    click.echo(
        f"put the administrator's password into {folder / 'admin'} (chmod 600), "
        f"or set MYHA_ADMIN_PASSWORD; then: myha setup{option} --plan"
    )


def _taken(path: Path) -> str:
    return f"{path}: exists already; use --force to overwrite it, or another --path"


def _discovered(start: str, peer: str | None, user: str, folder: Path) -> Discovery:
    """What the two servers tell, and said as it is seen."""
    account = Account(user, SecretStr(_password(user, folder / "admin")))
    at, other = _address("--from", start), None if peer is None else _address("--peer", peer)
    first, second = look_at_pair(at, other, account, click.echo)
    known = judge(first, second, user)
    for note in known.notes:
        click.echo(note)
    return known


def _address(option: str, text: str) -> tuple[str, int]:
    with_port = text if re.search(r":\d+$", text) and text.count(":") == 1 else f"{text}:3306"
    if text.startswith("["):
        with_port = text if "]:" in text else f"{text}:3306"
    try:
        return split_address(with_port)
    except ValueError as error:
        raise ConfigError(f"{option} {text!r}: {error}") from None


def _password(user: str, file: Path) -> str:
    """Never of the command line, where every other user would see it."""
    known = os.environ.get("MYHA_ADMIN_PASSWORD", "")
    if known:
        return known
    if file.exists():
        try:
            return read_password(file)
        except PasswordError as error:
            raise ConfigError(str(error)) from None
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the password of {user!r} is asked for at a terminal: put it into {file} (chmod 600), "
            "or set MYHA_ADMIN_PASSWORD"
        )
    asked: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return asked


def _refuse_pair(path: Path, pair: str) -> None:
    if not PAIR_NAME.fullmatch(pair):
        raise ConfigError(f"--pair {pair!r}: use 1 to 64 letters, digits, _, . and -")
    if path.exists() and not has_pairs(read_file(path).document):
        raise ConfigError(
            f"{path}: is of one pair. For several, put it into {PAIRS_FOLDER}/NAME.toml, where "
            "NAME is its cluster.name, and write a new one with `myha init --pair`"
        )


def _write_files(path: Path, text: str, folder: Path, *, force: bool) -> list[Path]:
    """Write a configuration, and passwords where there are none; which were made."""
    if path.exists() and not force:
        raise ConfigError(_taken(path))
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        # The passwords first: if they cannot be written, there is no half configuration.
        folder.mkdir(mode=0o700, exist_ok=True)
        made = [file for role in GENERATED if (file := _make_password(folder / role))]
        _write(path, text, force=force)
    except FileExistsError:
        raise ConfigError(_taken(path)) from None
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
