"""What is said of a server in words: what is wrong, what follows from it, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a server, or about two of them.

    `kind` is its stable name, `about` whom it is about. `wrong`, `follows` and `mend` are clauses
    without a full stop; `mend` is empty where nobody can do anything about it.
    """

    kind: str
    about: str
    wrong: str
    mend: str = ""
    follows: str = ""

    def __str__(self) -> str:
        follows = f": {self.follows}" if self.follows else ""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{self.about}: {self.wrong}{follows}{mend}"
