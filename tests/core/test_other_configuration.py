"""A supervisor takes over whose configuration is another one than that of who acted before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.node import Contact, SemiSync
from myha.core.planning import decide
from myha.core.policy import Durability
from myha.core.record import Membership, NodeRecord, Sync
from myha.core.verdicts import situation_of
from myha.core.view import View
from myha.supervisor.requests import REQUESTS, Request, plan_for_request
from tests.core.views import lost, record, routes, seen, unsourced, view

MIXED_UP = view(seen("db2"), seen("db1"))


def names(given: View) -> list[str]:
    return [one.name for one in decide(given).verdicts]


# -- other addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "about"),
    [
        (MIXED_UP, "nodes.db1 leads to the server that is db2 on record"),
        (view(seen("db2"), lost("db2", Contact.REFUSING)), "nodes.db1 leads to"),
        (view(lost("db1", Contact.REFUSING), seen("db1")), "nodes.db2 leads to"),
        (view(seen("db1"), seen("db1")), "nodes.db2 leads to"),  # both lead to one
    ],
)
def test_addresses_that_are_mixed_up_are_found_out_and_nothing_is_done(
    given: View, about: str
) -> None:
    found = decide(given)
    assert found.verdicts[0].name == "nodes-mixed-up"
    assert found.plan is None
    ((verdict, refusal),) = found.refusals
    assert verdict == "nodes-mixed-up"
    assert refusal.reason.startswith(about)


@pytest.mark.parametrize("name", sorted(REQUESTS - {"maintenance"}))
def test_nor_is_what_somebody_asks_for(name: str) -> None:
    it = situation_of(MIXED_UP)
    assert it is not None
    answer = plan_for_request(it, Request(name, {"node": "db2", "accept_loss": "yes"}))
    assert answer is it.mixed_up
    other = plan_for_request(it, Request("maintenance", {"state": "on"}))
    assert other is not it.mixed_up


def test_a_server_that_has_started_anew_is_no_other_one() -> None:
    started = seen("db1", boot_id="db1-2", open=False)
    assert "nodes-mixed-up" not in names(view(started))
    assert "nodes-mixed-up" not in names(view(db2=seen("db2", boot_id="db2-2")))


def test_two_servers_whose_lives_have_one_name_are_where_the_record_has_them() -> None:
    """MariaDB's of one machine, with one port, that started in one second."""
    twin = NodeRecord(Membership.MEMBER, boot_id="db1-1")
    twins = view(seen("db1"), seen("db2", boot_id="db1-1"), record(db2=twin))
    assert "nodes-mixed-up" not in names(twins)


# -- another durability ----------------------------------------------------------------------------

WAITS_NOT = SemiSync(False, False, 0, True)


def left_by(durability: Durability) -> View:
    """A healthy pair, as a supervisor with that durability leaves it."""
    if durability is Durability.LOSSLESS:
        return view()
    return view(seen("db1", semisync=WAITS_NOT), on_record=record(sync=Sync.SOLO))


def taken_by(given: View, durability: Durability) -> View:
    return replace(given, policy=replace(given.policy, durability=durability))


@pytest.mark.parametrize("before", Durability)
@pytest.mark.parametrize("after", Durability)
def test_another_durability_moves_no_writer_and_no_traffic(
    before: Durability, after: Durability
) -> None:
    """At most the record is made to say less than before: never more than is true."""
    plan = decide(taken_by(left_by(before), after)).plan
    if plan is None:
        return
    assert before is Durability.LOSSLESS
    assert after is not Durability.LOSSLESS
    assert plan.kind == "correct-record"
    assert [str(step) for step in plan.steps] == [
        "record: solo: the writer does not wait for acknowledgements"
    ]


def dead(given: View) -> View:
    return replace(given, nodes=(("db1", lost("db1", Contact.REFUSING)), ("db2", unsourced("db2"))))


def silent(given: View) -> View:
    return replace(given, nodes=(("db1", lost("db1", Contact.SILENT)), ("db2", unsourced("db2"))))


def test_what_was_promised_before_is_kept_in_a_failover_of_the_next_one() -> None:
    """Armed on record: the standby has everything, whatever the next one would promise itself."""
    for after in Durability:
        plan = decide(taken_by(dead(left_by(Durability.LOSSLESS)), after)).plan
        assert plan is not None, after
        assert plan.kind == "failover"


@pytest.mark.parametrize("before", [Durability.BOUNDED, Durability.ASYNC])
def test_one_that_would_be_lossless_does_not_take_the_record_for_more_than_it_says(
    before: Durability,
) -> None:
    for given in (dead(left_by(before)), silent(left_by(before))):
        found = decide(taken_by(given, Durability.LOSSLESS))
        assert found.plan is None or found.plan.kind != "failover"


# -- other balancers -------------------------------------------------------------------------------


def test_balancers_that_are_not_in_its_file_are_no_reason_to_act() -> None:
    one = view()
    both = replace(
        one,
        policy=replace(one.policy, balancers=("lb1", "lb2")),
        balancers=(("lb1", routes()), ("lb2", routes())),
    )
    for given in (one, both):
        assert decide(given).plan is None
        assert names(given) == ["healthy"]
