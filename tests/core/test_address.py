"""Which balancer is told that it should have the shared address: nobody loses it for nothing."""

from __future__ import annotations

from dataclasses import replace

from myha.core.address import Standing, Standings
from myha.core.balancer import AddressLook, BalancerLook, BalancerView
from myha.core.node import Contact
from myha.core.observations import balancer_looked
from myha.core.policy import AddressPolicy
from myha.core.reaching import FORGOTTEN_SECONDS
from myha.core.view import View
from tests.core.views import NOW, lost, record, routes, seen, view

HERE = AddressLook(holds=True, told=True, preferred=False)
ELSEWHERE = AddressLook(holds=False, told=True, preferred=False)
TOLD, PREFERRED = Standing.TOLD, Standing.PREFERRED


def looked(
    time: float,
    address: AddressLook = ELSEWHERE,
    *,
    life: str = "lb-1",
    errors: int = 0,
    bytes_out: int = 0,
    **changes: bool,
) -> BalancerLook:
    """A look at a balancer that routes as it should, but for the changes."""
    found = routes(**changes).look
    assert found is not None
    counted = tuple(replace(one, errors=errors, bytes_out=bytes_out) for one in found.routes)
    return replace(found, at=time, boot_id=life, address=address, routes=counted)


class Pair:
    """lb1, which has the address, and lb2; each call is one look at one of them."""

    def __init__(self, policy: AddressPolicy | None = None, names: str = "lb1 lb2") -> None:
        self.standings = Standings(tuple(names.split()), policy or AddressPolicy(), NOW)
        self.seen = {name: BalancerView() for name in names.split()}

    def told(self, name: str, look: BalancerLook, now: View | None = None) -> Standing:
        self.seen[name] = balancer_looked(self.seen[name], look, self.seen[name].reach)
        known = now or view(address=AddressPolicy())
        known = replace(known, at=look.at, balancers=tuple(self.seen.items()))
        return self.standings.after(known, name, look)

    def missed(self, name: str, *times: float) -> None:
        """Attempts to look at it that began then, and failed."""
        for time in times:
            old = self.seen[name]
            self.seen[name] = replace(old, answering=False, checked_at=time, misses=old.misses + 1)


def test_while_all_is_right_nobody_is_preferred() -> None:
    pair = Pair()
    for step in range(20):
        assert pair.told("lb1", looked(NOW + step, HERE)) is TOLD
        assert pair.told("lb2", looked(NOW + step + 0.3)) is TOLD


def test_one_that_is_reached_and_right_is_preferred_to_one_that_is_not_reached() -> None:
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    pair.missed("lb1", NOW + 0.5, NOW + 1.0)
    assert pair.told("lb2", looked(NOW + 1.1)) is TOLD
    assert pair.told("lb2", looked(NOW + 1.6)) is PREFERRED


def test_a_supervisor_that_stood_still_prefers_nobody() -> None:
    """What it began before that fails as soon as it goes on, and proves nothing."""
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    pair.told("lb2", looked(NOW + 0.1))
    assert pair.told("lb2", looked(NOW + 60.0)) is TOLD
    pair.missed("lb1", NOW + 0.5)
    assert pair.told("lb2", looked(NOW + 60.1)) is TOLD
    pair.missed("lb1", NOW + 60.1)
    pair.told("lb1", looked(NOW + 60.2, HERE))
    assert pair.told("lb2", looked(NOW + 60.3)) is TOLD


def test_it_stays_preferred_until_the_other_one_has_been_put_right() -> None:
    """And not only until that one is reached: it may come back as it was."""
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    pair.missed("lb1", NOW + 0.5, NOW + 1.0)
    assert pair.told("lb2", looked(NOW + 2.0)) is PREFERRED
    stale = looked(NOW + 30.0, HERE, writer_db1=False, writer_db2=True)
    assert pair.told("lb1", stale) is Standing.AS_IT_IS
    assert pair.told("lb2", looked(NOW + 30.1, HERE)) is PREFERRED
    assert pair.told("lb1", looked(NOW + 30.2)) is TOLD
    assert pair.told("lb2", looked(NOW + 30.3, HERE)) is TOLD


def test_a_change_of_writer_that_is_half_way_through_moves_nothing() -> None:
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    half = looked(NOW + 1.0, HERE, writer_db1=False)
    assert pair.told("lb1", half) is Standing.AS_IT_IS
    assert pair.told("lb2", looked(NOW + 1.1)) is TOLD


def test_a_supervisor_that_has_just_begun_holds_nothing_against_what_it_has_not_seen() -> None:
    assert Pair().told("lb2", looked(NOW + 0.2)) is TOLD


def test_a_supervisor_that_does_not_reach_the_writer_knows_nothing() -> None:
    gone = view(db1=lost("db1", Contact.SILENT), address=AddressPolicy())
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    assert pair.told("lb2", looked(NOW + 9.0), gone) is Standing.AS_IT_IS


def test_one_that_is_cut_off_together_with_the_supervisor_is_doubted() -> None:
    """A supervisor on the balancer's own host: nobody else can tell that it should go."""
    none = view(
        db1=lost("db1", Contact.SILENT), db2=lost("db2", Contact.SILENT), address=AddressPolicy()
    )
    pair = Pair()
    pair.told("lb2", looked(NOW))
    assert pair.told("lb1", looked(NOW + 9.0, HERE), none) is Standing.DOUBTED
    # It reaches both, so that it is the supervisor that is cut off, or the nodes are gone.
    pair.told("lb2", looked(NOW + 9.1), none)
    assert pair.told("lb1", looked(NOW + 9.2, HERE), none) is Standing.AS_IT_IS


