"""Reading the errant transactions of a node out of its binary log, one event at a time."""

from collections.abc import Callable, Iterator

from myha.binlog.errors import RewindRefusedError, TornTransactionError
from myha.binlog.node import Node
from myha.binlog.stream import POSITION_LOST
from myha.binlog.transactions import StreamedTransaction, streamed
from myha.core.gtid import GtidSet
from myha.database.flavours.base import Gtid
from myha.errors import MyhaError, ServerError


def read_errant(
    node: Node,
    errant: GtidSet,
    kept: GtidSet,
    *,
    for_kept: Callable[[StreamedTransaction], None] | None = None,
) -> Iterator[StreamedTransaction]:
    """The transactions of `errant`, oldest first; take what you need of each before the next.

    `kept` is what the node has besides. `for_kept` gets each of those that comes after the first
    errant one. Raises RewindRefusedError, at the end at the latest, when the binary log does not
    hold each of them once; ServerError when it cannot be read.
    """
    file, offset = _beginning(node, errant, kept)
    found: list[Gtid] = []
    for transaction in streamed(node.events_from(file, offset)):
        if node.flavour.holds(errant, transaction.gtid):
            found.append(transaction.gtid)
            yield transaction
        elif for_kept is not None:
            _pass_on(for_kept, transaction, committed=node.flavour.holds(kept, transaction.gtid))
    missing = node.flavour.missing(errant, found)
    names = {(gtid.origin, gtid.number) for gtid in found}
    if not missing.is_empty() or len(names) != len(found):
        raise RewindRefusedError(f"the binary log does not hold {missing or errant} once")


def _pass_on(
    for_kept: Callable[[StreamedTransaction], None],
    transaction: StreamedTransaction,
    *,
    committed: bool,
) -> None:
    try:
        for_kept(transaction)
    except TornTransactionError:
        if committed:
            raise


def _beginning(node: Node, errant: GtidSet, kept: GtidSet) -> tuple[str, int]:
    """File and byte where the first errant one stands."""
    for transaction in streamed(node.events_after(kept)):
        if node.flavour.holds(errant, transaction.gtid):
            return transaction.file, transaction.offset
    raise RewindRefusedError(f"the binary log does not hold {errant}")


def refusal_of(error: ServerError) -> MyhaError:
    """A refusal where the server says that it no longer has what was asked for."""
    if error.code == POSITION_LOST:
        return RewindRefusedError(f"its binary logs no longer hold what is errant: {error}")
    return error
