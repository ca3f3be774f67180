"""What differs between the two flavours for a simulated server: its GTID sets."""

from __future__ import annotations

from typing import cast

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.core.values import value

UUIDS = (
    "11111111-1111-1111-1111-111111111111",
    "22222222-2222-2222-2222-222222222222",
    "33333333-3333-3333-3333-333333333333",  # of a read replica
)


@value(frozen=True, slots=True)
class Transaction:
    """One transaction; `serial` tells it from every other, also from one that reuses its GTID."""

    serial: int
    origin: int  # index of the node that it was written on
    number: int


class Mysql:
    """GTIDs are in the executed set when committed, not while they wait for an acknowledgement."""

    name = "mysql"
    counts_waiting = False
    drops_relay_log_at_start = False
    waits_for_several = True  # acknowledgements, where it is told to
    answers_at_shutdown = True  # whom its replica leaves waiting hears OK
    keeps_position = False  # what it has executed is what its binary log says
    takes_own = False  # from replication, by the server id
    empty: GtidSet = cast(GtidSet, MysqlGtidSet())

    @staticmethod
    def add(gtids: GtidSet, one: Transaction) -> GtidSet:
        return cast(
            GtidSet, cast(MysqlGtidSet, gtids).with_transaction(UUIDS[one.origin], one.number)
        )

    @staticmethod
    def has(gtids: GtidSet, one: Transaction) -> bool:
        return cast(MysqlGtidSet, gtids).has_transaction(UUIDS[one.origin], one.number)


class Mariadb:
    """The binlog position moves when a transaction is written, before it is acknowledged."""

    name = "mariadb"
    counts_waiting = True
    drops_relay_log_at_start = True  # with GTID, when both threads were stopped
    waits_for_several = False
    answers_at_shutdown = False
    takes_own = True
    keeps_position = True  # what it has from others, and had back from them, also after a reset
    empty: GtidSet = cast(GtidSet, MariadbGtidSet())

    @staticmethod
    def add(gtids: GtidSet, one: Transaction) -> GtidSet:
        known = cast(MariadbGtidSet, gtids)
        return cast(GtidSet, known.with_transaction(one.origin + 1, one.origin + 1, one.number))

    @staticmethod
    def has(gtids: GtidSet, one: Transaction) -> bool:
        return cast(MariadbGtidSet, gtids).has_transaction(one.origin + 1, one.number)


SimulatedFlavour = type[Mysql] | type[Mariadb]
FLAVOURS: dict[str, SimulatedFlavour] = {"mysql": Mysql, "mariadb": Mariadb}
