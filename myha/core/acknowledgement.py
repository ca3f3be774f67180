"""Who can acknowledge a commit, and whether that is sure to be the standby. Pure.

Semi-synchronous replication counts acknowledgements, not who gave them: any replica that asked for
it releases a waiting commit. So what the writer says of its own waiting is not enough to promise
that the standby has a write; the connections behind it have to be told apart. MySQL names the
server at the other end of each. MariaDB names the servers, and counts the connections that
acknowledge, without saying which is which: with more than one replica connected only the count and
the standby's own word can tell whether somebody else is among them.
"""

from __future__ import annotations

from myha.core.node import Acknowledger, NodeLook, SemiSync
from myha.core.values import value


@value(frozen=True, slots=True)
class Standby:
    """The standby as its source knows it (`identities`, see `Acknowledger`), and its own word on
    whether its receiver is connected and acknowledges."""

    identities: tuple[str, ...] = ()
    acknowledges: bool = False


def standby_of(look: NodeLook | None) -> Standby:
    """As a look found it; nobody's, where there has been none."""
    if look is None:
        return Standby()
    return Standby((look.server_uuid, str(look.server_id)), look.semisync.replica_acknowledges)


def strays(here: SemiSync, standby: Standby) -> tuple[Acknowledger, ...]:
    """The connections other than the standby's that can acknowledge commits.

    Where the server does not tell which of its replicas acknowledge, those that it may be: more
    than there are acknowledging ones.
    """
    nameless = tuple(one for one in here.acknowledgers if not one.identity)
    if nameless:
        return nameless if _strays_counted(here, standby) else ()
    return tuple(one for one in here.acknowledgers if not _is(one, standby))


def stray_count(here: SemiSync, standby: Standby) -> int:
    """How many others can acknowledge."""
    if any(not one.identity for one in here.acknowledgers):
        return _strays_counted(here, standby)
    return len(strays(here, standby))


def surely_without_standby(here: SemiSync, standby: Standby) -> bool:
    """A commit could be acknowledged without the standby, whatever that one says by now."""
    named = sum(bool(one.identity) and not _is(one, standby) for one in here.acknowledgers)
    nameless = any(not one.identity for one in here.acknowledgers)
    others = here.source_clients - 1 if nameless else named
    return here.source_enabled and others >= here.source_wait_count > 0


def standby_among(here: SemiSync, standby: Standby) -> bool:
    """The standby's connection is one of those that acknowledge."""
    if any(_is(one, standby) for one in here.acknowledgers):
        return True
    nameless = any(not one.identity for one in here.acknowledgers)
    return nameless and here.source_clients > 0 and standby.acknowledges


def only_with_standby(here: SemiSync, standby: Standby) -> bool:
    """No commit is acknowledged without the standby: it is the only one who can, or so many
    acknowledgements are waited for that its own must be among them."""
    enough = here.source_wait_count > stray_count(here, standby)
    return standby_among(here, standby) and enough


def _is(one: Acknowledger, standby: Standby) -> bool:
    return one.identity in standby.identities


def _strays_counted(here: SemiSync, standby: Standby) -> int:
    return max(0, here.source_clients - (1 if standby.acknowledges else 0))
