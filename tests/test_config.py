"""myha.toml: what is refused and how, where passwords come from, and that docs and `init` agree."""

from __future__ import annotations

import ast
import re
import stat
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

import myha
from myha.cli.init import init, random_password
from myha.config import TABLES, Config, SupervisorConfig, load, shown_default, toml_value
from myha.core.policy import Durability, Mode, Policy
from myha.errors import ConfigError
from tests.configurations import PAIR

DOC = Path(__file__).parent.parent / "docs" / "configuration.md"


def load_text(folder: Path, text: str) -> Config:
    path = folder / "myha.toml"
    path.write_text(text)
    return load(path)


def refusal(folder: Path, text: str) -> list[str]:
    """The lines of the refusal, each checked for naming the file."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text)
    assert caught.value.exit_status == 2
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{folder / 'myha.toml'}: ") for line in lines)
    return [line.removeprefix(f"{folder / 'myha.toml'}: ") for line in lines]


def test_the_least_file_has_all_defaults(tmp_path: Path) -> None:
    config = load_text(tmp_path, PAIR)
    assert config.names == ("a", "b")
    assert config.cluster.mode is Mode.SINGLE_WRITER
    assert config.cluster.durability is Durability.LOSSLESS
    assert config.cluster.state_dir == Path("/var/lib/myha")
    assert [n.auto_increment_offset for n in config.nodes.values()] == [1, 2]
    assert config.nodes["b"].replication_address == "10.0.0.2:3306"
    assert config.nodes["a"].option_file is None
    assert config.accounts.admin_password_file == tmp_path / "secrets" / "admin"
    assert config.path == tmp_path / "myha.toml"
    policy = config.policy()
    assert policy.nodes == ("a", "b")
    assert policy.source_of("a") == "10.0.0.2:3306"
    assert policy.balancers == ("lb1",)


def test_replicas_stand_beside_the_pair(tmp_path: Path) -> None:
    text = f'{PAIR}\n[replicas.r1]\nhost = "r1"\n[replicas.r2]\nhost = "r2"\ndelay_seconds = 3600'
    config = load_text(tmp_path, text)
    assert tuple(config.servers) == ("a", "b", "r1", "r2")
    assert (config.replicas["r1"].weight, config.replicas["r2"].address) == (100, "r2:3306")
    policy = config.policy()
    assert (policy.core, policy.followers) == (("a", "b"), ("r1", "r2"))
    assert (policy.delay_of("r1"), policy.delay_of("r2")) == (0, 3600)
    assert policy.source_at("b") == "10.0.0.2:3306"
    assert load_text(tmp_path, PAIR).policy().followers == ()


def test_values_do_not_change(tmp_path: Path) -> None:
    config = load_text(tmp_path, PAIR)
    with pytest.raises(ValidationError):
        config.cluster.name = "other"


def test_replication_address_may_differ(tmp_path: Path) -> None:
    text = PAIR.replace('"10.0.0.1"', '"10.0.0.1"\nport = 3310\nreplication_host = "192.168.0.1"')
    node = load_text(tmp_path, text).nodes["a"]
    assert (node.address, node.replication_address) == ("10.0.0.1:3310", "192.168.0.1:3310")


def test_an_edit_on_disk_is_noticed(tmp_path: Path) -> None:
    config = load_text(tmp_path, PAIR)
    assert not config.changed_on_disk()
    config.path.write_text(PAIR + "# edited\n")
    assert config.changed_on_disk()
    config.path.write_text(PAIR)
    assert not config.changed_on_disk()
    config.path.unlink()
    assert config.changed_on_disk()


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ("[timing]\ndeadtime = 3", "timing.deadtime: unknown key; did you mean deadtime_seconds?"),
        ("[clutser]", "clutser: unknown key; did you mean cluster?"),
        ("[lag]\nzzz = 1", "lag.zzz: unknown key; remove it (known here: out_seconds"),
        ("[cluster]\nmode = 'dual'", "cluster.mode: must be 'single-writer' or 'dual-writer'"),
        ("[cluster]\nmode = 'dual-writer'", 'cluster.durability: "lossless" does not work'),
        ("[cluster]\nname = 'a b'", "cluster.name: must be 1 to 64 letters"),
        ("[failover]\npreferred = 'c'", "failover.preferred: 'c' is not a node; choose from a, b"),
        ("[failover]\nauto_failback = true", "failover.auto_failback: needs failover.preferred"),
        ("[failover]\nflap_limit = true", "failover.flap_limit: must be a valid integer"),
        ("[lag]\nin_seconds = 20", "lag.in_seconds: is more than out_seconds"),
        ("[lag]\nout_seconds = nan", "lag.out_seconds: must be"),
        ("[timing]\ndeadtime_seconds = 0.9", "timing.deadtime_seconds: is less than twice heart"),
        ("[timing]\nlook_interval_seconds = 1.0", "timing.deadtime_seconds: is less than twice"),
        ("[timing]\ncall_deadline_seconds = 2", "timing.call_deadline_seconds: is more than dead"),
        ("[timing]\npulse_interval_seconds = 5", "timing.pulse_interval_seconds: is more than lag"),
        ("[timing]\ndeadtime_seconds = -1", "timing.deadtime_seconds: must be greater than or"),
        ("[timing]\napplied_deadline_seconds = inf", "timing.applied_deadline_seconds: must be"),
        ("[heal]\npolicy = ['pray']", "heal.policy: does not know 'pray'; choose from resume"),
        ("[heal]\npolicy = ['manual', 'resume']", 'heal.policy: must have "manual" last'),
        ("[heal]\npolicy = []", "heal.policy: must name each way once"),
        ("[accounts]\nreplication_user = 'myha'", "accounts.replication_user: is the same account"),
        ('[accounts]\nadmin_user = "o\'k"', "accounts.admin_user: must be 1 to 32 printable"),
        ("[nodes.c]\nhost = 'x'", "nodes: has 3 nodes; a pair has exactly two"),
        ("[balancers.B]\n", "balancers.B.socket: missing; add socket = ..."),
        ("[balancers.b]\nsockets = '/x'", "balancers.b.sockets: unknown key; did you mean socket?"),
        ("[balancers.b]\nkind = 'envoy'", "balancers.b.kind: must be 'haproxy' (it is 'envoy')"),
        ("[balancers.b]\nkind = 7", "balancers.b.kind: must be 'haproxy' (it is 7)"),
        ("[balancers]\nb = 7", "balancers.b: must be a table"),
    ],
)
def test_refused_with_key_and_remedy(tmp_path: Path, added: str, line: str) -> None:
    assert any(found.startswith(line) for found in refusal(tmp_path, f"{PAIR}{added}\n"))


NAMED = """
[dns]
server = '192.0.2.53:53'
zone = 'example'
name = 'db.example'
[nodes.a]"""
SHARED = "[address]\nip = '10.0.0.9/24'\n"
PLACED = """
[balancers.lb2]
socket = '/run/haproxy/other.sock'
writer_listen = '10.0.0.8:3307'
reader_listen = '10.0.0.8:3308'
host = '10.0.0.8'
interface = 'eth0'
[nodes.a]"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"10.0.0.2"', '"10.0.0.1"', "nodes.b.host: is the same server as nodes.a"),
        ('host = "10.0.0.2"', "", "nodes.b.host: missing; add host = ..."),
        ('"10.0.0.2"', '""', "nodes.b.host: is empty; put the machine's name or address here"),
        ('"10.0.0.2"', '"10.0.0.2"\nport = 70000', "nodes.b.port: must be less than or equal"),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nreplication_host = "10.0.0.1"',
            "nodes.b.replication_host: is the same address",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nauto_increment_offset = 1',
            "nodes.b.auto_increment_offset: is the same as that of nodes.a",
        ),
        ('"10.0.0.2"', '"10.0.0.2"\npid_file = "/x"', "nodes.b.pid_file: goes with start_command"),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\ncontainer = "x"\npid_file = "/x"',
            "nodes.b.container: does the work of pid_file",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nstart_command = ["x"]',
            "nodes.b.start_command: goes with pid_file (a server on this machine) or stop_command",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nstop_command = ["x"]',
            "nodes.b.stop_command: goes with start_command; set both",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nstart_command = ["x"]\nstop_command = ["x"]\npid_file = "/x"',
            "nodes.b.stop_command: does the work of pid_file; set one of the two",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nstart_command = ["x"]\npid_file = "/x"\nshell = ["ssh", "b"]',
            "nodes.b.shell: is for a server on another machine, and pid_file for one on this",
        ),
        (
            '"10.0.0.2"',
            '"10.0.0.2"\nshell = ["ssh", "b"]\ndata_dir = "/x"',
            "nodes.b.data_dir: needs start_command, with pid_file or stop_command",
        ),
        ('"10.0.0.2"', '"10.0.0.2"\nshell = [""]', "nodes.b.shell: begins with an empty word"),
        ("[nodes.a]", "[nodes.A]", "nodes.A: is no valid name"),
        ("[nodes.a]", "[replicas.R]\nhost = 'r'\n[nodes.a]", "replicas.R: is no valid name"),
        ("[nodes.a]", "[replicas.r]\n[nodes.a]", "replicas.r.host: missing; add host = ..."),
        (
            "[nodes.a]",
            "[replicas.b]\nhost = 'r'\n[nodes.a]",
            "replicas.b: has the name of a node; choose another",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = '10.0.0.2'\n[nodes.a]",
            "replicas.r.host: is the same server as nodes.b",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = 'r'\n[replicas.q]\nhost = 'r'\n[nodes.a]",
            "replicas.q.host: is the same server as replicas.r",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = 'r'\nwait = 3\n[nodes.a]",
            "replicas.r.wait: unknown key; did you mean weight?",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = 'r'\nweight = 0\n[nodes.a]",
            "replicas.r.weight: must be greater than or equal to 1",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = 'r'\npid_file = '/x'\n[nodes.a]",
            "replicas.r.pid_file: goes with start_command",
        ),
        (
            "[nodes.a]",
            "[replicas.r]\nhost = '127.0.0.1'\nport = 3308\n[nodes.a]",
            "balancers.lb1.reader_listen: is the address of replicas.r",
        ),
        ("127.0.0.1:3307", "10.0.0.1:3306", "balancers.lb1.writer_listen: is the address of nod"),
        ("127.0.0.1:3307", "127.0.0.1:3308", "balancers.lb1.reader_listen: is the same as writ"),
        ("127.0.0.1:3307", "127.0.0.1", 'balancers.lb1.writer_listen: must be "host:port"'),
        ("/run/haproxy/admin.sock", "run/admin.sock", "balancers.lb1.socket: must be an absolute"),
        ("[nodes.a]", f"[address]\nip = '10.0.0.9'\n{PLACED}", "address.ip: must be an IPv4 addr"),
        ("[nodes.a]", f"[address]\nip = 'fd00::9/64'\n{PLACED}", "address.ip: must be an IPv4"),
        ("[nodes.a]", "[address]\nip = '10.0.0.9/24'\n[nodes.a]", "address.ip: needs two balanc"),
        ("[nodes.a]", f"{SHARED}{PLACED}", "balancers.lb1.interface: is needed for address.ip"),
        ("[nodes.a]", f"{SHARED}{PLACED}", "balancers.lb1.host: is needed for address.transport"),
        (
            "[nodes.a]",
            f"{SHARED}{PLACED}".replace("10.0.0.8'", "10.0.0.9'"),
            "balancers.lb2.host: is address.ip, which moves",
        ),
        (
            "[nodes.a]",
            f"{SHARED}{PLACED}".replace(":3307", ":4307"),
            "balancers.lb1.writer_listen: has another port than the first balancer's",
        ),
        (
            "[nodes.a]",
            f"{SHARED}{PLACED}".replace("host = '10.0.0.8'", "host = 'lb2'"),
            "balancers.lb2.host: must be an IPv4 address",
        ),
        ("[nodes.a]", f"{SHARED}preferred = 'x'\n{PLACED}", "address.preferred: 'x' is not a bal"),
        (
            "[nodes.a]",
            f"{SHARED}auto_failback = true\n{PLACED}",
            "address.auto_failback: needs add",
        ),
        (
            "[nodes.a]",
            f"{SHARED}password_file = 'p'\n{PLACED}",
            "address.advert_seconds: must be who",
        ),
        (
            "[nodes.a]",
            f"{SHARED}preference_seconds = 1\n{PLACED}",
            "address.preference_seconds: is l",
        ),
        ("[nodes.a]", NAMED.replace("192.0.2.53", "ns1"), 'dns.server: must be "address:port"'),
        ("[nodes.a]", NAMED.replace("'db.example", "'db.other"), "dns.name: is not in dns.zone"),
        ("[nodes.a]", NAMED.replace("'db.example", "'d b"), "dns.name: must be a domain name"),
        ("[nodes.a]", NAMED.replace("zone", "key_name = 'k'\nzone"), "dns.key_name: goes with dn"),
        ("[nodes.a]", NAMED, "nodes.b.dns_address: is needed for dns.server"),
        ("[nodes.a]", f"{NAMED}\ndns_address = 'here'", "nodes.a.dns_address: must be an IP add"),
        ("[nodes.a]", "[nodes]\nq = 3\n[nodes.a]", "nodes.q: must be a table; write it as [nod"),
        ("[nodes.a]", "[nodes.a", "is not valid TOML: "),
    ],
)
def test_refused_when_changed(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert any(found.startswith(line) for found in refusal(tmp_path, PAIR.replace(old, new, 1)))


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    lines = refusal(tmp_path, PAIR + "[timing]\ndeadtime = 3\n[lag]\nin_seconds = -1\n[foo]\n")
    assert [line.split(":")[0] for line in lines] == [
        "timing.deadtime",
        "lag.in_seconds",
        "foo",
    ]


def test_no_secret_is_repeated(tmp_path: Path) -> None:
    text = PAIR + '[accounts]\nsupervisor_password = "hunter2"\nadmin_password_file = 7\n'
    lines = refusal(tmp_path, text)
    assert "hunter2" not in " ".join(lines)
    assert any("did you mean supervisor_password_file?" in line for line in lines)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; write one with `myha init"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[cluster]\nname = '\xff'\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(tmp_path / "latin.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="is larger than"):
        load(tmp_path / "huge.toml")


# --- passwords --------------------------------------------------------------------------------


@pytest.fixture
def with_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, Path]:
    for role in ("ADMIN", "SUPERVISOR", "REPLICATION", "DRILL"):
        monkeypatch.delenv(f"MYHA_{role}_PASSWORD", raising=False)
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "replication"
    file.write_text("from file\n")
    file.chmod(0o600)
    return load_text(tmp_path, PAIR), file


def test_password_from_file_hidden_from_repr(with_password: tuple[Config, Path]) -> None:
    account = with_password[0].accounts.replication()
    assert account.user == "myha_repl"
    assert account.password.get_secret_value() == "from file"
    assert "from file" not in repr(account) + str(account)


def test_environment_wins(
    with_password: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYHA_REPLICATION_PASSWORD", "from environment")
    config, file = with_password
    file.chmod(0o644)
    assert config.accounts.replication().password.get_secret_value() == "from environment"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o666])
def test_password_that_others_can_read_is_refused(
    with_password: tuple[Config, Path], mode: int
) -> None:
    config, file = with_password
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"accounts.replication_password_file.*chmod 600 {file}"):
        config.accounts.replication()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "more than one line"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 5000, "is longer than"),
        (b"x" * 33, "replication takes at most 32; choose a shorter one"),
    ],
)
def test_password_that_cannot_serve_is_refused(
    with_password: tuple[Config, Path], content: bytes, reason: str
) -> None:
    config, file = with_password
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        config.accounts.replication()
    assert "\n" not in str(caught.value)


def test_missing_password_names_both_ways(with_password: tuple[Config, Path]) -> None:
    with pytest.raises(ConfigError, match=r"secrets/admin .*or set MYHA_ADMIN_PASSWORD"):
        with_password[0].accounts.admin()
    (with_password[1].parent / "supervisor").mkdir()
    with pytest.raises(ConfigError, match=r"secrets/supervisor is not a file"):
        with_password[0].accounts.supervisor()


# --- init -------------------------------------------------------------------------------------


def run_init(path: Path, *options: str) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(init, ["--path", str(path), *options])
    return result.exit_code, result.output, result.exception


def test_init_writes_a_file_that_loads_once_hosts_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "new" / "myha.toml"
    assert run_init(path)[0] == 0
    with pytest.raises(ConfigError, match=r"nodes\.a\.host: is empty"):
        load(path)
    for host in ("10.0.0.1", "10.0.0.2"):
        path.write_text(path.read_text().replace('host = ""', f'host = "{host}"', 1))
    config = load(path)
    assert config.timing.deadtime_seconds == 1.5
    for role in ("supervisor", "replication"):
        file = path.parent / "secrets" / role
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text().strip()) == 32
    assert config.accounts.replication().password != config.accounts.supervisor().password


def test_init_comments_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "myha.toml"
    run_init(path)
    opened = re.sub(r"^# (\w+ = (?!\.\.\.))", r"\1", path.read_text(), flags=re.MULTILINE)
    for host in ("10.0.0.1", "10.0.0.2"):
        opened = opened.replace('host = ""', f'host = "{host}"', 1)
    opened = opened.replace("# [replicas.r1]", '[replicas.r1]\nhost = "10.0.0.3"')
    for table in ("[notify.mail]", "[hooks.script]"):
        opened = opened.replace(f"# {table}", table)
    everything = load_text(tmp_path, opened)
    least = load_text(
        tmp_path,
        f'{PAIR}\n[replicas.r1]\nhost = "10.0.0.3"\n[notify.mail]\nurl_file = "secrets/mail"\n'
        '[hooks.script]\non = ["plan-done:failover", "plan-done:switchover"]\n'
        'command = ["/usr/local/bin/after-failover"]\n',
    )
    assert everything.model_dump() == least.model_dump()
    written = tomllib.loads(opened)
    for table, model in TABLES.items():
        rows = written[table]
        keys = set(
            next(
                (rows[name] for name in ("a", "lb1", "r1", "mail", "script") if name in rows), rows
            )
        )
        computed = {k for k, f in model.model_fields.items() if f.json_schema_extra}
        assert keys | computed == set(model.model_fields)


def test_init_refuses_to_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "myha.toml"
    path.write_text("mine")
    _, _, error = run_init(path)
    assert isinstance(error, ConfigError)
    assert "--force" in str(error)
    assert path.read_text() == "mine"
    assert not (tmp_path / "secrets").exists()


def test_init_force_keeps_passwords(tmp_path: Path) -> None:
    path = tmp_path / "myha.toml"
    run_init(path)
    before = (tmp_path / "secrets" / "supervisor").read_text()
    path.write_text("old")
    assert run_init(path, "--force")[0] == 0
    assert path.read_text() != "old"
    assert (tmp_path / "secrets" / "supervisor").read_text() == before


def test_random_passwords_fit_policies() -> None:
    for _ in range(50):
        password = random_password()
        assert len(password) == 32
        assert password[0].isalnum()
        assert re.search(r"\d", password)
        assert re.search(r"[-_]", password)


# --- the documentation ------------------------------------------------------------------------


def documented() -> dict[tuple[str, str], tuple[str, str]]:
    """(table, key) to (default, meaning), as docs/configuration.md has them."""
    rows: dict[tuple[str, str], tuple[str, str]] = {}
    table = ""
    for line in DOC.read_text().splitlines():
        if head := re.fullmatch(r"### `\[(\w+)(?:\.NAME)?\]`", line):
            table = head[1]
        elif table and (row := re.fullmatch(r"\| `(\w+)` \| (.*?) \| (.*) \|", line)):
            rows[table, row[1]] = (row[2], row[3])
    return rows


def test_documentation_and_model_have_the_same_keys() -> None:
    assert set(TABLES) == {*Config.model_fields, "api"}  # which is of the process
    model = {(table, key) for table, m in TABLES.items() for key in m.model_fields}
    model |= {("supervisor", key) for key in SupervisorConfig.model_fields}
    assert set(documented()) == model


def test_documentation_and_model_say_the_same() -> None:
    for (table, key), (default, meaning) in documented().items():
        model = TABLES.get(table, SupervisorConfig)
        field = model.model_fields[key]
        shown = shown_default(table, key) if table in TABLES else toml_value(field.default)
        if field.is_required():
            shown = "required"
        elif shown == toml_value(field.default):
            shown = f"`{shown}`"
        assert (default, meaning) == (shown, field.description), f"{table}.{key}"


# --- every key changes something -----------------------------------------------------------------


def _read_in_the_program() -> set[str]:
    """The names of all attributes that the program reads, without the configuration's checks."""
    folder = Path(myha.__file__).parent
    checks = {folder / "config" / name for name in ("relations.py", "tables.py", "accounts.py")}
    found: set[str] = set()
    for path in set(folder.rglob("*.py")) - checks:
        found |= {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
    return found


# Read by name in accounts.py: one account after the other.
BY_NAME = re.compile(r"^(admin|supervisor|replication|drill)_(user|password_file)$")


def test_every_key_is_read_by_the_program() -> None:
    read = _read_in_the_program()
    keys = {key for _, key in documented()}
    # The replication addresses are read through a property of the same table.
    keys -= {"replication_host", "replication_port"} if "replication_address" in read else set()
    assert {key for key in keys if not BY_NAME.match(key)} <= read


# A key, another value than its default, and the field of the policy that has to change with it.
DECIDES = [
    ("cluster", 'durability = "async"', "durability"),
    ("cluster", 'mode = "dual-writer"\ndurability = "async"', "mode"),
    ("cluster", 'stray_replicas = "wait-for-all"', "stray_replicas"),
    ("timing", "deadtime_seconds = 9.0", "deadtime_seconds"),
    ("timing", "heartbeat_period_seconds = 0.3", "heartbeat_period_seconds"),
    ("timing", "applied_deadline_seconds = 77.0", "applied_deadline_seconds"),
    ("timing", "max_outage_seconds = 7.7", "max_outage_seconds"),
    ("lag", "out_seconds = 99.0", "lag_out_seconds"),
    ("lag", "in_seconds = 1.0", "lag_in_seconds"),
    ("lag", "in_hold_seconds = 77.0", "lag_in_hold_seconds"),
    ("failover", "flap_limit = 9", "flap_limit"),
    ("failover", "stalled_seconds = 77.0", "stalled_seconds"),
    ("failover", "flap_window_seconds = 77.0", "flap_window_seconds"),
    ("failover", "flap_settled_seconds = 77.0", "flap_settled_seconds"),
    ("failover", 'watchdog_seconds = 6.0\n[cluster]\ndurability = "async"', "watchdog"),
    ("failover", 'preferred = "b"', "preferred"),
    ("failover", 'auto_failback = true\npreferred = "b"', "auto_failback"),
    ("failover", "failback_after_seconds = 77.0", "failback_after_seconds"),
    ("heal", 'policy = ["resume", "reseed", "manual"]', "heal"),
]


@pytest.mark.parametrize(("table", "text", "field"), DECIDES)
def test_a_key_that_decisions_depend_on_reaches_them(
    tmp_path: Path, table: str, text: str, field: str
) -> None:
    changed = load_text(tmp_path, f"{PAIR}\n[{table}]\n{text}\n").policy()
    assert getattr(changed, field) != getattr(load_text(tmp_path, PAIR).policy(), field)


def test_each_field_of_the_policy_is_one_that_a_key_changes() -> None:
    of_the_file = {"nodes", "sources", "balancers", "fence_commands", "replication_user"}
    of_the_file |= {"followers", "delays", "leave_sessions"}
    of_the_file |= {"address"}  # needs other tables too: see tests/test_config_effects.py
    assert {one.name for one in fields(Policy)} == of_the_file | {field for _, _, field in DECIDES}
