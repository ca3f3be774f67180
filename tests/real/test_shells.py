"""Shell completion, typed into the shells themselves: bash, and Debian's zsh and fish."""

from __future__ import annotations

from pathlib import Path

import pytest

from myha.cli.completion import SHELLS
from myha.sandbox.programs import Program
from tests.real.conftest import need
from tests.real.typed import typed
from tests.test_completion import TABLES
from tests.waiting import until

pytestmark = pytest.mark.real

LIST = {"bash": "\t\t", "zsh": "\t", "fish": "\t"}  # the keys that list what there is to choose
# What is typed, a tab after it, and what it has become.
COMPLETED = {
    "myha switchover --to=ri\t--no\t": "switchover --to=right --now",
    "myha --config=my\tunf\tre\t": "--config=myha.toml unfence reports",
    "myha --config my\tbal\tren\tl\t": "--config myha.toml balancer render lb1",
}
# What is typed, what is offered for it, and what is not.
OFFERED = {
    "myha fence ": (("left", "right", "reports"), ("lb1",)),
    "myha switchover --to=": (("left", "right"), ("reports",)),
    "myha s": (("setup", "status", "switchover", "sandbox"), ("fence",)),
}
# What is said beside a command where the shell has room for it, with the comma that is in it.
SAID = "A whole cluster on this machine, and the programs for it."


def shell_program(name: str) -> Program:
    if name == "bash":
        return Program("bash", ("/bin/bash",), "")
    return need(name)


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes(name: str, tmp_path: Path) -> None:
    with typed(shell_program(name), tmp_path, TABLES) as shell:
        for keys in COMPLETED:
            shell.keys(f"{keys}\n")
            shell.await_shown("ready> ")
        until(lambda: len(shell.carried_out()) >= len(COMPLETED), "all calls are carried out")
        assert dict(zip(COMPLETED, shell.carried_out(), strict=True)) == COMPLETED
        for keys, (words, others) in OFFERED.items():
            shell.keys(f"{keys}{LIST[name]}")
            shown = shell.await_shown(*words)
            assert not [one for one in others if one in shown], shown
            if keys == "myha s" and name != "bash":
                shell.await_shown(SAID)
            shell.keys("\x15true\n")
            shell.await_shown("ready> ")
