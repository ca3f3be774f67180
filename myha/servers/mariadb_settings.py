"""MariaDB: the settings and the channel of a server as they are, to be compared with setup's.

There is no SET PERSIST, and the option files are out of the supervisor's sight. What they lack
shows in one way: a variable has a wrong value that nobody has set since the server started.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from myha.core.settings import (
    ChannelOptions,
    Difference,
    Kind,
    Setting,
    When,
    own_domain,
    setting_differences,
)
from myha.database.flavours.mariadb import channel_options
from myha.database.session import Session

SKIPS = "SELECT @@GLOBAL.replicate_events_marked_for_skip"
_SKIPS_NONE = "REPLICATE"
_FILTERS = (
    "Replicate_Do_DB",
    "Replicate_Ignore_DB",
    "Replicate_Do_Table",
    "Replicate_Ignore_Table",
    "Replicate_Wild_Do_Table",
    "Replicate_Wild_Ignore_Table",
    "Replicate_Rewrite_DB",
    "Replicate_Do_Domain_Ids",
    "Replicate_Ignore_Domain_Ids",
    "Replicate_Ignore_Server_Ids",
)


def values(wanted: tuple[Setting, ...], session: Session) -> dict[str, str]:
    """The values that count now; a variable that only counts at boot is not to be seen."""
    names = [one.variable for one in wanted if one.when is not When.AT_BOOT]
    names += ["gtid_domain_id", "server_id"]
    listed = ", ".join(f"@@GLOBAL.{name}" for name in names)
    rows = session.query(f"SELECT {listed}")
    return {name: str(value) for name, value in zip(names, rows[0], strict=True)}


def differences(
    wanted: tuple[Setting, ...], now: dict[str, str], peers_domain: int
) -> tuple[Difference, ...]:
    """What differs now. A GTID domain is right that is the node's own."""
    domain = own_domain(int(now["gtid_domain_id"]), [peers_domain], int(now["server_id"]))
    wanted = tuple(
        replace(one, value=str(domain)) if one.variable == "gtid_domain_id" else one
        for one in wanted
    )
    return setting_differences(wanted, now, None, supervised=True)


def lacks(found: tuple[Difference, ...], file: str, session: Session) -> tuple[Difference, ...]:
    """Those that are what the server began with, so that they will be so after every restart."""
    listed = ", ".join(f"'{one.name}'" for one in found)
    rows = session.query(
        "SELECT VARIABLE_NAME FROM information_schema.SYSTEM_VARIABLES"
        f" WHERE VARIABLE_NAME IN ({listed}) AND GLOBAL_VALUE_ORIGIN <> 'SQL'"
    )
    unset = {str(name).lower() for (name,) in rows}
    where = f"its option file (setup's part of it is {file})" if file else "its option file"
    return tuple(
        replace(one, kind=Kind.AT_BOOT, by_hand=f"put {one.name} = {one.wanted} into {where}")
        for one in found
        if one.name in unset
    )


def options(status: dict[str, Any] | None) -> ChannelOptions | None:
    """The default channel's options; None without a source."""
    if status is None:
        return None
    return ChannelOptions(**channel_options(status))


def filters(status: dict[str, Any] | None, skips: str) -> dict[str, str]:
    """Each filter that is in force."""
    found = {} if status is None else {name: str(status.get(name) or "") for name in _FILTERS}
    if skips != _SKIPS_NONE:
        found["replicate_events_marked_for_skip"] = skips
    return {name: rule for name, rule in found.items() if rule}
