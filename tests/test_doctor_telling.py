"""The doctor looks at channels, hooks and [dns] as they are, and tells nobody anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from myha.config import Config, load
from myha.config.dns import DnsConfig
from myha.core.record import Record
from myha.operations.doctor import run
from myha.operations.doctor.findings import Finding
from myha.operations.doctor.telling import of_dns, why_not_run
from myha.operations.setup.remarks import Remark
from tests.configurations import NOBODY_THERE, write_config, write_secrets

KINDS = ("notify-unusable", "hook-command-missing", "dns-unusable")


def configured(folder: Path, more: str) -> Config:
    write_secrets(folder)
    return load(write_config(folder, more, pair=NOBODY_THERE))


def nobody(_config: Config, _record: Record | None) -> list[Remark]:
    return []


def findings(config: Config) -> list[Finding]:
    found = run.examine(config, nobody, 60)
    assert not [one for one in found.unseen if one.what == "who is told of events"]
    return [one for one in found.findings if one.kind in KINDS]


@contextmanager
def listening() -> Iterator[tuple[int, list[object]]]:
    """A port, and who has connected to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    came.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came


def channel(folder: Path, name: str, url: str) -> str:
    file = folder / f"{name}.url"
    file.write_text(url)
    file.chmod(0o600)
    return f'[notify.{name}]\nurl_file = "{file}"\n'


def test_channels_are_read_and_told_nothing(tmp_path: Path) -> None:
    with listening() as (port, came):
        more = (
            channel(tmp_path, "good", f"json://127.0.0.1:{port}/x")
            + channel(tmp_path, "mistyped", "jsn://user:verysecret@127.0.0.1/x")
            + channel(tmp_path, "incomplete", "pagerduty://")
            + f'[notify.missing]\nurl_file = "{tmp_path}/nothing"\n'
        )
        found = {one.about: one for one in findings(configured(tmp_path, more))}
        assert not came, "nothing was sent"
    assert found.keys() == {"notify.mistyped", "notify.incomplete", "notify.missing"}
    assert found["notify.mistyped"].wrong == "its URL is none that Apprise knows"
    assert found["notify.mistyped"].mend == (
        f"correct {tmp_path}/mistyped.url, then run `myha notify test mistyped`"
    )
    assert "nothing" in found["notify.missing"].wrong
    assert not any("verysecret" in str(one) for one in found.values())


def test_hooks_are_looked_at_and_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    good, unready = tmp_path / "good", tmp_path / "unready"
    for one in (good, unready):
        one.write_text(f"#!/bin/sh\ntouch {ran}\n")
    good.chmod(0o755)
    more = "".join(
        f'[hooks.{name}]\non = ["verdict"]\ncommand = ["{command}", "--now"]\n'
        for name, command in (("good", good), ("unready", unready), ("away", tmp_path / "away"))
    )
    found = {one.about: one for one in findings(configured(tmp_path, more))}
    assert found.keys() == {"hooks.unready", "hooks.away"}
    assert found["hooks.unready"].wrong == f"its command '{unready}' may not be run by this user"
    assert found["hooks.away"].wrong == f"its command '{tmp_path}/away' is not there"
    assert not ran.exists()


def test_why_a_command_cannot_be_run(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/nowhere/python3 -u\n")
    script.chmod(0o755)
    assert why_not_run(str(script)) == f"'{script}' is for /nowhere/python3, which is not there"
    script.write_text("#!/bin/sh -e\n")
    assert why_not_run(str(script)) == ""
    assert why_not_run("sh") == ""
    assert why_not_run("myha-no-such-program") == "'myha-no-such-program' is not in PATH"
    assert why_not_run(str(tmp_path)) == f"'{tmp_path}' is not there", "a folder is no program"


def dns(**keys: object) -> DnsConfig:
    given = {"zone": "example.com", "name": "db.example.com", "timeout_seconds": 0.1, **keys}
    return DnsConfig.model_validate(given)


def test_a_name_without_a_server_follows_nobody() -> None:
    (found,) = of_dns(dns())
    assert (found.about, found.wrong) == (
        "db.example.com",
        "dns.server is empty: no name is changed",
    )
    assert not list(of_dns(DnsConfig.model_validate({})))


def test_a_server_of_names_that_does_not_answer() -> None:
    with listening() as (port, came):
        (found,) = of_dns(dns(server=f"127.0.0.1:{port}"))
        assert came
    assert found.wrong.endswith("does not answer within 0.1 s")
    (found,) = of_dns(dns(server="127.0.0.1:1", timeout_seconds=30.0))  # refused at once
    assert "cannot be reached" in found.wrong


def test_a_key_that_cannot_be_read(tmp_path: Path) -> None:
    key = {"server": "127.0.0.1:1", "key_name": "k", "key_file": tmp_path / "key"}
    (found,) = of_dns(dns(**key))
    assert found.kind == "dns-unusable"
    assert "dns.key_file" in found.wrong


@pytest.mark.parametrize("more", ["", "[hooks.x]\non = ['verdict']\ncommand = ['true']\n"])
def test_where_nothing_is_wrong_nothing_is_said(tmp_path: Path, more: str) -> None:
    assert findings(configured(tmp_path, more)) == []
