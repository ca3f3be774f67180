"""The balancers of a pair, by their `kind`: each is one folder, with its `kind.py`."""

from __future__ import annotations

from typing import Protocol

from myha.balancers.haproxy import kind as haproxy
from myha.config import Config, HAProxyConfig
from myha.errors import ConfigError
from myha.ports import Balancer


class _Kind(Protocol):
    def make(self, config: Config, name: str) -> Balancer: ...

    def targets(self, config: Config, name: str) -> dict[tuple[str, str], str]: ...

    def render(
        self,
        config: Config,
        name: str,
        *,
        await_script: str | None,
        program_user: str,
        program_group: str,
        socket_group: str,
    ) -> str: ...


def _kind(config: Config, name: str) -> _Kind:
    match config.balancers[name]:
        case HAProxyConfig():
            return haproxy


def make_balancers(config: Config) -> dict[str, Balancer]:
    """One for each [balancers.NAME], in file order; nothing is connected yet."""
    return {name: _kind(config, name).make(config, name) for name in config.balancers}


def targets(config: Config, name: str) -> dict[tuple[str, str], str]:
    """The address to which it sends each server of each pool, by (pool, server). BalancerError."""
    return _kind(config, name).targets(config, name)


def known(config: Config, name: str) -> None:
    """ConfigError for a balancer that is not known."""
    if name not in config.balancers:
        names = ", ".join(config.balancers)
        raise ConfigError(
            f"{config.path}: balancers: has no balancer {name!r}; choose from {names}"
        )


def render(
    config: Config,
    name: str,
    *,
    await_script: str | None,
    program_user: str,
    program_group: str,
    socket_group: str,
) -> str:
    """The balancer's own configuration, as text. ConfigError for a balancer that is not known."""
    known(config, name)
    return _kind(config, name).render(
        config,
        name,
        await_script=await_script,
        program_user=program_user,
        program_group=program_group,
        socket_group=socket_group,
    )
