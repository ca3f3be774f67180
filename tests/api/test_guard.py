"""Who is let in, and who is not."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from myha.api.guard import (
    BODY_LIMIT_BYTES,
    FAILURES_AT_ONCE,
    OPERATIONS_AT_ONCE,
    SAYINGS_AT_ONCE,
)
from myha.api.limits import Buckets
from myha.api.tokens import TokenFile, remove_token
from myha.config import load_all
from myha.errors import ConfigError
from tests.api.world import PAIR, PORT, URL, Supervised, supervised
from tests.test_config_pairs import in_folder, written

READS = ("/api/v1/pairs", f"/api/v1/pairs/{PAIR}", "/", "/api/v1/openapi.json")
ELSEWHERE = {"listen": "0.0.0.0:8099", "tls_certificate": "c", "tls_key": "k", "tokens_file": "t"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as made:
        yield made


@pytest.mark.parametrize("path", READS)
def test_on_loopback_reading_is_free_and_elsewhere_it_needs_a_token(
    path: str, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with supervised(tmp_path / "a") as one:
        assert one.client.get(path).status_code == 200
    with supervised(tmp_path / "b", **ELSEWHERE) as one:
        denied = one.client.get(path)
        assert denied.status_code == 401
        assert denied.headers["www-authenticate"] == 'Basic realm="myha"'
        assert one.client.get(path, headers=one.read).status_code == 200


def test_no_endpoint_is_without_authentication_elsewhere(tmp_path: Path) -> None:
    with supervised(tmp_path, **ELSEWHERE) as one:
        paths = one.client.get("/api/v1/openapi.json", headers=one.read).json()["paths"]
        assert len(paths) > 8
        for path, methods in paths.items():
            for method in methods:
                there = path.replace("{pair}", PAIR)
                assert one.client.request(method, there).status_code == 401, (method, path)


def test_operating_needs_a_token_of_the_role(one: Supervised) -> None:
    path = f"/api/v1/pairs/{PAIR}/fence"
    assert one.client.post(path, json={"node": "a"}).status_code == 401
    assert one.client.post(path, json={"node": "a"}, headers=one.read).status_code == 403
    assert not one.asked
    assert one.client.post(path, json={"node": "a"}, headers=one.operate).status_code == 200


def test_operations_that_are_denied_are_said_with_a_limit(one: Supervised) -> None:
    guard: Any = one.client.app
    said: list[str] = []
    guard._say, guard._sayings._rate = said.append, 1e-6
    for _ in range(9):
        one.client.post("/api/v1/pairs/x%0ay/fence", json={})
    assert len(said) == SAYINGS_AT_ONCE
    assert said[0].startswith("denied to 127.0.0.1: POST '/api/v1/pairs/x\\ny/fence': operating")
    one.client.get("/api/v1/pairs", headers={"host": "x"})
    assert len(said) == SAYINGS_AT_ONCE


def test_basic_carries_the_token_as_the_password(one: Supervised) -> None:
    token = one.operate["authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"anybody:{token}".encode()).decode()
    assert one.post("verify", {}, authorization=f"Basic {basic}").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": f"127.0.0.1:{PORT + 1}"}, 421),
        ({"host": ""}, 421),
        ({"host": f"LOCALHOST:{PORT}"}, 200),
        ({"host": f"[::1]:{PORT}"}, 200),
        ({"host": "db.example"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": URL}, 200),
        ({"origin": URL.replace("http", "ftp")}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Basic !"}, 401),
        ({"authorization": "Digest x"}, 401),
    ],
)
def test_names_origins_and_kinds(headers: dict[str, str], status: int, tmp_path: Path) -> None:
    with supervised(tmp_path, names=["db.example"]) as one:
        done = one.post("verify", {}, **headers)
        assert done.status_code == status
        assert len(one.asked) == (status == 200)
        if status != 200:
            assert done.json()["ok"] is False
            assert "\n" not in done.json()["text"]


@pytest.mark.parametrize("name", ["host", "authorization", "origin"])
def test_a_header_that_decides_is_there_once(one: Supervised, name: str) -> None:
    headers = [("host", f"127.0.0.1:{PORT}"), (name, "x"), (name, "y")]
    assert one.client.get("/api/v1/pairs", headers=headers).status_code == 400


def test_a_token_in_a_url_is_refused(one: Supervised) -> None:
    for query in ("token=x", "a=b&access_token=x", "TOKEN=x"):
        assert one.client.get(f"/api/v1/pairs?{query}").status_code == 400


def test_a_large_body_is_not_listened_to(one: Supervised) -> None:
    path, headers = (
        f"/api/v1/pairs/{PAIR}/fence",
        {**one.operate, "content-type": "application/json"},
    )
    large = b" " * (BODY_LIMIT_BYTES + 1)
    assert one.client.post(path, content=large, headers=headers).status_code == 413
    parts = iter([large[:9000], large[9000:]])  # chunked: no length is said
    assert one.client.post(path, content=parts, headers=headers).status_code == 413
    assert not one.asked


def without_refill(one: Supervised) -> None:
    """A slow machine must not make a difference."""
    guard: Any = one.client.app
    for buckets in (guard._requests, guard._failures, guard._operations):
        buckets._rate = 1e-6


def test_wrong_tokens_and_too_many_operations_have_to_wait(one: Supervised) -> None:
    without_refill(one)
    for _ in range(OPERATIONS_AT_ONCE):
        assert one.post("verify", {}).status_code == 200
    late = one.post("verify", {})
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1
    for _ in range(FAILURES_AT_ONCE):
        assert one.post("verify", {}, authorization="Bearer wrong").status_code == 401
    assert one.post("verify", {}, authorization="Bearer wrong").status_code == 429
    assert one.client.get("/api/v1/pairs").status_code == 200  # who only reads is not meant


def test_reads_have_a_rate(tmp_path: Path) -> None:
    with supervised(tmp_path, requests_per_second=3) as one:
        without_refill(one)
        seen = [one.client.get("/api/v1/pairs").status_code for _ in range(5)]
        assert seen[:3] == [200, 200, 200]
        assert seen[4] == 429


def test_buckets_fill_up_again_and_forget() -> None:
    now = 0.0
    buckets = Buckets(2.0, 4.0, lambda: now)
    assert [buckets.take("x") for _ in range(5)] == [True] * 4 + [False]
    assert buckets.wait_seconds("x") == 1
    now = 0.5
    assert buckets.take("x")
    assert not buckets.take("x")
    for number in range(5000):
        buckets.take(str(number))
    assert len(buckets._levels) <= 4096


def test_a_removed_token_is_refused_at_once_and_a_file_that_others_read_is_not_used(
    one: Supervised,
) -> None:
    assert one.post("verify", {}).status_code == 200
    one.tokens.chmod(0o644)
    assert "looked at" in one.post("verify", {}).json()["text"]
    assert "chmod 600" in (problem := TokenFile(one.tokens)).problem or not problem.now()
    one.tokens.chmod(0o600)
    assert one.post("verify", {}).status_code == 200
    remove_token(one.tokens, "operate")
    assert one.post("verify", {}).status_code == 401


def test_the_token_itself_is_not_kept(one: Supervised) -> None:
    token = one.operate["authorization"].removeprefix("Bearer ")
    assert token not in one.tokens.read_text()
    assert one.tokens.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("keys", "problems"),
    [
        ('listen = "0.0.0.0:80"', 3),
        ('listen = "[::]:80"\ntls_certificate = "c"\ntls_key = "k"', 1),
        ('listen = "192.0.2.1:80"\nenabled = false', 0),
        ('listen = "127.0.0.9:80"', 0),
        ('listen = "[::1]:80"', 0),
        ('listen = "localhost:80"', 0),
        ('listen = "db.example:80"', 1),
        ('tls_key = "k"', 1),
    ],
)
def test_elsewhere_than_on_loopback_tls_and_tokens_are_required(
    keys: str, problems: int, tmp_path: Path
) -> None:
    path = written(tmp_path, in_folder("x") + f"[api]\n{keys}\n")
    if not problems:
        load_all(path)
        return
    with pytest.raises(ConfigError) as refused:
        load_all(path)
    assert len(str(refused.value).splitlines()) == problems
