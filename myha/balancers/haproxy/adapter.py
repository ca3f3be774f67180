"""HAProxy over its runtime socket: what its servers do, and putting them in and out of traffic.

A call is one connection with several commands in one line: a new connection costs 0.1 ms, so one
that is kept open is not worth its failures. HAProxy says nothing when a `set` succeeded and text
when it did not, so every change is read back in the same answer before it is believed.
"""

from __future__ import annotations

import csv
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import itemgetter

from myha.config import HAProxyConfig, is_unix_socket, join_address, split_address
from myha.core.address import Standing
from myha.core.balancer import AddressLook, BalancerLook, ServerRoute
from myha.core.values import value
from myha.errors import BalancerError

POOLS = ("writer", "reader")
ANSWER_LIMIT_BYTES = 4 << 20
RECEIPT_POLL_SECONDS = 0.0005
_TABLE_HEAD = "# pxname,"
# Stick tables, which a process that starts has empty: the one way to leave a word in HAProxy that
# every version has, that can run out by itself, and that is read without the right to change it.
TOLD, PREFERRED, HELD = "address_told", "address_preferred", "address_held"
KEY = "myha"
_SHOW_TABLES = tuple(f"show table {table}" for table in (TOLD, PREFERRED, HELD))
_TABLE = re.compile(r"^# table: (\S+), .*used:(\d+)", re.MULTILINE)
_OUT = ("MAINT", "DRAIN")


@value(frozen=True, slots=True)
class _ServerState:
    status: str  # "no check", "UP", "DOWN", "MAINT", "DRAIN", some with an addition
    sessions: int
    errors: int
    bytes_out: int

    @property
    def takes_traffic(self) -> bool:
        return not self.status.startswith(_OUT)


_States = dict[tuple[str, str], _ServerState]
_Cells = Callable[[str], tuple[str, ...]]  # the columns that matter of a row of a table


