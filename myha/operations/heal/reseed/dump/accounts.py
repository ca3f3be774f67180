"""The donor's accounts, roles and privileges on the node: the rows of the grant tables themselves.

The administrator's own accounts and the server's are left as they are on each node: whatever
happens here, the node can be reached afterwards.
"""

from __future__ import annotations

from myha.operations.heal.reseed.dump.pipe import copy_table
from myha.operations.heal.reseed.dump.tables import Column, Table
from myha.operations.heal.reseed.session import ReseedSession, quoted
from myha.operations.setup.facts import Flavour

# Table, and its column that names whose row it is.
_TABLES = {
    Flavour.MYSQL: {
        "user": "User",
        "db": "User",
        "tables_priv": "User",
        "columns_priv": "User",
        "procs_priv": "User",
        "proxies_priv": "User",
        "global_grants": "USER",
        "role_edges": "TO_USER",
        "default_roles": "USER",
    },
    Flavour.MARIADB: {
        "global_priv": "User",
        "db": "User",
        "tables_priv": "User",
        "columns_priv": "User",
        "procs_priv": "User",
        "proxies_priv": "User",
        "roles_mapping": "User",
    },
}
_SYSTEM = ("mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys")


def copy_accounts(source: ReseedSession, node: ReseedSession, admin_user: str) -> None:
    """Make the node's accounts the donor's. Raises ServerError or MyhaError."""
    node.do("begin")
    for name, owner in _TABLES[node.flavour].items():
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
    rows = session.rows(
        "SELECT COLUMN_NAME AS c, DATA_TYPE AS d FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = %(table)s ORDER BY ORDINAL_POSITION",
        {"table": table},
    )
    return [Column(str(row["c"]), str(row["d"]).lower()) for row in rows]
