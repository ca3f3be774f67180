"""Texts as they stand in one sentence."""

from __future__ import annotations

from myha.words import SHORT_CHARS, counted, listed, one_line, shortened


def test_what_others_say_is_put_on_one_line() -> None:
    assert one_line(ValueError("near\n  'x'\tat  line 2\n")) == "near 'x' at line 2"


def test_of_many_names_some_are_listed_in_their_order() -> None:
    assert listed(("b", "a")) == "a, b"
    assert listed(range(5), shown=3) == "0, 1, 2 and 2 more"
    assert not listed(())


def test_one_is_counted_as_one_and_a_long_text_is_cut() -> None:
    assert [counted(number, "table") for number in (0, 1, 2)] == ["0 tables", "1 table", "2 tables"]
    text = "x" * SHORT_CHARS
    assert shortened(text) == text
    assert shortened(f"{text}y") == f"{text}..."
