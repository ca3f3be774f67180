"""One look at a node: its errant transactions and its applier's error, as text or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from myha.config import Config
from myha.errors import ConfigError, MyhaError
from myha.operations.divergence.errant import ErrantLook, InspectedNode, look_for_errant
from myha.operations.divergence.failures import applier_failure
from myha.operations.divergence.replication_error import ReplicationErrorReport, explained
from myha.operations.divergence.transaction_listing import (
    Head,
    Item,
    Tail,
    decoders_of,
    errant_items,
)
from myha.operations.log_in import connector, flavour_at
from myha.progress import Tell
from myha.stores.factory import read_record

DEADLINE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Names:
    """Who is looked at, and who is taken for right. Equal names: the node is the writer."""

    node: str
    writer: str
    peer: str


def names_for(config: Config, node: str, writer: str | None) -> Names:
    """`writer` by default the one on record. Raises ConfigError for a node that is not there."""
    for name in filter(None, (node, writer)):
        if name not in config.nodes:
            raise ConfigError(f"there is no node {name!r}: the nodes are {', '.join(config.nodes)}")
    if writer is None:
        record = read_record(config)
        if record is None:
            raise MyhaError(
                f"{config.cluster.state_dir} does not say which node is the writer: name it with"
                " --writer, or run `myha setup` first"
            )
        writer = record.writer
    return Names(node, writer, next(name for name in config.nodes if name != node))


class Divergence:
    """What a look at one node finds. Use it in a `with` statement."""

    def __init__(self, config: Config, names: Names) -> None:
        self.names = names
        account = config.accounts.supervisor()
        flavour = flavour_at(config, names.node, account)
        other = names.peer if names.node == names.writer else names.writer
        self._node = InspectedNode(
            connector(config, names.node, account), flavour, DEADLINE_SECONDS
        )
        try:
            self._other = InspectedNode(
                connector(config, other, account), flavour, DEADLINE_SECONDS
            )
        except BaseException:
            self._node.close()
            raise
        self.look: ErrantLook | None = None
        self.error: ReplicationErrorReport | None = None

    def __enter__(self) -> Divergence:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.close()
        self._other.close()

    @property
    def diverged(self) -> bool:
        return self.error is not None or (self.look is not None and self.look.diverged)

    def find(self) -> None:
        """Compare histories, unless the node is the writer, and explain the applier's error."""
        failure = applier_failure(self._node)
        compared = look_for_errant(self._node, self._other)
        if self.names.node != self.names.writer:
            self.look = compared
        if failure is not None:
            self.error = explained(self._node, self._other, failure, compared, self.names.node)

    def tell(self, tell: Tell, limit: int) -> None:
        """Tell it line by line; of changes and statements at most `limit`, 0 for all."""
        node, writer = self.names.node, self.names.writer
        if self.look is None:
            tell(f"{node} is the writer: it cannot have errant transactions")
        elif self.look.errant.is_empty():
            tell(f"{node} has no transaction that {writer} lacks")
        else:
            many, them = self.look.errant.count(), self.look.errant
            if self.look.on_its_way:
                tell(f"{node} has {many} {_transactions(many)} on the way to {writer}: {them}")
            else:
                tell(f"{node} has {many} errant {_transactions(many)}, not on {writer}: {them}")
            self._show_transactions(tell, limit)
        if self.error is None:
            tell(f"the applier of {node} has no error")
        else:
            tell(f"the applier of {node} has stopped")
            for line in self.error.lines():
                tell(f"  {line}")

    def _show_transactions(self, tell: Tell, limit: int) -> None:
        assert self.look is not None
        items = _Limited(errant_items(self._node, self.look, decoders_of(self._node)), limit)
        try:
            for item in items:
                for line in item.lines():
                    tell(f"  {line}")
        except MyhaError as error:
            tell(f"  their changes cannot be shown: {error}")
        if items.more_changes or items.more_transactions:
            tell(
                f"  and {items.more_changes} more changes, {items.more_transactions} more"
                f" {_transactions(items.more_transactions)}: --limit 0 shows all"
            )

    def as_json(self, limit: int) -> dict[str, Any]:
        """The same for programs; `limit` as in `tell`."""
        errant: dict[str, Any] | None = None
        if self.look is not None:
            errant = {
                "set": str(self.look.errant),
                "count": self.look.errant.count(),
                "on_its_way": self.look.on_its_way,
                **(self._transactions(limit) if not self.look.errant.is_empty() else {}),
            }
        return {
            "node": self.names.node,
            "writer": self.names.writer,
            "diverged": self.diverged,
            "errant": errant,
            "replication_error": None if self.error is None else self.error.as_json(),
        }

    def _transactions(self, limit: int) -> dict[str, Any]:
        assert self.look is not None
        found: list[dict[str, Any]] = []
        items = _Limited(errant_items(self._node, self.look, decoders_of(self._node)), limit)
        unreadable = ""
        try:
            for item in items:
                if isinstance(item, Head):
                    found.append({**asdict(item), "changes": []})
                elif isinstance(item, Tail):
                    found[-1]["tables"] = item.as_json()
                else:
                    found[-1]["changes"].append(item.as_json())
        except MyhaError as error:
            unreadable = str(error)
        return {
            "transactions": found,
            "unreadable": unreadable,
            "more_changes": items.more_changes,
            "more_transactions": items.more_transactions,
        }


class _Limited:
    """The first so many changes, with their transactions; the rest is counted."""

    def __init__(self, items: Iterable[Item], limit: int) -> None:
        self._items = items
        self._limit = limit
        self._shown = 0
        self.more_changes = 0
        self.more_transactions = 0

    def __iter__(self) -> Iterator[Item]:
        begun = False  # the present transaction was begun within the limit
        for item in self._items:
            within = not self._limit or self._shown < self._limit
            if isinstance(item, Head):
                begun = within
                self.more_transactions += not within
            elif isinstance(item, Tail):
                within = begun
            else:
                self._shown += within
                self.more_changes += not within
            if within:
                yield item


def _transactions(number: int) -> str:
    return "transaction" if number == 1 else "transactions"
