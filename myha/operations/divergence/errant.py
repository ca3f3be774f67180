"""Which transactions a node has that the writer lacks, without ever accusing a busy pair.

Two things could make a healthy pair look diverged, and each has its answer:

- The order of reading. The node's executed set is read FIRST, then the writer's. Sets only grow, so
  that whatever the node had got from the writer at the first reading is in the writer's set at the
  second. The other way round, everything that was written and replicated between the two readings
  would look errant.
- Transactions under way. One that the writer has sent and not finished committing is not in its
  executed set yet (it waits for the acknowledgement of the very node that has it); and one that the
  node itself wrote, with the pair replicating in both directions, needs a moment to arrive. So what
  looks errant is looked for a second time, in a later and larger set of the writer's, and again
  until the time for it is up. Only the suspects of the first look are asked for: those that come
  after it are the next look's business.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

from myha.binlog.node import Node
from myha.core.gtid import GtidSet

CONFIRM_SECONDS = 2.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ErrantLook:
    """What a look has found. `errant` is empty on a pair that has not diverged."""

    executed: GtidSet  # the node's set, as it was read first
    errant: GtidSet
    kept: GtidSet  # what both have, by the writer's names
    on_its_way: bool = False  # the writer replicates from the node, so these may arrive yet

    @property
    def diverged(self) -> bool:
        return not self.errant.is_empty() and not self.on_its_way


class InspectedNode(Node):
    """A session that only looks."""

    errand: ClassVar[str] = "inspection of the server"


def look_for_errant(node: Node, writer: Node) -> ErrantLook:
    """Compare the two. Takes up to `CONFIRM_SECONDS` when something looks errant.

    Raises ServerError when one of them cannot be asked.
    """
    executed = node.executed()
    theirs = writer.flavour.visible(writer)
    ends = time.monotonic() + CONFIRM_SECONDS
    first = True
    while not theirs.contains(executed) and (first or time.monotonic() < ends):
        first = False
        time.sleep(_PAUSE_SECONDS)
        theirs = writer.flavour.visible(writer)
    errant = executed.minus(theirs)
    on_its_way = not errant.is_empty() and _replicates(writer)
    return ErrantLook(executed, errant, executed.intersection(theirs), on_its_way)


def _replicates(side: Node) -> bool:
    """Whether its receiver is connected and its applier runs: what the peer has is on its way."""
    return side.flavour.threads(side).get("") == ("ON", "ON")
