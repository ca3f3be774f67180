"""Build the images that compose.yaml can use, out of Debian packages: no image registry is needed.

    python compose/images/build.py                     all: mysql, mariadb, haproxy, supervisor, and
                                                       for full.yaml etcd, keepalived
    python compose/images/build.py supervisor --base python:3.13-slim --python 3.13
    python compose/images/build.py --fetch             only download; the rest then needs no network

Each becomes `myha-NAME`. A base is a folder with unpacked packages, made in the cache once, which
`docker import` reads; what goes on top of it is in the folder of that name beside this file. Run
it with the Python of `make` (it uses myha's own way to fetch packages).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from myha.balancers.keepalived.render import CHECK_SCRIPT
from myha.errors import MyhaError
from myha.sandbox import debian
from myha.sandbox.programs import cache_dir, cache_lock

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
DEADLINE_SECONDS = 600.0
_SMALL = ("bash", "dash", "coreutils", "sed", "grep", "hostname", "mawk", "tzdata")
_OF_NO_USE = ("usr/lib/valgrind", "usr/share/perl", "usr/share/doc-base", "usr/share/mysql-test")


@dataclass(frozen=True)
class Image:
    """What one image is made of: Debian packages of a suite, and one user besides root."""

    packages: tuple[str, ...]
    suite: str
    user: str
    uid: int
    folder: str  # beside this file, with its Dockerfile


IMAGES = {
    "mysql": Image(
        ("mysql-server-core", "mysql-client-core", *_SMALL), "sid", "mysql", 999, "server"
    ),
    "mariadb": Image(
        (
            "mariadb-server-core",
            "mariadb-client-core",
            "mariadb-client",
            "mariadb-backup",
            *_SMALL,
        ),
        "bookworm",
        "mysql",
        999,
        "server",
    ),
    "haproxy": Image(
        ("haproxy", "bash", "dash", "coreutils"), "bookworm", "haproxy", 99, "haproxy"
    ),
    "etcd": Image(("etcd-server", "etcd-client", "coreutils"), "bookworm", "etcd", 10002, "etcd"),
    "keepalived": Image(
        ("keepalived", "iproute2", "bash", "dash", "coreutils", "sed"),
        *("bookworm", "keepalived", 10003, "keepalived"),
    ),
    "supervisor": Image(
        ("python3", "dash", "coreutils", "grep"), "bookworm", "myha", 10001, "supervisor"
    ),
}
SUPERVISOR_PYTHON = "3.11"  # bookworm's


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tree(name: str) -> Path:
    """The base's files, unpacked in the cache; made when they are not there yet."""
    image = IMAGES[name]
    folder = cache_dir() / "images"
    with cache_lock(folder, tell) as lock_fd:
        final = folder / f"{name}-{sha256(repr((image, _OF_NO_USE)).encode()).hexdigest()[:8]}"
        if final.is_dir():
            return final
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            for old in folder.glob(f"{name}-*"):  # of another list of packages
                shutil.rmtree(old)
            fresh = work / "tree"
            for made in (fresh, work / "apt"):
                made.mkdir(mode=0o755)
            debian.install(
                image.packages,
                image.suite,
                work / "apt",
                fresh,
                lambda text: tell(f"{name}: {text}"),
                lock_fd=lock_fd,
            )
            _furnish(fresh, image)
            fresh.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return final


