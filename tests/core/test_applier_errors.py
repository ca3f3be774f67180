"""One list says what is decided and what is told of an applier's error."""

from __future__ import annotations

import pytest

from myha.core.applier_errors import CLASSES, class_of
from myha.core.node import Contact, ReplicationThread, ThreadState
from myha.core.planning import decide
from myha.core.plans import AwaitApplied, ChangeRecord, ForgetReceived, StartReplication
from myha.core.record import Sync
from tests.core.views import lost, seen, view

# A number of each class, and those that were told as a reseed's case and refused by the core.
TOLD_AS_A_RESEED = (1022, 1032, 1397, 1406, 1452, 1586, 1677)
TOLD_AS_NONE = (3, 1205, 1227, 4242)
RECEIVED_AGAIN = (1594, 1610, 13121)


def test_each_class_has_a_number_here() -> None:
    assert {
        class_of(number) for number in (*TOLD_AS_A_RESEED, *TOLD_AS_NONE, *RECEIVED_AGAIN)
    } == set(CLASSES)


@pytest.mark.parametrize("errno", [*TOLD_AS_A_RESEED, *TOLD_AS_NONE])
def test_what_is_told_as_a_reseeds_case_is_fenced_for_one(errno: int) -> None:
    failed = ReplicationThread(ThreadState.STOPPED, errno, "an error")
    decision = decide(view(db2=seen("db2", applier=failed), heal=("resume", "reseed")))
    kinds = {decision.plan.kind} if decision.plan else set()
    assert ("fence" in kinds) is (errno in TOLD_AS_A_RESEED)
    told = [verdict for verdict, _ in decision.refusals]
    assert ("replication-broken" in told) is (errno in TOLD_AS_NONE)


@pytest.mark.parametrize("errno", RECEIVED_AGAIN)
def test_what_cannot_be_read_is_received_again(errno: int) -> None:
    """Until it has been, the record does not say that the standby has everything."""
    failed = ReplicationThread(ThreadState.STOPPED, errno, "an error")
    decision = decide(view(db2=seen("db2", applier=failed)))
    assert decision.plan is not None
    solo, forget, *rest = decision.plan.steps
    assert isinstance(solo, ChangeRecord)
    assert solo.change.sync is Sync.SOLO
    assert isinstance(forget, ForgetReceived)
    assert [type(one) for one in rest] == [StartReplication, AwaitApplied]
    # Nothing is thrown away while the writer cannot be asked for it.
    gone = decide(view(lost("db1", Contact.SILENT), seen("db2", applier=failed)))
    assert gone.plan is None or gone.plan.kind != "receive-again"
