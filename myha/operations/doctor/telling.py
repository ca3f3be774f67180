"""What the doctor says of who is told of events: channels, hooks, and a name that follows.

Nobody is told anything: a channel's URL is only read by what would send, and the name's server only
asked a question.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from myha.config import Config, HookConfig, NotifyConfig
from myha.config.dns import DnsConfig
from myha.errors import MyhaError
from myha.naming.dns import DnsName
from myha.notify.channel import understood
from myha.operations.setup.remarks import Remark

MARK = b"#!"  # before the name of a script's interpreter
LINE_BYTES = 256


def of_channel(name: str, channel: NotifyConfig) -> Iterator[Remark]:
    """A process reads the URL, which takes a second or so."""
    try:
        understood(channel.url().get_secret_value())
    except MyhaError as error:
        yield Remark(
            "notify-unusable",
            f"notify.{name}",
            str(error),
            f"correct {channel.url_file}, then run `myha notify test {name}`",
            "nobody is told through it of what happens",
        )


def of_hook(name: str, hook: HookConfig) -> Iterator[Remark]:
    if wrong := why_not_run(hook.command[0]):
        yield Remark(
            "hook-command-missing",
            f"hooks.{name}",
            f"its command {wrong}",
            f"correct hooks.{name}.command, or the file",
            "it is not run when something happens",
        )


def why_not_run(word: str) -> str:
    """Why this user cannot run that command; empty where it can."""
    found = shutil.which(word)
    if found is None:
        path = Path(word)
        if len(path.parts) == 1:
            return f"{word!r} is not in PATH"
        if path.is_file():
            return f"{word!r} may not be run by this user"
        return f"{word!r} is not there"
    line = b""
    with suppress(OSError), Path(found).open("rb") as file:  # a program may be run and not read
        line = file.readline(LINE_BYTES)
    words = line.removeprefix(MARK).split() if line.startswith(MARK) else []
    if words and not os.access(words[0], os.X_OK):
        return f"{word!r} is for {os.fsdecode(words[0])}, which is not there"
    return ""


def of_dns(config: DnsConfig, make: Callable[[DnsConfig], DnsName] = DnsName) -> Iterator[Remark]:
    wrong = ""
    if config.server:
        try:
            make(config).look()
        except MyhaError as error:
            wrong = str(error)
    elif config.name or config.zone:
        wrong = "dns.server is empty: no name is changed"
    if wrong:
        why = "after a change of writer clients that look the name up go on to the old one"
        yield Remark("dns-unusable", config.name or "[dns]", wrong, "correct [dns]", why)


def checks(config: Config) -> Iterator[tuple[str, Callable[[], Iterator[Remark]]]]:
    """Each with whom it is about; every one may take a while."""
    for name, channel in config.notify.items():
        yield f"notify.{name}", partial(of_channel, name, channel)
    for name, hook in config.hooks.items():
        yield f"hooks.{name}", partial(of_hook, name, hook)
    yield "[dns]", partial(of_dns, config.dns)
