"""`myha check`: one line and an exit status for Nagios, Icinga, and whatever else runs its plugins.

As the Monitoring Plugins Development Guidelines have it: exit status 0 to 3, one line of text, and
performance data behind a bar.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType
from typing import Any

import click

from myha.cli.pairs import of_a_pair, pair_named
from myha.cli.ranges import Range, RangeType
from myha.config import Config, load, load_all
from myha.core.events import Kind, severity_of
from myha.core.node import Contact
from myha.core.policy import Mode
from myha.core.severity import Severity
from myha.errors import MyhaError, SupervisorInLineError
from myha.hosts.signals import handled
from myha.stores.factory import read_record
from myha.supervisor.client import Client
from myha.supervisor.status import SeenNodeStatus, Status
from myha.words import one_line

TIMEOUT_SECONDS = 10.0
PAIRS_SHOWN = 5


class State(IntEnum):
    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# What is said of several is the worst of them. Nobody writing is worse than nobody knowing.
_BADNESS = (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """For the lag of a node or replica, in seconds."""

    warning: Range | None = None
    critical: Range | None = None

    def state(self, seconds: float) -> State:
        if self.critical is not None and self.critical.alerts(seconds):
            return State.CRITICAL
        if self.warning is not None and self.warning.alerts(seconds):
            return State.WARNING
        return State.OK

    def __str__(self) -> str:
        """As performance data has them."""
        return ";".join("" if one is None else one.text for one in (self.warning, self.critical))


@dataclass(frozen=True, slots=True)
class Checked:
    """One pair. `data` is its performance data."""

    name: str
    state: State
    text: str
    data: tuple[str, ...] = ()


def judge(seen: Status, thresholds: Thresholds) -> Checked:
    """What the supervisor's word means to a monitor."""
    found = [*_of_pair(seen), *_of_replicas(seen), *_of_lag(seen, thresholds)]
    state = worst(one for one, _ in found) if found else State.OK
    whole = f"{seen.verdict}, writer {seen.writer}, {seen.sync}"
    texts = [text for one, text in found if one is state] if found else [whole]
    data = (*_lag_data(seen, thresholds), *_counts(seen))
    return Checked(seen.name, state, "; ".join(dict.fromkeys(texts)), data)


def worst(states: Iterator[State] | tuple[State, ...]) -> State:
    return max(states, key=_BADNESS.index, default=State.OK)


def _of_pair(seen: Status) -> Iterator[tuple[State, str]]:
    if seen.lease_failure:
        yield State.UNKNOWN, f"the supervisor may not act: {seen.lease_failure}"
    if not seen.healthy:
        sentence = f"{seen.verdict}: {seen.sentence}"
        doing = f" (under way: {seen.running})" if seen.running else ""
        refused = "".join(f" (refused: {one.reason})" for one in seen.refusals)
        yield _state(seen), sentence + doing + refused
    for failure in seen.own_failures:
        yield State.WARNING, failure


def _state(seen: Status) -> State:
    """Of a pair that is not healthy: as grave as its verdict, and graver where nobody writes."""
    severity = severity_of(Kind.VERDICT, {"verdict": seen.verdict})
    whole = severity is not Severity.CRITICAL and takes_writes(seen)
    return State.WARNING if whole else State.CRITICAL


def takes_writes(seen: Status) -> bool:
    """Whether the writer on record, or with two writers either, is seen to be open."""
    nodes = seen.nodes.items()
    writers = [one for name, one in nodes if seen.mode is Mode.DUAL_WRITER or name == seen.writer]
    return any(
        isinstance(one, SeenNodeStatus)
        and one.contact is Contact.ANSWERING
        and one.open
        and not one.writes_stalled_seconds
        for one in writers
    )


def _of_replicas(seen: Status) -> Iterator[tuple[State, str]]:
    for name, one in seen.replicas.items():
        if not one.healthy:
            yield State.WARNING, f"{name}: {one.verdict}: {one.sentence}"


def _lags(seen: Status) -> Iterator[tuple[str, float]]:
    """Of each that replicates, as far as it is known."""
    for name, one in (*seen.nodes.items(), *seen.replicas.items()):
        replicates = seen.mode is Mode.DUAL_WRITER or name != seen.writer
        if replicates and isinstance(one, SeenNodeStatus) and one.lag_seconds is not None:
            yield name, one.lag_seconds


def _of_lag(seen: Status, thresholds: Thresholds) -> Iterator[tuple[State, str]]:
    for name, seconds in _lags(seen):
        state = thresholds.state(seconds)
        if state is not State.OK:
            yield state, f"{name} lags {seconds:.2f} s behind"


def _lag_data(seen: Status, thresholds: Thresholds) -> Iterator[str]:
    for name, seconds in _lags(seen):
        yield f"'{name}_lag'={seconds:.3f}s;{thresholds};0"


def _counts(seen: Status) -> Iterator[str]:
    for name, one in (*seen.nodes.items(), *seen.replicas.items()):
        if isinstance(one, SeenNodeStatus):
            yield f"'{name}_sessions'={one.sessions};;;0"
    if seen.epoch is not None:
        yield f"epoch={seen.epoch}c"


