"""The process around the supervisors of pairs: who a request is for, and what becomes of a pair."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.config import Config, ProcessConfig, load_all
from myha.core.events import Kind, Wanted
from myha.core.journal_line import Line, Note
from myha.core.planning import decide
from myha.errors import MyhaError, SupervisorInLineError
from myha.ports import Lease
from myha.supervisor import client as client_module
from myha.supervisor import line as line_module
from myha.supervisor import pairs as pairs_module
from myha.supervisor import runner as runner_module
from myha.supervisor.admission import AT_ONCE
from myha.supervisor.client import Client
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.pairs import Pairs, switch_seconds
from myha.supervisor.process import LoneProcess, ManyProcess, process_of
from myha.supervisor.requests import Reply
from myha.supervisor.runner import State
from myha.supervisor.workers import Workers, cores
from tests.core.views import view
from tests.test_config_pairs import HEAD, in_file, in_folder, written
from tests.waiting import until

DEADLINE_SECONDS = 20.0


class Supervisor:
    """Notes what it is asked, and ends as it is told to."""

    def __init__(self, world: World, config: Config, lease: Lease | None) -> None:
        self.lease = lease
        self.name = config.cluster.name
        self.config = config
        self.world = world
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()
        self.defect: BaseException | None = None
        self.closed = False
        self.lanes: dict[str, Any] = {}
        seen = view()
        self.loop = SimpleNamespace(view=seen, decision=decide(seen), running=None)
        self.rounds = 1
        self.on_surveyed: Callable[[], None] = lambda: None
        self.noted: list[tuple[Kind, str]] = []
        self.journal_file = SimpleNamespace(
            note=lambda kind, text, _fields: self.noted.append((kind, text))
        )

    def note(self, note: Note) -> None:
        self.noted.append((note.kind, note.text))

    def run(self) -> None:
        if self.name not in self.world.silent:
            self.on_surveyed()
        assert self.ended.wait(DEADLINE_SECONDS)
        if self.defect is not None:
            raise self.defect

    def stop(self, reason: str) -> None:
        self.world.said.append(f"{self.name}: {reason}")
        if self.name not in self.world.busy:
            self.ended.set()

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(as_json=lambda: {"name": self.name})

    def announce_to(self, to: Callable[[], None]) -> None:
        self.news = to
        to()

    def close(self) -> None:
        self.closed = True
        if self.lease is not None:
            self.lease.release()

    def fail(self) -> None:
        self.defect = RuntimeError("a defect")
        self.ended.set()

    def events(self, limit: int, after: int, _wanted: Wanted) -> list[Line]:
        fields = {"limit": str(limit), "of": self.name}
        return [Line(after + 1, 0.0, 0.0, Kind.STEP, "", fields)]

    def request(self, name: str, arguments: dict[str, str]) -> Reply:
        self.asked.append((name, arguments))
        return Reply(False, "no", "myha yes")


class World:
    """All supervisors that were made; those in `refused` cannot begin, `busy` do not end by
    themselves, since a plan is under way, and the nodes of `silent` answer nothing."""

    def __init__(self) -> None:
        self.made: dict[str, list[Supervisor]] = {}
        self.refused: set[str] = set()
        self.busy: set[str] = set()
        self.silent: set[str] = set()
        self.said: list[str] = []

    def make(
        self, config: Config, _leave: threading.Event, lease: Lease | None = None
    ) -> PairSupervisor:
        name = config.cluster.name
        if name in self.refused:
            raise MyhaError(f"there is no record of {name}")
        one = Supervisor(self, config, lease)
        self.made.setdefault(name, []).append(one)
        return cast("PairSupervisor", one)

    def running(self, name: str) -> Supervisor:
        until(lambda: any(not one.ended.is_set() for one in self.made.get(name, [])), name)
        return self.made[name][-1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(runner_module, "AGAIN_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(runner_module, "AGAIN_LIMIT_SECONDS", 0.02)
    monkeypatch.setattr(line_module, "require_record", lambda _config: None)
    one = World()
    monkeypatch.setattr(pairs_module, "log", lambda *words: one.said.append(" ".join(words)))
    return one


def configs(folder: Path, *names: str, more: str = "") -> dict[str, Config]:
    path = written(folder, HEAD + "".join(in_file(name) for name in names) + more)
    return load_all(path).pairs


@contextmanager
def supervised(world: World, folder: Path, *names: str, alone: bool = False) -> Iterator[Pairs]:
    with given(world, Pairs(make=world.make, alone=alone), folder, *names) as pairs:
        yield pairs


@contextmanager
def given(world: World, pairs: Pairs, folder: Path, *names: str) -> Iterator[Pairs]:
    """Pairs that supervise these, until the end."""
    pairs.apply(configs(folder, *names), "start")
    for name in set(names) - world.refused:
        world.running(name)
        until(partial(_runs, pairs, name), name)
    try:
        yield pairs
    finally:
        world.busy.clear()
        pairs.stop("the test ends")
        for made in world.made.values():
            for one in made:
                one.ended.set()
        pairs.join()
    assert all(one.closed for made in world.made.values() for one in made)


def _runs(pairs: Pairs, name: str) -> bool:
    return _state(pairs, name) is State.RUNNING


def _state(pairs: Pairs, name: str) -> State:
    return pairs._runners[name].state


def test_a_pair_begins_when_an_earlier_one_has_looked_at_its_nodes(
    world: World, tmp_path: Path
) -> None:
    names = [f"p{n:02}" for n in range(2 * AT_ONCE)]
    world.silent.update(names)
    pairs = Pairs(make=world.make)
    with given(world, pairs, tmp_path):
        pairs.apply(configs(tmp_path, *names), "start")
        for name in names[:AT_ONCE]:
            world.running(name)
        assert set(world.made) == set(names[:AT_ONCE])
        assert _state(pairs, names[-1]) is State.STARTING
        world.made[names[3]][0].on_surveyed()
        world.running(names[AT_ONCE])
        assert set(world.made) == set(names[: AT_ONCE + 1])
        pairs.apply(configs(tmp_path, *names[AT_ONCE:]), "reload")  # those inside end
        for name in names[AT_ONCE:]:
            world.running(name)


def test_a_pair_that_cannot_begin_keeps_no_other_from_it(world: World, tmp_path: Path) -> None:
    names = [f"p{n:02}" for n in range(2 * AT_ONCE)]
    world.refused.update(names[:AT_ONCE])
    with supervised(world, tmp_path, *names):
        assert set(world.made) == set(names[AT_ONCE:])


# -- requests --------------------------------------------------------------------------------------


def test_a_pair_that_is_alone_need_not_be_named(world: World, tmp_path: Path) -> None:
    with supervised(world, tmp_path, "one") as pairs:
        answer = pairs.handle({"do": "fence", "node": "db2", "reason": None, "limit": 3})
        assert world.running("one").asked == [("fence", {"node": "db2", "limit": "3"})]
        assert answer == {
            "ok": False,
            "text": "no",
            "override": "myha yes",
            "ask_again": False,
            "plan": None,
        }
        assert pairs.handle({"do": "ping", "pair": "another"}) == {"ok": True}


def test_who_is_let_in_by_a_pair_that_begins_finds_it_running(world: World, tmp_path: Path) -> None:
    """The control socket opens with that call: a client that waits for it asks at once."""
    answers: list[Any] = []

    def begins() -> None:
        answers.append(pairs.handle({"do": "status"}))

    pairs = Pairs(make=world.make, alone=True, begins=begins)
    with given(world, pairs, tmp_path, "one"):
        until(lambda: answers == [{"name": "one"}], "it was let in")


def test_a_request_is_for_the_pair_that_it_names(world: World, tmp_path: Path) -> None:
    with supervised(world, tmp_path, "one", "two") as pairs:
        answer = pairs.handle({"do": "events", "pair": "two", "limit": 10**9, "after": 6})
        (line,) = answer["events"]
        assert (line["id"], line["limit"], line["of"]) == (7, "1000", "two")


@pytest.mark.parametrize(
    ("names", "request_for", "text"),
    [
        (("one",), {"pair": "x"}, "this supervisor has the pair one, and not x"),
        (("one",), {"pair": ["x"]}, "this supervisor has the pair one, and not ['x']"),
        (("one", "two"), {}, "this supervisor has the pairs one, two: name one"),
    ],
)
def test_a_request_for_no_pair_of_ours_is_refused_in_one_line(
    world: World, tmp_path: Path, names: tuple[str, ...], request_for: dict[str, Any], text: str
) -> None:
    with supervised(world, tmp_path, *names) as pairs:
        with pytest.raises(MyhaError) as refused:
            pairs.handle({"do": "status", **request_for})
        assert str(refused.value) == text


@pytest.mark.parametrize("key", ["limit", "after"])
def test_a_number_that_is_none_is_refused(world: World, tmp_path: Path, key: str) -> None:
    with supervised(world, tmp_path, "one") as pairs:
        wrongs: list[object] = ["x", -1, 1.5, [1], {}]
        for wrong in wrongs:
            with pytest.raises(MyhaError, match=f"{key} has to be a whole number"):
                pairs.handle({"do": "events", key: wrong})


def test_what_there_is_no_request_for_is_refused(world: World, tmp_path: Path) -> None:
    with (
        supervised(world, tmp_path, "one") as pairs,
        pytest.raises(MyhaError, match="there is no request 'fly'"),
    ):
        pairs.handle({"do": "fly"})


def test_a_drill_has_the_journal_say_so(world: World, tmp_path: Path) -> None:
    fields = {"scenario": "crash"}
    note = {"do": "note-drill", "pair": "two", "kind": "drill", "text": "a\ndrill"}
    with supervised(world, tmp_path, "one", "two") as pairs:
        assert pairs.handle(note | {"fields": fields}) == {"ok": True}
        for wrong in (
            {"kind": "plan"},
            {"text": ""},
            {"fields": None},
            {"fields": {"lost": 0}},
            {"fields": {"reason": "x" * 4001}},
        ):
            with pytest.raises(MyhaError, match=f"^{next(iter(wrong))}"):
                pairs.handle(note | {"fields": fields} | wrong)
        assert world.made["two"][0].noted == [(Kind.DRILL, "a drill")]


def test_one_in_line_says_how_its_balancers_differ(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with supervised(world, tmp_path, "one") as pairs:
        runner = pairs._runners["one"]
        before = runner.state
        runner._in_line("m2 has it", "lb2 only there")
        monkeypatch.setattr(client_module, "ask", lambda _path, request: pairs.handle(request))
        with pytest.raises(SupervisorInLineError, match="is in line: m2 has it$") as raised:
            Client(configs(tmp_path, "one")["one"]).status()
        assert raised.value.other_balancers == "lb2 only there"
        runner.state = before


def test_who_watches_is_told_of_the_pairs_that_have_changed(world: World, tmp_path: Path) -> None:
    world.refused = {"ill"}
    with supervised(world, tmp_path, "one", "two", "ill") as pairs:
        until(lambda: _state(pairs, "ill") is State.WAITING, "it waits")
        first = pairs.handle({"do": "watch"})
        assert first["names"] == ["ill", "one", "two"]
        assert first["pairs"]["one"]["status"] == {"name": "one"}
        assert first["pairs"]["ill"]["status"] is None
        assert "no record of ill" in first["pairs"]["ill"]["line"]["supervisor"]
        since = {"since": first["version"], "life": first["life"]}
        world.refused.clear()
        until(lambda: _state(pairs, "ill") is State.RUNNING, "it runs")
        later = pairs.handle({"do": "watch", "wait": 1, **since})
        assert set(later["pairs"]) == {"ill"}
        again = pairs.handle({"do": "watch", "since": later["version"], "life": "another process"})
        assert len(again["pairs"]) == 3
        with pytest.raises(MyhaError, match="wait has to be a whole number"):
            pairs.handle({"do": "watch", "wait": -1})
        with pytest.raises(MyhaError, match="watched has to be a list of pairs, or true"):
            pairs.handle({"do": "watch", "watched": "one"})


def test_of_many_pairs_each_worker_is_watched_through_the_process(tmp_path: Path) -> None:
    process = process_of(load_all(written(tmp_path, HEAD + in_file("x"))))
    assert isinstance(process, ManyProcess)
    assert process.sources == tuple(f"worker-{n}" for n in range(1, cores() + 1))
    asked: list[dict[str, Any]] = []

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"ok": True, "pairs": {"x": {"line": {"name": "x"}, "status": None}}}

    process._workers = cast("Any", [SimpleNamespace(name="worker-1", ask=ask)])
    process._changed = frozenset({"x"})
    found = process.handle({"do": "watch", "source": "worker-1", "since": 3})
    assert found["pairs"]["x"] == {"line": {"name": "x", "config_changed": True}, "status": None}
    assert asked == [{"do": "watch", "source": "worker-1", "since": 3}]
    with pytest.raises(MyhaError, match="there is no source 'worker-9' of news"):
        process.handle({"do": "watch", "source": "worker-9"})


# -- what becomes of a pair ------------------------------------------------------------------------


def test_a_defect_in_one_pair_is_no_other_ones_affair(world: World, tmp_path: Path) -> None:
    with supervised(world, tmp_path, "ill", "well") as pairs:
        first, well = world.running("ill"), world.running("well")
        first.fail()
        until(lambda: len(world.made["ill"]) == 2, "it begins again")
        assert first.closed
        assert any("ill unsupervised not running" in line for line in world.said)
        assert world.running("well") is well
        assert pairs.handle({"do": "events", "pair": "ill"})["ok"]


def test_a_pair_that_cannot_begin_is_tried_again_and_said_once(
    world: World, tmp_path: Path
) -> None:
    world.refused = {"new"}
    with supervised(world, tmp_path, "new", "old") as pairs:
        until(lambda: _state(pairs, "new") is State.WAITING, "it waits")
        answer = pairs.handle({"do": "status", "pair": "new"})
        assert answer["away"]
        assert answer["text"] == (
            "the supervisor of new is waiting: there is no record of new; it is tried again"
        )
        (line,) = [one for one in pairs.overview() if one.name == "new"]
        assert not line.healthy
        assert "there is no record of new" in line.supervisor
        world.refused.clear()
        until(lambda: _state(pairs, "new") is State.RUNNING, "it runs")
        assert sum("no record of new" in one for one in world.said) == 1
        assert pairs.handle({"do": "events", "pair": "new"})["ok"]


def test_pairs_come_change_and_go_and_the_others_notice_nothing(
    world: World, tmp_path: Path
) -> None:
    with supervised(world, tmp_path, "same", "changed", "gone") as pairs:
        same, old, gone = map(world.running, ("same", "changed", "gone"))
        more = "[pairs.changed.lag]\nout_seconds = 11\n"
        found = pairs.apply(configs(tmp_path, "same", "changed", "new", more=more))
        assert str(found) == "added: new; changed: changed; removed: gone"
        until(lambda: gone.closed, "the one that is gone has ended")
        until(lambda: len(world.made["changed"]) == 2, "the changed one begins anew")
        assert old.closed
        assert world.running("changed").config.lag.out_seconds == 11
        assert world.running("new")
        assert world.running("same") is same
        with pytest.raises(MyhaError, match="and not gone$"):
            pairs.handle({"do": "events", "pair": "gone"})
        nothing = pairs.apply(configs(tmp_path, "same", "changed", "new", more=more))
        assert str(nothing) == "nothing has changed"


def test_a_removed_pair_ends_its_plan_first_and_may_come_back_meanwhile(
    world: World, tmp_path: Path
) -> None:
    world.busy = {"one"}
    with supervised(world, tmp_path, "one", "two") as pairs:
        first = world.running("one")
        pairs.apply(configs(tmp_path, "two"))
        assert _state(pairs, "one") is State.ENDING
        assert not first.closed
        assert pairs.handle({"do": "events", "pair": "one"})["ok"]  # it can be asked until then
        pairs.apply(configs(tmp_path, "one", "two"))
        assert not first.closed
        assert len(world.made["one"]) == 1
        first.ended.set()
        until(lambda: len(world.made["one"]) == 2, "it goes on with a new one")
        assert first.closed


def test_a_pair_that_waits_is_removed_at_once(world: World, tmp_path: Path) -> None:
    world.refused = {"new"}
    with supervised(world, tmp_path, "new", "old") as pairs:
        until(lambda: _state(pairs, "new") is State.WAITING, "it waits")
        pairs.apply(configs(tmp_path, "old"))
        until(lambda: pairs._runners["new"].ended, "it has ended")
        assert [one.name for one in pairs.overview()] == ["old"]


def test_nothing_is_begun_when_all_are_to_end(world: World, tmp_path: Path) -> None:
    with supervised(world, tmp_path, "one") as pairs:
        pairs.stop("SIGTERM")
        with pytest.raises(MyhaError, match="is stopping"):
            pairs.apply(configs(tmp_path, "one", "two"))


# -- a process of one pair -------------------------------------------------------------------------


def test_a_pair_that_is_alone_ends_the_process_when_it_cannot_begin(
    world: World, tmp_path: Path
) -> None:
    world.refused = {"one"}
    pairs = Pairs(make=world.make, alone=True)
    pairs.apply(configs(tmp_path, "one"), "start")
    with pytest.raises(MyhaError, match="there is no record of one"):
        pairs.join()


def test_a_defect_of_a_pair_that_is_alone_ends_the_process(world: World, tmp_path: Path) -> None:
    pairs = Pairs(make=world.make, alone=True)
    pairs.apply(configs(tmp_path, "one"), "start")
    world.running("one").fail()
    with pytest.raises(RuntimeError, match="a defect"):
        pairs.join()
    assert world.made["one"][0].closed


def test_a_pair_that_is_alone_is_tried_again_after_a_reload(world: World, tmp_path: Path) -> None:
    with supervised(world, tmp_path, "one", alone=True) as pairs:
        world.refused = {"one"}
        pairs.apply(configs(tmp_path, "one", more="[pairs.one.lag]\nout_seconds = 11\n"))
        until(lambda: _state(pairs, "one") is State.WAITING, "it waits")
        world.refused.clear()
        until(lambda: len(world.made["one"]) == 2, "it begins")


# -- a new configuration ---------------------------------------------------------------------------


class Reloaded(LoneProcess):
    """Notes what it would have from then on."""

    def __init__(self, config: ProcessConfig) -> None:
        super().__init__(config)
        self.applied: list[ProcessConfig] = []

    def _apply(self, config: ProcessConfig) -> None:
        self.applied.append(config)


def test_a_broken_file_is_refused_in_one_line_and_the_old_one_stays(
    world: World, tmp_path: Path
) -> None:
    path = written(tmp_path, in_folder("x"))
    process = Reloaded(load_all(path))
    before = process.config
    for text in (
        "[[[",
        in_folder("x") + "[lag]\nz = 1\ny = 1\n",
        in_folder("x").replace("xb", "xa"),
    ):
        path.write_text(text)
        with pytest.raises(MyhaError) as refused:
            process.handle({"do": "reload"})
        assert "\n" not in str(refused.value)
        assert str(refused.value).endswith("; the configuration in force stays")
        assert process.config is before
        assert not process.applied
    path.write_text(in_folder("y"))
    assert process.handle({"do": "reload"}) == {"ok": True, "text": "changed: main"}
    assert process.config is process.applied[0]
    assert not world.said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + in_file("x"), "was of one pair, and may have several now: restart"),
        (in_folder("x") + "[cluster]\nstate_dir = 'y'\n", "cluster.state_dir has changed: restart"),
    ],
)
def test_what_only_a_restart_can_change_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = written(tmp_path, in_folder("x"))
    process = Reloaded(load_all(path))
    path.write_text(text)
    with pytest.raises(MyhaError, match=why):
        process.reload()


@pytest.mark.parametrize(("text", "count"), [("workers = 3", 3), ("", cores())])
def test_pairs_are_spread_over_workers(tmp_path: Path, text: str, count: int) -> None:
    path = written(tmp_path, f"{HEAD}{text}\n{in_file('x')}")
    process = process_of(load_all(path))
    assert isinstance(process, ManyProcess)
    assert process.control.path == tmp_path / "state" / "myha.sock"
    assert len(process._workers) == count


def test_a_pair_stays_with_its_worker(tmp_path: Path) -> None:
    workers = Workers(2, tmp_path, 0)
    some = configs(tmp_path, *(f"p{n}" for n in range(5)))
    workers.have(some)
    assert sorted(len(one.pairs) for one in workers) == [2, 3]
    before = {name: one.name for one in workers for name in one.pairs}
    more = configs(tmp_path, *(f"p{n}" for n in range(2, 9)))
    workers.have(more)
    after = {name: one.name for one in workers for name in one.pairs}
    assert after.keys() == more.keys()
    assert all(after[name] == before[name] for name in more.keys() & some.keys())
    assert sorted(len(one.pairs) for one in workers) == [3, 4]


def test_the_more_pairs_the_less_often_waiting_threads_wake_up(
    world: World, tmp_path: Path
) -> None:
    """Thousands that woke up every 5 ms took the processors from what they waited for."""
    assert switch_seconds(2) == switch_seconds(25) == pairs_module.MANY_SWITCH_SECONDS
    assert switch_seconds(250) == pytest.approx(10 * pairs_module.MANY_SWITCH_SECONDS)
    before = sys.getswitchinterval()
    try:
        with given(world, Pairs(make=world.make), tmp_path, *(f"p{n}" for n in range(30))):
            assert sys.getswitchinterval() == pytest.approx(switch_seconds(30))
    finally:
        sys.setswitchinterval(before)
