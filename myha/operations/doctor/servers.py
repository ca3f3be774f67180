"""What the doctor says of the servers, from one look at each. Pure but for the calendar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from myha.config import Config
from myha.core.record import Record
from myha.core.settings import Kind, channel_differences, setting_differences
from myha.database import versions
from myha.operations.doctor.server_look import ServerLook
from myha.operations.setup.actions import INCREMENTS_TABLE, OUR_TABLES, fragment_is_due
from myha.operations.setup.checks import remarks, server_refusals, server_warnings
from myha.operations.setup.desired import channel, settings
from myha.operations.setup.facts import Facts, Login
from myha.operations.setup.grants import wanted_grants
from myha.operations.setup.remarks import Remark
from myha.words import listed

CLOCK_WARN_SECONDS = 1.0
FULL_BYTES = 1 << 28
LOW_BYTES = 1 << 30
RETENTION_SHORT = timedelta(hours=24)
CERTIFICATE_SOON = timedelta(days=30)
SETUP = "run `myha setup`: it shows what it would change, and asks"

# The vendors' last day of a series; a series that is not here is not judged.
# https://www.oracle.com/us/assets/lifetime-support-technology-069183.pdf
# https://mariadb.org/about/#maintenance-policy
MAINTAINED_UNTIL: Mapping[tuple[str, tuple[int, ...]], date] = {
    ("mysql", (8, 0)): date(2026, 4, 30),
    ("mysql", (8, 4)): date(2032, 4, 30),
    ("mariadb", (10, 11)): date(2028, 2, 16),
    ("mariadb", (11, 4)): date(2029, 5, 29),
}
# What the supervisor says while a server runs, and what a server counts for itself.
_NEVER_KEPT = frozenset(
    {
        *("read_only", "super_read_only", "offline_mode", "event_scheduler", "timestamp"),
        *("gtid_purged", "gtid_slave_pos", "gtid_binlog_state", "gtid_current_pos"),
        *("gtid_binlog_pos", "rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"),
        *("rpl_semi_sync_source_timeout", "rpl_semi_sync_master_timeout"),
        *("rpl_semi_sync_source_wait_for_replica_count", "require_secure_transport"),
    }
)


def of_servers(
    config: Config, looks: Mapping[str, ServerLook], record: Record | None, today: datetime
) -> Iterator[Remark]:
    """Everything about the servers that could be looked at. `today`: now, in UTC."""
    seen = {name: look.facts for name, look in looks.items() if look.facts is not None}
    for name, look in looks.items():
        yield from look.remarks
        facts = seen.get(name)
        if facts is None:
            continue
        peer = _peer(config, record, seen, name)
        if record is not None and peer is not None:
            yield from _not_as_set_up(config, facts, peer)
        yield from _clock(facts)
        yield from _logs(look, facts)
        yield from _disks(look)
        yield from _certificate(look, today)
        yield from _maintained(facts, today.date())
        yield from _at_runtime(config, look, facts)
        yield from _encryption(config, facts)
    yield from _of_pair(config, seen, record, _known(looks))
    yield from _definers(looks)
    yield from _time_zones(looks)


def _peer(
    config: Config, record: Record | None, seen: Mapping[str, Facts], name: str
) -> Facts | None:
    """The server that this one replicates from."""
    if name in config.replicas:
        return seen.get(record.writer) if record is not None else None
    return next((seen.get(one) for one in config.names if one != name), None)


def _of_pair(
    config: Config, seen: Mapping[str, Facts], record: Record | None, ids: frozenset[int]
) -> Iterator[Remark]:
    """Setup's own judgement of the two; of a server alone as far as it goes."""
    pair = [seen[name] for name in config.names if name in seen]
    alone = [seen[name] for name in config.replicas if name in seen]
    if len(pair) == 2:
        found = remarks(config, pair[0], pair[1], record, ids)
        yield from _but(found.refusals, "fenced")  # the supervisor's verdict says that
        yield from _but(found.warnings, "disk-low")
    else:
        alone += pair
    for facts in alone:
        yield from server_refusals(facts)
        yield from _but(server_warnings(facts, ids), "disk-low")


def _known(looks: Mapping[str, ServerLook]) -> frozenset[int]:
    """The server ids that may replicate from ours. Where one of them could not be asked for its id,
    nobody is called a stranger."""
    seen = [look.facts for look in looks.values() if look.facts is not None]
    ids = {facts.server_id for facts in seen}
    if len(seen) < len(looks):
        ids.update(number for facts in seen for number in facts.replica_ids)
    return frozenset(ids)


def _but(remarks: Iterable[Remark], kind: str) -> Iterator[Remark]:
    """All but those of a kind that is judged here, or elsewhere."""
    return (one for one in remarks if one.kind != kind)


# --- what setup has made ------------------------------------------------------------------------


