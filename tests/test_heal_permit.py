"""A heal may go on while the record says that it is under way; its permit says why it may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from myha.config import load
from myha.core.record import Cause, Heal, Membership, NodeRecord, Record
from myha.errors import MyhaError
from myha.operations.heal import permit as heal_permit
from myha.operations.heal.permit import HealPermit
from myha.permit import CancelledError, Permit
from myha.ports import JobOrder
from myha.stores.local.record import LocalRecordStore
from tests.configurations import NOBODY_THERE, write_config
from tests.core.views import record

ORDER = JobOrder("heal", "db2", "rewind", 7, "db1", 2)
HEALING = NodeRecord(
    Membership.FENCED, Cause.HEALING, "errant", heal=Heal(7, ("rewind",), Cause.ERRANT, "errant")
)


class Rig:
    def __init__(self, state_dir: Path) -> None:
        self.store = LocalRecordStore(state_dir)
        pair = NOBODY_THERE.replace("nodes.a", "nodes.db1").replace("nodes.b", "nodes.db2")
        config = write_config(state_dir, pair=pair)
        self.version = 0
        self.put(record(db2=HEALING))
        self.job = Permit()
        self.permit = HealPermit(self.job, load(config), ORDER)

    def put(self, changed: Record) -> None:
        self.store.compare_and_set(self.version, replace(changed, version=self.version + 1))
        self.version += 1


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(heal_permit, "RECORD_EVERY_SECONDS", 0.0)
    return Rig(tmp_path)


def test_it_holds_while_the_heal_is_on_record(rig: Rig) -> None:
    rig.permit.require()
    rig.permit.require_record()


def test_who_ordered_the_job_withdraws_it(rig: Rig) -> None:
    rig.job.withdraw("by the supervisor")
    rig.job.withdraw("by somebody else")
    with pytest.raises(CancelledError, match="stopped by the supervisor; it can be begun again"):
        rig.permit.require()
    rig.permit.require_record()


def test_another_writer_on_record_withdraws_it_for_good(rig: Rig) -> None:
    rig.put(record(db2=HEALING, epoch=3))
    why = "the writer on record is db1 since epoch 3"
    with pytest.raises(CancelledError, match=f"stopped by the record: {why}"):
        rig.permit.require()
    rig.put(record(db2=HEALING))
    with pytest.raises(MyhaError, match=f"nothing was changed: {why}"):
        rig.permit.require_record()


def test_a_change_is_not_made_on_what_was_asked_a_moment_ago(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heal_permit, "RECORD_EVERY_SECONDS", 60.0)
    rig.permit.require()
    rig.put(record(epoch=3))
    rig.permit.require()
    with pytest.raises(MyhaError, match="nothing was changed"):
        rig.permit.require_record()
