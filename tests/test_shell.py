"""Scripts on a host: what they get and say, how they fail, and that nothing outlives its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from myha.hosts import shell
from myha.hosts.shell import Shell, ShellError
from myha.operations.heal.reseed.backup import NEW_SUFFIX, OLD_SUFFIX, Backup
from myha.operations.heal.reseed.node_host import NodeHost
from tests.waiting import until

# ssh hands its words, joined, to a shell with a home and an environment of its own.
LIKE_SSH = ("env", "-i", "-C", "/", f"PATH={os.environ['PATH']}", "sh", "-c")
HOLDS = """
import sys
from myha.hosts.shell import Shell
script = 'trap "rm -f $1" EXIT; echo $$ >"$1"; work() { exec sleep 600; }'
with Shell("a").held(script, sys.argv[1]):
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("words", [(), LIKE_SSH])
def test_values_arrive_as_they_are(words: tuple[str, ...]) -> None:
    values = ("it's", "a  b", "$HOME", "", "*", 'say "x"', "-n", "two\nlines", "\\")
    assert Shell("a", words).run('printf "%s|" "$@"', *values) == "|".join([*values, ""])


@pytest.mark.parametrize(
    ("words", "script", "line"),
    [
        ((), "echo 'rm: cannot remove x' >&2; exit 1", "a: rm: cannot remove x"),
        ((), "exit 7", "a: exit status 7"),
        (("nonesuch",), "true", "a: cannot start nonesuch: No such file or directory"),
        (("false",), "true", "a: nodes.a.shell does not work: exit status 1"),
        (
            ("sh", "-c", "echo 'Host key verification failed.' >&2; exit 255"),
            "true",
            "a: nodes.a.shell does not work: Host key verification failed.",
        ),
        (
            ("sh", "-c", 'echo welcome; eval "$0"'),
            "true",
            "a: nodes.a.shell prints something before the script does: welcome; make its login "
            "silent",
        ),
        (
            ("sh", "-c", "exec sleep 60"),
            "true",
            "a: nodes.a.shell does not answer within 1 s",
        ),
    ],
)
def test_a_failure_is_one_clear_line(words: tuple[str, ...], script: str, line: str) -> None:
    with pytest.raises(ShellError) as caught:
        Shell("a", words).run(script, deadline_seconds=1)
    assert str(caught.value) == line


def test_what_is_held_reads_what_comes_first_and_says_how_it_ended(tmp_path: Path) -> None:
    script = 'dd bs=1 count=6 <&3 >"$1" 2>/dev/null; work() { echo "Error: full" >&2; exit 3; }'
    with (
        pytest.raises(ShellError, match="^a: the work failed: Error: full$"),
        Shell("a").held(script, str(tmp_path / "got"), first=b"secret") as running,
    ):
        running.check("the work")
    assert (tmp_path / "got").read_bytes() == b"secret"


def test_what_is_held_ends_with_its_block(tmp_path: Path) -> None:
    left = tmp_path / "left"
    script = 'trap "rm -f $1" EXIT; touch "$1"; work() { exec sleep 600; }'
    began = time.monotonic()
    with Shell("a").held(script, str(left)):
        until(left.exists, "it has begun")
    assert not left.exists(), "it has cleared up"
    assert time.monotonic() - began < 5


