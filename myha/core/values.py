"""How the values of the core are made: frozen, without what that costs at run time.

A frozen dataclass sets each of its fields through `object.__setattr__`: a look at a node or a view
of it takes three times as long to make as one that is not frozen, and every look makes several. So
frozen is what mypy sees, which takes `value` for the `dataclass` that it stands for and refuses
to assign to a field. At run time nothing is checked once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, **options: Any) -> Any:
        """As `dataclass(frozen=True)`, equality and hash included."""
        assert frozen, "what may change is a dataclass"
        return dataclass(unsafe_hash=True, **options)
