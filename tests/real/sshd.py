"""A real sshd on this machine, for one user and one key, as another host's shell for tests."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from myha.sandbox.cluster import Cluster
from myha.sandbox.programs import Program

DEADLINE_SECONDS = 60.0
# A service manager's two commands, for a server of a sandbox.
SERVICE = """
import sys
from pathlib import Path
from myha.sandbox.cluster import Cluster
server = Cluster.open(Path(sys.argv[1])).servers[sys.argv[2]]
getattr(server, sys.argv[3])(60)
"""
# Started by root it wants a user and a folder of its own: they are there for it alone.
_AS_ROOT = """mount --bind "$1" /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd &&
shift && exec "$@"
"""


class Sshd:
    """Its keys and settings lie in `folder`. Skips the test where it cannot be started."""

    def __init__(self, program: Program, folder: Path) -> None:
        self._folder = folder
        self._client = program.companion("ssh") or ("ssh",)
        for name in ("host", "user", "other"):
            maker = program.companion("ssh-keygen") or ("ssh-keygen",)
            path = str(folder / name)
            subprocess.run([*maker, "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name, key in (("known", "host"), ("mistaken", "other")):
            words = (folder / f"{key}.pub").read_text().split()[:2]
            (folder / name).write_text(f"[127.0.0.1]:{self.port} {' '.join(words)}\n")
        self._process = self._start(program)

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self._folder / "host",
            "AuthorizedKeysFile": self._folder / "user.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PidFile": "none",
        }
        path = self._folder / "sshd_config"
        path.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        # -r: it does not start itself anew by its name, as the prefix's loader is not the system's.
        command = [*program.argv, "-D", "-e", "-r", "-f", str(path)]
        if os.geteuid() == 0:
            users = self._folder / "passwd"
            root = f"root:x:0:0::{Path.home()}:/bin/sh"  # not what a person's login does besides
            users.write_text(f"{root}\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
            command = ["sh", "-c", _AS_ROOT, "sh", str(users), *command]
            command = ["unshare", "--mount", "--propagation", "private", *command]
        log = self._folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        ends = time.monotonic() + DEADLINE_SECONDS
        while "Server listening" not in log.read_text():
            if process.poll() is not None or time.monotonic() > ends:
                process.kill()
                process.wait()
                pytest.skip(f"no sshd can be started here: {log.read_text()[-200:]}")
            time.sleep(0.02)
        return process

    def words(self, *, key: str = "user", known: str = "known", port: int = 0) -> list[str]:
        """How a script gets there, as `nodes.X.shell` has it."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "1",
            "UserKnownHostsFile": self._folder / known,
            "IdentityFile": self._folder / key,
            "IdentitiesOnly": "yes",
        }
        words = [*self._client, "-F", "none", "-p", str(port or self.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return [*words, f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_SECONDS)


def command_lines(*parts: str) -> list[str]:
    """What runs on this machine with all of these in its command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        line = " ".join(word.decode(errors="replace") for word in words)
        if all(part in line for part in parts):
            found.append(line)
    return found


def remote_config(cluster: Cluster, name: str, shells: dict[str, list[str]]) -> Path:
    """A sandbox's configuration with these ways to its hosts: `name`.toml beside it."""
    lines = []
    node = ""
    for line in cluster.config_path.read_text().splitlines():
        key, _, value = line.partition(" = ")
        if line.startswith("["):
            node = line.removeprefix("[nodes.").rstrip("]")
        if key == "pid_file":
            lines.append(f"shell = {json.dumps(shells[node])}")
        elif key == "start_command":
            service = [sys.executable, "-c", SERVICE, str(cluster.directory), node]
            lines.append(f"start_command = {json.dumps([*service, 'start'])}")
            lines.append(f"stop_command = {json.dumps([*service, 'stop'])}")
        else:
            lines.append(f"{key} = {value}" if value else line)
    path = cluster.config_path.with_name(f"{name}.toml")
    path.write_text("\n".join(lines))
    return path
