"""HTTP on a real pair: a failover in front of listeners, operations, and a process that may die."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import urllib3

from myha.database.flavours import FLAVOURS
from tests.real.pair import DEADLINE_SECONDS, Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

Data = dict[str, Any]
LISTENERS = 20


class Api:
    """The pair's own, as a program uses it."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.url = until(lambda: pair.status().get("url"), "HTTP is answered")
        self.token = pair.myha("api", "token", "add", "test", "--role", "operate").stdout.strip()
        self._pool = urllib3.PoolManager(retries=False, maxsize=2 * LISTENERS)

    def get(self, path: str) -> Any:
        answer = self._pool.request("GET", self.url + path, timeout=20)
        return (
            answer.json() if answer.headers["content-type"] == "application/json" else answer.data
        )

    def post(self, name: str, **body: Any) -> tuple[int, Data]:
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        url = f"{self.url}/api/v1/pairs/sandbox/{name}"
        answer = self._pool.request("POST", url, json=body, headers=headers, timeout=90)
        return answer.status, answer.json()

    def listen(self, heard: list[tuple[float, str, Data]], stop: threading.Event) -> None:
        """Note each event with the time of its arrival, until told to stop."""
        answer = self._pool.request(
            "GET", f"{self.url}/api/v1/stream", preload_content=False, timeout=20
        )
        name, rest = "", b""
        for part in answer.stream(65536):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: "):
                    heard.append((time.monotonic(), name, json.loads(line[6:])))
            if stop.is_set():
                break
        answer.close()

    @property
    def pids(self) -> list[int]:
        """Of the processes that the supervisor has started to answer HTTP."""
        supervisor = psutil.Process(self.pair.status()["pid"])
        running = [one for one in supervisor.children() if one.status() != psutil.STATUS_ZOMBIE]
        return [one.pid for one in running if "myha.api" in one.cmdline()]


@pytest.fixture(scope="module", params=[*FLAVOURS])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    with running_pair(flavour=request.param, api=True) as pair:
        yield Api(pair)


def test_listeners_see_a_switchover_and_it_is_on_record(api: Api) -> None:
    stop = threading.Event()
    heard: list[list[tuple[float, str, Data]]] = [[] for _ in range(LISTENERS)]
    threads = [threading.Thread(target=api.listen, args=(one, stop)) for one in heard]
    for thread in threads:
        thread.start()
    until(lambda: all(len(one) >= 2 for one in heard), "all have heard what is known")
    writer = api.pair.status()["writer"]
    other = "b" if writer == "a" else "a"
    status, dry = api.post("switchover", dry_run=True)
    assert status == 200
    assert f"open {other}" in dry["plan"]["steps"]
    assert api.pair.status()["writer"] == writer
    status, done = api.post("switchover", wait_seconds=60, max_outage_seconds=5)
    assert (status, done["ok"]) == (200, True), done

    def told(one: list[tuple[float, str, Data]]) -> bool:
        return any(name == "status" and data["status"]["writer"] == other for _, name, data in one)

    until(lambda: all(told(one) for one in heard), "all have heard of the new writer")

    def lines() -> set[str]:
        return {data["line"]["kind"] for _, name, data in heard[0] if name == "journal"}

    until(lambda: {"plan", "step", "plan-done", "audit"} <= lines(), "and what was done")
    stop.set()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    (audit,) = api.pair.events("audit")[-1:]
    assert (audit["who"], audit["from"], audit["outcome"]) == ("token test", "127.0.0.1", "done")
    newest = api.get("/api/v1/pairs/sandbox/failovers")["failovers"][0]
    assert (newest["plan"], newest["outcome"]) == ("switchover", "done")
    assert b'myha_plan_seconds_count{outcome="done",pair="sandbox",plan="switchover"}' in api.get(
        "/metrics"
    )


def test_a_refusal_is_the_same_as_the_commands(api: Api) -> None:
    api.pair.await_healthy()
    status, refused = api.post("failover")
    command = api.pair.myha("failover")
    assert status == 409
    assert refused["text"] in command.stderr
    assert refused["override"] in command.stderr
    tried = api.pair.myha("switchover", "--dry-run")
    assert tried.returncode == 0
    assert "1. await-near" in tried.stdout


def test_a_comparison_that_is_asked_for_runs_as_a_job(api: Api) -> None:
    api.pair.await_healthy()
    assert api.post("verify")[0] == 200
    last = until(
        lambda: api.get("/api/v1/pairs/sandbox/jobs")["last"].get("verify"), "it has ended"
    )
    assert last["result"] == "done"


def test_the_supervisor_does_not_notice_what_becomes_of_it(api: Api) -> None:
    """Stopped, it delays nothing; killed, another one answers at the same place."""
    api.pair.await_healthy()
    (pid,) = api.pids
    os.kill(pid, signal.SIGSTOP)
    try:
        done = api.pair.myha("switchover", "--max-outage", "5")
        assert done.returncode == 0, done.stderr
    finally:
        os.kill(pid, signal.SIGKILL)
    until(lambda: api.pids not in ([], [pid]), "another one is begun")
    until(lambda: api.pair.status()["url"] == api.url, "it answers at the same place")
    assert until(lambda: api.get("/api/v1/pairs")["supervisor"]["answering"], "it knows")


def test_a_supervisor_that_stands_still_is_called_silent(api: Api) -> None:
    pid = api.pair.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: not api.get("/api/v1/pairs")["supervisor"]["answering"], "it is silent")
        assert api.get("/api/v1/pairs/sandbox")["writer"]
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: api.get("/api/v1/pairs")["supervisor"]["answering"], "it answers again")


def test_it_ends_with_the_supervisor(api: Api) -> None:
    (pid,) = api.pids
    supervisor = api.pair.status()["pid"]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid), "it has ended too")
