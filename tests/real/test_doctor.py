"""`myha doctor` on real pairs: a healthy one, and one with many faults at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from myha.cli.main import cli
from myha.operations.doctor.findings import KINDS, Report
from myha.sandbox.cluster import Cluster
from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with running_pair(flavour=request.param) as shared:
        yield shared


def doctor(pair: Pair, *words: str, **environment: str) -> tuple[int, Report]:
    """In this process, which has the imports already."""
    call = ["--config", str(pair.cluster.config_path), "doctor", "--json", *words]
    done = CliRunner().invoke(cli, call, env=environment)
    assert done.stderr == ""
    return done.exit_code, Report.model_validate(json.loads(done.stdout))


def told(found: Report) -> dict[str, str]:
    """What is wrong, by kind and whom it is about."""
    return {f"{one.kind} {one.about}": one.wrong for one in found.findings}


def test_a_healthy_pair(pair: Pair) -> None:
    pair.await_healthy()
    status, found = doctor(pair)
    assert (status, found.errors, found.warnings, found.unseen) == (0, 0, 0, ()), told(found)
    said = pair.myha("doctor")
    assert said.stdout.startswith("sandbox: ")
    assert "hint" in said.stdout


def test_a_pair_with_many_faults(pair: Pair) -> None:
    """Each is named, the gravest first, without and with a supervisor."""
    cluster = pair.cluster
    pair.await_healthy("a")
    pair.admin(
        "a",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.keyless (x INT)",
        "CREATE TABLE shop.torn (id INT PRIMARY KEY) ENGINE = MyISAM",
        "CREATE DEFINER = 'gone'@'%' VIEW shop.v AS SELECT 1 AS one",
        "SET GLOBAL binlog_expire_logs_seconds = 3600",
        "SET GLOBAL sync_binlog = 0",
        "SET GLOBAL max_connections = 321",
        "SET SESSION sql_log_bin = 0",
        "REVOKE EVENT ON *.* FROM 'myha'@'%'",
        "GRANT DROP ON *.* TO 'myha'@'%'",
        "CREATE USER 'alone'@'%' IDENTIFIED BY 'Secret-1'",
    )
    until(lambda: pair.admin("b", "SHOW TABLES FROM shop LIKE 'torn'"), "it replicates")
    cluster.config_path.chmod(0o666)
    status, found = doctor(pair)
    cluster.config_path.chmod(0o600)
    assert status == 2
    wrong = told(found)
    assert "everybody may write it" in wrong[f"config-writable {cluster.config_path}"]
    assert "lacks EVENT on *.*" in wrong["account-lacks a"]
    assert "1.0 hours" in wrong["retention-short a"]
    assert wrong["not-durable a"] == "sync_binlog is 0"
    assert "view shop.v" in wrong["definer-missing a and b"]
    assert "alone@%" in wrong["accounts-differ a"]
    assert "shop.keyless" in wrong["no-primary-key a and b"]
    assert "shop.torn (MyISAM)" in wrong["not-transactional a and b"]
    assert "DROP on *.*" in wrong["account-has-more a"]
    assert "max_connections" in wrong["set-at-runtime a"]
    ranks = [[*KINDS].index(one.kind) for one in found.findings]
    assert ranks == sorted(ranks)
    assert all(one.wrong and "\n" not in one.wrong for one in found.findings)


def test_a_server_that_hangs_and_a_balancer_that_is_gone(pair: Pair) -> None:
    """It ends by itself, and says so of each."""
    pair.await_healthy()
    server = pair.cluster.servers["b"]
    server.freeze()
    try:
        status, found = doctor(pair, "--timeout", "3")
    finally:
        server.thaw()
    assert status == 2
    assert "server-silent b" in told(found)
    pair.await_healthy()
    _, found = with_changed(pair, ("haproxy.sock", "nowhere.sock"))
    wrong = told(found)
    assert "no such socket" in wrong["balancer-away lb1"]
    assert "config-changed sandbox" in wrong
    port = pair.cluster.nodes["b"].port
    status, found = with_changed(pair, (f"port = {port}", "port = 1"))
    assert status == 2
    wrong = told(found)
    assert "server-unreachable b" in wrong
    assert f"to 127.0.0.1:{port}, and not to 127.0.0.1:1" in wrong["balancer-elsewhere lb1"]


def with_changed(pair: Pair, change: tuple[str, str]) -> tuple[int, Report]:
    """With another configuration, for as long as it looks."""
    path = pair.cluster.config_path
    text = path.read_text()
    changed = text.replace(*change)
    assert changed != text
    path.write_text(changed)
    try:
        return doctor(pair)
    finally:
        path.write_text(text)


def test_a_wrong_password(pair: Pair) -> None:
    """The administrator's account looks instead, and the supervisor that runs is asked."""
    _, found = doctor(pair, MYHA_SUPERVISOR_PASSWORD="wrong")
    assert "myha" in told(found)["login-refused a and b"]
    assert not found.unseen
    _, found = doctor(pair, MYHA_ADMIN_PASSWORD="wrong")
    assert "admin" in told(found)["admin-refused a and b"]
    both = {"MYHA_SUPERVISOR_PASSWORD": "wrong", "MYHA_ADMIN_PASSWORD": "wrong"}
    status, found = doctor(pair, **both)
    assert status == 2
    refused = [one for one in found.findings if one.kind == "login-refused"]
    assert [one.about for one in refused] == ["a and b", "a and b"]


def test_two_servers_before_setup(bare_servers: Callable[[str], Cluster], flavour: str) -> None:
    bare = bare_servers(flavour)
    status, found = doctor(Pair(bare))
    assert status == 2
    assert "myha setup" in _of(found, "not-set-up").mend
    assert _of(found, "login-refused").about == "a and b"
    assert not {one.kind for one in found.findings} & {"setting-wrong", "account-missing"}


def _of(found: Report, kind: str) -> Any:
    return next(one for one in found.findings if one.kind == kind)
