"""What of keys only a server can tell: how its collations compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from myha.conflicts.folding import weights_query
from myha.conflicts.keys import TableKey
from myha.database.flavours import Flavour
from myha.database.session import WarmSession
from myha.errors import ServerError


class KeyQuestions:
    """Asked of whichever node answers. `flavour` is None until one has been reached."""

    def __init__(self) -> None:
        self.flavour: Flavour | None = None
        self._sessions: list[WarmSession] = []

    def ask_of(self, session: WarmSession) -> None:
        """It is asked after those named before."""
        self._sessions.append(session)

    def weights(
        self, charset: str, collation: str, texts: Sequence[bytes]
    ) -> Sequence[bytes] | None:
        """From a server: by what a collation compares these texts."""
        if self.flavour is None:
            return None
        found = self._ask_either(weights_query(self.flavour, charset, collation, texts))
        return None if found is None else [one or b"" for one in found[0]]

    def _ask_either(self, sql: str) -> list[tuple[Any, ...]] | None:
        """One question to whichever node answers."""
        for session in self._sessions:
            try:
                return session.query(sql)
            except ServerError:
                continue
        return None

    def same(
        self, key: TableKey, first: tuple[bytes, ...], second: tuple[bytes, ...]
    ) -> bool | None:
        """Whether a server takes two keys for equal."""
        conditions = []
        for part, one, other in zip(key.parts, first, second, strict=True):
            if one == other:
                continue
            if not part.collated:
                if part.fold is None or part.fold(one) != part.fold(other):
                    return False
                continue
            texts = (f"_{part.fact.charset} X'{text.hex()}'" for text in (one, other))
            if part.prefix_length is not None:
                texts = (f"LEFT({text}, {part.prefix_length})" for text in texts)
            left, right = texts
            conditions.append(f"{left} COLLATE {part.fact.collation} = {right}")
        sql = f"SELECT {' AND '.join(conditions) or '1'}"
        found = self._ask_either(sql)
        return None if found is None else bool(found[0][0])
