"""A real browser for tests: Debian's Chromium, from PATH or fetched as server programs are.

It is no recipe of `myha.sandbox.programs`: its programs start each other, and so run by the
machine's own loader and libc, with only what the machine lacks from the prefix. So it has to come
from the machine's own suite.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from myha.errors import MissingProgramError, MyhaError
from myha.sandbox import debian, programs

NAMES = ("chromium", "chromium-browser", "google-chrome")
_PROGRAM = Path("usr/lib/chromium/chromium")
_OWN_LIBRARIES = ("/lib", "/usr/lib")
# As root there is no sandbox.
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def running() -> Iterator[Browser]:
    """Raises MyhaError when there is none and none can be had."""
    program, environment = _found()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=program, args=list(_OPTIONS), env={**os.environ, **environment}
            )
        except Error as error:
            raise MyhaError(f"{program} does not start: {error.message.splitlines()[0]}") from None
        try:
            yield browser
        finally:
            browser.close()


def _found() -> tuple[str, dict[str, str]]:
    """The program, and what it needs in its environment."""
    on_path = next(filter(None, map(shutil.which, NAMES)), None)
    if on_path:
        return on_path, {}
    prefix = programs.cache_dir() / "programs" / "chromium"
    if not (prefix / _PROGRAM).is_file():
        with programs.cache_lock(prefix.parent, lambda _: None) as lock_fd:
            if not (prefix / _PROGRAM).is_file():
                _fetch(prefix, lock_fd)
    triplets = [path.name for path in (prefix / "usr/lib").glob("*-linux-gnu")]
    folders = [f"{root}/{triplet}" for root in _OWN_LIBRARIES for triplet in triplets]
    for triplet in triplets:
        folder = prefix / "usr/lib" / triplet
        folders += [str(folder), str(folder / "pulseaudio")]
    return str(prefix / _PROGRAM), {"LD_LIBRARY_PATH": ":".join(folders)}


def _fetch(prefix: Path, lock_fd: int) -> None:
    try:
        suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        suite = ""
    if suite not in debian.STABLE_SUITES:
        raise MissingProgramError(
            f"no browser on PATH ({', '.join(NAMES)}), and Debian's is not for this machine"
        )
    work = prefix.parent / f".fetch-chromium-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        (work / "apt").mkdir(mode=0o700, parents=True)
        fresh = work / "prefix"
        fresh.mkdir(mode=0o755)
        debian.install(("chromium",), suite, work / "apt", fresh, lambda _: None, lock_fd=lock_fd)
        fresh.rename(prefix)
    finally:
        shutil.rmtree(work, ignore_errors=True)
