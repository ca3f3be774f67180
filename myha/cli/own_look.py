"""The pair and its replicas as a command sees them by itself, when no supervisor answers: what is
on record, and one look.

Nothing is decided or done here. The verdict is what a supervisor that had seen just this would say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from myha.balancers.factory import make_balancers
from myha.config import Config
from myha.core.followers.planning import decide as decide_on_replica
from myha.core.followers.record import FollowerRecord
from myha.core.followers.view import first_view as first_view_of_replica
from myha.core.followers.view import fold as fold_replica
from myha.core.node import Contact
from myha.core.observations import (
    BalancerLooked,
    BalancerMissed,
    NodeLooked,
    NodeMissed,
    Observation,
    first_view,
    fold,
)
from myha.core.planning import decide
from myha.core.record import Record
from myha.core.view import View
from myha.errors import MyhaError, ServerError, ServerSilentError
from myha.ports import Balancer, WatchedServer
from myha.servers.factory import adapter_of, make_followers, make_servers
from myha.stores.factory import read_followers
from myha.supervisor.followers.status import replica_status
from myha.supervisor.status import ReplicaStatus, Status
from myha.supervisor.status_builder import build_status

_Seen: TypeAlias = NodeLooked | NodeMissed
_NOT_SETTLED: dict[str, Any] = {"healthy": False, "settled": False}


def own_look(config: Config, record: Record, why: str) -> Status:
    """What `myha status` shows, from one look at everything. `why` there was no answer."""
    view = first_view(config.policy(), time.monotonic(), time.time(), record)
    replicas: list[_Seen] = []
    calls = [*_of_servers(config), *_of_balancers(config)]
    with ThreadPoolExecutor(len(calls)) as pool:
        for seen in pool.map(lambda call: call(), calls):
            if isinstance(seen, _Seen) and seen.node in config.replicas:
                replicas.append(seen)
            else:
                view = fold(view, seen)
    status = build_status(config.cluster.name, view, decide(view), None)
    own = {**_NOT_SETTLED, "supervisor": why}
    if replicas:
        known = read_followers(config)
        own["replicas"] = {one.node: _replica(one, view, known.get(one.node)) for one in replicas}
    return status.model_copy(update=own)


def _replica(seen: _Seen, pair: View, record: FollowerRecord | None) -> ReplicaStatus:
    view = fold_replica(first_view_of_replica(seen.node, pair, record), seen)
    status = replica_status(view, decide_on_replica(view), None)
    return status.model_copy(update=_NOT_SETTLED)


def _of_servers(config: Config) -> list[Callable[[], Observation]]:
    try:
        kind = adapter_of(config)
    except MyhaError as error:
        why = str(error)
        return [partial(_missed, name, why) for name in config.servers]
    replicas = [one.server for one in make_followers(config, kind=kind).values()]
    return [partial(_look, one) for one in (*make_servers(config, kind).values(), *replicas)]


def _missed(name: str, why: str) -> Observation:
    return NodeMissed(name, time.monotonic(), Contact.SILENT, error=why)


def _look(server: WatchedServer) -> Observation:
    at = time.monotonic()
    try:
        return NodeLooked(server.name, server.look())
    except ServerSilentError as error:
        return NodeMissed(server.name, at, Contact.SILENT, error=str(error))
    except ServerError as error:
        contact = Contact.REFUSING if server.refuses() else Contact.SILENT
        return NodeMissed(server.name, at, contact, error=str(error))
    finally:
        server.leave_watch()
        threading.Thread(target=server.disconnect, daemon=True).start()


def _of_balancers(config: Config) -> list[Callable[[], Observation]]:
    return [partial(_balancer, balancer) for balancer in make_balancers(config).values()]


def _balancer(balancer: Balancer) -> Observation:
    at = time.monotonic()
    try:
        return BalancerLooked(balancer.name, balancer.look())
    except MyhaError as error:
        return BalancerMissed(balancer.name, at, str(error))
    finally:
        balancer.close()
