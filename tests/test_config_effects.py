"""Every key of myha.toml changes what it says, seen where the program itself reads it.

Each key has one row: two values, and a look at what is built from the configuration. A key without
a row fails, and so does one whose two values make no difference, or another one than they should.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from click.testing import CliRunner

import myha.core
from myha.api.guard import Guard
from myha.api.listening import listening
from myha.api.order import tokens_file
from myha.api.process import server_config
from myha.api.tokens import TokenFile
from myha.balancers.haproxy.render import render_haproxy
from myha.balancers.keepalived.render import render_keepalived
from myha.cli import requests, run
from myha.config import TABLES, ApiConfig, Config, load, load_all
from myha.conflicts.watch import Watch
from myha.core.events import Event, Kind
from myha.core.planning import Decision, decide
from myha.core.policy import AddressPolicy, Durability, Mode, Policy, StrayRule
from myha.core.record import Membership, NodeRecord, Record, Sync
from myha.core.watchdog import Watchdog
from myha.drill import target
from myha.errors import MyhaError
from myha.notify.orders import PairOrder
from myha.operations.heal import run as heal_run
from myha.operations.heal.reseed import process as process_module
from myha.operations.heal.reseed.backup_fit import backup_words
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.heal.reseed.process import NodeProcess
from myha.operations.heal.work import admin_account
from myha.operations.quarantine.retention import Limits, limits_of
from myha.operations.verify import job as verify_job
from myha.servers.factory import make_followers
from myha.servers.mysql import MySQLServer
from myha.stores.etcd import kind as etcd_kind
from myha.stores.etcd.client import Login
from myha.stores.factory import supervisor_lease
from myha.stores.local.record import LocalRecordStore
from myha.supervisor import messages
from myha.supervisor import pair as pair_module
from myha.supervisor.api_process import ApiProcess
from myha.supervisor.client import Client
from myha.supervisor.housekeeping import conflicts_wanted
from myha.supervisor.log import LOG
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.process import LoneProcess
from tests.core.views import view
from tests.reporters import ListReporter

Keys = dict[str, dict[str, str]]  # table -> key -> TOML

BASE: Keys = {
    "cluster": {"state_dir": '"state"'},
    "nodes.a": {"host": '"10.0.0.1"'},
    "nodes.b": {"host": '"10.0.0.2"'},
    "balancers.lb1": {
        "socket": '"/run/haproxy/admin.sock"',
        "writer_listen": '"127.0.0.1:3307"',
        "reader_listen": '"127.0.0.1:3308"',
    },
}
ROLES = ("admin", "supervisor", "replication", "drill")


class Caught(Exception):  # noqa: N818  # it carries a value out, and is no error
    """What a command was about to do."""


class Built:
    """What the program makes of a file, each part when it is asked for."""

    def __init__(self, config: Config, patch: pytest.MonkeyPatch) -> None:
        self.config = config
        self.patch = patch
        self.open: list[PairSupervisor] = []

    @cached_property
    def pair(self) -> PairSupervisor:
        """The pair's supervisor as `myha run` makes it; it is not run."""
        nodes = tuple((n, NodeRecord(Membership.MEMBER, boot_id="1")) for n in self.config.names)
        store = LocalRecordStore(self.config.cluster.state_dir)
        store.compare_and_set(0, Record(1, 1, self.config.names[0], Sync.SOLO, nodes))
        store.close()
        self.patch.setattr(pair_module, "adapter_of", lambda _config: MySQLServer)
        made = PairSupervisor(self.config)
        self.open.append(made)
        return made

    @property
    def server(self) -> MySQLServer:
        one = self.pair.servers["a"]
        assert isinstance(one, MySQLServer)
        return one

    @property
    def policy(self) -> Any:
        return self.pair.loop.view.policy

    def setting(self, name: str) -> str:
        return next(s.value for s in self.server._drift.settings if s.variable == name)

    @property
    def rendered(self) -> str:
        return render_haproxy(self.config, "lb1")

    @property
    def keepalived(self) -> str:
        return render_keepalived(self.config, "lb1")

    def host(self) -> Any:
        """How the drill reaches the process of node a."""
        return target.of_config(self.config.path).hosts.get("a")

    def command(self, cli: Any, *words: str) -> Any:
        """What a command hands on, once it has read the file."""
        done = CliRunner().invoke(cli, words, obj={"config_path": self.config.path})
        assert isinstance(done.exception, Caught), done.output
        return done.exception.args

    def catch(self, module: object, name: str) -> None:
        def caught(*args: object, **more: object) -> None:
            raise Caught(*args, *more.values())

        self.patch.setattr(module, name, caught)

    def close(self) -> None:
        for one in self.open:
            one.lease.release()
            one.store.close()
            one.journal_file.close()


@dataclass(frozen=True)
class Effect:
    """`see` of the key's first and second value; `also` stands in both files."""

    values: tuple[str, str]  # as TOML
    seen: tuple[object, object]
    see: Callable[[Built], object]
    also: Keys = field(default_factory=dict)


def number(
    first: float, second: float, see: Callable[[Built], object], also: Keys | None = None
) -> Effect:
    """What is seen is the number itself."""
    return Effect((str(first), str(second)), (first, second), see, also or {})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def of_policy(name: str) -> Callable[[Built], object]:
    return lambda it: getattr(it.policy, name)


def _state_dir(it: Built) -> object:
    assert it.pair.name
    folder = it.config.cluster.state_dir
    assert list(folder.iterdir()), "the record is there"
    return folder.name


