"""The namespaces themselves: made, entered, removed.

One holds the switch, which is nothing but bridges; each host has one more. A cable is a pair of
veth interfaces, one end in the switch. Nothing is put into the machine's own namespace. Names come
from the sandbox's directory, so that several sandboxes exist side by side and each removes its own,
even after whoever made them was killed.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from myha.errors import MyhaError
from myha.sandbox.network import tools
from myha.sandbox.network.layout import LINKS, PREFIX_BITS, HostPlan

FOLDER = Path("/run/netns")  # where `ip netns` keeps them
SWITCH = "switch"
_CLONE_NEWNET = 0x40000000


class Namespaces:
    """Those of one sandbox."""

    def __init__(self, directory: Path, hosts: Mapping[str, HostPlan]) -> None:
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]
        self._prefix = f"myha-{digest}-"
        self.hosts = hosts

    def name(self, host: str) -> str:
        return f"{self._prefix}{host}"

    def path(self, host: str) -> Path:
        return FOLDER / self.name(host)

    def words(self, host: str) -> tuple[str, ...]:
        """What a command line begins with that is to run on this host; it keeps its pid."""
        return (tools.nsenter(), f"--net={self.path(host)}", "--")

    def there(self) -> list[str]:
        """The names of all of this sandbox's that exist, the switch's last."""
        found = [path.name for path in FOLDER.glob(f"{self._prefix}*")]
        return sorted(found, key=lambda name: (name == self.name(SWITCH), name))

    def make(self) -> None:
        """Switch, hosts, cables. Raises MyhaError; `remove` takes away what there is by then."""
        for name in (SWITCH, *self.hosts):
            tools.ip("netns", "add", self.name(name))
        bridges = [
            line
            for link in LINKS
            for line in (
                f"link add {link.bridge} type bridge mcast_snooping 0",
                f"link set {link.bridge} up",
            )
        ]
        cables = [
            line
            for host in self.hosts.values()
            for link in host.links
            for line in (
                f"link add {host.port(link)} type veth"
                f" peer name {link.interface} address {host.hardware_address(link)}"
                f" netns {self.name(host.name)}",
                f"link set {host.port(link)} master {link.bridge} up",
            )
        ]
        tools.ip("-n", self.name(SWITCH), lines=[*bridges, *cables])
        for host in self.hosts.values():
            ends = [
                line
                for link in host.links
                for line in (
                    f"addr add {host.address(link)}/{PREFIX_BITS} dev {link.interface}",
                    f"link set {link.interface} up",
                )
            ]
            tools.ip("-n", self.name(host.name), lines=["link set lo up", *ends])

    def remove(self) -> None:
        """All that are there, whether there are all or not. Cables and rules go with them."""
        for name in self.there():
            tools.ip("netns", "del", name)

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """This thread, and threads and processes that it starts, are on that host in the block."""
        with _descriptor(Path("/proc/thread-self/ns/net")) as before:
            with _descriptor(self.path(host)) as there:
                _enter(there)
            try:
                yield
            finally:
                _enter(before)


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MyhaError(f"the network namespace {path} cannot be entered: {error}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(descriptor: int) -> None:
    """setns(2) for this thread; Python has it from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise MyhaError(f"the network namespace cannot be entered: {os.strerror(number)}")
