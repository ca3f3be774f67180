"""A network for tests: skipped with its reason where this user or machine can have none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from myha.errors import MyhaError
from myha.sandbox.network.network import Network


def need_network() -> None:
    """Root, ip, nft, nsenter and a kernel with namespaces; else the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    probe = Network(Path("/nowhere") / str(os.getpid()), (), (), "stray")
    try:
        Network.need(lambda _text: None)
        probe.make()
    except MyhaError as error:
        pytest.skip(str(error))
    finally:
        probe.remove()
