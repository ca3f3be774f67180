"""An administrator's session that cannot begin: what is wrong with the account, or with the server.

Who watches a clone goes on asking a server that is gone or silent, and gives up for anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from myha import config as configuration
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.operations.setup.session import AdminSession, NodeSession
from tests.configurations import write_config

HINT = "accounts.admin_user needs all privileges"


def begin(tmp_path: Path, error: ServerError) -> None:
    config = configuration.load(write_config(tmp_path))

    def fail(*_: Any, **__: Any) -> None:
        raise error

    account = configuration.Account("root", mock.Mock())
    with (
        mock.patch.object(NodeSession, "__init__", return_value=None),
        mock.patch.object(AdminSession, "carry_out", fail),
    ):
        AdminSession(config, "a", account)


@pytest.mark.parametrize("kind", [ServerGoneError, ServerSilentError])
def test_a_server_that_ends_meanwhile_is_gone_and_not_an_accounts_fault(
    tmp_path: Path, kind: type[ServerError]
) -> None:
    with pytest.raises(kind) as caught:
        begin(tmp_path, kind("lost"))
    assert HINT not in str(caught.value)


def test_a_statement_that_is_refused_is_an_accounts_fault(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=HINT) as caught:
        begin(tmp_path, ServerError("denied", 1227))
    assert caught.value.code == 1227
