"""A node is another server than before, fresh and empty, at the same address and with our account.

Only the schema that setup has made tells it from a node that was lost for a while.
"""

from __future__ import annotations

from typing import Any

import pytest

from myha.core.node import Contact
from myha.core.planning import decide
from myha.core.record import Record, Sync
from myha.core.verdicts import situation_of
from myha.supervisor.requests import Request, plan_for_request
from tests.core.situations import BLANK
from tests.core.views import away, lost, record, seen, view

ARMED, SOLO = record(), record(away(), Sync.SOLO)
NEW: dict[str, Any] = BLANK
RESTARTED = {"boot_id": "db2-2"}


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("contact", [Contact.SILENT, Contact.REFUSING])
@pytest.mark.parametrize("there", [ARMED, SOLO])
def test_in_the_writers_place_it_is_not_opened_and_the_record_says_what_it_said(
    opened: bool, contact: Contact, there: Record
) -> None:
    """It would be the pair's data, and all that the standby has an excess of it."""
    found = decide(view(seen("db1", **NEW | {"open": opened}), lost("db2", contact), there))
    assert found.verdicts[0].name == "writer-blank"
    assert found.plan is None or found.plan.kind == "route"
    assert found.refusals[0][1].override == "myha failover --to db2 --accept-loss"


def test_a_standby_that_has_everything_takes_over_from_it() -> None:
    found = decide(view(seen("db1", **NEW)))
    assert found.plan is not None
    assert found.plan.kind == "failover"


@pytest.mark.parametrize("there", [ARMED, SOLO])
def test_a_standby_that_comes_back_beside_it_takes_over_when_a_person_says_so(
    there: Record,
) -> None:
    seen_so = view(seen("db1", **NEW), seen("db2", **RESTARTED), there)
    found = decide(seen_so)
    assert found.plan is None or found.plan.kind == "route"
    it = situation_of(seen_so)
    assert it is not None
    asked = Request("failover", {"to": "db2", "accept_loss": "yes"})
    plan = plan_for_request(it, asked)
    assert getattr(plan, "kind", "") == "failover", plan


def test_a_writer_that_has_its_data_is_opened_again() -> None:
    restarted = seen("db1", boot_id="db1-2", open=False)
    found = decide(view(restarted, lost("db2", Contact.REFUSING)))
    assert found.plan is not None
    assert found.plan.kind == "reinstate"


def test_in_the_standbys_place_it_does_not_rejoin_with_what_is_in_binary_logs_alone() -> None:
    solo = seen("db1", semisync=BLANK["semisync"], receiver=BLANK["receiver"])
    found = decide(view(solo, seen("db2", **NEW | {"open": False}), SOLO))
    assert found.plan is None or found.plan.kind == "route"
    assert "myha heal db2 --method reseed" in {one.override for _, one in found.refusals}


def test_a_standby_whose_schema_the_writer_lacks_too_is_no_other_one() -> None:
    """Somebody has dropped it: it is made again."""
    solo = seen("db1", semisync=BLANK["semisync"], receiver=BLANK["receiver"], schema=False)
    back = seen(
        "db2", **RESTARTED, schema=False, receiver=BLANK["receiver"], applier=BLANK["applier"]
    )
    found = decide(view(solo, back, SOLO))
    assert not any("no schema myha" in one.reason for _, one in found.refusals)
