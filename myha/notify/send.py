"""Sends one message, and ends: `python -m myha.notify.send`, one JSON object on standard input.
With a URL alone, and no message, it only says whether Apprise understands it.

A process for each message, since a name server or a mail server that hangs can then be ended for
certain. It prints nothing when the message was taken, and otherwise why not, with status 1; never
the URL or a part of it that may be secret.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import apprise

from myha.hosts.priority import set_niceness
from myha.words import one_line

NICENESS = 5  # a failover's processes go first
SECRET_CHARS = 4  # shorter parts of a URL would be found everywhere


class AppriseWarnings(logging.Handler):
    """The last that Apprise warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(one_line(record.getMessage()))


def main() -> int:
    set_niceness(max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    order = json.load(sys.stdin)
    url = order["url"]
    if "body" in order:
        failure = deliver(url, order["title"], order["body"], order["type"])
    else:
        failure = understood(url)
    if failure:
        sys.stdout.write(failure)
    return 1 if failure else 0


def deliver(url: str, title: str, body: str, kind: str) -> str:
    """Why the message was not taken; empty when it was."""

    def send(channel: apprise.Apprise) -> bool:
        return bool(
            channel.notify(
                body=body,
                title=title,
                notify_type=apprise.NotifyType(kind),
                body_format=apprise.NotifyFormat.TEXT,
            )
        )

    return _done(url, send)


def understood(url: str) -> str:
    """Why no message could be sent; empty where one could."""
    return _done(url, lambda _channel: True)


def _done(url: str, what: Callable[[apprise.Apprise], bool]) -> str:
    """Why it cannot be done with the channel of that URL; empty when it was."""
    said, logger = AppriseWarnings(), logging.getLogger("apprise")
    logger.addHandler(said)
    logger.propagate = False
    try:
        channel = apprise.Apprise(asset=apprise.AppriseAsset(app_id="myha", app_desc="myha"))
        if not channel.add(url):
            return "its URL is none that Apprise knows"
        taken = what(channel)
    except Exception as error:  # noqa: BLE001  # a plugin's, whatever it is: the message is not sent
        return hidden(f"{type(error).__name__}: {error}", url)
    finally:
        logger.removeHandler(said)
    if taken:
        return ""
    return hidden("; ".join(said.lines[-2:]) or "not taken", url)


def hidden(text: str, url: str) -> str:
    """The text without what the URL has beside its host."""
    split = urlsplit(url)
    parts = {url, split.path, split.query, split.username or "", split.password or ""}
    parts |= {piece for part in list(parts) for piece in re.split(r"[/?&=;,:]", part)}
    parts |= {unquote(part) for part in parts}
    parts -= {split.hostname or "", split.scheme, f"{split.scheme}://{split.netloc}"}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SECRET_CHARS:
            text = text.replace(part, "***")
    return text


if __name__ == "__main__":
    sys.exit(main())
