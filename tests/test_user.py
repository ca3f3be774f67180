"""Who runs a process, also where the machine has no name for it."""

from __future__ import annotations

import getpass
import os

import pytest

from myha.hosts.user import user_name


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found"), OSError("no username")])
def test_a_user_without_a_name_has_a_number(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def getuser() -> str:
        raise error

    assert user_name() == getpass.getuser()
    monkeypatch.setattr(getpass, "getuser", getuser)
    assert user_name() == str(os.getuid())
