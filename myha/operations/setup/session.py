"""Sessions on one server: one that only looks, and an administrator's, for setup only.

Nothing that setup changes goes into the binary log unless it is asked for: both nodes are changed
alike, and neither may get an errant transaction from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

from myha.config import Account, Config
from myha.core.settings import is_on
from myha.database.connection import LEAST_SECONDS, Endpoint, Values
from myha.database.flavoured import FlavouredSession
from myha.database.flavours import Flavour, flavour_of
from myha.database.session import Deadline, Session
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.operations.log_in import CONNECT_DEADLINE_SECONDS, log_in

STATEMENT_DEADLINE_SECONDS = 60.0
SUBJECTS = ("setup", "setup_schema", "setup_grants", "release")


def named(flavour: Flavour, block: str, **words: str) -> tuple[str, ...]:
    """The statements of one block of sql/<flavour>/setup*.sql. KeyError when there is none."""
    for subject in SUBJECTS:
        found = flavour.statements(subject)
        if block in found.names():
            return found.all(block, **words)
    raise KeyError(block)


class NodeSession(FlavouredSession):
    """One connection. Its errors name the node. Raises them when it is made, too."""

    subject: ClassVar[str] = "setup"

    def __init__(
        self,
        config: Config,
        name: str,
        account: Account,
        *,
        limit: float | Deadline = STATEMENT_DEADLINE_SECONDS,
        local_files: bool = False,
    ) -> None:
        self.name = name
        where = f"{name}: {Endpoint(config.servers[name].host, config.servers[name].port)}"
        seconds = CONNECT_DEADLINE_SECONDS
        if isinstance(limit, Deadline):
            seconds = max(LEAST_SECONDS, min(seconds, limit.left_seconds))
        connection = log_in(config, name, account, seconds=seconds, local_files=local_files)
        flavour = flavour_of(Session(connection, limit, where=where))
        super().__init__(connection, flavour, limit, where=where)
        self.version = str(self.value("SELECT VERSION()"))


class ReadingSession(NodeSession):
    """One that can change nothing: the server itself refuses that."""

    def __init__(self, config: Config, name: str, account: Account, deadline: Deadline) -> None:
        super().__init__(config, name, account, limit=deadline)
        self.query("SET SESSION TRANSACTION READ ONLY")


class AdminSession(NodeSession):
    """One that carries out setup's statements."""

    def __init__(
        self, config: Config, name: str, account: Account, *, local_files: bool = False
    ) -> None:
        super().__init__(config, name, account, local_files=local_files)
        try:
            self.carry_out("session")
        except (ServerGoneError, ServerSilentError):
            raise  # a server that ends just now says nothing of an account
        except ServerError as error:
            raise ServerError(
                f"{error}; accounts.admin_user needs all privileges with GRANT OPTION there",
                error.code,
            ) from None

    def carry_out(self, block: str, values: Values = None, **words: str) -> None:
        """A block of setup's files; `words` fill `{words}` in, `values` `%(parameters)s`."""
        self.run(named(self.flavour, block, **words), {} if values is None else values)

    @contextmanager
    def writable(self) -> Iterator[None]:
        """Let this session write on a fenced server, while clients stay locked out by read_only."""
        if is_on(self.variable("super_read_only") or "OFF"):
            self.carry_out("super_read_only_off")
            with self._then("super_read_only_on"):
                yield
        else:
            yield

    @contextmanager
    def logged(self) -> Iterator[None]:
        """What this session writes now goes into the binary log, and so to the peer."""
        self.carry_out("session_logged")
        with self._then("session"):
            yield

    @contextmanager
    def _then(self, block: str) -> Iterator[None]:
        """Whatever ended the block is told, and not that an interrupted connection is broken."""
        try:
            yield
        except BaseException:
            with suppress(ServerError):
                self.carry_out(block)
            raise
        self.carry_out(block)
