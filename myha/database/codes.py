"""The numbers that a server gives its errors, as far as something is decided by them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pymysql.constants import ER

from myha.errors import ServerError

TOO_MANY_CONNECTIONS = ER.CON_COUNT_ERROR
ACCESS_DENIED = ER.ACCESS_DENIED_ERROR
OFFLINE_MODE = 3032
NO_SUCH_TABLE = ER.NO_SUCH_TABLE
NO_SUCH_DATABASE = ER.BAD_DB_ERROR
UNKNOWN_VARIABLE = ER.UNKNOWN_SYSTEM_VARIABLE
SYNTAX_ERROR = ER.PARSE_ERROR
NO_SUCH_THREAD = ER.NO_SUCH_THREAD  # of a KILL: it has ended by itself
DUPLICATE_KEY = ER.DUP_ENTRY
LOCK_TIMEOUT = ER.LOCK_WAIT_TIMEOUT
DEADLOCK = ER.LOCK_DEADLOCK
NO_SUCH_XID = 1397  # of an XA COMMIT or ROLLBACK: it has ended, or never was
MAY_NOT_LIST_XIDS = 1401  # without XA_RECOVER_ADMIN; for other reasons too
NO_REPLICATION = (1200, 1617, 3074)  # no such channel, or none is configured

T = TypeVar("T")


@contextmanager
def tolerated(*codes: int) -> Iterator[None]:
    """Within it the server may say no for one of these reasons."""
    try:
        yield
    except ServerError as error:
        if error.code not in codes:
            raise


def in_known_words(run: Callable[[str], T], block: str, known: Collection[str]) -> T:
    """Run a named block; where the server does not know its words, `<block>_older_servers`, if that
    is among the `known` ones."""
    older = f"{block}_older_servers"
    try:
        return run(block)
    except ServerError as error:
        if error.code != SYNTAX_ERROR or older not in known:
            raise
    return run(older)
