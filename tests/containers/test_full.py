"""The full topology of `compose/`: one of each kind of its containers is killed while clients write
through the address that the balancers share."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from myha.core.record import Sync
from myha.drill.acting import ActingClient
from myha.drill.leaders import EXPIRY_SECONDS
from myha.drill.probe import AddressProbe
from myha.drill.scenarios import SCENARIOS
from myha.drill.stage import Fault, Stage
from myha.drill.target import Target
from myha.waiting import wait_until
from tests.containers.drills import drill, fault
from tests.containers.topology import Topology, running

ADDRESS = "172.31.253.100"
DEADLINE_SECONDS = 60.0
ETCD = ("etcd1", "etcd2", "etcd3")
HOSTS = {"lb1": ("haproxy", "keepalived"), "lb2": ("haproxy2", "keepalived2")}


@pytest.fixture(scope="module", params=["mariadb"])
def topology(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp(request.param) / "compose"
    with running(folder, request.param, full=True) as made:
        yield made


@pytest.fixture(scope="module")
def target(topology: Topology) -> Target:
    return topology.target()


def acting(target: Target, topology: Topology) -> str:
    """The service of the supervisor that acts."""
    assert isinstance(target.client, ActingClient)
    return topology.containers.supervisors[target.client.acting()]


def holders(topology: Topology) -> list[str]:
    """The balancers' hosts that have the shared address, by what the kernel there says."""
    return [
        host
        for host, (_, keepalived) in HOSTS.items()
        if f" {ADDRESS}/" in topology.run(keepalived, "ip", "-4", "-o", "addr")[1]
    ]


def test_all_of_it_becomes_healthy(target: Target, topology: Topology) -> None:
    daemons = [one for pair in HOSTS.values() for one in pair]
    for service in ("db1", "db2", *ETCD, *daemons, *topology.containers.supervisors):
        assert topology.becomes_healthy(service), service
    assert wait_until(lambda: len(holders(topology)) == 1, DEADLINE_SECONDS, 0.2)
    assert wait_until(lambda: target.status().sync is Sync.ARMED, DEADLINE_SECONDS, 0.2)
    assert wait_until(lambda: "rows written" in topology.log("client"), DEADLINE_SECONDS, 0.5)


@pytest.mark.parametrize("name", ["crash", "leader-crash", "leader-freeze"])
def test_the_drill_of_containers(target: Target, topology: Topology, name: str) -> None:
    assert drill(target, SCENARIOS[name]).rounds[0].acknowledged > 0
    for supervisor in topology.containers.supervisors:
        assert topology.becomes_healthy(supervisor), supervisor


def test_a_member_of_etcd_that_is_killed_costs_nothing(target: Target, topology: Topology) -> None:
    before, supervisor = target.status(), acting(target, topology)
    member = topology.container(ETCD[0])

    def strike(_stage: Stage) -> Fault:
        at = time.monotonic()
        member.kill()
        time.sleep(2 * target.config.etcd.lease_seconds + EXPIRY_SECONDS)
        return Fault(at, "etcd")

    def mend(_stage: Stage, _done: Fault) -> None:
        member.start()

    drill(target, fault("etcd-crash", strike, mend))
    assert target.status().epoch == before.epoch
    assert acting(target, topology) == supervisor
    assert topology.becomes_healthy(ETCD[0])


@pytest.mark.parametrize("what", ["haproxy", "host"])
def test_the_address_leaves_a_balancer_that_is_killed(
    target: Target, topology: Topology, what: str
) -> None:
    """Its HAProxy alone; or the container that has its network, which is gone with it."""
    assert wait_until(lambda: len(holders(topology)) == 1, DEADLINE_SECONDS, 0.2)
    (held,) = holders(topology)
    other = next(one for one in HOSTS if one != held)
    killed = topology.container(HOSTS[held][0] if what == "haproxy" else held)

    def strike(stage: Stage) -> Fault:
        with AddressProbe(target.config.writer_address) as probe:
            at = time.monotonic()
            killed.kill()
            assert wait_until(lambda: other in holders(topology), DEADLINE_SECONDS, 0.02)
            now = time.monotonic()
            assert wait_until(lambda: probe.served_after(now) is not None, DEADLINE_SECONDS, 0.02)
            stage.measured("connected", (probe.served_after(at) or now) - at)
        return Fault(at, held)

    def mend(_stage: Stage, _done: Fault) -> None:
        killed.start()
        for daemon in HOSTS[held] if what == "host" else ():
            topology.container(daemon).restart(timeout=2)

    drill(target, fault(f"balancer-{what}", strike, mend))
    for daemon in HOSTS[held]:
        assert topology.becomes_healthy(daemon), daemon
    assert holders(topology) == [other]


def test_only_keepalived_may_change_its_network(topology: Topology) -> None:
    for service in ("haproxy", "keepalived", "lb1", "supervisor2", *ETCD):
        added = topology.container(service).attrs["HostConfig"]["CapAdd"]
        assert bool(added) == (service == "keepalived"), service
