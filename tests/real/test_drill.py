"""Every scenario of the drill on real servers, and what the command refuses or cleans up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from myha.api.answers import Drill
from myha.api.drills import DRILLS, drills_of
from myha.config import load
from myha.core.events import Selector, Wanted
from myha.drill import crossing, fitness, following, runner, runs, target
from myha.drill.administrator import CHANGES
from myha.drill.noted import noted
from myha.drill.options import Options
from myha.drill.report import Report, RoundResult
from myha.drill.scenarios import SCENARIOS
from myha.drill.target import Target
from myha.errors import MyhaError, RefusedError
from myha.hosts.remote import RemoteHost
from myha.sandbox import disks, registry
from myha.sandbox.cluster import Cluster
from tests.configurations import write_config, write_secrets
from tests.real.conftest import need
from tests.real.sshd import Sshd, remote_config
from tests.waiting import until

pytestmark = pytest.mark.real

# One worker for all of a flavour: they share its sandbox.
FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"drill-{flavour}"))
    for flavour in ("mysql", "mariadb")
]


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A sandbox for all scenarios of one flavour; each leaves it whole, or its test has failed."""
    flavour: str = request.param
    for name in (flavour, "haproxy"):
        need(name)
    with ExitStack() as stack:
        yield stack.enter_context(target.sandbox(flavour, "single-writer", None, print, api=False))


def play(pair: Target, scenario: str, **options: int) -> Report:
    # Clients that rest leave the processor to what is tested; there are commits all the time.
    chosen = Options(clients=4, seed=options.get("seed", 1), pause_ms=50.0)
    return runner.run(pair, SCENARIOS[scenario], chosen, print)


LOSING_A_NODE = [
    "crash",
    "waiting-commits",
    "stop",
    "standby-crash",
    "standby-hang",
    "switchover",
]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_replicas_follow_and_are_judged(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # How soon they do is the drill's affair on a machine that is not shared with other tests.
    monkeypatch.setattr(following, "FOLLOW_LIMIT_MS", 30_000.0)
    for name in (flavour, "haproxy"):
        need(name)
    with target.sandbox(flavour, "single-writer", None, print, replicas=1, api=False) as made:
        for scenario in ("switchover", "crash"):
            report = play(made, scenario)
            (one,) = report.rounds
            assert report.good, "\n".join((*one.problems, *one.journal))
            replica = one.replicas["r1"]
            assert replica.healed or replica.follows_ms is not None
            if scenario == "switchover":
                assert not replica.healed


@pytest.mark.parametrize("scenario", LOSING_A_NODE)
def test_nothing_is_lost_and_the_pair_is_whole_again(pair: Target, scenario: str) -> None:
    report = play(pair, scenario)
    (one,) = report.rounds
    assert one.problems == (), "\n".join(one.journal)
    assert report.good
    assert one.acknowledged > 0
    summary = report.data()["summary"]
    assert summary["acknowledged_lost"] == summary["duplicated"] == summary["destroyed"] == 0
    assert one.quarantined == one.errant  # commits in flight at most
    if scenario == "switchover":
        assert one.returned == ""
    else:
        assert one.returned in {"resume", "rewind"}
    assert one.phases_ms["detected"] <= one.phases_ms["recorded"]
    told = last_drill(pair)
    assert (told.scenario, told.outcome, told.lost) == (scenario, "passed", 0)
    assert told.outage_ms_median == one.outage_ms
    assert told.phases_ms == one.phases_ms


def last_drill(pair: Target) -> Drill:
    """As the pair's journal has it."""
    wanted = Wanted(tuple(map(Selector, DRILLS)))
    return drills_of(pair.client.events(2, wanted=wanted))[-1]


def test_whoever_is_woken_by_a_drill_finds_it_in_the_journal(pair: Target) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        noted(pair, SCENARIOS["crash"], Options(rounds=3, clients=4), print),
    ):
        told = last_drill(pair)
        assert (told.outcome, told.clients, told.ended_wall) == ("begun", 4, None)
        raise KeyboardInterrupt
    told = last_drill(pair)
    assert (told.outcome, told.reason) == ("cut short", "interrupted")
    assert told.ended_wall is not None
    assert told.ended_wall >= told.began_wall


def test_a_replica_outside_the_pair_stands_in_for_nobody(pair: Target) -> None:
    one = played_well(pair, "stray-replica")
    assert one.returned == "resume"
    assert not pair.cluster or not pair.cluster.stray.directory.exists()


@pytest.mark.parametrize("scenario", ["crash", "hang"])
def test_servers_of_other_machines_are_hit_through_their_shells(
    pair: Target, sshd: Sshd, scenario: str
) -> None:
    cluster = Cluster.open(pair.config.path.parent)
    remote = target.of_config(remote_config(cluster, "remote", dict.fromkeys("ab", sshd.words())))
    one = played_well(remote, scenario)
    assert one.writer_lost
    assert one.returned in {"resume", "rewind"}


