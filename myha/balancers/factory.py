"""The balancers of a pair, by their `kind`: a kind is one folder and one case in each function."""

from __future__ import annotations

from myha.balancers.haproxy.adapter import HAProxyBalancer
from myha.balancers.haproxy.render import render_haproxy
from myha.config import Config, HAProxyConfig
from myha.errors import ConfigError
from myha.ports import Balancer


def make_balancers(config: Config) -> dict[str, Balancer]:
    """One for each [balancers.NAME], in file order; nothing is connected yet."""
    return {name: _make(config, name) for name in config.balancers}


def targets(config: Config, name: str) -> dict[tuple[str, str], str]:
    """The address to which it sends each server of each pool, by (pool, server). BalancerError."""
    match config.balancers[name]:
        case HAProxyConfig() as one:
            return _haproxy(config, name, one).targets()


def _make(config: Config, name: str) -> Balancer:
    match config.balancers[name]:
        case HAProxyConfig() as one:
            return _haproxy(config, name, one)


def _haproxy(config: Config, name: str, one: HAProxyConfig) -> HAProxyBalancer:
    return HAProxyBalancer(
        name,
        one.socket,
        config.timing.call_deadline_seconds,
        has_address=bool(config.address.ip),
    )


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
    await_script: str | None = None,
    program_user: str = "",
    program_group: str = "",
    socket_group: str = "",
) -> str:
    """The balancer's own configuration, as text. ConfigError for a balancer that is not known."""
    known(config, name)
    match config.balancers[name]:
        case HAProxyConfig():
            return render_haproxy(
                config,
                name,
                await_script=await_script,
                program_user=program_user,
                program_group=program_group,
                socket_group=socket_group,
            )
