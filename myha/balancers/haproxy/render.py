"""A whole haproxy.cfg for one balancer, from myha.toml: pure text, nothing is read or written."""

from __future__ import annotations

from pathlib import Path

from myha.balancers.haproxy.adapter import HELD, PREFERRED, TOLD
from myha.config import Config, HAProxyConfig, is_unix_socket, join_address, split_address
from myha.errors import ConfigError

AWAIT_SCRIPT = Path(__file__).with_name("await_server.lua")
# A client waits twice, since HAProxy may lose its wake-up (see await_server.lua) and then lets it
# go on a little after the limit only. The first wait is as long as a change of writer takes and
# notices the new one at once; the second is long, and its pauses are too long to be lost easily.
FIRST_WAIT_MS, FIRST_PAUSE_MS, FIRST_SLACK_MS = 60, 2, 20
SECOND_WAIT_MS, SECOND_PAUSE_MS, SECOND_SLACK_MS = 2000, 20, 500
MAXCONN = 2000
GONE_SECONDS = 10  # a client that is not heard for so long has left with the shared address
HELD_MS = 2500  # it is said once in a second
_EVERYWHERE = ("*", "0.0.0.0")
NODE_WEIGHT = 100  # of a node of the pair among the readers; a replica's is in myha.toml


def render_haproxy(
    config: Config,
    name: str,
    *,
    await_script: str | Path | None = None,
    program_user: str = "",
    program_group: str = "",
    socket_group: str = "",
) -> str:
    """The configuration as text, for `haproxy -f`.

    `await_script` is where `await_server.lua` lies on the balancer's machine (HAProxy with Lua):
    with it, clients that connect during a change of writer wait for the new one. `socket_group` may
    use the runtime socket besides its owner. Raises ConfigError for words that HAProxy cannot read.
    """
    balancer = config.balancers[name]
    parts = [
        f"# HAProxy for the pair {config.cluster.name!r}, balancer {name!r}.\n"
        "# Written by `myha balancer render`; change myha.toml and write it anew.\n",
        _global(
            balancer,
            await_script=await_script,
            user=program_user,
            group=program_group,
            socket_group=socket_group,
            checked=bool(config.address.ip),
        ),
        _DEFAULTS,
        _pool(config, "writer", balancer.writer_listen, waits=await_script is not None),
        _pool(config, "reader", balancer.reader_listen, waits=await_script is not None),
        *([_tables(config, balancer)] if config.address.ip else []),
    ]
    return "\n".join(parts)


def _word(text: str | Path) -> str:
    """One word of HAProxy's configuration, whatever is in it."""
    word = str(text)
    if "'" in word or not word.isprintable():
        raise ConfigError(f"{word!r} cannot stand in haproxy.cfg; use a path without quotes")
    return f"'{word}'"


def _global(
    balancer: HAProxyConfig,
    *,
    await_script: str | Path | None,
    user: str,
    group: str,
    socket_group: str,
    checked: bool,
) -> str:
    lines = ["global"]
    if is_unix_socket(balancer.socket):
        mode = f"mode 660 group {_word(socket_group)}" if socket_group else "mode 600"
        lines.append(f"    stats socket {_word(balancer.socket)} level admin {mode}")
    else:
        lines += [
            "    # Whoever reaches this port steers HAProxy: keep it on a private address.",
            f"    stats socket {_word(balancer.socket)} level admin",
        ]
    if checked:
        lines += [
            "    # For keepalived on this host, which may read here and no more. Unlike a frontend",
            "    # it answers when maxconn is reached.",
            f"    stats socket ipv4@127.0.0.1:{balancer.check_port} level user",
        ]
    lines += [
        "    stats timeout 10s",
        f"    maxconn {MAXCONN}",
        "    # After a reload the old process keeps its sessions, and nobody can end them:",
        "    # let it end soon, or a fenced node could keep clients through it.",
        "    hard-stop-after 10s",
    ]
    if user:
        lines.append(f"    user {_word(user)}")
    if group:
        lines.append(f"    group {_word(group)}")
    if await_script is not None:
        lines += [
            "    # With more threads HAProxy 2.6 loses the wake-up of one waiting client in about",
            "    # forty (core.msleep), which then waits for all of the inspect-delay. With one",
            "    # it is rare, and happens on an overloaded machine.",
            "    nbthread 1",
            f"    lua-load {_word(await_script)}",
        ]
    return "\n".join(lines) + "\n"


