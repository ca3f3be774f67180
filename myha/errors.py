"""The errors that reach a user: one line each, saying what is wrong, where, and what to do."""


class MyhaError(Exception):
    """A cluster that is not as it should be, or a step that did not succeed (exit status 1)."""

    exit_status = 1


class ConfigError(MyhaError):
    """A wrong call or configuration: names the file, the key and the remedy (exit status 2)."""

    exit_status = 2


class RefusedError(MyhaError):
    """Something myha will not do; carries the reason and the command that overrides it."""

    def __init__(self, reason: str, override: str | None = None) -> None:
        super().__init__(reason if override is None else f"{reason}; to override: {override}")
        self.reason = reason
        self.override = override


class MissingProgramError(MyhaError):
    """A server program that is neither installed nor to be fetched; says what to install."""


class CodedError(MyhaError):
    """Somebody else's refusal or failure; `code` is their number for it, 0 when unknown."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class ServerError(CodedError):
    """A call to a database server failed."""


class ClaimedError(ServerError):
    """The server is another supervisor's: this one does nothing there."""


class ServerGoneError(ServerError):
    """The connection broke or was refused: the server may be dead."""


class ServerSilentError(ServerError):
    """No answer before the call's deadline: the server may be hung or out of reach."""


class SupervisorAwayError(MyhaError):
    """No supervisor runs here, or the one that does answers nothing."""


class SupervisorInLineError(SupervisorAwayError):
    """The one that runs here does not act, since another has the lease: it stands by for that.

    `other_balancers` is how the balancers in the file of that one differ from those in ours, which
    the text says too; empty where they do not, as far as is known.
    """

    def __init__(self, text: str, other_balancers: str = "") -> None:
        super().__init__(text)
        self.other_balancers = other_balancers


class BalancerError(MyhaError):
    """A balancer did not answer, or did not do what it was told."""


class StoreError(CodedError):
    """The store refuses a call."""


class StoreSilentError(StoreError):
    """The store does not answer: whether a change was made is not known."""


class LeaseHeldError(MyhaError):
    """Another supervisor has the lease; the message is who that is.

    `balancers`: those that it steers; None: it does not say.
    """

    def __init__(self, text: str, balancers: frozenset[str] | None = None) -> None:
        super().__init__(text)
        self.balancers = balancers


class StoreConflictError(MyhaError):
    """A compare-and-set met another value than it expected: somebody else decided meanwhile."""
