"""What is done about a server's refusal, by its number."""

from __future__ import annotations

import pytest

from myha.database.codes import (
    NO_SUCH_THREAD,
    SYNTAX_ERROR,
    UNKNOWN_VARIABLE,
    in_known_words,
    tolerated,
)
from myha.errors import ServerError, ServerGoneError


def refuse(code: int) -> None:
    raise ServerError("no", code)


def test_only_the_refusals_that_are_named_are_tolerated() -> None:
    with tolerated(NO_SUCH_THREAD, UNKNOWN_VARIABLE):
        refuse(NO_SUCH_THREAD)
    with pytest.raises(ServerError, match="no"), tolerated(NO_SUCH_THREAD):
        refuse(SYNTAX_ERROR)


def test_a_connection_that_breaks_is_never_tolerated() -> None:
    with pytest.raises(ServerGoneError), tolerated(NO_SUCH_THREAD):
        raise ServerGoneError("gone")


class OldServer:
    """Knows no block but those for older servers."""

    def __init__(self, code: int = SYNTAX_ERROR) -> None:
        self.code = code
        self.ran: list[str] = []

    def run(self, block: str) -> str:
        self.ran.append(block)
        if not block.endswith("_older_servers"):
            refuse(self.code)
        return block


def test_an_older_server_is_asked_in_its_own_words() -> None:
    server = OldServer()
    said = in_known_words(server.run, "leave_event", ("leave_event", "leave_event_older_servers"))
    assert said == "leave_event_older_servers"


def test_without_older_words_the_refusal_stands() -> None:
    with pytest.raises(ServerError):
        in_known_words(OldServer().run, "leave_event", ("leave_event",))


def test_another_refusal_is_no_question_of_words() -> None:
    server = OldServer(NO_SUCH_THREAD)
    with pytest.raises(ServerError):
        in_known_words(server.run, "leave_event", ("leave_event", "leave_event_older_servers"))
    assert server.ran == ["leave_event"]
