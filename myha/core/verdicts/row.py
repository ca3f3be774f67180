"""One row of the table of verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from myha.core.protocols.answer import Answer
from myha.core.severity import Severity
from myha.core.situation import Situation

S = TypeVar("S")


class Holds(Enum):
    """What a verdict keeps the supervisor from doing for the rows below it."""

    NOTHING = "nothing"
    ALL_BUT_ROUTING = "all but routing"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Row(Generic[S]):
    """One row: a name, the sentence for an operator, when it holds, and what to do about it.

    `planner` makes the plan, or says why there is none; without it the verdict only informs an
    operator.
    """

    name: str
    sentence: str
    predicate: Callable[[S], bool]
    planner: Callable[[S], Answer] | None = None
    holds: Holds = Holds.NOTHING
    severity: Severity = Severity.WARNING

    def text(self, it: S) -> str:
        """The sentence as it is now."""
        raise NotImplementedError


class Verdict(Row[Situation]):
    """A row about the pair.

    `sentence` has {writer} and {standby} for the names of the nodes, {strays} for who else can
    acknowledge, {filters} and {differences} for what is not as setup made it, {reset} for whose
    binary log was reset, {balancers} for those that do not reach the writer.
    """

    __slots__ = ()

    def text(self, it: Situation) -> str:
        return self.sentence.format_map(_Words(it))


class _Words(dict[str, str]):
    """What a sentence may have in it, found out when it has."""

    def __init__(self, it: Situation) -> None:
        super().__init__(writer=it.writer, standby=it.standby)
        self._it = it

    def __missing__(self, word: str) -> str:
        it = self._it
        found: dict[str, Callable[[], str]] = {
            "strays": lambda: it.stray_names,
            "filters": lambda: it.filter_names,
            "differences": lambda: it.difference_names,
            "reset": lambda: it.log_reset_on,
            "balancers": lambda: ", ".join(it.balancers_without_writer),
        }
        return found[word]()
