"""How an operation logs in to a node of the configuration."""

from __future__ import annotations

from functools import partial

from myha.config import Account, Config
from myha.database.codes import ACCESS_DENIED
from myha.database.connection import Connect, Connection, Endpoint, connect
from myha.database.flavours import Flavour, flavour_of
from myha.database.session import Session
from myha.errors import ServerError, ServerGoneError, ServerSilentError

CONNECT_DEADLINE_SECONDS = 5.0


def log_in(
    config: Config,
    node: str,
    account: Account,
    *,
    seconds: float = CONNECT_DEADLINE_SECONDS,
    local_files: bool = False,
) -> Connection:
    """A connection to one node; the error names the node and tells what to correct.

    `seconds`: how long it may take. `local_files`: it may send what LOAD DATA LOCAL asks for.
    Raises ServerGoneError, ServerSilentError or ServerError.
    """
    one = config.servers[node]
    try:
        return connect(
            Endpoint(one.host, one.port),
            account,
            connect_timeout_seconds=seconds,
            read_timeout_seconds=seconds,
            tls=config.accounts.tls,
            local_files=local_files,
        )
    except ServerError as error:
        text = f"{node}: {error}"
        if error.code == ACCESS_DENIED:
            text = denied(text, account)
        elif isinstance(error, ServerGoneError | ServerSilentError):
            text += f"; check {config.table_of(node)}.host and port, and that the server runs"
        raise type(error)(text, error.code) from None


def denied(text: str, account: Account) -> str:
    """The text of an error of a login, with whose it was."""
    return text.replace("access denied:", f"access denied to {account.user!r}:", 1)


def flavour_at(config: Config, node: str, account: Account) -> Flavour:
    """Which kind of server a node is."""
    with Session(log_in(config, node, account), CONNECT_DEADLINE_SECONDS) as session:
        return flavour_of(session)


def connector(config: Config, node: str, account: Account) -> Connect:
    """Makes a new connection at each call."""
    return partial(log_in, config, node, account)
