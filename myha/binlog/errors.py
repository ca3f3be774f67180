"""Why a heal, or one way of it, is not possible: nothing was changed, the next way may be tried."""

from myha.errors import RefusedError


class HealRefusedError(RefusedError):
    """This way of healing a node is out of reach; what it says it changed is in the reason."""


class RewindRefusedError(HealRefusedError):
    """These transactions cannot be undone exactly; nothing on the server was changed."""


class TornTransactionError(RewindRefusedError):
    """A transaction's end is not in the binary log: the file was cut off in its middle."""


class LookAgainError(RewindRefusedError):
    """Somebody else is at work on the server: nothing was changed, and it may be tried again."""


class DecodeError(HealRefusedError):
    """What the binary log or a table holds cannot be turned into values without a guess."""