def test_in_maintenance_and_before_setup_nothing_is_said() -> None:
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE))
    resting = view(on_record=replace(record(), maintenance=True), address=AddressPolicy())
    assert pair.told("lb2", looked(NOW + 9.0), resting) is Standing.AS_IT_IS
    empty = replace(view(address=AddressPolicy()), record=None)
    assert pair.told("lb2", looked(NOW + 9.5), empty) is Standing.AS_IT_IS


def test_a_single_balancer_is_preferred_to_nobody() -> None:
    assert Pair(names="lb1").told("lb1", looked(NOW + 9.0)) is Standing.AS_IT_IS


def test_of_three_the_one_that_has_the_address_keeps_it() -> None:
    """Else the one that hears it first would take it from the one that hears it a moment later."""
    pair = Pair(names="lb1 lb2 lb3")
    pair.missed("lb3", NOW + 0.5, NOW + 1.0)
    pair.told("lb1", looked(NOW + 1.0, HERE))
    assert pair.told("lb2", looked(NOW + 2.0)) is TOLD
    assert pair.told("lb1", looked(NOW + 2.1, HERE)) is PREFERRED
    # And when nobody of those that are right has it, both may.
    pair = Pair(names="lb1 lb2 lb3")
    pair.told("lb3", looked(NOW, HERE))
    pair.missed("lb3", NOW + 0.5, NOW + 1.0)
    pair.told("lb1", looked(NOW + 1.0))
    assert pair.told("lb2", looked(NOW + 2.0)) is PREFERRED
    assert pair.told("lb1", looked(NOW + 2.1)) is PREFERRED


# -- one that does not reach the writer itself -------------------------------------


def failing(pair: Pair, start: float = NOW) -> None:
    """Connections fail through lb1, look by look."""
    for step, errors in enumerate((0, 2, 5)):
        look = looked(start + 0.5 * step, HERE, errors=errors, bytes_out=100)
        pair.told("lb1", look)


def test_one_whose_connections_to_the_writer_fail_loses_the_address() -> None:
    pair = Pair()
    failing(pair)
    assert pair.told("lb2", looked(NOW + 1.2)) is PREFERRED


def test_a_writer_that_still_answers_somebody_there_is_not_lost() -> None:
    pair = Pair()
    for step in range(6):
        look = looked(NOW + step, HERE, errors=3 * step, bytes_out=10 * step)
        assert pair.told("lb1", look) is TOLD
        assert pair.told("lb2", looked(NOW + step + 0.1)) is TOLD


def test_errors_do_not_count_while_the_writer_does_not_answer_us_either() -> None:
    pair = Pair()
    closed = view(db1=seen("db1", open=False), address=AddressPolicy())
    for step in range(4):
        pair.told("lb1", looked(NOW + 0.3 * step, HERE, errors=3 * step), closed)
    assert pair.told("lb2", looked(NOW + 1.2)) is TOLD


def test_counters_that_begin_anew_are_another_process() -> None:
    pair = Pair()
    pair.told("lb1", looked(NOW, HERE, errors=9, bytes_out=900))
    pair.told("lb1", looked(NOW + 0.5, HERE, life="lb-2", errors=10))
    pair.told("lb1", looked(NOW + 1.0, HERE, life="lb-2", errors=11))
    assert pair.told("lb2", looked(NOW + 1.2)) is TOLD


def test_a_failure_is_forgotten_after_a_while_without_clients() -> None:
    pair = Pair()
    failing(pair)
    later = NOW + 1.0 + FORGOTTEN_SECONDS
    pair.told("lb1", looked(later - 1.0, errors=5, bytes_out=100))
    assert pair.told("lb2", looked(later - 0.9, HERE)) is PREFERRED
    pair.told("lb1", looked(later + 0.1, errors=5, bytes_out=100))
    assert pair.told("lb2", looked(later + 0.2, HERE)) is TOLD


# -- failback --------------------------------------------------------------------


def test_the_preferred_one_takes_it_back_after_the_time_and_only_if_it_is_right() -> None:
    policy = AddressPolicy(auto_failback=True, preferred="lb1", failback_after_seconds=10.0)
    pair = Pair(policy)
    for step in range(10):
        assert pair.told("lb1", looked(NOW + step)) is TOLD
        assert pair.told("lb2", looked(NOW + step + 0.1, HERE)) is TOLD
    wrong = looked(NOW + 10.0, writer_db1=False)
    assert pair.told("lb1", wrong) is Standing.AS_IT_IS
    pair.told("lb2", looked(NOW + 10.1, HERE))
    for step in range(10):
        assert pair.told("lb1", looked(NOW + 11.0 + step)) is TOLD
        assert pair.told("lb2", looked(NOW + 11.1 + step, HERE)) is TOLD
    assert pair.told("lb1", looked(NOW + 21.0)) is PREFERRED
    # Once it has it, it is no more than equal: it would keep a word from before it went wrong.
    assert pair.told("lb1", looked(NOW + 22.0, HERE)) is TOLD


def test_without_failback_it_stays_where_it_is() -> None:
    pair = Pair(AddressPolicy(preferred="lb1", failback_after_seconds=0.0))
    for step in range(10):
        assert pair.told("lb1", looked(NOW + step)) is TOLD
        pair.told("lb2", looked(NOW + step + 0.1, HERE))
