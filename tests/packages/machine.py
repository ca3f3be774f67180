"""A bare Debian in a folder, and the same booted with systemd-nspawn on a network of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
COMMAND_SECONDS = 900.0
BOOT_SECONDS = 180.0
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_HOSTS_OWN = ("etc/resolv.conf", "etc/apt/apt.conf.d", _CERTIFICATES)  # to reach its mirrors
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _run(words: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, text=True, check=False, timeout=COMMAND_SECONDS, capture_output=True, **more
    )


class Image:
    """The folder."""

    def __init__(self, suite: str, root: Path) -> None:
        self.suite = suite
        self.root = root

    @classmethod
    @contextmanager
    def bootstrapped(cls, suite: str, folder: Path, *packages: str) -> Iterator[Self]:
        """Removed in the end, whatever happened."""
        one = cls(suite, folder / "root")
        include = ",".join(("systemd", "systemd-sysv", "ca-certificates", *packages))
        try:
            done = _run(
                [
                    *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}"),
                    *(suite, str(one.root), mirror()),
                ]
            )
            assert done.returncode == 0, done.stderr
            for name in _HOSTS_OWN:
                _take_along(name, one.root)
            yield one
        finally:
            shutil.rmtree(one.root, ignore_errors=True)

    def run(self, script: str) -> str:
        """What it prints, on the machine's own network; it is not booted."""
        done = _run(["chroot", str(self.root), "sh", "-euc", script], env=_environment())
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def install(self, *packages: Path | str) -> None:
        """Files, or names of Debian's packages."""
        names = [self.bring(one) if isinstance(one, Path) else one for one in packages]
        self.run(f"apt-get -q update && apt-get -q -y install {' '.join(names)}")

    def bring(self, file: Path) -> str:
        """Its path in there."""
        shutil.copy(file, self.root / "root" / file.name)
        return f"/root/{file.name}"

    @contextmanager
    def booted(self) -> Iterator[Machine]:
        words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"]
        log = (self.root.parent / "console").open("w")
        with (
            log,
            subprocess.Popen(
                [*words, "--boot", "--directory", str(self.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as nspawn,
        ):
            try:
                yield until(lambda: self._up(nspawn.pid), "the boot", BOOT_SECONDS)
            finally:
                nspawn.terminate()
                try:
                    nspawn.wait(60)
                except subprocess.TimeoutExpired:
                    nspawn.kill()

    def _up(self, nspawn: int) -> Machine | None:
        """Looked for anew each time: its first child only makes the init, and ends."""
        init = _child(nspawn)
        machine = None if init is None else Machine(self, init)
        return machine if machine is not None and machine.is_up() else None


class Machine:
    """Booted: what `run` runs, runs in there."""

    def __init__(self, image: Image, init: int) -> None:
        self.image = image
        self._init = init

    def is_up(self) -> bool:
        done = self.call("systemctl is-system-running")
        return done.stdout.strip() in {"running", "degraded"}

    def call(self, script: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", str(self._init), "--mount", "--uts", "--ipc", "--net"]
        script = f"cd / && {script}"
        shell = ["sh", "-c", script]
        if user != "root":
            shell = ["su", user, "-s", "/bin/sh", "-c", script]
        return _run([*enter, "--pid", "--root", *shell], env=_environment())

    def run(self, script: str, user: str = "root") -> str:
        """What it prints; it has to succeed."""
        done = self.call(script, user)
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        return self.run(f"systemctl show --property={name} --value {unit}").strip()


def _environment() -> dict[str, str]:
    return {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _child(pid: int) -> int | None:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = path.read_text().split() if path.exists() else []
    return int(children[0]) if children else None


def _take_along(name: str, root: Path) -> None:
    source = Path("/") / name
    if source.is_dir():
        shutil.copytree(source, root / name, dirs_exist_ok=True)
    elif source.exists():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).unlink(missing_ok=True)
        shutil.copy(source, root / name)


def mirror() -> str:
    """Where this machine has Debian's packages from."""
    folder = Path("/etc/apt")
    for path in (*folder.glob("sources.list"), *sorted(folder.glob("sources.list.d/*"))):
        for line in path.read_text().splitlines():
            found = re.match(r"(?:URIs:\s*|deb (?:\[.*\] )?)(\S+/debian)/?(?:\s|$)", line)
            if found:
                return found[1]
    return "http://deb.debian.org/debian"
