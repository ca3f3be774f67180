"""Fetching Debian packages into a private prefix with the ordinary apt client.

apt keeps its lists, its archives and its status file in a directory of ours, so nothing of the
system is read except its mirror, its proxy settings and its keyring, and nothing of it is written;
no root is needed. Signatures are checked as always. The prefix holds its own libc and loader:
nothing of it mixes with the system's.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from myha.errors import MissingProgramError, MyhaError
from myha.hosts.commands import output_of
from myha.progress import Tell

APT_DIR = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FALLBACK_MIRROR = "http://deb.debian.org/debian"
FALLBACK_SECURITY_MIRROR = "http://deb.debian.org/debian-security"
STABLE_SUITES = ("bookworm", "trixie")  # suites with a security archive of their own

UPDATE_DEADLINE_SECONDS = 300.0
DOWNLOAD_DEADLINE_SECONDS = 1200.0
UNPACK_DEADLINE_SECONDS = 120.0
_NOT_NEEDED = ("doc", "man", "info", "locale", "lintian", "bug")  # folders of usr/share

# Hooks that a system may have set for its own apt; they act on the system's own directories.
_SYSTEM_HOOKS = (
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
    "DPkg::Pre-Invoke",
    "DPkg::Post-Invoke",
    "DPkg::Pre-Install-Pkgs",
    "APT::Default-Release",
    "APT::Architectures",
)


def apt_is_here() -> bool:
    """Whether apt, dpkg and Debian's archive keyring are all on this machine."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg")) and KEYRING.exists()


def mirrors() -> tuple[str, str]:
    """The main and the security mirror of the system's own apt sources, or Debian's public ones."""
    uris = list(_source_uris())
    main = next((uri for uri in uris if uri.endswith("/debian")), FALLBACK_MIRROR)
    security = next((uri for uri in uris if uri.endswith("/debian-security")), "")
    return main, security or FALLBACK_SECURITY_MIRROR


def _source_uris() -> Iterator[str]:
    """URIs in both of apt's formats: one-line `.list` and deb822 `.sources` files."""
    parts = APT_DIR / "sources.list.d"
    for path in [APT_DIR / "sources.list", *sorted(parts.glob("*.list"))]:
        for line in _lines(path):
            found = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s", line)
            if found:
                yield found[1].rstrip("/")
    for path in sorted(parts.glob("*.sources")):
        for line in _lines(path):
            found = re.match(r"URIs:\s*(.*)", line, re.IGNORECASE)
            if found:
                yield from (uri.rstrip("/") for uri in found[1].split())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def install(
    packages: tuple[str, ...],
    suite: str,
    work: Path,
    prefix: Path,
    progress: Tell,
    *,
    lock_fd: int,
) -> dict[str, str]:
    """Download `packages` of `suite` with all they depend on and unpack them into `prefix`.

    `work` is scratch space for apt. Children inherit `lock_fd`, so that the lock outlives a killed
    parent for as long as apt still writes. Returns the versions, package by package. Raises
    MissingProgramError without apt, MyhaError when apt refuses.
    """
    if not apt_is_here():
        raise MissingProgramError(
            f"cannot fetch {', '.join(packages)}: this machine lacks apt-get, dpkg or {KEYRING} "
            "(on Debian: apt-get install debian-archive-keyring)"
        )
    config = _write_apt_config(suite, work)
    apt = ["apt-get", "-c", str(config), "-q", "-y"]
    progress(f"reading the package list of Debian {suite}")
    for _ in _run([*apt, "update", "--error-on=any"], UPDATE_DEADLINE_SECONDS, lock_fd):
        pass
    _download(
        [*apt, "install", "--download-only", "--no-install-recommends", *packages],
        progress,
        lock_fd,
    )
    archives = sorted((work / "cache" / "archives").glob("*.deb"))
    _unpack(archives, prefix, progress, lock_fd)
    return dict(_name_and_version(archive) for archive in archives)


