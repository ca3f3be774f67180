"""Whether the two nodes of a pair that replicates hold the same rows, compared while it serves."""

from __future__ import annotations

from myha.config import Config
from myha.core.policy import Mode
from myha.operations.log_in import connector
from myha.operations.setup.contents import chosen
from myha.operations.setup.facts import Facts
from myha.operations.verify.run import verify
from myha.permit import Permit
from myha.progress import Progress, Tell
from myha.words import counted, listed

ROWS_TOLD = 5


class _Quiet:
    """Reports nothing: setup tells the outcome."""

    def __init__(self) -> None:
        self.permit = Permit()

    def progress(self, now: Progress) -> None:
        """Small tables only."""

    def event(self, kind: str, text: str, **fields: str) -> None:
        """They are in the outcome too."""


def different_rows(
    config: Config, writer: Facts, standby: Facts, tell: Tell
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Refusals and warnings. The standby has to replicate. Raises MyhaError when it does not."""
    small, large = chosen(writer.tables)
    names = f"{writer.node} and {standby.node}"
    warnings: tuple[str, ...] = ()
    if large:
        shown = listed([str(table) for table in large])
        warnings = (
            f"{names}: tables too large to compare during setup: {shown}; `myha verify` does it, "
            "before as after",
        )
    if not small:
        return (), warnings
    tell(f"comparing the rows of {counted(len(small), 'table')} while they are in use")
    admin = config.accounts.admin()
    report = verify(
        connector(config, writer.node, admin),
        connector(config, standby.node, admin),
        writer.flavour,
        reporter=_Quiet(),
        tables=tuple(str(table) for table in small),
        names=(writer.node, standby.node),
        both_ways=config.cluster.mode is Mode.DUAL_WRITER,
        row_limit=ROWS_TOLD,
    )
    if report.equal:
        return (), warnings
    differing = sorted(
        one.table for one in report.tables if one.differences or one.uncounted_chunks
    )
    what = f"rows of {listed(differing)} differ" if differing else "; ".join(report.schema)
    refusal = (
        f"{names}: {what}: setup does not choose which are right. `myha verify` shows them, "
        "`myha repair --from NODE` makes the other node's equal to NODE's; then run setup again"
    )
    return (refusal,), warnings
