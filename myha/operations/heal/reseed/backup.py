"""mariabackup: the donor's data files through a pipe into a new directory beside the node's own.

It runs on the donor's host; what it writes passes through here, and is unpacked and prepared on the
node's host. The node's old directory is not touched until the new one is prepared; it is moved
aside then, and removed once a server has answered from the new one. What a run that died has left
lies in names of its own beside the data directory, and the next run removes it.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import time
from contextlib import suppress
from pathlib import Path

from myha.config import Config
from myha.core.gtid import MariadbGtidSet
from myha.errors import MyhaError
from myha.hosts.shell import load_script
from myha.operations.heal.reseed.backup_fit import backup_words
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.heal.reseed.process import NodeProcess
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import Meter, Reporter
from myha.waiting import wait_until

NEW_SUFFIX = ".reseed-new"
OLD_SUFFIX = ".reseed-old"
INFO_FILES = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")
PREPARE_MEMORY = "256M"
PIPE_BYTES = 1 << 20
# At the end the donor's commits wait until the log has been copied: by default up to a second.
LOG_LOOK_MS = 20
CHUNK_BYTES = 1 << 20
LOOK_SECONDS = 0.05
# The donor's commits may be waiting for a stream that the node's host does not take any more.
STALL_SECONDS = 60.0
_STREAMER = "mbstream"


def streamer_words(backup: tuple[str, ...]) -> tuple[str, ...]:
    """mbstream as it lies beside mariabackup, with the same words before it."""
    program = Path(backup[-1])
    beside = program.with_name(_STREAMER)
    return (*backup[:-1], str(beside) if program.parent.parts else _STREAMER)


class Backup:
    """One backup into `NEW`, prepared, and the exchange of the directories."""

    def __init__(
        self, config: Config, donor: ReseedSession, process: NodeProcess, reporter: Reporter
    ) -> None:
        data = process.data_dir
        if data is None:
            raise MyhaError(f"{process.name}: its data_dir is not configured any more")
        self._config = config
        self._donor = donor
        self._source = NodeHost(config, donor.name)
        self._process = process
        self._host = process.host
        self._reporter = reporter
        self._data = data
        self._new, self._old = _beside(data)
        self._exchanging = False

    @staticmethod
    def leftovers(host: NodeHost, data: Path) -> None:
        """Remove what a run that died has left, and put the old directory back if none is there."""
        host.clear_up(data, *_beside(data))

    def clear_up(self) -> None:
        self.leftovers(self._host, self._data)

    def undo(self) -> None:
        """After a failure: the old directory in its place again, with its server. Silent."""
        try:
            if self._exchanging and self._host.exists(self._old):
                self._process.stop()
                self._host.remove(self._data)
            self.clear_up()
        except MyhaError:
            if self._exchanging:
                return  # who knows what lies there now: nothing is started on it
        with suppress(MyhaError, OSError):
            self._process.start()

    def make(self, total_bytes: int) -> tuple[int, MariadbGtidSet]:
        """Back the donor up and prepare it. Bytes streamed, and the binary log's position."""
        self._host.make(self._new)
        streamed = self._stream(total_bytes)
        self._prepare()
        return streamed, self._position()

    def _words(self, host: NodeHost) -> tuple[str, ...]:
        words = backup_words(self._config, host)
        if words is None:
            raise MyhaError(f"{host.name}: mariabackup is not found any more on {host.where}")
        return words

    def _login(self) -> bytes:
        """The option file by which mariabackup, on the donor's host, reaches the donor."""
        node = self._config.nodes[self._donor.name]
        account = self._config.accounts.admin()
        tls = self._config.accounts.tls
        # Seen from its own host: the address at which the other node reaches it holds there too.
        host, port = node.host, node.port
        if node.shell:
            host, port = node.replication_host, node.replication_port
        lines = [
            "[mariadb-backup]",
            f"user={_option(account.user)}",
            f"password={_option(account.password.get_secret_value())}",
            f"host={host}",
            f"port={port}",
            "protocol=tcp",
            *(["ssl"] if tls == "require" else ["skip-ssl"] if tls == "off" else []),
        ]
        return "\n".join([*lines, ""]).encode()

    def _stream(self, total_bytes: int) -> int:
        login = self._login()
        data_dir = str(self._donor.value("SELECT @@GLOBAL.datadir"))
        settings = (str(len(login)), data_dir, str(LOG_LOOK_MS), *self._words(self._source))
        unpack = (str(self._new), *streamer_words(self._words(self._host)))
        with (
            self._host.shell.fed(load_script("unpack"), *unpack) as writer,
            self._source.shell.held(
                load_script("backup"), *settings, first=login, streams=True
            ) as reader,
        ):
            source, target = reader.process.stdout, writer.process.stdin
            if source is None or target is None:
                raise MyhaError("no pipe to mariabackup")
            meter = Meter(self._reporter, "back up", total=total_bytes, unit="bytes")
            name = self._process.name
            whole = _pass_on(source.fileno(), target.fileno(), meter, self._reporter, name)
            source.close()  # so that it ends, if it was the other one that failed
            target.close()
            ends = [(reader, "mariabackup"), (writer, "mbstream")]
            for running, what in ends if whole else reversed(ends):  # the first to fail tells why
                running.check(what)
        meter.total = max(meter.done, 1)
        meter.report()
        return int(meter.done)

    def _prepare(self) -> None:
        """Roll the copy forward to the backup's end, so that a server can start from it."""
        settings = (str(self._new), PREPARE_MEMORY, *self._words(self._host))
        meter = Meter(self._reporter, "prepare")
        with self._host.shell.held(load_script("prepare"), *settings) as running:

            def ended() -> bool:
                self._reporter.permit.require()
                meter.to(0)
                return running.ended()

            wait_until(ended, math.inf, LOOK_SECONDS)
            running.check("mariabackup --prepare")

    def _position(self) -> MariadbGtidSet:
        """Where the donor's binary log was when the backup ended."""
        said = self._host.read(*(self._new / name for name in INFO_FILES))
        if not said:
            name = self._process.name
            raise MyhaError(f"{name}: the backup does not say where the binary log was")
        fields = said.split("\t")
        gtids = fields[2] if len(fields) > 2 else ""
        return MariadbGtidSet.parse("".join(gtids.split()))

    def exchange(self) -> None:
        """The new directory takes the old one's place; the server must be ended by now."""
        self._exchanging = True
        self._host.exchange(self._data, self._new, self._old)

    def forget_old(self) -> None:
        self._host.remove(self._old)


