"""What is cut between hosts: rules in the switch, which drop frames and tell nobody.

A dropped frame is what a cut cable, a dead switch port and a firewall that drops have in common:
no reset, no refusal, and connections that are open stay open on both sides. All rules are in one
chain in the switch's namespace, so one flush undoes them all, whoever made them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from myha.errors import MyhaError
from myha.hosts.signals import ignored
from myha.sandbox import programs
from myha.sandbox.network import tools
from myha.sandbox.network.layout import LINKS, Link
from myha.sandbox.network.namespaces import SWITCH, Namespaces

_CHAIN = "bridge myha cuts"


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing gets from any of `sources` to any of `targets`, on all links or on one.

    With `port` only what goes to this TCP port is lost.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    link: Link | None = None
    port: int = 0


def both_ways(one: Iterable[str], other: Iterable[str]) -> tuple[Cut, Cut]:
    """Nothing gets from either group to the other."""
    first, second = tuple(one), tuple(other)
    return Cut(first, second), Cut(second, first)


class Faults:
    """The one place that knows what is cut in a sandbox's network."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._cut_at: float | None = None
        self._words = (*namespaces.words(SWITCH), *programs.fetch("nftables").argv)

    def prepare(self) -> None:
        """Make the chain; once, when the switch is new."""
        self._nft(
            "add table bridge myha\n"
            f"add chain {_CHAIN} {{ type filter hook forward priority 0; policy accept; }}"
        )

    def cut(self, cuts: Sequence[Cut]) -> None:
        """These, and no others, are in force when it returns: all of them in the same moment."""
        rules = [rule for cut in cuts for rule in self._rules(cut)]
        self._nft("\n".join((f"flush chain {_CHAIN}", *rules)))
        if self._cut_at is None:
            self._cut_at = time.monotonic()

    def heal(self) -> float:
        """Nothing is cut any more; for how many seconds this object knows that something was."""
        self._nft(f"flush chain {_CHAIN}")
        since, self._cut_at = self._cut_at, None
        return 0.0 if since is None else time.monotonic() - since

    def in_force(self) -> list[str]:
        """The rules, as nft shows them."""
        lines = self._nft("", "list", "chain", *_CHAIN.split()).splitlines()
        return [line.strip() for line in lines if "drop" in line]

    @contextmanager
    def cutting(self, cuts: Sequence[Cut]) -> Iterator[None]:
        """Cut during the block, and not after it, however it ends."""
        try:
            self.cut(cuts)
            yield
        finally:
            with ignored():
                self.heal()

    def _rules(self, cut: Cut) -> Iterator[str]:
        for link in LINKS if cut.link is None else (cut.link,):
            sources, targets = self._ports(cut.sources, link), self._ports(cut.targets, link)
            if sources and targets:
                what = f" tcp dport {cut.port}" if cut.port else ""
                yield (
                    f"add rule {_CHAIN} iifname {{ {sources} }} oifname {{ {targets} }}{what} drop"
                )

    def _ports(self, names: Iterable[str], link: Link) -> str:
        """The switch's ports of these hosts on one link, as nft writes a set."""
        hosts = self._namespaces.hosts
        unknown = [name for name in names if name not in hosts]
        if unknown:
            raise MyhaError(f"there is no host {unknown[0]!r}: choose from {', '.join(hosts)}")
        plans = (hosts[name] for name in names)
        return ", ".join(f'"{host.port(link)}"' for host in plans if link in host.links)

    def _nft(self, text: str, *words: str) -> str:
        return tools.run((*self._words, *(words or ("-f", "-"))), text)
