"""Heals by the running daemon: on record, as a process, and through the death of all involved."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pymysql
import pytest

from tests.real.pair import LIFTED, Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"heal-{flavour}"))
    for flavour in ("mysql", "mariadb")
]
ROWS = 3000


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One pair for the module, whole at the beginning of each test."""
    with running_pair(
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v VARCHAR(200), KEY (v))",
        "CREATE TABLE app.u (id BIGINT PRIMARY KEY, v TEXT)",
        "INSERT INTO app.t SELECT seq, REPEAT('a', 50) FROM " + ("(" + numbers(ROWS) + ") AS s"),
        flavour=request.param,
    ) as shared:
        yield shared


def numbers(count: int) -> str:
    digit = "SELECT 0 AS d UNION ALL " + " UNION ALL ".join(f"SELECT {i}" for i in range(1, 10))
    return (
        "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS seq"
        f" FROM ({digit}) a, ({digit}) b, ({digit}) c, ({digit}) e"
        f" WHERE a.d + 10 * b.d + 100 * c.d + 1000 * e.d < {count}"
    )


def is_mysql(pair: Pair) -> bool:
    return pair.cluster.state.flavour == "mysql"


def names(pair: Pair) -> tuple[str, str]:
    """The writer and the standby."""
    writer = pair.status()["writer"]
    return writer, next(name for name in pair.cluster.nodes if name != writer)


def diverge(pair: Pair, *statements: str) -> str:
    """Leave the standby fenced by hand, with what these statements write there; its name."""
    _, standby = names(pair)
    assert pair.myha("fence", standby, "--reason", "to diverge it").returncode == 0
    pair.await_verdict("standby-fenced")
    # Behind the supervisor's back, as an administrator who thinks that it is a server like any.
    writable = LIFTED if is_mysql(pair) else "DO 0"
    pair.admin(standby, writable, *statements)
    return standby


def assert_same(pair: Pair) -> None:
    writer, _ = names(pair)

    def same() -> bool:
        sums = [
            pair.admin(name, "CHECKSUM TABLE app.t, app.u EXTENDED") for name in pair.cluster.nodes
        ]
        return sums[0] == sums[1]

    until(same, f"both hold what {writer} holds")


def kept(pair: Pair) -> str:
    """All that the quarantine says of rows; their images are in hexadecimal."""
    files = (pair.cluster.state_dir / "quarantine").glob("*/rows.jsonl")
    return "".join(path.read_text() for path in files)


def heal_of(pair: Pair, node: str) -> dict[str, Any] | None:
    """The running job."""
    return next(
        (one for one in pair.status()["jobs"] if one["kind"] == "heal" and one["node"] == node),
        None,
    )


def test_errant_transactions_are_healed_by_the_policy(pair: Pair) -> None:
    pair.await_healthy()
    standby = diverge(
        pair,
        "INSERT INTO app.t VALUES (900001, 'errant-1')",
        "UPDATE app.t SET v = 'errant-2' WHERE id = 5",
        "DELETE FROM app.t WHERE id = 6",
    )
    plan = pair.myha("heal", standby, "--plan")
    assert plan.returncode == 0, plan.stderr
    assert "errant: 3 transactions" in plan.stdout
    assert "app.t: 1 inserted, 1 updated, 1 deleted" in plan.stdout
    assert "rewind: 3 rows undone" in plan.stdout
    assert pair.admin(standby, "SELECT COUNT(*) FROM app.t WHERE id = 900001")[0][0] == 1
    rewinds = count_of(pair, "job-done", f"heal of {standby} by rewind")
    assert pair.myha("unfence", standby).returncode == 0
    done = pair.await_event("job-done", f"heal of {standby} by rewind", rewinds + 1)
    assert "3 transactions with 3 rows undone" in done["text"]
    assert "are equal" in done["text"]
    pair.await_healthy()
    assert_same(pair)
    assert b"errant-1".hex() in kept(pair)
    assert b"errant-2".hex() in kept(pair)
    # What was done, in this order: on record, the job, off record, and only then replication.
    plans = [one["plan"] for one in pair.events("plan-done")]
    last = len(plans) - 1 - plans[::-1].index("healed")
    assert plans[: last + 1][-4:] == ["fence-errant", "heal", "start-heal", "healed"]
    assert "rejoin" in plans[last:]


def test_a_heal_by_hand_is_followed_to_its_end(pair: Pair) -> None:
    pair.await_healthy()
    standby = diverge(pair, "INSERT INTO app.u VALUES (1, 'by-hand')")
    done = pair.myha("heal", standby, "--method", "rewind")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{standby} is a member again" in done.stdout
    assert "1 transactions with 1 rows undone" in done.stdout
    pair.await_healthy()
    assert_same(pair)


