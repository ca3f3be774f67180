"""Which pair a command is for: the only one of the configuration, or the one that --pair names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from myha.cli.completion import pairs
from myha.config import Config, load

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])
_KEY = "pair"


def _keep(ctx: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    ctx.ensure_object(dict)
    ctx.obj[_KEY] = name
    return name


def of_a_pair(command: AnyCommand) -> AnyCommand:
    """Give a command the option --pair; `pair_config` then loads that pair's configuration."""
    option = click.option(
        "--pair",
        metavar="NAME",
        shell_complete=pairs,
        expose_value=False,
        callback=_keep,
        help="Which pair; needed only where the configuration has several.",
    )
    return option(command)


def pair_named(ctx: click.Context) -> str | None:
    """The name that was given, if any."""
    name: str | None = ctx.obj.get(_KEY)
    return name


def pair_config(ctx: click.Context) -> Config:
    """The configuration of the pair that the command is for. Raises ConfigError."""
    return load(ctx.obj["config_path"], pair_named(ctx))
