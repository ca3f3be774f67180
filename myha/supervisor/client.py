"""Asks the supervisor of a pair, over the control socket of its process."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from myha.config import Config
from myha.core.events import ALL, Wanted
from myha.core.journal_line import Line, Note
from myha.errors import MyhaError, SupervisorAwayError, SupervisorInLineError
from myha.stores.local.lease import holder_of
from myha.supervisor.control import CLIENT_TIMEOUT_SECONDS, PING, Data, exchange, socket_path
from myha.supervisor.drill_note import NOTE
from myha.supervisor.requests import PlanText, Reply
from myha.supervisor.status import ReplicaStatus, Status

ASK_AGAIN_SECONDS = 0.2
PING_TIMEOUT_SECONDS = 2.0

AnyStatus = TypeVar("AnyStatus", Status, ReplicaStatus)


class Client:
    """Asks for one pair. Every method raises `SupervisorAwayError` when no supervisor answers."""

    def __init__(self, config: Config) -> None:
        self._path = socket_path(config.control_dir)
        self._pair = config.cluster.name
        self._option = config.option

    def status(self) -> Status:
        found = Status.of_json(self._ask("status"))
        if not self._option:
            return found
        replicas = {name: self._named(one) for name, one in found.replicas.items()}
        return self._named(found).model_copy(update={"replicas": replicas})

    def _named(self, found: AnyStatus) -> AnyStatus:
        """With commands that name the pair, where there are several."""
        refusals = tuple(
            one.model_copy(update={"override": self._command(one.override)})
            for one in found.refusals
        )
        return found.model_copy(update={"refusals": refusals})

    def _command(self, override: str | None) -> str | None:
        return None if override is None else override + self._option

    def events(self, limit: int, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
        """The journal's last lines with an id above `after`, oldest first."""
        answer = self._ask(
            "events",
            limit=limit,
            after=after,
            kinds=[str(one) for one in wanted.kinds],
            severity=wanted.least,
            since=wanted.since_wall,
        )
        try:
            return [Line.of_json(one) for one in answer["events"]]
        except ValueError as error:
            raise MyhaError(str(error)) from None

    def note_drill(self, note: Note) -> None:
        """Have a drill's beginning or end noted in the pair's journal."""
        self._ask(NOTE, **note.as_json())

    def request(self, name: str, **arguments: str | float | None) -> Reply:
        """Have it done, and wait for that. `name` is the command's."""
        answer = ask(self._path, {"do": name, "pair": self._pair, **arguments})
        plan = answer.get("plan")
        return Reply(
            bool(answer.get("ok")),
            str(answer.get("text")),
            self._command(answer.get("override")),
            bool(answer.get("ask_again")),
            None if plan is None else PlanText(str(plan["sentence"]), tuple(plan["steps"])),
        )

    def request_until(
        self,
        name: str,
        wait_seconds: float,
        tell: Callable[[str], None] = lambda _text: None,
        **arguments: str | float | None,
    ) -> Reply:
        """Ask again for as long as the reply is that nothing was done yet and that may change.

        The supervisor goes on with whatever else is due between two tries.
        """
        ends = time.monotonic() + wait_seconds
        while True:
            reply = self.request(name, **arguments)
            if reply.ok or not reply.ask_again or time.monotonic() >= ends:
                return reply
            tell(reply.text)
            time.sleep(ASK_AGAIN_SECONDS)

    def _ask(self, what: str, **fields: object) -> Data:
        answer = ask(self._path, {"do": what, "pair": self._pair, **fields})
        if answer.get("in_line"):
            other_balancers = str(answer.get("other_balancers", ""))
            raise SupervisorInLineError(str(answer.get("text")), other_balancers)
        if answer.get("away"):
            raise SupervisorAwayError(str(answer.get("text")))
        if not answer.get("ok"):
            raise MyhaError(str(answer.get("text")))
        return answer


def ask(path: Path, request: Data, timeout_seconds: float = CLIENT_TIMEOUT_SECONDS) -> Data:
    """Ask the process behind a socket. `SupervisorAwayError` when none is there, or none answers.

    A request may take long, for one that hangs two seconds are enough to say so: it is asked first
    whether it is there.
    """
    _ask(path, {"do": PING}, PING_TIMEOUT_SECONDS)
    return _ask(path, request, timeout_seconds)


def _hangs(path: Path, timeout_seconds: float) -> SupervisorAwayError:
    """The words for a supervisor that is there and silent: who, since when, what to do."""
    who, since = "the supervisor", ""
    holder = holder_of(path.parent)
    if holder is not None:
        pid = holder.pid
        state = None
        with suppress(OSError):
            state = re.search(r"^State:\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)
        who = f"the supervisor (process {pid}" + (f", {state[1]})" if state else ")")
        silent = time.time() - holder.renewed_wall
        since = f"; its last sign of life was {silent:.0f} s ago"
        since += f". If it is stopped, `kill -CONT {pid}` lets it go on; else end it with"
        since += f" `kill -9 {pid}` and start `myha run`: clients do not notice that"
    return SupervisorAwayError(f"{who} does not answer within {timeout_seconds:g} s{since}")


def _ask(path: Path, request: Data, timeout_seconds: float) -> Data:
    try:
        return exchange(path, request, timeout_seconds)
    except (FileNotFoundError, ConnectionRefusedError):
        raise SupervisorAwayError(
            f"no supervisor is running here ({path} does not answer); start it with `myha run`"
        ) from None
    except PermissionError:
        raise MyhaError(f"{path} belongs to another user: run this as the user of myha") from None
    except TimeoutError:
        raise _hangs(path, timeout_seconds) from None
    except OSError as error:
        raise MyhaError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise SupervisorAwayError("the supervisor ended before it answered; see its log") from None
