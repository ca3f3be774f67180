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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from myha.binlog.node import Node
from myha.operations.divergence.history_queries import executed_or_under_way, replicates

CONFIRM_SECONDS = 2.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ErrantLook:
    """What a look has found. `errant` is empty on a pair that has not diverged."""

    executed: Any  # the node's set, as it was read first
    errant: Any
    kept: Any  # what both have, by the writer's names
    on_its_way: bool = False  # the writer replicates from the node, so these may arrive yet

    @property
    def diverged(self) -> bool:
        return not self.errant.is_empty() and not self.on_its_way


def look_for_errant(
    node: Node[Any],
    writer: Node[Any],
    *,
    confirm_seconds: float = CONFIRM_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> ErrantLook:
    """Compare the two. Takes up to `confirm_seconds` when something looks errant.

    Raises ServerError when one of them cannot be asked.
    """
    executed = node.executed()
    theirs = executed_or_under_way(writer)
    ends = time.monotonic() + confirm_seconds
    first = True
    while not theirs.contains(executed) and (first or time.monotonic() < ends):
        first = False
        sleep(_PAUSE_SECONDS)
        theirs = executed_or_under_way(writer)
    errant = executed.minus(theirs)
    on_its_way = not errant.is_empty() and replicates(writer)
    return ErrantLook(executed, errant, executed.intersection(theirs), on_its_way)
