"""All that a history is made from: a seed, some parameters and the faults. Can be saved as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from myha.core.policy import Durability, Mode, StrayRule
from myha.sim.flavours import FLAVOURS

NODES = ("db1", "db2")
BALANCERS = ("lb1", "lb2")
PLANS = (
    "failover", "switchover", "release", "rejoin", "install", "reinstate", "arm", "isolate",
    "heal", "start-heal", "job", "job", "healed", "next-heal", "fence", "route",
    "restart-replication", "open-second", "unstall",
)  # fmt: skip
MAX_STEP = 9  # of a plan, and of a job
FAULTS_END_SECONDS = 1.3


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what, to whom, for how long, and when.

    `at_seconds` is the virtual time, or, when `plan` is set, the earliest time; it then waits for
    step `step` of a plan of that kind ("job": of a heal's job, "any": whichever comes). `during`:
    while the step is under way rather than before it. `role` addresses "writer" or "standby" as
    they are then.
    """

    what: str
    role: str = ""
    at_seconds: float = 0.0
    for_seconds: float = 0.3
    plan: str = ""
    step: int = 0
    during: bool = False
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Parameters:
    """One history. Everything else follows from it."""

    seed: int
    flavour: str
    mode: Mode
    durability: Durability
    balancers: int
    latency_seconds: float
    transfer_seconds: float
    batch: int
    apply_seconds: float
    heal: tuple[str, ...]
    fence_command: bool
    faults: tuple[Fault, ...]
    stray_replicas: StrayRule = StrayRule.SOLO
    direct_clients: int = 0  # that go past the balancers
    replica: bool = False  # a read replica beside the pair
    replica_faults: tuple[Fault, ...] = ()
    watchdog: bool = False  # inside the servers
    supervisors: bool = False  # several, which settle in etcd who acts
    address: bool = False  # that two balancers share
    address_faults: tuple[Fault, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Parameters:
        raw: dict[str, Any] = json.loads(text)
        raw["mode"], raw["durability"] = Mode(raw["mode"]), Durability(raw["durability"])
        raw["stray_replicas"] = StrayRule(raw.get("stray_replicas", StrayRule.SOLO))
        raw["heal"] = tuple(raw["heal"])
        for name in ("faults", "replica_faults", "address_faults"):
            raw[name] = tuple(Fault(**one) for one in raw.get(name, ()))
        return cls(**raw)


HEALS = (("rewind",), (), ("rewind", "reseed"), ("merge", "rewind"), ("merge", "rewind", "reseed"))
HEAL_WEIGHTS = (3, 3, 2, 1, 1)

# What, how often, and the roles that it can strike.
KINDS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("crash", 24, ("writer", "writer", "standby")),
    ("shut-down", 6, ("writer", "writer", "standby")),
    ("crash-both", 3, ("",)),
    ("hang", 14, ("writer", "writer", "standby")),
    ("cut-pair", 8, ("",)),
    ("cut-supervisor", 6, ("writer", "standby")),
    ("cut-balancer", 3, ("writer", "standby")),
    ("cut-supervisor-balancer", 2, ("",)),
    ("slow", 2, ("",)),
    ("supervisor-dies", 12, ("",)),
    ("supervisor-stands-still", 5, ("",)),
    ("balancer-restarts", 3, ("",)),
    ("stranger-opens", 4, ("standby",)),
    ("stranger-closes", 2, ("writer",)),
    ("stranger-stops-replication", 3, ("standby", "writer")),
    ("stranger-moves-source", 1, ("standby",)),
    ("stranger-resets-source", 2, ("standby", "standby", "writer")),
    ("stranger-changes-settings", 2, ("standby", "writer")),
    ("stranger-filters", 2, ("standby", "standby", "writer")),
    ("stray-replica", 3, ("writer",)),
    ("full", 2, ("writer", "standby")),
    ("applier-fails", 2, ("standby", "standby", "writer")),
    ("request", 12, ("",)),
)
LONG_HISTORY = 3  # faults
ISOLATES = 0.5
LOSES_LOG = 0.15
COMES_BACK_OLDER = 0.15
ALONE = 0.5
STALLS = 0.5  # how many of the writers that hang
REQUESTS = ("switchover", "switchover", "switchover", "fence", "heal", "failover", "maintenance")
RELAY_LOG = "relay-log"
# How an applier fails: at a row, for a while, or for good at what it has received.
ARGUMENTS = {"request": REQUESTS, "applier-fails": ("row", RELAY_LOG)}
_WHATS = [kind for kind, _, _ in KINDS]
_WEIGHTS = [weight for _, weight, _ in KINDS]
_ROLES = {kind: roles for kind, _, roles in KINDS}


