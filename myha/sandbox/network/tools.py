"""The machine's programs that make namespaces and rules: ip, nft, nsenter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from myha.errors import MyhaError
from myha.hosts.commands import output_of
from myha.progress import Tell
from myha.sandbox import programs

CALL_SECONDS = 20.0


def need(progress: Tell) -> None:
    """Find or fetch all of them. Raises MyhaError where a network cannot be had."""
    if os.geteuid() != 0:
        raise MyhaError("--network needs root, for network namespaces: run it with sudo")
    nsenter()
    for name in ("iproute2", "nftables"):
        programs.fetch(name, progress)


def nsenter() -> str:
    found = shutil.which("nsenter", path=f"{os.environ.get('PATH', os.defpath)}:/usr/bin")
    if found is None:
        raise MyhaError("--network needs nsenter: install util-linux")
    return found


def ip(*words: str, lines: Sequence[str] = ()) -> str:
    """Run `ip`; `lines` are commands that it reads. Raises MyhaError with its own words."""
    batch = ("-batch", "-") if lines else ()
    return run((*programs.fetch("iproute2").argv, *words, *batch), "\n".join((*lines, "")))


def run(argv: Sequence[str], text: str = "") -> str:
    """Run one program on `text`; its output. Raises MyhaError with its own words."""
    try:
        return output_of(Path(argv[0]).name, argv, CALL_SECONDS, given=text)
    except MyhaError as error:
        raise MyhaError(
            f"the network of the sandbox cannot be changed: {error}"
            " (network namespaces, veth, bridges and nftables must be in the kernel)"
        ) from None
