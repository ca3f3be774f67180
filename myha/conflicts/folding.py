"""How the bytes of a key's part become what is looked up: equal values must become equal.

Two texts that a collation takes for equal may differ in their bytes. A fold is coarser than any
collation: it brings together what may be equal, and a match of different bytes is then put to a
server. What a fold cannot know is in `docs/conflicts.md`.
"""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

Fold: TypeAlias = Callable[[bytes], bytes]

_CODECS = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "latin1": "cp1252", "ascii": "ascii",
    "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
    "latin2": "iso8859-2", "latin5": "iso8859-9", "latin7": "iso8859-13", "greek": "iso8859-7",
    "hebrew": "iso8859-8", "koi8r": "koi8-r", "koi8u": "koi8-u", "ujis": "euc-jp",
    "eucjpms": "euc-jp", "sjis": "shift-jis", "tis620": "tis-620", "macroman": "mac-roman",
    "cp932": "cp932", "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030", "big5": "big5",
    "euckr": "euc-kr", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256",
    "cp1257": "cp1257", "cp850": "cp850", "cp852": "cp852", "cp866": "cp866",
}  # fmt: skip
_WIDE = frozenset({"utf-16-be", "utf-16-le", "utf-32-be"})  # an ASCII character is no ASCII byte

_CONTROLS = bytes([*range(0x20), 0x7F])
_LOWER = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz")
# Letters that collations write as others and that have no decomposition.
_LETTERS = str.maketrans(
    {
        "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "þ": "th",
        "ŧ": "t", "\u0131": "i", "ŋ": "n", "ĸ": "q", "ß": "ss", "\u017f": "s",
        "ŀ": "l", "\u02bc": "'",
        "ə": "e", "ƒ": "f", "ɓ": "b", "ɖ": "d", "ɗ": "d", "ɨ": "i", "ʉ": "u", "ƶ": "z",
    }
)  # fmt: skip


def codec_of(charset: str) -> str | None:
    """Python's codec for a server's character set; None when it has none."""
    name = _CODECS.get(charset, charset)
    try:
        codecs.lookup(name)
    except LookupError:
        return None
    return name


def fold_zero(raw: bytes) -> bytes:
    """A FLOAT or DOUBLE: minus zero is zero."""
    return bytes(len(raw)) if raw[-1] == 0x80 and not any(raw[:-1]) else raw


@cache
def cut(length: int) -> Fold:
    """The first bytes of a binary value, as a prefix key has them."""
    return lambda raw: raw[:length]


@cache
def text_fold(codec: str, prefix_characters: int | None) -> Fold:
    """For a text of any collation; what cannot be decoded stands for itself."""
    narrow = codec not in _WIDE

    def fold(raw: bytes) -> bytes:
        if narrow and raw.isascii():
            if prefix_characters is not None:
                raw = raw[:prefix_characters]
            return raw.translate(_LOWER, _CONTROLS).rstrip(b" ")
        text = raw.decode(codec, "surrogateescape" if narrow else "replace")
        if prefix_characters is not None:
            text = text[:prefix_characters]
        return _coarse(text)

    return fold


def _coarse(text: str) -> bytes:
    folded = unicodedata.normalize("NFKD", text.casefold()).casefold().translate(_LETTERS)
    kept = [_same_weight(one) for one in folded if unicodedata.category(one)[0] not in "MC"]
    return "".join(kept).rstrip(" ").encode("utf-8", "surrogatepass")


def _same_weight(character: str) -> str:
    """Kana of both kinds are one; collations before Unicode 5 know nothing beyond the BMP."""
    code = ord(character)
    if code > 0xFFFF:
        return "\ufffd"
    return chr(code - 0x60) if 0x30A1 <= code <= 0x30F6 else character
