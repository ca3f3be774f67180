"""The cluster that a drill acts on: a sandbox of its own, or the one of a configuration file.

What the drill knows it asks the running supervisor, the balancers and the two servers; what it does
to a server it does to the server's process, on this machine or through a shell on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import pymysql
from pymysql.err import MySQLError

from myha.balancers.factory import make_balancers
from myha.config import Account, Config, load
from myha.core.journal_line import Line
from myha.database.codes import OFFLINE_MODE
from myha.database.connection import translate
from myha.database.flavours import MYSQL, Flavour, flavour_of
from myha.database.session import Session
from myha.drill.acting import ActingClient
from myha.drill.quorum import Quorum
from myha.drill.rows import IdRow, Row, Tables
from myha.errors import MyhaError, RefusedError, ServerError
from myha.hosts.docker import DockerHost
from myha.hosts.local import LocalHost, accepts_tcp
from myha.hosts.remote import RemoteHost
from myha.hosts.shell import Shell
from myha.hosts.signals import ignored
from myha.ports import Host
from myha.progress import Tell
from myha.sandbox.cluster import Cluster
from myha.sandbox.network.layout import CLIENT, supervisor_name
from myha.sandbox.network.network import Network
from myha.sandbox.state import Durability, Mode
from myha.supervisor.client import Client
from myha.supervisor.status import Status
from myha.undo.quarantine import FOLDER as QUARANTINE_FOLDER
from myha.waiting import wait_until

Fit: TypeAlias = Callable[[Cluster], None]
DATABASE = "app"
CALL_SECONDS = 10.0
EVENTS_PAGE = 1000
CONVERGE_DEADLINE_SECONDS = 30.0
STALLED_SECONDS = 3.0  # in a sandbox, so that a round is not longer than it has to be
# What a sandbox's supervisor may do by itself: all that the scenarios show.
HEAL_POLICY = ("resume", "rewind", "reseed", "manual")


@dataclass
class Target:
    """A cluster with its processes. `supervisor` is None where the drill may not end it.

    `hosts` lacks a node whose process cannot be reached.
    """

    config: Config
    hosts: dict[str, Host]
    supervisor: LocalHost | None = None
    cluster: Cluster | None = None  # of a sandbox
    fit: Fit | None = None  # for which scenarios that was made
    quorum: Quorum | None = None  # of several supervisors, where the drill may end them
    in_containers: bool = False  # made for the drill, of containers
    account: Account = field(init=False)
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.account = self.config.accounts.drill()
        self.client = self._client()
        self.balancers = list(make_balancers(self.config).values())
        self.server_version = ""
        self.flavour: Flavour = MYSQL
        self.server_ids: dict[str, int] = {}

    def _client(self) -> Client:
        cluster = self.cluster
        if cluster is None or len(cluster.supervisors) == 1:
            return Client(self.config)
        numbers = range(1, len(cluster.supervisors) + 1)
        return ActingClient(tuple(load(cluster.config_path_of(number)) for number in numbers))

    @property
    def network(self) -> Network:
        """The sandbox's own. Raises RefusedError where there is none."""
        if self.cluster is None or self.cluster.network is None:
            raise RefusedError("there is no network whose links could be cut: use --network")
        return self.cluster.network

    # -- the supervisor --------------------------------------------------------------------------

    def status(self) -> Status:
        """What the supervisor says of the cluster. Raises MyhaError when there is none."""
        return self.client.status()

    @property
    def acting_host(self) -> str:
        """The host of the supervisor that acts, of the first one where none does just now."""
        number = 0
        if isinstance(self.client, ActingClient):
            with suppress(MyhaError):
                number = self.client.acting()
        return supervisor_name(number + 1)

    def events(self, after: int) -> list[Line]:
        """The journal's lines with an id above `after`, oldest first (at most EVENTS_PAGE)."""
        return self.client.events(EVENTS_PAGE, after)

    def last_event_id(self) -> int:
        events = self.client.events(1)
        return events[-1].id if events else 0

    def learn(self) -> None:
        """Version, flavour, server ids and where the processes are, from the servers themselves."""
        for name, node in self.config.nodes.items():
            with self.session(node.host, node.port, database=None) as session:
                sql = "SELECT VERSION(), @@server_id, @@hostname, @@datadir, @@pid_file"
                version, server_id, machine, data_dir, pid_file = session.query(sql)[0]
                self.flavour = flavour_of(session)
            host = self.hosts.get(name)
            if isinstance(host, RemoteHost):
                host.aim(str(PurePosixPath(data_dir) / pid_file), str(machine))
            self.server_ids[name] = int(server_id)
            self.server_version = str(version)

    @property
    def quarantine(self) -> Path:
        """Where the supervisor keeps what a heal took out of the live data."""
        return self.config.cluster.state_dir / QUARANTINE_FOLDER

    def machines(self) -> dict[str, LocalHost]:
        """Every process of a sandbox: servers, supervisors and members of etcd by name, and
        `balancer`.

        Raises RefusedError for a cluster that is none.
        """
        if self.cluster is None or self.supervisor is None:
            raise RefusedError("the drill may end all processes in a sandbox only: use --sandbox")
        supervisors = {one.name: one for one in self.cluster.supervisors}
        balancer = {"balancer": self.cluster.haproxy}
        return {**supervisors, **balancer, **self.cluster.servers, **self.cluster.etcd}

    # -- the data --------------------------------------------------------------------------------

    @property
    def writer_address(self) -> tuple[str, int]:
        return self.config.writer_address

    def make_tables(self) -> None:
        """Fresh tables, made through the balancer like an application's, and seen on both nodes."""
        statements = self.flavour.statements("drill")
        with self.session(*self.writer_address, database=None) as session:
            session.run(statements.all("drill_database", database=f"`{DATABASE}`"))
            session.query(f"USE `{DATABASE}`")
            session.run(statements.all("drill_tables"))
        self.await_same_rows()

    def drop_tables(self) -> None:
        statements = self.flavour.statements("drill")
        with self.session(*self.writer_address) as session:
            for (event,) in session.query(statements.one("drill_rests")):
                session.query(statements.one("drill_drop_rests", event=event))
            session.run(statements.all("drill_drop"))

    def await_same_rows(self) -> None:
        """Wait until all servers hold the same rows; gives up at the deadline without a word."""

        def converged() -> bool:
            sums = {self._sums(name) for name in self.config.servers}
            return len(sums) == 1 and None not in sums

        wait_until(converged, CONVERGE_DEADLINE_SECONDS)

    def _sums(self, name: str) -> tuple[Any, ...] | None:
        try:
            with self.node_session(name) as session:
                return session.query(self.flavour.statements("drill").one("drill_sums"))[0]
        except ServerError:
            return None

    def tables(self, name: str) -> Tables:
        """What one node holds, read from it directly; a fenced one lets administrators in only."""
        try:
            with self.node_session(name) as session:
                return self.tables_in(session)
        except ServerError as error:
            if error.code != OFFLINE_MODE:
                raise
        with self.administrator(name) as session:
            return self.tables_in(session)

    def table_names(self, name: str) -> frozenset[str]:
        """The tables of the drill's database on one node."""
        with self.node_session(name) as session:
            return frozenset(str(one) for (one,) in session.query("SHOW TABLES"))

    def tables_in(self, session: Session) -> Tables:
        """The same of a session that is there already."""
        statements = self.flavour.statements("drill")
        rows = session.query(statements.one("drill_rows"))
        ids = session.query(statements.one("drill_id_rows"))
        return Tables(tuple(Row(*row) for row in rows), tuple(IdRow(*row) for row in ids))

    @contextmanager
    def session(
        self, host: str, port: int, *, database: str | None = "", account: Account | None = None
    ) -> Iterator[Session]:
        """A session of the drill's account, or another. Raises ServerError with one line."""
        who = account or self.account
        where = f"{who.user!r} at {host}:{port}"
        options: dict[str, Any] = {"ssl_disabled": True}
        if self.config.accounts.tls != "off":
            options = {}
        try:
            connection = pymysql.connect(
                host=host,
                port=port,
                user=who.user,
                password=who.password.get_secret_value(),
                database=DATABASE if database == "" else database,
                connect_timeout=CALL_SECONDS,
                read_timeout=3 * CALL_SECONDS,
                autocommit=True,
                program_name="myha-drill",
                **options,
            )
        except (MySQLError, OSError) as error:
            raise translate(error, where, CALL_SECONDS, connecting=True) from error
        with Session(connection, 3 * CALL_SECONDS, where=where) as session:
            yield session

    def node_session(self, name: str) -> AbstractContextManager[Session]:
        """A session of the drill's account on one node itself, past the balancer."""
        node = self.config.servers[name]
        return self.session(node.host, node.port)

    def administrator(self, name: str) -> AbstractContextManager[Session]:
        """An administrator's session on one node itself. Raises ServerError, or ConfigError when
        the configuration has no password for it."""
        node = self.config.servers[name]
        return self.session(node.host, node.port, account=self.config.accounts.admin())


