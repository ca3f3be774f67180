"""A replication filter where both nodes take writes."""

from __future__ import annotations

import pytest

from tests.real.pair import running_pair
from tests.real.test_settings import filters, nodes, set_filter

pytestmark = pytest.mark.real


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_with_two_writers_one_with_a_filter_hands_over(kind: str) -> None:
    """What its peer wrote may be missing there, so that the peer's history is what counts."""
    table = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    dual = {"mode": "dual-writer", "durability": "bounded"}
    with running_pair(*table, flavour=kind, **dual) as pair:
        writer, other = nodes(pair)
        set_filter(pair, writer)
        status = pair.await_verdict("standby-fenced")
        assert status["writer"] == other
        assert "replicate_ignore_db is app" in status["nodes"][writer]["reason"]
        pair.write("INSERT INTO app.t VALUES (1, 'goes on')")
        assert pair.myha("unfence", writer).returncode == 0
        pair.await_healthy(other)
        assert filters(pair, writer) == ""
        assert pair.admin(writer, "SELECT v FROM app.t") == [("goes on",)]
