"""Tokens: who may read and who may operate. Only hashes of them are kept, in a file of their own.

A token is 32 random bytes, so that one SHA-256 of it is as good as a slow hash: there is nothing to
guess. Every comparison takes as long as any other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from myha.errors import ConfigError, MyhaError
from myha.files import locked, replacing

PREFIX = "myha_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TOKEN_LIMIT_CHARS = 200
FILE_LIMIT_BYTES = 1 << 20
LOCK_SECONDS = 5.0


class Role(StrEnum):
    """What the bearer may do; who may operate may read too."""

    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class Token:
    """One, as it is kept: never itself. `made_at` is seconds since the epoch."""

    name: str
    role: Role
    sha256: str
    made_at: float

    def allows(self, role: Role) -> bool:
        return self.role in (role, Role.OPERATE)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def bearer(tokens: Iterable[Token], given: str) -> Token | None:
    """Whose it is. All are compared, whichever it is."""
    found = None
    digest = hashed(given[:TOKEN_LIMIT_CHARS])
    for one in tokens:
        if hmac.compare_digest(one.sha256, digest):
            found = one
    return found


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Raises MyhaError when others can read the file, or it is no such file; none is no token."""
    try:
        status = path.stat()
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise MyhaError(f"{path} can be read by others: chmod 600 it")
        if status.st_size > FILE_LIMIT_BYTES:
            raise MyhaError(
                f"{path} is larger than {FILE_LIMIT_BYTES} bytes; is it the right file?"
            )
        data = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Token(str(one["name"]), Role(one["role"]), str(one["sha256"]), float(one["made_at"]))
            for one in data["tokens"]
        )
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise MyhaError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise MyhaError(f"{path} is no file of tokens: `myha api token add` makes one") from None


def add_token(path: Path, name: str, role: Role) -> str:
    """The new token, which is not kept. Raises ConfigError, and MyhaError as `read_tokens`."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a token; use 1 to 64 letters, digits, _, . and -"
        )
    token = PREFIX + secrets.token_urlsafe(32)
    with _changing(path):
        tokens = read_tokens(path)
        if any(one.name == name for one in tokens):
            raise ConfigError(
                f"there is a token {name} already: `myha api token remove {name}` first"
            )
        _write(path, (*tokens, Token(name, role, hashed(token), time.time())))
    return token


def remove_token(path: Path, name: str) -> None:
    """It is refused from now on. Raises ConfigError when there is none of the name."""
    with _changing(path):
        tokens = read_tokens(path)
        left = tuple(one for one in tokens if one.name != name)
        if len(left) == len(tokens):
            raise ConfigError(
                f"there is no token {name} in {path}: `myha api token list` shows all"
            )
        _write(path, left)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One at a time."""
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = path.with_name(f".{path.name}.lock")
            held.enter_context(locked(lock, wait_seconds=LOCK_SECONDS))
        except OSError as error:
            raise MyhaError(f"{path.parent}: {error.strerror or error}") from None
        yield


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    """With the owner that it had, or that of its folder: root may make it for the supervisor."""
    try:
        owner = (path if path.exists() else path.parent).stat()
        with replacing(path) as file:
            file.write(json.dumps({"tokens": [asdict(one) for one in tokens]}, indent=1).encode())
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    except OSError as error:
        raise MyhaError(f"{path} cannot be written: {error.strerror}") from None


class TokenFile:
    """Read again when it has changed. For one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""  # why no token is taken; empty where the file is right
        self._signature: tuple[int, ...] = ()
        self._tokens: tuple[Token, ...] = ()

    def now(self) -> tuple[Token, ...]:
        try:
            status = self.path.stat()
            signature: tuple[int, ...] = (
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                status.st_mode,
            )
        except OSError:
            signature = (0,)
        if signature != self._signature:
            try:
                self._tokens, self.problem = read_tokens(self.path), ""
            except MyhaError as error:
                self._tokens, self.problem = (), str(error)
            self._signature = signature
        return self._tokens