def draw(
    seed: int,
    flavour: str | None = None,
    mode: Mode | None = None,
    durability: Durability | None = None,
) -> Parameters:
    """The history of a seed; what is given is not drawn."""
    rng = Random(seed * 2_654_435_761 % 2**32)
    drawn_mode = Mode.DUAL_WRITER if rng.random() < 0.25 else Mode.SINGLE_WRITER
    mode = mode or (Mode.SINGLE_WRITER if durability is Durability.LOSSLESS else drawn_mode)
    if durability is None:
        single = mode is Mode.SINGLE_WRITER
        weights = (6, 2, 2) if single else (0, 5, 5)
        durability = rng.choices(list(Durability), weights)[0]
    return Parameters(
        seed=seed,
        flavour=flavour or rng.choice(sorted(FLAVOURS)),
        mode=mode,
        durability=durability,
        balancers=1 if rng.random() < 0.7 else 2,
        latency_seconds=rng.choice((0.0005, 0.001, 0.001, 0.004)),
        transfer_seconds=rng.choice((0.0, 0.0, 0.002, 0.03)),
        batch=rng.choice((1000, 1000, 3, 1)),
        apply_seconds=rng.choice((0.001, 0.002, 0.02, 0.2, 0.5)),
        heal=("resume", *rng.choices(HEALS, HEAL_WEIGHTS)[0], "manual"),
        fence_command=rng.random() < 0.3,
        faults=_drawn(seed, mode, rng),
        stray_replicas=rng.choice(list(StrayRule)),
        direct_clients=2 if rng.random() < 0.3 else 0,
    )


def _drawn(seed: int, mode: Mode, rng: Random) -> tuple[Fault, ...]:
    count = rng.choice((1, 2, 2, 3, 3, 4, 5))
    faults = _some_stall(seed, [_fault(rng, first=not i) for i in range(count)])
    faults = _with_a_lost_log(seed, mode, _begun_by_isolation(seed, faults))
    return _with_older_data(seed, faults)


REPLICA = "r1"


def _some_stall(seed: int, faults: list[Fault]) -> tuple[Fault, ...]:
    """Of the writers that hang, some do so because of their disk, and for long enough to matter.

    In the longer histories: those of one or two faults stay what they have been.
    """
    rng = Random(seed * 48_271 % 2**32)
    if len(faults) < LONG_HISTORY:
        return tuple(faults)
    return tuple(
        replace(one, what="disk-stalls", for_seconds=max(one.for_seconds, rng.uniform(0.5, 1.5)))
        if one.what == "hang" and one.role == "writer" and rng.random() < STALLS
        else one
        for one in faults
    )


