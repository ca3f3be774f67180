"""One supervisor of two real pairs, one of each flavour: each for itself, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from myha.sandbox.cluster import Cluster
from myha.supervisor.client import ask
from tests.real.conftest import create
from tests.real.pair import Pair
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("many-pairs")]
Data = dict[str, Any]


class Many:
    """Two pairs, named after their flavours, under one supervisor."""

    def __init__(self, folder: Path, clusters: dict[str, Cluster]) -> None:
        self.folder = folder
        self.clusters = clusters
        self.process: subprocess.Popen[bytes] | None = None
        self.config = folder / "myha.toml"
        self.config.write_text('[supervisor]\nstate_dir = "state"\n[api]\nenabled = false\n')
        (folder / "pairs.d").mkdir()
        for name, cluster in clusters.items():
            self.file(name).write_text(_text(cluster))

    def start(self) -> None:
        """`myha run`; what it says goes into a file."""
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "myha", "--config", str(self.config), "run"],
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int:
        """Its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self.process.wait(90)

    def file(self, name: str) -> Path:
        return self.folder / "pairs.d" / f"{name}.toml"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "myha", "--config", str(self.config), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    def ask(self, **request: Any) -> Data:
        return ask(self.folder / "state" / "myha.sock", request)

    def lines(self) -> dict[str, Data]:
        """By pair; empty while no supervisor answers."""
        try:
            return {one["name"]: one for one in self.ask(do="overview")["pairs"]}
        except Exception:  # noqa: BLE001  # it begins, or ends
            return {}

    def status(self, name: str) -> Data:
        return self.ask(do="status", pair=name)

    def started(self, name: str) -> list[str]:
        """When supervisors of this pair have begun."""
        found = until(
            lambda: self.ask(do="events", pair=name, limit=1000).get("events"), "a supervisor"
        )
        events: list[Data] = found
        return [str(one["at"]) for one in events if one["text"].startswith("started, process")]

    def await_healthy(self, *names: str) -> None:
        wanted = set(names or self.clusters)

        def healthy() -> bool:
            lines = self.lines()
            return lines.keys() == wanted and all(one["healthy"] for one in lines.values())

        try:
            until(healthy, f"{wanted} are healthy")
        except AssertionError as error:
            log = (self.folder / "log").read_text()[-4000:]
            raise AssertionError(f"{error}: {self.lines()}\n{log}") from None

    def await_writer(self, name: str, writer: str) -> None:
        until(lambda: self.lines().get(name, {}).get("writer") == writer, f"{writer} of {name}")


def _text(cluster: Cluster) -> str:
    """What a sandbox wrote for a pair that is alone, for one among others."""
    text = re.sub(r'^name = ".*"\n', "", cluster.config_path.read_text(), flags=re.MULTILINE)
    roles = {"admin": "admin", "supervisor": "supervisor", "replication": "replication"}
    files = [
        f'{role}_password_file = "{cluster.directory}/secrets/{file}"'
        for role, file in {**roles, "drill": "app"}.items()
    ]
    return text.replace("[accounts]", "\n".join(["[accounts]", *files]), 1)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    with ExitStack() as held:
        clusters = {}
        for flavour in ("mysql", "mariadb"):
            clusters[flavour] = create(flavour=flavour, api=True)
            held.callback(clusters[flavour].down)
            clusters[flavour].up(bare=True)
        made = Many(tmp_path_factory.mktemp("many"), clusters)
        for name in clusters:
            done = made.run("setup", "--pair", name, "--yes")
            assert done.returncode == 0, done.stderr
        held.callback(made.stop)
        made.start()
        made.await_healthy()
        yield made


@pytest.fixture(autouse=True)
def whole(many: Many) -> None:
    many.await_healthy()


def other(name: str) -> str:
    return {"a": "b", "b": "a", "mysql": "mariadb", "mariadb": "mysql"}[name]


