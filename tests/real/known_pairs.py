"""A web server as `myha run` starts it, told of pairs by the test instead of a supervisor."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from myha.api.app import application
from myha.api.known import Known
from myha.api.listening import listening, url_of
from myha.api.process import server_config
from myha.api.tokens import Role, TokenFile, add_token
from myha.api.world import World
from myha.config import ApiConfig, load_all
from myha.core.journal_line import Line
from myha.stores.local.journal import LocalJournal
from tests.test_config_pairs import in_folder, written

Data = dict[str, Any]
AGAIN_SECONDS = 0.3
HEALTHY = "Both nodes are as they should be."


def node(version: str = "10.11.19-MariaDB", **more: Any) -> Data:
    """A node that has been seen, as in a status."""
    thread = {"state": "running", "errno": 0, "error": ""}
    semisync = {
        "source_enabled": False,
        "source_waits": False,
        "source_clients": 0,
        "source_wait_count": 1,
        "acknowledgers": [],
        "replica_enabled": True,
        "waiting_sessions": 0,
    }
    return {
        **{"contact": "answering", "contact_seconds": 60.0, "error": "", "membership": "member"},
        **{"cause": "", "reason": "", "fenced": False, "heal": None, "reader_ok": True},
        **{"wanted": {"writer": False, "reader": True}, "watched": False, "failure": None},
        **{"version": version, "server_id": 1, "boot_id": "1", "open": False, "executed": "0-1-5"},
        **{"receiver": thread, "applier": thread, "source": "127.0.0.1:1", "lag_seconds": 0.02},
        **{"lag_transactions": 0, "lag_bytes": 0, "semisync": semisync, "sessions": 3},
        **{"writes_stalled_seconds": 0.0, "stall_reason": ""},
        **more,
    }


def status(name: str, **more: Any) -> Data:
    """A healthy pair of `a`, the writer, and `b`."""
    sentence = more.pop("sentence", HEALTHY)
    verdict = more.pop("verdict", "healthy")
    routes = [
        {"pool": pool, "node": one, "takes_traffic": takes, "sessions": 2}
        for pool, one, takes in (
            *(("writer", "a", True), ("writer", "b", False)),
            *(("reader", "a", True), ("reader", "b", True)),
        )
    ]
    balancer = {"answering": True, "error": "", "boot_id": "1", "routes": routes, "address": None}
    return {
        **{"settled": True, "verdict": verdict, "sentence": sentence},
        **{"verdicts": [{"name": verdict, "sentence": sentence}], "healthy": verdict == "healthy"},
        **{"mode": "single-writer", "durability": "lossless", "writer": "a", "epoch": 1},
        **{"sync": "armed", "maintenance": False, "running": None, "refusals": []},
        **{"incidents": [], "jobs": [], "nodes": {"a": node(open=True), "b": node()}},
        **{"balancers": {"lb1": balancer}, "ok": True, "name": name, "replicas": {}},
        **more,
    }


def line(of: Data) -> Data:
    """What the list of all pairs says of it."""
    keys = ("name", "verdict", "sentence", "healthy", "writer", "epoch", "sync", "running")
    return {key: of[key] for key in keys}


class Told:
    """That server, while it runs. `silent`: the supervisor behind it answers nothing."""

    def __init__(self, known: Known, server: uvicorn.Server, token: str) -> None:
        self._known = known
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._answer: Data = {"names": [], "pairs": {}}
        self.silent = False
        self.token = token
        self.url = known.url

    def start(self, bound: socket.socket) -> None:
        def run() -> None:
            self._loop.call_soon(self._repeat)
            self._loop.run_until_complete(self._server.serve([bound]))

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def stop(self) -> None:
        """As often as wanted."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._known.end)
            self._server.should_exit = True
            self._thread.join()
            self._thread = None
            self._loop.close()

    def tell(self, *statuses: Data) -> None:
        """The supervisor has said so."""
        pairs = {one["name"]: {"line": line(one), "status": one} for one in statuses}
        self._answer = {"names": list(pairs), "pairs": pairs}
        self._loop.call_soon_threadsafe(self._known.take, "", self._answer)

    def _repeat(self) -> None:
        """In the server's thread: a supervisor answers all the time, with news or without."""
        if not self.silent:
            self._known.take("", {"names": self._answer["names"], "pairs": {}})
        self._known.publish_overview()
        self._loop.call_later(AGAIN_SECONDS, self._repeat)

    def journal(self, pair: str, *lines: Data) -> None:
        self._loop.call_soon_threadsafe(self._known.journal, pair, list(map(Line.of_json, lines)))


@contextmanager
def told_server(folder: Path, *names: str) -> Iterator[Told]:
    """Of pairs with these names, none of which has anything in its journal."""
    config = load_all(written(folder, '[cluster]\nstate_dir = "state"\n' + in_folder("x")))
    journal = LocalJournal(config.supervisor.state_dir, names[0])
    api = ApiConfig.model_validate({})
    bound, _ = listening(api, folder)
    known = Known(names)
    known.url = url_of(api, bound)
    tokens = folder / "tokens"
    token = add_token(tokens, "test", Role.OPERATE)
    pairs = dict.fromkeys(names, next(iter(config.pairs.values())))
    world = World(known, folder / "nobody.sock", pairs, TokenFile(tokens))
    known.changed_pairs.append(world.history.take)
    app = application(world, api, bound.getsockname()[1])
    told = Told(known, uvicorn.Server(server_config(api, app)), token)
    told.start(bound)
    try:
        yield told
    finally:
        told.stop()
        bound.close()
        journal.close()
