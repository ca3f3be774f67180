"""How values are made: frozen, without what that costs at run time.

A frozen dataclass sets each of its fields through `object.__setattr__`: a look at a node or a view
of it takes three times as long to make as one that is not frozen, and every look makes several. So
frozen is what mypy sees, which takes `value` for the `dataclass` that it stands for and refuses
to assign to a field. At run time nothing is checked once more.

A dataclass also has the source of its methods written and compiled, whether anybody calls them or
not: that was a third of the CPU time in which a supervisor or a job starts. A value's are compiled
at their first call, or by `compile_all` where a first call may not take longer than others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["compile_all", "value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value

    def compile_all() -> None:
        """The methods of all values that are known by now."""

else:
    from dataclasses import MISSING, dataclass, field, fields, make_dataclass

    _METHODS = ("__init__", "__repr__", "__eq__", "__hash__")
    _waiting: dict[type, list[str]] = {}

    def compile_all() -> None:
        for cls, written in list(_waiting.items()):
            _compile(cls, written)

    def value(*, frozen: bool, **options: Any) -> Any:
        """As `dataclass(frozen=True)`, equality and hash included."""
        assert frozen, "what may change is a dataclass"

        def make(cls: type) -> type:
            written = [name for name in _METHODS if name not in vars(cls)]
            made = dataclass(init=False, repr=False, eq=False, **options)(cls)
            _waiting[made] = written
            for name in written:
                setattr(made, name, _compiled_when_called(made, name, written))
            return made

        return make

    def _compiled_when_called(cls: type, name: str, written: list[str]) -> Any:
        def first(self: Any, *args: Any, **named: Any) -> Any:
            _compile(cls, written)
            return getattr(cls, name)(self, *args, **named)

        first.__name__ = name
        first.__qualname__ = f"{cls.__qualname__}.{name}"
        return first

    def _compile(cls: type, written: list[str]) -> None:
        """Give a class the methods that a dataclass with its fields has."""
        also = {"__post_init__": cls.__post_init__} if hasattr(cls, "__post_init__") else {}
        of_fields = [(one.name, one.type, _again(one)) for one in fields(cls)]
        twin = make_dataclass(cls.__name__, of_fields, namespace=also, unsafe_hash=True)
        for name in written:
            method = getattr(twin, name)
            method.__qualname__ = f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)
        _waiting.pop(cls, None)

    def _again(one: Any) -> Any:
        """A field as the class has it: a field belongs to one class."""
        options = {"init": one.init, "repr": one.repr, "hash": one.hash, "compare": one.compare}
        if one.default is not MISSING:
            options["default"] = one.default
        if one.default_factory is not MISSING:
            options["default_factory"] = one.default_factory
        return field(**options, kw_only=one.kw_only)
