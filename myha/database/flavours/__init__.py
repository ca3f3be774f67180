"""The flavours of servers, and which one a server is."""

from myha.database.flavours.base import Flavour
from myha.database.flavours.mariadb import MariadbFlavour
from myha.database.flavours.mysql import MysqlFlavour
from myha.database.session import Session
from myha.errors import ServerError

MYSQL = MysqlFlavour()
MARIADB = MariadbFlavour()
FLAVOURS: dict[str, Flavour] = {one.name: one for one in (MYSQL, MARIADB)}

__all__ = ["FLAVOURS", "MARIADB", "MYSQL", "Flavour", "flavour_of"]


def flavour_of(session: Session) -> Flavour:
    """By what the server has, not by what it calls itself. ServerError when it is none of ours."""
    markers = ", ".join(f"'{one.marker}'" for one in FLAVOURS.values())
    rows = session.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({markers})")
    found = {str(name).lower() for name, _ in rows}
    for one in FLAVOURS.values():
        if one.marker in found:
            return one
    titles = " nor ".join(one.title for one in FLAVOURS.values())
    raise ServerError(f"{session.where}: the server is neither {titles}")
