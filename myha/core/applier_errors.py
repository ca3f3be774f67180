"""What the numbers of an applier's errors say: one list for what is decided and what is told. Pure.

The numbers are the servers' own (both flavours share them where they exist on both; those of MySQL
from 13000 on are of errors that no client gets, `perror` names them).
"""

from __future__ import annotations

OTHER = "other"  # the class of a number that is not known
RELAY_LOG = "relay-log"

_CLASSES = {
    "duplicate-key": {1022, 1062, 1169, 1586, 1859},
    "missing-row": {1032},
    "foreign-key": {1216, 1217, 1451, 1452, 1761},
    "schema": {
        1007, 1008, 1048, 1049, 1050, 1051, 1054, 1060, 1061, 1072, 1091, 1136, 1146, 1264, 1304,
        1305, 1347, 1356, 1364, 1366, 1406, 1526, 1535, 1677, 1748, 3819, 4025, 13146,
    },
    "waiting": {1180, 1205, 1213, 1614, 3572},
    "prepared": {1397, 1440},
    "no-room": {3, 1021, 1026, 1030, 1037, 1038, 1041, 1114, 1153, 1197, 1534, 13132, 13133},
    RELAY_LOG: {1594, 1595, 1610, 1744, 13121, 13122},
    "settings": {1044, 1142, 1227, 1290, 1370, 1396, 1410, 1665, 1666, 1785, 1786, 1787, 1836},
}  # fmt: skip
_CLASS_OF = {number: name for name, numbers in _CLASSES.items() for number in numbers}

CLASSES = (*_CLASSES, OTHER)
OF_ROWS = frozenset({"duplicate-key", "missing-row", "foreign-key"})
# The node's data or tables are not the writer's: no waiting and no starting again changes that.
NEEDS_OTHER_DATA = OF_ROWS | {"schema", "prepared"}


def class_of(errno: int) -> str:
    """The class of an error, `other` for a number that is not known."""
    return _CLASS_OF.get(errno, OTHER)


def needs_other_data(errno: int) -> bool:
    """Whether only other data help the node: what has failed will fail again."""
    return class_of(errno) in NEEDS_OTHER_DATA


def relay_log_is_damaged(errno: int) -> bool:
    """Whether the applier goes on once it is given what it has not applied anew."""
    return class_of(errno) == RELAY_LOG
