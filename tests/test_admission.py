"""How many pairs begin at a time, by a clock that the test moves."""

from __future__ import annotations

import threading

from myha.supervisor.admission import Admission


class Door:
    """An admission, who came to it in which order, and when it was found empty."""

    def __init__(self, at_once: int = 2, hold_seconds: float = 5.0) -> None:
        self.at = 0.0
        self.emptied: list[float] = []  # when
        self.admission = Admission(
            at_once, hold_seconds=hold_seconds, clock=lambda: self.at, on_empty=self._empty
        )
        self.came: list[threading.Event] = []

    def _empty(self) -> None:
        self.emptied.append(self.at)

    def comes(self, count: int) -> None:
        for _ in range(count):
            self.came.append(threading.Event())
            self.admission.enter(self.came[-1])

    def leaves(self, number: int) -> None:
        self.admission.leave(self.came[number])

    @property
    def admitted(self) -> list[int]:
        return [number for number, one in enumerate(self.came) if one.is_set()]


def test_so_many_begin_at_once_and_the_others_in_their_order() -> None:
    door = Door()
    door.comes(5)
    assert door.admitted == [0, 1]
    door.leaves(1)
    assert door.admitted == [0, 1, 2]
    door.leaves(0)
    door.leaves(2)
    assert door.admitted == [0, 1, 2, 3, 4]


def test_a_place_is_given_back_once() -> None:
    door = Door()
    door.comes(5)
    for _ in range(3):
        door.leaves(0)
    assert door.admitted == [0, 1, 2]


def test_who_leaves_the_line_takes_no_place() -> None:
    door = Door(at_once=1)
    door.comes(3)
    door.leaves(1)
    door.leaves(0)
    assert door.admitted == [0, 2]


def test_who_has_had_a_place_for_too_long_loses_it() -> None:
    door = Door(hold_seconds=5.0)
    door.comes(4)
    door.at = 3.0
    door.leaves(1)
    assert door.admitted == [0, 1, 2]
    door.at = 4.9
    door.admission.expire()
    assert door.admitted == [0, 1, 2]
    door.at = 5.0  # the first one's time is over, not that of the one that came in at 3 s
    door.admission.expire()
    assert door.admitted == [0, 1, 2, 3]
    door.leaves(0)  # later: that place is another's by now
    door.comes(1)
    assert door.admitted == [0, 1, 2, 3]


def test_it_says_once_that_nobody_begins_any_more() -> None:
    door = Door()
    door.comes(3)
    door.leaves(0)
    door.leaves(1)
    assert door.emptied == []
    door.leaves(2)
    door.leaves(2)
    assert door.emptied == [0.0]
    door.comes(1)
    door.at = 5.0
    door.admission.expire()
    assert door.emptied == [0.0, 5.0]