def _not_as_set_up(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    node = facts.node
    missing = [
        one for one in facts.flavour.semisync_plugins if f"rpl_semi_sync_{one}" not in facts.plugins
    ]
    if missing:
        names = " and ".join(f"rpl_semi_sync_{one}" for one in missing)
        why = "nobody acknowledges commits, or waits for that"
        yield Remark("plugin-missing", node, f"lacks the plugin {names}", SETUP, why)
    yield from _settings(config, facts, peer)
    yield from _channel(config, facts, peer)
    for role, login in (("supervisor", facts.supervisor), ("replication", facts.replication)):
        yield from _account(config, facts, role, login)
    tables = {*OUR_TABLES, *(() if facts.flavour.shows_session_variables else INCREMENTS_TABLE)}
    lacking = tables - facts.our_columns.keys()
    if lacking:
        wrong = f"lacks the tables {listed(f'myha.{one}' for one in lacking)}"
        yield Remark("schema-incomplete", node, wrong, SETUP, "the supervisor cannot work there")
    if facts.stale_sessions:
        yield Remark(
            "stale-sessions",
            node,
            f"{len(facts.stale_sessions)} sessions began before the present settings",
            f"end them with `myha setup --kick-sessions{config.option}`, or restart their clients",
            "they may generate ids of the wrong residue class",
        )


def _settings(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    found = setting_differences(
        settings(config, facts, peer),
        facts.variables,
        facts.persisted if facts.flavour.persists else None,
        facts.configured,
        supervised=True,
    )
    now = [one for one in found if one.kind is Kind.SETTING]
    later = [one for one in found if one.kind is Kind.AT_BOOT]
    if now:
        wrong = ", ".join(map(str, now))
        mend = "nothing if a supervisor runs, which puts it right; else " + SETUP
        yield Remark("setting-wrong", facts.node, wrong, mend, "setup had made that otherwise")
    if later:
        wrong = ", ".join(map(str, later))
        why = "its next restart brings the server up otherwise than it should be"
        yield Remark("not-at-boot", facts.node, wrong, SETUP, why)
    due = fragment_is_due(config, facts, peer)
    if due is not None:
        wrong, _, mend = due.removeprefix(f"{facts.node}: ").partition("; ")
        if not mend:
            wrong, mend = (
                "its option file lacks what setup made",
                f"{wrong} (`myha setup` shows it)",
            )
        yield Remark("not-at-boot", facts.node, wrong, mend)


def _channel(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    """Of the default channel; that it is there at all is the supervisor's to say."""
    if facts.node in config.replicas:
        return
    found = next((one for one in facts.channels if not one.name), None)
    if found is None:
        return
    wanted = channel(config, facts, peer)
    differs = [one for one in channel_differences(found, wanted) if one.name != "the source"]
    if differs:
        wrong = f"its replication from {peer.node}: {', '.join(map(str, differs))}"
        yield Remark("channel-wrong", facts.node, wrong, SETUP)


def _account(config: Config, facts: Facts, role: str, login: Login) -> Iterator[Remark]:
    accounts = config.accounts
    user = accounts.supervisor_user if role == "supervisor" else accounts.replication_user
    named = f"the {role} account {user}"
    if not login.exists:
        yield Remark("account-missing", facts.node, f"has not {named}", SETUP)
        return
    if not login.password_works:
        wrong = f"refuses the configured password of {named}"
        why = "it can do nothing there" if role == "supervisor" else "its peer cannot replicate"
        yield Remark("login-refused", facts.node, wrong, SETUP, why)
    wanted = {
        grant
        for grants in wanted_grants(facts.flavour, role, facts.privileges).values()
        for grant in grants
    }
    all_of_it = ("ALL PRIVILEGES", "*.*") in login.grants
    lacks = set() if all_of_it else wanted - login.grants
    if lacks:
        wrong = f"{named} lacks {_privileges(lacks)}"
        yield Remark("account-lacks", facts.node, wrong, SETUP, "some of its work fails there")
    more = sorted(one for one in login.grants - wanted if one[0] != "USAGE")
    if more:
        yield Remark(
            "account-has-more",
            facts.node,
            f"{named} has more than it needs: {_privileges(more)}",
            "; ".join(f"REVOKE {name} ON {target} FROM {user!r}@'%'" for name, target in more),
            "who gets hold of its password can do more than it should",
        )


def _privileges(grants: Iterable[tuple[str, str]]) -> str:
    return listed(f"{name} on {target}" for name, target in grants)


# --- each server by itself ----------------------------------------------------------------------


def _clock(facts: Facts) -> Iterator[Remark]:
    ahead = facts.clock_ahead_seconds
    if abs(ahead) > CLOCK_WARN_SECONDS + facts.clock_doubt_seconds:
        way = "ahead of" if ahead > 0 else "behind"
        yield Remark(
            "clock-wrong",
            facts.node,
            f"its clock is {abs(ahead):.1f} s {way} this machine's",
            "run an NTP client on both",
            "times in the journal and in the server's log cannot be compared",
        )


def _logs(look: ServerLook, facts: Facts) -> Iterator[Remark]:
    seconds = _retention_seconds(facts)
    if seconds is None:
        return
    if seconds == 0:
        size = look.binlog_bytes or 0
        shown = f" ({_size(size)} by now)" if size >= LOW_BYTES else ""
        yield Remark(
            "retention-unlimited",
            look.node,
            f"binary logs are kept for ever{shown}",
            "set binlog_expire_logs_seconds to what an outage may last, a week say",
            "they fill the disk one day",
        )
    elif timedelta(seconds=seconds) < RETENTION_SHORT:
        yield Remark(
            "retention-short",
            look.node,
            f"binary logs are kept for {seconds / 3600:.1f} hours only",
            "set binlog_expire_logs_seconds to what an outage may last, a week say",
            "a node that is away for longer needs all data anew",
        )


def _retention_seconds(facts: Facts) -> float | None:
    """0: for ever; None: not to be told."""
    if facts.variables.get("binlog_expire_logs_auto_purge", "ON").upper() == "OFF":
        return 0
    found = facts.variables.get("binlog_expire_logs_seconds")
    if found is None:
        days = facts.variables.get("expire_logs_days")
        return None if days is None else float(days) * 86400
    return float(found)


def _disks(look: ServerLook) -> Iterator[Remark]:
    low: dict[int, list[str]] = {}
    for disk in look.disks:  # one file system is told once
        if disk.free_bytes < LOW_BYTES:
            low.setdefault(disk.free_bytes, []).append(f"{disk.what} ({disk.path})")
    for free, what in low.items():
        kind = "disk-full" if free < FULL_BYTES else "disk-low"
        wrong = f"{_size(free)} are free for {' and '.join(what)}"
        mend = "make room; PURGE BINARY LOGS what no node needs any more"
        yield Remark(kind, look.node, wrong, mend, "a full disk stops all writes")


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _certificate(look: ServerLook, today: datetime) -> Iterator[Remark]:
    try:
        ends = datetime.strptime(look.certificate_ends, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return  # it has none
    if ends > today + CERTIFICATE_SOON:
        return
    over = ends <= today
    yield Remark(
        "certificate-expired" if over else "certificate-expires",
        look.node,
        f"its TLS certificate {'expired' if over else 'expires'} on {ends:%Y-%m-%d}",
        "give the server a new one, and ALTER INSTANCE RELOAD TLS or FLUSH SSL there",
        "clients that verify it cannot connect" + ("" if over else " from then on"),
    )


def _maintained(facts: Facts, today: date) -> Iterator[Remark]:
    series = versions.series(facts.version)
    ended = MAINTAINED_UNTIL.get((facts.flavour.name, series))
    if ended is not None and ended < today:
        yield Remark(
            "version-unmaintained",
            facts.node,
            f"{facts.flavour.title} {'.'.join(map(str, series))} is not maintained any more"
            f" since {ended}",
            "plan the upgrade: the standby first, then `myha switchover`, then the other",
            "its defects stay",
        )


def _at_runtime(config: Config, look: ServerLook, facts: Facts) -> Iterator[Remark]:
    ours = {one.variable for one in settings(config, facts, facts)} | _NEVER_KEPT
    names = [name for name in look.set_at_runtime if name not in ours]
    if names:
        kept = "its option file" if not facts.flavour.persists else "SET PERSIST or its option file"
        yield Remark(
            "set-at-runtime",
            look.node,
            f"somebody has set {listed(names)} while it runs",
            f"put it into {kept}, if it is to stay",
            "its next restart forgets that, unless its option file has the same",
        )


def _encryption(config: Config, facts: Facts) -> Iterator[Remark]:
    if config.accounts.tls == "off" and facts.tls:
        wrong = 'offers TLS, and accounts.tls is "off"'
        mend = 'say accounts.tls = "auto", then ' + SETUP
        yield Remark("not-encrypted", facts.node, wrong, mend, "replication can be read on the way")


# --- what has to be alike -----------------------------------------------------------------------


def _definers(looks: Mapping[str, ServerLook]) -> Iterator[Remark]:
    """Accounts are made on each node by hand or by replication; what they define replicates."""
    for look in looks.values():
        if not look.users:
            continue
        gone = {one: names for one, names in look.definers.items() if one not in look.users}
        for definer, names in gone.items():
            yield Remark(
                "definer-missing",
                look.node,
                f"no account {definer}, which defines {listed(names, 3)}",
                "create it there, or define them anew by another",
                "they fail there, or will when it is the writer",
            )


def _time_zones(looks: Mapping[str, ServerLook]) -> Iterator[Remark]:
    known = {name: look.time_zones for name, look in looks.items() if look.time_zones is not None}
    without = [name for name, count in known.items() if not count]
    if without and len(without) < len(known):
        wrong = "no time zone tables, and others have them"
        why = "CONVERT_TZ and named zones give NULL there and not elsewhere"
    elif without:
        wrong, why = "no time zone tables", "CONVERT_TZ and named zones give NULL"
    else:
        return
    kind = "time-zones-differ" if len(without) < len(known) else "no-time-zones"
    mend = "load them with mysql_tzinfo_to_sql (mariadb-tzinfo-to-sql) on the writer"
    for name in without:
        yield Remark(kind, name, wrong, mend, why)
