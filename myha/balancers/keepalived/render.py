"""A whole keepalived.conf for one balancer's host, from myha.toml: pure text."""

from __future__ import annotations

import math
from pathlib import Path

from myha.config import Config
from myha.errors import ConfigError

CHECK_SCRIPT = Path(__file__).with_name("check.sh")
CHECK_SCRIPT_PATH = "/etc/keepalived/myha-check.sh"
# Every balancer begins with the same: among equals the address stays where it is. Told and
# preferred add to it. All three are as high as VRRP allows, since a host waits the longer before it
# takes an address that is free the lower its priority is; a connection that is tried in that time
# finds nobody, and is tried again by the client's kernel after a second.
PRIORITY, TOLD_WEIGHT, PREFERRED_WEIGHT = 250, 2, 2
CHECK_INTERVAL_SECONDS = 1  # keepalived has whole seconds only; the script watches in between


def render_keepalived(
    config: Config,
    balancer_name: str,
    *,
    check_script: str | Path = CHECK_SCRIPT_PATH,
    script_security: bool = True,
) -> str:
    """The configuration as text, for `keepalived -f`.

    `check_script` is where `check.sh` lies on the balancer's host. `script_security`: keepalived
    refuses to run it where others than root could change it. ConfigError where there is no shared
    address, or a word that keepalived cannot read.
    """
    if not config.address.ip:
        raise ConfigError(
            f"{config.path}: address.ip: is not set, so there is nothing for keepalived to move; "
            "set it, with the interface of each balancer"
        )
    return "\n".join(
        (
            f"# keepalived for the pair {config.cluster.name!r}, host of balancer "
            f"{balancer_name!r}.\n"
            "# Written by `myha balancer render`; change myha.toml and write it anew.\n",
            _globals(config, balancer_name, security=script_security),
            *_checks(config, balancer_name, _word(check_script)),
            _instance(config, balancer_name),
        )
    )


def _word(text: str | Path) -> str:
    """One word of keepalived's configuration, and of a script's command line in it."""
    word = str(text)
    if not word or any(c.isspace() or c in "\"'{}!#$@~\\" or not c.isprintable() for c in word):
        raise ConfigError(
            f"{word!r} cannot stand in keepalived.conf; use a path without spaces and quotes"
        )
    return word


def _version(config: Config) -> int:
    return 2 if config.address.password_file else 3


def _globals(config: Config, name: str, *, security: bool) -> str:
    lines = [
        "global_defs {",
        f"    router_id {name}",
        f"    vrrp_version {_version(config)}",
        "    script_user root",
        *(["    enable_script_security"] if security else []),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _checks(config: Config, name: str, script: str) -> list[str]:
    balancer, answer = config.balancers[name], config.address.answer_seconds
    words = f"{balancer.check_port} {answer:g}"
    return [
        _check(
            "haproxy_alive",
            f"{script} alive {words} {config.address.host}",
            answer,
            "A HAProxy that has ended or hangs: this host gives the address up, whoever else is\n"
            "# there.",
        ),
        _check(
            "haproxy_told",
            f"{script} told {words}",
            answer,
            "One that has just started routes nobody. Twice, since myha puts that right soon.",
            weight=TOLD_WEIGHT,
            fall=2,
        ),
        _check(
            "haproxy_preferred",
            f"{script} preferred {words}",
            answer,
            "myha says so of this one while another does not route as it should.",
            weight=PREFERRED_WEIGHT,
        ),
    ]


def _check(
    name: str, command: str, answer_seconds: float, why: str, *, weight: int = 0, fall: int = 1
) -> str:
    lines = [
        f"# {why}",
        f"vrrp_script {name} {{",
        f'    script "{command}"',
        f"    interval {CHECK_INTERVAL_SECONDS}",
        f"    timeout {math.ceil(answer_seconds) + 1}",
        *([f"    weight {weight}"] if weight else []),
        f"    fall {fall}",
        "    rise 1",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _instance(config: Config, name: str) -> str:
    address, balancer = config.address, config.balancers[name]
    lines = [
        f"vrrp_instance {config.cluster.name} {{",
        "    # No nopreempt and no priority of its own for any host: a host takes the address from",
        "    # another one only when myha prefers it, and that one would otherwise keep it.",
        "    state BACKUP",
        f"    interface {_word(balancer.interface)}",
        f"    virtual_router_id {address.router_id}",
        f"    priority {PRIORITY}",
        f"    advert_int {address.advert_seconds:g}",
    ]
    if address.transport == "unicast":
        others = [one.host for other, one in config.balancers.items() if other != name]
        lines.append(f"    unicast_src_ip {balancer.host}")
        lines += ["    unicast_peer {", *(f"        {host}" for host in others), "    }"]
    password = address.password()
    if password is not None:
        lines += [
            "    # It keeps other people's routers apart; who listens on this network reads it.",
            "    authentication {",
            "        auth_type PASS",
            f"        auth_pass {password.get_secret_value()}",
            "    }",
        ]
    lines += [
        "    virtual_ipaddress {",
        f"        {address.ip}",
        "    }",
        "    track_script {",
        "        haproxy_alive",
        "        haproxy_told",
        "        haproxy_preferred",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"
