"""What is known of tables beforehand: never an answer from before a statement that voids it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from myha.binlog.columns import Query
from myha.conflicts.keys import Facts
from myha.conflicts.tables import Tables
from myha.database.session import WarmSession
from myha.errors import ServerGoneError
from tests.waiting import until

DEADLINE_SECONDS = 10.0
ITEMS, ORDERS = ("shop", "items"), ("shop", "orders")


class Server:
    """Has two tables, answers with what it is told to, and can be made to take its time."""

    def __init__(self) -> None:
        self.columns = 1
        self.gone = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[tuple[str, str]] = []

    def query(self, _sql: str, _values: object) -> list[Any]:
        if self.gone:
            raise ServerGoneError("gone")
        return [ITEMS, ORDERS]

    def close(self) -> None:
        pass

    def read(self, _query: Query, schema: str, table: str) -> Facts | None:
        facts = Facts((), (), ("x",) * self.columns, None, False)
        self.asked.append((schema, table))
        assert self.may_answer.wait(DEADLINE_SECONDS)
        return facts


def columns_of(tables: Tables, name: tuple[str, str]) -> int | None:
    facts = tables.known(name)
    return None if facts is None else len(facts.out_of_reach)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def tables(server: Server) -> Iterator[Tables]:
    made = Tables("a", cast("WarmSession", server), server.read)
    made.start()
    yield made
    server.may_answer.set()
    made.stop()


def test_all_is_asked_about_once_and_never_in_the_readers_own_time(
    server: Server, tables: Tables
) -> None:
    server.may_answer.clear()
    assert tables.known(ITEMS) is None
    tables.ask_all()
    assert tables.known(ITEMS) is None, "it never waits"
    server.may_answer.set()
    until(lambda: tables.known(ITEMS) and tables.known(ORDERS), "the servers have answered")
    assert server.asked == [ITEMS, ORDERS]
    tables.drop(ITEMS)
    assert tables.known(ITEMS) is None


def test_an_answer_from_before_a_statement_is_none(server: Server, tables: Tables) -> None:
    server.may_answer.clear()
    tables.ask_all()
    until(lambda: server.asked, "the servers have answered")
    server.columns = 2  # altered while it answers
    tables.ask_again([])
    server.may_answer.set()
    until(lambda: tables.known(ORDERS), "the servers have answered")
    assert (columns_of(tables, ITEMS), columns_of(tables, ORDERS)) == (2, 2)


def test_after_a_statement_those_that_were_met_are_asked_about(
    server: Server, tables: Tables
) -> None:
    tables.ask_all()
    until(lambda: tables.known(ORDERS), "the servers have answered")
    server.columns = 2
    tables.ask_again([ORDERS])
    tables.ask_again([])  # another one, before any row came
    until(lambda: tables.known(ORDERS), "the servers have answered")
    assert (columns_of(tables, ITEMS), columns_of(tables, ORDERS)) == (None, 2)


def test_a_server_that_does_not_answer_ends_nothing(server: Server, tables: Tables) -> None:
    server.gone = True
    tables.ask_all()
    server.gone = False
    tables.ask_all()
    until(lambda: tables.known(ITEMS), "the servers have answered")
