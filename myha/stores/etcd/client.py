"""etcd over its JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/, etcd 3.4 on).

urllib3 is the HTTP under it. Keys, values and numbers of 64 bits are as the gateway wants them:
base64, and decimal text.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any, cast

import urllib3
from urllib3.exceptions import HTTPError

from myha.core.values import value
from myha.errors import StoreError, StoreSilentError
from myha.words import one_line

_UNAUTHENTICATED, _UNAVAILABLE, _NOT_FOUND = 16, 14, 5
_ROUNDS = 2  # over the members, for a call that none has answered
Json = dict[str, Any]


@value(frozen=True, slots=True)
class Login:
    user: str
    password: str


@value(frozen=True, slots=True)
class Entry:
    """A key with its value. `modified` is the revision of its last change, `revision` that of the
    whole store when it was read."""

    key: str
    value: bytes
    modified: int
    revision: int


@value(frozen=True, slots=True)
class Compare:
    """A condition of a transaction on one key: `target` is CREATE or MOD, as revisions."""

    key: str
    target: str
    revision: int

    def as_json(self) -> Json:
        field = {"CREATE": "create_revision", "MOD": "mod_revision"}[self.target]
        return {
            "key": _coded(self.key),
            "target": self.target,
            "result": "EQUAL",
            field: str(self.revision),
        }


@value(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0

    def as_json(self) -> Json:
        body = {"key": _coded(self.key), "value": base64.b64encode(self.value).decode()}
        return {"request_put": body | ({"lease": str(self.lease)} if self.lease else {})}


@value(frozen=True, slots=True)
class Delete:
    key: str

    def as_json(self) -> Json:
        return {"request_delete_range": {"key": _coded(self.key)}}


class EtcdClient:
    """Calls to whichever member answers. Safe for use by several threads.

    Every call raises StoreSilentError when no member answers within `seconds` each, and whether it
    was carried out is not known then; StoreError when the cluster refuses it.
    """

    def __init__(
        self,
        endpoints: tuple[str, ...],
        *,
        seconds: float,
        tls: ssl.SSLContext | None = None,
        login: Login | None = None,
    ) -> None:
        """`endpoints` are addresses like `https://10.0.0.1:2379`."""
        self._endpoints = endpoints
        self._seconds = seconds
        self._login = login
        self._token = ""
        self._at = 0  # which member answered last
        self._lock = threading.Lock()
        self._http = urllib3.PoolManager(
            num_pools=len(endpoints), maxsize=8, retries=False, ssl_context=tls
        )

    # ---- keys

    def get(self, key: str) -> Entry | None:
        """As the majority has it now."""
        found = self._range({"key": _coded(key)})
        return found[0] if found else None

    def all_below(self, prefix: str) -> list[Entry]:
        """Every key that begins so."""
        return self._range({"key": _coded(prefix), "range_end": _coded(_end_of(prefix))})

    def transact(
        self, conditions: tuple[Compare, ...], changes: tuple[Put | Delete, ...]
    ) -> int | None:
        """Carry out the changes if all conditions hold; the store's revision then, or None.

        None also where a member carried them out and its answer was lost: another one is asked
        then, and finds that the conditions hold no more. Whoever gets it reads again.
        """
        answer = self._call(
            "kv/txn",
            {
                "compare": [one.as_json() for one in conditions],
                "success": [one.as_json() for one in changes],
            },
        )
        return int(answer["header"]["revision"]) if answer.get("succeeded") else None

    def delete_below(self, prefix: str) -> None:
        body = {"key": _coded(prefix), "range_end": _coded(_end_of(prefix))}
        self._call("kv/deleterange", body)

    # ---- leases

    def grant(self, ttl_seconds: int) -> tuple[int, int]:
        """(the lease's id, the seconds that it was granted for, which may be more)."""
        answer = self._call("lease/grant", {"TTL": str(ttl_seconds), "ID": "0"})
        return int(answer["ID"]), int(answer["TTL"])

    def keep_alive(self, lease: int) -> int:
        """The seconds that it is granted for from now on; 0 when it has run out."""
        answer = self._call("lease/keepalive", {"ID": str(lease)})
        return int(answer.get("result", {}).get("TTL", 0))

    def revoke(self, lease: int) -> None:
        """Its keys are gone then. One that has run out is fine."""
        try:
            self._call("lease/revoke", {"ID": str(lease)})
        except StoreError as error:
            if error.code != _NOT_FOUND:
                raise

    # ---- watching

    def watch(self, key: str, after: int, seconds: float) -> Iterator[None]:
        """Yields once for each time that the key changes after a revision; ends after `seconds`
        without a word, or when the member ends the stream."""
        body = {"create_request": {"key": _coded(key), "start_revision": str(after + 1)}}
        response = self._open("watch", body, seconds)
        try:
            for line in _lines(response):
                if "error" in line:
                    raise _error_of(line["error"], self._where())
                if line.get("result", {}).get("events"):
                    yield None
        except urllib3.exceptions.ReadTimeoutError:
            return
        except HTTPError as error:
            raise StoreSilentError(f"{self._where()}: {_short(error)}") from None
        finally:
            response.close()
            response.release_conn()

    # ---- within

    def _range(self, body: Json) -> list[Entry]:
        answer = self._call("kv/range", body)
        revision = int(answer["header"]["revision"])
        return [
            Entry(
                base64.b64decode(one["key"]).decode(),
                base64.b64decode(one.get("value", "")),
                int(one["mod_revision"]),
                revision,
            )
            for one in answer.get("kvs", ())
        ]

    def _call(self, path: str, body: Json) -> Json:
        answer, token = self._ask(path, body)
        if _code_of(answer) == _UNAUTHENTICATED and self._login is not None:
            self._log_in(stale=token)
            answer, _ = self._ask(path, body)
        if "error" in answer:
            raise _error_of(answer, self._where())
        return answer

    def _ask(self, path: str, body: Json) -> tuple[Json, str]:
        """From the member that answered last, else from the others in turn."""
        if self._login is not None and not self._token:
            self._log_in(stale="")
        token, trouble = self._token, "no endpoint"
        for _ in range(_ROUNDS * len(self._endpoints)):
            try:
                answer = self._answer(path, body, token)
            except (HTTPError, ValueError) as error:
                trouble = f"{self._where()}: {_short(error)}"
            else:
                if _code_of(answer) != _UNAVAILABLE:
                    return answer, token
                trouble = str(_error_of(answer, self._where()))
            self._at = (self._at + 1) % len(self._endpoints)
        raise StoreSilentError(f"no member of etcd answers; the last one tried: {trouble}")

    def _answer(self, path: str, body: Json, token: str) -> Json:
        response = self._http.request(
            "POST",
            f"{self._endpoints[self._at]}/v3/{path}",
            body=json.dumps(body).encode(),
            headers={"Authorization": token} if token else {},
            timeout=urllib3.Timeout(self._seconds, read=self._seconds),
        )
        found = json.loads(response.data.partition(b"\n")[0])  # a stream's first word, for leases
        return cast(Json, found)

    def _open(self, path: str, body: Json, seconds: float) -> urllib3.BaseHTTPResponse:
        """A stream. Raises StoreSilentError."""
        try:
            return self._http.request(
                "POST",
                f"{self._endpoints[self._at]}/v3/{path}",
                body=json.dumps(body).encode(),
                headers={"Authorization": self._token} if self._token else {},
                timeout=urllib3.Timeout(self._seconds, read=seconds),
                preload_content=False,
            )
        except HTTPError as error:
            where = self._where()
            self._at = (self._at + 1) % len(self._endpoints)
            raise StoreSilentError(f"{where}: {_short(error)}") from None

    def _log_in(self, stale: str) -> None:
        assert self._login is not None
        with self._lock:
            if self._token != stale:
                return  # another thread was here
            body = {"name": self._login.user, "password": self._login.password}
            for _ in range(len(self._endpoints)):
                try:
                    answer = self._answer("auth/authenticate", body, "")
                except (HTTPError, ValueError) as error:
                    trouble: StoreError = StoreSilentError(f"{self._where()}: {_short(error)}")
                else:
                    if "token" in answer:
                        self._token = str(answer["token"])
                        return
                    trouble = _error_of(answer, self._where())
                self._at = (self._at + 1) % len(self._endpoints)
            raise trouble

    def _where(self) -> str:
        return self._endpoints[self._at]


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _end_of(prefix: str) -> str:
    """The first key behind all that begin so."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[Json]:
    rest = b""
    for chunk in response.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield json.loads(line)


def _code_of(answer: Json) -> int:
    return int(answer.get("code") or answer.get("grpc_code") or 0) if "error" in answer else 0


def _error_of(answer: Any, where: str) -> StoreError:
    if not isinstance(answer, dict):
        return StoreError(f"{where}: {answer}")
    text = answer.get("message") or answer.get("error") or "refused"
    kind = StoreSilentError if _code_of(answer) == _UNAVAILABLE else StoreError
    return kind(f"{where}: {text}", _code_of(answer))


def _short(error: Exception) -> str:
    """The reason at the bottom, without urllib3's description of its own objects."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return "no answer in time"
    reason: Any = getattr(error, "reason", None) or error
    text = one_line(str(reason).split(": ", 1)[-1])
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"TLS: {text}; see etcd.ca_file, cert_file and key_file"
    return text
