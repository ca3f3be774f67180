"""A replica's lane by itself: its loop, its executor, and what of it the pair can notice."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from myha.core.followers.plans import ChangeFollower, Follow, StopAcknowledging
from myha.core.followers.protocols import follow
from myha.core.followers.record import FollowerRecord
from myha.core.followers.verdicts import situation_of
from myha.core.followers.view import FollowerView, PairSeen
from myha.core.gtid import GtidSet
from myha.core.observations import NodeLooked, Tick
from myha.core.plans import Plan
from myha.core.record import Membership, Record
from myha.errors import MyhaError
from myha.stores.local.followers import LocalFollowerStore
from myha.supervisor.base_loop import Answer, Begin, Effect, LookNow, Note, PlanResult, Stop
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.executor import StepFailedError, Tools
from myha.supervisor.followers.driver import FollowerDriver
from myha.supervisor.followers.executor import FollowerExecutor
from myha.supervisor.followers.loop import FollowerLoop
from myha.supervisor.followers.status import replica_status
from myha.supervisor.inbox import Inbox
from myha.supervisor.requests import Request
from myha.supervisor.status import SeenReplicaStatus, Status
from tests.core.follower_situations import (
    AHEAD,
    MEMBER,
    QUIET,
    SITUATIONS,
    VARIANTS,
    look,
    node,
    taken_over,
    view,
)
from tests.core.views import NOW, WALL
from tests.core.views import record as pair_record

T = TypeVar("T")


def loop_at(start: FollowerView) -> FollowerLoop:
    loop = FollowerLoop("r1", start.pair, start.record)
    loop.view = start
    return loop


def only(kind: type[T], effects: tuple[Effect, ...]) -> list[T]:
    return [one for one in effects if isinstance(one, kind)]


# -- the loop --------------------------------------------------------------------------------------


def test_one_plan_at_a_time_and_it_is_looked_at_after_it() -> None:
    loop = loop_at(SITUATIONS["replica-wrong-source"])
    (begin,) = only(Begin, loop.decide().effects)
    assert (begin.plan.kind, begin.plan.epoch) == ("follow", 3)
    assert only(Begin, loop.decide().effects) == []
    loop.take(Tick(NOW + 1, WALL))
    failed, looks = loop.take(PlanResult("no", loop.view.record))
    assert isinstance(failed, Note)
    assert looks == LookNow(("r1",), ("lb1",))
    loop.decide()
    assert not loop.decision.fresh
    loop.take(NodeLooked("r1", look(at=NOW + 2)))
    loop.decide()
    assert loop.decision.fresh


def test_a_new_writer_makes_it_look() -> None:
    """What it has when the new writer opens was seen before, and can be judged at once."""
    loop = loop_at(view())
    assert loop.take(PairSeen(NOW, taken_over(open=False), changing=True)) == (LookNow(("r1",)),)
    assert loop.take(PairSeen(NOW, taken_over(open=False), changing=True)) == ()
    assert only(Begin, loop.decide().effects) == []
    loop.take(PairSeen(NOW, taken_over()))
    (begin,) = only(Begin, loop.decide().effects)
    assert begin.plan.kind == "follow"


def test_a_replica_whose_record_is_gone_rests() -> None:
    loop = loop_at(SITUATIONS["replica-errant"])
    loop.running = None
    loop.view = replace(loop.view, record=None)
    assert loop.decide().effects == ()
    (answer,) = loop.take(Request("fence", {"node": "r1"}))
    assert isinstance(answer, Answer)
    assert not answer.reply.ok
    assert replica_status(loop.view, loop.decision, None).verdict == "not-set-up"


def test_a_request_is_replied_to_when_its_plan_has_ended() -> None:
    loop = loop_at(view())
    request = Request("fence", {"node": "r1", "reason": "a test"})
    (begin,) = loop.take(request)
    assert isinstance(begin, Begin)
    (busy,) = loop.take(Request("unfence", {"node": "r1"}))
    assert isinstance(busy, Answer)
    assert busy.reply.text.startswith("busy: ")
    (answer,) = only(Answer, loop.take(PlanResult("", loop.view.record)))
    assert answer.request is request
    assert answer.reply.ok


def test_it_leaves_when_its_plan_is_done() -> None:
    loop = loop_at(SITUATIONS["replica-wrong-source"])
    loop.decide()
    loop.take(Stop())
    assert not loop.decide().leave
    loop.take(PlanResult("", loop.view.record))
    assert loop.decide().leave


# -- the executor ----------------------------------------------------------------------------------


@dataclass
class Fake:
    """A server, and a balancer: notes what is called, in order."""

    name: str
    called: list[str]
    has: GtidSet
    hangs: bool = False
    ends_sessions: bool = True

    def executed(self) -> GtidSet:
        self.called.append(f"{self.name}: executed")
        return self.has

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **more: Any) -> None:
            self.called.append(f"{self.name}: {method} {[*arguments, *more.values()]}")

        return call


@dataclass
class Stored:
    """The pair's record; whoever writes it fails the test."""

    record: Record

    def read(self) -> Record:
        return self.record


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return WALL


