"""The ordered table of verdicts: a name, the sentence for the operator, the predicate, the planner.

The log, `myha explain`, the docs and whatever else tells an operator what is going on use these
sentences. All rows that hold are reported; the first is the one in force. `holds` says what may
still be begun while a row holds: everything, only routing, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts import (
    acknowledgement,
    address,
    contact,
    history,
    notices,
    returning,
    roles,
    upkeep,
)
from myha.core.verdicts.row import Verdict
from myha.core.view import View

# In force where no other row holds: it is no predicate's to say what all others do not.
HEALTHY = Verdict(
    "healthy",
    "Both nodes are as they should be.",
    lambda _: False,
    severity=Severity.NOTICE,
)


def _always(_: Situation) -> bool:
    return True


# The order decides: what is further up is dealt with first. A section whose condition is not met
# has no row that holds, and is not asked row by row: so it is nearly always.
SECTIONS: tuple[tuple[Callable[[Situation], bool], tuple[Verdict, ...]], ...] = (
    (contact.concerns, contact.ROWS),
    (history.concerns, history.ROWS),
    (_always, (*acknowledgement.ROWS, *roles.ROWS)),
    (returning.concerns, returning.ROWS),
    (_always, upkeep.ROWS),
    (address.concerns, address.ROWS),
    (_always, notices.ROWS),
)
TABLE: tuple[Verdict, ...] = (*(row for _, rows in SECTIONS for row in rows), HEALTHY)
NOT_SET_UP = "There is no record of a pair yet: run `myha setup`."


def assess(situation: Situation) -> tuple[Verdict, ...]:
    """All verdicts that hold, in the table's order; the first is the one in force."""
    found: list[Verdict] = []
    for concerns, rows in SECTIONS:
        if concerns(situation):
            found.extend([row for row in rows if row.predicate(situation)])
    return tuple(found) or (HEALTHY,)


def situation_of(view: View) -> Situation | None:
    """None while there is no record."""
    return None if view.record is None else Situation(view, view.record)
