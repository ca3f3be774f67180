"""What a drill has the pair's supervisor note: whoever is woken by it finds it in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myha.core.events import Kind
from myha.core.journal_line import Note
from myha.errors import MyhaError
from myha.words import one_line

NOTE = "note-drill"
KINDS = (Kind.DRILL, Kind.DRILL_DONE, Kind.DRILL_FAILED)
FIELDS_LIMIT, FIELD_LIMIT = 40, 4000  # fields of a note, characters of each


def drill_note(request: Mapping[str, Any]) -> Note:
    """The event that a request of the control socket wants noted.

    Raises MyhaError for one that is none of a drill's.
    """
    kind, text, fields = (request.get(key) for key in ("kind", "text", "fields"))
    if kind not in KINDS:
        raise MyhaError(f"kind has to be one of {', '.join(KINDS)}, and is {kind!r}")
    if not isinstance(text, str) or not text:
        raise MyhaError(f"text has to be a sentence, and is {text!r}")
    if not isinstance(fields, dict) or not all(isinstance(one, str) for one in fields.values()):
        raise MyhaError("fields have to be texts by their names")
    if len(fields) > FIELDS_LIMIT or any(len(one) > FIELD_LIMIT for one in fields.values()):
        raise MyhaError(f"fields are at most {FIELDS_LIMIT}, each of {FIELD_LIMIT} characters")
    return Note(Kind(kind), one_line(text), fields)