def test_what_cannot_be_healed_is_refused(pair: Pair) -> None:
    pair.await_healthy()
    writer, standby = names(pair)
    refused = pair.myha("heal", writer)
    assert refused.returncode == 1
    assert "is the writer" in refused.stderr
    refused = pair.myha("heal", standby)
    assert refused.returncode == 1
    assert "there is nothing to heal" in refused.stderr
    assert "no node 'nobody'" in pair.myha("heal", "nobody").stderr


def test_ddl_among_the_errant_leaves_it_fenced_with_the_reason(pair: Pair) -> None:
    pair.await_healthy()
    standby = diverge(
        pair,
        "INSERT INTO app.u VALUES (2, 'before the DDL')",
        "ALTER TABLE app.u ADD COLUMN w INT",
    )
    plan = pair.myha("heal", standby, "--plan", "--method", "rewind")
    assert plan.returncode == 1
    assert "rewind: does not apply" in plan.stdout
    failed = pair.myha("heal", standby)
    assert failed.returncode == 1
    assert "stays fenced" in failed.stderr
    status = pair.await_verdict("standby-fenced")
    entry = status["nodes"][standby]
    assert "rewind refused" in entry["reason"]
    assert entry["heal"]["methods"] == []
    assert standby not in pair.routes("reader")
    assert pair.admin(standby, "SELECT v FROM app.u WHERE id = 2")[0][0] == "before the DDL"
    assert standby not in pair.routes("reader")
    # Other data are the way. What was errant is kept as it is, DDL and all.
    done = pair.myha("heal", standby, "--method", "reseed")
    assert done.returncode == 0, done.stdout + done.stderr
    pair.await_healthy()
    assert_same(pair)
    assert pair.admin(standby, "SELECT COUNT(*) FROM app.u WHERE id = 2")[0][0] == 0
    assert b"before the DDL".hex() in kept(pair)


def many_errant(pair: Pair) -> str:
    """Enough of them that a heal takes a while."""
    return diverge(
        pair,
        *[f"UPDATE app.t SET v = CONCAT('errant-many-{i}-', id) WHERE id < 2500" for i in range(4)],
    )


def test_the_supervisor_dies_in_a_heal_and_the_next_one_ends_it(pair: Pair) -> None:
    pair.await_healthy()
    standby = many_errant(pair)
    pair.myha("heal", standby, "--no-wait")
    job = until(lambda: heal_of(pair, standby), "the heal runs")
    pid = job_process(pair)
    os.kill(pair.status()["pid"], signal.SIGKILL)
    until(lambda: not pair.cluster.supervisor.running(), "the supervisor is gone")
    until(lambda: not is_alive(pid), "its job has gone with it")
    pair.cluster.start_supervisor()
    assert heal_id(pair, standby) in (job["heal"], None)
    pair.await_healthy()
    assert_same(pair)
    assert b"errant-many-0".hex() in kept(pair)


def heal_id(pair: Pair, node: str) -> int | None:
    heal = pair.status()["nodes"][node]["heal"]
    return None if heal is None else heal["id"]


def job_process(pair: Pair) -> int:
    """The process of the only job, a child of the supervisor."""
    daemon = psutil.Process(pair.status()["pid"])
    found: psutil.Process = until(
        lambda: next((one for one in daemon.children() if "myha.job" in one.cmdline()), None),
        "the job's process",
    )
    return found.pid


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_node_dies_in_a_heal_and_is_healed_when_it_is_back(pair: Pair) -> None:
    pair.await_healthy()
    standby = many_errant(pair)
    failures = count_of(pair, "job-failed", f"heal of {standby}")
    pair.myha("heal", standby, "--no-wait")
    until(lambda: heal_of(pair, standby), "the heal runs")
    host = pair.cluster.servers[standby]
    host.kill()
    until(lambda: not host.running(), "the node is gone")
    pair.await_event("job-failed", f"heal of {standby}", failures + 1)
    assert pair.status()["nodes"][standby]["cause"] == "healing"
    host.start(90)
    pair.await_healthy()
    assert_same(pair)


def test_a_heal_is_stopped_by_a_fence_and_begun_anew(pair: Pair) -> None:
    pair.await_healthy()
    standby = many_errant(pair)
    pair.myha("heal", standby, "--no-wait")
    until(lambda: heal_of(pair, standby), "the heal runs")
    refused = pair.myha("unfence", standby)
    assert refused.returncode == 1
    assert "is being healed" in refused.stderr
    stopped = pair.myha("fence", standby, "--reason", "not now")
    assert stopped.returncode == 0, stopped.stderr
    status = pair.status()
    assert status["jobs"] == []
    assert status["nodes"][standby]["cause"] == "by-hand"
    assert json.dumps(status)  # plain data throughout
    done = pair.myha("heal", standby, "--method", "rewind")
    assert done.returncode == 0, done.stdout + done.stderr
    pair.await_healthy()
    assert_same(pair)


