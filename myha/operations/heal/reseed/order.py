"""What a reseed is asked for, what it intends, and what it has done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from myha.config import Config
from myha.progress import amount


class Method(StrEnum):
    """The ways to copy a node's data, best first."""

    CLONE = "clone"  # MySQL's own, over its protocol
    BACKUP = "mariabackup"  # MariaDB's own, over this machine
    DUMP = "dump"  # rows through this program, wherever the servers are


METHODS = tuple(Method)


@dataclass(frozen=True, slots=True)
class ReseedOrder:
    """Replace the data of `node` with that of `donor`.

    `methods` are tried in this order, as far as they fit. `accept_loss`: transactions that only the
    node has may be lost if they cannot be put into quarantine. `seed`: for setup; the node is
    empty, belongs to no pair yet, and what its history has is of no interest.
    """

    config: Config
    node: str
    donor: str
    incident: Mapping[str, object] = field(default_factory=dict)
    methods: tuple[Method, ...] = METHODS
    accept_loss: bool = False
    seed: bool = False


@dataclass(frozen=True, slots=True)
class ReseedPlan:
    """The method that would be used, what it copies, and why the ones before it do not fit."""

    method: Method
    size_bytes: int
    unfit: Mapping[Method, str] = field(default_factory=dict)

    def __str__(self) -> str:
        others = "".join(f"; not by {name}: {why}" for name, why in self.unfit.items())
        return f"{amount(self.size_bytes, 'bytes')} by {self.method}{others}"


@dataclass(frozen=True, slots=True)
class ReseedReport:
    """What was done. `history` is the donor's, as of the copy; the node now has exactly that."""

    method: Method
    copied_bytes: int
    seconds: float
    history: str
    quarantine_path: Path | None = None

    def __str__(self) -> str:
        kept = ""
        if self.quarantine_path:
            kept = f", its errant transactions kept in {self.quarantine_path}"
        return (
            f"{amount(self.copied_bytes, 'bytes')} copied by {self.method} in "
            f"{self.seconds:.1f} s{kept}"
        )
