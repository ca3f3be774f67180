"""`myha doctor` from beginning to end: look at everything at once, within a deadline, and judge.

Every look runs in a thread of its own, which is left behind when its time is over: a server that
hangs is told of, and is not waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Generic, TypeVar

from myha.config import Config
from myha.core.record import Record
from myha.database.session import Deadline
from myha.errors import MyhaError
from myha.operations.doctor import telling
from myha.operations.doctor.balancers import of_balancer
from myha.operations.doctor.findings import Report, Unseen, report
from myha.operations.doctor.machine import of_machine
from myha.operations.doctor.server_look import ServerLook, look_at
from myha.operations.doctor.servers import of_servers
from myha.operations.setup.remarks import Remark
from myha.stores.factory import read_record, store_location

Got = TypeVar("Got")
# Of the pair, as the supervisor or a look of one's own says; None: there is no record yet.
PairCheck = Callable[[Config, Record | None], Iterable[Remark]]
SPARE_SECONDS = 1.0  # a look ends itself at the deadline, and says why


class _Call(Generic[Got]):
    """Something that runs in a thread of its own. `what` and `about` are for a check not made."""

    def __init__(self, what: str, about: str, work: Callable[[], Got]) -> None:
        self.what = what
        self.about = about
        self._work = work
        self._result: Got | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"doctor {what}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001  # told by whoever waits
            self._error = error

    def result(self, deadline: Deadline, unseen: list[Unseen]) -> Got | None:
        """What it gave; None, and a check not made, where it failed or has not ended."""
        self._thread.join(deadline.left_seconds + SPARE_SECONDS)
        why = ""
        if self._thread.is_alive():
            why = f"no answer within {deadline.seconds:g} s"
        elif isinstance(self._error, MyhaError):
            why = str(self._error)
        elif self._error is not None:
            why = f"a defect of myha: {type(self._error).__name__}: {self._error}"
        if why:
            unseen.append(Unseen(what=self.what, about=self.about, why=why))
            return None
        return self._result


def examine(config: Config, check_pair: PairCheck, seconds: float) -> Report:
    """Everything, within `seconds` and a little more. Raises nothing of what it finds."""
    deadline = Deadline(seconds)
    unseen: list[Unseen] = []
    looks = [
        _Call("the server as a whole", name, partial(look_at, config, name, deadline))
        for name in config.servers
    ]
    others = [
        _Call("the balancer", name, partial(_balancer, config, name)) for name in config.balancers
    ]
    others.append(_Call("this machine", "this machine", lambda: list(of_machine(config))))
    others += [
        _Call("who is told of events", about, partial(_drawn, check))
        for about, check in telling.checks(config)
    ]
    others += [_member(config, endpoint) for endpoint in _endpoints(config)]
    record, remarks = _record(config, deadline)
    others.append(_Call("the pair", config.cluster.name, lambda: list(check_pair(config, record))))
    for call in others:
        remarks += call.result(deadline, unseen) or ()
    servers: dict[str, ServerLook] = {}
    for one in looks:
        look = one.result(deadline, unseen)
        servers[one.about] = look if look is not None else ServerLook(one.about)
        unseen += servers[one.about].unseen
    judged = _Call(
        "the servers together",
        config.cluster.name,
        lambda: list(of_servers(config, servers, record, datetime.now(UTC))),
    )
    remarks += judged.result(Deadline(SPARE_SECONDS), unseen) or ()
    return report(config.cluster.name, remarks, unseen)


def _drawn(check: Callable[[], Iterator[Remark]]) -> list[Remark]:
    return list(check())


def _balancer(config: Config, name: str) -> list[Remark]:
    return list(of_balancer(config, name))


def _record(config: Config, deadline: Deadline) -> tuple[Record | None, list[Remark]]:
    failures: list[Unseen] = []
    record = _Call("the record", store_location(config), lambda: read_record(config)).result(
        deadline, failures
    )
    remarks = []
    for one in failures:
        wrong, _, mend = one.why.partition("; ")
        why = "nobody can tell who the writer is, and no failover begins"
        remarks.append(Remark("store-unreadable", one.about, wrong, mend, why))
    if record is None and not failures:
        remarks.append(
            Remark(
                "not-set-up",
                config.cluster.name,
                f"there is no record of the pair in {store_location(config)}",
                f"run `myha setup{config.option}`; with --plan it shows what is missing",
                "it is no pair yet",
            )
        )
    return record, remarks


def _endpoints(config: Config) -> Iterator[str]:
    """Of a store that has members: one that is away is not missed until another one is."""
    if config.cluster.store == "etcd":
        yield from config.etcd.endpoints


def _member(config: Config, endpoint: str) -> _Call[list[Remark]]:
    alone = config.etcd.model_copy(update={"endpoints": (endpoint,)})
    one = config.model_copy(update={"etcd": alone})

    def look() -> list[Remark]:
        try:
            read_record(one)
        except MyhaError as error:
            wrong, why = str(error), "with half of the members away the record cannot be changed"
            return [Remark("store-member-away", endpoint, wrong, "start that member", why)]
        return []

    return _Call("the member of the store", endpoint, look)
