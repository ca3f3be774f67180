"""What is decided by comparing the versions of two servers."""

from __future__ import annotations

import pytest

from myha.database import versions
from myha.database.flavours import MARIADB, MYSQL


def test_what_a_distribution_adds_is_no_part_of_the_numbers() -> None:
    assert versions.numbers("10.11.19-MariaDB-ubu2204-log") == (10, 11, 19)
    assert versions.numbers("8.0.36-28.1") == (8, 0, 36)
    assert versions.series("8.4.0") == (8, 4)


def test_what_setup_asks_for_is_named_only_where_a_server_is_older() -> None:
    assert versions.too_old(MYSQL, "8.0.25") == "8.0.26"
    assert not versions.too_old(MYSQL, "8.0.26-17")
    assert versions.too_old(MARIADB, "10.6.20-MariaDB") == "10.11"
    assert not versions.too_old(MARIADB, "10.11.0-MariaDB")


def test_one_major_version_is_not_far_apart() -> None:
    assert versions.far_apart("8.4.0", "10.11.19-MariaDB")
    assert not versions.far_apart("8.4.0", "9.7.4")
    assert not versions.far_apart("", "9.7.4"), "nothing is known of it"


def test_an_older_patch_is_of_the_same_series() -> None:
    assert versions.older("8.0.44", "8.4.0")
    assert not versions.older("8.4.0", "8.4.7")


@pytest.mark.parametrize(
    ("donor", "recipient", "can"),
    [
        ("8.0.36", "8.0.36", True),
        ("8.0.35", "8.0.36", False),
        ("8.0.36", "8.0.37", False),
        ("8.0.37", "8.0.36", False),
        ("8.0.37", "8.0.44", True),
        ("8.4.0", "8.4.7-log", True),
        ("8.4.7", "9.7.4", False),
    ],
)
def test_a_clone_is_between_two_of_one_series_from_8_0_37_on(
    donor: str, recipient: str, *, can: bool
) -> None:
    assert versions.can_clone(donor, recipient) is can