def _fences(it: Built) -> object:
    assert it.pair.tools.outside is not None
    try:
        it.pair.tools.outside.fence("a", 10.0)
    except MyhaError as error:
        return (it.policy.fence_commands, "no fence_command" in str(error))
    return (it.policy.fence_commands, True)


def _initialises(it: Built, name: str = "a") -> object:
    marker = it.config.path.parent / "made"
    process = NodeProcess(it.config, name, ListReporter())
    try:
        process.initialise()
    except MyhaError:
        return "refused"
    return marker.exists() or "ran"


def _replication(it: Built) -> object:
    """Where the peer of node b replicates from, for the adapter and for every decision."""
    source = it.pair.servers["b"]._source  # type: ignore[attr-defined]
    return (source.host, source.port, it.policy.source_of("b"))


def _account(role: str) -> Callable[[Built], object]:
    """The login as the part of the program that uses it holds it."""

    def see(it: Built) -> Any:
        if role == "supervisor":
            return it.server.account
        if role == "replication":
            assert it.server._source is not None
            return it.server._source.account
        if role == "admin":
            return admin_account(it.config)
        return target.of_config(it.config.path).account

    return see


def user_of(role: str) -> Effect:
    see = _account(role)

    def user(it: Built) -> object:
        found = see(it)
        return found.user  # type: ignore[attr-defined]

    return Effect(('"one"', '"other"'), ("one", "other"), user)


def password_of(role: str) -> Effect:
    see = _account(role)

    def password(it: Built) -> object:
        found = see(it)
        return found.password.get_secret_value()  # type: ignore[attr-defined]

    return Effect(('"first"', '"second"'), ("in first", "in second"), password)


def _increments(it: Built) -> object:
    return it.setting("auto_increment_offset")


def _comparison_due(it: Built) -> object:
    house = it.pair.housekeeping
    now = view()
    healthy = decide(now)
    house._healthy_since = now.at - 60.0
    return house._verify_due(now, Decision(healthy.verdicts))


def _compares(it: Built) -> object:
    it.catch(verify_job, "verify_pair")
    try:
        verify_job.run({"config": str(it.config.path)}, ListReporter())
    except Caught as caught:
        return caught.args[-1]
    return None


def _old_lines_stay(it: Built) -> bool:
    """Two megabytes of 1970 in the journal, once the supervisor has tidied."""
    journal = it.pair.journal_file
    with contextlib.closing(sqlite3.connect(journal._directory / "journal.sqlite")) as file, file:
        file.executemany(
            "INSERT INTO journal (at, wall, kind, text, fields) VALUES (0, 1.0, 'step', ?, '{}')",
            [("x" * 1000,)] * 2000,
        )
    journal.note(Kind.STEP, "the last", {})
    while it.pair._tidy():
        pass
    return len(journal.events(limit=10_000)) > 2000


def _limits(it: Built) -> Limits:
    found = limits_of(it.config)
    assert found is not None
    return found


def _limit(it: Built) -> object:
    it.catch(heal_run, "Limit")
    work: Any = type("Work", (), {"config": it.config, "reporter": ListReporter(), "order": None})()
    it.patch.setattr(heal_run, "_still_there", lambda *_: frozenset({"app.t"}))
    try:
        heal_run.verify_data(work, frozenset({"app.t"}))
    except Caught as caught:
        return caught.args[-1]
    return None


def _reads_conflicts(it: Built, *, ago_seconds: float = 10.0) -> object:
    now = view()
    assert now.record is not None
    record = replace(now.record, writer_since_wall=now.wall - ago_seconds)
    return conflicts_wanted(it.config, replace(now, record=record))


def _niceness(it: Built) -> object:
    it.catch(run, "go_first")
    return it.command(run.run)[0]


def _waits(it: Built) -> object:
    it.catch(Client, "request_until")
    return it.command(requests.switchover)[2]


def _watchdog(it: Built) -> object:
    """What decisions count, whose lease is kept, and for how long its sessions may be idle."""
    keepers = it.pair.keepers
    idle = [seconds for _, _, seconds in keepers["a"]._lease._sessions()] if keepers else None
    asked = it.pair.tools.leases is not None
    return (it.policy.watchdog, sorted(keepers) if asked else [], tuple(idle) if idle else None)


def _event_scheduler(it: Built) -> object:
    """What the supervisor keeps; setup makes the same list."""
    kept = {one.variable: one.value for one in it.server._drift.settings}
    return kept["event_scheduler"]


def _replica_process(it: Built) -> Any:
    return NodeProcess(it.config, "r1", ListReporter())


def _follower(it: Built) -> Any:
    return make_followers(it.config, kind=MySQLServer)["r1"].server


def _stops(it: Built) -> object:
    it.catch(process_module, "run_to_end")
    try:
        _replica_process(it).stop()
    except Caught as caught:
        return caught.args[1]
    return None


def of_replica(effect: Effect) -> Effect:
    """The same in a file with a replica."""
    also = {name: dict(rows) for name, rows in effect.also.items()}
    also.setdefault("replicas.r1", {}).setdefault("host", '"10.0.0.3"')
    return replace(effect, also=also)


def shared(values: tuple[str, str], seen: tuple[str, str], begins: str) -> Effect:
    """The first line of keepalived.conf that begins so, where there is a shared address."""

    def see(it: Built) -> object:
        lines = (line.strip() for line in it.keepalived.splitlines())
        return next((line for line in lines if line.startswith(begins)), "")

    return Effect(values, seen, see, also=SHARED)


