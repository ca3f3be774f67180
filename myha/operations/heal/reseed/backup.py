"""mariabackup: the donor's data files through a pipe into a new directory beside the node's own.

The node's old directory is not touched until the new one is prepared; it is moved aside then, and
removed once a server has answered from the new one. What a run that died has left lies in names of
its own beside the data directory, and the next run removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from myha.config import Config
from myha.core.gtid import MariadbGtidSet
from myha.errors import MyhaError
from myha.operations.heal.reseed.process import NodeProcess, is_local_server, remove
from myha.operations.heal.reseed.session import ReseedSession
from myha.operations.progress import Meter, Reporter, go_on

NEW_SUFFIX = ".reseed-new"
OLD_SUFFIX = ".reseed-old"
INFO_FILES = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")
PREPARE_MEMORY = "256M"
PIPE_BYTES = 1 << 20
# At the end the donor's commits wait until the log has been copied: by default up to a second.
LOG_LOOK_MS = 20
CHUNK_BYTES = 1 << 20
LOOK_SECONDS = 0.05
VERSION_DEADLINE_SECONDS = 30.0
END_DEADLINE_SECONDS = 60.0
_NAMES = ("mariadb-backup", "mariabackup")
_STREAMER = "mbstream"
_SAID_BYTES = 4096
_PR_SET_PDEATHSIG = 1


def backup_words(config: Config, node: str) -> tuple[str, ...] | None:
    """How mariabackup is started: as configured, else from PATH; None when it is not there."""
    words = config.nodes[node].backup_command
    if words:
        return words
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return (found,) if found else None


def streamer_words(backup: tuple[str, ...]) -> tuple[str, ...]:
    """mbstream as it lies beside mariabackup, with the same words before it."""
    program = Path(backup[-1])
    beside = program.with_name(_STREAMER)
    return (*backup[:-1], str(beside) if program.parent.parts else _STREAMER)


def unfit(config: Config, node: str, donor: ReseedSession) -> str | None:
    """Why mariabackup does not serve here, None when it does. Changes nothing."""
    target = config.nodes[node]
    if target.data_dir is None:
        return f"nodes.{node}.data_dir is not set"
    if os.path.ismount(os.path.realpath(target.data_dir)):
        return f"{target.data_dir} is a mount point, so that it cannot be exchanged"
    words = backup_words(config, node)
    if words is None:
        return "mariabackup is not on PATH"
    version = _version(words)
    if version is None:
        return f"{words[-1]} does not start"
    if version != ".".join(donor.version.split(".")[:2]):
        return f"mariabackup is of {version} and the server of {donor.version}"
    if not is_local_server(donor):
        return f"{donor.name} does not run on this machine, or as another user"
    return None


def _version(words: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(
            (*words, "--version"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_DEADLINE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+\.\d+)\.\d+-MariaDB", f"{done.stdout} {done.stderr}")
    return found[1] if found and done.returncode == 0 else None


class Backup:
    """One backup into `NEW`, prepared, and the exchange of the directories."""

    def __init__(
        self, config: Config, donor: ReseedSession, process: NodeProcess, reporter: Reporter
    ) -> None:
        words = backup_words(config, process.name)
        data = process.data_dir
        if words is None or data is None:
            raise MyhaError(f"{process.name}: mariabackup or nodes.{process.name}.data_dir is gone")
        self._words = words
        self._config = config
        self._donor = donor
        self._process = process
        self._reporter = reporter
        self._data = data
        self._new, self._old = _beside(data)

    @staticmethod
    def leftovers(data: Path) -> None:
        """Remove what a run that died has left, and put the old directory back if none is there."""
        new, old = _beside(data)
        remove(new)
        if not old.exists():
            return
        if data.exists() and any(data.iterdir()):
            remove(old)
            return
        with _named(data, "put back"):
            if data.exists():
                data.rmdir()
            old.rename(data)

    def clear_up(self) -> None:
        self.leftovers(self._data)

    def undo(self) -> None:
        """After a failure: the old directory in its place again, with its server. Silent."""
        with suppress(MyhaError, OSError):
            if self._old.exists():
                self._process.stop()
                remove(self._data)
            self.leftovers(self._data)
            self._process.start()

    def make(self, total_bytes: int) -> tuple[int, MariadbGtidSet]:
        """Back the donor up and prepare it. Bytes streamed, and the binary log's position."""
        with _named(self._new, "make"):
            self._new.mkdir(mode=0o700)
        with self._login() as login:
            streamed = self._stream(login, total_bytes)
        self._prepare()
        return streamed, self._position()

    @contextmanager
    def _login(self) -> Iterator[Path]:
        """An option file that only we can read: no password stands on a command line."""
        node = self._config.nodes[self._donor.name]
        account = self._config.accounts.admin()
        tls = self._config.accounts.tls
        lines = [
            "[mariadb-backup]",
            f"user={_option(account.user)}",
            f"password={_option(account.password.get_secret_value())}",
            f"host={node.host}",
            f"port={node.port}",
            "protocol=tcp",
            *(["ssl"] if tls == "require" else ["skip-ssl"] if tls == "off" else []),
        ]
        descriptor, name = tempfile.mkstemp(prefix="myha-backup-", suffix=".cnf")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("\n".join([*lines, ""]))
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _stream(self, login: Path, total_bytes: int) -> int:
        data_dir = str(self._donor.value("SELECT @@GLOBAL.datadir"))
        backup = (
            *self._words,
            f"--defaults-file={login}",
            "--backup",
            "--stream=mbstream",
            f"--log-copy-interval={LOG_LOOK_MS}",
            f"--datadir={data_dir}",
            f"--target-dir={self._new}",
        )
        unpack = (*streamer_words(self._words), "-x", "-C", str(self._new))
        with (
            _said() as backup_said,
            _said() as unpack_said,
            _child(backup, stdout=subprocess.PIPE, stderr=backup_said) as reader,
            _child(unpack, stdin=subprocess.PIPE, stderr=unpack_said) as writer,
        ):
            if reader.stdout is None or writer.stdin is None:
                raise MyhaError("no pipe to mariabackup")
            meter = Meter(self._reporter, "back up", total=total_bytes, unit="bytes")
            _pass_on(reader.stdout.fileno(), writer.stdin.fileno(), meter, self._reporter)
            reader.stdout.close()  # so that it ends, if it was the other one that failed
            writer.stdin.close()
            for name, process, said in (
                ("mbstream", writer, unpack_said),
                ("mariabackup", reader, backup_said),
            ):
                if process.wait(END_DEADLINE_SECONDS) != 0:
                    raise MyhaError(f"{self._process.name}: {name} failed: {_telling(said)}")
        meter.total = max(meter.done, 1)
        meter.say()
        return int(meter.done)

    def _prepare(self) -> None:
        """Roll the copy forward to the backup's end, so that a server can start from it."""
        prepare = (
            *self._words,
            "--no-defaults",
            "--prepare",
            f"--use-memory={PREPARE_MEMORY}",
            f"--target-dir={self._new}",
        )
        meter = Meter(self._reporter, "prepare")
        with _said() as said, _child(prepare, stdout=said, stderr=said) as process:
            while process.poll() is None:
                go_on(self._reporter)
                meter.to(0)
                time.sleep(LOOK_SECONDS)
            if process.returncode != 0:
                raise MyhaError(
                    f"{self._process.name}: mariabackup --prepare failed: {_telling(said)}"
                )

    def _position(self) -> MariadbGtidSet:
        """Where the donor's binary log was when the backup ended."""
        for name in INFO_FILES:
            with suppress(FileNotFoundError):
                fields = (self._new / name).read_text().split("\t")
                gtids = fields[2] if len(fields) > 2 else ""
                return MariadbGtidSet.parse("".join(gtids.split()))
        raise MyhaError(f"{self._process.name}: the backup does not say where the binary log was")

    def exchange(self) -> None:
        """The new directory takes the old one's place; the server must be ended by now."""
        self._take_ownership()
        with _named(self._data, "exchange"):
            if self._data.exists():
                self._data.rename(self._old)
            self._new.rename(self._data)

    def _take_ownership(self) -> None:
        """The server's user has to be able to work with what we, perhaps as root, have made."""
        like = self._data if self._data.exists() else self._data.parent
        with _named(self._new, "hand over"):
            owner = like.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                for folder, folders, names in os.walk(self._new):
                    for name in (*folders, *names):
                        os.chown(Path(folder) / name, owner.st_uid, owner.st_gid)
                os.chown(self._new, owner.st_uid, owner.st_gid)
            if like is self._data:
                self._new.chmod(owner.st_mode & 0o7777)

    def forget_old(self) -> None:
        remove(self._old)


