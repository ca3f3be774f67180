"""The quick start, block by block, on a Debian with the package and two servers that replicate.

One machine plays all three: the servers are reached at addresses of their own, by the names that
the page has for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.machine import ROOT, Image, Machine
from tests.waiting import until

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
BLOCK = re.compile(r"<!-- run: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)
SERVER = """
[Service]
ExecStart=/usr/sbin/mariadbd --defaults-file=/srv/%i/my.cnf
Restart=always
"""
OPTIONS = """
[mariadbd]
user=mysql
datadir=/srv/{name}/data
socket=/srv/{name}/sock
pid-file=/srv/{name}/pid
bind-address={address}
skip-name-resolve
server_id={number}
log_bin=binlog
log_slave_updates=1
gtid_domain_id={number}
binlog_format=ROW
innodb_buffer_pool_size=32M
"""
REPLICATES = (
    "CHANGE MASTER TO MASTER_HOST='{peer}', MASTER_USER='repl', MASTER_PASSWORD='r',"
    " MASTER_USE_GTID=slave_pos; START SLAVE"
)
HOSTS = "'127.0.0.1 localhost' '127.0.0.2 db1' '127.0.0.3 db2'"
PEERS = {"db1": "db2", "db2": "db1"}
STATUS = "runuser -u myha -- myha status"


def blocks() -> list[tuple[str, str, str]]:
    return [(found[1], found[2], found[3]) for found in BLOCK.finditer(PAGE)]


def test_each_shell_block_of_the_page_is_run() -> None:
    assert len(blocks()) == PAGE.count("```") // 2


@pytest.fixture(scope="module")
def machine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("quickstart")
    with Image.bootstrapped("bookworm", folder, "mariadb-server", "haproxy", "iproute2") as image:
        image.install(package)  # with all that it depends on; the page's own call finds it there
        image.run("systemctl disable mariadb mariadb.socket; apt-get purge -y haproxy || true")
        image.run("cd /root && apt-get install -y --download-only haproxy >/dev/null")
        with image.booted() as running:
            made_pair(running)
            yield running


def sql(machine: Machine, name: str, statement: str) -> str:
    return machine.run(f"mariadb -N -S /srv/{name}/sock <<'END'\n{statement}\nEND")


def made_pair(machine: Machine) -> None:
    """As somebody has made it by hand years ago, and data in it."""
    machine.run("ip link set lo up; printf '%s\\n' HOSTS >/etc/hosts".replace("HOSTS", HOSTS))
    machine.image.run(f"cat >/etc/systemd/system/server@.service <<'END'\n{SERVER}\nEND")
    for number, name in enumerate(PEERS, 1):
        options = OPTIONS.format(name=name, number=number, address=f"127.0.0.{number + 1}")
        machine.run(f"mkdir -p /srv/{name} && cat >/srv/{name}/my.cnf <<'END'\n{options}\nEND")
        machine.run(f"chown mysql /srv/{name}")
        machine.run(f"mariadb-install-db --defaults-file=/srv/{name}/my.cnf >/dev/null")
    machine.run("systemctl daemon-reload; systemctl start server@db1 server@db2")
    for name in PEERS:
        _await_server(machine, name)
        account = (
            "CREATE USER repl@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO repl@'%'"
        )
        sql(machine, name, f"SET sql_log_bin=0; {account}")
    for name, peer in PEERS.items():
        sql(machine, name, REPLICATES.format(peer=peer))
    sql(machine, "db1", "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)")
    sql(machine, "db1", "INSERT INTO shop.t VALUES (1), (2), (3)")


def _await_server(machine: Machine, name: str) -> None:
    until(lambda: machine.call(f"mariadb -S /srv/{name}/sock -e 'DO 1'").returncode == 0, name)


def test_the_page_leads_to_a_pair_that_is_supervised(machine: Machine) -> None:
    said = ""
    for where, language, text in blocks():
        if language == "sql":
            sql(machine, where, text)
            continue
        if text.rstrip().endswith("myha status"):
            until(lambda: machine.call(STATUS).returncode == 0, "healthy")
        said = machine.run("set -e\n" + text.replace("./myha_*.deb", "/root/myha_*.deb"))
    assert "done: switch over from a to b" in said
    assert "Both nodes are as they should be" in machine.show("myha", "StatusText")
    assert machine.run("systemctl is-active myha").strip() == "active"


def test_a_supervisor_that_hangs_is_started_anew(machine: Machine) -> None:
    machine.run(
        "mkdir -p /run/systemd/system/myha.service.d; printf '[Service]\\nWatchdogSec=3\\n"
        "TimeoutAbortSec=1\\n' >/run/systemd/system/myha.service.d/test.conf; "
        "systemctl daemon-reload; systemctl restart myha"
    )
    hung = machine.show("myha", "MainPID")
    machine.run(f"kill -STOP {hung}")
    until(lambda: machine.show("myha", "MainPID") not in {hung, "0"}, "another one")
    until(lambda: machine.call(STATUS).returncode == 0, "healthy")
