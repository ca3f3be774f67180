"""`myha conflicts`: the live reader of write conflicts in the foreground."""

from __future__ import annotations

import json
import signal
import sys
import time
from types import FrameType

import click

from myha.cli.pairs import of_a_pair, pair_config
from myha.conflicts.watch import Watch
from myha.permit import Permit
from myha.progress import Progress

STATUS_EVERY_SECONDS = 1.0


class _Printer:
    """Events as lines on standard output, the state as one line on a terminal's standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.permit = Permit()
        self._said_at = 0.0
        self._status_shown = False
        self._terminal = sys.stderr.isatty()

    def end(self, number: int, _frame: FrameType | None = None) -> None:
        self.permit.withdraw(f"by {signal.Signals(number).name}")

    def event(self, kind: str, text: str, **fields: str) -> None:
        self._clear()
        if self._as_json:
            click.echo(json.dumps({"event": kind, "text": text, "at": time.time(), **fields}))
            return
        click.echo(f"{time.strftime('%H:%M:%S')}  {kind}: {text}")
        if "first_before" in fields:
            for side in ("first", "second"):
                click.echo(f"          {_images(side, fields)}")

    def progress(self, now: Progress) -> None:
        at = time.monotonic()
        if self._as_json or not self._terminal or at - self._said_at < STATUS_EVERY_SECONDS:
            return
        self._said_at = at
        self._clear()
        text = f"{now.rate or 0:,.0f} rows/s, {now.done:,.0f} rows, {now.text}"
        click.echo(text, err=True, nl=False)
        self._status_shown = True

    def _clear(self) -> None:
        if self._status_shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._status_shown = False

    def close(self) -> None:
        self._clear()


def _images(side: str, fields: dict[str, str]) -> str:
    before = json.loads(fields[f"{side}_before"])
    after = json.loads(fields[f"{side}_after"])
    node = fields[f"{side}_node"]
    if not before or not after:
        what = "inserted" if after else "deleted"
        return f"{node} {what} {_row(after or before)}"
    changed = {name for name in after if after[name] != before.get(name)}
    was = ", ".join(f"{name}={before[name]}" for name in before if name in changed)
    now = ", ".join(f"{name}={after[name]}" for name in after if name in changed)
    return f"{node} changed {was or _row(before)} to {now or 'the same'}"


def _row(values: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


@click.group()
def conflicts() -> None:
    """Conflicting writes of the two nodes."""


@conflicts.command()
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this many seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, the summary last.")
@of_a_pair
@click.pass_context
def watch(ctx: click.Context, seconds: float | None, as_json: bool) -> None:
    """Read both binary logs and print conflicts as they happen, until Ctrl-C.

    A conflict: both nodes changed the same row or unique key before either had received the
    other's change. Exit status 1 when there was one.
    """
    printer = _Printer(as_json=as_json)
    watcher = Watch(pair_config(ctx), printer)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, printer.end)
    begun = time.monotonic()
    watcher.run(seconds)
    printer.close()
    if as_json:
        click.echo(json.dumps({"summary": watcher.metrics()}))
    else:
        for line in _summary(watcher, time.monotonic() - begun):
            click.echo(line)
    ctx.exit(1 if watcher.findings.conflicts else 0)


def _summary(watcher: Watch, seconds: float) -> list[str]:
    metrics = watcher.metrics()
    lines = [f"{metrics['rows']:,} row changes in {seconds:.1f} s: {watcher.summary()}"]
    lines += [f"  {count} on {table}" for table, count in metrics["conflicts_by_table"].items()]
    lines += [
        f"  not compared ({reason}): {count} changes of {table or 'unnamed tables'}"
        for reason, tables in metrics["out_of_reach"].items()
        for table, count in tables.items()
    ]
    if metrics["given_up"]:
        lines.append(f"  {metrics['given_up']} transactions were dropped: memory limit reached")
    for name, node in metrics["nodes"].items():
        if node["unseen"]:
            lines.append(f"  {node['unseen']} transactions of {name} were purged before reading")
    return lines
