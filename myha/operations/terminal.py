"""Progress on a terminal: a bar with rate and time left, or plain lines where there is none."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from myha.permit import Permit
from myha.progress import Progress


class TerminalReporter:
    """A bar on a terminal, one line at each change of phase elsewhere. Use as a context."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(stderr=True) if console is None else console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rest]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID | None = None
        self._phase = ""
        self.permit = Permit()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def progress(self, now: Progress) -> None:
        self.line(now.phase, now.percent, now.line())

    def line(self, phase: str, percent: float | None, text: str) -> None:
        """`text` is all of it in words and begins with the phase."""
        if phase != self._phase and not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False)
        rest = escape(text.removeprefix(phase).lstrip(" ,"))
        total = None if percent is None else 100.0
        if self._task is None or phase != self._phase:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(escape(phase), total=total, rest=rest)
        self._bar.update(self._task, completed=percent or 0.0, total=total, rest=rest)
        self._phase = phase

    def event(self, kind: str, text: str, **fields: str) -> None:  # noqa: ARG002  # for programs
        self.console.print(f"{kind}: {text}", markup=False, highlight=False)