def test_an_administrator_who_writes_in_a_heal_loses_nothing(pair: Pair) -> None:
    """Each row is undone into quarantine, or the node stays fenced with the reason."""
    pair.await_healthy()
    standby = many_errant(pair)
    pair.myha("heal", standby, "--no-wait")
    until(lambda: heal_of(pair, standby), "the heal runs")
    written = []
    opened = ["SET GLOBAL super_read_only = OFF"] if is_mysql(pair) else []
    for number in range(20):
        try:
            pair.admin(standby, *opened, f"INSERT INTO app.u (id, v) VALUES ({1000 + number}, 'x')")
        except pymysql.err.MySQLError:
            continue  # it was just being closed, or its connections cut
        written.append(1000 + number)
    until(
        lambda: (
            pair.status()["nodes"][standby]["cause"] != "healing" and not heal_of(pair, standby)
        ),
        "the heal ends",
        120,
    )
    if pair.status()["nodes"][standby]["membership"] == "fenced":
        assert pair.status()["nodes"][standby]["heal"]["refused"]
        assert pair.myha("heal", standby, "--method", "reseed").returncode == 0
    pair.await_healthy()
    assert_same(pair)
    rows = [json.loads(line) for line in kept(pair).splitlines()]
    images = {one["after"] for one in rows if one["table"] == "app.u" and one["after"]}
    lost = [one for one in written if not any(key_of(one) in image for image in images)]
    assert lost == [], f"of {written}"


def key_of(number: int) -> str:
    """A BIGINT as it stands in a row image."""
    return number.to_bytes(8, "little").hex()


def reconfigure(pair: Pair, before: str, after: str) -> None:
    """Another configuration, and a supervisor that has read it."""
    path = pair.cluster.config_path
    text = path.read_text()
    assert before in text
    pair.cluster.supervisor.stop(60)
    path.write_text(text.replace(before, after))
    pair.cluster.start_supervisor()
    pair.await_healthy()


def count_of(pair: Pair, kind: str, text: str) -> int:
    return sum(text in one["text"] for one in pair.events(kind))


POLICY = '[heal]\npolicy = ["resume", "merge", "rewind", "reseed", "manual"]\n'


@pytest.fixture
def all_ways(pair: Pair) -> Iterator[None]:
    """The policy allows everything, and the data is compared every few seconds."""
    pair.await_healthy()
    more = POLICY + "\n[verify]\nevery_seconds = 3\n"
    reconfigure(pair, "[cluster]\n", f"{more}\n[cluster]\n")
    yield
    reconfigure(pair, f"{more}\n", "")


@pytest.mark.usefixtures("all_ways")
def test_with_all_ways_allowed_the_cheapest_exact_one_is_taken(pair: Pair) -> None:
    # Nothing is in the way on the writer: merged.
    standby = diverge(pair, "INSERT INTO app.u (id, v) VALUES (10, 'to be merged')")
    assert pair.myha("unfence", standby).returncode == 0
    pair.await_event("job-done", f"heal of {standby} by merge")
    pair.await_healthy()
    assert_same(pair)
    writer, _ = names(pair)
    assert pair.admin(writer, "SELECT v FROM app.u WHERE id = 10")[0][0] == "to be merged"

    # The writer has changed the row meanwhile: merge is refused, rewind does.
    standby = diverge(pair, "UPDATE app.u SET v = 'theirs' WHERE id = 10")
    pair.write("UPDATE app.u SET v = 'ours' WHERE id = 10")
    rewinds = count_of(pair, "job-done", f"heal of {standby} by rewind")
    assert pair.myha("unfence", standby).returncode == 0
    pair.await_event("job-refused", f"heal of {standby} by merge")
    pair.await_event("job-done", f"heal of {standby} by rewind", rewinds + 1)
    pair.await_healthy()
    assert_same(pair)
    assert pair.admin(standby, "SELECT v FROM app.u WHERE id = 10")[0][0] == "ours"

    # Nothing errant, and a row that is not there: other data.
    behind = ["SET SESSION sql_log_bin = 0", "DELETE FROM app.u WHERE id = 10"]
    if is_mysql(pair):
        behind = [LIFTED, *behind, "SET GLOBAL super_read_only = ON"]
    pair.admin(standby, *behind)
    pair.await_event("differs", "the nodes' data differ")
    reseeds = count_of(pair, "job-done", f"heal of {standby} by reseed")
    pair.write("UPDATE app.u SET v = 'ours again' WHERE id = 10")
    pair.await_event("job-done", f"heal of {standby} by reseed", reseeds + 1)
    pair.await_healthy()
    assert_same(pair)
    assert pair.admin(standby, "SELECT v FROM app.u WHERE id = 10")[0][0] == "ours again"


def test_conflicts_are_looked_for_after_a_change_of_writer(pair: Pair) -> None:
    pair.await_healthy()
    assert pair.myha("switchover").returncode == 0
    until(
        lambda: any(one["kind"] == "conflicts" for one in pair.status()["jobs"]),
        "the reader of conflicts runs",
    )
    pair.await_healthy()
