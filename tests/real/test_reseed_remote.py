"""mariabackup between two hosts: a pair whose nodes are reached only by a real sshd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from myha import config as configuration
from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.operations.heal.reseed import Method, ReseedOrder, plan_reseed
from myha.progress import Progress
from myha.sandbox.cluster import Cluster
from tests.real.conftest import need
from tests.real.sshd import Sshd, command_lines, remote_config
from tests.real.test_reseed import Pair, Writer
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("reseed")]


class RemotePair(Pair):
    """The pair as it is configured where none of its files can be seen."""

    def __init__(self, cluster: Cluster, sshd: Sshd) -> None:
        super().__init__(cluster)
        self.config = self.configured("remote", {"a": sshd.words(), "b": sshd.words()})

    def configured(self, name: str, shells: dict[str, list[str]]) -> Config:
        """The sandbox's configuration with these ways to its hosts."""
        return configuration.load(remote_config(self.cluster, name, shells))

    def working(self) -> list[str]:
        """What a reseed has begun on the hosts, and has not ended."""
        directory = str(self.cluster.directory)
        names = (".reseed-new", "myha-backup", "mbstream", "getattr(server, sys.argv[3])")
        return [line for name in names for line in command_lines(name, directory)]

    def files(self) -> list[str]:
        folder = self.cluster.nodes["a"].directory
        logins = Path(tempfile.gettempdir()).glob("myha-backup.*")
        return sorted(map(str, [*folder.iterdir(), *logins]))


@pytest.fixture(scope="module")
def shared(sshd: Sshd) -> Iterator[RemotePair]:
    need("mariadb")
    cluster = Cluster.create(flavour="mariadb")
    try:
        yield RemotePair(cluster, sshd)
    finally:
        cluster.down()


@pytest.fixture
def pair(shared: RemotePair) -> RemotePair:
    shared.cluster.start_servers()
    shared.fence_a()
    return shared


class Watching(ListReporter):
    """Looks at every command line of the machine whenever it is told of progress."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: set[str] = set()

    def progress(self, now: Progress) -> None:
        self.lines.update(command_lines())
        super().progress(now)


def test_a_node_gets_its_peers_data_over_ssh(pair: RemotePair) -> None:
    pair.diverge()
    before = pair.files()
    watching = Watching()
    with Writer(pair) as writer:
        report, _ = pair.reseed(Method.BACKUP, reporter=watching)
    assert report.method is Method.BACKUP
    assert len(writer.acknowledged) > 20
    assert writer.slowest_seconds < 2, "the writer goes on serving"
    assert report.quarantine_path is not None
    assert b"errant" in (report.quarantine_path / "events.binlog").read_bytes()

    assert [line for line in watching.lines if "--stream=mbstream" in line]
    assert not [line for line in watching.lines if pair.cluster.secret("admin") in line]
    assert pair.files() == before
    until(lambda: not pair.working(), "nothing works there any more", 10)

    pair.check_itself()
    pair.catch_up()
    (found,) = pair.ask("a", "SELECT COUNT(*) FROM app.t WHERE v = 'while it is copied'")[0]
    assert found >= len(writer.acknowledged)
    pair.check_closed_at_boot()


def test_killed_and_run_again_over_ssh(pair: RemotePair) -> None:
    before = pair.files()
    for phase in ("back up", "prepare"):
        with pair.process(Method.BACKUP) as process:
            for line in process.stdout or ():
                if json.loads(line).get("progress", {}).get("phase") == phase:
                    break
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=90)
        assert process.returncode == -signal.SIGKILL
        began = time.monotonic()
        pair.b("INSERT INTO app.t (v) VALUES ('nothing holds the writer')")
        until(lambda: not pair.working(), f"nothing is left of {phase}", 30)
        assert time.monotonic() - began < 30
    report, _ = pair.reseed(Method.BACKUP)
    assert report.quarantine_path is None
    assert pair.files() == before
    pair.check_itself()
    pair.catch_up()


def test_a_shell_that_does_not_work_changes_nothing(pair: RemotePair, sshd: Sshd) -> None:
    before, files = pair.executed("a"), pair.files()
    fine = sshd.words()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ways = {
            "Host key verification failed": sshd.words(known="mistaken"),
            "Permission denied": sshd.words(key="other"),
            "timed out": sshd.words(port=deaf.getsockname()[1]),
            "nonesuch: No such file": ["nonesuch", "db1"],
            "prints something before": ["sh", "-c", 'echo welcome; eval "$0"'],
        }
        for number, (said, words) in enumerate(ways.items()):
            one, other = "ab" if number % 2 else "ba"  # as the node, or as the one it copies
            config = pair.configured(f"bad-{number}", {one: words, other: fine})
            with pytest.raises(HealRefusedError, match=f"mariabackup: {one}: .*{said}") as no:
                plan_reseed(ReseedOrder(config, "a", "b", {}, (Method.BACKUP,)))
            assert "\n" not in str(no.value)
    assert pair.executed("a") == before
    assert pair.files() == files


@pytest.mark.parametrize("seen", ["nothing", "the other node"])
def test_a_shell_to_the_wrong_host_is_noticed(
    pair: RemotePair, sshd: Sshd, tmp_path: Path, seen: str
) -> None:
    a, b = (pair.cluster.nodes[name].directory for name in "ab")
    instead = tmp_path if seen == "nothing" else b
    words = ["unshare", "--user", "--map-root-user", "--mount"]
    if os.geteuid() == 0:
        words = ["unshare", "--mount"]
    words += ["sh", "-c", f'mount --bind {instead} {a} && exec sh -c "$0"']
    if subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    config = pair.configured("wrong", {"a": words, "b": sshd.words()})
    with pytest.raises(HealRefusedError, match=r"logs of a cannot be found .*nodes\.a\.shell"):
        plan_reseed(ReseedOrder(config, "a", "b", {}, (Method.BACKUP,)))
