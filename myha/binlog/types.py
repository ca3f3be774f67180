"""The servers' names of column types and of character sets, where more than one file needs them."""

from __future__ import annotations

import codecs

TEXTS = frozenset({"tinytext", "text", "mediumtext", "longtext"})
BLOBS = frozenset({"tinyblob", "blob", "mediumblob", "longblob"})
GEOMETRIES = frozenset(
    {
        "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring",
        "multipolygon", "geometrycollection", "geomcollection",
    }
)  # fmt: skip
HEX_ONLY = GEOMETRIES | {"vector"}  # only HEX() shows them as they are stored

_CODECS = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "latin1": "cp1252", "ascii": "ascii",
    "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
    "latin2": "iso8859-2", "latin5": "iso8859-9", "latin7": "iso8859-13", "greek": "iso8859-7",
    "hebrew": "iso8859-8", "koi8r": "koi8-r", "koi8u": "koi8-u", "ujis": "euc-jp",
    "eucjpms": "euc-jp", "sjis": "shift-jis", "tis620": "tis-620", "macroman": "mac-roman",
    "euckr": "euc-kr",
}  # fmt: skip


def codec_of(charset: str) -> str | None:
    """Python's codec for a server's character set; None when it has none."""
    name = _CODECS.get(charset, charset)
    try:
        codecs.lookup(name)
    except LookupError:
        return None
    return name
