"""The packed forms of numbers, dates and times that both flavours write: bytes to values. Pure.

Dates and times become text and not `datetime`: zero dates, dates that do not exist and times beyond
a day are all values that a column can hold.
"""

import struct
from base64 import b64encode
from datetime import UTC, datetime
from decimal import Context, Decimal

_DIGITS_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_HUNDREDS = (1, 100, 10_000, 1_000_000)
_EXACT = Context(prec=80)  # a DECIMAL has at most 65 digits


def base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def decimal(data: bytes, precision: int, scale: int) -> Decimal:
    """Nine digits in four bytes, the odd ones outside; the first bit set unless it is negative."""
    positive = bool(data[0] & 0x80)
    digits = bytearray(data)
    digits[0] ^= 0x80
    if not positive:
        digits = bytearray(byte ^ 0xFF for byte in digits)
    at = 0
    parts: list[str] = []
    whole = precision - scale
    for count in (whole % 9, *[9] * (whole // 9), *[9] * (scale // 9), scale % 9):
        if count:
            size = _DIGITS_BYTES[count]
            parts.append(f"{int.from_bytes(digits[at : at + size], 'big'):0{count}d}")
            at += size
    number = int("".join(parts) or "0")
    return Decimal(number if positive else -number).scaleb(-scale, _EXACT)


def date(data: bytes) -> str:
    packed = int.from_bytes(data, "little")
    return f"{packed >> 9:04d}-{packed >> 5 & 15:02d}-{packed & 31:02d}"


def _fraction(data: bytes, digits: int) -> int:
    """Microseconds of a fraction with so many digits."""
    size = (digits + 1) // 2
    return int.from_bytes(data[:size], "big") * _HUNDREDS[3 - size]


def _with_fraction(whole: str, microseconds: int, digits: int) -> str:
    return f"{whole}.{f'{microseconds:06d}'[:digits]}" if digits else whole


def time2(data: bytes, digits: int) -> str:
    """Three bytes and the fraction, as one number that is negative below the middle."""
    size = (digits + 1) // 2
    number = int.from_bytes(data[: 3 + size], "big") - (0x800000 << 8 * size)
    sign = "-" if number < 0 else ""
    number = abs(number)
    whole = number >> 8 * size
    fraction = (number & ((1 << 8 * size) - 1)) * _HUNDREDS[3 - size]
    clock = f"{sign}{whole >> 12 & 1023:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}"
    return _with_fraction(clock, fraction, digits)


def _moment(whole: int) -> str:
    """Year, month, day and the clock out of the packed form of a DATETIME."""
    days, clock = whole >> 17, whole & 0x1FFFF
    year, month = divmod(days >> 5, 13)
    day = f"{year:04d}-{month:02d}-{days & 31:02d}"
    return f"{day} {clock >> 12:02d}:{clock >> 6 & 63:02d}:{clock & 63:02d}"


def datetime2(data: bytes, digits: int) -> str:
    whole = int.from_bytes(data[:5], "big") - 0x8000000000
    return _with_fraction(_moment(whole), _fraction(data[5:], digits), digits)


def timestamp2(data: bytes, digits: int) -> str:
    """In UTC; the zero value has no date."""
    seconds, fraction = int.from_bytes(data[:4], "big"), _fraction(data[4:], digits)
    if seconds == 0:
        return _with_fraction("0000-00-00 00:00:00", fraction, digits)
    whole = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    return _with_fraction(whole, fraction, digits)


def json_temporal(is_time: bool, is_date: bool, data: bytes) -> str:
    """The eight bytes of a date or time inside a JSON document, always with six digits."""
    (number,) = struct.unpack("<q", data)
    sign = "-" if number < 0 else ""
    number = abs(number)
    whole, fraction = number >> 24, number & 0xFFFFFF
    if is_time:
        clock = f"{sign}{whole >> 12 & 1023:02d}:{whole >> 6 & 63:02d}:{whole & 63:02d}"
        return f"{clock}.{fraction:06d}"
    moment = _moment(whole)
    return moment[:10] if is_date else f"{moment}.{fraction:06d}"