def _begun_by_isolation(seed: int, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """A supervisor that is cut off first of all is cut off from both nodes, half the time."""
    rng = Random(seed * 28_657 % 2**32)
    first, *others = faults
    if first.what != "cut-supervisor" or rng.random() < ISOLATES:
        return faults
    lasts = max(first.for_seconds, rng.uniform(0.6, 1.0))
    return (replace(first, what="isolate-supervisor", role="standby", for_seconds=lasts), *others)


LOST_LOGS = ("resets-log", "purges-log")


def _with_a_lost_log(seed: int, mode: Mode, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """In some of the longer histories somebody resets or purges a binary log besides.

    With two writers only that of the one on record is reset: what the other one took is left to a
    person then, who would have to compare.
    """
    rng = Random(seed * 22_695_477 % 2**32)
    if len(faults) < LONG_HISTORY or rng.random() >= LOSES_LOG:
        return faults
    what = rng.choice(LOST_LOGS)
    resets_any = what == "resets-log" and mode is Mode.SINGLE_WRITER
    role = rng.choice(("writer", "standby")) if resets_any else "writer"
    return (*faults, Fault(what, role, at_seconds=round(rng.uniform(0.05, 0.9), 4)))


OLDER = "comes-back-older"


def _with_older_data(seed: int, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """In some of the longer histories a server comes back with older data besides: as often as not
    the writer, when it has gone on alone for a while."""
    rng = Random(seed * 39_916_801 % 2**32)
    lost = any(one.what in LOST_LOGS for one in faults)
    if lost or len(faults) < LONG_HISTORY or rng.random() >= COMES_BACK_OLDER:
        return faults
    older = Fault(
        OLDER,
        rng.choice(("writer", "writer", "standby")),
        at_seconds=round(rng.uniform(0.05, 0.4), 4),
        for_seconds=round(rng.uniform(0.55, 0.9), 4),
    )
    alone = Fault("crash", "standby", round(rng.uniform(0.05, 0.3), 4), rng.choice((0.6, 1.2)))
    return (older, *([alone] if rng.random() < ALONE else []), *faults[1:])


REPLICA_FAULTS = ("crash", "hang", "cut-supervisor", "cut-source", "stranger-writes")


def with_replica(parameters: Parameters) -> Parameters:
    """The same history with a read replica beside the pair, and what happens to that."""
    rng = Random(parameters.seed * 40_503 % 2**32)
    faults = tuple(
        Fault(
            what=rng.choice(REPLICA_FAULTS),
            at_seconds=round(rng.uniform(0.05, FAULTS_END_SECONDS), 4),
            for_seconds=round(rng.choice((0.05, 0.3, 0.8)) * rng.uniform(0.7, 1.3), 4),
        )
        for _ in range(rng.choice((0, 0, 1, 1, 2)))
    )
    others = tuple(one for one in parameters.faults if one.what not in ("resets-log", OLDER))
    return replace(parameters, replica=True, replica_faults=faults, faults=others)


WATCHDOG_FAULTS = (
    ("cut-writer", ("writer",)),
    ("cut-supervisor", ("writer",)),
    ("hang", ("writer",)),
    ("supervisor-dies", ("",)),
    ("watchdog-killed", ("writer",)),
    ("clock-steps-back", ("writer",)),
)


def with_watchdog(parameters: Parameters) -> Parameters:
    """The same history with watchdogs in the servers, and with what they are there for.

    One writer, whose commits do not need the standby; no fence command.
    """
    rng = Random(parameters.seed * 69_621 % 2**32)
    faults = tuple(
        Fault(
            what=what,
            role=rng.choice(roles),
            at_seconds=round(rng.uniform(0.15, FAULTS_END_SECONDS - 0.4), 4),
            for_seconds=round(rng.choice((0.1, 0.6, 0.9, 1.2)) * rng.uniform(0.7, 1.3), 4),
        )
        for what, roles in rng.choices(WATCHDOG_FAULTS, (5, 2, 2, 2, 1, 2), k=rng.choice((1, 2, 3)))
    )
    others = rng.choice((0, 0, 1, len(parameters.faults)))
    return replace(
        parameters,
        watchdog=True,
        mode=Mode.SINGLE_WRITER,
        durability=rng.choice((Durability.ASYNC, Durability.BOUNDED)),
        fence_command=False,
        faults=(*faults, *parameters.faults[:others]),
    )


ELECTION_FAULTS = (
    ("freezes-with-a-command", ("",)),
    ("supervisor-stands-still", ("",)),
    ("supervisor-dies", ("",)),
    ("cut-etcd", ("",)),
    ("etcd-is-lost", ("",)),
    ("crash", ("writer", "standby")),
    ("hang", ("writer", "standby")),
)


def with_supervisors(parameters: Parameters) -> Parameters:
    """The same history with several supervisors, and with what makes them take over."""
    rng = Random(parameters.seed * 48_271 % 2**32)
    faults = tuple(
        Fault(
            what=what,
            role=rng.choice(roles),
            plan="any" if what == "freezes-with-a-command" else "",
            step=rng.randrange(8),
            at_seconds=round(rng.uniform(0.1, FAULTS_END_SECONDS - 0.3), 4),
            for_seconds=round(rng.choice((0.1, 0.3, 0.6)) * rng.uniform(0.7, 1.3), 4),
        )
        for what, roles in rng.choices(
            ELECTION_FAULTS, (5, 3, 2, 2, 1, 3, 2), k=rng.choice((2, 3, 4))
        )
    )
    others = rng.choice((0, 0, 1, len(parameters.faults)))
    return replace(parameters, supervisors=True, faults=(*faults, *parameters.faults[:others]))


ADDRESS_FAULTS = (
    "cut-off",
    "loses-database",
    "host-dies",
    "haproxy-ends",
    "haproxy-hangs",
    "moves",
    "deaf",
)
_ADDRESS_WEIGHTS = (4, 3, 3, 2, 3, 2, 1)
WRITERS_REPLACED = 0.5  # how often: only then are routes that stay as they were stale


def with_address(parameters: Parameters) -> Parameters:
    """The same history with two balancers that share an address, and with what moves that."""
    rng = Random(parameters.seed * 16_807 % 2**32)
    faults = []
    for what in rng.choices(ADDRESS_FAULTS, _ADDRESS_WEIGHTS, k=rng.choice((1, 2, 2, 3))):
        lasts = rng.choice((0.1, 0.3, 0.6, 1.8)) * rng.uniform(0.7, 1.3)
        faults.append(
            Fault(
                what=what,
                role="holder" if rng.random() < 0.75 else "other",
                at_seconds=round(rng.uniform(0.05, max(0.1, FAULTS_END_SECONDS - lasts)), 4),
                for_seconds=round(lasts, 4),
            )
        )
    replaced = Fault(
        what=rng.choice(("cut-writer", "crash", "hang")),
        role="writer",
        at_seconds=round(rng.uniform(0.1, 0.4), 4),
        for_seconds=round(rng.uniform(0.6, 1.4), 4),
    )
    others = parameters.faults[: rng.choice((0, 1, 1, len(parameters.faults)))]
    return replace(
        parameters,
        balancers=2,
        address=True,
        address_faults=tuple(faults),
        faults=(*([replaced] if rng.random() < WRITERS_REPLACED else []), *others),
    )


def _fault(rng: Random, *, first: bool) -> Fault:
    what = rng.choices(_WHATS, _WEIGHTS)[0]
    at = rng.uniform(0.05, 0.3 if first else FAULTS_END_SECONDS)
    plan, step = "", 0
    if not first and rng.random() < 0.6:
        at = 0.0
        plan = "any" if rng.random() < 0.5 else rng.choice(PLANS)
        step = rng.randrange(MAX_STEP)
    return Fault(
        what=what,
        role=rng.choice(_ROLES[what]),
        at_seconds=round(at, 4),
        for_seconds=round(rng.choice((0.02, 0.1, 0.3, 0.6, 0.9)) * rng.uniform(0.7, 1.3), 4),
        plan=plan,
        step=step,
        during=rng.random() < 0.4,
        argument=rng.choice(ARGUMENTS[what]) if what in ARGUMENTS else "",
    )