def test_a_shell_to_another_machine_than_the_servers_hits_nothing(pair: Target, sshd: Sshd) -> None:
    cluster = Cluster.open(pair.config.path.parent)
    remote = target.of_config(remote_config(cluster, "remote", dict.fromkeys("ab", sshd.words())))
    host = remote.hosts["a"]
    assert isinstance(host, RemoteHost)
    host.aim(str(cluster.nodes["a"].pid_file), "elsewhere")
    pid = cluster.servers["a"].pid()
    for hit in (host.kill, host.freeze):
        with pytest.raises(MyhaError, match=r"calls its own elsewhere: correct nodes\.a\.shell"):
            hit()
    assert cluster.servers["a"].pid() == pid
    assert not cluster.servers["a"].frozen()


def played_well(pair: Target, scenario: str, **options: int) -> RoundResult:
    report = play(pair, scenario, **options)
    (one,) = report.rounds
    assert one.problems == (), "\n".join(one.journal)
    assert report.good
    summary = report.data()["summary"]
    assert summary["acknowledged_lost"] == summary["duplicated"] == summary["destroyed"] == 0
    for name in ("errant", "quarantined", "merged", "conflicts"):
        assert summary[name] == report.data()["rounds"][0][name]
    return one


def test_errant_rows_of_every_kind_are_taken_out_and_kept(pair: Target) -> None:
    one = played_well(pair, "diverge")
    assert one.returned == "rewind"
    # Inserts and deletions of a row in each of two tables, updates of one.
    assert one.errant >= 5 * CHANGES
    assert (one.quarantined, one.merged, one.left) == (one.errant, 0, 0)


def test_ddl_among_the_errant_needs_a_reseed_and_is_kept_too(pair: Target) -> None:
    one = played_well(pair, "diverge-ddl")
    assert one.returned == "reseed"
    assert one.errant >= 5 * CHANGES + 1
    assert (one.quarantined, one.merged, one.left) == (one.errant, 0, 0)


def test_a_lost_data_directory_comes_back_by_reseed(pair: Target) -> None:
    one = played_well(pair, "reseed")
    assert one.returned == "reseed"
    assert one.writer_lost
    assert one.errant == 0


def test_an_applier_that_fails_on_its_data_is_healed_by_reseed(pair: Target) -> None:
    one = played_well(pair, "bad-applier")
    assert one.returned == "reseed"
    assert not one.writer_lost


def test_errant_rows_are_merged_where_the_policy_says_so(pair: Target) -> None:
    policy = f"policy = {json.dumps(list(target.HEAL_POLICY))}"
    text = pair.config.path.read_text()
    assert policy in text
    pair.config.path.write_text(
        text.replace(policy, 'policy = ["resume", "merge", "rewind", "manual"]')
    )
    try:
        restart_supervisor(pair)
        one = played_well(replace(pair, config=load(pair.config.path)), "diverge")
    finally:
        pair.config.path.write_text(text)
        restart_supervisor(pair)
    assert one.returned == "merge"
    assert one.errant >= 5 * CHANGES
    assert (one.quarantined, one.merged, one.left) == (0, one.errant, 0)


def restart_supervisor(pair: Target) -> None:
    assert pair.supervisor is not None
    pair.supervisor.stop(30.0)
    pair.supervisor.start(60.0)


def test_crossing_updates_of_two_writers_are_reported_and_repaired(flavour: str) -> None:
    for name in (flavour, "haproxy"):
        need(name)
    with target.sandbox(flavour, "dual-writer", None, print, api=False) as pair:
        one = played_well(pair, "conflict")
    assert one.conflicts == crossing.ROWS
    assert (one.errant, one.quarantined) == (crossing.ROWS, crossing.ROWS)
    assert one.returned == ""


def test_what_a_cluster_is_not_made_for_is_refused(pair: Target) -> None:
    pair.learn()
    options = Options()
    with pytest.raises(RefusedError, match="needs two writers: --mode dual-writer"):
        fitness.check(pair, SCENARIOS["conflict"], options)
    in_use = replace(pair, supervisor=None)
    with pytest.raises(RefusedError, match="delete its data directory: that is for sandboxes"):
        fitness.check(in_use, SCENARIOS["reseed"], options)
    heal = pair.config.heal.model_copy(update={"policy": ("resume", "rewind", "manual")})
    narrow = replace(pair, config=pair.config.model_copy(update={"heal": heal}))
    with pytest.raises(RefusedError, match=r"only reseed can bring back, but heal\.policy"):
        fitness.check(narrow, SCENARIOS["diverge-ddl"], options)
    fitness.check(narrow, SCENARIOS["diverge"], options)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_supervisor_may_die_with_or_without_the_writer(pair: Target, seed: int) -> None:
    report = play(pair, "supervisor-crash", seed=seed)
    (one,) = report.rounds
    assert one.problems == (), "\n".join(one.journal)
    assert report.good
    assert one.writer_lost is (seed == 1)


def test_after_the_power_went_the_pair_becomes_whole_by_itself(pair: Target) -> None:
    one = played_well(pair, "power", seed=2)  # the standby comes back first
    assert one.node == "all"
    assert (one.overlapping, one.stale_reads) == (0, 0)


