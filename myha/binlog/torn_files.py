"""Reading a MariaDB binary log on behind the place where a killed server cut a file off.

A server that is killed while it writes leaves half an event at the end of the file. MySQL cuts such
an end away when it starts; MariaDB leaves it there and begins the next file, and a dump ends with
an error when it comes to that place, for a replica as for us. What stands there was never
committed: the server's recovery goes by what is whole in the file. But a file that was damaged
later looks the same, and from that one nothing may be missing unnoticed.
"""

from collections.abc import Callable, Iterable, Iterator

from myha.binlog import events
from myha.binlog.events import EventType, RawEvent
from myha.binlog.stream import TornLogError
from myha.errors import ServerError


class LostEndError(ServerError):
    """A file of the binary log lacks, at its torn end, what was committed."""


def past_torn_ends(
    stream: Iterable[RawEvent],
    next_file: Callable[[str], str | None],
    dump_file: Callable[[str], Iterable[RawEvent]],
) -> Iterator[RawEvent]:
    """The events of `stream`, and behind a torn end those of the files that follow.

    `next_file` names the file after another one, None when there is none; `dump_file` reads from
    the first byte of one. Raises TornLogError when there is no next file, and LostEndError when the
    next file's list of GTIDs says that committed transactions are missing.
    """
    lasts: dict[tuple[int, int], int] = {}
    while True:
        file = ""
        try:
            for event in stream:
                if event.type == EventType.ROTATE:
                    file = events.rotate_target(event)[0]
                elif event.type == EventType.MARIADB_GTID:
                    gtid = events.gtid(event)
                    lasts[int(gtid.origin), gtid.server_id] = gtid.number
                yield event
        except TornLogError as error:
            following = next_file(file)
            if following is None:
                raise
            stream = _checked(dump_file(following), dict(lasts), error)
        else:
            return


def _checked(
    stream: Iterable[RawEvent], lasts: dict[tuple[int, int], int], torn: ServerError
) -> Iterator[RawEvent]:
    """The same, when what the file says went before it is not more than what was read."""
    first = True
    for event in stream:
        if first and event.type == EventType.MARIADB_GTID_LIST:
            first = False
            before = events.gtid_list(event)
            if any(before.get(origin, 0) > number for origin, number in lasts.items()):
                raise LostEndError(f"{torn}; what was committed there is missing", torn.code)
        yield event
