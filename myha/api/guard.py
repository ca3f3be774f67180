"""Who is let in, before any endpoint is asked: names, origins, tokens, sizes, rates.

On loopback reading is free: whoever is on the machine is trusted to look. Operating needs a token
everywhere, since another user of the machine, or a web page that somebody there has open, must not
switch over. Elsewhere nothing is answered without one, not even the page; a browser asks for it by
HTTP's Basic scheme, with any user name and the token as the password.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from myha.api.known import encoded
from myha.api.limits import Buckets
from myha.api.tokens import Role, Token, TokenFile, bearer
from myha.config import ApiConfig

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT_BYTES = 16_384
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SECRETS = ("token=", "access_token=", "authorization=", "password=")
ONCE = (b"host", b"authorization", b"origin", b"content-type", b"content-length")
WHO = "myha_who"  # in the scope: the Token, or None

# Guessing is hopeless, and noisy guesses are not worth an answer.
FAILURES_PER_SECOND, FAILURES_AT_ONCE = 0.2, 10
OPERATIONS_PER_SECOND, OPERATIONS_AT_ONCE = 0.5, 10
SAYINGS_PER_SECOND, SAYINGS_AT_ONCE = 0.1, 5  # of what was denied, in the log

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Denied(Exception):  # noqa: N818  # an answer, and no error
    """Nobody is asked."""

    def __init__(
        self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class Guard:
    """An ASGI application around the application."""

    def __init__(
        self,
        app: App,
        api: ApiConfig,
        tokens: TokenFile,
        port: int,
        *,
        answered: Counter[int] | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`answered` counts the answers by their status; `say` is told of operations that are
        denied, once in a while."""
        self._say = say
        self._sayings = Buckets(SAYINGS_PER_SECOND, SAYINGS_AT_ONCE)
        self._answered = Counter[int]() if answered is None else answered
        self._app = app
        self._tokens = tokens
        self._on_loopback = api.on_loopback
        self._scheme = "https" if api.tls_certificate else "http"
        self._hosts = _hosts(api, port)
        self._requests = Buckets(api.requests_per_second, api.requests_per_second)
        self._failures = Buckets(FAILURES_PER_SECOND, FAILURES_AT_ONCE)
        self._operations = Buckets(OPERATIONS_PER_SECOND, OPERATIONS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            _check_once(scope)
            scope[WHO] = self._let_in(scope, headers)
            receive = _limited(receive, headers)
        except Denied as denied:
            self._answered[denied.status] += 1
            self._log_denied(scope, denied)
            await _deny(send, denied)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._answered[message["status"]] += 1
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _log_denied(self, scope: Scope, denied: Denied) -> None:
        """Somebody has tried to operate who may not: that is worth a line of the log."""
        if scope["method"] in SAFE or denied.status not in (401, 403, 429):
            return
        if self._sayings.take(""):
            address = (scope.get("client") or ("", 0))[0]
            self._say(f"denied to {address}: {scope['method']} {scope['path']!r}: {denied.text}")

    def _let_in(self, scope: Scope, headers: dict[bytes, bytes]) -> Token | None:
        address = str((scope.get("client") or ("", 0))[0])
        if not self._requests.take(address):
            raise _wait(self._requests.wait_seconds(address), "too many requests")
        self._check_host(headers)
        operates = scope["method"] not in SAFE
        _check_query(scope)
        who = self._bearer(headers, address)
        if operates:
            self._check_origin(headers)
            found = self._operator(who)
            if scope["method"] == "POST":  # others are not known here, and refused as that
                _check_kind(headers)
            return found
        if who is None and not self._on_loopback:
            raise Denied(401, "a token is needed here", _challenge(b"Basic"))
        return who

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """A name of somebody's domain that points to this machine would be his page's origin."""
        if not self._on_loopback:
            return  # the certificate and the token tell who is meant
        host = headers.get(b"host", b"").decode("latin-1").casefold()
        if host not in self._hosts:
            text = "this supervisor is not known by that Host; name it in api.names if it should be"
            raise Denied(421, text)

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        site = headers.get(b"sec-fetch-site", b"none")
        origin = headers.get(b"origin")
        host = headers.get(b"host", b"").decode("latin-1").casefold()
        if site not in (b"none", b"same-origin"):
            raise Denied(403, "a page of another origin may not operate here")
        if origin is not None:
            said = urlsplit(origin.decode("latin-1").casefold())
            if said.netloc != host or said.scheme not in (self._scheme, "https"):
                raise Denied(403, "a page of another origin may not operate here")

    def _bearer(self, headers: dict[bytes, bytes], address: str) -> Token | None:
        """Who asks; None when nothing is said of that. A wrong token is never the same as none."""
        said = headers.get(b"authorization")
        if said is None:
            return None
        if not self._failures.has(address):
            raise _wait(self._failures.wait_seconds(address), "too many wrong tokens")
        given = _token_in(said)
        who = bearer(self._tokens.now(), given) if given else None
        if who is None:
            self._failures.take(address)
            text = "the token is not known"
            if self._tokens.problem:
                text = "no token can be read just now; the supervisor's host has to be looked at"
            raise Denied(401, text, _challenge(b"Bearer" if self._on_loopback else b"Basic"))
        return who

    def _operator(self, who: Token | None) -> Token:
        if who is None:
            text = "operating needs a token: `myha api token add NAME --role operate` makes one"
            raise Denied(401, text, _challenge(b"Bearer"))
        if not who.allows(Role.OPERATE):
            raise Denied(403, f"the token {who.name} may read, and not operate")
        if not self._operations.take(who.name):
            raise _wait(self._operations.wait_seconds(who.name), "too many operations")
        return who


def _hosts(api: ApiConfig, port: int) -> frozenset[str]:
    """What the Host header may be."""
    hosts = {"localhost", "127.0.0.1", "[::1]"}
    hosts.add(f"[{api.host}]" if ":" in api.host else api.host)
    with_port = {f"{host}:{port}" for host in hosts}
    if port in (80, 443):  # which browsers leave out
        with_port |= hosts
    named = {name.casefold() for name in api.names}
    return frozenset(with_port | named | {f"{name}:{port}" for name in named})


def _token_in(header: bytes) -> str:
    scheme, _, rest = header.decode("latin-1").partition(" ")
    if scheme.casefold() == "bearer":
        return rest.strip()
    if scheme.casefold() == "basic":
        try:
            pair = base64.b64decode(rest.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
        return pair.partition(":")[2]
    return ""


def _check_once(scope: Scope) -> None:
    """Of two hosts or tokens nobody could say which one counts."""
    names = [name for name, _ in scope["headers"]]
    if any(names.count(one) > 1 for one in ONCE):
        raise Denied(400, "a header that decides who is let in is there twice")


def _check_kind(headers: dict[bytes, bytes]) -> None:
    """A form of another page cannot send JSON."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Denied(415, "the body has to be JSON, with content-type application/json")


def _check_query(scope: Scope) -> None:
    """What is in a URL is in histories and logs."""
    query = scope.get("query_string", b"").decode("latin-1").casefold()
    if any(part.startswith(SECRETS) for part in query.split("&")):
        raise Denied(400, "a token does not belong into a URL: send it as Authorization: Bearer")


def _challenge(scheme: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"www-authenticate", scheme + b' realm="myha"'),)


def _wait(seconds: int, text: str) -> Denied:
    return Denied(429, f"{text}; wait {seconds} s", ((b"retry-after", str(seconds).encode()),))


class BodyTooLargeError(HTTPException):
    """More than any request needs."""

    def __init__(self) -> None:
        super().__init__(413, f"a body has at most {BODY_LIMIT_BYTES} bytes")


def _limited(receive: Receive, headers: dict[bytes, bytes]) -> Receive:
    """The body is small: whoever sends more is not listened to."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > BODY_LIMIT_BYTES:
        raise Denied(413, f"a body has at most {BODY_LIMIT_BYTES} bytes")
    left = BODY_LIMIT_BYTES

    async def limited() -> MutableMapping[str, Any]:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLargeError
        return message

    return limited


async def _deny(send: Send, denied: Denied) -> None:
    body = encoded({"ok": False, "text": denied.text})
    await send(
        {
            "type": "http.response.start",
            "status": denied.status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *denied.headers,
                *HEADERS,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
