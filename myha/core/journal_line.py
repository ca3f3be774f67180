"""What is in the journal and what is to be: values, and how each looks as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from myha.core.events import Kind, kind_of, severity_of
from myha.core.severity import Severity
from myha.core.values import value

_OF_ALL = ("id", "at", "wall", "kind", "text")


@value(frozen=True, slots=True)
class Line:
    """What was seen or done. `at` is the monotonic clock of whoever noted it, in seconds, `wall` in
    seconds since the epoch. `fields` is what lines of its kind have besides: docs/events.md. A kind
    that is none here is another version's.

    As JSON, the fields stand beside the rest.
    """

    id: int
    at: float
    wall: float
    kind: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """As it was noted; of a line that is older than severities, by its kind."""
        noted = self.fields.get("severity", "")
        known = noted in set(Severity)
        return Severity(noted) if known else severity_of(kind_of(self.kind), self.fields)

    @property
    def node(self) -> str:
        """What it is about; empty where that is the pair."""
        return self.fields.get("node", "")

    @property
    def verdict(self) -> str:
        return self.fields.get("verdict", "")

    @property
    def plan(self) -> str:
        """The kind of the plan that it is of; empty for none."""
        return self.fields.get("plan", "")

    @property
    def epoch(self) -> str:
        return self.fields.get("epoch", "")

    @property
    def step(self) -> str:
        return self.fields.get("step", "")

    @property
    def beside(self) -> bool:
        """Whether the step went on beside those that followed."""
        return self.fields.get("beside") == "yes"

    @property
    def took_ms(self) -> float | None:
        """How long the step took, where that is known."""
        took = self.fields.get("took_ms")
        return None if took is None else float(took)

    @property
    def job(self) -> str:
        return self.fields.get("job", "")

    @property
    def life(self) -> str:
        """That a supervisor has begun, or has ended by itself."""
        return self.fields.get("life", "")

    @property
    def pid(self) -> str:
        """The process of that supervisor."""
        return self.fields.get("pid", "")

    def as_json(self) -> dict[str, Any]:
        every = {name: getattr(self, name) for name in _OF_ALL}
        return {**self.fields, "severity": str(self.severity), **every}

    @staticmethod
    def of_json(raw: Mapping[str, Any]) -> Line:
        """The opposite. Raises ValueError for what is no line."""
        try:
            number, at, wall = int(raw["id"]), float(raw["at"]), float(raw["wall"])
            kind, text = str(raw["kind"]), str(raw["text"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{raw!r:.200} is no line of a journal: {error!r}") from None
        fields = {name: str(value) for name, value in raw.items() if name not in _OF_ALL}
        return Line(number, at, wall, kind, text, fields)


@value(frozen=True, slots=True)
class Note:
    """What one process has another one note: a line that has no place and no time yet."""

    kind: Kind
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"kind": str(self.kind), "text": self.text, "fields": dict(self.fields)}

    @staticmethod
    def of_json(raw: Mapping[str, Any]) -> Note:
        """The opposite; what is missing is empty."""
        fields = {str(name): str(value) for name, value in dict(raw.get("fields") or {}).items()}
        return Note(kind_of(str(raw.get("kind"))), str(raw.get("text", "")), fields)
