"""Loading without the search for garbage, which goes on as it was afterwards."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator

import pytest

from myha.loading import loading

NEVER_NEEDED = "this"


@pytest.fixture
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_what_is_loaded_is_left_alone_and_garbage_is_looked_for_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sys.modules.pop(NEVER_NEEDED, None)
    before = gc.get_freeze_count()
    with loading():
        assert not gc.isenabled()
        importlib.import_module(NEVER_NEEDED)
    capsys.readouterr()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


def test_where_nothing_was_loaded_nothing_is_kept() -> None:
    before = gc.get_freeze_count()
    with loading():
        importlib.import_module("sys")
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_it_is_not_switched_on_where_it_was_off_and_a_failure_passes() -> None:
    gc.disable()
    try:
        with pytest.raises(ModuleNotFoundError), loading():
            importlib.import_module("myha.there_is_no_such_module")
        assert not gc.isenabled()
    finally:
        gc.enable()
