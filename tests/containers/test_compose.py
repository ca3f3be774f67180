"""The topology of `compose/`: containers killed, frozen, restarted and cut off, under the drill.

The drill and its judge are the ones of `myha drill`; only what is done to a container is new here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from myha.core.record import Sync
from myha.drill.scenarios import SCENARIOS
from myha.drill.stage import REST_SECONDS, TAKEOVER_PLANS, Fault, Stage
from myha.drill.target import Target
from myha.waiting import wait_until
from tests.containers.drills import drill, fault
from tests.containers.topology import Topology, running

BACK_DEADLINE_SECONDS = 60.0
AWAY_SECONDS = 4.0  # well over timing.deadtime_seconds
ADDRESSES = {"db1": "172.31.253.11", "db2": "172.31.253.12", "supervisor": "172.31.253.13"}


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def topology(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp(request.param) / "compose"
    with running(folder, request.param) as made:
        yield made


@pytest.fixture(scope="module")
def target(topology: Topology) -> Target:
    return topology.target()


@pytest.fixture(autouse=True)
def whole_network(topology: Topology) -> Iterator[None]:
    yield
    for service, address in ADDRESSES.items():
        topology.reconnect(service, address)


@pytest.mark.parametrize("name", ["crash", "hang", "switchover", "stop", "standby-crash", "oom"])
def test_the_drill_of_containers(target: Target, name: str) -> None:
    report = drill(target, SCENARIOS[name])
    assert report.rounds[0].acknowledged > 0
    assert report.rounds[0].acknowledged_lost == 0


def test_a_writer_that_the_restart_policy_brings_back_is_inspected_first(
    target: Target, topology: Topology
) -> None:
    """Its process dies without the engine's doing, so the engine starts it again at once."""

    def strike(stage: Stage) -> Fault:
        container = topology.container(stage.writer)
        at = time.monotonic()
        os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)
        return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)

    def mend(stage: Stage, done: Fault) -> None:
        stage.await_plan(done.plans)
        stage.slow_down()
        assert wait_until(target.hosts[done.node].running, BACK_DEADLINE_SECONDS, 0.2)

    drill(target, fault("restart-policy", strike, mend))
    restarts = (topology.container(n) for n in ("db1", "db2"))
    assert any(one.attrs["RestartCount"] for one in restarts)


def test_a_writer_that_is_cut_off_is_replaced(target: Target, topology: Topology) -> None:
    def strike(stage: Stage) -> Fault:
        at = time.monotonic()
        topology.cut_off(stage.writer)
        return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)

    def mend(stage: Stage, done: Fault) -> None:
        stage.await_plan(done.plans)
        time.sleep(REST_SECONDS)
        stage.slow_down()
        topology.reconnect(done.node, ADDRESSES[done.node])

    report = drill(target, fault("partition-writer", strike, mend))
    assert "routed" in report.rounds[0].phases_ms


def test_a_supervisor_that_is_cut_off_replaces_no_writer(
    target: Target, topology: Topology
) -> None:
    before = target.status()

    def strike(stage: Stage) -> Fault:
        at = time.monotonic()
        topology.cut_off("supervisor")
        time.sleep(AWAY_SECONDS)
        return Fault(at, "supervisor")

    def mend(_stage: Stage, _done: Fault) -> None:
        topology.reconnect("supervisor", ADDRESSES["supervisor"])

    drill(target, fault("partition-supervisor", strike, mend))
    assert (target.status().epoch, target.status().sync) == (before.epoch, before.sync)


def test_a_supervisor_that_is_restarted_goes_on(target: Target, topology: Topology) -> None:
    before = target.status()

    def strike(stage: Stage) -> Fault:
        at = time.monotonic()
        topology.container("supervisor").kill()
        time.sleep(AWAY_SECONDS)
        return Fault(at, "supervisor")

    def mend(_stage: Stage, _done: Fault) -> None:
        topology.container("supervisor").start()

    drill(target, fault("supervisor-restart", strike, mend))
    assert target.status().epoch == before.epoch


def test_a_restarted_haproxy_is_told_again_whom_to_route_to(
    target: Target, topology: Topology
) -> None:
    def strike(stage: Stage) -> Fault:
        at = time.monotonic()
        topology.container("haproxy").restart(timeout=2)
        return Fault(at, "haproxy")

    def mend(_stage: Stage, _done: Fault) -> None:
        """The engine has started it."""

    drill(target, fault("haproxy-restart", strike, mend))


def test_up_again_changes_nothing(target: Target, topology: Topology) -> None:
    """The set-up that is done is not done again, and no container is made anew."""
    before = target.status()
    topology.containers.compose("up", "--detach")
    assert "the pair is set up already" in topology.log("setup")
    assert wait_until(lambda: _armed(target), BACK_DEADLINE_SECONDS, 0.2)
    after = target.status()
    assert (after.epoch, after.pid) == (before.epoch, before.pid)


def _armed(target: Target) -> bool:
    status = target.status()
    return status.healthy and status.sync is Sync.ARMED


def test_every_health_check_says_healthy(topology: Topology) -> None:
    for service in ("db1", "db2", "haproxy", "supervisor"):
        assert topology.becomes_healthy(service), service


def test_the_supervisors_container_has_no_rights(topology: Topology) -> None:
    """No root, no capability, nothing to write to but its state, no administrator's password."""
    _, status = topology.run("supervisor", "cat", "/proc/1/status")
    said = dict(re.findall(r"^(Uid|CapEff|CapBnd|NoNewPrivs):\s+(\w+)", status, re.MULTILINE))
    assert said == {"Uid": "10001", "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
    assert topology.run("supervisor", "touch", "/opt/myha/x")[0] != 0
    _, secrets = topology.run("supervisor", "ls", "/run/secrets")
    assert secrets.split() == ["replication", "supervisor"]


def test_no_password_is_in_a_log_or_in_what_docker_shows(topology: Topology) -> None:
    words = [one.read_text().strip() for one in (topology.folder / "secrets").iterdir()]
    assert len(words) == 4
    for service in ("db1", "db2", "setup", "haproxy", "supervisor", "client"):
        container = topology.container(service)
        shown = json.dumps(container.attrs) + topology.log(service)
        assert not [word for word in words if word in shown], service


def test_the_client_has_seen_the_gaps(topology: Topology) -> None:
    assert re.search(r"no write for \d+ ms, now on server [12]", topology.log("client"))
    assert re.search(r"\d+ rows written; longest gaps: \d+ ms", topology.log("client"))
