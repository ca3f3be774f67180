"""Whether long work may go on: a permit, which whoever ordered the work can withdraw."""

from __future__ import annotations

import time

from myha.errors import MyhaError


class CancelledError(MyhaError):
    """The operation was told to stop; what it had begun is safe to begin again."""


class Permit:
    """Holds until it is withdrawn, and says by whom or why. Safe for several threads."""

    def __init__(self) -> None:
        self._withdrawn = ""

    def withdraw(self, why: str) -> None:
        """`why` goes on from "stopped": `by the supervisor`. Only the first time counts."""
        self._withdrawn = self._withdrawn or why

    def refusal(self) -> str:
        """Why the work may not go on, empty while it may. Never raises; asked in every loop."""
        return self._withdrawn

    def require(self) -> None:
        """Raises `CancelledError`, with the reason, when the work may not go on."""
        if why := self.refusal():
            raise CancelledError(f"stopped {why}; it can be begun again")


class TimeLimit(Permit):
    """Another permit, for so many seconds at most (0: without a limit)."""

    def __init__(self, permit: Permit, seconds: float) -> None:
        super().__init__()
        self._permit = permit
        self._seconds = seconds
        self._ends = time.monotonic() + seconds if seconds else float("inf")

    @property
    def over(self) -> bool:
        """Whether it was the limit that ended the work."""
        return bool(self._withdrawn)

    def refusal(self) -> str:
        if why := self._permit.refusal():
            return why
        if time.monotonic() >= self._ends:
            self.withdraw(f"after {self._seconds:g} s, its limit")
        return self._withdrawn
