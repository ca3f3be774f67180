"""Facts of servers as setup reads them: the nodes a and b and r1, beside them."""

from __future__ import annotations

from dataclasses import replace

from myha.core.gtid import MysqlGtidSet
from myha.database.flavours import MYSQL
from myha.operations.setup.facts import Facts

UUIDS = {
    "a": "aaaaaaaa-0000-0000-0000-000000000001",
    "b": "bbbbbbbb-0000-0000-0000-000000000002",
    "r1": "cccccccc-0000-0000-0000-000000000003",
}
GOOD = {
    "log_bin": "ON",
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "log_replica_updates": "ON",
    "persisted_globals_load": "ON",
}


def facts(node: str, executed: str = "", later: str | None = None, **changes: object) -> Facts:
    found = Facts(
        node=node,
        flavour=MYSQL,
        version="9.7.4",
        server_id={"a": 1, "b": 2, "r1": 3}[node],
        server_uuid=UUIDS[node],
        executed=MysqlGtidSet.parse(executed),
        executed_later=MysqlGtidSet.parse(executed if later is None else later),
        variables=GOOD,
    )
    return replace(found, **changes)  # type: ignore[arg-type]
