"""A value is as a dataclass would be; its methods come into being when they are used."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from myha.core.values import compile_all, value


@value(frozen=True, slots=True)
class Point:
    """On a map."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    notes: tuple[str, ...] = field(default_factory=tuple, compare=False)
    seen: list[int] = field(default_factory=list, init=False, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class Model:
    """The same as the standard library has it."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    notes: tuple[str, ...] = field(default_factory=tuple, compare=False)
    seen: list[int] = field(default_factory=list, init=False, repr=False, hash=False)


@value(frozen=True, slots=True)
class Far(Point):
    z: int = 3


@value(frozen=True, slots=True, kw_only=True)
class Named:
    name: str
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size")

    def __repr__(self) -> str:
        return f"<{self.name}>"


@pytest.mark.parametrize("make", [Point, Model])
def test_it_does_what_a_dataclass_does(make: Any) -> None:
    one = make(1, notes=("a",))
    assert repr(one) == f"{make.__name__}(x=1, y=2, notes=('a',))"
    assert one == make(1) != make(1, 3)
    assert hash(one) == hash(make(1))
    assert one != (1, 2)
    assert replace(one, y=5) == make(1, 5)
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert make(1).seen is not make(1).seen
    assert [each.name for each in fields(make)] == ["x", "y", "notes", "seen"]
    assert make.__match_args__ == ("x", "y", "notes")
    assert not hasattr(one, "__dict__")
    for wrong in ({}, {"x": 1, "seen": []}, {"x": 1, "other": 2}):
        with pytest.raises(TypeError):
            make(**wrong)


def test_one_that_inherits_has_methods_of_its_own() -> None:
    assert repr(Far(1)) == "Far(x=1, y=2, notes=(), z=3)"
    assert Far(1) != Point(1)
    assert Point(1) == Point(1)
    assert Far(1, z=4) != Far(1)


def test_what_a_class_has_itself_stays() -> None:
    assert repr(Named(name="n")) == "<n>"
    assert Named(name="n") == Named(name="n", size=1)
    with pytest.raises(ValueError, match="size"):
        Named(name="n", size=-1)
    with pytest.raises(TypeError):
        Named("n")  # type: ignore[call-arg]


def test_nothing_is_compiled_before_it_is_called() -> None:
    @value(frozen=True, slots=True)
    class Fresh:
        x: int

    before = Fresh.__init__, Fresh.__eq__
    one = Fresh(1)
    assert Fresh.__init__ is not before[0]
    assert before[0].__qualname__ == Fresh.__init__.__qualname__
    before[0](one, 7)  # whoever kept it gets what it stands for
    assert one.x == 7
    assert one == Fresh(7)


def test_only_frozen_ones_are_values() -> None:
    with pytest.raises(AssertionError):
        value(frozen=False)
    with pytest.raises(FrozenInstanceError):
        Model(1).x = 2  # type: ignore[misc]


def test_what_nobody_has_called_is_compiled_at_once() -> None:
    @value(frozen=True, slots=True)
    class Late:
        at: int

    compile_all()
    made = vars(Late)["__init__"]
    assert Late(1) == Late(1)
    assert vars(Late)["__init__"] is made
    assert "first" not in made.__code__.co_name
