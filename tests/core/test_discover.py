"""What `init --from` makes of two servers that were looked at: keys, questions and refusals."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.cli.template import template
from myha.config import load
from myha.database.flavours import MARIADB, MYSQL
from myha.database.flavours.base import Channel
from myha.errors import MyhaError
from myha.operations.discover.found import ConnectedReplica, FoundServer
from myha.operations.discover.judge import judge
from myha.operations.discover.look import peer_of
from myha.operations.setup.writes import Writes


def channel(source: str, server_id: int, **changes: Any) -> Channel:
    found = Channel(
        source, "repl", True, 60, 30.0, 0, False, 10, True, receiver="ON", applier="ON",
        source_server_id=server_id,
    )  # fmt: skip
    return replace(found, **changes)


def server(number: int, **changes: Any) -> FoundServer:
    other = 3 - number
    found = FoundServer(
        host=f"db{number}",
        port=3306,
        flavour=MYSQL,
        version="8.4.2",
        server_id=number,
        variables={"read_only": "OFF" if number == 1 else "ON", "event_scheduler": "ON"},
        channels=(channel(f"db{other}:3306", other),),
        writes=Writes(9 if number == 1 else 0),
    )
    return replace(found, **changes)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"flavour": MARIADB, "version": "11.4.1"}, "a pair needs two of one kind"),
    ({"server_id": 1}, "have the same server id (1)"),
    ({"version": "8.0.20"}, "db2:3306: version 8.0.20 is too old"),
    ({"channels": (channel("db3:3306", 3),)}, "db2:3306 replicates from a third server, db3:3306"),
    (
        {"channels": (channel("db1:3306", 1), channel("db4:3306", 4, name="x"))},
        "replicates from a third server, db4:3306",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_what_is_no_pair_is_refused_with_one_sentence(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(MyhaError) as refused:
        judge(server(1), server(2, **changes), "root")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_that_do_not_know_each_other() -> None:
    with pytest.raises(MyhaError, match="do not replicate from each other"):
        judge(server(1, channels=()), server(2, channels=()), "root")


@pytest.mark.parametrize(
    ("opened", "writes", "mode", "question"),
    [
        ((1, 0), (9, 0), "single-writer", ""),
        ((0, 1), (0, 9), "single-writer", ""),
        ((1, 1), (9, 0), "single-writer", "Both nodes are open for writes, and a took them"),
        (
            (1, 1),
            (0, 0),
            "single-writer",
            "Which node is the writer? No writes were seen, and both",
        ),
        ((0, 0), (0, 0), "single-writer", "and neither is open"),
        ((1, 1), (9, 9), "dual-writer", "Do clients write on both nodes"),
    ],
)
def test_who_writes(
    opened: tuple[int, int], writes: tuple[int, int], mode: str, question: str
) -> None:
    first, second = (
        server(
            number,
            variables={"read_only": "OFF" if open_ else "ON", "rpl_semi_sync_source_enabled": "ON"},
            writes=Writes(count),
        )
        for number, open_, count in zip((1, 2), opened, writes, strict=True)
    )
    found = judge(first, second, "root")
    assert found.keys["cluster.mode"].value == mode
    assert found.keys["cluster.durability"].value == (
        "bounded" if mode == "dual-writer" else "lossless"
    )
    asked = " ".join(found.questions)
    assert question in asked
    assert bool(asked) is bool(question)


def test_the_file_says_what_was_seen_and_loads(tmp_path: Path) -> None:
    first = server(
        1,
        variables={
            "read_only": "OFF",
            "auto_increment_increment": "2",
            "auto_increment_offset": "2",
            "sync_binlog": "0",
        },
        channels=(channel("10.0.0.2:3310", 2, by_gtid=False),),
        replicas=(ConnectedReplica(2, "", 3306), ConnectedReplica(7, "reports", 3307)),
        filters=("replicate_do_db = shop",),
    )
    second = server(2, variables={"auto_increment_increment": "2", "auto_increment_offset": "1"})
    text = template(known=judge(first, second, "dba"))
    parsed = tomllib.loads(text)
    assert parsed["accounts"]["admin_user"] == "dba"
    assert parsed["nodes"]["b"]["host"] == "db2"
    assert parsed["nodes"]["b"]["replication_host"] == "10.0.0.2"
    assert parsed["nodes"]["b"]["replication_port"] == 3310
    assert "replication_host" not in parsed["nodes"]["a"]
    assert parsed["nodes"]["a"]["auto_increment_offset"] == 2
    flat = " ".join(text.replace("# ", "").split())
    assert "by file and position (setup changes that to GTID)" in flat
    assert "sync_binlog is 0" in flat
    assert "has replication filters, which setup refuses: replicate_do_db = shop" in flat
    assert "Replicates from a with server id 7." in flat
    assert 'host = "reports"' in flat
    assert "Question: May each commit wait" in flat
    path = tmp_path / "myha.toml"
    path.write_text(text)
    assert load(path).nodes["b"].replication_address == "10.0.0.2:3310"


def test_increments_that_are_wrong_become_right() -> None:
    found = judge(server(1), server(2), "root")
    assert found.keys["nodes.a.auto_increment_offset"].value == 1
    assert found.keys["nodes.b.auto_increment_offset"].value == 2
    assert "setup sets every 2" in found.keys["nodes.b.auto_increment_offset"].origin


def test_where_the_peer_is() -> None:
    assert peer_of(server(1)) == ("db2", 3306)
    loopback = server(1, channels=(channel("127.0.0.1:3310", 2),))
    assert peer_of(loopback) == ("db1", 3310), "its own loopback address is that of its host"
    alone = server(1, channels=())
    with pytest.raises(MyhaError, match="replicates from nobody"):
        peer_of(alone)
    one = replace(alone, replicas=(ConnectedReplica(2, "db2", 3306),))
    assert peer_of(one) == ("db2", 3306)
    two = replace(alone, replicas=(*one.replicas, ConnectedReplica(3, "db3", 3306)))
    with pytest.raises(MyhaError, match=r"ids 2, 3.*name it with --peer"):
        peer_of(two)
    several = server(1, channels=(channel("x:1", 2), channel("y:1", 3)))
    with pytest.raises(MyhaError, match=r"from several servers \(x:1, y:1\)"):
        peer_of(several)
