"""What setup makes of a server, and what of that is found otherwise. Pure.

`myha setup` and the supervisor compare with the same values by the same rules: what is no
difference to the one is none to the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

from myha.core.values import value


class When(StrEnum):
    NOW_AND_AT_BOOT = "now and at boot"
    AT_BOOT = "at boot"


@value(frozen=True, slots=True)
class Setting:
    """A variable as it has to be.

    `rests`: replication has to rest while it is set, or has to begin anew to heed it.
    `supervisors`: while the server runs it is the supervisor's to say, whatever it boots with.
    `always_persisted`: also where the server's default would do.
    """

    variable: str
    value: str
    when: When = When.NOW_AND_AT_BOOT
    why: str = ""
    rests: bool = False
    supervisors: bool = False
    always_persisted: bool = False


class Kind(StrEnum):
    SETTING = "setting"  # a variable, now
    AT_BOOT = "at boot"  # a variable, after the next restart
    CHANNEL = "channel"  # an option of the replication channel
    FILTER = "filter"  # whatever keeps changes from being applied


@value(frozen=True, slots=True)
class Difference:
    """One thing that is not as setup made it. `by_hand`: what an administrator has to do about it,
    where the supervisor cannot."""

    kind: Kind
    name: str
    found: str
    wanted: str
    rests: bool = False
    by_hand: str = ""

    def __str__(self) -> str:
        if self.kind is Kind.FILTER:
            return f"{self.name} is {self.found}"
        at_boot = " at boot" if self.kind is Kind.AT_BOOT else ""
        return f"{self.name} is {self.found}{at_boot}, not {self.wanted}"


def listed(differs: Iterable[Difference]) -> str:
    return ", ".join(str(one) for one in differs)


NOT_SET = "not set"
FIXED = "DISABLED"  # of the event scheduler: OFF, and not to be set while the server runs


def is_on(value: str) -> bool:
    """Of a variable that is a switch."""
    return value.upper() in {"ON", "1", "YES", "TRUE"}


def same_value(left: str, right: str) -> bool:
    """Whether two texts are one value to the server: ON is 1, 10 is 10.000."""
    if left.upper() == right.upper():
        return True
    words = {"ON": "1", "OFF": "0", FIXED: "0"}
    left, right = words.get(left.upper(), left), words.get(right.upper(), right)
    try:
        return float(left) == float(right)
    except ValueError:
        return left == right


def setting_differences(
    wanted: Collection[Setting],
    now: Mapping[str, str],
    persisted: Mapping[str, str] | None,
    configured: Collection[str] = (),
    *,
    supervised: bool = False,
) -> tuple[Difference, ...]:
    """Each variable that is not as wanted.

    `persisted` is what the server keeps by itself for its next start, None where it cannot: the
    option file is then out of sight. `configured` are the variables that are still what the server
    started with. `supervised`: what the supervisor says while the server runs is left out.
    """
    found: list[Difference] = []
    for one in wanted:
        differs = list(_now(one, now, supervised=supervised))
        if not differs and persisted is not None:  # setting it now sets it for then
            differs = list(_at_boot(one, now, persisted, configured))
        found += differs
    return tuple(found)


def _now(one: Setting, now: Mapping[str, str], *, supervised: bool) -> Iterator[Difference]:
    if one.when is When.AT_BOOT or (supervised and one.supervisors):
        return
    value = now.get(one.variable)
    if value is None or not same_value(value, one.value):
        shown = NOT_SET if value is None else shown_value(value, one.value)
        yield Difference(Kind.SETTING, one.variable, shown, one.value, one.rests)


def _at_boot(
    one: Setting,
    now: Mapping[str, str],
    persisted: Mapping[str, str],
    configured: Collection[str],
) -> Iterator[Difference]:
    if now.get(one.variable, "").upper() == FIXED:
        return  # its option file says so, and nothing else can
    value = persisted.get(one.variable)
    if value is not None:
        if not same_value(value, one.value):
            shown = shown_value(value, one.value)
            yield Difference(Kind.AT_BOOT, one.variable, shown, one.value)
        return
    # Not persisted, but what the server starts with anyway: its option file's, or the default.
    starts_so = (
        one.when is When.NOW_AND_AT_BOOT
        and one.variable in configured
        and same_value(now.get(one.variable, ""), one.value)
        and not one.always_persisted
    )
    if not starts_so:
        yield Difference(Kind.AT_BOOT, one.variable, NOT_SET, one.value)


def shown_value(found: str, wanted: str) -> str:
    """As an operator would write it: ON for 1, where the other value is a switch's."""
    switches = {"0": "OFF", "1": "ON"}
    return switches.get(found, found) if wanted.upper() in {"ON", "OFF"} else found


def own_domain(own: int, others: Iterable[int], server_id: int) -> int:
    """A GTID domain of the node's own: the one that it has if it differs, else its server id."""
    return own if own not in {0, *others} else server_id


@value(frozen=True, slots=True)
class ChannelOptions:
    """The replication channel of a node, as wanted or as found. None: not to be had, or no matter.

    `by_gtid`: it finds its place by GTID.
    """

    source: str
    user: str
    by_gtid: bool
    retry_seconds: int
    heartbeat_seconds: float
    delay_seconds: int
    tls: bool | None
    retry_count: int | None
    public_key: bool | None


_OPTIONS = (
    ("source", "the source"),
    ("user", "the source's user"),
    ("by_gtid", "replication by GTID"),
    ("tls", "TLS to the source"),
    ("retry_seconds", "the connect retry"),
    ("retry_count", "the retry count"),
    ("public_key", "asking for the public key"),
    ("heartbeat_seconds", "the heartbeat period"),
    ("delay_seconds", "the delay"),
)


def channel_differences(found: ChannelOptions, wanted: ChannelOptions) -> tuple[Difference, ...]:
    """Each option that is not as wanted."""

    def shown(value: object, name: str) -> str:
        if isinstance(value, bool):
            return "on" if value else "off"
        if name.endswith("_seconds"):
            return f"{value:g} s"
        return str(value)

    differences = []
    for name, words in _OPTIONS:
        is_so, must_be = getattr(found, name), getattr(wanted, name)
        if is_so is None or must_be is None:
            continue
        same = abs(is_so - must_be) < 0.001 if isinstance(must_be, float) else is_so == must_be
        if not same:
            said = (shown(is_so, name), shown(must_be, name))
            differences.append(Difference(Kind.CHANNEL, words, *said, rests=True))
    return tuple(differences)


def filter_differences(rules: Mapping[str, str]) -> tuple[Difference, ...]:
    """Setup makes no filter, so each one is a difference."""
    return tuple(
        Difference(Kind.FILTER, name.lower(), rule, "", rests=True)
        for name, rule in rules.items()
        if rule
    )
