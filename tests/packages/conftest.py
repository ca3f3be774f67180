"""The Debian package on bare Debians that boot with their own systemd: `make test-packages`.

Without MYHA_TEST_PACKAGES, which that sets, these are not collected: they need root, the network
for Debian's packages, and ten minutes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.machine import ROOT, Image, Machine

collect_ignore_glob = [] if os.environ.get("MYHA_TEST_PACKAGES") else ["test_*.py"]


@pytest.fixture(scope="session")
def package() -> Path:
    """Built now; MYHA_DEB names one that is there already."""
    if known := os.environ.get("MYHA_DEB"):
        return Path(known)
    done = subprocess.run(
        ["packaging/build"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    return ROOT / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Image]:
    """A minimal Debian with systemd, on disk."""
    with Image.bootstrapped(request.param, tmp_path_factory.mktemp(request.param)) as image:
        yield image


@pytest.fixture(scope="module")
def machine(bare: Image, package: Path) -> Iterator[Machine]:
    """That Debian with the package, running."""
    bare.install(package)
    with bare.booted() as running:
        yield running
