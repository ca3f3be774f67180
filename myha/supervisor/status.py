"""What a supervisor says of its pair, as one value: built by it, sent as JSON, read by commands.

`Status.of_json` and `Status.as_json` are the codec, `Status.model_json_schema()` its schema. What a
value was not made with (see `Status`) is not in its JSON. Seconds are as seen when it was made.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from myha.core.jobs import JobResult
from myha.core.node import Contact, ThreadState
from myha.core.policy import Durability, Mode
from myha.core.record import Cause, Membership, Sync
from myha.errors import MyhaError


class Value(BaseModel):
    """Unknown fields are left out, so that a newer supervisor can be read."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class OpenValue(BaseModel):
    """As a job told it: fields that are not named here are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


Text = Annotated[str, BeforeValidator(str)]
Hundredths = Annotated[float, BeforeValidator(lambda number: round(number, 2))]


class VerdictStatus(Value):
    name: str
    sentence: str


class RefusalStatus(Value):
    """Why the plan of a verdict is not begun, and the command that overrides it."""

    verdict: str
    reason: str
    override: str | None


class IncidentStatus(Value):
    """A plan that has failed and not succeeded since."""

    plan: str
    node: str
    reason: str
    attempts: int
    ago_seconds: float


class JobStatus(Value):
    """A job that runs. `heal` is the id of the heal on record; `text` says how far it is."""

    kind: str
    node: str
    method: str
    heal: int
    seconds: float
    phase: str
    percent: float | None
    left_seconds: float | None
    text: str


class MethodStatus(Value):
    """How the last job of a heal's method ended."""

    method: str
    result: JobResult
    reason: str
    attempts: int


class HealStatus(Value):
    """The heal on record, under way or the last one."""

    id: int
    method: str
    methods: tuple[str, ...]
    cause: Cause
    refused: tuple[str, ...]
    last: tuple[MethodStatus, ...]


class ThreadStatus(Value):
    """A replication thread."""

    state: ThreadState
    errno: int
    error: str


class AcknowledgerStatus(Value):
    name: str
    user: str
    host: str
    identity: str
    session: int


class SemiSyncStatus(Value):
    source_enabled: bool
    source_waits: bool
    source_clients: int
    source_wait_count: int
    acknowledgers: tuple[AcknowledgerStatus, ...]
    replica_enabled: bool
    waiting_sessions: int


class ApplierFailure(OpenValue):
    """Why an applier has stopped, see `myha divergence show --json`; `lines` are for a terminal."""

    errno: int
    kind: str
    heal: str
    sentence: str
    lines: tuple[str, ...] = ()


class NodeStatus(Value):
    """A node of which there has been no look.

    `wanted` is by pool: True in, False out, None as it is. `watched`: its watchdog waits for this
    supervisor's lease, as it last said.
    """

    contact: Contact
    contact_seconds: float
    error: str
    membership: Membership | None
    cause: Cause
    reason: str
    fenced: bool
    heal: HealStatus | None
    wanted: dict[str, bool | None]
    reader_ok: bool
    watched: bool
    failure: ApplierFailure | None


class SeenNodeStatus(NodeStatus):
    """A node, and what the last look at it saw."""

    version: str
    server_id: int
    boot_id: str
    open: bool
    executed: Text
    receiver: ThreadStatus
    applier: ThreadStatus
    source: str
    lag_seconds: float | None
    lag_transactions: int
    lag_bytes: int | None
    semisync: SemiSyncStatus
    sessions: int
    writes_stalled_seconds: Hundredths
    stall_reason: str


class ReplicaStatus(NodeStatus):
    """A read replica of which there has been no look.

    `follows` is the node of the pair that it replicates from, empty when it is none of them.
    """

    verdict: str
    sentence: str
    verdicts: tuple[VerdictStatus, ...]
    settled: bool
    healthy: bool
    follows: str
    delay_seconds: int
    running: str | None
    refusals: tuple[RefusalStatus, ...]
    incidents: tuple[IncidentStatus, ...]
    jobs: tuple[JobStatus, ...]


class SeenReplicaStatus(ReplicaStatus, SeenNodeStatus):
    """A read replica, and what the last look at it saw."""


class RouteStatus(Value):
    pool: str
    node: str
    takes_traffic: bool
    sessions: int


