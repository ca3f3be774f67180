"""Real servers for tests. What a fixture starts, it ends, whatever the test did.

A program that is missing skips the test with its name, and fails it under CI=true.
"""

import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pymysql
import pytest

from myha.database.flavours import FLAVOURS
from myha.errors import MyhaError
from myha.sandbox import programs as sandbox_programs
from myha.sandbox import registry
from myha.sandbox.cluster import Cluster
from myha.sandbox.programs import Program
from tests import leftovers
from tests.real.sshd import Sshd

BareServers = Callable[[str], Cluster]
MakeCluster = Callable[..., Cluster]


def need(name: str) -> Program:
    """The program, found or fetched; else the test is skipped, or fails under CI=true."""
    try:
        return sandbox_programs.fetch(name)
    except MyhaError as error:
        told = f"program missing: {name}: {error}"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="session", autouse=True)
def state_home(pytestconfig: pytest.Config) -> Iterator[Path]:
    """Sandboxes of tests do not mix with the user's; parallel workers share one port registry."""
    path = leftovers.state_folder(leftovers.name_run(pytestconfig))
    path.mkdir(mode=0o700, exist_ok=True)
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(path)
    yield path
    if not registry.sandboxes():
        shutil.rmtree(path, ignore_errors=True)
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def one_tls_context() -> Iterator[None]:
    """The tests' own connections share it: each would else read all certificates of this machine.

    That takes 30 ms of CPU, and tests connect thousands of times. What a connection asks for with
    options of its own, as all of myha's do, it gets.
    """
    make = pymysql.Connection._create_ssl_ctx  # type: ignore[attr-defined]
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE

    def shared(connection: Any, options: Any) -> Any:
        return unverified if options == {} else make(connection, options)

    with mock.patch.object(pymysql.Connection, "_create_ssl_ctx", shared):
        yield


@pytest.fixture(params=[*FLAVOURS])
def flavour(request: pytest.FixtureRequest) -> str:
    """Both flavours, one after the other."""
    return str(request.param)


@pytest.fixture(scope="session")
def programs() -> Callable[[str], Program]:
    """The server program of a flavour: `programs("mysql")`."""
    return need


@pytest.fixture(scope="session")
def bare_servers() -> Iterator[BareServers]:
    """`bare_servers(flavour)`: a cluster of two bare servers that run, shared by the whole session.

    For tests that leave the servers as they found them; others take `cluster`.
    """
    made: dict[str, Cluster] = {}

    def get(flavour: str) -> Cluster:
        if flavour not in made:
            made[flavour] = create(flavour=flavour)
        made[flavour].start_servers()
        return made[flavour]

    yield get
    _end(list(made.values()))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd on this machine, as another host's shell."""
    one = Sshd(need("sshd"), tmp_path_factory.mktemp("sshd"))
    yield one
    one.stop()


@pytest.fixture
def cluster() -> Iterator[MakeCluster]:
    """`cluster(flavour=..., mode=..., durability=..., directory=...)`: a new cluster, not started.

    Call `up()`, `up(bare=True)` or `start_servers()` on it; it is taken down after the test.
    """
    made: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        made.append(create(**options))
        return made[-1]

    yield make
    _end(made)


def create(**options: Any) -> Cluster:
    """A cluster as `Cluster.create` makes it, once its programs are there.

    Its supervisor answers no HTTP, unless a test asks for that by `api`.
    """
    options.setdefault("api", False)
    for name in (options.get("flavour", "mysql"), "haproxy"):
        need(name)
    return Cluster.create(**options)


def _end(clusters: list[Cluster]) -> None:
    failures = []
    for cluster in clusters:
        try:
            if cluster.directory.exists():
                cluster.down()
        except (MyhaError, OSError) as error:
            failures.append(str(error))
    assert not failures