class HAProxyBalancer:
    """One HAProxy whose pools `writer` and `reader` name their servers after the nodes.

    Every method returns within `call_deadline_seconds` (`take_out`: its own deadline) or raises
    BalancerError. No state is kept between calls, so any thread may call.
    """

    ends_sessions = HAProxyConfig.ends_sessions

    def __init__(
        self, name: str, socket: str, call_deadline_seconds: float, *, has_address: bool = False
    ) -> None:
        """`has_address`: its configuration has the tables that keepalived on its host reads."""
        self.name = name
        self._has_address = has_address
        self._socket = socket
        self._call_deadline_seconds = call_deadline_seconds

    def look(self) -> BalancerLook:
        """All servers of both pools; the boot id changes with every restart and reload."""
        ends = time.monotonic() + self._call_deadline_seconds
        commands = [*(_show(pool) for pool in POOLS), "show info"]
        answer = self._call([*commands, *_SHOW_TABLES] if self._has_address else commands, ends)
        tables, _, info = answer.partition("\nName: ")
        states = self._states(tables, POOLS)
        pid = _fact(info, "Pid")
        if pid is None:
            raise self._error("does not answer `show info` as HAProxy does; check its socket")
        routes = tuple(
            ServerRoute(
                pool, node, state.takes_traffic, state.sessions, state.errors, state.bytes_out
            )
            for (pool, node), state in states.items()
        )
        boot_id = f"{pid}-{_fact(info, 'Start_time_sec') or ''}"
        address = _address(info) if self._has_address else None
        return BalancerLook(time.monotonic(), boot_id, routes, address)

    def targets(self) -> dict[tuple[str, str], str]:
        """`host:port` of each server in each pool, as HAProxy has it (`show servers state`)."""
        ends = time.monotonic() + self._call_deadline_seconds
        answer = self._call([f"show servers state {pool}" for pool in POOLS], ends)
        heads = [line for line in answer.splitlines() if line.startswith("# be_id")]
        if not heads:
            raise self._error("does not show its servers; its socket must be of level admin")
        names = heads[0].removeprefix("# ").split()
        found = {}
        for line in answer.splitlines():
            row = dict(zip(names, line.split(), strict=False))
            if row.get("be_name") in POOLS and len(row) == len(names):
                address = join_address(row["srv_addr"], int(row["srv_port"]))
                found[row["be_name"], row["srv_name"]] = address
        return found

    def stand(self, standing: Standing) -> None:
        """What lasts is said once and again, which costs nothing; what runs out runs anew."""
        if standing is Standing.AS_IT_IS:
            return
        wanted = {
            TOLD: standing is not Standing.DOUBTED,
            PREFERRED: standing is Standing.PREFERRED,
        }
        commands = [
            f"set table {table} key {KEY} data.gpt0 1" if on else f"clear table {table} key {KEY}"
            for table, on in wanted.items()
        ]
        ends = time.monotonic() + self._call_deadline_seconds
        answer = self._call([*commands, *_SHOW_TABLES], ends)
        found = _used(answer)
        if {table: found.get(table, 0) > 0 for table in wanted} != wanted:
            raise self._error(f"was told that it is {standing.value}, and answers {answer!r:.200}")

    def appearance(self) -> object:
        """The socket's file: HAProxy makes a new one whenever it starts or is reloaded."""
        if not is_unix_socket(self._socket):
            return None
        try:
            found = os.stat(self._socket)  # noqa: PTH116  # many times a second
        except OSError:
            return ()
        return found.st_ino, found.st_ctime_ns

    def appears_in(self) -> str:
        if not is_unix_socket(self._socket) or os.path.islink(self._socket):  # noqa: PTH114
            return ""
        return os.path.dirname(self._socket)  # noqa: PTH120

    def put_in(self, pool: str, node: str) -> None:
        """New sessions of the pool may go to the node."""
        state = self._set(pool, node, "ready")
        if not state.takes_traffic:
            raise self._error(f"{pool}/{node} was put in and reads back {state.status}")

    def drain(self, pool: str, node: str) -> None:
        """No new sessions; those that are there go on."""
        state = self._set(pool, node, "drain")
        if state.takes_traffic:
            raise self._error(f"{pool}/{node} was drained and reads back {state.status}")

    def take_out(self, node: str, pools: tuple[str, ...], deadline_seconds: float) -> None:
        """No new sessions, and none left: returns when zero sessions have been read back."""
        ends = time.monotonic() + deadline_seconds
        commands = [
            command
            for pool in pools
            for command in (
                f"set server {pool}/{node} state maint",
                f"shutdown sessions server {pool}/{node}",
            )
        ]
        shows = [_show(pool) for pool in pools]
        states = self._states(self._call(commands + shows, ends), pools)
        while left := list(self._not_out(states, node, pools)):
            if time.monotonic() + RECEIPT_POLL_SECONDS >= ends:
                raise self._error(
                    f"{node} is not out after {deadline_seconds:g} s: {', '.join(left)}"
                )
            time.sleep(RECEIPT_POLL_SECONDS)
            # Shut again: a session that was just being assigned comes after the first time.
            states = self._states(self._call(commands + shows, ends), pools)

    def close(self) -> None:
        """Nothing to let go of: no connection is kept."""

    def _not_out(self, states: _States, node: str, pools: tuple[str, ...]) -> Iterator[str]:
        for pool in pools:
            state = self._state(states, pool, node)
            if not state.status.startswith("MAINT"):
                yield f"{pool}/{node} is {state.status}"
            elif state.sessions:
                yield f"{pool}/{node} has {state.sessions} sessions"

    def _set(self, pool: str, node: str, state: str) -> _ServerState:
        ends = time.monotonic() + self._call_deadline_seconds
        answer = self._call([f"set server {pool}/{node} state {state}", _show(pool)], ends)
        return self._state(self._states(answer, (pool,)), pool, node)

    def _state(self, states: _States, pool: str, node: str) -> _ServerState:
        try:
            return states[pool, node]
        except KeyError:
            raise self._error(
                f"has no server {node!r} in pool {pool!r}; "
                f"give it the configuration that `myha balancer render {self.name}` prints"
            ) from None

    def _states(self, answer: str, pools: tuple[str, ...]) -> _States:
        """The servers in the tables of an answer; any other text in it is HAProxy's refusal."""
        states: _States = {}
        refusals: list[str] = []
        values: _Cells | None = None
        begins = tuple(f"{pool}," for pool in pools)
        for line in answer.splitlines():
            if line.startswith(_TABLE_HEAD):
                values = _columns(line)
                if values is None:
                    raise self._error("does not answer as HAProxy does: columns are missing")
            elif values is not None and line.startswith(begins):
                try:
                    pool, node, status, *counts = values(line)
                except IndexError:
                    raise self._error("does not answer as HAProxy does: a row is cut off") from None
                states[pool, node] = _ServerState(status, *(int(one or 0) for one in counts))
            elif line.strip():
                refusals.append(line.strip())
        if refusals:
            raise self._error(
                f"refused: {' '.join(dict.fromkeys(refusals))[:200]} "
                f"(its configuration must be what `myha balancer render {self.name}` prints, "
                "its socket of level admin)"
            )
        if values is None:
            raise self._error("does not answer as HAProxy does; check its socket")
        return states

    # --- the wire ---------------------------------------------------------------------------

    def _call(self, commands: list[str], ends: float) -> str:
        """The answer to some commands, whole; BalancerError when there is none by `ends`."""
        received = bytearray()
        try:
            with self._connect(ends) as connection:
                connection.sendall(f"{'; '.join(commands)}\n".encode("ascii"))
                while True:
                    _limit(connection, ends)
                    chunk = connection.recv(65536)
                    if not chunk:
                        return received.decode("ascii")
                    received += chunk
                    if len(received) > ANSWER_LIMIT_BYTES or not _may_be_haproxy(received):
                        raise self._error(
                            "something that is not HAProxy answers there; "
                            "name HAProxy's runtime socket"
                        )
        except (TimeoutError, BlockingIOError):
            raise self._error("does not answer in time; HAProxy hangs or is overloaded") from None
        except UnicodeError:
            raise self._error("answers with another protocol; name its runtime socket") from None
        except OSError as error:
            raise self._error(_connection_problem(error)) from None

    def _connect(self, ends: float) -> socket.socket:
        if not is_unix_socket(self._socket):
            return socket.create_connection(
                split_address(self._socket), timeout=_left_seconds(ends)
            )
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_left_seconds(ends))
            connection.connect(self._socket)
        except BaseException:
            connection.close()
            raise
        return connection

    def _error(self, text: str) -> BalancerError:
        return BalancerError(f"balancer {self.name} ({self._socket}): {text}")


