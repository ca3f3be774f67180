"""The GTID algebra against what real servers say of the same sets."""

import random
from collections.abc import Iterator

import pytest

from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.database.flavours import FLAVOURS
from myha.database.session import Session
from tests.real.bare import BareServer, bare_server

pytestmark = pytest.mark.real

UUIDS = ("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb")
ORIGINS = (*UUIDS, f"{UUIDS[0]}:load", f"{UUIDS[1]}:a_1")


@pytest.fixture(scope="module")
def mysql() -> Iterator[BareServer]:
    with bare_server("mysql") as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[BareServer]:
    with bare_server("mariadb") as server:
        yield server


def some_set(dice: random.Random) -> MysqlGtidSet:
    result = MysqlGtidSet()
    for _ in range(dice.randrange(16)):
        result = result.with_transaction(dice.choice(ORIGINS), dice.randrange(1, 12))
    return result


def test_mysql_agrees_on_subset_difference_union_and_text(mysql: BareServer) -> None:
    dice = random.Random(7)
    connection = mysql.connect()
    with connection.cursor() as cursor:
        for _ in range(300):
            a, b = some_set(dice), some_set(dice)
            cursor.execute(
                "SELECT GTID_SUBSET(%s, %s), GTID_SUBTRACT(%s, %s),"
                " GTID_SUBTRACT(CONCAT(%s, ',', %s), '')",
                (str(a), str(b), str(a), str(b), str(a), str(b)),
            )
            row = cursor.fetchone()
            assert row is not None
            assert bool(row[0]) == b.contains(a), (a, b)
            assert row[1].replace("\n", "") == str(a.minus(b))
            assert row[2].replace("\n", "") == str(a.union(b))
    connection.close()


def test_mysql_executed_set_with_tags_reads_back_as_the_server_wrote_it(mysql: BareServer) -> None:
    mysql.run("CREATE DATABASE g", "CREATE TABLE g.t (id INT PRIMARY KEY)")
    before = MysqlGtidSet.parse(mysql.value("SELECT @@gtid_executed"))
    mysql.run("SET gtid_next='AUTOMATIC:Load'", "INSERT INTO g.t VALUES (1)")
    mysql.run("INSERT INTO g.t VALUES (2)")
    text = mysql.value("SELECT @@gtid_executed")
    after = MysqlGtidSet.parse(text)
    assert str(after) == text.replace("\n", "")
    assert after.minus(before).count() == 2
    assert ":load:1" in str(after.minus(before))


@pytest.mark.parametrize("text", ["x", f"{UUIDS[0]}:0", f"{UUIDS[0]}:t-x:1"])
def test_mysql_refuses_what_we_refuse(mysql: BareServer, text: str) -> None:
    with pytest.raises(ValueError, match="no MySQL GTID set"):
        MysqlGtidSet.parse(text)
    with pytest.raises(Exception, match="Malformed GTID"):
        mysql.run(f"SELECT GTID_SUBTRACT('{text}', '')")


def test_mariadb_position_contains_what_the_server_waits_for_no_longer(mariadb: BareServer) -> None:
    mariadb.run("CREATE DATABASE g", "CREATE TABLE g.t (id INT PRIMARY KEY)")
    mariadb.run(*(f"INSERT INTO g.t VALUES ({n})" for n in range(20)))
    executed = MariadbGtidSet.parse(mariadb.value("SELECT @@gtid_binlog_pos"))
    assert str(executed) == executed.position() == mariadb.value("SELECT @@gtid_binlog_pos")
    top = executed.count()
    assert top == 22
    for number in range(top - 3, top + 3):
        text = f"1-1-{number}"
        reached = mariadb.value(
            f"SELECT MASTER_GTID_WAIT('{text}', 0.01)" if number > top else "SELECT 0"
        )
        assert (reached == 0) == executed.contains(MariadbGtidSet.parse(text)), text


def test_mariadb_accepts_our_position_as_its_own(mariadb: BareServer) -> None:
    written = MariadbGtidSet.parse(mariadb.value("SELECT @@gtid_binlog_pos"))
    text = written.union(MariadbGtidSet.parse("3-7-12, 2-5-9")).position()
    mariadb.run(f"SET GLOBAL gtid_slave_pos='{text}'")
    seeded = MariadbGtidSet.parse(mariadb.value("SELECT @@gtid_slave_pos"))
    assert seeded.position() == text
    assert str(seeded.minus(written)) == "2-5-9,3-7-12"


def test_mariadb_binlog_state_ends_where_its_position_does(mariadb: BareServer) -> None:
    mariadb.run(
        "CREATE DATABASE h", "SET server_id=9", "CREATE TABLE h.t (id INT)", "DROP TABLE h.t"
    )
    state = MariadbGtidSet.parse(mariadb.value("SELECT @@gtid_binlog_state"))
    assert state == MariadbGtidSet.parse(mariadb.value("SELECT @@gtid_binlog_pos"))


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_wait_of_no_time_is_none(flavour: str, request: pytest.FixtureRequest) -> None:
    """MySQL's own function waits for ever then."""
    server: BareServer = request.getfixturevalue(flavour)
    kind = FLAVOURS[flavour]
    with Session(server.connect(), 60.0, where="here") as session:
        absent = kind.parse(f"{UUIDS[0]}:1" if flavour == "mysql" else "0-77-999999")
        assert not kind.await_executed(session, absent, 0.0)
        assert kind.await_executed(session, kind.executed(session), 0.0)
