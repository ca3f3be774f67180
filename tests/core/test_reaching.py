"""Whether a balancer reaches the writer: by what HAProxy counts, and by nothing less."""

from __future__ import annotations

from dataclasses import replace

from myha.core.balancer import BalancerLook
from myha.core.node import Contact
from myha.core.observations import BalancerLooked, BalancerMissed, fold
from myha.core.reaching import FORGOTTEN_SECONDS
from myha.core.verdicts import assess, situation_of
from myha.core.view import View
from tests.core.views import NOW, lost, routes, seen, view

NAME = "balancer-cut-off"


def looked(at: float, errors: int, bytes_out: int = 90, *, life: str = "lb1-1") -> BalancerLook:
    found = routes().look
    assert found is not None
    counted = tuple(replace(one, errors=errors, bytes_out=bytes_out) for one in found.routes)
    return replace(found, at=NOW + at, boot_id=life, routes=counted)


def after(start: View, *looks: BalancerLook) -> View:
    for look in looks:
        start = fold(start, BalancerLooked("lb1", look))
    return start


def told(now: View) -> bool:
    it = situation_of(now)
    assert it is not None
    return NAME in [row.name for row in assess(it)]


FAILING = (looked(0.0, 3), looked(0.5, 4), looked(1.0, 6))


def test_connections_that_fail_at_two_looks_in_a_row_and_not_a_byte_are_told() -> None:
    assert not told(after(view(), *FAILING[:2]))
    assert told(after(view(), *FAILING))


def test_what_it_had_counted_before_the_first_look_is_no_news() -> None:
    assert not told(after(view(), looked(0.0, 300), looked(0.5, 300), looked(1.0, 301)))


def test_a_byte_from_the_writer_says_that_it_is_reached() -> None:
    """A server whose queue of connections is full turns some away and serves the others."""
    assert not told(after(view(), *FAILING[:2], looked(1.0, 6, 91), looked(1.5, 7, 92)))
    assert not told(after(view(), *FAILING, looked(1.5, 6, 91)))


def test_it_is_forgotten_when_nobody_tries_any_more() -> None:
    late = looked(1.0 + FORGOTTEN_SECONDS + 0.1, 6)
    assert told(after(view(), *FAILING, looked(1.0 + FORGOTTEN_SECONDS - 0.1, 6)))
    assert not told(after(view(), *FAILING, late))


def test_a_writer_that_does_not_answer_us_either_is_not_the_balancers_fault() -> None:
    gone = view(lost("db1", Contact.SILENT))
    assert not told(after(gone, *FAILING))
    closed = view(seen("db1", open=False))
    assert not told(after(closed, *FAILING))


def test_a_new_process_counts_anew() -> None:
    assert not told(after(view(), *FAILING[:2], looked(1.0, 6, life="lb1-2")))


def test_a_look_that_fails_changes_nothing_of_it() -> None:
    missed = fold(after(view(), *FAILING), BalancerMissed("lb1", NOW + 1.5))
    assert not told(missed), "it does not answer, which is told otherwise"
    assert told(after(missed, looked(2.0, 6)))
