"""A name that follows the writer, on a real DNS server (BIND) that takes signed updates."""

from __future__ import annotations

import base64
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype
import pytest

from myha.config import load
from myha.config.dns import DnsConfig
from myha.core.record import Record
from myha.core.view import View
from myha.errors import ConfigError
from myha.naming.dns import DnsError, DnsName, LaterEpochError
from myha.supervisor.client import Client
from myha.supervisor.on_writer_change import OnWriterChange
from tests.core.views import record, seen, view
from tests.real.conftest import MakeCluster, need
from tests.real.test_haproxy import assert_one_line, free_ports
from tests.waiting import until

pytestmark = pytest.mark.real

SECRET = base64.b64encode(b"a key of thirty-two bytes length").decode()
OTHER = base64.b64encode(b"another key, which nobody knows!").decode()
NAME = "db.example.test"
HERE, THERE = "192.0.2.1", "192.0.2.2"

ZONE = """$TTL 60
@ SOA ns.example.test. admin.example.test. 1 60 60 3600 60
@ NS ns
ns A 127.0.0.1
"""


class Bind:
    """A named that serves one zone and takes updates of it."""

    def __init__(self, folder: Path, *, signed: bool) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        (folder / "zone").write_text(ZONE)
        allowed = 'key "myha"' if signed else "127.0.0.1"
        (folder / "named.conf").write_text(
            f'key "myha" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
            f'options {{ directory "{folder}"; pid-file none; recursion no;'
            f' session-keyfile "{folder}/session.key"; listen-on-v6 {{ none; }};'
            f" listen-on port {self.port} {{ 127.0.0.1; }}; }};\n"
            "controls { };\n"
            f'zone "example.test" {{ type primary; file "{folder}/zone";'
            f" allow-update {{ {allowed}; }}; }};\n"
        )
        self.start()

    def start(self) -> None:
        argv = [*need("bind9").argv, "-g", "-n", "1", "-c", str(self.folder / "named.conf")]
        with (self.folder / "named.log").open("ab") as output:
            self.process = subprocess.Popen(argv, stdout=output, stderr=output)
        until(self.answers, "named answers")

    def answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "named.log").read_text()[-2000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def records(self, name: str = NAME, kind: str = "A") -> list[str]:
        question = dns.message.make_query(name, kind)
        answer = dns.query.udp(question, "127.0.0.1", port=self.port, timeout=30)
        wanted = dns.rdatatype.from_text(kind)
        return [str(one) for rrset in answer.answer if rrset.rdtype == wanted for one in rrset]


@pytest.fixture
def bind(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bind]:
    made = Bind(tmp_path, signed=getattr(request, "param", True))
    yield made
    made.stop()


def named(bind: Bind, secret: str | None = SECRET, **changes: object) -> DnsName:
    """The name, by a key of this secret."""
    words: dict[str, object] = {
        "server": f"127.0.0.1:{bind.port}",
        "zone": "example.test",
        "name": NAME,
        "timeout_seconds": 30.0,
    }
    if secret is not None:
        file = bind.folder / f"key-{len(list(bind.folder.iterdir()))}"
        file.write_text(f"{secret}\n")
        file.chmod(0o600)
        words |= {"key_name": "myha", "key_file": str(file)}
    return DnsName(DnsConfig.model_validate(words | changes))


@pytest.mark.parametrize("bind", [True, False], indirect=True, ids=["signed", "unsigned"])
def test_the_name_follows_the_writer(bind: Bind, request: pytest.FixtureRequest) -> None:
    signed = "unsigned" not in request.node.name
    one = named(bind, SECRET if signed else None)
    one.point(HERE, 1)
    assert bind.records() == [HERE]
    one.point(THERE, 2)
    assert bind.records() == [THERE]
    one.point(THERE, 2)  # a supervisor that begins says it again
    assert bind.records() == [THERE]
    assert bind.records(f"_myha.{NAME}", "TXT") == ['"epoch=2"']


def test_a_name_may_have_addresses_of_both_kinds(bind: Bind) -> None:
    one = named(bind)
    one.point(HERE, 1)
    one.point("2001:db8::1", 2)
    assert bind.records(kind="AAAA") == ["2001:db8::1"]
    assert bind.records() == [HERE]


def test_an_older_epoch_does_not_take_it_back(bind: Bind) -> None:
    named(bind).point(THERE, 7)
    with pytest.raises(LaterEpochError, match="epoch 7, and this is 6") as caught:
        named(bind).point(HERE, 6)
    assert_one_line(caught.value, f"_myha.{NAME}")
    assert bind.records() == [THERE]


def test_an_update_that_was_under_way_when_another_one_came_is_refused(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a supervisor that stood still after it had read the epoch."""
    late, soon = named(bind), named(bind)
    late.point(HERE, 1)
    read = late._read_mark

    def read_and_stand_still() -> object:
        found = read()
        soon.point(THERE, 3)
        return found

    monkeypatch.setattr(late, "_read_mark", read_and_stand_still)
    with pytest.raises(DnsError, match="somebody else has pointed it") as caught:
        late.point(HERE, 2)
    assert_one_line(caught.value, NAME)
    assert bind.records() == [THERE]


def test_what_a_server_refuses_is_one_clear_line(bind: Bind) -> None:
    for secret, why in ((None, "refuses updates"), (OTHER, "key")):
        with pytest.raises(DnsError, match=why) as caught:
            named(bind, secret).point(HERE, 1)
        assert_one_line(caught.value, NAME)
        assert SECRET not in str(caught.value)
    with pytest.raises(DnsError, match="does not serve the zone|refuses") as caught:
        named(bind, zone="example.org", name="db.example.org").point(HERE, 1)
    assert_one_line(caught.value, "db.example.org")
    assert bind.records() == []


def test_a_server_that_hangs_or_is_gone_is_one_clear_line_in_time(bind: Bind) -> None:
    bind.process.send_signal(signal.SIGSTOP)
    with pytest.raises(DnsError, match=r"does not answer within 0.3 s") as caught:
        named(bind, timeout_seconds=0.3).point(HERE, 1)
    assert_one_line(caught.value, NAME)
    bind.stop()
    with pytest.raises(DnsError, match="cannot be reached") as caught:
        named(bind).point(HERE, 1)
    assert_one_line(caught.value, NAME)


def test_something_that_is_no_dns_server_is_one_clear_line(bind: Bind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(
            target=lambda: server.accept()[0].sendall(b"\0\x04abcd"), daemon=True
        ).start()
        with pytest.raises(DnsError) as caught:
            named(bind, server=f"127.0.0.1:{server.getsockname()[1]}").point(HERE, 1)
        assert_one_line(caught.value, NAME)


# -- beside the supervisor's loop --------------------------------------------------


class Notes:
    """A journal that is read while it is written."""

    def __init__(self) -> None:
        self.lines: queue.Queue[tuple[str, str]] = queue.Queue()

    def note(self, kind: str, text: str, fields: dict[str, str]) -> None:
        assert fields.keys() == {"node", "epoch", "address"}
        self.lines.put((kind, text))

    def next(self) -> tuple[str, str]:
        return self.lines.get(timeout=60)


def pair(writer: str, epoch: int, *, is_open: bool = True) -> View:
    on_record: Record = replace(record(writer=writer), epoch=epoch)
    return view(
        db1=seen("db1", open=is_open and writer == "db1"),
        db2=seen("db2", open=is_open and writer == "db2"),
        on_record=on_record,
    )


@pytest.fixture
def notes() -> Notes:
    return Notes()


def follow(bind: Bind, notes: Notes, **changes: object) -> OnWriterChange:
    addresses = {"db1": HERE, "db2": THERE}
    return OnWriterChange(named(bind, **changes).point, addresses, notes, retry_seconds=0.1)  # type: ignore[arg-type]


def test_a_change_of_writer_is_told_once_it_is_open(bind: Bind, notes: Notes) -> None:
    one = follow(bind, notes)
    one.start()
    try:
        one.pair_seen(pair("db1", 1))
        assert notes.next() == ("dns", f"the name points to {HERE}, where db1 is")
        one.pair_seen(pair("db2", 2, is_open=False))
        one.pair_seen(pair("db2", 2))
        assert notes.next() == ("dns", f"the name points to {THERE}, where db2 is")
        assert bind.records() == [THERE]
        assert one.failure == ""
    finally:
        one.stop()
        one.join(60)
    assert not one.is_alive()


def test_who_tells_it_waits_for_nothing(notes: Notes) -> None:
    begun, ends = threading.Event(), threading.Event()
    pointed: list[str] = []

    def point(address: str, _epoch: int) -> None:
        begun.set()
        assert ends.wait(60)
        pointed.append(address)

    one = OnWriterChange(point, {"db1": HERE, "db2": THERE}, notes)
    one.start()
    try:
        one.pair_seen(pair("db1", 1))
        assert begun.wait(60)
        for epoch in range(2, 50):  # all of it while the first one is under way
            one.pair_seen(pair("db1" if epoch % 2 else "db2", epoch))
        assert pointed == []
        ends.set()
        notes.next()
        notes.next()
        assert pointed == [HERE, HERE]  # the first one and the last one
    finally:
        ends.set()
        one.stop()
        one.join(60)


def test_a_server_that_is_away_is_tried_again(bind: Bind, notes: Notes) -> None:
    one = follow(bind, notes, timeout_seconds=0.3)
    bind.process.send_signal(signal.SIGSTOP)
    one.start()
    try:
        one.pair_seen(pair("db1", 1))
        one.pair_seen(pair("db2", 2))
        kind, text = notes.next()
        assert kind == "dns-failed"
        assert one.failure == text
        bind.process.send_signal(signal.SIGCONT)
        while (line := notes.next())[0] != "dns":
            pass
        assert line[1] == f"the name points to {THERE}, where db2 is"
        until(lambda: one.failure == "", "the failure is over")
    finally:
        one.stop()
        one.join(60)


def test_a_key_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("no base64!\n")
    file.chmod(0o600)
    (tmp_path / "myha.toml").write_text(
        "[nodes.a]\nhost = 'a'\ndns_address = '192.0.2.1'\n"
        "[nodes.b]\nhost = 'b'\ndns_address = '192.0.2.2'\n"
        "[balancers.lb]\nsocket = '/x'\nwriter_listen = 'x:1'\nreader_listen = 'x:2'\n"
        "[dns]\nserver = '127.0.0.1:53'\nzone = 'example'\nname = 'db.example'\n"
        "key_name = 'k'\nkey_file = 'key'\n"
    )
    config = load(tmp_path / "myha.toml")
    with pytest.raises(ConfigError, match="does not hold a key in base64") as caught:
        DnsName(config.dns)
    assert "no base64!" not in str(caught.value)


def test_a_failover_does_not_wait_for_a_dns_server_that_hangs(
    bind: Bind, cluster: MakeCluster, flavour: str
) -> None:
    made = cluster(flavour=flavour)
    text = made.config_path.read_text()
    for node, address in (("a", HERE), ("b", THERE)):
        text = text.replace(f"[nodes.{node}]\n", f'[nodes.{node}]\ndns_address = "{address}"\n')
    key = bind.folder / "key"
    key.write_text(f"{SECRET}\n")
    key.chmod(0o600)
    made.config_path.write_text(
        f'{text}\n[dns]\nserver = "127.0.0.1:{bind.port}"\nzone = "example.test"\n'
        f'name = "{NAME}"\nkey_name = "myha"\nkey_file = "{key}"\ntimeout_seconds = 60\n'
    )
    made.up(output=lambda _line: None)
    client = Client(load(made.config_path))
    until(lambda: bind.records() == [HERE], "the name points to the writer")
    until(lambda: client.status().healthy, "the pair is healthy")
    bind.process.send_signal(signal.SIGSTOP)
    made.servers["a"].kill()

    def taken_over() -> bool:
        seen = client.status()
        return seen.writer == "b" and seen.nodes["b"].wanted["writer"] is True and not seen.running

    until(taken_over, "the other node takes over")
    bind.process.send_signal(signal.SIGCONT)
    until(lambda: bind.records() == [THERE], "the name follows")
    assert client.status().dns_failure == ""
