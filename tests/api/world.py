"""The application with a supervisor that only answers what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from myha.api.app import endpoints
from myha.api.counted import Counted
from myha.api.guard import Guard
from myha.api.known import Known
from myha.api.tokens import Role, TokenFile, add_token
from myha.api.world import World
from myha.config import ApiConfig, load_all
from myha.core.planning import decide
from myha.core.view import View
from myha.stores.local.journal import LocalJournal
from myha.supervisor.control import ControlServer, socket_path
from myha.supervisor.status_builder import build_status
from tests.core.views import view
from tests.test_config_pairs import in_folder, written

PORT = 8099
PAIR = "main"
URL = f"http://127.0.0.1:{PORT}"

Data = dict[str, Any]
DONE: Data = {"ok": True, "text": "done", "override": None, "ask_again": False, "plan": None}


def status_of(seen: View) -> Data:
    status = build_status(PAIR, seen, decide(seen), None).as_json()
    return {**status, "pulse": {}, "last_jobs": {}, "pid": 7}


def answer_of(seen: View, version: int = 1) -> Data:
    """What `watch` says of one pair."""
    status = status_of(seen)
    keys = ("name", "verdict", "sentence", "healthy", "writer", "epoch", "sync", "running")
    pair = {"line": {key: status[key] for key in keys}, "status": status}
    return {"ok": True, "life": "x", "version": version, "names": [PAIR], "pairs": {PAIR: pair}}


@dataclass
class Supervised:
    """What tests work with; `asked` is what the supervisor was asked, `reply` what it says."""

    world: World
    client: TestClient
    operate: dict[str, str]
    read: dict[str, str]
    tokens: Path
    journal: LocalJournal
    asked: list[Data] = field(default_factory=list)
    replies: list[Data] = field(default_factory=lambda: [DONE])

    def post(self, name: str, body: object, **headers: str) -> Any:
        given = {**self.operate, **headers}
        return self.client.post(f"/api/v1/pairs/{PAIR}/{name}", json=body, headers=given)


def api_config(**keys: Any) -> ApiConfig:
    return ApiConfig.model_validate(keys, strict=False)


@cache
def _application() -> tuple[World, FastAPI]:
    """Made once: that takes longest."""
    world = World(Known([]), Path(), {}, TokenFile(Path()))
    return world, endpoints(world)


@contextmanager
def supervised(folder: Path, **keys: Any) -> Iterator[Supervised]:
    """`keys` are those of [api]."""
    config = load_all(written(folder, '[cluster]\nstate_dir = "state"\n' + in_folder("x")))
    state_dir = config.supervisor.state_dir
    journal = LocalJournal(state_dir, PAIR)
    tokens = folder / "tokens"
    world, app = _application()
    world.known, world.control = Known([PAIR]), socket_path(state_dir)
    world.pairs, world.tokens = config.pairs, TokenFile(tokens)
    world.known.url, world.counted = URL, Counted()
    requests = world.counted.requests
    guarded = Guard(app, api_config(**keys), world.tokens, PORT, answered=requests)
    bearer = {role: {"authorization": f"Bearer {add_token(tokens, role, role)}"} for role in Role}
    one = Supervised(
        world,
        TestClient(guarded, base_url=URL, client=("127.0.0.1", 5000)),
        bearer[Role.OPERATE],
        bearer[Role.READ],
        tokens,
        journal,
    )
    lock = threading.Lock()

    def handle(request: Data) -> Data:
        if request["do"] == "ping":
            return {"ok": True}
        with lock:
            one.asked.append(request)
            return one.replies.pop(0) if len(one.replies) > 1 else one.replies[0]

    control = ControlServer(world.control, handle)
    control.start()
    world.known.take("", answer_of(view()))
    try:
        yield one
    finally:
        control.stop()
        journal.close()
