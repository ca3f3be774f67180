"""client.py HOST PORT: write a row at a time, and say how long writes had stopped.

A line for each gap of more than 100 ms when it is over, and every ten seconds the three longest so
far.
The password of the account `app` is in /run/secrets/app.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pymysql

PASSWORD_FILE = Path("/run/secrets/app")
GAP_SECONDS = 0.1
TOLD_EVERY_SECONDS = 10.0
CALL_SECONDS = 5
PAUSE_SECONDS = 0.005
LONGEST = 3
TABLE = """\
CREATE TABLE IF NOT EXISTS app.gaps
    (id BIGINT AUTO_INCREMENT PRIMARY KEY, server INT, at TIMESTAMP(6) NOT NULL)"""


def connect(host: str, port: int) -> pymysql.Connection:
    connection = pymysql.connect(
        host=host,
        port=port,
        user="app",
        password=PASSWORD_FILE.read_text().strip(),
        connect_timeout=CALL_SECONDS,
        read_timeout=CALL_SECONDS,
        write_timeout=CALL_SECONDS,
        autocommit=True,
    )
    cursor = connection.cursor()
    cursor.execute("SHOW DATABASES LIKE 'app'")
    if cursor.fetchone() is None:
        cursor.execute("CREATE DATABASE IF NOT EXISTS app")
    cursor.execute("SHOW TABLES IN app LIKE 'gaps'")
    if cursor.fetchone() is None:  # even one that changes nothing would be logged, at every connect
        cursor.execute(TABLE)
    return connection


class Gaps:
    """What one client has seen of outages. All in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.longest: list[float] = []
        self.rows = 0
        self.last = self.told = time.monotonic()
        self.error = ""

    def written(self, server: int) -> None:
        now = time.monotonic()
        gap, self.last = now - self.last, now
        self.rows += 1
        if gap > GAP_SECONDS and self.rows > 1:
            self.longest = sorted([*self.longest, gap], reverse=True)[:LONGEST]
            why = f" ({self.error})" if self.error else ""
            print(f"no write for {gap * 1000:.0f} ms, now on server {server}{why}", flush=True)
        self.error = ""
        if now - self.told > TOLD_EVERY_SECONDS:
            self.told = now
            longest = ", ".join(f"{one * 1000:.0f} ms" for one in self.longest) or "none"
            print(f"{self.rows} rows written; longest gaps: {longest}", flush=True)


def write(connection: pymysql.Connection) -> int:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO app.gaps (server, at) VALUES (@@server_id, NOW(6))")
    cursor.execute("DELETE FROM app.gaps WHERE id < %s - 10000 LIMIT 10", (cursor.lastrowid,))
    cursor.execute("SELECT @@server_id")
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def main(host: str, port: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would be ignored
    gaps = Gaps()
    connection: pymysql.Connection | None = None
    while True:
        try:
            if connection is None:
                connection = connect(host, port)
            gaps.written(write(connection))
        except (pymysql.Error, OSError) as error:
            gaps.error = str(error.args[-1])
            if connection is not None and connection.open:
                connection.close()
            connection = None
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: client.py HOST PORT")
    main(sys.argv[1], int(sys.argv[2]))
