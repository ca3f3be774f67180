"""`myha run` with several workers, answering HTTP over TLS: real requests, tokens, and reloads.

Its pairs have no record, so no server is needed; each has its line all the same.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from myha.api.tokens import Role, add_token, remove_token
from myha.errors import MyhaError
from myha.sandbox import registry
from myha.supervisor.client import ask
from tests.certificates import Authority
from tests.test_config_pairs import in_folder, written
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("api-tls")

PAIRS = ("billing", "orders", "shop")
SECONDS = 60.0


class Served:
    """The supervisor, its files, and who may ask it."""

    def __init__(self, folder: Path, ports: tuple[int, ...]) -> None:
        self.folder, self.ports = folder, ports
        self.ours, self.others = Authority(folder, "ours"), Authority(folder, "others")
        self.certificate, self.key = self.ours.sign("api")
        self.tokens = folder / "tokens"
        self.token = add_token(self.tokens, "reader", Role.READ)
        self.write(ports[0])
        with (folder / "log").open("w") as log:
            command = [sys.executable, "-m", "myha", "--config", str(self.config), "run"]
            self.process = subprocess.Popen(command, stderr=log, start_new_session=True)

    @property
    def config(self) -> Path:
        return self.folder / "myha.toml"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def write(self, port: int, certificate: Path | None = None, more: str = "") -> None:
        """The files; off loopback, where TLS and a token are required."""
        written(
            self.folder,
            f"""
            [supervisor]
            state_dir = "state"
            workers = 2
            [api]
            listen = "0.0.0.0:{port}"
            tls_certificate = "{certificate or self.certificate}"
            tls_key = "{self.key}"
            tokens_file = "{self.tokens}"
            {more}
            """,
            **{name: in_folder(name) for name in PAIRS},
        )

    def reload(self) -> str:
        """What it says; raises MyhaError when it refuses."""
        answer = ask(self.folder / "state" / "myha.sock", {"do": "reload"})
        if not answer["ok"]:
            raise MyhaError(answer["text"])
        return str(answer["text"])

    def get(self, *, token: str = "", port: int = 0, by: Authority | None = None) -> Any:
        """The answer to who reads all pairs."""
        pool = urllib3.PoolManager(ca_certs=str((by or self.ours).file), retries=False)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = f"https://127.0.0.1:{port or self.ports[0]}/api/v1/pairs"
        return pool.request("GET", url, headers=headers, timeout=SECONDS)

    def answers(self, **how: Any) -> bool:
        try:
            return bool(self.get(token=self.token, **how).status == 200)
        except urllib3.exceptions.HTTPError:
            return False

    def lines(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.get(token=self.token).json()["pairs"]}

    def children(self, module: str) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children()
        return [one for one in found if _runs(one, module)]


def _runs(process: psutil.Process, module: str) -> bool:
    try:
        return module in process.cmdline()
    except psutil.Error:
        return False  # it has ended


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    claim = Path(tempfile.mkdtemp(prefix="myha-api-"))
    directory, ports = registry.claim(claim / "claim", 2, lambda _d, _p: None)
    one = Served(tmp_path_factory.mktemp("api"), tuple(ports))
    try:
        until(one.answers, "it answers")
        yield one
    finally:
        one.process.terminate()
        one.process.wait(SECONDS)
        registry.release(directory)


@pytest.fixture
def served(running: Served) -> Iterator[Served]:
    """Whatever the test has changed is put back by the same way."""
    files = {path: path.read_bytes() for path in (running.certificate, running.key)}
    yield running
    for path, content in files.items():
        if path.read_bytes() != content:
            path.write_bytes(content)
    running.write(running.ports[0])
    before = running.children("myha.api")
    if "[api]" in running.reload():
        until(lambda: running.children("myha.api") not in ([], before), "another process")
    until(running.answers, "it answers as in the beginning")


def test_who_has_the_certificate_and_a_token_sees_the_pairs_of_all_workers(served: Served) -> None:
    until(lambda: served.lines().keys() == set(PAIRS), "all pairs")
    assert len(served.children("myha.supervisor.worker")) == 2
    until(
        lambda: all("waiting" in one["supervisor"] for one in served.lines().values()),
        "why each has no supervisor",
    )
    assert {one["verdict"] for one in served.lines().values()} == {"no-supervisor"}


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_token_nothing_is_answered(served: Served, token: str) -> None:
    answer = served.get(token=token)
    assert answer.status == 401
    assert not answer.json()["ok"]


def test_a_certificate_of_another_authority_is_not_taken_for_ours(served: Served) -> None:
    with pytest.raises(urllib3.exceptions.SSLError):
        served.get(token=served.token, by=served.others)


def test_plain_http_on_the_port_of_tls_gets_no_answer_and_harms_nobody(served: Served) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", served.ports[0], timeout=SECONDS)
    plain.request("GET", "/api/v1/pairs", headers={"authorization": f"Bearer {served.token}"})
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.getresponse()
    assert served.answers()


def test_tls_of_old_is_refused(served: Served) -> None:
    old = ssl.create_default_context(cafile=served.ours.file)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", served.ports[0]), SECONDS) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_token_counts_from_the_next_request_on_until_it_is_removed(served: Served) -> None:
    token = add_token(served.tokens, "second", Role.READ)
    assert served.get(token=token).status == 200
    remove_token(served.tokens, "second")
    assert served.get(token=token).status == 401
    assert served.answers(), "the others stay"


def test_a_new_port_is_had_by_a_reload_and_the_old_one_left(served: Served) -> None:
    served.write(served.ports[1])
    assert served.reload() == "changed: [api]"
    until(lambda: served.answers(port=served.ports[1]), "the new port answers")
    assert not served.answers()
    assert f"HTTP is answered at https://0.0.0.0:{served.ports[1]}" in served.log


def test_a_port_that_is_taken_is_refused_in_one_line_and_the_old_one_stays(served: Served) -> None:
    (process,) = served.children("myha.api")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served.write(port)
        command = [sys.executable, "-m", "myha", "--config", str(served.config), "reload"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert done.stderr == (
        f"myha: [api]: 0.0.0.0:{port} is taken by another program: end that, or set api.listen to "
        "another port; the configuration in force stays\n"
    )
    assert served.answers()
    assert served.children("myha.api") == [process]


def test_a_certificate_that_does_not_serve_is_refused_and_the_old_one_stays(served: Served) -> None:
    wrong, _ = served.others.sign("wrong")
    served.write(served.ports[0], wrong)  # with the key of another
    with pytest.raises(MyhaError, match=r"^\[api\]: api.tls_certificate, api.tls_key: .*stays$"):
        served.reload()
    served.write(served.ports[0], served.folder / "nothing.crt")
    with pytest.raises(MyhaError, match=r"No such file or directory; put PEM files there;"):
        served.reload()
    assert served.answers()


def test_a_certificate_that_was_renewed_is_used_after_a_reload(served: Served) -> None:
    served.others.sign("api")  # into the same files
    assert served.reload() == "changed: [api]"
    until(lambda: served.answers(by=served.others), "the new certificate")
    assert not served.answers()
    assert served.reload() == "nothing has changed"


def test_a_worker_that_dies_takes_no_line_away(served: Served) -> None:
    until(lambda: served.lines().keys() == set(PAIRS), "all pairs")
    one = served.children("myha.supervisor.worker")[0]
    os.kill(one.pid, signal.SIGKILL)
    until(lambda: len(served.children("myha.supervisor.worker")) == 2, "another one")
    assert served.lines().keys() == set(PAIRS)
    assert one.pid not in {child.pid for child in served.children("myha.supervisor.worker")}


def test_a_pair_that_is_added_or_goes_is_seen_in_front_of_all_workers(served: Served) -> None:
    extra = served.folder / "pairs.d" / "extra.toml"
    extra.write_text(in_folder("extra"))
    assert served.reload() == "added: extra"
    until(lambda: "extra" in served.lines(), "the new pair")
    extra.unlink()
    assert served.reload() == "removed: extra"
    until(lambda: served.lines().keys() == set(PAIRS), "it has gone")
