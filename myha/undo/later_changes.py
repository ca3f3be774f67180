"""Whether a transaction that stays was built upon one that is to be taken out of its history.

The first later change of a row that an errant transaction wrote has, byte for byte, the errant row
as its before image. Undoing the errant change under it would silently destroy the later one, since
a server looks a row up by its key alone; merging it would leave the two nodes with different rows.
"""

from hashlib import blake2b

from myha.binlog.errors import RewindRefusedError
from myha.binlog.transactions import Logged
from myha.undo.inverse import changes

MAX_ROWS = 500_000  # remembered, about 100 bytes each


class LaterChanges:
    """Finds a kept transaction that built on a row which an errant one had written.

    Rows are remembered by a hash of 64 bits: two that agree by chance are refused, which is safe.
    Of more than `MAX_ROWS` errant rows it says only whether something came after them.
    """

    def __init__(self) -> None:
        self._written: set[int] = set()
        self._too_many = False
        self._any_errant = False

    def errant(self, name: str, after: bytes | None) -> None:
        """Remember one row that an errant transaction changed: what it wrote, None if nothing."""
        self._any_errant = True
        if after is None or self._too_many:
            return
        self._written.add(_hash(name, after))
        self._too_many = len(self._written) > MAX_ROWS

    def kept(self, transaction: Logged) -> None:
        """Raises RewindRefusedError when this kept transaction built on an errant row."""
        if not self._any_errant:
            return
        try:
            touched = self._touched_table(transaction)
        except RewindRefusedError as error:
            raise RewindRefusedError(f"after the errant transactions: {error.reason}") from error
        if touched is not None:
            raise RewindRefusedError(
                f"transaction {transaction.gtid}, which stays, changed a row of {touched} that an"
                " errant transaction had written before"
            )

    def _touched_table(self, transaction: Logged) -> str | None:
        for rows in changes(transaction):
            name = rows.table.name
            before = [one for one, _ in rows.images if one]
            if before and self._too_many:
                raise RewindRefusedError(
                    f"transaction {transaction.gtid} came after more than {MAX_ROWS} errant"
                    " rows, too many to compare it with"
                )
            if any(_hash(name, one) in self._written for one in before):
                return name
        return None


def _hash(name: str, image: bytes) -> int:
    return int.from_bytes(blake2b(name.encode() + b"\0" + image, digest_size=8).digest(), "little")
