"""How the bytes of a key's part become what is looked up: equal values must become equal.

Texts that a collation takes for equal may differ in their bytes. A server knows the weight of each
character by that collation, and is asked for it once; a text becomes its characters' weights. That
is as coarse as the collation or coarser: of several levels (accents, case) only the first counts,
and trailing spaces do not. A match of different bytes is then put to a server as a whole.

Not covered: letters that a language writes as two, where the collation takes `aa` for `å`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

from myha.binlog.types import codec_of
from myha.database.flavours import Flavour

Fold: TypeAlias = Callable[[bytes], bytes]
# (character set, collation, texts in that character set) -> their weights; None: nobody to ask
Ask: TypeAlias = Callable[[str, str, Sequence[bytes]], Sequence[bytes] | None]

_ASCII = "".join(map(chr, range(128)))


def fold_zero(raw: bytes) -> bytes:
    """A FLOAT or DOUBLE: minus zero is zero."""
    return bytes(len(raw)) if raw[-1] == 0x80 and not any(raw[:-1]) else raw


@cache
def cut(length: int) -> Fold:
    """The first bytes of a binary value, as a prefix key has them."""
    return lambda raw: raw[:length]


class Collation:
    """The weights of one collation's characters, asked for as they come."""

    def __init__(self, charset: str, name: str, codec: str, ask: Ask) -> None:
        self._charset = charset
        self._name = name
        self._codec = codec
        self._ask = ask
        self._weights: dict[str, bytes] = {}

    def fold(self, prefix_characters: int | None) -> Fold:
        """For whole texts, or for the beginnings that a prefix key has."""
        weights, codec = self._weights, self._codec

        def fold(raw: bytes) -> bytes:
            text = raw.decode(codec, "replace")[:prefix_characters]
            try:
                found = b"".join([weights[one] for one in text])
            except KeyError:
                found = self._learn(text)
            space = weights.get(" ")
            while space and found.endswith(space):
                found = found[: -len(space)]
            return found

        return fold

    def _learn(self, text: str) -> bytes:
        missing = {*text} - self._weights.keys()
        if not self._weights:
            missing |= {*_ASCII}
        characters = sorted(missing)
        texts = [one.encode(self._codec, "replace") for one in characters]
        answer = self._ask(self._charset, self._name, texts)
        if answer is not None:
            pairs = zip(characters, answer, strict=True)
            self._weights |= {one: _first_level(weight) for one, weight in pairs}
        return b"".join([self._weights.get(one, b"") for one in text])


def weights_query(flavour: Flavour, charset: str, collation: str, texts: Sequence[bytes]) -> str:
    """A query of one row with the weight of each text in the character set."""
    level = flavour.one_weight_level
    columns = (
        f"WEIGHT_STRING(_{charset} X'{text.hex()}' COLLATE {collation}{level})" for text in texts
    )
    return f"SELECT {', '.join(columns)}"


def _first_level(weight: bytes) -> bytes:
    """Weights are of two bytes each and never zero; a zero ends a level."""
    if len(weight) % 2:
        return weight
    for at in range(0, len(weight), 2):
        if weight[at : at + 2] == b"\0\0":
            return weight[:at]
    return weight


class Collations:
    """All that were met, the same ones for both nodes."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, Collation] = {}

    def fold(self, charset: str, name: str, prefix_characters: int | None) -> Fold | None:
        """None for a character set that is not known here."""
        codec = codec_of(charset)
        if codec is None:
            return None
        # More than one thread comes here: the first one's is everybody's.
        found = self._known.setdefault(name, Collation(charset, name, codec, self._ask))
        return found.fold(prefix_characters)