def of_config(path: Path, pair: str | None = None) -> Target:
    """The running cluster of a configuration file, with the processes that it gives a way to."""
    config = load(path, pair)
    found = {name: _host(config, name) for name in config.nodes}
    return Target(config, {name: host for name, host in found.items() if host is not None})


def _host(config: Config, name: str) -> Host | None:
    node = config.nodes[name]
    ready = _serves(node.host, node.port)
    if node.container:
        return DockerHost(f"node {name}", node.container, ready=ready)
    if node.pid_file is not None:
        return LocalHost(
            f"node {name}",
            node.start_command,
            pid_file=node.pid_file,
            log_file=config.cluster.state_dir / f"drill-{name}.log",
            ready=ready,
        )
    if node.shell and node.start_command:
        return RemoteHost(
            f"node {name}",
            Shell(name, node.shell),
            start_command=node.start_command,
            stop_command=node.stop_command,
            ready=ready,
        )
    return None


def _serves(host: str, port: int) -> Callable[[], bool]:
    return lambda: accepts_tcp(host, port)


@contextmanager
def sandbox(
    flavour: str,
    mode: Mode,
    durability: Durability | None,
    tell: Tell,
    heal: Sequence[str] = HEAL_POLICY,
    *,
    watchdog_seconds: float = 0.0,
    replicas: int = 0,
    network: bool = False,
    address: bool = False,
    supervisors: int = 1,
    api: bool = True,
    fit: Fit | None = None,
) -> Iterator[Target]:
    """A sandbox of the drill's own: up at the start of the block, gone at its end.

    `heal` becomes its heal.policy, `watchdog_seconds` its failover.watchdog_seconds; ConfigError
    when they may not be so. With `network` the block runs on
    the client's host: this thread, and all that it starts there. With `address` its clients use
    the one that the balancers share. With several `supervisors` they have three members of etcd.
    Without `api` nobody answers HTTP. `fit` makes the sandbox ready for a scenario before anything
    of it runs.
    """
    cluster = Cluster.create(
        *(None, flavour, mode, durability, tell),
        replicas=replicas,
        network=network,
        address=address,
        etcd=3 if supervisors > 1 else 0,
        supervisors=supervisors,
        api=api,
    )
    try:
        _configure(cluster, heal, watchdog_seconds)
        if fit is not None:
            fit(cluster)
        cluster.up(output=lambda _line: None)
        from_there = nullcontext() if cluster.network is None else cluster.network.inside(CLIENT)
        with from_there:
            config = load(cluster.config_path)
            quorum = None
            if len(cluster.supervisors) > 1:
                quorum = Quorum(cluster.supervisors, cluster.etcd, cluster.etcd_disks)
            yield Target(
                config,
                dict(cluster.servers),
                cluster.supervisor,
                cluster,
                fit=fit,
                quorum=quorum,
            )
    finally:
        if cluster.directory.exists():
            tell("taking the sandbox down")
            with ignored():
                cluster.down()


def _configure(cluster: Cluster, heal: Sequence[str], watchdog_seconds: float) -> None:
    """A sandbox made for drills: its writer is killed more often than a sane cluster's.

    The guard against flapping would, rightly, end the drill after three rounds.
    """
    for number in range(1, len(cluster.supervisors) + 1):
        _configure_one(cluster.config_path_of(number), heal, watchdog_seconds)


def _configure_one(path: Path, heal: Sequence[str], watchdog_seconds: float) -> None:
    with path.open("a") as file:
        file.write("\n[failover]\nflap_limit = 100\nflap_window_seconds = 60.0\n")
        file.write(f"stalled_seconds = {STALLED_SECONDS}\n")
        file.write(f"watchdog_seconds = {watchdog_seconds}\n")
        file.write(f"\n[heal]\npolicy = {json.dumps(list(heal))}\n")
    load(path)
