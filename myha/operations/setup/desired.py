"""What a set-up server has to look like: settings, option file fragment, channel. Pure.

The settings themselves are in `myha/servers/wanted.py`, where the supervisor finds them too.
"""

from __future__ import annotations

from myha.config import Config
from myha.core.settings import ChannelOptions, Setting, own_domain
from myha.operations.setup.facts import Facts
from myha.servers import wanted
from myha.servers.restoring import CONNECT_RETRY_SECONDS, RETRY_COUNT

FRAGMENT_HEAD = "# Written by `myha setup`; changes made here are overwritten."


def settings(config: Config, facts: Facts, peer: Facts) -> tuple[Setting, ...]:
    """Every setting that setup makes on one server."""
    domain = domain_id(facts, peer) if facts.flavour.has_domains else 0
    return wanted.settings(config, facts.node, facts.flavour, domain)


def domain_id(facts: Facts, peer: Facts) -> int:
    """A GTID domain of the node's own: the one that it has if it differs, else its server id."""
    return own_domain(facts.domain, (peer.domain, *facts.domains_taken), facts.server_id)


def fragment(config: Config, facts: Facts, peer: Facts) -> str:
    """The option file fragment that makes the settings permanent on MariaDB."""
    lines = [
        FRAGMENT_HEAD,
        f"# {_role(config, facts.node)} {facts.node} of {config.cluster.name}.",
        "[mariadb]",
        *(f"{s.variable} = {s.value}" for s in settings(config, facts, peer)),
        "log_slave_updates = ON",
        f"master_retry_count = {RETRY_COUNT}",
    ]
    return "\n".join(lines) + "\n"


def _role(config: Config, name: str) -> str:
    return "Replica" if name in config.replicas else "Node"


def channel(config: Config, facts: Facts, peer: Facts) -> ChannelOptions:
    """The one replication channel of a node."""
    return ChannelOptions(
        source=config.nodes[peer.node].replication_address,
        user=config.accounts.replication_user,
        by_gtid=True,
        retry_seconds=CONNECT_RETRY_SECONDS,
        heartbeat_seconds=config.timing.heartbeat_period_seconds,
        delay_seconds=0,
        tls=pair_tls(config, facts, peer),
        retry_count=RETRY_COUNT,
        public_key=True,
    )


def pair_tls(config: Config, facts: Facts, peer: Facts) -> bool:
    """Whether the nodes talk TLS to each other: both offer it and it is not switched off."""
    return config.accounts.tls != "off" and facts.tls and peer.tls


def first_writer(config: Config) -> str:
    return config.failover.preferred or config.names[0]
