"""One address in front of two HAProxy on hosts of their own, moved by a real keepalived."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from myha import config
from myha.balancers.factory import make_balancers
from myha.core.address import Standing
from myha.errors import BalancerError, ConfigError, MyhaError
from myha.ports import Balancer
from myha.sandbox.address import ADDRESS, SharedAddress
from myha.sandbox.cluster import Cluster
from tests.real.conftest import MakeCluster, need
from tests.real.network import need_network
from tests.waiting import until

pytestmark = pytest.mark.real

Started = Callable[..., "Hosts"]


class Hosts:
    """Two balancers' hosts; no database stands behind them, and no supervisor beside them."""

    def __init__(self, made: Cluster, extra: str) -> None:
        self.cluster = made
        text = made.config_path.read_text()
        made.config_path.write_text(text.replace("[address]\n", f"[address]\n{extra}\n"))
        made.start_haproxy()
        address = made.shared_address
        assert address is not None
        self.address: SharedAddress = address
        self.config = config.load(made.config_path)

    def settled(self) -> str:
        """The one host that has the address."""
        until(lambda: len(self.address.holders()) == 1, "one host has the address")
        return self.address.holders()[0]

    def tell(self, name: str, standing: Standing) -> None:
        assert self.cluster.network is not None
        with self.cluster.network.inside("supervisor"):
            self.balancer(name).stand(standing)

    def balancer(self, name: str) -> Balancer:
        return make_balancers(self.config)[name]

    def holds(self, name: str) -> bool:
        """What that balancer reports to a supervisor."""
        assert self.cluster.network is not None
        with self.cluster.network.inside("supervisor"):
            try:
                return self.balancer(name).look().holds
            except BalancerError:
                return False

    def connects(self) -> bool:
        """A client gets through to a HAProxy at the shared address."""
        assert self.cluster.network is not None
        with self.cluster.network.inside("client"):
            try:
                with socket.create_connection(self.config.writer_address, 1.0):
                    return True
            except OSError:
                return False


@pytest.fixture
def started(cluster: MakeCluster, tmp_path: Path) -> Started:
    """`started(extra)`: both hosts, with more lines in [address]."""
    need_network()
    need("keepalived")

    def start(extra: str = "") -> Hosts:
        made = cluster(flavour="mariadb", network=True, address=True, directory=tmp_path / "s")
        return Hosts(made, extra)

    return start


def other(name: str) -> str:
    return {"lb1": "lb2", "lb2": "lb1"}[name]


@pytest.mark.parametrize("transport", ["unicast", "multicast"])
def test_it_moves_when_haproxy_ends_or_hangs_and_does_not_come_back(
    started: Started, transport: str
) -> None:
    hosts = started(f'transport = "{transport}"')
    first = hosts.settled()
    second = other(first)
    assert hosts.config.address.host == ADDRESS
    until(hosts.connects, "a client is served")
    until(lambda: hosts.holds(first), "it reports that it has the address")
    hosts.cluster.balancers[first].kill()
    until(lambda: hosts.address.holders() == [second], "the address moves")
    until(hosts.connects, "a client is served by the other one")
    hosts.cluster.balancers[first].start(30)
    until(lambda: "succeeded" in log(hosts, first).rpartition("FAULT")[2], "it is well again")
    assert hosts.address.holders() == [second]
    hosts.cluster.balancers[second].freeze()
    until(lambda: hosts.address.holders() == [first], "the address moves back")
    until(hosts.connects, "a client is served again")
    hosts.cluster.balancers[second].thaw()


def conf(hosts: Hosts, name: str) -> Path:
    return hosts.cluster.directory / f"keepalived-{name}" / "keepalived.conf"


def log(hosts: Hosts, name: str) -> str:
    return hosts.address.daemons[name].log_file.read_text()


def test_a_host_that_dies_is_replaced_and_starts_again_without_it(started: Started) -> None:
    hosts = started()
    first = hosts.settled()
    second = other(first)
    hosts.address.daemons[first].kill()
    hosts.cluster.balancers[first].kill()
    until(lambda: second in hosts.address.holders(), "the address moves")
    hosts.cluster.start_balancers(30)
    until(lambda: "BACKUP STATE" in log(hosts, first).rpartition("Starting")[2], "it is back")
    assert hosts.settled() == second


