"""What is missing on two servers to be the pair, as data: one action for each thing. Pure.

An action is wanted only where the facts say that it is not so yet; after it has been carried out,
the facts say that it is. So planning again from new facts is the read-back and the idempotence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from myha.config import Account, Config
from myha.core.record import Record
from myha.core.settings import Setting, When, channel_differences, setting_differences
from myha.database.codes import ACCESS_DENIED
from myha.database.flavours.base import Channel
from myha.operations.setup.desired import (
    channel,
    first_writer,
    fragment,
    pair_tls,
    settings,
)
from myha.operations.setup.facts import Facts, Login
from myha.operations.setup.grants import wanted_grants
from myha.operations.setup.history import History
from myha.servers.restoring import RETRY_COUNT
from myha.servers.wanted import SESSION_SETTINGS
from myha.stores.factory import store_location

OUR_TABLES: Mapping[str, tuple[str, ...]] = {
    "heartbeat": (
        "ts",
        "server_id",
        "file",
        "position",
        "relay_master_log_file",
        "exec_master_log_pos",
    ),
    "proof": ("epoch", "node", "at"),
    "marker": ("id", "node", "token", "at"),
    "disabled_events": ("event_schema", "event_name"),
    "claim": ("one", "store", "term", "account", "holder", "at"),
}
INCREMENTS_TABLE = {"increments": ("server_id", "connection_id")}


class Stage(IntEnum):
    """The order in which actions are carried out, on both nodes each."""

    SEED = 0
    GTID = 1
    PLUGIN = 2
    SETTING = 3
    FILE = 4
    ACCOUNT = 5
    SCHEMA = 6
    NOTE = 7
    HISTORY = 8
    CHANNEL = 9
    SESSION = 10
    JOIN = 11


@dataclass(frozen=True, slots=True)
class Action:
    """One change on one node. `block` names its statements in sql/, `text` is a file's content."""

    stage: Stage
    node: str
    sentence: str
    block: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    secret: Account | None = None  # its password becomes the value `password`
    text: str = ""
    needs_stopped: bool = False  # replication threads have to rest meanwhile

    def __str__(self) -> str:
        return f"{self.node}: {self.sentence}"


def plan(
    config: Config,
    pair: tuple[Facts, Facts],
    history: History,
    record: Record | None,
    *,
    store: str,
    kick: bool,
    writer: str = "",
) -> list[Action]:
    """Everything that has to be done, in order. `store` is the id of the record's lineage, `writer`
    the first writer where that is not the one that the file names."""
    actions: list[Action] = []
    for facts, peer in (pair, pair[::-1]):
        actions += preparing(config, facts, peer, supervised=record is not None)
        actions += _history(facts, peer, history)
        actions += _channel(config, facts, peer)
        actions += _claim(facts, store)
        if kick:
            actions += _sessions(config, facts, peer)
    actions.sort(key=lambda action: action.stage)  # stable: node by node within a stage
    return [*actions, *_join(config, record, writer or first_writer(config))]


def preparing(
    config: Config, facts: Facts, peer: Facts, *, supervised: bool = False
) -> Iterator[Action]:
    """What a server needs before it can replicate from `peer`, of whatever role it is.

    One that is `supervised` is left as its supervisor has it.
    """
    yield from _plugins(facts)
    yield from _settings(config, facts, peer, supervised=supervised)
    yield from _accounts(config, facts, peer)
    yield from _schema(facts)


def _plugins(facts: Facts) -> Iterator[Action]:
    for side in facts.flavour.semisync_plugins:
        if f"rpl_semi_sync_{side}" not in facts.plugins:
            sentence = f"install the plugin rpl_semi_sync_{side}"
            yield Action(Stage.PLUGIN, facts.node, sentence, f"install_semi_sync_{side}")


def _settings(config: Config, facts: Facts, peer: Facts, *, supervised: bool) -> Iterator[Action]:
    wanted = settings(config, facts, peer)
    missing = [s for s in wanted if not _is_set(facts, s, supervised=supervised)]
    for setting in missing:
        block = "set_at_boot" if setting.when is When.AT_BOOT else "set_now_and_at_boot"
        when = setting.when.value if facts.flavour.persists else "now"
        yield Action(
            Stage.SETTING,
            facts.node,
            f"set {setting.variable} = {setting.value} {when} ({setting.why})",
            block,
            words={"variable": setting.variable, "value": setting.value},
            needs_stopped=setting.rests,
        )
    if facts.flavour.persists:
        return
    file = config.servers[facts.node].option_file
    text = fragment(config, facts, peer)
    if file is not None and facts.fragment != text:
        sentence = f"install the option file fragment {file}"
        yield Action(Stage.FILE, facts.node, sentence, text=text)
    if any(setting.variable in SESSION_SETTINGS for setting in missing):
        sentence = "note which sessions began before the new settings"
        yield Action(Stage.NOTE, facts.node, sentence, "note_increments")


