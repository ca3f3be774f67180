"""A heal whose node cannot catch up says at once whether trying again may help."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.binlog.errors import HealRefusedError
from myha.core.node import NodeLook, ReplicationThread, ThreadState
from myha.errors import MyhaError, ServerError
from myha.operations.heal import run as heal
from tests.core import views

PURGED = "Got fatal error 1236: the source has purged required binary logs"


class Node:
    """Its receiver does not connect, and says why, or nothing."""

    def __init__(self, error: str = "", errno: int = 0) -> None:
        self.thread = ReplicationThread(ThreadState.STOPPED, errno, error)

    def start_replication(self, _deadline_seconds: float) -> None:
        raise ServerError("db2: no connection to the source")

    def look(self) -> NodeLook:
        return replace(views.look("db2"), receiver=self.thread)


def start(node: Node) -> None:
    order = SimpleNamespace(node="db2", writer="db1")
    heal._start(cast("Any", SimpleNamespace(node=node, order=order)))


def test_what_the_writer_has_purged_is_left_to_the_next_method() -> None:
    with pytest.raises(HealRefusedError, match="db1 has purged what db2 lacks"):
        start(Node(PURGED, 1236))


def test_another_error_of_the_receiver_may_be_over_at_the_next_try() -> None:
    with pytest.raises(MyhaError, match="replication of db2 failed: Access denied") as found:
        start(Node("Access denied", 1045))
    assert not isinstance(found.value, HealRefusedError)


def test_where_the_receiver_says_nothing_the_try_itself_tells() -> None:
    with pytest.raises(ServerError, match="no connection to the source"):
        start(Node())
