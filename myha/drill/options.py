"""How a drill is played."""

from __future__ import annotations

from dataclasses import dataclass

READS_EVERY = 16  # transactions of a client


@dataclass(frozen=True, slots=True)
class Options:
    """How a drill is played. `pause_ms` is each client's rest between two transactions,
    `reads_every` after how many of these it reads what another one has written; 0: never.
    `minutes`: so long instead of so many rounds."""

    rounds: int = 1
    clients: int = 8
    seed: int = 1
    pause_ms: float = 0.0
    force: bool = False
    reads_every: int = READS_EVERY
    minutes: float = 0.0