def _write_apt_config(suite: str, work: Path) -> Path:
    main, security = mirrors()
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    sources = [(main, suite)]
    if suite in STABLE_SUITES:
        sources += [(main, f"{suite}-updates"), (security, f"{suite}-security")]
    (work / "sources.list").write_text(
        "".join(f"deb [signed-by={KEYRING}] {uri} {name} main\n" for uri, name in sources)
    )
    options = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State": work,
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": work / "cache",
        "Dir::Cache::archives": work / "cache" / "archives",
        "Dir::Log": work,
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",  # apt's own user could not enter a private directory
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "APT::Architecture": _architecture(),
    }
    text = "".join(f"#clear {hook};\n" for hook in _SYSTEM_HOOKS)
    text += "".join(f'{key} "{value}";\n' for key, value in options.items())
    text += f'APT::Architectures {{ "{_architecture()}"; }};\n'
    config = work / "apt.conf"
    config.write_text(text)
    return config


def _architecture() -> str:
    return output_of("dpkg", ("dpkg", "--print-architecture"), 20).strip()


def _download(command: list[str], progress: Tell, lock_fd: int) -> None:
    total, size = "?", ""
    last = 0.0
    for line in _run(command, DOWNLOAD_DEADLINE_SECONDS, lock_fd):
        if found := re.search(r"(\d+) newly installed", line):
            total = found[1]
        elif found := re.match(r"Need to get ([\d.,]+ \wB)", line):
            size = f" ({found[1]})"
        elif (found := re.match(r"Get:(\d+) ", line)) and time.monotonic() - last >= 1.0:
            progress(f"downloading package {found[1]} of {total}{size}")
            last = time.monotonic()


def _run(command: list[str], deadline_seconds: float, lock_fd: int) -> Iterator[str]:
    """Run apt and yield its output lines; a failure becomes one line of its own `E:` lines."""
    ends = time.monotonic() + deadline_seconds
    errors: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        pass_fds=(lock_fd,),
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith(("E:", "Err:")):
                    errors.append(line.strip())
                yield line
                if time.monotonic() > ends:
                    errors.append(f"no end after {deadline_seconds:.0f} s")
                    process.kill()
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        said = "; ".join(errors[-3:]) or f"exit status {process.returncode}"
        raise MyhaError(
            f"apt-get could not fetch the packages: {said}; check the network and the mirror"
        )


def _unpack(archives: list[Path], prefix: Path, progress: Tell, lock_fd: int) -> None:
    # Debian's merged layout, made first: older packages still ship files under /lib.
    for name in ("bin", "sbin", "lib", "lib64"):
        (prefix / "usr" / name).mkdir(parents=True, exist_ok=True)
        (prefix / name).symlink_to(f"usr/{name}")
    last = time.monotonic()
    for number, archive in enumerate(archives, 1):
        if number == 1 or time.monotonic() - last >= 1.0:
            progress(f"unpacking package {number} of {len(archives)}")
            last = time.monotonic()
        _unpack_one(archive, prefix, lock_fd)


def _unpack_one(archive: Path, prefix: Path, lock_fd: int) -> None:
    # Not `dpkg -x`: it would put a folder in the place of the links of the merged layout.
    unpack = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(prefix)]
    unpack += [f"--exclude=./usr/share/{name}" for name in _NOT_NEEDED]
    with (
        subprocess.Popen(
            ["dpkg", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE, pass_fds=(lock_fd,)
        ) as reader,
        subprocess.Popen(
            unpack, stdin=reader.stdout, stderr=subprocess.PIPE, text=True, pass_fds=(lock_fd,)
        ) as writer,
    ):
        if reader.stdout:
            reader.stdout.close()  # so that dpkg ends when tar does
        _, said = writer.communicate(timeout=UNPACK_DEADLINE_SECONDS)
    if writer.returncode != 0 or reader.returncode != 0:
        raise MyhaError(f"cannot unpack {archive.name} into {prefix}: {_last_line(said)}")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no reason given"


def _name_and_version(archive: Path) -> tuple[str, str]:
    """`mysql-server-core_9.7.4-2_amd64.deb` holds both; a colon of an epoch is written `%3a`."""
    name, version, _ = archive.name.split("_", 2)
    return name, version.replace("%3a", ":")
