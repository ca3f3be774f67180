"""Drills of what only containers have: played and judged as those of `myha drill`."""

from __future__ import annotations

import json
from collections.abc import Callable

from myha.drill import runner
from myha.drill.options import Options
from myha.drill.report import Report
from myha.drill.stage import Fault, Scenario, Stage
from myha.drill.target import Target

CLIENTS = 4


def drill(target: Target, scenario: Scenario) -> Report:
    """Played, judged, and good: the report says what was not."""
    report = runner.run(target, scenario, Options(clients=CLIENTS), print)
    for one in report.rounds:
        assert not one.problems, json.dumps([one.problems, one.journal], indent=1)
        assert (one.acknowledged_lost, one.destroyed, one.duplicated) == (0, 0, 0)
        assert one.converged
    return report


def fault(
    name: str, strike: Callable[[Stage], Fault], mend: Callable[[Stage, Fault], None]
) -> Scenario:
    return Scenario(name, name, name, strike, mend, unattended_failover=True)
