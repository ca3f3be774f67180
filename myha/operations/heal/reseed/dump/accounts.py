"""The donor's accounts, roles and privileges on the node: the rows of the grant tables themselves.

The administrator's own accounts and the server's are left as they are on each node: whatever
happens here, the node can be reached afterwards.
"""

from __future__ import annotations

from myha.database.statements import quoted
from myha.operations.heal.reseed.dump.pipe import copy_table
from myha.operations.heal.reseed.dump.tables import Column, Table
from myha.operations.heal.reseed.session import ReseedSession

_SYSTEM = ("mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys")


def copy_accounts(source: ReseedSession, node: ReseedSession, admin_user: str) -> None:
    """Make the node's accounts the donor's. Raises ServerError or MyhaError."""
    node.do("begin")
    for name, owner in node.flavour.grant_tables.items():
        kept = ", ".join(f"'{user}'" for user in (*_SYSTEM, admin_user))
        others = f"{quoted(owner)} NOT IN ({kept})"
        theirs, ours = (_columns(session, name) for session in (source, node))
        columns = tuple(column for column in theirs if column in ours)
        node.do("empty_grants", table=quoted("mysql", name), others=others)
        table = Table("mysql", name, columns, has_key=False, size_bytes=0)
        copy_table(source, node, table, lambda _bytes: None, where=others)
    node.do("commit")
    node.do("take_grants")


def _columns(session: ReseedSession, table: str) -> list[Column]:
    rows = session.query_named(
        "SELECT COLUMN_NAME AS c, DATA_TYPE AS d FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = %(table)s ORDER BY ORDINAL_POSITION",
        {"table": table},
    )
    return [Column(str(row["c"]), str(row["d"]).lower()) for row in rows]
