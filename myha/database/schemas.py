"""Which schemas are the servers' own and which is myha's, for statements over all the others."""

from __future__ import annotations

OUR_SCHEMA = "myha"
SERVER_SCHEMAS = ("mysql", "sys", "information_schema", "performance_schema")
SYSTEM_SCHEMAS = frozenset({*SERVER_SCHEMAS, OUR_SCHEMA})

# For `WHERE schema NOT IN ...`; the first leaves myha's own among the rest.
OF_SERVERS = f"({', '.join(repr(name) for name in SERVER_SCHEMAS)})"
OF_SYSTEM = f"({', '.join(repr(name) for name in sorted(SYSTEM_SCHEMAS))})"
