"""What the doctor says of the balancers: do they answer, and route to the servers of the file?"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping

from myha.balancers.factory import make_balancers, targets
from myha.config import Config, join_address, split_address
from myha.errors import BalancerError
from myha.operations.setup.remarks import Remark

POOLS = ("writer", "reader")


def of_balancer(config: Config, name: str) -> Iterator[Remark]:
    balancer = make_balancers(config)[name]
    mend = f"give it the configuration that `myha balancer render {name}{config.option}` prints"
    try:
        routes = {(one.pool, one.node) for one in balancer.look().routes}
        found = targets(config, name)
    except BalancerError as error:
        said = str(error).removeprefix(f"balancer {name} ")
        wrong, _, what = re.sub(r"^\((\S+)\): ", r"\1: ", said).partition("; ")
        why = "a change of writer cannot be told to it"
        yield Remark("balancer-away", name, wrong, what or "see its log", why)
        return
    finally:
        balancer.close()
    wanted = _wanted(config)
    lacking = sorted("/".join(one) for one in wanted.keys() - routes)
    if lacking:
        wrong = f"does not know {', '.join(lacking)}"
        yield Remark("balancer-lacks-node", name, wrong, mend, "no client is routed there")
    strange = sorted("/".join(one) for one in routes - wanted.keys())
    if strange:
        wrong = f"has servers that the configuration has not: {', '.join(strange)}"
        yield Remark("balancer-stranger", name, wrong, mend, "myha takes nobody out of those")
    yield from _elsewhere(name, wanted, found, mend)


def _wanted(config: Config) -> dict[tuple[str, str], str]:
    """The address of each server in each pool that has it."""
    pools = {("writer", node): one.address for node, one in config.nodes.items()}
    return pools | {("reader", name): one.address for name, one in config.servers.items()}


def _elsewhere(
    name: str,
    wanted: Mapping[tuple[str, str], str],
    found: Mapping[tuple[str, str], str],
    mend: str,
) -> Iterator[Remark]:
    for key in sorted(wanted.keys() & found.keys()):
        host, port = split_address(wanted[key])
        addresses = _addresses(host, port)
        if not addresses or found[key] in addresses:
            continue
        is_name = wanted[key] not in addresses
        wrong = f"sends {'/'.join(key)} to {found[key]}, and not to {wanted[key]}"
        if is_name:  # it may have looked the name up elsewhere, or earlier
            wrong += f", which is {' or '.join(sorted(addresses))} here"
        kind = "balancer-name-differs" if is_name else "balancer-elsewhere"
        yield Remark(kind, name, wrong, mend, "clients may reach another server")


def _addresses(host: str, port: int) -> set[str]:
    """What a name or an address stands for here; none where nobody here knows."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {join_address(str(bound[0]), port) for _, _, _, _, bound in rows}
