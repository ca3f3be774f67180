"""The administrator's own command that fences a node from outside."""

from __future__ import annotations

import subprocess

from myha.errors import MyhaError


class CommandFence:
    """Implements `myha.ports.OutsideFence` by each node's fence_command; status 0 is success."""

    def __init__(self, commands: dict[str, tuple[str, ...]]) -> None:
        self._commands = commands

    def fence(self, node: str, deadline_seconds: float) -> None:
        command = self._commands.get(node)
        if not command:
            raise MyhaError(f"nodes.{node} has no fence_command")
        try:
            done = subprocess.run(
                command, timeout=deadline_seconds, capture_output=True, check=False
            )
        except subprocess.TimeoutExpired:
            raise MyhaError(f"the fence_command of {node} did not end in time") from None
        except OSError as error:
            raise MyhaError(f"the fence_command of {node} cannot be run: {error}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise MyhaError(
                f"the fence_command of {node} failed with {done.returncode}: {' '.join(said)}"
            )
