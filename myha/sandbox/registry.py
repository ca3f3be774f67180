"""Which sandboxes this user has, and which ports they hold.

Ports are claimed for a sandbox's whole life, not only while its servers run: a server that is
killed and started again must find its port free. They come from below the kernel's range for
outgoing connections, which could otherwise take them meanwhile.
"""

import json
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from myha.errors import MyhaError
from myha.files import locked, replacing

FIRST_PORT, LAST_PORT = 20000, 32000
TRIES = 2000
LOCK_DEADLINE_SECONDS = 60.0  # it is held for milliseconds
STATE_FILE = "cluster.json"  # in a sandbox's directory; without it there is no sandbox


def sandbox_dir() -> Path:
    """Where sandboxes live that were given no directory: the user's state directory."""
    return Path(platformdirs.user_state_dir("myha")) / "sandbox"


def sandboxes() -> list[Path]:
    """The directories of all sandboxes of this user, oldest first."""
    with _registry() as claims:
        return [Path(directory) for directory in claims]


def claim(
    directory: Path | None, count: int, write: Callable[[Path, list[int]], None]
) -> tuple[Path, list[int]]:
    """Give a new sandbox `count` free ports, and a fresh default directory if it has none.

    `write` puts the sandbox's state file into the directory, while nobody else can claim it. Raises
    MyhaError when the directory already holds a sandbox or no ports are free.
    """
    with _registry() as claims:
        if directory is None:
            numbers = range(1, len(claims) + 1000)
            paths = (sandbox_dir() / f"default-{number}" for number in numbers)
            directory = next(path for path in paths if not path.exists())
        if str(directory) in claims:
            raise MyhaError(
                f"{directory} holds a sandbox: `myha sandbox down --dir {directory}` ends it"
            )
        ports = _free_ports(count, {port for ports in claims.values() for port in ports})
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(directory, ports)
        claims[str(directory)] = ports
    return directory, ports


def release(directory: Path) -> None:
    """Forget a sandbox and its ports."""
    with _registry() as claims:
        claims.pop(str(directory), None)


def _free_ports(count: int, taken: set[int]) -> list[int]:
    found: list[int] = []
    for _ in range(TRIES):
        if len(found) == count:
            return found
        port = random.randint(FIRST_PORT, LAST_PORT)
        if port in taken or port in found or not _bindable(port):
            continue
        found.append(port)
    raise MyhaError(f"no {count} free ports between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def _registry() -> Iterator[dict[str, list[int]]]:
    """The registry under its lock; what the caller changed is written when it leaves."""
    path = sandbox_dir() / "registry.json"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock"), wait_seconds=LOCK_DEADLINE_SECONDS):
            known = json.loads(path.read_text()) if path.exists() else {}
            claims = {d: ports for d, ports in known.items() if (Path(d) / STATE_FILE).exists()}
            yield claims
            if claims != known:
                with replacing(path) as file:
                    file.write(f"{json.dumps(claims, indent=1)}\n".encode())
    except (OSError, ValueError) as error:
        raise MyhaError(f"cannot keep the list of sandboxes in {path}: {error}") from error
