"""Somebody tells a MySQL standby that it has what the writer has yet to write.

On MariaDB the applier of such a one fails at the first heartbeat: the row of the last is missing.
"""

from __future__ import annotations

import pytest

from myha.core.gtid import MysqlGtidSet
from tests.real.pair import running_pair
from tests.waiting import until

pytestmark = pytest.mark.real


def test_it_is_fenced_and_healed() -> None:
    with running_pair("CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)") as pair:
        status = pair.await_healthy()
        writer = status["writer"]
        standby = next(name for name in status["nodes"] if name != writer)
        ((uuid,),) = pair.admin(writer, "SELECT @@server_uuid")
        ((executed,),) = pair.admin(writer, "SELECT @@gtid_executed")
        only = ",".join(one for one in executed.replace("\n", "").split(",") if uuid in one)
        number = MysqlGtidSet.parse(only).count() + 5
        claim = f"{uuid}:{number}-{number + 500}"
        pair.admin(standby, f"SET GLOBAL gtid_purged = '+{claim}'")
        for row in range(20):
            pair.write(f"INSERT INTO app.t VALUES ({row})")
        status = pair.await_verdict("standby-fenced")
        reason = status["nodes"][standby]["reason"]
        assert "has not written yet" in reason
        assert uuid in reason
        assert pair.routes("reader") == {writer}
        healed = pair.myha("heal", standby, "--method", "reseed", "--accept-loss")
        assert healed.returncode == 0, healed.stderr
        pair.await_healthy(writer)
        until(lambda: pair.admin(standby, "SELECT COUNT(*) FROM app.t") == [(20,)], "it has all")
