"""What the doctor says of this machine: files, their permissions, the state folder, commands."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from myha.config import Config
from myha.config.accounts import PasswordError, read_password
from myha.core.policy import Durability, Mode
from myha.operations.doctor.telling import why_not_run
from myha.operations.setup.remarks import Remark

FULL_BYTES = 1 << 26
LOW_BYTES = 1 << 30
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_READ = stat.S_IRGRP | stat.S_IROTH | stat.S_IXGRP | stat.S_IXOTH


def of_machine(config: Config) -> Iterator[Remark]:
    yield from _configuration(config)
    yield from _secrets(config)
    yield from _state(config.cluster.state_dir)
    yield from _fencing(config)


def _configuration(config: Config) -> Iterator[Remark]:
    mode = config.path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield Remark(
            "config-writable",
            str(config.path),
            f"everybody may write it (mode {stat.S_IMODE(mode):04o})",
            f"chmod go-w {config.path}",
            "it names commands that run as the supervisor's user",
        )


def _secrets(config: Config) -> Iterator[Remark]:
    accounts = config.accounts
    for role, file in (
        ("supervisor", accounts.supervisor_password_file),
        ("replication", accounts.replication_password_file),
    ):
        variable = f"MYHA_{role.upper()}_PASSWORD"
        if os.environ.get(variable):
            continue
        try:
            read_password(file)
        except PasswordError as error:
            wrong, _, mend = str(error).partition("; ")
            why = "the supervisor begins nothing without it"
            key = f"accounts.{role}_password_file"
            yield Remark("secret-unreadable", key, wrong, f"{mend} (or set {variable})", why)
    admin = accounts.admin_password_file
    if admin.exists() and admin.stat().st_mode & (OTHERS_READ | OTHERS_WRITE):
        wrong, why = "others can read it", "it is an administrator's password"
        yield Remark("secret-unreadable", str(admin), wrong, f"chmod 600 {admin}", why)


def _state(folder: Path) -> Iterator[Remark]:
    if not folder.exists():
        return  # setup makes it
    where = str(folder)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        wrong = "this user may not write there"
        mend = f"run as the supervisor's user, or chown {folder}"
        why = "the record, the journal and the quarantine are kept there"
        yield Remark("state-unusable", where, wrong, mend, why)
    mode = folder.stat().st_mode
    if mode & OTHERS_WRITE:
        wrong = f"others may write there (mode {stat.S_IMODE(mode):04o})"
        why = "whoever replaces the record or the socket is obeyed"
        yield Remark("state-exposed", where, wrong, f"chmod go-rwx {folder}", why)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < LOW_BYTES:
        kind = "disk-full" if free < FULL_BYTES else "disk-low"
        wrong = f"{free >> 20} MiB are free there"
        why = "a heal keeps in quarantine what it takes out, and is refused where that does not fit"
        mend = "make room; `myha quarantine list` shows what is kept"
        yield Remark(kind, where, wrong, mend, why)


def _fencing(config: Config) -> Iterator[Remark]:
    commands = {name: node.fence_command for name, node in config.nodes.items()}
    for name, words in commands.items():
        if words and (wrong := why_not_run(words[0])):
            yield Remark(
                "fence-command-missing",
                name,
                f"its fence_command {wrong}",
                f"correct nodes.{name}.fence_command",
                "a silent writer is not replaced",
            )
    single = config.cluster.mode is Mode.SINGLE_WRITER
    fenced = all(commands.values()) or config.failover.watchdog_seconds
    if single and config.cluster.durability is not Durability.LOSSLESS and not fenced:
        yield Remark(
            "nothing-fences",
            config.cluster.name,
            f"durability is {config.cluster.durability}, and neither a fence_command nor a "
            "watchdog fences a silent writer",
            "set failover.watchdog_seconds, or a fence_command for each node",
            "such a writer is not replaced without you",
        )