def test_what_is_held_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    left = tmp_path / "left"
    words = [sys.executable, "-c", HOLDS, str(left)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"begun\n"
        until(lambda: left.exists() and left.read_text(), "it has begun")
        number = left.read_text().strip()
        holder.send_signal(signal.SIGKILL)
    until(lambda: not left.exists(), "it has cleared up")
    until(lambda: not _is_alive(number), "it has ended")


def _is_alive(number: str) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_is_held_ends_when_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(shell, "ALIVE_EVERY_SECONDS", 60.0)
    began = time.monotonic()
    with Shell("a").held("work() { exec sleep 600; }") as running:
        until(running.ended, "it was cut off")
    assert 0.9 < time.monotonic() - began < 5


def test_what_is_heard_of_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(shell, "ALIVE_EVERY_SECONDS", 0.2)
    with Shell("a").held("work() { exec sleep 1.5; }") as running:
        running.check("the work")


# --- a node's directories -------------------------------------------------------------------


@pytest.fixture(params=[(), LIKE_SSH], ids=["here", "elsewhere"])
def host(request: pytest.FixtureRequest) -> NodeHost:
    config: Any = SimpleNamespace(servers={"a": SimpleNamespace(shell=request.param)})
    return NodeHost(config, "a")


def test_directories_are_what_they_are(host: NodeHost, tmp_path: Path) -> None:
    data, link = tmp_path / "it's data", tmp_path / "link"
    link.symlink_to(data)
    assert host.is_empty(data)
    assert not host.exists(data)
    host.make(data)
    assert data.stat().st_mode & 0o777 == 0o700
    assert host.real(link) == host.real(data) == data
    assert host.real(tmp_path / "no" / "such") == tmp_path / "no" / "such"
    assert host.is_empty(data)
    (data / ".hidden").touch()
    assert not host.is_empty(data)
    (data / "file").write_text("text\tmore\n")
    assert host.read(data / "none", data / "file", data / ".hidden") == "text\tmore\n"
    assert host.read(data / "none") == ""
    with pytest.raises(ShellError, match="File exists"):
        host.make(data)
    host.remove(data)
    host.remove(data)
    assert not data.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_what_may_not_be_looked_into_is_not_empty(host: NodeHost, tmp_path: Path) -> None:
    data = tmp_path / "closed" / "data"
    data.mkdir(parents=True)
    for folder in (data, data.parent):
        folder.chmod(0)
        with pytest.raises(ShellError, match="Permission denied"):
            host.is_empty(data)
        folder.chmod(0o700)


def test_room(host: NodeHost, tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free, mounted = host.disk(tmp_path / "not" / "there")
    assert abs(free - status.f_bavail * status.f_frsize) < 1 << 30
    assert os.path.ismount(mounted)
    assert host.disk(Path("/"))[1] == "/"
    (tmp_path / "table").write_bytes(b"x" * 300_000)
    (tmp_path / "ib_logfile0").write_bytes(b"x" * 500_000)
    (tmp_path / "log bin.000001").write_bytes(b"x" * 700_000)
    assert 300_000 <= host.used_bytes(tmp_path, (f"{tmp_path}/log bin", "/none/x")) < 400_000


def test_moving_never_replaces(host: NodeHost, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with pytest.raises(ShellError, match="two is there already"):
        host.move(tmp_path / "one", tmp_path / "two")
    host.move(tmp_path / "one", tmp_path / "three")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["three", "two"]


def test_an_exchange(host: NodeHost, tmp_path: Path) -> None:
    data, new, old = (tmp_path / name for name in ("the data", "new", "old"))
    (new / "deep").mkdir(parents=True)
    host.exchange(data, new, old)
    assert [path.name for path in tmp_path.iterdir()] == ["the data"], "nothing was there before"
    data.chmod(0o750)
    new.mkdir(mode=0o700)
    (new / "fresh").touch()
    host.exchange(data, new, old)
    assert (data / "fresh").exists()
    assert (old / "deep").exists()
    assert data.stat().st_mode & 0o777 == 0o750
    new.mkdir()
    with pytest.raises(ShellError, match="old is there already"):
        host.exchange(data, new, old)
    assert (data / "fresh").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_what_is_exchanged_belongs_to_the_same_user(host: NodeHost, tmp_path: Path) -> None:
    data, new, old, outside = (tmp_path / name for name in ("data", "new", "old", "outside"))
    for folder in (new / "deep", data, outside):
        folder.mkdir(parents=True)
    (new / "deep" / "file").touch()
    (new / "link").symlink_to(outside)
    os.chown(data, 12345, 23456)
    host.exchange(data, new, old)
    for path in (data, data / "deep", data / "deep" / "file", old):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)
    assert outside.stat().st_uid == 0


def test_a_process_at_work_is_seen(host: NodeHost, tmp_path: Path) -> None:
    folder = tmp_path / "da.ta"
    folder.mkdir()
    (tmp_path / "daxta").mkdir()
    assert not host.works_in(folder)
    with subprocess.Popen(["sleep", "600"], cwd=folder) as process:
        until(lambda: host.works_in(folder), "it is seen")
        assert not host.works_in(tmp_path / "daxta")
        assert not host.works_in(tmp_path)
        process.kill()
    assert not host.works_in(folder)


@pytest.mark.parametrize(
    ("there", "left"),
    [
        ({}, {}),
        ({"data": "data", NEW_SUFFIX: "half"}, {"data": "data"}),
        ({"data": "new", OLD_SUFFIX: "old"}, {"data": "new"}),
        ({OLD_SUFFIX: "old", NEW_SUFFIX: "new"}, {"data": "old"}),
        ({"data": "", OLD_SUFFIX: "old"}, {"data": "old"}),
    ],
)
def test_what_a_run_that_died_left(
    host: NodeHost, tmp_path: Path, there: dict[str, str], left: dict[str, str]
) -> None:
    for suffix, content in there.items():
        folder = tmp_path / f"data{suffix.removeprefix('data')}"
        folder.mkdir()
        if content:
            (folder / content).touch()
    Backup.leftovers(host, tmp_path / "data")
    found = {path.name: next(path.iterdir()).name for path in tmp_path.iterdir()}
    assert found == left


SCRIPTS = sorted((Path(shell.__file__).parent.parent / "scripts").glob("*.sh"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_script_is_one_that_a_posix_shell_can_read(path: Path) -> None:
    text = path.read_text().replace("{script}", "work() { :; }")
    subprocess.run(["sh", "-n"], input=text.encode(), check=True)
    assert text.startswith("# "), "it says what it is given and gives"