def _furnish(root: Path, image: Image) -> None:
    """What packages expect to be there, and their own scripts would have made."""
    for path in _OF_NO_USE:
        shutil.rmtree(root / path, ignore_errors=True)
    for name in ("dev", "proc", "sys", "run", "root", "etc/mysql", "var/lib", "usr/local/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    if not (root / "var/run").exists():
        (root / "var/run").symlink_to("/run")
    people = (("root", 0, "/root"), (image.user, image.uid, "/nonexistent"), ("nobody", 65534, "/"))
    if (root / "usr/bin/mawk").exists():
        (root / "usr/bin/awk").symlink_to("mawk")
    (root / "etc/passwd").write_text(
        "".join(f"{user}:x:{uid}:{uid}::{home}:/bin/sh\n" for user, uid, home in people)
    )
    (root / "etc/group").write_text("".join(f"{user}:x:{uid}:\n" for user, uid, _ in people))
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")


def site(python: str) -> Path:
    """myha and its dependencies as files for that Python, unpacked in the cache."""
    folder = cache_dir() / "images"
    machine = platform.machine()
    wheels = folder / f"wheels-{python}"
    with cache_lock(folder, tell):
        final = folder / f"site-{python}"
        for left in (wheels, final):
            shutil.rmtree(left, ignore_errors=True)
        wheels.mkdir(parents=True)
        tell(f"fetching the wheels of myha's dependencies for Python {python}")
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        _run((*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(CHECKOUT)))
        platforms = [f"--platform=manylinux_2_{n}_{machine}" for n in (17, 28)]
        platforms.append(f"--platform=manylinux2014_{machine}")
        own = next(wheels.glob("myha-*.whl"))
        _run(
            (
                *pip,
                "download",
                "--only-binary=:all:",
                f"--python-version={python}",
                "--implementation=cp",
                *platforms,
                f"--dest={wheels}",
                str(own),
            )
        )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(final)
        shutil.rmtree(wheels)
        return final


def build(name: str, base: str, python: str) -> None:
    """The image `myha-NAME`, from the base's tree, or from another base image."""
    image = IMAGES[name]
    if not base:
        base = f"myha-base-{name}"
        tell(f"{name}: importing the base")
        # Owners are not kept: whoever fetched the files, they are root's in there.
        tar = subprocess.Popen(
            ("tar", "--numeric-owner", "--owner=0", "--group=0", "-C", tree(name), "-c", "."),
            stdout=subprocess.PIPE,
        )
        _run(("docker", "import", "-", base), stdin=tar.stdout)
        if tar.wait() != 0:
            raise MyhaError(f"tar could not read {tree(name)}")
    with tempfile.TemporaryDirectory(prefix="myha-image-") as context:
        shutil.copytree(HERE / image.folder, context, dirs_exist_ok=True)
        if name == "supervisor":
            shutil.copytree(cache_dir() / "images" / f"site-{python}", Path(context) / "site")
        if name == "keepalived":
            shutil.copy(CHECK_SCRIPT, context)
        tell(f"{name}: building myha-{name}")
        arguments = (f"--build-arg=BASE={base}", f"--tag=myha-{name}")
        _run(
            ("docker", "build", "--quiet", "--network=none", *arguments, context),
            DOCKER_BUILDKIT="0",  # it asks a registry for what it needs itself
        )


def _run(words: tuple[str, ...], stdin: object = None, **environment: str) -> None:
    done = subprocess.run(
        words,
        stdin=stdin or subprocess.DEVNULL,  # type: ignore[call-overload]
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        raise MyhaError(f"{' '.join(words[:3])} failed: {' / '.join(lines[-3:])}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}")
    parser.add_argument("--fetch", action="store_true", help="download everything, build nothing")
    parser.add_argument("--fetched", action="store_true", help="use what was downloaded before")
    parser.add_argument("--base", default="", help="another image to build on (one NAME only)")
    parser.add_argument("--python", default=SUPERVISOR_PYTHON, help="the Python in that image")
    given = parser.parse_args()
    names = given.names or list(IMAGES)
    if unknown := [name for name in names if name not in IMAGES]:
        parser.error(f"no image {unknown[0]!r}: choose from {', '.join(IMAGES)}")
    if given.base and len(names) != 1:
        parser.error("--base goes with one NAME")
    try:
        for name in names:
            if not given.base:
                tree(name)
            if name == "supervisor" and not given.fetched:
                site(given.python)
        for name in () if given.fetch else names:
            build(name, given.base, given.python)
    except (MyhaError, OSError, subprocess.TimeoutExpired) as error:
        tell(f"build.py: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