def test_commands_name_the_pair_and_status_lists_all(many: Many) -> None:
    done = many.run("status")
    assert done.returncode == 0, done.stderr
    assert "2 pairs, all healthy" in done.stdout
    shown = json.loads(many.run("status", "--json").stdout)
    assert {one["name"] for one in shown["pairs"]} == {"mysql", "mariadb"}
    for words in (("explain",), ("events",), ("switchover",), ("fence", "b")):
        refused = many.run(*words)
        assert refused.returncode == 2
        assert "has the pairs mariadb, mysql: name one with --pair" in refused.stderr
    assert "healthy" in many.run("status", "--pair", "mysql").stdout
    assert many.run("explain", "--pair", "mariadb").returncode == 0


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_a_crash_of_one_is_no_other_ones_affair(many: Many, name: str) -> None:
    writer, before = many.status(name)["writer"], many.status(other(name))
    pid = many.clusters[name].servers[writer].pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    many.await_writer(name, other(writer))
    done = many.run("status")
    assert done.returncode == 1
    assert many.ask(do="overview")["pairs"][0]["name"] == name  # the worst is the first
    many.clusters[name].servers[writer].start(60.0)
    many.await_healthy()
    after = many.status(other(name))
    assert (after["epoch"], after["writer"]) == (before["epoch"], before["writer"])


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_a_pair_that_hangs_delays_no_other_ones_failover(many: Many, name: str) -> None:
    servers = many.clusters[name].servers
    writer = many.status(other(name))["writer"]
    for node in "ab":
        servers[node].freeze()
    try:
        until(lambda: not many.lines()[name]["healthy"], f"{name} is not healthy")
        pid = many.clusters[other(name)].servers[writer].pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        many.await_writer(other(name), other(writer))
    finally:
        for node in "ab":
            servers[node].thaw()
    many.clusters[other(name)].servers[writer].start(60.0)


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
def test_a_pair_goes_changes_and_comes_back_while_the_other_goes_on(many: Many, name: str) -> None:
    text, others = many.file(name).read_text(), many.started(other(name))
    many.file(name).write_text("[[[")
    refused = many.run("reload")
    assert refused.returncode == 2
    assert "is not valid TOML" in refused.stderr
    many.await_healthy()
    assert many.lines()[name]["config_changed"] or until(
        lambda: many.lines()[name]["config_changed"], "that the file has changed is said"
    )
    many.file(name).unlink()
    assert many.run("reload").stdout.strip() == f"removed: {name}"
    many.await_healthy(other(name))
    many.file(name).write_text(text)
    assert many.run("reload").stdout.strip() == f"added: {name}"
    many.await_healthy()
    before = many.started(name)
    many.file(name).write_text(f"{text}\n[lag]\nout_seconds = 11\n")
    assert many.run("reload").stdout.strip() == f"changed: {name}"
    until(lambda: len(many.started(name)) == len(before) + 1, "another supervisor of it")
    many.await_healthy()
    many.file(name).write_text(text)
    assert many.run("reload").returncode == 0
    many.await_healthy()
    assert many.started(other(name)) == others


def test_a_worker_that_dies_is_replaced(many: Many) -> None:
    pid = int(many.status("mysql")["pid"])
    others = many.started("mariadb")
    assert int(many.status("mariadb")["pid"]) != pid
    os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        line = many.lines().get("mysql", {})
        return bool(line.get("healthy")) and int(many.status("mysql")["pid"]) != pid

    until(replaced, "another worker")
    assert many.started("mariadb") == others


def test_a_second_supervisor_of_the_same_pairs_is_refused(many: Many) -> None:
    second = many.run("run")
    assert second.returncode == 1
    assert "another supervisor (process " in second.stderr
    many.await_healthy()


def test_the_supervisors_own_death_leaves_all_as_it_is(many: Many) -> None:
    """Its workers end too, and a new one goes on."""
    states = {name: many.status(name) for name in many.clusters}
    workers = {int(one["pid"]) for one in states.values()}
    holder = int((many.folder / "state" / "supervisor.lock").read_text())
    os.kill(holder, signal.SIGKILL)

    def alive(pid: int) -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return stat.exists() and stat.read_text().rsplit(") ", 1)[1][0] != "Z"

    until(lambda: not any(map(alive, workers)), "the workers have ended")
    shown = many.run("status")
    assert shown.returncode == 1
    assert "no supervisor is running here" in shown.stderr
    assert "2 pairs, 2 not healthy" in shown.stdout
    many.start()
    many.await_healthy()
    for name, before in states.items():
        now = many.status(name)
        assert (now["epoch"], now["writer"]) == (before["epoch"], before["writer"])


def _long_history(cluster: Cluster, flavour: str) -> None:
    """As of many servers and years, on both nodes alike. Nobody supervises them meanwhile."""
    pair = Pair(cluster)
    if flavour == "mysql":
        servers = ",".join(f"{uuid.UUID(int=number)}:1-9" for number in range(1, 25_001))
        for node in "ab":
            pair.admin(node, f"SET GLOBAL gtid_purged = '+{servers}'")
        return
    writer = next(n for n in "ab" if not int(pair.admin(n, "SELECT @@GLOBAL.read_only")[0][0]))
    statements = ["CREATE DATABASE IF NOT EXISTS app", "CREATE OR REPLACE TABLE app.d (d INT)"]
    for domain in range(1000, 6000):
        statements += [f"SET gtid_domain_id = {domain}", f"INSERT INTO app.d VALUES ({domain})"]
    pair.admin(writer, *statements)


def test_huge_lists_of_gtids_delay_nobodys_failover(many: Many) -> None:
    """A megabyte on MySQL, 5,000 domains on MariaDB, both in one process."""
    assert many.stop() == 0
    many.config.write_text(many.config.read_text().replace("[api]", "workers = 1\n[api]", 1))
    for flavour, cluster in many.clusters.items():
        _long_history(cluster, flavour)
    many.start()
    many.await_healthy()
    for name, cluster in many.clusters.items():
        writer = many.status(name)["writer"]
        pid = cluster.servers[writer].pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        many.await_writer(name, other(writer))
        cluster.servers[writer].start(60.0)
    many.await_healthy()


def test_it_ends_at_rest_when_it_is_told_to(many: Many) -> None:
    assert many.stop() == 0
    many.start()
    many.await_healthy()
