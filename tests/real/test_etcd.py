"""The store on a real etcd cluster: the lease, the record under it, and what goes wrong there."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from myha.config.etcd import EtcdConfig
from myha.core.record import Membership, NodeRecord, Record, Sync
from myha.core.record_codec import record_to_dict
from myha.core.sharing import order
from myha.errors import LeaseHeldError, MyhaError, StoreConflictError, StoreError, StoreSilentError
from myha.hosts.local import LocalHost
from myha.sandbox import registry
from myha.sandbox.etcd import Member, members_of, port_names, process_of
from myha.sandbox.etcd_disks import EtcdDisks
from myha.stores.etcd.client import EtcdClient, Login, Put
from myha.stores.etcd.lease import EtcdLease
from myha.stores.etcd.record import EtcdRecordStore
from tests.certificates import Authority
from tests.real.conftest import need
from tests.real.sharing import Host
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("etcd")]

START_SECONDS = 60.0
LEASE_SECONDS = 2
RECORD = Record(1, 1, "a", Sync.SOLO, tuple((n, NodeRecord(Membership.AWAY)) for n in "ab"))


@dataclass
class Etcd:
    """A cluster on loopback."""

    members: tuple[Member, ...]
    processes: tuple[LocalHost, ...]

    def client(
        self, *, login: Login | None = None, tls: ssl.SSLContext | None = None
    ) -> EtcdClient:
        endpoints = tuple(one.endpoint for one in self.members)
        return EtcdClient(endpoints, seconds=2.0, login=login, tls=tls)

    def start(self) -> None:
        with ThreadPoolExecutor(len(self.processes)) as pool:
            for started in [pool.submit(one.start, START_SECONDS) for one in self.processes]:
                started.result()

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        assert self.processes[number].await_gone(START_SECONDS)


@contextmanager
def running(
    count: int, *options: str, scheme: str = "http", tls: ssl.SSLContext | None = None
) -> Iterator[Etcd]:
    program = need("etcd")
    folder = Path(tempfile.mkdtemp(prefix="myha-etcd-"))
    names = port_names(count)
    directory, ports = registry.claim(folder / "claim", len(names), lambda _d, _p: None)
    plain = members_of(folder, dict(zip(names, ports, strict=True)), count)
    members = tuple(replace(one, scheme=scheme) for one in plain)
    for one in members:
        one.directory.mkdir()
    processes = tuple(process_of(one, members, program, *options, tls=tls) for one in members)
    made = Etcd(members, processes)
    try:
        made.start()
        yield made
    finally:
        for process in processes:
            process.kill()
            process.await_gone(START_SECONDS)
        registry.release(directory)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    with running(3) as made:
        yield made


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"/test/{request.node.name}/"


def lease_of(client: EtcdClient, key: str, holder: str) -> EtcdLease:
    return EtcdLease(client, key + "leader", LEASE_SECONDS, holder)


def test_one_has_the_lease_and_the_next_one_gets_it(etcd: Etcd, key: str) -> None:
    first, second = (lease_of(etcd.client(), key, one) for one in ("first", "second"))
    first.acquire()
    assert first.holds()
    with pytest.raises(LeaseHeldError, match="first"):
        second.acquire()
    assert not second.holds()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.await_free, START_SECONDS)
        assert not waiting.done()
        first.release()
        waiting.result(START_SECONDS / 2)  # by the word of etcd, not by its own clock
    second.acquire()
    assert second.holds()
    assert not first.holds()
    second.release()


def test_it_is_renewed_for_as_long_as_its_holder_lives(etcd: Etcd, key: str) -> None:
    one, other = (lease_of(etcd.client(), key, name) for name in ("one", "other"))
    one.acquire()
    ends = time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < ends:
        assert one.holds()
        with pytest.raises(LeaseHeldError):
            other.acquire()
    one.release()


def test_who_stands_still_stops_before_another_one_begins(etcd: Etcd, key: str) -> None:
    """Nobody renews for it, as if its process were stopped."""
    client = etcd.client()
    one, other = (lease_of(client, key, name) for name in ("one", "other"))
    store = EtcdRecordStore(client, key + "record", one)
    one.acquire()
    store.compare_and_set(0, RECORD)
    one._ending.set()

    def taken() -> bool:
        try:
            other.acquire()
        except LeaseHeldError:
            return False
        return True

    until(taken, "the lease to run out")
    assert not one.holds()
    # Its version is right, and it is refused all the same.
    with pytest.raises(StoreConflictError):
        store.compare_and_set(1, replace(RECORD, version=2))
    mine = EtcdRecordStore(client, key + "record", other)
    mine.compare_and_set(1, replace(RECORD, version=2))
    other.release()


def test_a_lease_that_is_gone_is_told(etcd: Etcd, key: str) -> None:
    client = etcd.client()
    one = lease_of(client, key, "one")
    told: list[str] = []
    one.on_lost = lambda: told.append("lost")
    one.acquire()
    client.revoke(one._lease)
    until(lambda: told, "the loss to be told")
    assert not one.holds()
    assert one.lost


def test_compare_and_set(etcd: Etcd, key: str) -> None:
    one, other = (EtcdRecordStore(etcd.client(), key + "record") for _ in range(2))
    assert one.read() is None
    one.compare_and_set(0, RECORD)
    assert other.read() == RECORD
    with pytest.raises(StoreConflictError):
        other.compare_and_set(0, RECORD)
    other.compare_and_set(1, replace(RECORD, version=2, epoch=2))
    with pytest.raises(StoreConflictError):
        one.compare_and_set(1, replace(RECORD, version=2, epoch=3))
    assert one.read() == replace(RECORD, version=2, epoch=2)


def test_while_the_lease_is_held_the_record_is_read_once(etcd: Etcd, key: str) -> None:
    client = etcd.client()
    lease = lease_of(client, key, "one")
    lease.acquire()
    store = EtcdRecordStore(client, key + "record", lease)
    store.compare_and_set(0, RECORD)
    client.transact((), (Put(key + "record", b"somebody's"),))
    assert store.read() == RECORD
    lease.release()
    with pytest.raises(StoreError, match="is no record that this version can read"):
        store.read()


def test_a_member_that_is_lost_is_not_missed_and_a_majority_is(key: str) -> None:
    with running(3) as etcd:
        client = etcd.client()
        lease = lease_of(client, key, "one")
        troubles: list[str] = []
        lease.on_trouble = troubles.append
        lease.acquire()
        store = EtcdRecordStore(client, key + "record", lease)
        store.compare_and_set(0, RECORD)
        etcd.kill(0)
        until(lambda: _renewed_since(lease), "the lease to be renewed by another member")
        assert client.get(key + "record") is not None
        etcd.kill(1)
        with pytest.raises(StoreSilentError, match="no member of etcd answers"):
            client.get(key + "record")
        until(lambda: troubles and not lease.holds(), "the lease not to be certain any more")
        assert not lease.lost
        assert len("".join(troubles).splitlines()) == 1
        etcd.start()
        until(lambda: lease.holds() or lease.lost, "an answer about the lease")
        assert EtcdRecordStore(client, key + "record").read() == RECORD
        lease.release()


def _renewed_since(lease: EtcdLease) -> bool:
    before = lease._valid_until
    until(lambda: lease._valid_until > before, "a renewal")
    return lease.holds()


def test_a_full_store_says_so(key: str) -> None:
    with running(1, "--quota-backend-bytes", "1000000") as etcd:
        client = etcd.client()

        def fill() -> None:
            for n in range(64):
                client.transact((), (Put(f"/filler/{n}", b"x" * 100_000),))

        with pytest.raises(StoreError, match=r"http://127.0.0.1:\d+: .*database space exceeded"):
            fill()
        assert client.get(key) is None  # it can still be read


def test_its_own_authentication(key: str) -> None:
    with running(1) as etcd:
        plain = etcd.client()
        for path, body in (
            ("auth/user/add", {"name": "root", "password": "word"}),
            ("auth/role/add", {"name": "root"}),
            ("auth/user/grant", {"user": "root", "role": "root"}),
            ("auth/enable", {}),
        ):
            plain._call(path, body)
        with pytest.raises(StoreError):
            plain.get(key)
        with pytest.raises(StoreError, match="authentication failed"):
            etcd.client(login=Login("root", "wrong")).get(key)
        client = etcd.client(login=Login("root", "word"))
        lease = lease_of(client, key, "one")
        lease.acquire()
        EtcdRecordStore(client, key + "record", lease).compare_and_set(0, RECORD)
        client._token = "stale"  # what a restart of etcd makes of one
        assert client.get(key + "record") is not None
        lease.release()


def test_certificates_on_both_sides(tmp_path: Path, key: str) -> None:
    """As `[etcd]` in myha.toml says them."""
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    server, mine, strange = ours.sign("server"), ours.sign("mine"), others.sign("strange")

    def told(ca: Path, own: tuple[Path, Path] | None) -> ssl.SSLContext | None:
        cert_file, key_file = (None, None) if own is None else own
        files = {"ca_file": ca, "cert_file": cert_file, "key_file": key_file}
        return EtcdConfig.model_validate({"endpoints": ["https://127.0.0.1:1"], **files}).tls()

    options = (
        *("--cert-file", str(server[0]), "--key-file", str(server[1])),
        *("--client-cert-auth", "--trusted-ca-file", str(ours.file)),
    )
    with running(1, *options, scheme="https", tls=told(ours.file, mine)) as etcd:
        client = etcd.client(tls=told(ours.file, mine))
        lease = lease_of(client, key, "one")
        lease.acquire()
        EtcdRecordStore(client, key + "record", lease).compare_and_set(0, RECORD)
        lease.release()
        # What a member that refuses a certificate says of that depends on the version of TLS.
        for ca, own in ((others.file, mine), (ours.file, None), (ours.file, strange)):
            with pytest.raises(StoreSilentError, match="TLS: .*see etcd.ca_file") as refused:
                etcd.client(tls=told(ca, own)).get(key)
            assert len(str(refused.value).splitlines()) == 1


def test_a_member_that_has_lost_its_disk_joins_anew(etcd: Etcd, key: str) -> None:
    """As it is, etcd does not let it in: it could have forgotten what it had agreed to."""
    etcd.client().transact((), (Put(key, b"kept"),))
    lost, disks = etcd.members[1], EtcdDisks(etcd.members, need("etcd"))
    etcd.kill(1)
    disks.lose(lost.name)
    assert disks.lost() == {lost.name}
    with pytest.raises(MyhaError):
        etcd.processes[1].start(START_SECONDS)
    assert "has already been bootstrapped" in etcd.processes[1].log_file.read_text()
    shutil.rmtree(lost.directory / "data", ignore_errors=True)
    disks.replace(lost.name, START_SECONDS)
    etcd.kill(0)  # the other two are the majority now
    entry = etcd.client().get(key)
    assert entry is not None
    assert entry.value == b"kept"
    etcd.kill(1)
    etcd.start()  # as ones that have always been there


def test_supervisors_share_pairs_evenly(etcd: Etcd, tmp_path: Path) -> None:
    """Who comes is given its part, at rest and one holder at a time; who goes leaves it to all."""
    prefix, client = "/sharing", etcd.client()
    names, acting = [f"pair-{number}" for number in range(12)], dict[str, Path]()
    for name in names:
        record = replace(RECORD, pair=name)
        value = json.dumps(record_to_dict(record)).encode()
        client.transact((), (Put(f"{prefix}/{name}/record", value),))
    endpoints = [one.endpoint for one in etcd.members]
    hosts = [Host(tmp_path / one, acting, RECORD) for one in ("m1", "m2")]
    try:
        hosts[0].start(names, endpoints, prefix)
        until(lambda: set(acting) == set(names), "the first one acts on all")
        hosts[1].start(names, endpoints, prefix)
        until(lambda: shared(acting, tmp_path, names), "each has its part")
        assert {*acting.values()} == {tmp_path / "m1", tmp_path / "m2"}
        hosts[1].stop()
        until(lambda: [*map(acting.get, names)] == [tmp_path / "m1"] * 12, "the first has all")
        assert not hosts[0].twice + hosts[1].twice
    finally:
        for host in hosts:
            host.stop()


def shared(acting: dict[str, Path], folder: Path, names: list[str]) -> bool:
    """Whether each pair is where its hash says. Each of these pairs has a folder of its own."""

    here = socket.gethostname()

    def right(name: str) -> Path:
        folders = [folder / one / name for one in ("m1", "m2")]
        there = {f"{here}:{one}": {name} for one in folders}
        return Path(order(name, there)[0].partition(":")[2]).parent

    return all(acting.get(name) == right(name) for name in names)
