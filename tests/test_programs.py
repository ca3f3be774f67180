"""How server programs are found, judged and fetched."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from myha.errors import ConfigError, MissingProgramError, MyhaError
from myha.sandbox import debian, programs

MYSQLD = "{0}  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"
OLD_MYSQLD = "{0}  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))"
MARIADBD = "{0}  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)"
OLD_MARIADBD = "{0}  Ver 10.5.29-MariaDB for debian-linux-gnu on x86_64"


@pytest.fixture
def path_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH, and an empty cache."""
    folder = tmp_path / "opt-1.2.3" / "bin"  # digits in a path are no version
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "_NOT_ON_PATH", ())
    monkeypatch.setenv("MYHA_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def install(folder: Path, name: str, version_line: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version_line.format(path)}'\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("wanted", "executable", "version_line", "version"),
    [
        ("mysql", "mysqld", MYSQLD, "9.7.4"),
        ("mysql", "mysqld", OLD_MYSQLD, None),
        ("mysql", "mysqld", MARIADBD, None),  # Debian's MariaDB has a mysqld too
        ("mariadb", "mysqld", MARIADBD, "10.11.19"),
        ("mariadb", "mariadbd", MARIADBD, "10.11.19"),
        ("mariadb", "mariadbd", OLD_MARIADBD, None),
        ("mariadb", "mysqld", MYSQLD, None),
        ("haproxy", "haproxy", "HAProxy version 2.6.12-1+deb12u1 2023/12/16", "2.6.12"),
        ("haproxy", "haproxy", "HA-Proxy version 2.2.9-2+deb11u6 2023/08/12", None),
        ("etcd", "etcd", "etcd Version: 3.4.23", "3.4.23"),
    ],
)
def test_a_program_on_path_is_used_if_it_serves(
    path_dir: Path, wanted: str, executable: str, version_line: str, version: str | None
) -> None:
    install(path_dir, executable, version_line)
    found = programs.find(wanted)
    assert (found and found.version) == version
    if found:
        assert found.argv == (str(path_dir / executable),)
        assert found.prefix is None


def test_where_a_suite_is_chosen_path_does_not_count(
    path_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(path_dir, "haproxy", "HAProxy version 2.6.12-1+deb12u1 2023/12/16")
    install(path_dir, "sshd", "OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17 1 Jul 2025")
    monkeypatch.setenv("MYHA_DEBIAN", "trixie")
    assert programs.find("haproxy") is None
    assert programs.find("sshd") is not None  # it serves from one suite only


def test_a_program_that_does_not_start_does_not_serve(path_dir: Path) -> None:
    (path_dir / "mysqld").write_text("#!/bin/sh\necho 'Ver 9.7.4'; exit 1\n")
    (path_dir / "mysqld").chmod(0o755)
    assert programs.find("mysql") is None


def test_without_apt_one_line_says_what_to_install(path_dir: Path) -> None:
    with pytest.raises(MissingProgramError, match=r"install mysqld 8\.0\.26 or newer") as caught:
        programs.fetch("mysql")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'oracle'.*mysql, mariadb"):
        programs.find("oracle")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (debian.FALLBACK_MIRROR, debian.FALLBACK_SECURITY_MIRROR)),
        (
            {"sources.list": "# deb http://o/debian x\ndeb https://m.example/debian x main\n"},
            ("https://m.example/debian", debian.FALLBACK_SECURITY_MIRROR),
        ),
        (
            {
                "sources.list.d/a.sources": "Types: deb\nURIs: http://m.example/debian/\n"
                "Suites: bookworm\n\nTypes: deb\nURIs: http://s.example/debian-security\n"
            },
            ("http://m.example/debian", "http://s.example/debian-security"),
        ),
        (
            {
                "sources.list.d/a.list": "deb [a=b signed-by=/k] http://m.example/debian x y\n",
                "sources.list.d/other.list": "deb http://vendor.example/apt x main\n",
            },
            ("http://m.example/debian", debian.FALLBACK_SECURITY_MIRROR),
        ),
    ],
)
def test_the_mirror_is_the_systems_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    expected: tuple[str, str],
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(debian, "APT_DIR", tmp_path)
    assert debian.mirrors() == expected


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MYHA_CACHE_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(MyhaError, match="MYHA_CACHE_DIR"),
        programs.cache_lock(programs.cache_dir() / "programs", lambda _: None),
    ):
        pass


@pytest.mark.real
def test_a_killed_fetch_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not debian.apt_is_here():
        told = "program missing: apt-get, dpkg or Debian's archive keyring"
        pytest.fail(told) if os.environ.get("CI") == "true" else pytest.skip(told)
    monkeypatch.setenv("MYHA_CACHE_DIR", str(tmp_path))
    code = "from myha.sandbox import programs; programs.fetch('haproxy', print, again=True)"
    folder = tmp_path / "programs"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            if "downloading" in line or "unpacking" in line:
                break
        process.send_signal(signal.SIGKILL)
    assert not (folder / "haproxy").exists()
    assert list(folder.glob(".fetch-*"))

    # The next one waits until the killed one's children are gone, clears up and succeeds.
    began = time.monotonic()
    program = programs.fetch("haproxy", again=True)
    assert time.monotonic() - began < 200
    assert program.prefix == folder / "haproxy"
    assert not list(folder.glob(".fetch-*"))
    assert not list(folder.rglob("*.deb"))
    done = subprocess.run(
        [*program.argv, "-v"], capture_output=True, text=True, check=True, timeout=20
    )
    assert program.version in done.stdout
