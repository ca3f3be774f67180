"""A relay of TCP connections in a process of its own: stopped by a signal, it is a cut cable.

What is connected stays so, nothing gets through, and who connects anew hears nothing: neither end
is told, as with a network that has gone.
"""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress


class Relay:
    """From a port of its own to one on this machine. `cut` and `mend` as often as wanted."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.real.relay", str(port)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cut(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _serve(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)  # noqa: T201
        while True:
            here, _ = server.accept()
            try:
                there = socket.create_connection(("127.0.0.1", port))
            except OSError:
                here.close()
                continue
            for pair in ((here, there), (there, here)):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
