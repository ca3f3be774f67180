"""What is said of many pairs at once: a line for each, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from myha.core.record import Sync
from myha.core.verdicts import HEALTHY, TABLE, situation_of
from myha.errors import MyhaError
from myha.supervisor.status import Value

if TYPE_CHECKING:  # commands read these lines too, and need not load a whole supervisor for that
    from myha.supervisor.runner import PairRunner

NO_SUPERVISOR = "no-supervisor"
_RANKS = {row.name: rank for rank, row in enumerate(TABLE)}


class PairLine(Value):
    """One pair. `supervisor` says why its supervisor does not run, and is empty where it does.

    `healthy` is of the pair and of its replicas.
    """

    name: str
    verdict: str
    sentence: str
    healthy: bool
    writer: str | None = None
    epoch: int | None = None
    sync: Sync | None = None
    running: str | None = None
    supervisor: str = ""
    config_changed: bool = False

    @property
    def badness(self) -> tuple[bool, int, str]:
        """The worst have the least: by the order in which verdicts are decided upon."""
        return (self.healthy, _RANKS.get(self.verdict, -1), self.name)


def worst_first(lines: Iterable[PairLine]) -> list[PairLine]:
    return sorted(lines, key=lambda line: line.badness)


def away(name: str, why: str, **more: Any) -> PairLine:
    """The line of a pair that nobody looks after."""
    return PairLine(
        name=name, verdict=NO_SUPERVISOR, sentence=why, healthy=False, supervisor=why, **more
    )


def line_of(runner: PairRunner) -> PairLine:
    """What this process knows of the pair, without asking anybody."""
    try:
        one = runner.supervisor
    except MyhaError as error:
        return away(runner.name, str(error))
    view, decision = one.loop.view, one.loop.decision
    it, record = situation_of(view), view.record
    verdicts, running = decision.verdicts, one.loop.running
    first = verdicts[0] if verdicts else None
    whole = first is HEALTHY and decision.fresh and running is None and one.lease.holds()
    replicas = [lane.loop.decision.verdicts for lane in one.lanes.values()]
    whole = whole and all(found and found[0].name == "replica-healthy" for found in replicas)
    return PairLine(
        name=runner.name,
        verdict=first.name if first else "not-set-up",
        sentence=first.text(it) if first is not None and it is not None else "",
        healthy=whole,
        writer=record.writer if record else None,
        epoch=record.epoch if record else None,
        sync=record.sync if record else None,
        running=running.sentence if running else None,
    )
