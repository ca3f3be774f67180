"""A real HAProxy with small TCP servers behind it: what it is told is so, failures are clear."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.balancers.haproxy.adapter import HAProxyBalancer
from myha.balancers.haproxy.render import AWAIT_SCRIPT, render_haproxy
from myha.cli.balancer import balancer as balancer_command
from myha.config import Config, load
from myha.core.observations import BalancerLooked
from myha.errors import BalancerError, ConfigError
from myha.sandbox.programs import fetch
from myha.supervisor.watchers import BalancerWatcher
from tests.waiting import until

pytestmark = pytest.mark.real

DEADLINE_SECONDS = 60.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Echo:
    """Greets with its name, then sends back what it gets."""

    def __init__(self, name: str) -> None:
        self.greeting = name.encode()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.sendall(self.greeting)
            while data := client.recv(4096):
                client.sendall(data)

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class Proxy:
    """A HAProxy process on a rendered configuration, in a folder of its own."""

    def __init__(self, folder: Path, echoes: tuple[Echo, Echo], *, waits: bool) -> None:
        self.socket = str(folder / "admin.sock")
        self.writer_port, self.reader_port = free_ports(2)
        toml = folder / "myha.toml"
        a, b = echoes
        toml.write_text(
            f"[nodes.a]\nhost = '127.0.0.1'\nport = {a.port}\n"
            f"[nodes.b]\nhost = '127.0.0.1'\nport = {b.port}\n"
            f"[balancers.lb1]\nsocket = '{self.socket}'\n"
            f"writer_listen = '127.0.0.1:{self.writer_port}'\n"
            f"reader_listen = '127.0.0.1:{self.reader_port}'\n"
        )
        self.toml = toml
        self.config: Config = load(toml)
        self.cfg = folder / "haproxy.cfg"
        self.cfg.write_text(
            render_haproxy(self.config, "lb1", await_script=AWAIT_SCRIPT if waits else None)
        )
        self.argv = [*fetch("haproxy").argv, "-f", str(self.cfg)]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.balancer = HAProxyBalancer("lb1", self.socket, 1.0)
        self.start()

    def start(self, *extra: str) -> None:
        process = subprocess.Popen(
            [*self.argv, "-db", *extra], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)
        until(lambda: self.answers_from(process.pid), "HAProxy answers")

    def answers_from(self, pid: int) -> bool:
        with suppress(BalancerError):
            return self.balancer.look().boot_id.startswith(f"{pid}-")
        return False

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.processes[-1]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    def dial(self, port: int) -> tuple[socket.socket, bytes]:
        client = socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS)
        return client, client.recv(1)


@pytest.fixture
def echoes() -> Iterator[tuple[Echo, Echo]]:
    pair = Echo("a"), Echo("b")
    yield pair
    for echo in pair:
        echo.close()


@pytest.fixture
def proxy(tmp_path: Path, echoes: tuple[Echo, Echo]) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path, echoes, waits=False)
    yield proxy
    proxy.stop()


@pytest.fixture
def patient_proxy(tmp_path: Path, echoes: tuple[Echo, Echo]) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path, echoes, waits=True)
    yield proxy
    proxy.stop()


def traffic(proxy: Proxy) -> set[str]:
    return {f"{r.pool}/{r.node}" for r in proxy.balancer.look().routes if r.takes_traffic}


def test_rendered_configuration_is_valid_without_warnings(proxy: Proxy) -> None:
    checked = subprocess.run([*proxy.argv, "-c"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stdout + checked.stderr


def test_starts_out_of_traffic_and_turns_clients_away(proxy: Proxy) -> None:
    look = proxy.balancer.look()
    assert {(r.pool, r.node) for r in look.routes} == {
        (pool, node) for pool in ("writer", "reader") for node in ("a", "b")
    }
    assert traffic(proxy) == set()
    client, greeting = proxy.dial(proxy.writer_port)
    assert greeting == b""
    client.close()


def test_put_in_routes_and_look_counts_sessions(proxy: Proxy) -> None:
    proxy.balancer.put_in("writer", "a")
    proxy.balancer.put_in("reader", "b")
    assert traffic(proxy) == {"writer/a", "reader/b"}
    writer, greeting = proxy.dial(proxy.writer_port)
    assert greeting == b"a"
    reader, greeting = proxy.dial(proxy.reader_port)
    assert greeting == b"b"
    sessions = {(r.pool, r.node): r.sessions for r in proxy.balancer.look().routes}
    assert sessions == {("writer", "a"): 1, ("writer", "b"): 0} | {
        ("reader", "a"): 0,
        ("reader", "b"): 1,
    }
    writer.close()
    reader.close()


def test_take_out_shuts_sessions_of_all_its_pools(proxy: Proxy) -> None:
    assert proxy.balancer.ends_sessions
    for pool in ("writer", "reader"):
        proxy.balancer.put_in(pool, "a")
    clients = [proxy.dial(proxy.writer_port)[0] for _ in range(20)]
    clients += [proxy.dial(proxy.reader_port)[0] for _ in range(20)]
    proxy.balancer.take_out("a", ("writer", "reader"), 1.0)
    assert all(r.sessions == 0 for r in proxy.balancer.look().routes)
    assert traffic(proxy) == set()
    for client in clients:
        assert client.recv(1) == b""
        client.close()


def test_take_out_again_changes_nothing(proxy: Proxy) -> None:
    proxy.balancer.take_out("a", ("writer", "reader"), 1.0)
    proxy.balancer.take_out("a", ("writer", "reader"), 1.0)
    assert traffic(proxy) == set()


def test_take_out_of_one_node_leaves_the_other_alone(proxy: Proxy) -> None:
    proxy.balancer.put_in("reader", "b")
    client, _ = proxy.dial(proxy.reader_port)
    proxy.balancer.put_in("reader", "a")
    proxy.balancer.take_out("a", ("writer", "reader"), 1.0)
    client.sendall(b"still there")
    assert client.recv(64) == b"still there"
    client.close()


def test_drain_lets_old_sessions_go_on(proxy: Proxy) -> None:
    proxy.balancer.put_in("writer", "a")
    old, _ = proxy.dial(proxy.writer_port)
    proxy.balancer.drain("writer", "a")
    assert traffic(proxy) == set()
    proxy.balancer.put_in("writer", "b")
    new, greeting = proxy.dial(proxy.writer_port)
    assert greeting == b"b"
    old.sendall(b"x")
    assert old.recv(1) == b"x"
    proxy.balancer.put_in("writer", "a")
    assert traffic(proxy) == {"writer/a", "writer/b"}
    old.close()
    new.close()


def test_clients_wait_for_the_new_writer(patient_proxy: Proxy) -> None:
    proxy = patient_proxy
    proxy.balancer.put_in("writer", "a")
    proxy.balancer.take_out("a", ("writer",), 1.0)
    clients = [
        socket.create_connection(("127.0.0.1", proxy.writer_port), DEADLINE_SECONDS)
        for _ in range(8)
    ]
    clients[0].settimeout(0.2)
    with pytest.raises(TimeoutError):
        clients[0].recv(1)
    clients[0].settimeout(DEADLINE_SECONDS)
    proxy.balancer.put_in("writer", "b")
    assert [client.recv(1) for client in clients] == [b"b"] * 8
    for client in clients:
        client.close()


def test_waiting_is_bounded(patient_proxy: Proxy) -> None:
    client, greeting = patient_proxy.dial(patient_proxy.writer_port)
    assert greeting == b""
    client.close()


def test_a_dead_reader_is_passed_over(proxy: Proxy, echoes: tuple[Echo, Echo]) -> None:
    for node in ("a", "b"):
        proxy.balancer.put_in("reader", node)
    echoes[1].close()
    for _ in range(4):
        client, greeting = proxy.dial(proxy.reader_port)
        assert greeting == b"a"
        client.close()


def test_a_restart_changes_the_boot_id_and_forgets_traffic(proxy: Proxy) -> None:
    proxy.balancer.put_in("writer", "a")
    before = proxy.balancer.look().boot_id
    assert proxy.balancer.look().boot_id == before
    proxy.process.kill()
    proxy.process.wait()
    with pytest.raises(BalancerError, match=r"refuses connections|no such socket"):
        proxy.balancer.look()
    proxy.start()
    assert proxy.balancer.look().boot_id != before
    assert traffic(proxy) == set()


def test_a_restart_is_seen_long_before_the_interval_is_over(proxy: Proxy) -> None:
    seen: queue.Queue[object] = queue.Queue()
    watcher = BalancerWatcher(proxy.balancer, 3600.0, seen.put)
    watcher.start()
    try:
        first = seen.get(timeout=DEADLINE_SECONDS)
        proxy.process.kill()
        proxy.process.wait()
        proxy.start()
        second = seen.get(timeout=DEADLINE_SECONDS)
    finally:
        watcher.stop()
        watcher.join(DEADLINE_SECONDS)
    assert isinstance(first, BalancerLooked)
    assert isinstance(second, BalancerLooked)
    assert first.look.boot_id != second.look.boot_id


def test_a_reload_changes_the_boot_id_and_forgets_traffic(proxy: Proxy) -> None:
    proxy.balancer.put_in("writer", "a")
    before = proxy.balancer.look().boot_id
    proxy.start("-sf", str(proxy.process.pid))
    assert proxy.balancer.look().boot_id != before
    assert traffic(proxy) == set()
    until(lambda: proxy.processes[0].poll() is not None, "the old process ends")


def test_unknown_servers_are_refused_by_name(proxy: Proxy) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: proxy.balancer.put_in("writer", "c"),
        lambda: proxy.balancer.take_out("c", ("writer",), 1.0),
        lambda: proxy.balancer.drain("nowhere", "a"),
    )
    for call in calls:
        with pytest.raises(BalancerError, match=r"No such (server|backend|proxy)") as caught:
            call()
        assert_one_line(caught.value, "lb1")


def test_a_hung_haproxy_is_an_error_within_the_deadline(proxy: Proxy) -> None:
    proxy.balancer.put_in("writer", "a")
    proxy.process.send_signal(signal.SIGSTOP)
    status = Path(f"/proc/{proxy.process.pid}/status")
    until(lambda: "State:\tT" in status.read_text(), "HAProxy stands still")
    quick = HAProxyBalancer("lb1", proxy.socket, 0.2)
    for call in (
        quick.look,
        lambda: quick.put_in("writer", "b"),
        lambda: quick.take_out("a", ("writer",), 0.2),
    ):
        began = time.monotonic()
        with pytest.raises(BalancerError, match="does not answer in time") as caught:
            call()
        assert time.monotonic() - began < 10.0  # and not for ever
        assert_one_line(caught.value, proxy.socket)
    proxy.process.send_signal(signal.SIGCONT)
    until(lambda: traffic(proxy) is not None, "HAProxy answers again")


def test_a_missing_socket_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BalancerError, match="there is no such socket") as caught:
        HAProxyBalancer("lb1", str(tmp_path / "none.sock"), 0.5).look()
    assert_one_line(caught.value, "none.sock")


def test_a_refusing_port_is_one_clear_line() -> None:
    (port,) = free_ports(1)
    with pytest.raises(BalancerError, match="refuses connections") as caught:
        HAProxyBalancer("lb1", f"127.0.0.1:{port}", 0.5).look()
    assert_one_line(caught.value, str(port))


@pytest.mark.parametrize(
    "greeting",
    [
        b"\x4a\x00\x00\x00\x0a9.7.4\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 400\r\n\r\n",
        b"hello\n",
        b"",
    ],
)
@pytest.mark.parametrize("stays", [True, False])
def test_another_protocol_is_one_clear_line(greeting: bytes, stays: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def answer() -> None:
            client, _ = server.accept()
            client.sendall(greeting)
            if stays:
                held.append(client)
            else:
                client.recv(4096)
                client.close()

        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        with pytest.raises(BalancerError) as caught:
            HAProxyBalancer("lb1", f"127.0.0.1:{port}", 0.3).look()
        assert_one_line(caught.value, str(port))
        for client in held:
            client.close()


def test_a_socket_of_another_user_is_one_clear_line() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        path = Path(folder) / "admin.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        assert "may not be opened by this user" in as_nobody(
            HAProxyBalancer("lb1", str(path), 1.0).look
        )


def as_nobody(call: Callable[[], object]) -> str:
    """What the call raises in a child that has given up root's rights, if it had them."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            call()
        except BalancerError as error:
            os.write(writes, str(error).encode())
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with os.fdopen(reads) as pipe:
        return pipe.read()


def test_the_command_prints_what_haproxy_takes(proxy: Proxy) -> None:
    context = {"config_path": proxy.toml}
    printed = CliRunner().invoke(balancer_command, ["render"], obj=context)
    assert printed.exit_code == 0
    assert printed.output == render_haproxy(proxy.config, "lb1")
    script = CliRunner().invoke(balancer_command, ["await-script"], obj=context)
    assert script.output == AWAIT_SCRIPT.read_text()
    unknown = CliRunner().invoke(balancer_command, ["render", "lb9"], obj=context)
    assert isinstance(unknown.exception, ConfigError)
    assert "lb9" in str(unknown.exception)


def assert_one_line(error: Exception, names: str) -> None:
    assert "\n" not in str(error)
    assert names in str(error)