_DEFAULTS = f"""defaults
    mode tcp
    maxconn {MAXCONN}
    timeout connect 1s
    # As long as the servers' own wait_timeout: HAProxy is not the one to end an idle session.
    timeout client 8h
    timeout server 8h
    timeout queue 5s
    # The kernel finds peers that have vanished.
    option clitcpka
    option srvtcpka
    clitcpka-idle 30s
    clitcpka-intvl 5s
    clitcpka-cnt 3
    srvtcpka-idle 30s
    srvtcpka-intvl 5s
    srvtcpka-cnt 3
"""


_NO_CHECKS = """\
    # No `check`, on purpose. myha checks the servers with a real login and says who takes
    # traffic. A TCP check breaks the server's handshake off, and so does one that reads the
    # greeting: MySQL and MariaDB count that per host, and after max_connect_errors of them (100 by
    # default, with no login from this host in between) they refuse the host with all its clients:
    # "Host is blocked". A check with a login would need mysql_native_password, which MySQL 9 does
    # not have. A server that dies resets its sessions by itself, and HAProxy passes that on.
"""

_RETRIES = {
    "writer": """\
    # A retry would wait a second for the same lost writer; the client's own comes sooner.
    retries 0
""",
    "reader": """\
    # A reader that refuses is passed over at once.
    retries 3
    option redispatch 1
""",
}


def _pool(config: Config, pool: str, listen: str, *, waits: bool) -> str:
    # The runtime socket finds what is named after the pool: that must be where the servers are.
    text = f"frontend to_{pool}\n"
    text += _shared_bind(config, listen) if config.address.ip else f"    bind {_word(listen)}\n"
    if waits:
        text += (
            "    # While no server takes traffic a client waits, rather than being turned away.\n"
        )
        text += _wait(pool, FIRST_WAIT_MS, FIRST_PAUSE_MS, FIRST_SLACK_MS)
    text += f"    default_backend {pool}\n\n"
    text += f"backend {pool}\n    balance leastconn\n{_RETRIES[pool]}"
    if waits:
        text += "    # Then it waits for longer, and checks less often.\n"
        text += _wait(pool, SECOND_WAIT_MS, SECOND_PAUSE_MS, SECOND_SLACK_MS)
    text += _NO_CHECKS if pool == "writer" else ""
    text += (
        "    # Out of traffic after every start, until myha says otherwise: this file cannot know\n"
        "    # who may write.\n"
        "    default-server on-marked-down shutdown-sessions disabled\n"
    )
    for name, node in config.nodes.items():
        # Without replicas all weigh the same, which is HAProxy's default.
        weight = f" weight {NODE_WEIGHT}" if pool == "reader" and config.replicas else ""
        text += f"    server {name} {_word(node.address)}{weight}\n"
    if pool == "reader":
        for name, replica in config.replicas.items():
            text += f"    server {name} {_word(replica.address)} weight {replica.weight}\n"
    return text


def _shared_bind(config: Config, listen: str) -> str:
    """Where the shared address is served, and how soon clients are missed that left with it."""
    host, port = split_address(listen)
    address, words = _word(listen), f"tcp-ut {GONE_SECONDS}s"
    text = ""
    if host not in _EVERYWHERE:
        text = f"    bind {address}\n    # The shared address is on another host at times.\n"
        address, words = _word(join_address(config.address.host, port)), f"transparent {words}"
    return (
        f"{text}    bind {address} {words}\n"
        "    # When it leaves, its clients talk to the other host; this one has to find out by\n"
        "    # itself that they are gone, or their transactions would keep their locks.\n"
        f"    clitcpka-idle {GONE_SECONDS // 2}s\n"
        f"    clitcpka-intvl {GONE_SECONDS // 5}s\n"
    )


def _tables(config: Config, balancer: HAProxyConfig) -> str:
    lasts_ms = round(1000 * config.address.preference_seconds)
    return f"""\
# Words about the shared address, gone with this process. myha says that its routing was right:
backend {TOLD}
    stick-table type string len 16 size 16 store gpt0

# and, again and again, that it is to be preferred to another balancer:
backend {PREFERRED}
    stick-table type string len 16 size 16 expire {lasts_ms}ms store gpt0

# keepalived's script connects here again and again while its host has the address, and is let go.
frontend to_{HELD}
    bind 127.0.0.1:{balancer.check_port + 1}
    tcp-request connection track-sc0 int(1) table {HELD}
    tcp-request connection reject

backend {HELD}
    stick-table type integer size 16 expire {HELD_MS}ms store gpt0
"""


def _wait(pool: str, limit_ms: int, pause_ms: int, slack_ms: int) -> str:
    return (
        f"    tcp-request inspect-delay {limit_ms + slack_ms}ms\n"
        f"    tcp-request content lua.await_server {pool} {limit_ms} {pause_ms}\n"
    )
