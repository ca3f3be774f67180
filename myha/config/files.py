"""The files of a configuration: read whole, as TOML, and again only when they have changed."""

from __future__ import annotations

import hashlib
import threading
import tomllib
from pathlib import Path
from typing import Any, TypeAlias

from myha.core.values import value
from myha.errors import ConfigError

FILE_LIMIT_BYTES = 1 << 20
PAIRS_FILE_LIMIT_BYTES = 1 << 24  # some hundred pairs in one file

Document: TypeAlias = dict[str, Any]
_Signature: TypeAlias = tuple[int, int, int]


@value(frozen=True, slots=True)
class Content:
    """A file as it was read; `content_hash` is SHA-256 in hex."""

    path: Path
    document: Document
    content_hash: str


def read_file(path: Path) -> Content:
    """Raises ConfigError: it is not there, cannot be read, is too large, or is no TOML."""
    content = _read(path)
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; write it as TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}; correct it there") from None
    limit = PAIRS_FILE_LIMIT_BYTES if "pairs" in document else FILE_LIMIT_BYTES
    if len(content) > limit:
        raise _too_large(path, limit)
    return Content(path, document, hashlib.sha256(content).hexdigest())


def _too_large(path: Path, limit: int) -> ConfigError:
    return ConfigError(f"{path}: is larger than {limit} bytes; is it the right file?")


def _read(path: Path) -> bytes:
    try:
        if path.is_file() and path.stat().st_size > PAIRS_FILE_LIMIT_BYTES:
            raise _too_large(path, PAIRS_FILE_LIMIT_BYTES)
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


class KeptFiles:
    """Files that are read again only when their size, time or number has changed.

    For one thread.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[_Signature, Content]] = {}

    def read(self, path: Path) -> Content:
        """As `read_file`."""
        # From before the reading: what is changed meanwhile is read the next time.
        signature = _signature(path)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == signature:
            return kept[1]
        self._kept.pop(path, None)
        content = read_file(path)
        if signature is not None:
            self._kept[path] = (signature, content)
        return content


def _signature(path: Path) -> _Signature | None:
    """None where it cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class WatchedFile:
    """One file, for several threads: many pairs ask for the same one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept = KeptFiles()

    def now(self) -> Content | None:
        """As it is on disk; None when it cannot be read or is no TOML."""
        with self._lock:
            try:
                return self._kept.read(self._path)
            except ConfigError:
                return None
