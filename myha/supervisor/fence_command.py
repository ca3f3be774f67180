"""The administrator's own command that fences a node from outside."""

from __future__ import annotations

from myha.errors import MyhaError
from myha.hosts.commands import run_to_end


class CommandFence:
    """Implements `myha.ports.OutsideFence` by each node's fence_command; status 0 is success."""

    def __init__(self, commands: dict[str, tuple[str, ...]]) -> None:
        self._commands = commands

    def fence(self, node: str, deadline_seconds: float) -> None:
        command = self._commands.get(node)
        if not command:
            raise MyhaError(f"nodes.{node} has no fence_command")
        name = f"the fence_command of {node}"
        run_to_end(name, command, deadline_seconds, whole_group=True)