def _address_password(it: Built) -> object:
    file = it.config.address.password_file
    assert file is not None
    file.write_text(f"{file.name}\n")
    return next(line.strip() for line in it.keepalived.splitlines() if "auth_pass" in line)


def _standings_policy(it: Built) -> object:
    """What the watcher of a balancer goes by when it tells it how it stands."""
    standing: Any = it.pair.driver.balancers["lb1"]._standing
    return standing.func._standings._policy


def _dns(it: Built) -> Any:
    """The name that follows the writer, as the pair's supervisor has it."""
    pointer: Any = it.pair.pointer
    return pointer._point.__self__


def _dns_key(it: Built) -> Any:
    """Name and bytes of the one key; its file holds its own name."""
    file = it.config.dns.key_file
    assert file is not None
    file.write_bytes(base64.b64encode(file.name.encode()) + b"\n")
    ((name, key),) = _dns(it)._keyring.items()
    return str(name), key


def _api(it: Built) -> ApiConfig:
    """As the process has it: it is of no pair."""
    return load_all(it.config.path).api


def _api_started(it: Built) -> bool:
    """Whether the process that answers HTTP is begun."""
    process = ApiProcess(("true",), lambda _config: {}, first_seconds=0.0)
    begun = threading.Event()

    def live(_made: object) -> str:
        begun.set()
        process.stop()
        return ""

    it.patch.setattr(process, "_live", live)
    it.patch.setattr(process, "_pause", lambda seconds: process.stop() if seconds else None)
    process.have(load_all(it.config.path))
    process._keeper.join()
    return begun.is_set()


def _api_listens(it: Built) -> tuple[str, int]:
    bound, _ = listening(_api(it), it.config.path.parent)
    with bound:
        host, port = bound.getsockname()
    return host, port


def _tls(name: str) -> Callable[[Built], object]:
    """The file that the server is made with."""

    def see(it: Built) -> object:
        made: dict[str, Any] = {}

        class Config:
            ssl = None

            def __init__(self, _app: object, **more: Any) -> None:
                made.update(more)

            def load(self) -> None: ...

        it.patch.setattr(uvicorn, "Config", Config)
        server_config(_api(it), cast("Any", None))
        return made[name].name

    return see


def _guard(it: Built) -> Any:
    return Guard(cast("Any", None), _api(it), TokenFile(Path("none")), 80)


NAMED: Keys = {
    "nodes.a": {"dns_address": '"192.0.2.8"'},
    "nodes.b": {"dns_address": '"192.0.2.9"'},
    "dns": {"server": '"192.0.2.53:53"', "zone": '"example"', "name": '"x.db.example"'},
}
SIGNED: Keys = NAMED | {
    "dns": NAMED["dns"] | {"key_name": '"one"', "key_file": '"first"'},
}
SHARED: Keys = {
    "balancers.lb1": {"host": '"10.0.0.7"', "interface": '"eth0"'},
    "balancers.lb2": {
        "socket": '"/run/haproxy/other.sock"',
        "writer_listen": '"10.0.0.8:3307"',
        "reader_listen": '"10.0.0.8:3308"',
        "host": '"10.0.0.8"',
        "interface": '"eth0"',
    },
    "address": {"ip": '"10.0.0.99/24"'},
}


def _etcd(it: Built) -> Any:
    return etcd_kind._client(it.config.etcd)


def _etcd_tls(it: Built) -> tuple[str, str, str]:
    """The files that the context for its connections is made of."""
    made: dict[str, str] = {}

    class Context:
        def load_cert_chain(self, cert: Path, key: Path) -> None:
            made.update(cert=cert.name, key=key.name)

    def make(cafile: Path | None) -> Context:
        made["ca"] = "" if cafile is None else cafile.name
        return Context()

    it.patch.setattr(ssl, "create_default_context", make)
    it.config.etcd.tls()
    return made["ca"], made.get("cert", ""), made.get("key", "")


def _etcd_login(it: Built) -> object:
    file = it.config.etcd.password_file
    if file is not None:
        file.write_text(f"{file.name}\n")
        file.chmod(0o600)
    return _etcd(it)._login


ETCD: Keys = {
    "cluster": {"store": '"etcd"'},
    "etcd": {"endpoints": '["http://10.0.0.9:2379"]'},
}
ETCD_TLS: Keys = ETCD | {"etcd": {"endpoints": '["https://10.0.0.9:2379"]'}}
REPLICA_STOPPED: Keys = {"replicas.r1": {"start_command": '["start"]', "stop_command": '["stop"]'}}
REMOTE: Keys = {"nodes.a": {"shell": '["ssh", "a"]', "start_command": '["start"]'}}
STOPPED: Keys = {"nodes.a": {"start_command": '["start"]', "stop_command": '["stop"]'}}
BOUNDED: Keys = {"cluster": {"durability": '"bounded"'}}
PREFERRED: Keys = {"failover": {"preferred": '"b"'}}


SWITCHED = Event(0.0, "main", Kind.PLAN_DONE, "switched over", {"plan": "switchover"})

SWITCHED_BADLY = Event(0.0, "main", Kind.PLAN_FAILED, "not failed over", {"plan": "failover"})