def _beside(data: Path) -> tuple[Path, Path]:
    return data.with_name(f"{data.name}{NEW_SUFFIX}"), data.with_name(f"{data.name}{OLD_SUFFIX}")


def _option(text: str) -> str:
    """A value in an option file: quoted, with the characters escaped that would end it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pass_on(source: int, target: int, meter: Meter, reporter: Reporter, name: str) -> bool:
    """Move the stream from pipe to pipe inside the kernel, counted, until either side ends.

    True when all of the source's was moved, False when the target takes no more.
    """
    for descriptor in (source, target):
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    incoming, outgoing = select.poll(), select.poll()
    incoming.register(source, select.POLLIN)
    outgoing.register(target, select.POLLOUT)
    while True:
        reporter.permit.require()
        if not incoming.poll(LOOK_SECONDS * 1000):
            continue
        _await_room(outgoing, reporter, name)
        try:
            moved = os.splice(source, target, CHUNK_BYTES, flags=os.SPLICE_F_NONBLOCK)
        except BrokenPipeError:
            return False
        except BlockingIOError:
            continue  # less room than a page
        if not moved:
            return True
        meter.advance(moved)


def _await_room(outgoing: select.poll, reporter: Reporter, name: str) -> None:
    ends = time.monotonic() + STALL_SECONDS
    while not outgoing.poll(LOOK_SECONDS * 1000):
        reporter.permit.require()
        if time.monotonic() > ends:
            raise MyhaError(f"{name}: its host has accepted no data for {STALL_SECONDS:.0f} s")
