"""What `myha explain` tells an operator to do about a fenced server."""

from __future__ import annotations

import re

import pytest

from myha.cli.status import explanation
from myha.core.followers.planning import decide as decide_on_replica
from myha.core.planning import decide
from myha.core.record import Cause, Membership, NodeRecord
from myha.supervisor.followers.status import replica_status
from myha.supervisor.status_builder import build_status
from tests.core.follower_situations import HEALING
from tests.core.follower_situations import view as replica_view
from tests.core.views import record, view

COMMANDS = {
    Cause.BY_HAND: "myha unfence {name}",
    Cause.ERRANT: "myha heal {name} (with --plan",
    Cause.BROKEN: "myha heal {name} --method reseed",
}


def told(entry: NodeRecord, *, replica: bool) -> list[str]:
    """The lines that name a command for a server with this entry on record."""
    pair = view() if replica else view(on_record=record(db2=entry))
    status = build_status("p", pair, decide(pair), None)
    if replica:
        now = replica_view(entry=entry)
        one = replica_status(now, decide_on_replica(now), None)
        status = status.model_copy(update={"replicas": {"r1": one}})
    return [
        line for line in explanation(status) if re.search(r"myha (heal|unfence) (db2|r1)", line)
    ]


@pytest.mark.parametrize("replica", [False, True])
@pytest.mark.parametrize("cause", COMMANDS)
def test_a_fenced_server_has_one_next_command(cause: Cause, replica: bool) -> None:
    (line,) = told(NodeRecord(Membership.FENCED, cause, "a test"), replica=replica)
    assert COMMANDS[cause].format(name="r1" if replica else "db2") in line


@pytest.mark.parametrize(
    "entry", [NodeRecord(Membership.MEMBER, boot_id="r1-1"), HEALING], ids=["member", "healing"]
)
def test_nobody_is_sent_to_one_that_needs_no_hand(entry: NodeRecord) -> None:
    assert not told(entry, replica=True)
