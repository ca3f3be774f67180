"""For every test: what is started here, whoever started pytest; and in which order tests run.

A job in the background of a script, cron, or a CI may have SIGINT ignored, and what is ignored is
inherited by every process that is started: Ctrl-C could not be tested there. Where Python is told
to keep no bytecode, each of the many programs that are started would compile all of myha again.

With more than one worker the files that take longest begin first, so that all workers end at about
the same time, and tests that share a module's fixture run on one worker, which makes it once.
"""

import os
import signal
import sys
from collections.abc import Generator

import hypothesis
import pytest

from myha.database.flavours import FLAVOURS
from tests import leftovers

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long one example takes says something of the machine only.
hypothesis.settings.register_profile("myha", deadline=None)
hypothesis.settings.load_profile("myha")

LONGEST_FIRST = (
    "test_drill",
    "test_divergence",
    "test_heal",
    "test_reseed",
    "test_daemon",
    "test_verify",
    "test_setup",
    "test_settings",
    "test_heal_bad_input",
    "test_conflict_keys",
    "test_bad_input",
    "test_merge",
    "test_events",
    "test_servers",
    "test_conflicts",
    "test_histories",
    "test_quarantine",
)


def pytest_configure(config: pytest.Config) -> None:
    """Before the workers are begun, which have the run's name from here."""
    leftovers.name_run(config)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """All workers have ended."""
    if not hasattr(config, "workerinput"):
        for line in leftovers.end_sandboxes(leftovers.name_run(config)):
            sys.stderr.write(f"{line}\n")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only in a worker of pytest-xdist, whose own hook then reads the groups."""
    if not hasattr(config, "workerinput"):
        return
    ranks: dict[str, tuple[int, int]] = {}
    groups: dict[pytest.Item, str] = {}
    for number, item in enumerate(items):
        group = groups[item] = _group(item)
        ranks.setdefault(group, (_rank(item), number))
    items.sort(key=lambda item: ranks[groups[item]])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Text that is no Unicode, as fuzzing makes it, would end the worker that reports it."""
    report = yield
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        try:
            report.longreprtext.encode()
        except UnicodeEncodeError:
            report.longrepr = report.longreprtext.encode(errors="backslashreplace").decode()
    return report


def _rank(item: pytest.Item) -> int:
    """The longest files, then what else needs real servers, then the rest."""
    file = item.path.stem
    if file in LONGEST_FIRST:
        return LONGEST_FIRST.index(file)
    return len(LONGEST_FIRST) + (item.get_closest_marker("real") is None)


def _group(item: pytest.Item) -> str:
    """The name of the group that the item runs with; its own id when it runs with no other."""
    mark = item.get_closest_marker("xdist_group")
    if mark is not None:
        return str(mark.args[0])
    if item.get_closest_marker("real") is None or not _shares_servers(item):
        return item.nodeid
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec is not None else ()
    flavours = [value for value in values if isinstance(value, str) and value in FLAVOURS]
    name = "-".join([item.path.stem, *flavours])
    item.add_marker(pytest.mark.xdist_group(name))
    return name


def _shares_servers(item: pytest.Item) -> bool:
    """Whether it uses a fixture that its own module makes once."""
    fixtures = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009  # not in its type
    return any(
        one.scope == "module" and one.baseid.endswith(item.path.name)
        for definitions in fixtures.values()
        for one in definitions
    )