@dataclass
class Kept:
    """The journal."""

    lines: list[str] = field(default_factory=list)

    def note(self, kind: str, text: str, _fields: dict[str, str]) -> None:
        self.lines.append(f"{kind}: {text}")


class Scene:
    """r1 was behind db1, and db2 has taken over."""

    def __init__(self, directory: Path, has: GtidSet | None = None) -> None:
        self.called: list[str] = []
        held = look().executed
        self.replica = Fake("r1", self.called, has or held)
        servers = {"db1": Fake("db1", self.called, held), "db2": Fake("db2", self.called, held)}
        replaced: dict[str, Any] = {"writer": "db2", "epoch": 3}
        self.stored = Stored(pair_record(**replaced))
        self.followers = LocalFollowerStore(directory)
        self.followers.compare_and_set("r1", 0, FollowerRecord(3, MEMBER))
        self.journal = Kept()
        none: Any = None
        self.tools = Tools(
            {"r1": self.replica, **servers},
            {"lb1": Fake("lb1", self.called, held)},
            self.stored,  # type: ignore[arg-type]
            Clock(),
            ThreadedCalls(),
            self.journal,
            none,
        )
        self.executor = FollowerExecutor(self.tools, self.replica, self.followers)

    def run(self, plan: Plan) -> None:
        for _ in self.executor.run(plan):
            pass


def following(one: FollowerView) -> Plan:
    it = situation_of(one)
    assert it is not None
    plan = follow(it)
    assert isinstance(plan, Plan)
    return plan


RESTARTED = view(node(**QUIET, boot_id="r1-2"), pair=taken_over(), reads=False)


def test_following_in_order(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.run(following(RESTARTED))
    assert [one.split(" [")[0] for one in scene.called] == [
        "lb1: take_out",
        "r1: stop_replication",
        "r1: executed",
        "db2: executed",
        "r1: follow",
        "r1: place_events",
        "r1: start_replication",
    ]
    found = scene.followers.read("r1")
    assert found is not None
    assert (found.version, found.entry.membership) == (4, Membership.MEMBER)
    assert found.entry.boot_id == "r1-2"


def test_what_the_writer_lacks_is_never_followed_from(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AHEAD)
    with pytest.raises(StepFailedError, match="r1 has transactions that db2 lacks"):
        scene.run(following(VARIANTS["switched over"]))
    assert not [one for one in scene.called if "follow" in one]


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_step_of_another_epoch_is_refused(tmp_path: Path, epoch: int) -> None:
    scene = Scene(tmp_path)
    scene.stored.record = replace(scene.stored.record, epoch=epoch)
    with pytest.raises(StepFailedError, match="refused, the epoch on record"):
        scene.run(following(RESTARTED))
    assert scene.called == []


def test_the_pair_may_change_without_a_new_writer(tmp_path: Path) -> None:
    """It is armed while a replica is pointed anew, say."""
    scene = Scene(tmp_path)
    steps = scene.executor.run(following(RESTARTED))
    next(steps)
    scene.stored.record = replace(scene.stored.record, version=99)
    for _ in steps:
        pass
    assert scene.called[-1].startswith("r1: start_replication")


def test_a_step_is_refused_when_its_own_record_has_changed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.followers.compare_and_set("r1", 3, FollowerRecord(4, MEMBER))
    with pytest.raises(StepFailedError, match="refused"):
        scene.run(following(RESTARTED))
    scene.followers.remove("r1")
    with pytest.raises(StepFailedError, match="refused"):
        scene.run(following(RESTARTED))
    assert scene.called == []


def test_every_step_of_a_replica_has_a_performer(tmp_path: Path) -> None:
    executor = Scene(tmp_path).executor
    for kind in (ChangeFollower, Follow, StopAcknowledging):
        assert kind in executor.performers


# -- beside the pair -------------------------------------------------------------------------------


def test_telling_never_waits(tmp_path: Path) -> None:
    """A lane that takes nothing in any more, and a queue that is full."""
    scene = Scene(tmp_path)
    driver = FollowerDriver(loop_at(view()), scene.tools, scene.executor, 0.5, {})
    driver.queue = Inbox(1)

    def pass_on() -> None:
        for _ in range(1000):
            driver.pair_seen(PairSeen(NOW, taken_over()))
        driver.stop()

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    thread.join(60.0)
    assert not thread.is_alive(), "it waits"


def test_the_status_of_a_replica_survives_its_json() -> None:
    one = SITUATIONS["replica-errant"]
    loop = loop_at(one)
    loop.decide()
    status = replica_status(loop.view, loop.decision, loop.running)
    assert isinstance(status, SeenReplicaStatus)
    assert (status.verdict, status.follows, status.healthy) == ("replica-errant", "db1", False)
    assert status.wanted == {"writer": False, "reader": False}
    read = SeenReplicaStatus.model_validate(status.model_dump(mode="json"))
    assert read.model_dump() == status.model_dump()
    healthy = loop_at(view())
    healthy.decide()
    assert replica_status(healthy.view, healthy.decision, None).healthy
    assert not replica_status(healthy.view, healthy.decision, None, "a defect").healthy
    assert "replicas" in Status.model_fields
    with pytest.raises(MyhaError):
        Status.of_json({"replicas": {"r1": 1}})