def of_messages(
    values: tuple[object, object], seen: tuple[Any, Any], look: Callable[[PairOrder], Any]
) -> Effect:
    """A key of what the process of messages and hooks is told."""
    also: Keys = {
        "notify.mail": {"url_file": '"first"'},
        "hooks.script": {"on": '["plan"]', "command": '["true"]'},
    }
    first, second = (str(one) for one in values)
    return Effect((first, second), seen, lambda it: look(messages.order_of(it.config)), also=also)


def _logs(it: Built) -> str:
    """How the process logs once it has begun to run."""
    process = LoneProcess(load_all(it.config.path))
    it.patch.setattr(LOG, "format", "")
    it.patch.setattr(process, "_run", lambda: None)
    process.run()
    return LOG.format


PORTS = [free_port() for _ in range(2)]
TLS_FILES: Keys = {"api": {"tls_certificate": '"one"', "tls_key": '"one"'}}

EFFECTS: dict[str, Effect] = {
    "api.enabled": Effect(("true", "false"), (True, False), _api_started),
    "api.listen": Effect(
        (f'"127.0.0.1:{PORTS[0]}"', f'"127.0.0.2:{PORTS[1]}"'),
        (("127.0.0.1", PORTS[0]), ("127.0.0.2", PORTS[1])),
        _api_listens,
    ),
    "api.tls_certificate": Effect(
        ('"first"', '"second"'), ("first", "second"), _tls("ssl_certfile"), also=TLS_FILES
    ),
    "api.tls_key": Effect(
        ('"first"', '"second"'), ("first", "second"), _tls("ssl_keyfile"), also=TLS_FILES
    ),
    "api.tokens_file": Effect(
        ('""', '"second"'),
        ("api.tokens", "second"),
        lambda it: tokens_file(_api(it), it.config.cluster.state_dir).name,
    ),
    "api.names": Effect(
        ("[]", '["db.example"]'), (False, True), lambda it: "db.example" in _guard(it)._hosts
    ),
    "api.requests_per_second": number(7, 90, lambda it: _guard(it)._requests._burst),
    "cluster.name": Effect(('"one"', '"two"'), ("one", "two"), lambda it: it.pair.status().name),
    "cluster.mode": Effect(
        ('"single-writer"', '"dual-writer"'),
        ((Mode.SINGLE_WRITER, False), (Mode.DUAL_WRITER, True)),
        lambda it: (it.policy.mode, conflicts_wanted(it.config, replace(view(), policy=it.policy))),
        also={**BOUNDED, "conflicts": {"after_failover_seconds": "0"}},
    ),
    "cluster.durability": Effect(
        ('"lossless"', '"async"'), (Durability.LOSSLESS, Durability.ASYNC), of_policy("durability")
    ),
    "cluster.bounded_timeout_seconds": Effect(
        ("0.5", "2"), (500, 2000), lambda it: it.server.waiting_timeout_ms, also=BOUNDED
    ),
    "cluster.stray_replicas": Effect(
        ('"solo"', '"wait-for-all"'),
        (StrayRule.SOLO, StrayRule.WAIT_FOR_ALL),
        of_policy("stray_replicas"),
    ),
    "cluster.event_scheduler": Effect(("true", "false"), ("ON", "OFF"), _event_scheduler),
    "cluster.state_dir": Effect(('"here"', '"there"'), ("here", "there"), _state_dir),
    "cluster.store": Effect(
        ('"local"', '"etcd"'),
        ("LocalLease", "EtcdLease"),
        lambda it: type(supervisor_lease(it.config)).__name__,
        also={"etcd": ETCD["etcd"]},
    ),
    "etcd.endpoints": Effect(
        ('["http://10.0.0.9:1"]', '["http://10.0.0.9:2", "http://10.0.0.8:2"]'),
        (("http://10.0.0.9:1",), ("http://10.0.0.9:2", "http://10.0.0.8:2")),
        lambda it: _etcd(it)._endpoints,
        also=ETCD,
    ),
    "etcd.prefix": Effect(
        ('"/a"', '"/b"'),
        ("/a/main/leader", "/b/main/leader"),
        lambda it: etcd_kind.lease(it.config)._key,
        also=ETCD,
    ),
    "etcd.lease_seconds": Effect(
        ("3", "4"), (3, 4), lambda it: etcd_kind.lease(it.config)._seconds, also=ETCD
    ),
    "etcd.call_deadline_seconds": Effect(
        ("0.5", "0.6"), (0.5, 0.6), lambda it: _etcd(it)._seconds, also=ETCD
    ),
    "etcd.ca_file": Effect(
        ('"one.pem"', '"two.pem"'),
        ("one.pem", "two.pem"),
        lambda it: _etcd_tls(it)[0],
        also=ETCD_TLS,
    ),
    "etcd.cert_file": Effect(
        ('"one.pem"', '"two.pem"'),
        ("one.pem", "two.pem"),
        lambda it: _etcd_tls(it)[1],
        also=ETCD_TLS | {"etcd": ETCD_TLS["etcd"] | {"key_file": '"key.pem"'}},
    ),
    "etcd.key_file": Effect(
        ('"one.pem"', '"two.pem"'),
        ("one.pem", "two.pem"),
        lambda it: _etcd_tls(it)[2],
        also=ETCD_TLS | {"etcd": ETCD_TLS["etcd"] | {"cert_file": '"cert.pem"'}},
    ),
    "etcd.user": Effect(
        ('""', '"root"'),
        (None, Login("root", "word")),
        _etcd_login,
        also=ETCD | {"etcd": ETCD["etcd"] | {"password_file": '"word"'}},
    ),
    "etcd.password_file": Effect(
        ('"one"', '"two"'),
        (Login("root", "one"), Login("root", "two")),
        _etcd_login,
        also=ETCD | {"etcd": ETCD["etcd"] | {"user": '"root"'}},
    ),
    "nodes.host": Effect(
        ('"10.0.0.8"', '"10.0.0.9"'),
        (("10.0.0.8", True), ("10.0.0.9", False)),
        lambda it: (it.server.endpoint.host, "10.0.0.8:3306" in it.rendered),
    ),
    "nodes.port": Effect(
        ("3316", "3317"),
        ((3316, True), (3317, False)),
        lambda it: (it.server.endpoint.port, "10.0.0.1:3316" in it.rendered),
    ),
    "nodes.replication_host": Effect(
        ('"r1"', '"r2"'), (("r1", 3306, "r1:3306"), ("r2", 3306, "r2:3306")), _replication
    ),
    "nodes.replication_port": Effect(
        ("4001", "4002"),
        (("10.0.0.1", 4001, "10.0.0.1:4001"), ("10.0.0.1", 4002, "10.0.0.1:4002")),
        _replication,
    ),
    "nodes.auto_increment_offset": Effect(
        ("1", "2"), ("1", "2"), _increments, also={"nodes.b": {"auto_increment_offset": "OTHER"}}
    ),
    "nodes.option_file": Effect(
        ('""', '"/etc/my.cnf.d/myha.cnf"'),
        ("", "/etc/my.cnf.d/myha.cnf"),
        lambda it: it.server._option_file,
    ),
    "nodes.fence_command": Effect(("[]", '["true"]'), (((), True), (("a",), True)), _fences),
    "nodes.pid_file": Effect(
        ('"/run/one.pid"', '"/run/two.pid"'),
        (Path("/run/one.pid"), Path("/run/two.pid")),
        lambda it: it.host().pid_file,
        also={"nodes.a": {"start_command": '["start"]'}},
    ),
    "nodes.start_command": Effect(
        ('["one"]', '["two"]'),
        (("one",), ("two",)),
        lambda it: it.host()._start_command,
        also={"nodes.a": {"shell": '["ssh", "a"]', "stop_command": '["stop"]'}},
    ),
    "nodes.stop_command": Effect(
        ('["one"]', '["two"]'),
        (("one",), ("two",)),
        lambda it: it.host()._stop_command,
        also=REMOTE,
    ),
    "nodes.shell": Effect(
        ("[]", '["ssh", "a"]'), (False, True), lambda it: it.host() is not None, also=STOPPED
    ),
    "nodes.container": Effect(
        ('""', '"db1"'), (None, "db1"), lambda it: getattr(it.host(), "container", None)
    ),
    "nodes.data_dir": Effect(
        ('"/var/lib/one"', '"/var/lib/two"'),
        (Path("/var/lib/one"), Path("/var/lib/two")),
        lambda it: NodeProcess(it.config, "a", ListReporter()).data_dir,
        also=STOPPED,
    ),
    "nodes.init_command": Effect(
        ("[]", '["true"]'),
        ("refused", "ran"),
        _initialises,
        also={"nodes.a": {**STOPPED["nodes.a"], "data_dir": '"/var/lib/one"'}},
    ),
    "nodes.backup_command": Effect(
        ('["one"]', '["two"]'),
        (("one",), ("two",)),
        lambda it: backup_words(it.config, NodeHost(it.config, "a")),
    ),
    "replicas.host": of_replica(
        Effect(
            ('"10.0.0.8"', '"10.0.0.9"'),
            (("10.0.0.8", True), ("10.0.0.9", False)),
            lambda it: (_follower(it).endpoint.host, "10.0.0.8:3306" in it.rendered),
        )
    ),
    "replicas.port": of_replica(
        Effect(
            ("3316", "3317"),
            ((3316, True), (3317, False)),
            lambda it: (_follower(it).endpoint.port, "10.0.0.3:3316" in it.rendered),
        )
    ),
    "replicas.option_file": of_replica(
        Effect(
            ('""', '"/etc/my.cnf.d/myha.cnf"'),
            ("", "/etc/my.cnf.d/myha.cnf"),
            lambda it: _follower(it)._option_file,
        )
    ),
    "replicas.pid_file": of_replica(
        Effect(
            ('"/run/one.pid"', '"/run/two.pid"'),
            (Path("/run/one.pid"), Path("/run/two.pid")),
            lambda it: _replica_process(it)._host.pid_file,
            also={"replicas.r1": {"start_command": '["start"]'}},
        )
    ),
    "replicas.start_command": of_replica(
        Effect(
            ('["one"]', '["two"]'),
            (("one",), ("two",)),
            lambda it: _replica_process(it)._host.argv,
            also={"replicas.r1": {"pid_file": '"/run/one.pid"'}},
        )
    ),
    "replicas.stop_command": of_replica(
        Effect(
            ('["one"]', '["two"]'),
            (("one",), ("two",)),
            _stops,
            also={"replicas.r1": {"start_command": '["start"]'}},
        )
    ),
    "replicas.container": of_replica(
        Effect(('""', '"r1"'), (False, True), lambda it: _replica_process(it).is_ours)
    ),
    "replicas.shell": of_replica(
        Effect(
            ("[]", '["ssh", "r1"]'),
            (True, False),
            lambda it: NodeHost(it.config, "r1").is_local,
        )
    ),
    "replicas.data_dir": of_replica(
        Effect(
            ('"/var/lib/one"', '"/var/lib/two"'),
            (Path("/var/lib/one"), Path("/var/lib/two")),
            lambda it: _replica_process(it).data_dir,
            also=REPLICA_STOPPED,
        )
    ),
    "replicas.init_command": of_replica(
        Effect(
            ("[]", '["true"]'),
            ("refused", "ran"),
            lambda it: _initialises(it, "r1"),
            also={"replicas.r1": {**REPLICA_STOPPED["replicas.r1"], "data_dir": '"/var/lib/one"'}},
        )
    ),
    "replicas.backup_command": of_replica(
        Effect(
            ('["one"]', '["two"]'),
            (("one",), ("two",)),
            lambda it: backup_words(it.config, NodeHost(it.config, "r1")),
        )
    ),
    "replicas.weight": of_replica(
        Effect(
            ("7", "250"),
            (True, False),
            lambda it: "server r1 '10.0.0.3:3306' weight 7\n" in it.rendered,
        )
    ),
    "replicas.delay_seconds": of_replica(
        Effect(
            ("0", "60"),
            ((0, 0), (60, 60)),
            lambda it: (_follower(it)._delay_seconds, it.config.policy().delay_of("r1")),
        )
    ),
    **{f"accounts.{role}_user": user_of(role) for role in ROLES},
    **{f"accounts.{role}_password_file": password_of(role) for role in ROLES},
    "accounts.tls": Effect(('"require"', '"off"'), ("require", "off"), lambda it: it.server._tls),
    "balancers.socket": Effect(
        ('"/run/one.sock"', '"/run/two.sock"'),
        (("/run/one.sock", True), ("/run/two.sock", False)),
        lambda it: (
            it.pair.tools.balancers["lb1"]._socket,  # type: ignore[attr-defined]
            "/run/one.sock" in it.rendered,
        ),
    ),
    "balancers.writer_listen": Effect(
        ('"127.0.0.1:4407"', '"127.0.0.1:4408"'),
        (True, False),
        lambda it: "bind '127.0.0.1:4407'" in it.rendered,
    ),
    "balancers.reader_listen": Effect(
        ('"127.0.0.1:4407"', '"127.0.0.1:4408"'),
        (True, False),
        lambda it: "bind '127.0.0.1:4407'" in it.rendered,
    ),
    "balancers.host": shared(
        ('"10.0.0.7"', '"10.0.0.6"'),
        ("unicast_src_ip 10.0.0.7", "unicast_src_ip 10.0.0.6"),
        "unicast_src_ip",
    ),
    "balancers.interface": shared(
        ('"eth0"', '"eth1"'), ("interface eth0", "interface eth1"), "interface"
    ),
    "balancers.check_port": Effect(
        ("9201", "9301"),
        ((True, True, True), (False, False, False)),
        lambda it: (
            "bind 127.0.0.1:9202" in it.rendered,
            "ipv4@127.0.0.1:9201 level user" in it.rendered,
            " told 9201 " in it.keepalived,
        ),
        also=SHARED,
    ),
    "address.ip": Effect(
        ('""', '"10.0.0.98/24"'),
        ((None, False, False, False), (AddressPolicy(), True, True, True)),
        lambda it: (
            it.policy.address,
            "bind '10.0.0.98:3307' transparent" in it.rendered,
            it.pair.tools.balancers["lb1"]._has_address,  # type: ignore[attr-defined]
            it.pair.driver.balancers["lb1"]._standing is not None,
        ),
        also={table: rows for table, rows in SHARED.items() if table != "address"},
    ),
    "address.router_id": shared(
        ("7", "8"), ("virtual_router_id 7", "virtual_router_id 8"), "virtual_router_id"
    ),
    "address.transport": shared(
        ('"unicast"', '"multicast"'), ("unicast_peer {", ""), "unicast_peer"
    ),
    "address.advert_seconds": shared(
        ("0.2", "0.3"), ("advert_int 0.2", "advert_int 0.3"), "advert_int"
    ),
    "address.password_file": Effect(
        ('"first"', '"second"'),
        ("auth_pass first", "auth_pass second"),
        _address_password,
        also=SHARED | {"address": SHARED["address"] | {"advert_seconds": "1"}},
    ),
    "address.answer_seconds": shared(
        ("0.3", "0.4"),
        (
            'script "/etc/keepalived/myha-check.sh alive 9101 0.3 10.0.0.99"',
            'script "/etc/keepalived/myha-check.sh alive 9101 0.4 10.0.0.99"',
        ),
        'script "',
    ),
    "address.preference_seconds": Effect(
        ("2", "4"),
        (True, False),
        lambda it: "expire 2000ms" in it.rendered,
        also=SHARED,
    ),
    "address.auto_failback": Effect(
        ("false", "true"),
        (AddressPolicy(preferred="lb2"), AddressPolicy(True, "lb2")),
        _standings_policy,
        also=SHARED | {"address": SHARED["address"] | {"preferred": '"lb2"'}},
    ),
    "address.preferred": Effect(
        ('"lb1"', '"lb2"'),
        (AddressPolicy(preferred="lb1"), AddressPolicy(preferred="lb2")),
        of_policy("address"),
        also=SHARED,
    ),
    "address.failback_after_seconds": Effect(
        ("10.0", "20.0"),
        (
            AddressPolicy(failback_after_seconds=10.0),
            AddressPolicy(failback_after_seconds=20.0),
        ),
        of_policy("address"),
        also=SHARED,
    ),
    "nodes.dns_address": Effect(
        ('"192.0.2.1"', '"192.0.2.2"'),
        ("192.0.2.1", "192.0.2.2"),
        lambda it: it.pair.pointer._addresses["a"],  # type: ignore[union-attr]
        also=NAMED,
    ),
    "dns.server": Effect(
        ('""', '"192.0.2.53:5353"'),
        (None, ("192.0.2.53", 5353)),
        lambda it: it.pair.pointer and (_dns(it)._host, _dns(it)._port),
        also={table: rows for table, rows in NAMED.items() if table != "dns"}
        | {"dns": {key: text for key, text in NAMED["dns"].items() if key != "server"}},
    ),
    "dns.zone": Effect(
        ('"example"', '"db.example"'),
        ("example.", "db.example."),
        lambda it: str(_dns(it)._zone),
        also=NAMED,
    ),
    "dns.name": Effect(
        ('"db.example"', '"pair.example"'),
        (("db.example.", "_myha.db.example."), ("pair.example.", "_myha.pair.example.")),
        lambda it: (str(_dns(it)._name), str(_dns(it)._mark)),
        also=NAMED,
    ),
    "dns.ttl_seconds": number(3, 7, lambda it: _dns(it)._config.ttl_seconds, NAMED),
    "dns.key_name": Effect(
        ('"one"', '"two"'), ("one.", "two."), lambda it: _dns_key(it)[0], also=SIGNED
    ),
    "dns.key_algorithm": Effect(
        ('"hmac-sha256"', '"hmac-sha512"'),
        ("hmac-sha256", "hmac-sha512"),
        lambda it: _dns(it)._config.key_algorithm,
        also=NAMED,
    ),
    "dns.key_file": Effect(
        ('"first"', '"second"'), (b"first", b"second"), lambda it: _dns_key(it)[1], also=SIGNED
    ),
    "dns.timeout_seconds": number(2.0, 4.0, lambda it: _dns(it)._config.timeout_seconds, NAMED),
    "timing.deadtime_seconds": number(1.5, 3.0, of_policy("deadtime_seconds")),
    "timing.look_interval_seconds": Effect(
        ("0.25", "0.5"),
        ({0.25}, {0.5}),
        lambda it: {one._interval_seconds for one in it.pair.driver.watchers},
    ),
    "timing.pulse_interval_seconds": number(
        0.25, 0.75, lambda it: it.pair.heartbeats["a"]._interval_seconds
    ),
    "timing.call_deadline_seconds": Effect(
        ("0.5", "0.75"),
        ({0.5}, {0.75}),
        lambda it: {
            it.server.call_deadline_seconds,
            it.pair.heartbeats["a"]._deadline_seconds,
            it.pair.tools.balancers["lb1"]._call_deadline_seconds,  # type: ignore[attr-defined]
        },
    ),
    "timing.heartbeat_period_seconds": Effect(
        ("0.25", "0.5"),
        ((0.25, 0.25), (0.5, 0.5)),
        lambda it: (
            it.policy.heartbeat_period_seconds,
            it.server._source.heartbeat_seconds if it.server._source is not None else None,
        ),
    ),
    "timing.applied_deadline_seconds": number(20.0, 40.0, of_policy("applied_deadline_seconds")),
    "timing.max_outage_seconds": number(0.2, 0.5, of_policy("max_outage_seconds")),
    "timing.switchover_wait_seconds": number(10.0, 20.0, _waits),
    "timing.niceness": number(-5, 0, _niceness),
    "lag.out_seconds": number(10.0, 20.0, of_policy("lag_out_seconds")),
    "lag.in_seconds": number(2.0, 3.0, of_policy("lag_in_seconds")),
    "lag.in_hold_seconds": number(5.0, 6.0, of_policy("lag_in_hold_seconds")),
    "failover.stalled_seconds": number(10.0, 20.0, of_policy("stalled_seconds")),
    "failover.flap_limit": number(3, 4, of_policy("flap_limit")),
    "failover.watchdog_seconds": Effect(
        ("0", "6"),
        ((None, [], None), (Watchdog(6.0), ["a", "b"], (2, 4))),
        _watchdog,
        also={"cluster": {"durability": '"async"'}},
    ),
    "failover.flap_window_seconds": number(60.0, 90.0, of_policy("flap_window_seconds")),
    "failover.flap_settled_seconds": number(60.0, 90.0, of_policy("flap_settled_seconds")),
    "failover.auto_failback": Effect(
        ("false", "true"), (False, True), of_policy("auto_failback"), also=PREFERRED
    ),
    "failover.preferred": Effect(('""', '"b"'), ("", "b"), of_policy("preferred")),
    "failover.failback_after_seconds": number(10.0, 20.0, of_policy("failback_after_seconds")),
    "heal.policy": Effect(
        ('["resume", "manual"]', '["reseed"]'),
        (("resume", "manual"), ("reseed",)),
        of_policy("heal"),
    ),
    "heal.verify_limit_seconds": number(5.0, 7.0, _limit),
    "retention.journal_days": Effect(("1", "0"), (False, True), _old_lines_stay),
    "retention.journal_mb": Effect(
        ("1", "50"), (False, True), _old_lines_stay, also={"retention": {"journal_days": "0"}}
    ),
    "retention.quarantine_days": number(5.0, 7.0, lambda it: _limits(it).days),
    "retention.quarantine_mb": number(5, 7, lambda it: _limits(it).megabytes),
    "retention.quarantine_unseen": Effect(
        ("false", "true"),
        (False, True),
        lambda it: _limits(it).unseen,
        also={"retention": {"quarantine_days": "5"}},
    ),
    "conflicts.enabled": Effect(("true", "false"), (True, False), _reads_conflicts),
    "conflicts.after_failover_seconds": Effect(("60", "5"), (True, False), _reads_conflicts),
    "conflicts.audit": Effect(
        ("true", "false"), (True, False), lambda it: Watch(it.config, ListReporter())._audit
    ),
    "verify.every_seconds": Effect(("0", "3600"), (False, True), _comparison_due),
    "verify.tables": Effect(("[]", '["app.t"]'), (None, ("app.t",)), _compares),
    "verify.busy_percent": number(
        50.0, 80.0, lambda it: verify_job.throttle_of(it.config).busy_percent
    ),
    "verify.chunk_seconds": number(
        0.2, 0.4, lambda it: verify_job.throttle_of(it.config).chunk_seconds
    ),
    "verify.lag_limit_seconds": number(
        2.0, 4.0, lambda it: verify_job.throttle_of(it.config).lag_limit_seconds
    ),
    "notify.url_file": of_messages(
        ('"first"', '"second"'), ("in first", "in second"), lambda it: it.channels[0].url
    ),
    "notify.severity": of_messages(
        ('"notice"', '"critical"'), (True, False), lambda it: it.wants(SWITCHED)
    ),
    "notify.on": of_messages(
        ("[]", '["verdict"]'), (True, False), lambda it: it.channels[0].takes(SWITCHED_BADLY)
    ),
    "notify.not_on": of_messages(
        ("[]", '["plan-failed:failover"]'),
        (True, False),
        lambda it: it.channels[0].takes(SWITCHED_BADLY),
    ),
    "notify.per_minute": of_messages((1, 7), (1, 7), lambda it: it.channels[0].per_minute),
    "hooks.on": of_messages(
        ('["plan:failover"]', '["step", "plan-done:switchover"]'),
        (False, True),
        lambda it: replace(it, channels=()).wants(SWITCHED),
    ),
    "hooks.command": of_messages(
        ('["true"]', '["echo", "x"]'), (("true",), ("echo", "x")), lambda it: it.hooks[0].command
    ),
    "hooks.timeout_seconds": of_messages(
        (2.0, 4.0), (2.0, 4.0), lambda it: it.hooks[0].timeout_seconds
    ),
    "log.format": Effect(('"text"', '"json"'), ("text", "json"), _logs),
}
# There is one of these kinds so far: another is refused, and needs a row when there are two.
ONE_VALUE = {"balancers.kind": '"haproxy"'}
WHERE = {
    "nodes": "nodes.a",
    "replicas": "replicas.r1",
    "balancers": "balancers.lb1",
    "notify": "notify.mail",
    "hooks": "hooks.script",
}


