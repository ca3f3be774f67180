"""Small file systems for single folders of a sandbox: each can be filled, and made to stall.

An ext4 in a file, mounted through a loop device, which needs root. What is mounted is written down
in the sandbox's folder before it is, so that `myha sandbox down` finds it whatever has died.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

from myha.errors import MyhaError, RefusedError
from myha.hosts.commands import output_of

STATE_FILE = "disks.json"
IMAGES = "disks"  # the folder of the files that hold the file systems
COMMAND_DEADLINE_SECONDS = 60.0
_TOOLS = ("mkfs.ext4", "mount", "umount")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h


def why_not() -> str:
    """Why no disk can be made here, in one line; empty when it can."""
    if os.geteuid() != 0:
        return "small file systems for the drill are mounted, which needs root"
    missing = [name for name in _TOOLS if _which(name) is None]
    return f"{missing[0]} is not installed: the drill makes disks with it" if missing else ""


def has_disks(sandbox: Path) -> bool:
    """Whether the sandbox was given any."""
    return (sandbox / STATE_FILE).exists()


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}")


def make(sandbox: Path, folder: Path, megabytes: int) -> None:
    """Give a folder of the sandbox a file system of its own, with what is in it already.

    Nobody may be using the folder yet. Raises RefusedError where none can be made, MyhaError
    otherwise.
    """
    if reason := why_not():
        raise RefusedError(reason)
    image = sandbox / IMAGES / f"{folder.name}.img"
    _register(sandbox, folder)
    image.parent.mkdir(mode=0o700, exist_ok=True)
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", str(image))
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    _run("mount", "-o", "loop", str(image), str(folder))
    (folder / "lost+found").rmdir()
    for path in aside.iterdir():
        shutil.move(path, folder / path.name)
    aside.rmdir()


def thaw_all(sandbox: Path) -> None:
    """What is frozen goes on: a process that waits for a frozen disk does not even end."""
    for folder in _registered(sandbox):
        thaw(folder)


def unmount_all(sandbox: Path) -> None:
    """When the processes are gone. Raises MyhaError when one cannot be unmounted."""
    for folder in _registered(sandbox):
        if folder.is_mount():
            _run("umount", str(folder))
    shutil.rmtree(sandbox / IMAGES, ignore_errors=True)
    (sandbox / STATE_FILE).unlink(missing_ok=True)


def freeze(folder: Path) -> None:
    """Whoever writes there from now on waits, and cannot even be killed, until `thaw`."""
    _control(folder, _FREEZE)


def thaw(folder: Path) -> bool:
    """Whether it was frozen."""
    if not folder.is_mount():
        return False
    try:
        _control(folder, _THAW)
    except OSError:  # EINVAL: it is not frozen
        return False
    return True


def _control(folder: Path, request: int) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, request, 0)
    finally:
        os.close(descriptor)


def _registered(sandbox: Path) -> list[Path]:
    try:
        return [Path(one) for one in json.loads((sandbox / STATE_FILE).read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise MyhaError(f"{sandbox / STATE_FILE} cannot be read: {error}") from error


def _register(sandbox: Path, folder: Path) -> None:
    known = [str(one) for one in _registered(sandbox)]
    (sandbox / STATE_FILE).write_text(json.dumps([*known, str(folder)]) + "\n")


def _run(name: str, *arguments: str) -> None:
    what = f"{name} {' '.join(arguments)}"
    output_of(what, (_which(name) or name, *arguments), COMMAND_DEADLINE_SECONDS)
