"""The pair as a command sees it by itself, when no supervisor answers: the record, and one look.

Nothing is decided or done here. The verdict is what a supervisor that had seen just this would say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from myha.balancers.factory import make_balancers
from myha.config import Config
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
from myha.errors import MyhaError, ServerError, ServerSilentError
from myha.ports import Balancer, WatchedServer
from myha.servers.factory import make_servers
from myha.supervisor.status import Status
from myha.supervisor.status_builder import build_status


def own_look(config: Config, record: Record, why: str) -> Status:
    """What `myha status` shows, from one look at everything. `why` there was no answer."""
    began = time.monotonic()
    view = first_view(config.policy(), began, time.time(), record)
    calls = [*_of_nodes(config), *_of_balancers(config)]
    with ThreadPoolExecutor(len(calls)) as pool:
        for observation in pool.map(lambda call: call(), calls):
            view = fold(view, observation)
    seen = build_status(config.cluster.name, view, decide(view), None)
    return seen.model_copy(update={"supervisor": why, "healthy": False, "settled": False})


def _of_nodes(config: Config) -> list[Callable[[], Observation]]:
    try:
        servers = make_servers(config)
    except MyhaError as error:
        why = str(error)
        return [partial(_missed, name, why) for name in config.nodes]
    return [partial(_look, server) for server in servers.values()]


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
