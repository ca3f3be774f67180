"""The balancers of kind `haproxy` of a configuration."""

from __future__ import annotations

from myha.balancers.haproxy.adapter import HAProxyBalancer
from myha.balancers.haproxy.render import render_haproxy
from myha.config import Config


def make(config: Config, name: str) -> HAProxyBalancer:
    return HAProxyBalancer(
        name,
        config.balancers[name].socket,
        config.timing.call_deadline_seconds,
        has_address=bool(config.address.ip),
    )


def targets(config: Config, name: str) -> dict[tuple[str, str], str]:
    return make(config, name).targets()


render = render_haproxy
