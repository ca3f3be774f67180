"""A property that is found out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  # reads as what it is: a decorator
    """A property that is found out once. As `functools.cached_property`, without its lock.

    Half of what a decision costs was that lock; a situation is never shared between threads.
    """

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self.__doc__ = find.__doc__
        self._name = find.__name__

    @overload
    def __get__(self, it: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, it: object, owner: type) -> T: ...
    def __get__(self, it: object | None, owner: type) -> T | once[T]:
        if it is None:
            return self
        found = it.__dict__[self._name] = self._find(it)
        return found