@lru_cache(maxsize=16)
def _columns(head: str) -> _Cells | None:
    """What takes the columns that matter out of a row of a table with this head; None when the
    table lacks one of them."""
    names = head.removeprefix("# ").split(",")
    wanted = ("pxname", "svname", "status", "scur", "econ", "bout")
    if not set(wanted) <= set(names):
        return None
    places = [names.index(one) for one in wanted]
    take, parts = itemgetter(*places), max(places) + 1

    def cells(line: str) -> tuple[str, ...]:
        """Raises IndexError when the row is cut off."""
        # Of a hundred columns the first twenty matter, and none of them is ever quoted by itself.
        plain = '"' not in line
        found: tuple[str, ...] = take(
            line.split(",", parts) if plain else next(csv.reader((line,)))
        )
        return found

    return cells


def _fact(info: str, name: str) -> str | None:
    """A value of `show info`, None where it has no such line."""
    _, found, rest = info.partition(f"\n{name}: ")
    return rest.partition("\n")[0] if found else None


def _used(answer: str) -> dict[str, int]:
    """How many entries each stick table has that the answer shows."""
    return {name: int(used) for name, used in _TABLE.findall(answer)}


def _address(info: str) -> AddressLook | None:
    """What the tables after `show info` say; None where they are not all there."""
    used = _used(info)
    if not used.keys() >= {TOLD, PREFERRED, HELD}:
        return None
    return AddressLook(used[HELD] > 0, used[TOLD] > 0, used[PREFERRED] > 0)


def _show(pool: str) -> str:
    return f"show stat {pool} 4 -1"  # 4: servers only


def _limit(connection: socket.socket, ends: float) -> None:
    """That is a system call: not made for a hundredth of the limit in force."""
    left, present = _left_seconds(ends), connection.gettimeout()
    if present is None or left < 0.99 * present:
        connection.settimeout(left)


def _left_seconds(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _may_be_haproxy(received: bytearray) -> bool:
    """HAProxy answers in printable ASCII; a database's greeting begins with a length and zeros."""
    return b"\0" not in received[:256] and not received.startswith((b"HTTP/", b"SSH-"))


def _connection_problem(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such socket; is HAProxy running, with this `stats socket`?"
        case ConnectionRefusedError():
            return "refuses connections; is HAProxy running?"
        case PermissionError():
            return "may not be opened by this user; let it own the socket (user, group, mode)"
        case ConnectionResetError() | BrokenPipeError():
            return "broke the connection off; is it HAProxy's runtime socket?"
        case _:
            return f"cannot be reached ({error.strerror or error})"