def line_of(checked: list[Checked]) -> tuple[State, str]:
    """The exit status and the line, without line breaks and with one bar."""
    state = worst(one.state for one in checked)
    data = [one for pair in checked for one in pair.data]
    if len(checked) == 1:
        text = f"{checked[0].name}: {checked[0].text}"
    else:
        text = _summary(checked)
        data = [_of(pair.name, one) for pair in checked for one in pair.data]
    said = one_line(text.replace("|", "/"))
    return state, f"MYHA {state.name} - {said}" + (f" | {' '.join(data)}" if data else "")


def _summary(checked: list[Checked]) -> str:
    ill = sorted(
        (one for one in checked if one.state is not State.OK),
        key=lambda one: (-_BADNESS.index(one.state), one.name),
    )
    if not ill:
        return f"{len(checked)} pairs, all healthy"
    texts = [f"{one.name}: {one.text}" for one in ill[:PAIRS_SHOWN]]
    more = len(ill) - PAIRS_SHOWN
    texts += [f"and {more} more"] if more > 0 else []
    return f"{len(ill)} of {len(checked)} pairs not healthy: {'; '.join(texts)}"


def _of(pair: str, datum: str) -> str:
    """Performance data of one among many pairs: `'shop/db2_lag'=...`."""
    label, _, rest = datum.partition("=")
    return f"'{pair}/{label.strip(chr(39))}'={rest}"


class _Expired(Exception):  # noqa: N818  # no error: the answer is UNKNOWN
    """The time that the monitor gives is over."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise _Expired

    with handled((signal.SIGALRM,), expire):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


class WrongCall(click.UsageError):
    """2 would be taken for a pair that is lost."""

    exit_code = State.UNKNOWN


class Plugin(click.Command):
    """A wrong call of it is UNKNOWN."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            raise WrongCall(error.format_message(), error.ctx) from None


@click.command(cls=Plugin)
@click.option(
    "-w",
    "--warning",
    type=RangeType(),
    metavar="RANGE",
    help="WARNING when a lag in seconds is outside this range: 10, 10:, ~:10, 5:10, @5:10. "
    "Default: lag.out_seconds.",
)
@click.option(
    "-c",
    "--critical",
    type=RangeType(),
    metavar="RANGE",
    help="CRITICAL when a lag in seconds is outside this range. Default: none is.",
)
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0.1, 600),
    metavar="SECONDS",
    default=TIMEOUT_SECONDS,
    show_default=True,
    help="Give up after this time, with UNKNOWN.",
)
@of_a_pair
@click.pass_context
def check(
    ctx: click.Context, *, warning: Range | None, critical: Range | None, timeout: float
) -> None:
    """Check the pair, or all pairs, for a monitoring system.

    A plugin as Nagios and Icinga run them: one line with performance data, and exit status 0 (OK),
    1 (WARNING: the writer takes writes, and something is not as it should be), 2 (CRITICAL: the
    writer takes no writes, or a lag is beyond --critical), 3 (UNKNOWN: the supervisor cannot be
    asked).
    """
    try:
        with _within(timeout):
            configs = _configs(ctx)
            checked = [_checked(one, warning, critical) for one in configs]
    except _Expired:
        state, line = line_of_failure(f"no answer within {timeout:g} s")
    except MyhaError as error:
        state, line = line_of_failure(str(error))
    else:
        state, line = line_of(checked)
    click.echo(line)
    ctx.exit(state)


def line_of_failure(why: str) -> tuple[State, str]:
    return State.UNKNOWN, f"MYHA UNKNOWN - {' '.join(why.replace('|', '/').split())}"


def _configs(ctx: click.Context) -> list[Config]:
    path, name = ctx.obj["config_path"], pair_named(ctx)
    if name is not None:
        return [load(path, name)]
    pairs = list(load_all(path).pairs.values())
    if not pairs:
        raise MyhaError(f"{path}: has no pair yet")
    return pairs


def _checked(config: Config, warning: Range | None, critical: Range | None) -> Checked:
    """A supervisor that cannot be asked for one pair says nothing of the others."""
    if warning is None:
        limit = config.lag.out_seconds
        warning = Range(f"{limit:g}", end=limit)
    try:
        return judge(Client(config).status(), Thresholds(warning, critical))
    except SupervisorInLineError as error:
        return _in_line(config, error)
    except MyhaError as error:
        return Checked(config.cluster.name, State.UNKNOWN, str(error))


def _in_line(config: Config, in_line: SupervisorInLineError) -> Checked:
    """One that stands by is as it should be, where it can read the record and would steer the same
    balancers: what the pair is like, the one that acts says."""
    try:
        record = read_record(config)
    except MyhaError as error:
        return Checked(config.cluster.name, State.UNKNOWN, f"{in_line}: {error}")
    data = () if record is None else (f"epoch={record.epoch}c",)
    state = State.WARNING if in_line.other_balancers else State.OK
    return Checked(config.cluster.name, state, str(in_line), data)
