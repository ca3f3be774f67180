"""One list says what is decided and what is told of an applier's error."""

from __future__ import annotations

import pytest

from myha.core.applier_errors import CLASSES, class_of
from myha.core.node import ReplicationThread, ThreadState
from myha.core.planning import decide
from tests.core.views import seen, view

# A number of each class, and those that were told as a reseed's case and refused by the core.
TOLD_AS_A_RESEED = (1022, 1032, 1406, 1452, 1586, 1677)
TOLD_AS_NONE = (3, 1205, 1227, 1593, 4242)


def test_each_class_has_a_number_here() -> None:
    assert {class_of(number) for number in (*TOLD_AS_A_RESEED, *TOLD_AS_NONE)} == set(CLASSES)


@pytest.mark.parametrize("errno", [*TOLD_AS_A_RESEED, *TOLD_AS_NONE])
def test_what_is_told_as_a_reseeds_case_is_fenced_for_one(errno: int) -> None:
    failed = ReplicationThread(ThreadState.STOPPED, errno, "an error")
    decision = decide(view(db2=seen("db2", applier=failed), heal=("resume", "reseed")))
    kinds = {decision.plan.kind} if decision.plan else set()
    assert ("fence" in kinds) is (errno in TOLD_AS_A_RESEED)
    told = [verdict for verdict, _ in decision.refusals]
    assert ("replication-broken" in told) is (errno in TOLD_AS_NONE)
