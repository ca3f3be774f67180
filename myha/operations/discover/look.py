"""Looking at a running server and its peer. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from myha.config import Account, join_address, split_address
from myha.database.codes import ACCESS_DENIED
from myha.database.connection import Endpoint, connect
from myha.database.flavours import flavour_of
from myha.database.session import Session
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.operations.discover.found import ConnectedReplica, FoundServer
from myha.operations.log_in import denied
from myha.operations.setup.gather import LOOPBACK, global_variables
from myha.operations.setup.writes import SAMPLE_SECONDS, sample
from myha.progress import Tell

CONNECT_DEADLINE_SECONDS = 5.0
STATEMENT_DEADLINE_SECONDS = 30.0
Address = tuple[str, int]


def look_at_pair(
    start: Address, peer: Address | None, account: Account, tell: Tell
) -> tuple[FoundServer, FoundServer]:
    """The server at `start` and its peer, `peer` or else the one that it replicates with.

    Raises MyhaError with one sentence when there is none, or not one that can be told.
    """
    with ExitStack() as stack:
        session = stack.enter_context(_session(start, account))
        first = _look(session, start)
        title = f"{join_address(*start)}: {first.flavour.title} {first.version}"
        tell(f"{title}, server id {first.server_id}")
        address = peer or peer_of(first)
        try:
            other = stack.enter_context(_session(address, account))
        except ServerError as error:
            raise MyhaError(
                f"{error}; this is the peer as {join_address(*start)} knows it: name it with "
                "--peer HOST[:PORT] as it is reached from here"
            ) from None
        second = _look(other, address)
        tell(
            f"{join_address(*address)}: {second.flavour.title} {second.version}, server id "
            f"{second.server_id}"
        )
        tell(f"watching for {SAMPLE_SECONDS:.0f} s which of them takes writes")
        writes = sample({"first": session, "second": other})
        return replace(first, writes=writes["first"]), replace(second, writes=writes["second"])


def _session(address: Address, account: Account) -> Session:
    where = join_address(*address)
    try:
        connection = connect(
            Endpoint(*address),
            account,
            connect_timeout_seconds=CONNECT_DEADLINE_SECONDS,
            read_timeout_seconds=CONNECT_DEADLINE_SECONDS,
        )
    except ServerError as error:
        text = str(error)
        if error.code == ACCESS_DENIED:
            text = f"{denied(text, account)}; --user names another account"
        elif isinstance(error, ServerGoneError | ServerSilentError):
            text += "; is that the address of a server (and not of a balancer), and does it run?"
        raise type(error)(text, error.code) from None
    return Session(connection, STATEMENT_DEADLINE_SECONDS, where=where)


def _look(session: Session, address: Address) -> FoundServer:
    flavour = flavour_of(session)
    variables = global_variables(session)
    return FoundServer(
        host=address[0],
        port=address[1],
        flavour=flavour,
        version=str(session.value("SELECT VERSION()")),
        server_id=int(variables["server_id"]),
        variables=variables,
        channels=flavour.channels(session),
        filters=flavour.filters(session),
        replicas=tuple(_replicas(session, flavour.replicas_sql)),
    )


def _replicas(session: Session, statement: str) -> Iterator[ConnectedReplica]:
    for row in session.query_named(statement):
        known = {name.lower(): value for name, value in row.items()}
        yield ConnectedReplica(
            int(known["server_id"]), str(known["host"] or ""), int(known["port"] or 0)
        )


def peer_of(first: FoundServer) -> Address:
    """Where its peer is: its source; else the only server that replicates from it."""
    where = join_address(first.host, first.port)
    sources = sorted({channel.source for channel in first.channels})
    if len(sources) > 1:
        raise MyhaError(
            f"{where}: replicates from several servers ({', '.join(sources)}): a pair has two; end "
            "the replication from all but its peer first"
        )
    if sources:
        return _seen_from_here(split_address(sources[0]), first)
    named = [one for one in first.replicas if one.host]
    if len(first.replicas) == 1 and named:
        one = named[0]
        return _seen_from_here((one.host, one.port or first.port), first)
    if first.replicas:
        ids = ", ".join(str(one.server_id) for one in first.replicas)
        raise MyhaError(
            f"{where}: replicates from nobody, and it does not know which of those that replicate "
            f"from it (server ids {ids}) is its peer, or at what address (their report_host says "
            "that): name it with --peer HOST[:PORT]"
        )
    raise MyhaError(
        f"{where}: replicates from nobody, and nobody from it: a configuration for new servers is "
        "written by `myha init` without --from"
    )


def _seen_from_here(address: Address, first: FoundServer) -> Address:
    """Its own loopback address is that of its host."""
    host, port = address
    return (first.host, port) if host in LOOPBACK else (host, port)
