"""The process that answers HTTP: begun, told, ended, and never waited for."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from myha.api.listening import PORT_FILE, keep, listening
from myha.config import ProcessConfig, load_all
from myha.errors import MyhaError
from myha.supervisor import api_process
from myha.supervisor.api_process import ApiProcess
from tests.api.world import api_config
from tests.test_config_pairs import in_folder, written
from tests.waiting import until

DEADLINE_SECONDS = 30.0
STATE = '[cluster]\nstate_dir = "state"\n'

# Says where it is, and then what it is told.
ECHO = """
import json, sys
order = json.loads(sys.stdin.readline())
if order.get("trial"):
    sys.exit(0)
print(json.dumps({"url": order["url"]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"url": json.loads(line)["url"]}), flush=True)
"""


def config(folder: Path, more: str = "") -> ProcessConfig:
    return load_all(written(folder, STATE + in_folder("x") + more))


class Kept:
    def __init__(self, code: str) -> None:
        self.said: list[str] = []
        self.orders: list[ProcessConfig] = []
        self.process = ApiProcess((sys.executable, "-c", code), self._order, first_seconds=0.0)

    def _order(self, given: ProcessConfig) -> dict[str, Any]:
        self.orders.append(given)
        return {"url": f"u{len(self.orders)}"}


@pytest.fixture
def keep_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Kept]]:
    monkeypatch.setattr(api_process, "AGAIN_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(api_process, "STOP_SECONDS", 0.2)
    made: list[Kept] = []

    def make(code: str) -> Kept:
        made.append(Kept(code))
        monkeypatch.setattr(api_process, "log", lambda *words: made[-1].said.append(words[-1]))
        return made[-1]

    yield make
    for one in made:
        pid = one.process.pid
        one.process.stop()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_it_is_told_each_configuration_and_says_where_it_answers(
    keep_running: Callable[[str], Kept], tmp_path: Path
) -> None:
    one = keep_running(ECHO)
    one.process.have(config(tmp_path))
    until(lambda: one.process.url == "u1", "it answers")
    pid = one.process.pid
    one.process.have(config(tmp_path, "[lag]\nout_seconds = 11\n"))
    until(lambda: one.process.url == "u2", "it is told")
    assert one.process.pid == pid
    one.process.have(config(tmp_path, "[api]\nnames = ['x']\n"))
    until(lambda: one.process.url == "u3", "another one is begun for another [api]")
    assert one.process.pid != pid
    one.process.have(config(tmp_path, "[api]\nenabled = false\n"))
    until(lambda: one.process.url == "" and one.process.pid is None, "there is none any more")


def test_one_that_is_killed_is_begun_again(
    keep_running: Callable[[str], Kept], tmp_path: Path
) -> None:
    one = keep_running(ECHO)
    one.process.have(config(tmp_path))
    until(lambda: one.process.url == "u1", "it answers")
    assert one.process.pid is not None
    os.kill(one.process.pid, signal.SIGKILL)
    until(lambda: one.process.url == "u2", "another one answers")
    assert any("signal 9" in line for line in one.said)


def test_what_it_fails_by_is_said_and_it_is_tried_again(
    keep_running: Callable[[str], Kept], tmp_path: Path
) -> None:
    one = keep_running('print(\'{"failed": "the port is taken"}\')')
    one.process.have(config(tmp_path))
    until(lambda: len(one.said) >= 2, "it is tried again")
    assert one.said[0].startswith("HTTP is not answered (the port is taken); tried again in ")


@pytest.mark.parametrize(
    "code",
    ["print('no JSON'); print('[]'); import time; time.sleep(60)", "print('x' * 10**6)", "exit(3)"],
)
def test_nonsense_from_it_is_no_defect(
    keep_running: Callable[[str], Kept], tmp_path: Path, code: str
) -> None:
    one = keep_running(code)
    one.process.have(config(tmp_path))
    until(lambda: one.orders, "it is begun")
    assert one.process.url == ""


def test_nobody_waits_for_one_that_is_stopped(
    keep_running: Callable[[str], Kept], tmp_path: Path
) -> None:
    """It reads nothing, and orders are larger than what a pipe holds."""
    one = keep_running(ECHO)
    one.process.have(config(tmp_path))
    until(lambda: one.process.url == "u1", "it answers")
    pid = one.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    one.process._make_order = lambda _config: {"url": "x" * 1_000_000}
    began = time.monotonic()
    for number in range(5):
        one.process.have(config(tmp_path, f"[lag]\nout_seconds = {11 + number}\n"))
    one.process.stop()
    assert time.monotonic() - began < DEADLINE_SECONDS / 2
    until(lambda: _gone(pid), "it was killed")


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_one_that_falls_silent_is_ended(
    keep_running: Callable[[str], Kept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_process, "SILENT_SECONDS", 0.05)
    one = keep_running("import time; time.sleep(600)")
    one.process.have(config(tmp_path))
    until(lambda: any("has said nothing" in line for line in one.said), "it is ended")


# -- where it listens ------------------------------------------------------------------------------


def test_the_port_stays_the_same_and_one_that_is_taken_is_given_up(tmp_path: Path) -> None:
    first, said = listening(api_config(), tmp_path)
    port = first.getsockname()[1]
    assert said == ""
    assert keep(tmp_path, port) == ""
    other, said = listening(api_config(), tmp_path)  # while the first one still listens
    with first, other:
        assert f"port {port}" in said
        assert other.getsockname()[1] != port
    again, said = listening(api_config(), tmp_path)
    with again:
        assert (again.getsockname()[1], said) == (port, "")


def test_an_answer_in_two_pieces_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    """With Nagle's algorithm it waited 40 ms."""
    one, _ = listening(api_config(), tmp_path)
    with one, socket.create_connection(one.getsockname()), one.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("content", ["", "x", "-1", "99999999", "0"])
def test_a_port_file_with_nonsense_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / PORT_FILE).write_text(content)
    one, said = listening(api_config(), tmp_path)
    with one:
        assert said == ""


def test_a_configured_port_that_is_taken_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MyhaError, match=f"{listen} is taken by another program"):
            listening(api_config(listen=listen), tmp_path)


def test_a_state_folder_that_cannot_be_written_only_loses_the_port(tmp_path: Path) -> None:
    said = keep(tmp_path / "nothing", 1234)
    assert said.endswith("the port may change")