class AddressStatus(Value):
    """What a balancer says of the shared address."""

    holds: bool
    told: bool
    preferred: bool


class BalancerStatus(Value):
    """`address` is None where there is no shared one, or nothing that keepalived could read."""

    answering: bool
    error: str
    boot_id: str
    routes: tuple[RouteStatus, ...]
    address: AddressStatus | None = None


class HeartbeatStatus(Value):
    """`stalled_seconds`: for how long the write under way has not finished; `latency_ms`: how long
    the last one took, None where none is written."""

    stalled_seconds: Hundredths
    error: str
    latency_ms: float | None = None


class LoopStatus(Value):
    """The turns of the pair's loop since its supervisor began: how many, how long it was busy with
    them, and how many were at most so long (`turns.BOUNDS_SECONDS`; the last: longer)."""

    turns: int
    busy_seconds: float
    by_length: tuple[int, ...]


class LastJobStatus(OpenValue):
    """How the last job of a kind ended; `at` is seconds since the epoch."""

    at: float
    result: JobResult


class NotifyStatus(Value):
    """A channel: messages sent, events that wait to be told or were lost on their way to it, and
    why the last message was not taken."""

    sent: int
    waiting: int
    lost: int
    failure: str


class HookStatus(Value):
    """A hook: how often it has run and failed, how many events it was not run for since too many
    were waiting, and how its last run failed."""

    runs: int
    failed: int
    dropped: int
    failure: str


AnyNode = Annotated[SeenNodeStatus | NodeStatus, Field(union_mode="left_to_right")]
AnyReplica = Annotated[SeenReplicaStatus | ReplicaStatus, Field(union_mode="left_to_right")]


class Status(Value):
    """One pair. `settled`: all was looked at since the last plan; `sentence` is the verdict's.

    What is said of the pair, `healthy` too, is so whatever its `replicas` do.

    The fields from `pid` on are the supervisor's own; `supervisor` is there instead of them where
    no supervisor has answered, and says why. `lease_failure`: why the supervisor may not act just
    now; what it shows then may be old, and is not called healthy.
    """

    settled: bool
    verdict: str
    sentence: str
    verdicts: tuple[VerdictStatus, ...]
    healthy: bool
    mode: Mode
    durability: Durability
    writer: str | None
    epoch: int | None
    sync: Sync | None
    maintenance: bool
    running: str | None
    refusals: tuple[RefusalStatus, ...]
    incidents: tuple[IncidentStatus, ...]
    jobs: tuple[JobStatus, ...]
    nodes: dict[str, AnyNode]
    balancers: dict[str, BalancerStatus]
    ok: bool
    name: str
    pid: int = 0
    config_changed: bool = False
    journal_failure: str = ""
    dns_failure: str = ""
    url: str = ""
    notify: dict[str, NotifyStatus] = {}
    hooks: dict[str, HookStatus] = {}
    messages_failure: str = ""
    lease_failure: str = ""
    last_jobs: dict[str, LastJobStatus] = {}
    pulse: dict[str, HeartbeatStatus] = {}
    loop: LoopStatus | None = None
    replicas: dict[str, AnyReplica] = {}
    supervisor: str = ""

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def own_failures(self) -> list[str]:
        """What the supervisor cannot do beside its work on the pair, a line each."""
        lines = [self.journal_failure] if self.journal_failure else []
        if self.dns_failure:
            lines.append(f"the name does not follow the writer: {self.dns_failure}")
        if self.messages_failure:
            lines.append(f"messages and hooks: {self.messages_failure}")
        for name, channel in self.notify.items():
            if channel.failure:
                lines.append(f"notify {name}: {channel.failure}; {channel.waiting} events wait")
        for name, hook in self.hooks.items():
            if hook.failure:
                lines.append(f"hook {hook.failure}")
            if hook.dropped:
                lines.append(f"hook {name}: {hook.dropped} events were too many at once")
        return lines

    @staticmethod
    def of_json(data: dict[str, Any]) -> Status:
        """Raises `MyhaError` when it is not a status of this version."""
        try:
            return Status.model_validate(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise MyhaError(
                f"the supervisor's status cannot be read ({where}): it is of another version of "
                "myha; restart it"
            ) from None