def _beside(data: Path) -> tuple[Path, Path]:
    return data.with_name(f"{data.name}{NEW_SUFFIX}"), data.with_name(f"{data.name}{OLD_SUFFIX}")


def _option(text: str) -> str:
    """A value in an option file: quoted, with the characters escaped that would end it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pass_on(source: int, target: int, meter: Meter, reporter: Reporter) -> None:
    """Move the stream from pipe to pipe inside the kernel, counted, until either side ends."""

    for descriptor in (source, target):
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    while True:
        go_on(reporter)
        try:
            moved = os.splice(source, target, CHUNK_BYTES)
        except BrokenPipeError:
            return
        if not moved:
            return
        meter.advance(moved)


@contextmanager
def _said() -> Iterator[int]:
    """A nameless file for what a program says."""
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def _telling(said: int) -> str:
    """The line that names the error, of the last that a program has said."""
    size = os.fstat(said).st_size
    text = os.pread(said, _SAID_BYTES, max(0, size - _SAID_BYTES)).decode(errors="replace")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|fail|no space|denied", line, re.I)]
    return " / ".join((telling or lines)[:2])[:400] or "it gave no reason"


@contextmanager
def _child(words: tuple[str, ...], **options: int) -> Iterator[subprocess.Popen[bytes]]:
    """A child that does not outlive this block, nor this process even if that is killed."""
    try:
        process = subprocess.Popen(
            words,
            **{"stdin": subprocess.DEVNULL, **options},
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of the C library, no lock
        )  # type: ignore[call-overload]
    except OSError as error:
        raise MyhaError(f"cannot start {words[-1]}: {error}") from error
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _prctl() -> Callable[..., int]:
    library: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return library


_PRCTL = _prctl()  # looked up before any fork


def _die_with_parent() -> None:
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _named(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MyhaError(f"cannot {doing} {path}: {error.strerror or error}") from error
