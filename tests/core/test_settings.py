"""What counts as a difference from what setup made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.settings import (
    ChannelOptions,
    Kind,
    Setting,
    When,
    channel_differences,
    filter_differences,
    setting_differences,
)

IMAGE = Setting("binlog_row_image", "FULL")
OFFSET = Setting("auto_increment_offset", "2", always_persisted=True)
SCHEDULER = Setting("event_scheduler", "OFF", always_persisted=True)
CLOSED = Setting("read_only", "ON", When.AT_BOOT)
WAITS = Setting("wait_no_replica", "ON", supervisors=True)
CHANNEL = ChannelOptions(
    source="db1:3306",
    user="repl",
    by_gtid=True,
    retry_seconds=1,
    heartbeat_seconds=0.5,
    delay_seconds=0,
    tls=True,
    retry_count=9,
    public_key=True,
)


@pytest.mark.parametrize(
    ("setting", "now", "persisted", "configured", "said"),
    [
        (IMAGE, "FULL", {"binlog_row_image": "FULL"}, (), []),
        (IMAGE, "MINIMAL", None, (), ["binlog_row_image is MINIMAL, not FULL"]),
        # To set it now sets it for then.
        (IMAGE, "MINIMAL", {}, (), ["binlog_row_image is MINIMAL, not FULL"]),
        (IMAGE, "FULL", {}, (), ["binlog_row_image is not set at boot, not FULL"]),
        (IMAGE, "FULL", {}, ("binlog_row_image",), []),
        (IMAGE, "FULL", {"binlog_row_image": "NOBLOB"}, ("binlog_row_image",), ["NOBLOB at boot"]),
        (OFFSET, "2", {}, ("auto_increment_offset",), ["not set at boot"]),
        (SCHEDULER, "OFF", {}, ("event_scheduler",), ["not set at boot"]),
        (SCHEDULER, "DISABLED", {}, (), []),
        (CLOSED, "0", {"read_only": "ON"}, (), []),
        (CLOSED, "1", {}, ("read_only",), ["read_only is not set at boot, not ON"]),
        (CLOSED, "1", {"read_only": "0"}, (), ["read_only is OFF at boot, not ON"]),
        (CLOSED, "0", None, (), []),
        (WAITS, "0", {"wait_no_replica": "1"}, (), []),
        (WAITS, "0", {}, (), ["wait_no_replica is not set at boot"]),
    ],
)
def test_settings(
    setting: Setting,
    now: str,
    persisted: dict[str, str] | None,
    configured: tuple[str, ...],
    said: list[str],
) -> None:
    values = {setting.variable: now}
    found = setting_differences((setting,), values, persisted, configured, supervised=True)
    assert len(found) == len(said)
    assert all(words in str(one) for one, words in zip(found, said, strict=True))


def test_setup_has_its_say_in_what_is_the_supervisors_later() -> None:
    (one,) = setting_differences((WAITS,), {"wait_no_replica": "OFF"}, None)
    assert (one.kind, one.found) == (Kind.SETTING, "OFF")


def test_a_variable_that_is_not_there() -> None:
    (one,) = setting_differences((IMAGE,), {}, None)
    assert str(one) == "binlog_row_image is not set, not FULL"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"user": "joe"}, "the source's user is joe, not repl"),
        ({"by_gtid": False}, "replication by GTID is off, not on"),
        ({"delay_seconds": 60}, "the delay is 60 s, not 0 s"),
        ({"heartbeat_seconds": 0.5001}, ""),
        ({"heartbeat_seconds": 30.0}, "the heartbeat period is 30 s, not 0.5 s"),
        ({"retry_count": None, "public_key": None}, ""),  # the flavour has no such option
        ({"source": "db9:3306"}, "the source is db9:3306, not db1:3306"),
    ],
)
def test_the_channel(changes: dict[str, object], said: str) -> None:
    found = channel_differences(replace(CHANNEL, **changes), CHANNEL)  # type: ignore[arg-type]
    assert ", ".join(map(str, found)) == said
    assert all(one.rests for one in found)


def test_tls_counts_only_where_it_is_known_what_both_offer() -> None:
    assert channel_differences(CHANNEL, replace(CHANNEL, tls=None)) == ()
    assert channel_differences(CHANNEL, replace(CHANNEL, tls=False)) != ()


def test_every_filter_is_a_difference() -> None:
    (one,) = filter_differences({"Replicate_Do_DB": "", "Replicate_Ignore_DB": "app"})
    assert str(one) == "replicate_ignore_db is app"