def test_a_word_moves_it_and_when_it_runs_out_the_address_stays(started: Started) -> None:
    hosts = started("preference_seconds = 2")
    first = hosts.settled()
    second = other(first)
    for name in (first, second):
        hosts.tell(name, Standing.TOLD)
    hosts.tell(second, Standing.PREFERRED)

    def moved() -> bool:
        hosts.tell(second, Standing.PREFERRED)
        return hosts.address.holders() == [second]

    until(moved, "the address moves to the preferred one")
    priority = "effective priority from 254 to 252"
    until(lambda: priority in log(hosts, second), "the preference runs out")
    assert hosts.settled() == second
    # One that has lost what it was told is worse than one that has not.
    hosts.tell(second, Standing.DOUBTED)
    until(lambda: hosts.address.holders() == [first], "the address leaves the doubted one")


def test_when_neither_was_told_anything_nobody_gives_it_up(started: Started) -> None:
    hosts = started()
    first = hosts.settled()
    until(lambda: "haproxy_told) failed" in log(hosts, first), "it is not told")
    assert hosts.address.holders() == [first]
    assert "FAULT" not in log(hosts, first)


def test_with_a_password_it_moves_too(started: Started, tmp_path: Path) -> None:
    hosts = started(password(tmp_path, "sesame"))
    first = hosts.settled()
    assert "auth_pass sesame" in conf(hosts, first).read_text()
    hosts.cluster.balancers[first].kill()
    until(lambda: hosts.address.holders() == [other(first)], "the address moves")


def password(folder: Path, text: str) -> str:
    file = folder / "password"
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return f'password_file = "{file}"\nadvert_seconds = 1'


def test_hosts_with_different_passwords_both_have_it(started: Started, tmp_path: Path) -> None:
    hosts = started(password(tmp_path, "sesame"))
    hosts.settled()
    changed = hosts.address.daemons["lb2"]
    changed.kill()
    assert changed.await_gone(30)
    file = conf(hosts, "lb2")
    file.write_text(file.read_text().replace("auth_pass sesame", "auth_pass mellon"))
    hosts.address.start_one("lb2")
    until(lambda: len(hosts.address.holders()) == 2, "both have the address")
    # Which is what the supervisor sees of it, and says: address-twice.
    until(lambda: hosts.holds("lb1") and hosts.holds("lb2"), "both report it")


def test_a_password_that_does_not_serve_is_one_clear_line(started: Started, tmp_path: Path) -> None:
    for text in ("much-too-long", "with space", "quo'te"):
        with pytest.raises(ConfigError, match="at most 8 letters"):
            started(password(tmp_path, text))
        break_down(tmp_path)
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(ConfigError, match="others can read"):
        started(f'password_file = "{tmp_path / "password"}"\nadvert_seconds = 1')


def break_down(folder: Path) -> None:
    Cluster.open(folder / "s").down()


def test_a_sandbox_with_an_address_needs_hosts_and_leaves_nothing(
    cluster: MakeCluster, started: Started
) -> None:
    with pytest.raises(ConfigError, match="add --network"):
        cluster(flavour="mariadb", address=True)
    hosts = started()
    hosts.settled()
    processes = [one.argv for one in hosts.address.daemons.values()]
    assert {one.name for one in hosts.cluster.status()} >= {"keepalived lb1", "keepalived lb2"}
    hosts.cluster.down()
    running = [
        folder
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and command(folder) in processes
    ]
    assert running == []


def command(process: Path) -> tuple[str, ...]:
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ()
    return tuple(word.decode(errors="replace") for word in words)


def test_a_keepalived_that_does_not_start_is_one_clear_line(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myha.sandbox.address.START_DEADLINE_SECONDS", 3.0)
    hosts = started()
    daemon = hosts.address.daemons["lb1"]
    daemon.kill()
    assert daemon.await_gone(30)
    conf(hosts, "lb1").unlink()
    with pytest.raises(MyhaError, match="keepalived lb1") as caught:
        hosts.address.start_one("lb1")
    assert "\n" not in str(caught.value)
