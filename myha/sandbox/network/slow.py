"""`python -m myha.sandbox.network.slow`: a slow and lossy link, in user space.

For kernels without netem, and with it too, so that there is one way. It runs in the switch's
namespace between ports of the switch, whose frames the bridge does not pass on meanwhile: each
frame that comes in at one of them leaves through the other one after a fixed time, or is lost. What
is held back are whole Ethernet frames, so TCP itself does the rest: retransmissions, windows,
handshakes. Frames keep their order. A frame here is what the sending host handed over, up to 64 KB
of one connection, since the cutting into packets is left to hardware that is not there. So of many
small packets as many are lost as on a real link, of a bulk transfer fewer.

The order comes as one JSON line on standard input, one more line is said when it works; the end of
the input is the order to stop.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
PACKET_VNET_HDR = 15  # a header before each frame: what of its checksum and cutting is still to do
ETH_P_ALL = 3
HEADER_BYTES = 10  # of that header
FRAME_LIMIT_BYTES = HEADER_BYTES + 14 + 65536
BROADCAST = b"\xff" * 6
READY = "ready"


@dataclass(frozen=True, slots=True)
class Order:
    """Each way as two ports of the switch and the hardware address of the host at its end; the
    delay on each, and the share of frames lost."""

    ways: list[tuple[str, str, str]]
    delay_seconds: float
    loss: float
    seed: int

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction: frames that come in here for that host, or for all, leave there."""

    source: socket.socket
    target: socket.socket
    address: bytes
    held: deque[tuple[float, bytes]]


class _Link:
    """All ways, until the input ends."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._random = random.Random(order.seed)
        self._all = [
            _Way(_port(source), _port(target, hears=False), _address(address), deque())
            for source, target, address in order.ways
        ]

    def run(self) -> None:
        poll = select.poll()
        poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
        by_descriptor = {way.source.fileno(): way for way in self._all}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self._pause_ms()):
                way = by_descriptor.get(descriptor)
                if way is None:
                    return
                self._take(way)
            self._let_go()

    def _pause_ms(self) -> float | None:
        due = min((way.held[0][0] for way in self._all if way.held), default=None)
        return None if due is None else max(0.0, 1000 * (due - time.monotonic()))

    def _take(self, way: _Way) -> None:
        while True:
            try:
                frame = way.source.recv(FRAME_LIMIT_BYTES)
            except BlockingIOError:
                return
            to = frame[HEADER_BYTES : HEADER_BYTES + len(way.address)]
            if to in (way.address, BROADCAST) and self._random.random() >= self._order.loss:
                way.held.append((time.monotonic() + self._order.delay_seconds, frame))

    def _let_go(self) -> None:
        now = time.monotonic()
        for way in self._all:
            while way.held and way.held[0][0] <= now:
                _, frame = way.held.popleft()
                try:
                    way.target.send(frame)
                except OSError:  # a full queue, or a port that is down: lost, as on any link
                    continue


def _address(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _port(name: str, *, hears: bool = True) -> socket.socket:
    """All frames that come in at a port of the switch; what is sent leaves there."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    made.bind((name, ETH_P_ALL if hears else 0))
    made.setblocking(False)
    return made


def main() -> None:
    order = Order(**json.loads(sys.stdin.readline()))
    link = _Link(order)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    link.run()


if __name__ == "__main__":
    main()