def _is_set(facts: Facts, setting: Setting, *, supervised: bool = False) -> bool:
    flavour = facts.flavour  # where it keeps nothing, what is set at boot is the fragment's part
    persisted, configured = (facts.persisted, facts.configured) if flavour.persists else (None, ())
    return not setting_differences(
        (setting,), facts.variables, persisted, configured, supervised=supervised
    )


def fragment_is_due(config: Config, facts: Facts, peer: Facts) -> str | None:
    """Why the fragment still has to be installed by hand, None where it need not."""
    if facts.flavour.persists:
        return None
    if config.servers[facts.node].option_file is not None:
        if facts.fragment_missed:
            return (
                f"{facts.node}: the server has started without reading "
                f"{config.servers[facts.node].option_file}; include that file in its option file, "
                "or after a restart the server is neither fenced nor set up"
            )
        return None
    wanted = settings(config, facts, peer)
    known = [s for s in wanted if s.variable in facts.variables and s.when is not When.AT_BOOT]
    if all(setting.variable in facts.configured for setting in known):
        return None
    return (
        f"{facts.node}: install the option file fragment on its host (below), or set "
        f"{config.table_of(facts.node)}.option_file: without it the server is neither fenced nor "
        "set up after a restart"
    )


def _accounts(config: Config, facts: Facts, peer: Facts) -> Iterator[Action]:
    for role, account, login, tls in (
        ("supervisor", config.accounts.supervisor(), facts.supervisor, _own_tls(config, facts)),
        (
            "replication",
            config.accounts.replication(),
            facts.replication,
            pair_tls(config, facts, peer),
        ),
    ):
        yield from _account(facts, role, account, login, tls=tls)


def _own_tls(config: Config, facts: Facts) -> bool:
    return config.accounts.tls != "off" and facts.tls


def _account(
    facts: Facts, role: str, account: Account, login: Login, *, tls: bool
) -> Iterator[Action]:
    named = f"the {role} account {account.user}"
    words = {"tls": "SSL" if tls else "NONE"}
    values = {"user": account.user}
    if not login.exists or not login.password_works:
        done = f"make {named}" if not login.exists else f"set the password of {named}"
        sentence = f"{done}{' (TLS required)' if tls else ''}"
        yield Action(Stage.ACCOUNT, facts.node, sentence, "make_account", values, words, account)
    elif login.requires_tls is not tls:
        sentence = f"{'require TLS' if tls else 'no longer require TLS'} of {named}"
        yield Action(Stage.ACCOUNT, facts.node, sentence, "require_tls", values, words)
    for block, grants in wanted_grants(facts.flavour, role, facts.privileges).items():
        missing = grants - login.grants
        if missing:
            privileges = ", ".join(f"{name} on {target}" for name, target in sorted(missing))
            sentence = f"grant {named}: {privileges}"
            yield Action(Stage.ACCOUNT, facts.node, sentence, block, values)


def _schema(facts: Facts) -> Iterator[Action]:
    tables = dict(OUR_TABLES)
    if not facts.flavour.shows_session_variables:
        tables |= INCREMENTS_TABLE
    missing = [name for name in tables if name not in facts.our_columns]
    if missing and not facts.our_columns:
        yield Action(Stage.SCHEMA, facts.node, "make the schema myha", "make_schema")
    for name in missing:
        sentence = f"make the table myha.{name}"
        yield Action(Stage.SCHEMA, facts.node, sentence, f"make_{name}")


def _claim(facts: Facts, store: str) -> Iterator[Action]:
    """A node that the supervisor of another store has: whoever runs setup says that it is gone."""
    if not store or facts.claim is None or facts.claim[0] == store:
        return
    sentence = f"take it over from the supervisor of another store ({facts.claim[1]})"
    yield Action(Stage.SCHEMA, facts.node, sentence, "take_claim", {"store": store})


