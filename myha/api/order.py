"""What the supervisor's process tells the one that answers HTTP: one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myha.config import ApiConfig, Config, load_ordered

TOKENS_FILE = "api.tokens"


@dataclass(frozen=True, slots=True)
class Order:
    """`sources`: whom to ask for news over the control socket. `trial`: nothing is to be answered,
    only whether it could be, beside the process that listens at `own_port` (0: none does)."""

    parent: int
    control: Path
    sources: tuple[str, ...]
    state_dir: Path
    api: ApiConfig
    pairs: Mapping[str, Config]
    trial: bool = False
    own_port: int = 0

    @property
    def tokens_file(self) -> Path:
        return tokens_file(self.api, self.state_dir)


def order_of(data: Mapping[str, Any]) -> Order:
    """Raises MyhaError when it cannot be understood."""
    return Order(
        parent=int(data["parent"]),
        control=Path(str(data["control"])),
        sources=tuple(str(one) for one in data["sources"]),
        state_dir=Path(str(data["state_dir"])),
        api=ApiConfig.model_validate(data["api"], strict=False),
        pairs={str(name): load_ordered(order) for name, order in data["pairs"].items()},
        trial=bool(data.get("trial")),
        own_port=int(data.get("own_port") or 0),
    )


def tokens_file(api: ApiConfig, state_dir: Path) -> Path:
    """Where the tokens are."""
    return api.tokens_file or state_dir / TOKENS_FILE
