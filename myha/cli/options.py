"""Options and questions that several commands have in common."""

from __future__ import annotations

import sys

import click

from myha.errors import ConfigError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask before changing anything.")


def confirmed(command: str, *, yes: bool, only_show: str) -> bool:
    """Whether the plan just shown is to be carried out; asked, unless `yes`.

    `only_show` is the option that only shows it. Raises ConfigError where nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{command} asks before it changes anything: add --yes, or {only_show}")
    return click.confirm("Carry this plan out?", default=False)
