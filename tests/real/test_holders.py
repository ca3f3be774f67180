"""A backup or a reader holds a lock on the standby when the writer dies."""

from __future__ import annotations

import pytest

from tests.real.pair import running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

TABLE = ("CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)")


def test_a_failover_ends_whoever_holds_up_the_new_writer(flavour: str) -> None:
    with running_pair(*TABLE, flavour=flavour) as pair:
        status = pair.await_healthy()
        writer = status["writer"]
        standby = next(name for name in status["nodes"] if name != writer)
        with pair.connect(pair.cluster.machines[standby].port, read_timeout=300) as holder:
            with holder.cursor() as cursor:
                cursor.execute("LOCK TABLES app.t READ")
            pair.write("INSERT INTO app.t VALUES (1)")
            pair.cluster.servers[writer].kill()
            until(lambda: pair.routes("writer") == {standby}, "a failover")
            ended = pair.events("sessions-ended")[-1]["text"]
            assert ended.startswith(f"{standby}: ended app@127.0.0.1 (connection")
            assert f"(connection {holder.thread_id()})" in ended
        pair.write("INSERT INTO app.t VALUES (2)")
        assert pair.admin(standby, "SELECT COUNT(*) FROM app.t") == [(2,)]
