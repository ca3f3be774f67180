"""MySQL: the settings and the channel of a server as they are, to be compared with setup's."""

from __future__ import annotations

from dataclasses import replace

from myha.core.settings import ChannelOptions, Difference, Kind, Setting, setting_differences
from myha.database.codes import UNKNOWN_VARIABLE
from myha.database.flavours.mysql import CHANNEL_OPTIONS, CHANNELS, channel_options
from myha.database.session import Session
from myha.errors import ServerError

# Of the filters a look reads only how many there are.
FILTERS = (
    "(SELECT COUNT(*) FROM performance_schema.replication_applier_filters WHERE FILTER_RULE <> '')"
)
_FILTER_RULES = (
    "SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_filters"
    " WHERE CHANNEL_NAME = '' AND FILTER_RULE <> ''"
)
_CHANNEL = f"SELECT {CHANNEL_OPTIONS} {CHANNELS} WHERE CHANNEL_NAME = ''"


class SettingsReader:
    """What differs now or at boot. Where a value comes from costs more to ask than the value, so
    that it is asked only when one has changed."""

    def __init__(self) -> None:
        self._known: tuple[dict[str, str], dict[str, str]] | None = None
        self._found: tuple[Difference, ...] = ()

    def forget(self) -> None:
        self._known = None

    def differences(self, wanted: tuple[Setting, ...], session: Session) -> tuple[Difference, ...]:
        names = [one.variable for one in wanted]
        values = _values(names, session)
        persisted = _named("persisted_variables", "VARIABLE_VALUE", names, session)
        if self._known != (values, persisted):
            sources = _named("variables_info", "VARIABLE_SOURCE", names, session)
            configured = {name for name, source in sources.items() if source not in _SET_SINCE}
            found = setting_differences(wanted, values, persisted, configured, supervised=True)
            self._found = tuple(_with_plugin(one, values) for one in found)
            self._known = (values, persisted)
        return (*self._found, *_half_closed(session))


def _with_plugin(one: Difference, values: dict[str, str]) -> Difference:
    gone = one.kind is Kind.SETTING and one.name not in values
    return replace(one, by_hand=_PLUGIN_GONE) if gone else one


_PLUGIN_GONE = "its plugin is not there: stop the supervisor, run `myha setup`, start it again"
_SET_SINCE = ("DYNAMIC", "PERSISTED")


# Whoever lifts super-read-only for a moment holds the lock as long as its session lives.
_HALF_CLOSED = (
    "SELECT @@GLOBAL.read_only AND NOT @@GLOBAL.super_read_only AND IS_FREE_LOCK('myha.lift')"
)


def _half_closed(session: Session) -> tuple[Difference, ...]:
    """Read-only, but not for administrators: left so by one who died with super-read-only lifted,
    or set by hand."""
    if not int(session.value(_HALF_CLOSED) or 0):
        return ()
    return (Difference(Kind.SETTING, "super_read_only", "OFF", "ON"),)


def _values(names: list[str], session: Session) -> dict[str, str]:
    """Each value that there is: the table of all of them costs more than asking for a few."""
    listed = ", ".join(f"@@GLOBAL.{name}" for name in names)
    try:
        rows = session.query(f"SELECT {listed}")
    except ServerError as error:
        if error.code != UNKNOWN_VARIABLE:
            raise
        return _named("global_variables", "VARIABLE_VALUE", names, session)
    return {name: str(value) for name, value in zip(names, rows[0], strict=True)}


def _named(table: str, column: str, names: list[str], session: Session) -> dict[str, str]:
    listed = ", ".join(f"'{name}'" for name in names)
    rows = session.query(
        f"SELECT VARIABLE_NAME, {column} FROM performance_schema.{table}"
        f" WHERE VARIABLE_NAME IN ({listed})"
    )
    return {str(name).lower(): str(value) for name, value in rows}


def channel(session: Session) -> tuple[ChannelOptions | None, dict[str, str]]:
    """The default channel's options, None without a source, and the filters in force."""
    rows = session.query_named(_CHANNEL)
    rules = session.query(_FILTER_RULES)
    filters = {str(name): str(rule) for name, rule in rules}
    if not rows or not rows[0]["HOST"]:
        return None, filters
    return ChannelOptions(**channel_options(rows[0])), filters
