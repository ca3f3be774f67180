"""What the drill's faults of whole machines are made of: orders, victims, clocks, disks."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from myha.core.journal_line import Line
from myha.drill import clock, combinations, disks, leaders, power, timeline
from myha.drill.judge import Takeover
from myha.errors import MyhaError, RefusedError
from myha.sandbox import disks as small_disks
from myha.sandbox.skewed import skewed


def test_twenty_four_rounds_play_every_order_of_return() -> None:
    played = [power.order_of(5, number) for number in range(1, 25)]
    assert len(set(played)) == 24
    assert {order[0] for order in played[:4]} == set(power.ROLES)


def test_each_disk_and_each_clock_has_its_turn() -> None:
    assert {disks.victim_of(2, number) for number in range(1, 4)} == set(disks.VICTIMS)
    whose = (clock.WRITER, clock.STANDBY, clock.SUPERVISOR)
    steps = Counter(clock.step_of(9, number, whose) for number in range(1, 13))
    assert set(steps.values()) == {2}
    assert {by for _, by in steps} == {3600, -3600}
    assert {who for who, _ in steps} == set(whose)
    only = {clock.step_of(9, number, [clock.SUPERVISOR]) for number in (1, 2)}
    assert only == {(clock.SUPERVISOR, 3600), (clock.SUPERVISOR, -3600)}


def test_each_loss_of_members_of_etcd_has_its_turn() -> None:
    turns = {leaders.lost_members(turn, disks=True) for turn in range(4, 8)}
    assert turns == {(1, False), (2, False), (3, False), (1, True)}
    kept = {leaders.lost_members(turn, disks=False) for turn in range(4, 8)}
    assert kept == {(1, False), (2, False), (3, False)}


def test_a_clock_is_as_far_off_as_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    wall = skewed(path, lambda: 1000.0)
    assert wall() == 1000.0
    path.write_text("-3600\n")
    assert wall() == -2600.0
    path.write_text("+3600\n")
    assert wall() == 4600.0
    path.write_text("")
    assert wall() == 1000.0


def test_disks_without_root_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RefusedError, match=r"needs root$"):
        small_disks.make(tmp_path, tmp_path / "data", 16)
    assert not small_disks.has_disks(tmp_path)


def test_a_seed_says_which_faults_come_together() -> None:
    given = [combinations.STALL, combinations.STEP, combinations.CUT, combinations.ETCD]
    drawn = [combinations.draw(7, number, given) for number in range(1, 501)]
    assert drawn == [combinations.draw(7, number, given) for number in range(1, 501)]
    assert drawn != [combinations.draw(8, number, given) for number in range(1, 501)]
    for acts in drawn:
        nodes = (combinations.WRITER, combinations.STANDBY, "")
        struck = [act for act in acts if act.who in nodes and not act.to]
        assert len(struck) == 1  # the pair survives one failure at a time
        assert [act.at_seconds for act in acts] == sorted(act.at_seconds for act in acts)
        processes = [
            act.who for act in acts if act.what in (combinations.KILL, combinations.FREEZE)
        ]
        assert len(processes) == len(set(processes))  # none is killed and frozen at once
    assert {len(acts) for acts in drawn} == {1, 2, 3}
    assert {str(act) for acts in drawn for act in acts} >= {
        "power",
        "kill writer",
        "freeze standby",
        "freeze supervisor",
        "stall writer",
        "step supervisor",
        "cut writer",
        "cut supervisor",
        "cut writer - standby",
        "cut standby > writer",
        "cut balancer > writer",
        "kill 2 of etcd",
    }


def test_faults_that_a_sandbox_cannot_have_are_not_drawn() -> None:
    drawn = [combinations.draw(7, number, []) for number in range(1, 301)]
    plain = {act.what for acts in drawn for act in acts}
    assert plain == {combinations.KILL, combinations.FREEZE, combinations.POWER_CUT}
    assert not [act for acts in drawn for act in acts if act.who == combinations.ETCD]


def test_a_state_file_that_cannot_be_read_is_no_sandbox_without_disks(tmp_path: Path) -> None:
    small_disks.thaw_all(tmp_path)
    small_disks.unmount_all(tmp_path)
    (tmp_path / small_disks.STATE_FILE).write_text("[")
    with pytest.raises(MyhaError, match="cannot be read"):
        small_disks.unmount_all(tmp_path)


@pytest.fixture
def disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A folder with a file system of its own, and what was in it before."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "before").write_text("here")
    try:
        small_disks.make(tmp_path, folder, 16)
    except MyhaError as error:
        small_disks.unmount_all(tmp_path)
        pytest.skip(f"no disks here: {error}")
    yield folder
    small_disks.thaw_all(tmp_path)
    small_disks.unmount_all(tmp_path)
    assert not folder.is_mount()


def test_a_disk_that_is_full_takes_nothing(disk: Path) -> None:
    assert (disk / "before").read_text() == "here"
    disks.fill(disk)
    with pytest.raises(OSError, match="No space left") as full:
        (disk / "after").write_bytes(bytes(8192))
    assert full.value.errno == errno.ENOSPC
    (disk / disks.BALLAST).unlink()
    (disk / "after").write_bytes(bytes(8192))


def test_a_disk_stalls_for_as_long_as_it_is_told_to(disk: Path) -> None:
    stall = disks.Stall(disk)
    stall.begin()
    try:
        with pytest.raises(MyhaError, match="cannot be made to stall"):
            disks.Stall(disk).begin()  # frozen already
    finally:
        stall.end()
    assert not small_disks.thaw(disk)  # it was, by then
    (disk / "after").write_text("goes on")


def test_a_disk_goes_on_when_whoever_stopped_it_is_gone(disk: Path) -> None:
    """The end of its standard input is all that the process needs to see."""
    stall = disks.Stall(disk)
    stall.begin()
    process = stall._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    assert not small_disks.thaw(disk)
    stall.end()


def test_a_stalled_disk_does_not_keep_the_sandbox_from_being_taken_down(disk: Path) -> None:
    small_disks.freeze(disk)
    small_disks.thaw_all(disk.parent)
    small_disks.unmount_all(disk.parent)
    assert not disk.is_mount()


def recorded(node: str, plan: str = "failover") -> Line:
    return Line(1, 9.0, 9.0, "step", "", {"plan": plan, "step": "record", "node": node})


def test_a_change_of_writer_that_the_journal_lacks_is_put_in() -> None:
    ids = {"a": 1, "b": 2}
    nothing = timeline.completed([], "a", "b", 7.0, 1000.0)
    assert timeline.takeovers(nothing, ids) == (Takeover(2, 7.0, None),)
    assert timeline.completed([], "a", "a", 7.0, 1000.0) == []
    there = [recorded("b")]
    assert timeline.completed(there, "a", "b", 7.0, 1000.0) == there
    half = timeline.completed(there, "a", "a", 7.0, 1000.0)
    assert [one.server_id for one in timeline.takeovers(half, ids)] == [2, 1]
    other = [recorded("b", "release")]
    assert len(timeline.completed(other, "a", "b", 7.0, 1000.0)) == 2
