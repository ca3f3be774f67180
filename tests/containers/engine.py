"""A Docker engine for one command: the one that runs, else one of our own, made and ended here.

    python -m tests.containers.engine COMMAND...     run it, with DOCKER_HOST and PATH set for it
    python -m tests.containers.engine --check        say in one line whether that can be done

An engine of our own is Debian's `docker.io`, unpacked into the cache like every other program; the
system gets nothing installed. It runs in namespaces of its own for network, mounts and processes:
its bridges, its packet filter (Docker sets FORWARD to DROP) and its kernel settings exist only in
there, so the command runs in there too; and the kernel ends whatever is left with the namespace's
first process. There is no network in there but the engine's: images come from `compose/images`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from myha.errors import MyhaError
from myha.hosts.signals import handled
from myha.sandbox import programs
from myha.waiting import wait_until

CANNOT = 3  # exit status where there is no engine and none can be made
START_DEADLINE_SECONDS = 60.0
END_DEADLINE_SECONDS = 30.0
_HELPERS = (
    "docker",
    "dockerd",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "docker-proxy",
    "docker-init",
)
# The C library has to be the one of the loader that starts the program: the machine's.
_OF_LIBC = ("ld-linux", "libc.", "libm.", "libpthread", "librt.", "libdl.", "libresolv", "libnss")
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def answers(environment: dict[str, str] | None = None) -> bool:
    """Whether an engine answers."""
    try:
        done = subprocess.run(
            ("docker", "version", "--format", "{{.Server.Version}}"),
            capture_output=True,
            env=environment,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def why_not() -> str:
    """Why no engine of our own can be started; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return (
            "no Docker engine answers, and only root can start one: start it, or run this as root"
        )
    if not shutil.which("unshare"):
        return "no Docker engine answers, and there is no unshare (util-linux) to start one with"
    if not _namespaces_are_permitted():
        return "no Docker engine answers, and namespaces for one of our own are not permitted here"
    try:
        for name in ("docker", "docker-compose"):
            programs.fetch(name, lambda text: print(text, file=sys.stderr))  # noqa: T201
    except MyhaError as error:
        return f"no Docker engine answers, and none can be fetched: {error}"
    return ""


def _namespaces_are_permitted() -> bool:
    words = ("unshare", "--net", "--mount", "--pid", "--fork", "true")
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _compose_plugin(config: Path) -> None:
    """`docker compose` by what was fetched, with its own loader."""
    found = programs.fetch("docker-compose")
    plugins = config / "cli-plugins"
    plugins.mkdir(parents=True)
    script = plugins / "docker-compose"
    words = " ".join(f"'{word}'" for word in found.argv)
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)


def _links(prefix: Path, work: Path) -> dict[str, str]:
    """Folders with the engine's programs and libraries alone; returns the environment for them."""
    usr = prefix / "usr"
    binaries, libraries = work / "bin", work / "lib"
    binaries.mkdir()
    libraries.mkdir()
    for name in _HELPERS:
        found = next(p for d in ("sbin", "bin") if (p := usr / d / name).exists())
        (binaries / name).symlink_to(found)
    folder = next(d for d in sorted(usr.glob("lib/*-linux-gnu*")) if d.is_dir())
    for library in folder.glob("*.so*"):
        if not library.name.startswith(_OF_LIBC):
            (libraries / library.name).symlink_to(library)
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": str(libraries),
        "XTABLES_LIBDIR": str(folder / "xtables"),
    }
    for kind in ("nft", "legacy"):
        multi = usr / "sbin" / f"xtables-{kind}-multi"
        if _filters(multi, environment):
            for name in ("iptables", "ip6tables"):
                for suffix in ("", "-save", "-restore"):
                    (binaries / f"{name}{suffix}").symlink_to(multi)
            break
    return environment


def _filters(multi: Path, environment: dict[str, str]) -> bool:
    tried = subprocess.run(
        (multi, "iptables", "-t", "nat", "-L", "-n"),
        capture_output=True,
        env=environment,
        check=False,
    )
    return tried.returncode == 0


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        request = struct.pack("16sH14s", b"lo", flags | _IFF_UP, b"")
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


@contextmanager
def _engine(prefix: Path, work: Path) -> Iterator[dict[str, str]]:
    """dockerd, for the block; yields the environment in which `docker` finds it."""
    environment = _links(prefix, work)
    address = f"unix://{work}/docker.sock"
    with (work / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            (
                work / "bin" / "dockerd",
                f"--host={address}",
                f"--data-root={work}/data",
                f"--exec-root={work}/run",
                f"--pidfile={work}/dockerd.pid",
                f"--cgroup-parent=/{work.name}",
                "--bridge=none",
                "--live-restore=false",
                "--log-level=warn",
            ),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is the command's; the engine ends after it
        )
    mine = {
        **os.environ,
        "DOCKER_HOST": address,
        "DOCKER_CONFIG": str(work / "config"),
        "PATH": f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{work / 'bin'}",
    }
    try:
        up = wait_until(
            lambda: daemon.poll() is not None or answers(mine), START_DEADLINE_SECONDS, 0.2
        )
        if not up or daemon.poll() is not None:
            lines = (work / "dockerd.log").read_text(errors="replace").strip().splitlines()
            raise MyhaError(f"dockerd does not start: {lines[-1] if lines else 'no reason given'}")
        yield mine
    finally:
        daemon.terminate()
        try:
            daemon.wait(END_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _inside(work: Path, prefix: Path, command: list[str]) -> int:
    """The first process of the namespaces."""
    _loopback_up()
    with _engine(prefix, work) as environment:
        return subprocess.run(command, env=environment, check=False).returncode


def _die_with_parent() -> None:
    """Run in the child: whatever happens to us, the namespaces and all in them end too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _outside(command: list[str]) -> int:
    """Make the namespaces, run there, and remove what the engine has left on the disk."""
    prefix = programs.fetch("docker").prefix
    assert prefix is not None
    work = Path(tempfile.mkdtemp(prefix="myha-docker-"))
    # Ctrl-C is the command's to answer; SIGTERM ends all.
    with handled((signal.SIGINT,), signal.SIG_IGN), handled((signal.SIGTERM,), _end):
        try:
            _compose_plugin(work / "config")
            words = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
            again = (sys.executable, "-m", "tests.containers.engine", "--inside", work, prefix)
            with subprocess.Popen(
                (*words, "--mount-proc", *again, *command),
                preexec_fn=_die_with_parent,  # noqa: PLW1509  there are no threads
            ) as inside:
                try:
                    return inside.wait()
                finally:
                    inside.kill()
        finally:
            shutil.rmtree(work, ignore_errors=True)
            _remove_cgroups(work.name)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _remove_cgroups(name: str) -> None:
    for top in (Path("/sys/fs/cgroup") / name, *Path("/sys/fs/cgroup").glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                return


def main(words: list[str]) -> int:
    if words[:1] == ["--inside"]:
        return _inside(Path(words[1]), Path(words[2]), words[3:])
    if not words:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    there = answers()
    problem = "" if there else why_not()
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
        return CANNOT
    if words == ["--check"]:
        return 0
    if there:
        os.execvp(words[0], words)
    return _outside(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