def _history(facts: Facts, peer: Facts, history: History) -> Iterator[Action]:
    if history in (History.BEHIND, History.IN_FLIGHT):
        # The one that lacks something goes on from there: the other has no more of it to ask for.
        # In flight the peer replicates from here, and this one from nobody yet: it has all of that.
        lacks = history is History.BEHIND and peer.executed.contains(facts.executed)
        position = str(facts.executed if lacks else peer.executed)
        keeps = facts.flavour.keeps_replica_position and not facts.channels
        if keeps and facts.variables.get("gtid_slave_pos", "") != position:
            yield Action(
                Stage.HISTORY,
                facts.node,
                f"replicate from the common position {position}",
                "take_earlier_history_as_replicated",
                {"position": position},
            )
        return
    if history is History.FRESH and not facts.executed.is_empty():
        yield Action(
            Stage.HISTORY,
            facts.node,
            f"start its history over: RESET of the binary logs ({facts.executed} made accounts "
            "and the like; there is no data)",
            "forget_history",
        )
    elif (
        history is History.SAME
        and facts.flavour.keeps_replica_position
        and not facts.channels
        and not facts.executed.is_empty()
        and facts.variables.get("gtid_slave_pos", "") != str(facts.executed)
    ):
        yield Action(
            Stage.HISTORY,
            facts.node,
            f"replicate from the common position {facts.executed}",
            "take_history_as_replicated",
            {"position": str(facts.executed)},
        )


def _channel(config: Config, facts: Facts, peer: Facts) -> Iterator[Action]:
    wanted = channel(config, facts, peer)
    existing = facts.channel_to(peer, wanted.source) or next(
        (c for c in facts.channels if not c.name), None
    )
    differs = _channel_differs(config, facts, peer, existing)
    if not differs:
        return
    how = "TLS" if wanted.tls else "no TLS"
    sentence = (
        f"replicate from {peer.node} at {wanted.source} by GTID ({how}, heartbeat every "
        f"{wanted.heartbeat_seconds:g} s, retry every {wanted.retry_seconds} s)"
    )
    if existing is not None:
        sentence = f"change replication from {peer.node}: {', '.join(differs)}"
    yield Action(
        Stage.CHANNEL,
        facts.node,
        sentence,
        "replicate",
        {
            "host": config.nodes[peer.node].replication_host,
            "port": config.nodes[peer.node].replication_port,
            "user": wanted.user,
            "retry": wanted.retry_seconds,
            "retry_count": RETRY_COUNT,
            "heartbeat": wanted.heartbeat_seconds,
            "tls": int(bool(wanted.tls)),
            "delay": wanted.delay_seconds,
        },
        secret=config.accounts.replication(),
        needs_stopped=True,
    )


def _channel_differs(
    config: Config, facts: Facts, peer: Facts, existing: Channel | None
) -> list[str]:
    """What about the channel is not as wanted, in words; a missing one is one difference."""
    if existing is None:
        return ["none yet"]
    wanted = channel(config, facts, peer)
    differs = [str(one) for one in channel_differences(existing, wanted)]
    if not peer.replication.password_works or existing.error_code == ACCESS_DENIED:
        differs.append(f"it is told the password of {wanted.user} anew")
    return differs


def _sessions(config: Config, facts: Facts, peer: Facts) -> Iterator[Action]:
    """Whoever is old is found again when the time comes: the settings may only just change."""
    changes = any(
        setting.variable in SESSION_SETTINGS and not _is_set(facts, setting)
        for setting in settings(config, facts, peer)
    )
    if facts.stale_sessions or changes:
        now = f", now {', '.join(map(str, facts.stale_sessions))}" if facts.stale_sessions else ""
        sentence = f"end the sessions that began before the new settings{now}"
        yield Action(Stage.SESSION, facts.node, sentence, "end_session")


def _join(config: Config, record: Record | None, writer: str) -> Iterator[Action]:
    """What makes two prepared servers the pair; once that is on record it is the supervisor's."""
    if record is not None:
        return
    standby = next(name for name in config.names if name != writer)
    dual = config.cluster.mode.value == "dual-writer"
    for name, peer in (config.names, config.names[::-1]):
        yield Action(Stage.JOIN, name, f"start replication, wait for it to catch up with {peer}")
    if not dual:
        yield Action(Stage.JOIN, standby, "close it for writes: the standby")
    yield Action(Stage.JOIN, writer, "open it for writes: the writer")
    if dual:
        yield Action(Stage.JOIN, standby, "open it for writes: the other writer")
    yield Action(
        Stage.JOIN, writer, f"prove it: a marker row of each node arrives at {standby} ..."
    )
    yield Action(Stage.JOIN, standby, f"... and at {writer}, with ids of its own residue class")
    yield Action(
        Stage.JOIN, writer, f"write the first record, epoch 1, into {store_location(config)}"
    )
