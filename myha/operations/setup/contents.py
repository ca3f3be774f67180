"""Whether two servers with one history and the same tables also hold the same rows."""

from __future__ import annotations

from myha.operations.setup.apply import Sessions
from myha.operations.setup.facts import Facts, Table
from myha.operations.setup.session import AdminSession
from myha.progress import Tell
from myha.words import counted, listed

TABLE_LIMIT_BYTES = 1 << 28  # read in a second or two; a larger one would hold setup up
TOTAL_LIMIT_BYTES = 1 << 31


def different_contents(
    sessions: Sessions, pair: tuple[Facts, Facts], tell: Tell
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(refusals, warnings): tables whose checksums differ, and tables that were too large."""
    small, large = chosen(pair[0].tables)
    if small:
        tell(f"comparing the rows of {counted(len(small), 'table')}")
    different = [str(t) for t in small if len({_checksum(s, t) for s in sessions.values()}) > 1]
    names = f"{pair[0].node} and {pair[1].node}"
    refusals: tuple[str, ...] = ()
    if different:
        refusals = (
            f"{names}: the rows of {listed(different)} differ, though the histories are equal; "
            "make both nodes from one backup",
        )
    warnings: tuple[str, ...] = ()
    if large:
        shown = listed([str(table) for table in large])
        warnings = (f"{names}: tables too large to compare during setup: {shown}",)
    return refusals, warnings


def chosen(tables: tuple[Table, ...]) -> tuple[list[Table], list[Table]]:
    """The tables that are compared during setup, and those that are too large for that."""
    small: list[Table] = []
    large: list[Table] = []
    total = 0
    for table in sorted(tables, key=lambda t: t.data_bytes):
        total += table.data_bytes
        fits = table.data_bytes <= TABLE_LIMIT_BYTES and total <= TOTAL_LIMIT_BYTES
        (small if fits else large).append(table)
    return small, large


def _checksum(session: AdminSession, table: Table) -> object:
    name = ".".join(f"`{part.replace('`', '``')}`" for part in (table.schema, table.name))
    rows = session.query_named(f"CHECKSUM TABLE {name}")
    return rows[0]["Checksum"]
