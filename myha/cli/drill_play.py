"""Plays scenarios, on the cluster that there is or in sandboxes that are made for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myha.drill import fitness, runner
from myha.drill.containers import in_containers
from myha.drill.options import Options
from myha.drill.report import Report
from myha.drill.stage import Scenario
from myha.drill.target import HEAL_POLICY, Fit, Target
from myha.drill.target import sandbox as in_sandbox
from myha.progress import Tell
from myha.sandbox.state import Durability, Mode


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """What each sandbox is made of; `mode` None: what each scenario is made for."""

    flavour: str = "mysql"
    mode: Mode | None = None
    durability: Durability | None = None
    heal: tuple[str, ...] | None = None  # that policy; else all that the scenarios show
    watchdog_seconds: float = 0.0
    replicas: int = 0
    supervisors: int = 1
    network: bool = False
    containers: bool = False

    def play(self, chosen: Sequence[Scenario], options: Options, tell: Tell) -> list[Report]:
        """All of them, those that can share a sandbox in one."""
        if self.containers:
            full = self.supervisors > 1 or any(one.needs_supervisors for one in chosen)
            with in_containers(self.flavour, tell, self.heal or (), full=full) as target:
                return play(target, chosen, options, tell)
        reports: list[Report] = []
        for (mode, fit, address, several), scenarios in self._kinds(chosen).items():
            with in_sandbox(
                *(self.flavour, mode, self.durability, tell, self.heal or HEAL_POLICY),
                watchdog_seconds=self.watchdog_seconds,
                replicas=self.replicas,
                network=self.network,
                address=self.network and address,
                supervisors=max(self.supervisors, 2 if several else 1),
                fit=fit,
            ) as made:
                reports += play(made, scenarios, options, tell)
        return reports

    def _kinds(
        self, chosen: Sequence[Scenario]
    ) -> dict[tuple[Mode, Fit | None, bool, bool], list[Scenario]]:
        """In the mode asked for, else single-writer wherever it fits, made ready for the same, with
        a shared address or without, and with one supervisor or two."""
        found: dict[tuple[Mode, Fit | None, bool, bool], list[Scenario]] = {}
        for one in chosen:
            fits: Mode = "dual-writer" if one.dual_writer_only else "single-writer"
            kind = (self.mode or fits, one.fit, one.needs_address, one.needs_supervisors)
            found.setdefault(kind, []).append(one)
        return found


def play(target: Target, chosen: Sequence[Scenario], options: Options, tell: Tell) -> list[Report]:
    """All of them; of several, those that do not fit this cluster are left out, with a word."""
    reports = []
    for one in chosen:
        why_not = fitness.misfit(target, one)
        if why_not and len(chosen) > 1:
            tell(f"left out: {why_not}")
            continue
        reports.append(runner.run(target, one, options, tell))
    return reports
