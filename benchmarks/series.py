"""The series of drills that the benchmark plays, and what each is played on."""

from __future__ import annotations

from dataclasses import dataclass

from myha.cli.drill_play import Sandboxes
from myha.drill.scenarios import SCENARIOS
from myha.drill.stage import Scenario
from myha.sandbox.state import Durability, Mode

WATCHDOG_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Series:
    """So many rounds of a scenario; without a mode or durability in the ones it is made for."""

    scenario: str
    rounds: int
    mode: Mode | None = None
    durability: Durability | None = None
    watchdog_seconds: float = 0.0
    supervisors: int = 1
    network: bool = False
    replicas: int = 0

    @property
    def name(self) -> str:
        """What it is called on the command line, and its file without the flavour."""
        words = (self.scenario, self.mode, self.durability, *self.extras)
        return "-".join(word for word in words if word).replace(" ", "-")

    @property
    def played(self) -> Scenario:
        """The scenario itself."""
        return SCENARIOS[self.scenario]

    @property
    def extras(self) -> tuple[str, ...]:
        """What its sandbox has that a plain one has not, in words."""
        words = (
            (self.watchdog_seconds > 0, "watchdog"),
            (self.supervisors > 1, "etcd"),
            (self.network, "network"),
            (self.replicas > 0, f"{self.replicas} replicas"),
        )
        return tuple(word for holds, word in words if holds)

    def sandboxes(self, flavour: str) -> Sandboxes:
        """What it is played on."""
        return Sandboxes(
            flavour=flavour,
            mode=self.mode,
            durability=self.durability,
            watchdog_seconds=self.watchdog_seconds,
            supervisors=self.supervisors,
            replicas=self.replicas,
            network=self.network or self.played.needs_network,
        )


ONE_HOST = (
    Series("crash", 20),
    Series("switchover", 100),
    Series("hang", 5),
    Series("stop", 3),
    Series("standby-crash", 5),
    Series("standby-hang", 3),
    Series("supervisor-crash", 4),
    Series("diverge", 3),
    Series("diverge-ddl", 1),
    Series("conflict", 2),
    Series("reseed", 1),
    Series("bad-applier", 1),
    Series("stray-replica", 3),
    Series("waiting-commits", 50),
    *(
        Series(scenario, rounds, "dual-writer")
        for scenario, rounds in (
            ("crash", 20),
            ("hang", 3),
            ("stop", 3),
            ("standby-crash", 5),
            ("standby-hang", 3),
            ("supervisor-crash", 2),
            ("waiting-commits", 3),
            ("diverge", 1),
            ("diverge-ddl", 1),
            ("reseed", 1),
            ("bad-applier", 1),
        )
    ),
    # A writer that hangs is not replaced by itself here, so whatever begins with that is left out.
    *(
        Series(scenario, rounds, "single-writer", durability)
        for durability in ("bounded", "async")
        for scenario, rounds in (
            ("crash", 3),
            ("stop", 3),
            ("switchover", 3),
            ("standby-crash", 3),
            ("standby-hang", 3),
            ("supervisor-crash", 2),
            ("reseed", 1),
            ("bad-applier", 1),
        )
    ),
)

REPLICAS = (
    Series("crash", 10, replicas=2),
    Series("switchover", 10, replicas=2),
)

# Each process on a host of its own, in a network namespace: as root only.
NETWORK = (
    Series("partition-writer", 5),
    Series("partition-writer", 5, "single-writer", "async", WATCHDOG_SECONDS),
    Series("flap", 3),
    Series("slow", 30),
    Series("balancer-crash", 6, network=True),
)

ETCD = (
    Series("crash", 20, supervisors=2),
    Series("leader-crash", 5, supervisors=2),
    Series("leader-freeze", 3, supervisors=2),
    Series("leader-and-writer-crash", 5, supervisors=2),
    Series("leader-partition", 5, supervisors=2, network=True),
    Series("etcd-crash", 4, supervisors=2),
)

CHAOS = (
    Series("chaos", 100, supervisors=2, network=True),
    Series("chaos", 50, "single-writer", "async", WATCHDOG_SECONDS, 2, network=True),
)

SERIES = (*ONE_HOST, *REPLICAS, *NETWORK, *ETCD, *CHAOS)