def test_a_writer_whose_disk_stalls_is_replaced(flavour: str) -> None:
    for name in (flavour, "haproxy"):
        need(name)
    if reason := disks.why_not():
        pytest.skip(reason)
    scenario = SCENARIOS["disk-stall"]
    with target.sandbox(flavour, "single-writer", None, print, api=False, fit=scenario.fit) as made:
        one = played_well(made, "disk-stall")
        folder = made.config.path.parent
    assert one.writer_lost
    assert one.reads > 0
    assert not any(str(folder) in line for line in Path("/proc/mounts").read_text().splitlines())


def test_a_cluster_that_is_not_healthy_is_refused(pair: Target) -> None:
    maintenance(pair, "on")
    try:
        with pytest.raises(RefusedError, match="not healthy.*--force"):
            play(pair, "switchover")
    finally:
        maintenance(pair, "off")


def maintenance(pair: Target, state: str) -> None:
    """As soon as the supervisor is not busy any more with what the last test left."""
    until(lambda: pair.client.request("maintenance", state=state).ok, f"maintenance {state}")


def test_more_failovers_than_the_flap_limit_are_refused(pair: Target) -> None:
    pair.learn()
    limit = pair.config.failover.flap_limit
    with pytest.raises(RefusedError, match="flap_limit"):
        fitness.check(pair, SCENARIOS["crash"], Options(rounds=limit + 1))


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sandboxes of tests that run at the same time do not show in this one's."""
    with tempfile.TemporaryDirectory(prefix="myha-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "myha", "drill", *arguments]


@pytest.mark.usefixtures("own_registry")
def test_the_command_reports_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for name in ("mysql", "haproxy"):
        need(name)
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    done = subprocess.run(
        command("switchover", "--clients", "2", "--json", str(report), "--html", str(page)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "switchover: passed." in done.stdout
    data = json.loads(report.read_text())
    assert data["scenario"] == "switchover"
    assert (data["flavour"], data["mode"], data["durability"]) == (
        "mysql",
        "single-writer",
        "lossless",
    )
    assert data["summary"]["acknowledged_lost"] == 0
    assert data["summary"]["converged"] is True
    assert set(data["rounds"][0]) >= {
        "outage_ms",
        "client_outage_ms_max",
        "phases_ms",
        "acknowledged",
        "acknowledged_lost",
        "unacknowledged_present",
        "duplicated",
        "returned",
        "whole_ms",
        "converged",
    }
    assert registry.sandboxes() == []
    text = page.read_text()
    assert text.count("<svg") == 7
    assert "switch over from a to b" in text
    (kept,) = runs.runs()
    assert (kept.where, kept.good) == ("sandbox", True)
    assert kept.played[0].outage_ms_max == data["summary"]["outage_ms"]["max"]


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_leaves_nothing_behind(number: signal.Signals) -> None:
    for name in ("mysql", "haproxy"):
        need(name)
    process = subprocess.Popen(
        command("crash", "--clients", "2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if "now the writer is killed" in line:
            process.send_signal(number)
            break
    rest, _ = process.communicate(timeout=120)
    said = "".join(lines) + rest
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert registry.sandboxes() == []
    assert not workers_left()


def workers_left() -> list[str]:
    """Clients' processes that have not ended 30 s on; another test's are none of ours."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if _is_orphaned_worker(p)]
        if not left:
            return []
        time.sleep(0.05)
    return [str(path) for path in left]


def _is_orphaned_worker(path: Path) -> bool:
    try:
        if b"myha.drill.worker" not in path.read_bytes():
            return False
        parent = (path.parent / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return False
    return parent == "1"


def test_what_acts_on_a_process_needs_a_way_to_it(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    write_secrets(tmp_path, ("app",))
    pair = target.of_config(path)
    others = {"conflict", "supervisor-crash"}
    for name, scenario in SCENARIOS.items():
        why_not = fitness.misfit(pair, scenario)
        if name in {"switchover", "bad-applier"}:
            assert "pid_file" not in why_not
        elif scenario.needs_containers:
            assert "nodes.NAME.container" in why_not
        elif not (scenario.sandbox_only or scenario.needs_network or name in others):
            assert "nodes.a.pid_file and start_command" in why_not


def test_naming_a_cluster_is_not_telling_to_hurt_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "myha", "--config", str(tmp_path / "myha.toml"), "drill", "crash"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "myha drill crash --config" in done.stderr


def test_hurting_a_running_cluster_needs_a_yes(tmp_path: Path) -> None:
    path = tmp_path / "myha.toml"
    nodes = "".join(
        f'[nodes.{name}]\nhost = "127.0.0.1"\nport = {port}\n'
        f'pid_file = "{name}.pid"\nstart_command = ["true"]\n'
        for name, port in (("a", 13301), ("b", 13302))
    )
    path.write_text(
        nodes + '[balancers.lb1]\nsocket = "/run/haproxy.sock"\n'
        'writer_listen = "127.0.0.1:13307"\nreader_listen = "127.0.0.1:13308"\n'
    )
    write_secrets(tmp_path, ("app",))
    done = subprocess.run(
        command("crash", "--config", str(path)),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert "kill the writer's process" in done.stderr
