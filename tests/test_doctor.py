"""What the doctor says: the order, the exit status, the documentation, and single judgements."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from myha import words
from myha.cli import doctor
from myha.cli.doctor_pair import of_pair
from myha.config import Config, load
from myha.core.record import Record, Sync, member
from myha.database.session import Deadline
from myha.errors import MyhaError, SupervisorInLineError
from myha.operations.doctor import findings, run
from myha.operations.doctor.findings import KINDS, Finding, Report, Severity, Unseen, report
from myha.operations.doctor.machine import of_machine
from myha.operations.doctor.server_look import Disk, ServerLook
from myha.operations.doctor.servers import of_servers
from myha.operations.setup import remarks
from myha.operations.setup.facts import Table
from myha.operations.setup.remarks import Remark
from myha.supervisor.client import Client
from myha.supervisor.status import Status
from tests.configurations import write_config, write_secrets
from tests.core.server_facts import GOOD, facts

DOCS = Path(__file__).parent.parent / "docs/doctor.md"
TODAY = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_secrets(tmp_path)
    path = write_config(tmp_path)
    path.chmod(0o644)
    return load(path)


def test_every_kind_that_is_said_has_its_severity_and_its_place_in_the_docs() -> None:
    folder = Path(findings.__file__).parent
    files = [
        *folder.glob("*.py"),
        *Path(remarks.__file__).parent.glob("*.py"),
        *Path(doctor.__file__).parent.glob("d*.py"),
    ]
    text = "\n".join(one.read_text() for one in files)
    said = set(re.findall(r'Remark\(\s*"([a-z-]+)"', text))
    assert said <= KINDS.keys()
    unsaid = {kind for kind in KINDS if f'"{kind}"' not in text.replace(_tables(text), "")}
    assert not unsaid
    sections = DOCS.read_text().split("## Kinds")[1].split("\n### ")[1:]
    shown = {
        Severity(section.split("\n")[0].lower().removesuffix("s")): re.findall(
            r"`([a-z]+(?:-[a-z]+)*)`", "\n".join(re.findall(r"^\| (`.*?) \|", section, re.M))
        )
        for section in sections
    }
    for severity in Severity:
        assert set(shown[severity]) == {kind for kind, its in KINDS.items() if its is severity}


def _tables(text: str) -> str:
    """The lists of kinds themselves."""
    return text.split("_ERRORS = (")[1].split("# The gravest first", maxsplit=1)[0]


def test_its_json_is_documented() -> None:
    section = DOCS.read_text().split("## JSON")[1].split("\n## ")[0]
    words = set(re.findall(r"`(\w+)`", section))
    assert {*Report.model_fields, *Finding.model_fields, *Unseen.model_fields} <= words


def test_the_gravest_comes_first_and_what_is_the_same_once() -> None:
    found = report(
        "main",
        [
            Remark("no-time-zones", "a", "no time zone tables"),
            Remark("no-primary-key", "b", "tables without a primary key: t", "add one"),
            Remark("no-primary-key", "a", "tables without a primary key: t", "add one"),
            Remark("no-supervisor", "main", "none runs"),
            Remark("no-writer", "main", "nobody takes writes"),
        ],
        [],
    )
    told = [(one.kind, one.about) for one in found.findings]
    assert told == [
        ("no-writer", "main"),
        ("no-supervisor", "main"),
        ("no-primary-key", "a and b"),
        ("no-time-zones", "a"),
    ]
    assert (found.errors, found.warnings, found.hints) == (2, 1, 1)


def test_the_exit_status() -> None:
    hint, warning, error = (
        Remark(kind, "a", "x") for kind in ("no-time-zones", "disk-low", "disk-full")
    )
    missed = Unseen(what="x", about="a", why="y")
    assert report("main", [hint], []).exit_status == 0
    assert report("main", [hint], [missed]).exit_status == 1
    assert report("main", [warning], []).exit_status == 1
    assert report("main", [warning, error], []).exit_status == 2


def kinds(config: Config, a: ServerLook, b: ServerLook, *, recorded: bool = False) -> set[str]:
    record = Record(1, 1, "a", Sync.SOLO, (("a", member("a-1")), ("b", member("b-1"))))
    looks = {"a": a, "b": b}
    found = of_servers(config, looks, record if recorded else None, TODAY)
    return {one.kind for one in found}


def look(node: str, **more: object) -> ServerLook:
    changes = more.pop("facts", {})
    assert isinstance(changes, dict)
    return ServerLook(node, facts=facts(node, **changes), **more)  # type: ignore[arg-type]


def test_two_good_servers(config: Config) -> None:
    assert kinds(config, look("a"), look("b")) == set()


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"facts": {"version": "8.0.46"}}, "version-unmaintained"),
        ({"facts": {"clock_ahead_seconds": 4.0}}, "clock-wrong"),
        ({"facts": {"clock_ahead_seconds": 4.0}}, "clocks-apart"),
        ({"facts": {"variables": GOOD | {"log_bin": "OFF"}}}, "no-binlog"),
        ({"facts": {"variables": GOOD | {"binlog_expire_logs_seconds": "60"}}}, "retention-short"),
        ({"facts": {"variables": GOOD | {"expire_logs_days": "0"}}}, "retention-unlimited"),
        ({"facts": {"variables": GOOD | {"sync_binlog": "0"}}}, "not-durable"),
        ({"facts": {"replica_ids": (9,)}}, "further-replicas"),
        ({"facts": {"filters": ("replicate_do_db = x",)}}, "filtered"),
        (
            {"facts": {"tables": (Table("s", "t", "MyISAM", has_key=False, transactional=False),)}},
            "not-transactional",
        ),
        ({"certificate_ends": "Nov 27 12:00:00 2026 GMT"}, "certificate-expired"),
        ({"certificate_ends": "Dec  9 12:00:00 2026 GMT"}, "certificate-expires"),
        ({"disks": (Disk("the data", "/d", 1 << 20),)}, "disk-full"),
        ({"disks": (Disk("the data", "/d", 1 << 29),)}, "disk-low"),
        ({"set_at_runtime": ("max_connections",)}, "set-at-runtime"),
        ({"users": frozenset({"x@%"}), "definers": {"y@%": ("view s.v",)}}, "definer-missing"),
    ],
)
def test_what_is_said_of_a_server(config: Config, more: dict[str, object], kind: str) -> None:
    assert kind in kinds(config, look("a"), look("b", **more))


def test_what_setup_has_made_is_missed_once_there_is_a_record(config: Config) -> None:
    missing = {"setting-wrong", "account-missing", "schema-incomplete", "plugin-missing"}
    assert not missing & kinds(config, look("a"), look("b"))
    assert missing <= kinds(config, look("a"), look("b"), recorded=True)


def test_nobody_is_a_stranger_where_one_of_ours_was_not_seen(config: Config) -> None:
    seen = look("a", facts={"replica_ids": (2,)})
    assert "further-replicas" not in kinds(config, seen, ServerLook("b"))


def test_one_in_line_with_other_balancers_is_told_of(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(_client: Client) -> Status:
        raise SupervisorInLineError("in line; m2 has it", "lb2 only there")

    monkeypatch.setattr(Client, "status", status)
    record = Record(1, 1, "a", Sync.SOLO, (("a", member("a-1")), ("b", member("b-1"))))
    said = next(of_pair(config, record))
    assert said.kind == "balancers-differ"
    assert said.wrong.endswith(": lb2 only there")


def test_time_zones(config: Config) -> None:
    one, none = look("a", time_zones=600), look("b", time_zones=0)
    assert kinds(config, one, none) == {"time-zones-differ"}
    assert kinds(config, look("a", time_zones=0), none) == {"no-time-zones"}


def test_the_files_of_this_machine(config: Config, tmp_path: Path) -> None:
    assert [one.kind for one in of_machine(config)] == []
    config.path.chmod(0o666)
    (tmp_path / "secrets" / "supervisor").chmod(0o644)
    (tmp_path / "secrets" / "replication").unlink()
    config.cluster.state_dir.chmod(0o777)
    found = {one.kind for one in of_machine(config)}
    assert {"config-writable", "secret-unreadable", "state-exposed"} <= found
    told = [one.about for one in of_machine(config) if one.kind == "secret-unreadable"]
    assert told == ["accounts.supervisor_password_file", "accounts.replication_password_file"]


def test_a_defect_in_one_check_does_not_end_the_others(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> ServerLook:
        raise ZeroDivisionError("x")

    def refused(*_: object) -> list[Remark]:
        raise MyhaError("the pair does not say")

    monkeypatch.setattr(run, "look_at", broken)
    found = run.examine(config, refused, 5)
    whys = {one.about: one.why for one in found.unseen}
    assert "a defect of myha: ZeroDivisionError" in whys["a"]
    assert whys["main"] == "the pair does not say"
    assert {"not-set-up", "balancer-away"} <= {one.kind for one in found.findings}


def test_what_hangs_is_left_behind(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading  # noqa: PLC0415

    ends = threading.Event()

    def hangs(_config: Config, node: str, _deadline: Deadline) -> ServerLook:
        if node == "a":
            ends.wait(600)
        return ServerLook(node)

    monkeypatch.setattr(run, "look_at", hangs)
    monkeypatch.setattr(run, "SPARE_SECONDS", 0.2)
    found = run.examine(config, lambda *_: [], 0.2)
    ends.set()
    assert [one.about for one in found.unseen if "no answer within" in one.why] == ["a"]


@pytest.mark.parametrize("width", [40, 80])
def test_it_fits_the_terminal(width: int) -> None:
    found = report(
        "main",
        [Remark("disk-low", "a", "only little room is left " * 5, "make room " * 9, "it stops")],
        [Unseen(what="the disk", about="b", why="it is on another machine " * 4)],
    )
    out = io.StringIO()
    doctor.print_findings(found, Console(file=out, width=width, force_terminal=True, no_color=True))
    lines = re.sub(r"\x1b\[\d*m", "", out.getvalue()).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "main: 1 warning, 1 not looked at"


def test_the_end_of_a_long_list_says_what_it_began_with() -> None:
    many = [Remark("disk-low", f"n{number}", f"{number} bytes are free") for number in range(40)]
    for height, count in ((24, 2), (200, 1)):
        out = io.StringIO()
        doctor.print_findings(
            report("main", many, []),
            Console(file=out, width=80, height=height, force_terminal=True, no_color=True),
        )
        assert out.getvalue().count("40 warnings") == count


def test_one_line_for_each_sentence_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = report("main", [Remark("disk-low", "a", "w " * 90, "m " * 90, "f " * 90)], [])
    doctor.print_findings(found, Console(highlight=False))
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_names_are_cut_short() -> None:
    assert words.listed(range(12)).endswith("and 2 more")
