"""What a balancer is told of the shared address, and what keepalived's script reads there."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.balancers.factory import make_balancers
from myha.balancers.haproxy.render import render_haproxy
from myha.balancers.keepalived.render import CHECK_SCRIPT, render_keepalived
from myha.cli.balancer import balancer as balancer_command
from myha.config import Config, load
from myha.core.address import Standing
from myha.core.balancer import AddressLook
from myha.errors import BalancerError, ConfigError
from myha.ports import Balancer
from tests.real.conftest import need
from tests.real.test_haproxy import assert_one_line, free_ports
from tests.waiting import until

pytestmark = pytest.mark.real

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.99"  # an address of this host, and one of no host


class Proxy:
    """A HAProxy with the tables of a shared address."""

    def __init__(self, folder: Path) -> None:
        writer, reader, self.port = free_ports(3)
        self.toml = folder / "myha.toml"
        text = "[nodes.a]\nhost = '127.0.0.1'\n[nodes.b]\nhost = '127.0.0.2'\n"
        for name in ("lb1", "lb2"):
            text += (
                f"[balancers.{name}]\nsocket = '{folder / name}.sock'\n"
                f"writer_listen = '127.0.0.1:{writer}'\nreader_listen = '127.0.0.1:{reader}'\n"
                f"host = '192.0.2.3{name[-1]}'\ninterface = 'eth0'\ncheck_port = {self.port}\n"
            )
        self.toml.write_text(f"{text}[address]\nip = '{ELSEWHERE}/24'\npreference_seconds = 1.5\n")
        self.config: Config = load(self.toml)
        cfg = folder / "haproxy.cfg"
        # No right to bind to an address of another host is needed for what is shown here.
        rendered = render_haproxy(self.config, "lb1")
        cfg.write_text(re.sub(rf"    bind '{ELSEWHERE}.*\n", "", rendered))
        self.argv = [*need("haproxy").argv, "-db", "-f", str(cfg)]
        self.balancer: Balancer = make_balancers(self.config)["lb1"]

    def start(self) -> bool:
        """False where it has ended at once: another test has one of its ports."""
        self.process = subprocess.Popen(
            self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: self.process.poll() is not None or self.answers(), "HAProxy answers")
        return self.process.poll() is None

    def answers(self) -> bool:
        try:
            return self.balancer.look().boot_id.startswith(f"{self.process.pid}-")
        except BalancerError:
            return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def asked(self, *words: str, answer_seconds: str = "20") -> bool:
        """What the script says; it has a long time, since the machine may be busy."""
        what, *more = words
        command = [str(CHECK_SCRIPT), what, str(self.port), answer_seconds, *more]
        return subprocess.run(command, check=False, timeout=60).returncode == 0


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    def started(folder: Path) -> Proxy | None:
        folder.mkdir()
        made = Proxy(folder)
        return made if made.start() else None

    made = next(filter(None, (started(tmp_path / str(number)) for number in range(5))), None)
    assert made is not None, "HAProxy ends at its start"
    yield made
    made.stop()


def seen(proxy: Proxy) -> AddressLook:
    found = proxy.balancer.look().address
    assert found is not None
    return found


def test_one_that_has_just_started_was_told_nothing(proxy: Proxy) -> None:
    assert seen(proxy) == AddressLook(holds=False, told=False, preferred=False)
    assert not proxy.asked("told")
    assert not proxy.asked("preferred")


def test_what_it_is_told_is_read_by_the_script_and_by_the_next_look(proxy: Proxy) -> None:
    proxy.balancer.stand(Standing.TOLD)
    assert seen(proxy) == AddressLook(holds=False, told=True, preferred=False)
    assert proxy.asked("told")
    assert not proxy.asked("preferred")
    proxy.balancer.stand(Standing.AS_IT_IS)
    assert seen(proxy).told
    proxy.balancer.stand(Standing.DOUBTED)
    assert not proxy.asked("told")


def test_a_preference_runs_out_and_what_was_told_does_not(proxy: Proxy) -> None:
    proxy.balancer.stand(Standing.PREFERRED)
    assert seen(proxy).told
    until(lambda: not seen(proxy).preferred, "the preference runs out")
    assert not proxy.asked("preferred")
    assert proxy.asked("told")


def test_a_preference_that_is_said_again_lasts(proxy: Proxy) -> None:
    began = time.monotonic()
    proxy.balancer.stand(Standing.PREFERRED)
    while time.monotonic() < began + 3.0:  # twice as long as one lasts
        before = time.monotonic()
        proxy.balancer.stand(Standing.PREFERRED)
        time.sleep(0.1)
        held = seen(proxy).preferred
        assert held or time.monotonic() - before > 1.0  # a machine that stood still proves nothing
    proxy.balancer.stand(Standing.TOLD)
    assert not seen(proxy).preferred


def test_the_script_reports_that_its_host_has_the_address(proxy: Proxy) -> None:
    assert proxy.asked("alive", ELSEWHERE)
    assert not seen(proxy).holds
    assert proxy.asked("alive", HERE)
    assert seen(proxy).holds
    until(lambda: not seen(proxy).holds, "what was reported runs out")


def test_a_restart_forgets_all_of_it(proxy: Proxy) -> None:
    proxy.balancer.stand(Standing.PREFERRED)
    proxy.stop()
    assert not proxy.asked("alive", HERE)
    assert not proxy.asked("told")
    proxy.start()
    assert seen(proxy) == AddressLook(holds=False, told=False, preferred=False)
    assert proxy.asked("alive", HERE)


def test_its_end_is_known_while_the_script_watches(proxy: Proxy) -> None:
    command = [str(CHECK_SCRIPT), "alive", str(proxy.port), "20", ELSEWHERE]
    for _ in range(20):
        with subprocess.Popen(command) as watching:
            time.sleep(0.3)  # of 0.8 s; a busy machine may need another try
            if watching.poll() is not None:
                continue
            proxy.process.kill()
            proxy.process.wait()
            assert watching.wait(30) == 1
            return
    pytest.fail("the script never watched for 0.3 s")


def test_one_that_hangs_is_not_alive(proxy: Proxy) -> None:
    proxy.balancer.stand(Standing.TOLD)
    proxy.process.send_signal(signal.SIGSTOP)
    for words in (("alive", HERE), ("told",), ("preferred",)):
        assert not proxy.asked(*words, answer_seconds="0.2")
    with pytest.raises(BalancerError, match="does not answer in time") as caught:
        proxy.balancer.stand(Standing.TOLD)
    assert_one_line(caught.value, "lb1")


def test_whoever_asks_at_that_port_steers_nothing(proxy: Proxy) -> None:
    """HAProxy 3.0 refuses to set an entry of a table too, and adds it all the same: whoever is on
    that host can move the address, and no more."""
    proxy.balancer.stand(Standing.TOLD)
    for command in (
        "set server writer/a state ready",
        "shutdown sessions server writer/a",
        "clear table address_told key myha",
        "set table address_preferred key myha data.gpt0 1",
    ):
        with pytest.raises(BalancerError, match="Permission denied"):
            told(proxy, command)
    assert not any(route.takes_traffic for route in proxy.balancer.look().routes)
    assert seen(proxy).told


def told(proxy: Proxy, command: str) -> None:
    balancer = make_balancers(proxy.config)["lb1"]
    balancer._socket = f"127.0.0.1:{proxy.port}"  # type: ignore[attr-defined]
    answer = balancer._call([command], time.monotonic() + 20)  # type: ignore[attr-defined]
    raise BalancerError(answer)


def test_without_the_tables_it_says_so_and_is_steered_all_the_same(proxy: Proxy) -> None:
    folder = proxy.toml.parent
    (folder / "old").mkdir()
    text = proxy.toml.read_text().partition("[address]")[0].replace(str(folder), f"{folder}/old")
    (folder / "old" / "myha.toml").write_text(text)
    old = load(folder / "old" / "myha.toml")
    proxy.stop()
    cfg = folder / "haproxy.cfg"
    cfg.write_text(render_haproxy(old, "lb1").replace(f"{folder}/old", str(folder)))
    proxy.start()
    look = proxy.balancer.look()
    assert look.address is None
    assert len(look.routes) == 4
    proxy.balancer.put_in("writer", "a")
    with pytest.raises(BalancerError, match="was told"):
        proxy.balancer.stand(Standing.TOLD)


def test_the_command_prints_what_keepalived_takes(proxy: Proxy) -> None:
    def printed(*words: str) -> str:
        done = CliRunner().invoke(balancer_command, words, obj={"config_path": proxy.toml})
        if isinstance(done.exception, ConfigError):
            raise done.exception
        assert done.exit_code == 0
        return done.output

    assert printed("render", "lb2", "--keepalived") == render_keepalived(proxy.config, "lb2")
    assert printed("check-script") == CHECK_SCRIPT.read_text()
    assert 'script "/opt/check alive' in printed(
        "render", "lb2", "--keepalived", "--check-script", "/opt/check"
    )
    refused: tuple[tuple[str, Callable[[], str]], ...] = (
        ("lb9", lambda: printed("render", "lb9", "--keepalived")),
        ("/a b", lambda: printed("render", "lb1", "--keepalived", "--check-script", "/a b")),
    )
    for names, call in refused:
        with pytest.raises(ConfigError) as caught:
            call()
        assert_one_line(caught.value, names)


@pytest.mark.parametrize("waits", [False, True])
def test_the_whole_configuration_is_valid_without_warnings(
    proxy: Proxy, tmp_path: Path, waits: bool
) -> None:
    script = tmp_path / "await.lua" if waits else None
    if script is not None:
        script.write_text(CliRunner().invoke(balancer_command, ["await-script"]).output)
    cfg = tmp_path / "whole.cfg"
    cfg.write_text(render_haproxy(proxy.config, "lb1", await_script=script))
    checked = subprocess.run(
        [*need("haproxy").argv, "-c", "-f", str(cfg)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stdout + checked.stderr
