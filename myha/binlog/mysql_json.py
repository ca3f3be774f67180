"""MySQL's binary JSON: from the bytes of a column to a tree of Python values, and to text.

The tree keeps apart what JSON text does not: signed and unsigned integers, decimals, and the dates,
times and binary strings that MySQL stores in a document as "opaque" values.
"""

import json
import struct
from decimal import Decimal
from typing import Any, TypeAlias

from myha.binlog import packed
from myha.binlog.errors import DecodeError
from myha.core.values import value

MAX_DEPTH = 101  # MySQL allows 100

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY = range(4)
_LITERAL, _STRING, _OPAQUE = 0x04, 0x0C, 0x0F
_NUMBERS = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q", 11: "<d"}
_UNSIGNED = frozenset({6, 8, 10})
_CONSTANTS = {0: None, 1: True, 2: False}

DATE, TIME, DATETIME, TIMESTAMP, DECIMAL = 10, 11, 12, 7, 246
TEMPORAL = frozenset({DATE, TIME, DATETIME, TIMESTAMP})


class Unsigned(int):
    """An integer that MySQL keeps as UNSIGNED INTEGER."""


@value(frozen=True, slots=True)
class Opaque:
    """A value of an SQL type inside a document: `kind` is MySQL's number of that type."""

    kind: int
    data: bytes

    @property
    def text(self) -> str:
        """As MySQL prints it: in quotes for all but decimals."""
        if self.kind == DECIMAL:
            return format(self.decimal()[0], "f")
        if self.kind in TEMPORAL:
            return json.dumps(self.temporal())
        return json.dumps(f"base64:type{self.kind}:{packed.base64(self.data)}")

    def decimal(self) -> tuple[Decimal, int, int]:
        """The number, its precision and its scale, in digits."""
        precision, scale = self.data[0], self.data[1]
        return packed.decimal(self.data[2:], precision, scale), precision, scale

    def temporal(self) -> str:
        """Date, time, or both, with six digits of a second."""
        return packed.json_temporal(self.kind == TIME, self.kind == DATE, self.data)


Tree: TypeAlias = "bool | int | float | str | Opaque | list[Any] | dict[str, Any] | None"


@value(frozen=True, slots=True)
class Json:
    """A document as it is stored: equal when the bytes are."""

    raw: bytes

    def tree(self) -> Tree:
        """Raises DecodeError when the bytes are no document."""
        if not self.raw:  # an update IGNORE may leave this; the server reads it as null
            return None
        try:
            return _value(self.raw[0], self.raw[1:], 0)
        except (IndexError, struct.error, UnicodeDecodeError, KeyError) as error:
            raise DecodeError(
                f"a JSON document of {len(self.raw)} bytes is not readable"
            ) from error

    @property
    def text(self) -> str:
        return text(self.tree())

    def __str__(self) -> str:
        return self.text


def text(tree: Tree) -> str:
    """The document as JSON text; opaque values as MySQL prints them."""
    if isinstance(tree, Opaque):
        return tree.text
    if isinstance(tree, dict):
        inner = (f"{json.dumps(key, ensure_ascii=False)}: {text(one)}" for key, one in tree.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(text, tree)) + "]"
    return json.dumps(tree, ensure_ascii=False)


def _value(kind: int, data: bytes, depth: int) -> Tree:
    if depth > MAX_DEPTH:
        raise DecodeError(f"a JSON document is nested deeper than {MAX_DEPTH}")
    if kind <= _LARGE_ARRAY:
        return _container(kind, data, depth)
    if kind == _LITERAL:
        return _CONSTANTS[data[0]]
    if kind in _NUMBERS:
        (number,) = struct.unpack_from(_NUMBERS[kind], data)
        return Unsigned(number) if kind in _UNSIGNED else number
    if kind == _STRING:
        return _sized(data, 0).decode("utf-8")
    if kind == _OPAQUE:
        return Opaque(data[0], _sized(data, 1))
    raise DecodeError(f"a JSON document has a value of the unknown type {kind}")


def _container(kind: int, data: bytes, depth: int) -> Tree:
    """An array or an object: counts and offsets have two bytes when it is small, else four."""
    is_object = kind in {_SMALL_OBJECT, _LARGE_OBJECT}
    width = 4 if kind in {_LARGE_OBJECT, _LARGE_ARRAY} else 2
    count, size = (int.from_bytes(data[at : at + width], "little") for at in (0, width))
    if size > len(data):
        raise DecodeError("a JSON document is cut off")
    at = 2 * width
    keys = []
    for _ in range(count if is_object else 0):
        offset = int.from_bytes(data[at : at + width], "little")
        length = int.from_bytes(data[at + width : at + width + 2], "little")
        keys.append(data[offset : offset + length].decode("utf-8"))
        at += width + 2
    values = []
    for _ in range(count):
        values.append(_entry(data, at, width, depth))
        at += 1 + width
    return dict(zip(keys, values, strict=True)) if is_object else values


def _entry(data: bytes, at: int, width: int, depth: int) -> Tree:
    """A small value stands in its entry, any other one where the entry points to."""
    kind = data[at]
    if kind in {_LITERAL, 5, 6} or (width == 4 and kind in {7, 8}):
        return _value(kind, data[at + 1 : at + 1 + width], depth + 1)
    offset = int.from_bytes(data[at + 1 : at + 1 + width], "little")
    if not offset or offset >= len(data):
        raise DecodeError("a JSON document points outside itself")
    return _value(kind, data[offset:], depth + 1)


def _sized(data: bytes, at: int) -> bytes:
    """A string after its length, which has seven bits in each byte."""
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if at + length > len(data):
        raise DecodeError("a JSON document is cut off")
    return data[at : at + length]
