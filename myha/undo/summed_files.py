"""Directories whose files are on disk and stand in SHA256SUMS, as `sha256sum -c` takes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from myha.errors import MyhaError
from myha.files import sync_directory, write_all

SUMS = "SHA256SUMS"
_BLOCK_BYTES = 1 << 20


class SummedFile:
    """A new file, for its owner only, that is on disk when the block ends without an error.

    Its SHA-256 is put into `sums` then. Raises OSError.
    """

    def __init__(self, path: Path, sums: dict[str, str]) -> None:
        self._path = path
        self._sums = sums
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._pending = bytearray()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
                os.fsync(self._descriptor)
                self._sums[self._path.name] = self._digest.hexdigest()
        finally:
            os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            self._flush()

    def _flush(self) -> None:
        write_all(self._descriptor, self._pending)


def write_sums(directory: Path, sums: Mapping[str, str]) -> None:
    """SHA256SUMS; the directory is complete and on disk when this returns. Raises OSError."""
    with SummedFile(directory / SUMS, {}) as file:
        for name, digest in sorted(sums.items()):
            file.write(f"{digest}  {name}\n".encode())
    sync_directory(directory)


def verify(directory: Path) -> None:
    """Raises MyhaError unless every file is what SHA256SUMS says."""
    try:
        lines = (directory / SUMS).read_text().splitlines()
        for line in lines:
            expected, name = line.split("  ", 1)
            if _sum_of(directory / name) != expected:
                raise MyhaError(f"{directory / name} is not what was written: its checksum differs")
    except (OSError, ValueError) as error:
        raise MyhaError(
            f"{directory} is no complete quarantine: {' '.join(str(error).split())}"
        ) from error


def _sum_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_BLOCK_BYTES):
            digest.update(data)
    return digest.hexdigest()
