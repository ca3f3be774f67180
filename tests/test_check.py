"""`myha check` as a monitor sees it: thresholds, exit status, one line with performance data."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from myha.cli import check
from myha.cli.check import Checked, State, Thresholds, judge, line_of
from myha.cli.main import cli
from myha.cli.ranges import parse_range
from myha.config import Config
from myha.core.planning import decide
from myha.errors import MyhaError, SupervisorInLineError
from myha.supervisor.client import Client
from myha.supervisor.control import socket_path
from myha.supervisor.status import SeenNodeStatus, Status
from myha.supervisor.status_builder import build_status
from tests.configurations import write_config
from tests.core.situations import SITUATIONS, VARIANTS
from tests.core.views import view

LINE = re.compile(r"MYHA (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+( \| [^|\n]+)?")
DATUM = re.compile(r"('[^'=]+'|[^ '=]+)=-?[\d.]+(s|c)?(;[^; ]*){0,4}")


@pytest.mark.parametrize(
    ("text", "alerts", "quiet"),
    [
        ("10", (-0.1, 10.1), (0, 10)),
        ("10:", (9.9,), (10, 1e9)),
        ("~:10", (10.1,), (-1e9, 10)),
        ("10:20", (9.9, 20.1), (10, 20)),
        ("@10:20", (10, 15, 20), (9.9, 20.1)),
        ("-3:-1.5", (-4, 0), (-3, -1.5)),
        (":10", (-1, 11), (0, 10)),
    ],
)
def test_ranges(text: str, alerts: tuple[float, ...], quiet: tuple[float, ...]) -> None:
    one = parse_range(text)
    assert [one.alerts(value) for value in alerts] == [True] * len(alerts)
    assert [one.alerts(value) for value in quiet] == [False] * len(quiet)


@pytest.mark.parametrize("text", ["", "x", "10:5", "1:2:3", "@", "1 2", "~"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        parse_range(text)


def status(name: str) -> Status:
    seen = {**SITUATIONS, **VARIANTS}[name]
    decision = decide(seen)
    return build_status("main", seen, decision, None)


def test_a_healthy_pair() -> None:
    found = judge(build_status("main", view(), decide(view()), None), Thresholds())
    assert found.state is State.OK
    state, line = line_of([found])
    assert state == 0
    assert line.startswith("MYHA OK - main: healthy, writer ")
    assert "epoch=" in line


@pytest.mark.parametrize("name", [*SITUATIONS, *VARIANTS])
def test_every_situation_is_one_line_that_a_monitor_can_read(name: str) -> None:
    seen = status(name)
    state, line = line_of([judge(seen, Thresholds())])
    assert LINE.fullmatch(line), line
    _, _, data = line.partition(" | ")
    assert all(DATUM.fullmatch(one) for one in data.split()), data
    assert (state is State.OK) is seen.healthy


def test_nobody_who_takes_writes_is_critical() -> None:
    for name in ("writer-dead", "both-lost"):
        assert judge(status(name), Thresholds()).state is State.CRITICAL
    for name in ("standby-dead", "solo"):
        assert judge(status(name), Thresholds()).state is State.WARNING


def lagging(seconds: float) -> Status:
    seen = build_status("main", view(), decide(view()), None)
    standby = next(name for name in seen.nodes if name != seen.writer)
    node = seen.nodes[standby]
    assert isinstance(node, SeenNodeStatus)
    late = node.model_copy(update={"lag_seconds": seconds})
    return seen.model_copy(update={"nodes": {**seen.nodes, standby: late}})


def test_thresholds_of_the_lag() -> None:
    limits = Thresholds(parse_range("5"), parse_range("30"))
    states = [judge(lagging(seconds), limits).state for seconds in (1, 6, 31)]
    assert states == [State.OK, State.WARNING, State.CRITICAL]
    _, line = line_of([judge(lagging(6), limits)])
    assert "lags 6.00 s behind" in line
    assert "_lag'=6.000s;5;30;0" in line


def test_a_lease_that_ran_out_is_unknown_and_a_failure_is_told() -> None:
    seen = build_status("main", view(), decide(view()), None)
    away = seen.model_copy(update={"lease_failure": "it ran out", "healthy": False})
    assert judge(away, Thresholds()).state is State.UNKNOWN
    noted = seen.model_copy(update={"journal_failure": "the journal | is\nfull"})
    state, line = line_of([judge(noted, Thresholds())])
    assert state is State.WARNING
    assert "the journal / is full" in line


def test_many_pairs_are_as_bad_as_the_worst() -> None:
    fine = [Checked(f"p{n}", State.OK, "healthy", ("epoch=1c",)) for n in range(3)]
    assert line_of(fine) == (
        State.OK,
        "MYHA OK - 3 pairs, all healthy | 'p0/epoch'=1c 'p1/epoch'=1c 'p2/epoch'=1c",
    )
    ill = [Checked(f"x{n}", State.WARNING, "solo: alone") for n in range(9)]
    state, line = line_of([*fine, *ill, Checked("z", State.CRITICAL, "lost")])
    assert state is State.CRITICAL
    assert "10 of 13 pairs not healthy: z: lost; x0: solo: alone;" in line
    assert "and 5 more" in line


# --- as a command -------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(config), "check", *words])


def test_no_supervisor_is_unknown(config: Path) -> None:
    done = run(config)
    assert done.exit_code == 3
    assert LINE.fullmatch(done.output.strip())
    assert "no supervisor is running here" in done.output


def test_one_that_stands_by_is_as_it_should_be(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_line(_client: Client) -> Status:
        raise SupervisorInLineError("the supervisor of main is in line: other has it")

    monkeypatch.setattr(Client, "status", in_line)
    done = run(config)
    assert done.exit_code == 0
    assert done.output.startswith("MYHA OK - main: the supervisor of main is in line")

    def differing(_client: Client) -> Status:
        raise SupervisorInLineError("in line; lb2 only there", "lb2 only there")

    monkeypatch.setattr(Client, "status", differing)
    done = run(config)
    assert done.exit_code == 1
    assert "lb2 only there" in done.output

    def unreadable(_config: Config) -> None:
        raise MyhaError("etcd does not answer")

    monkeypatch.setattr(check, "read_record", unreadable)
    done = run(config)
    assert done.exit_code == 3
    assert "etcd does not answer" in done.output


@pytest.mark.parametrize("words", [("-w", "x"), ("--nothing",), ("--pair", "other"), ("-t", "0")])
def test_a_wrong_call_is_unknown_too(config: Path, words: tuple[str, ...]) -> None:
    assert run(config, *words).exit_code == 3


def test_no_configuration_is_unknown(tmp_path: Path) -> None:
    done = run(tmp_path / "none.toml")
    assert done.exit_code == 3
    assert "no such file" in done.output


@pytest.fixture
def silent(config: Path) -> Iterator[None]:
    """A supervisor that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path(config.parent)))
        server.listen()
        yield


@pytest.mark.usefixtures("silent")
def test_it_gives_up_by_itself(config: Path) -> None:
    done = run(config, "-t", "0.3")
    assert done.exit_code == 3
    assert done.output == "MYHA UNKNOWN - no answer within 0.3 s\n"
