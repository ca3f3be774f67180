"""`myha completion`, and the names that a shell completes. No server and no supervisor is asked.

The scripts are ours and not click's: its own cut what a word means at the first comma (fish), and
lose `--to=` of `--to=NODE`, or complete nothing after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what lets a shell complete the words of myha's commands.

    \b
    bash: eval "$(myha completion bash)" in ~/.bashrc
    zsh:  eval "$(myha completion zsh)" in ~/.zshrc, after compinit
    fish: myha completion fish > ~/.config/fish/completions/myha.fish

    Names of nodes, balancers and pairs are those of the configuration.
    """
    click.echo(files("myha.cli").joinpath(f"shells/myha.{shell}").read_text(), nl=False)


def nodes(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The nodes and read replicas of the pair, or of all pairs."""
    return _named(ctx, incomplete, "nodes", "replicas")


def pair_nodes(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The two nodes alone."""
    return _named(ctx, incomplete, "nodes")


def balancers(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return _named(ctx, incomplete, "balancers")


def pairs(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in sorted(_documents(ctx)) if name and name.startswith(incomplete)]


def _named(ctx: click.Context, incomplete: str, *tables: str) -> list[str]:
    pair = (ctx.obj or {}).get("pair")
    found = {
        name
        for one, document in _documents(ctx).items()
        if pair is None or one == pair
        for table in tables
        for name in _names(document.get(table))
    }
    return sorted(name for name in found if name.startswith(incomplete))


def _names(table: object) -> Iterator[str]:
    if isinstance(table, dict):
        yield from map(str, table)


def _documents(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """What the file says of each pair; nothing where it cannot be read: this is no place to say so.

    A configuration that is only half written completes what it has.
    """
    from myha.config import DEFAULT_PATHS  # noqa: PLC0415  # brings much with it
    from myha.config.load import documents_now  # noqa: PLC0415
    from myha.errors import ConfigError  # noqa: PLC0415

    path: Path | None = ctx.find_root().params.get("config_path")
    if path is None:
        path = next((one for one in DEFAULT_PATHS if one.exists()), DEFAULT_PATHS[0])
    with suppress(ConfigError, OSError):
        return documents_now(path.expanduser().absolute())
    return {}