def write(folder: Path, name: str, value: str, also: Keys) -> Config:
    table, key = name.split(".")
    keys = {known: dict(rows) for known, rows in BASE.items()}
    for known, rows in (*also.items(), (WHERE.get(table, table), {key: value})):
        keys.setdefault(known, {}).update(rows)
    other = {"1": "2", "2": "1"}.get(value, "")
    text = "\n".join(
        line
        for known, rows in keys.items()
        for line in (f"[{known}]", *(f"{k} = {v.replace('OTHER', other)}" for k, v in rows.items()))
    )
    folder.mkdir()
    for file in ("first", "second", *(f"secrets/{role}" for role in (*ROLES, "app"))):
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"in {file}\n")
        path.chmod(0o600)
    (folder / "myha.toml").write_text(text)
    return load(folder / "myha.toml")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Config], Built]]:
    for role in ROLES:
        monkeypatch.delenv(f"MYHA_{role.upper()}_PASSWORD", raising=False)
    made: list[Built] = []

    def build(config: Config) -> Built:
        made.append(Built(config, monkeypatch))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.mark.parametrize("name", EFFECTS)
def test_the_key_changes_what_it_says(
    name: str, tmp_path: Path, built: Callable[[Config], Built]
) -> None:
    effect = EFFECTS[name]
    assert effect.seen[0] != effect.seen[1]
    seen = tuple(
        effect.see(built(write(tmp_path / str(nth), name, value, effect.also)))
        for nth, value in enumerate(effect.values)
    )
    assert seen == effect.seen


def test_every_key_has_its_row() -> None:
    keys = {f"{table}.{key}" for table, model in TABLES.items() for key in model.model_fields}
    assert keys == {*EFFECTS, *ONE_VALUE}


@pytest.mark.parametrize("name", ONE_VALUE)
def test_a_key_with_one_value_takes_no_other(name: str, tmp_path: Path) -> None:
    write(tmp_path / "good", name, ONE_VALUE[name], {})
    with pytest.raises(MyhaError, match=name.split(".")[1]):
        write(tmp_path / "bad", name, '"another"', {})


@pytest.mark.parametrize("name", [one.name for one in fields(Policy)])
def test_every_field_of_the_policy_decides_something(name: str) -> None:
    core = Path(myha.core.__file__).parent
    readers = [path.read_text() for path in core.rglob("*.py")]
    assert any(f"policy.{name}" in text or f"self.{name}" in text for text in readers)
