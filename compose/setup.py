"""The container `setup`: from two fresh servers to a pair and its balancers' configuration, once.

What is done already is not done again: `docker compose up` starts this container every time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pymysql

from myha.config import Config, load
from myha.errors import MyhaError

CONFIG = Path("/etc/myha/myha.toml")
DONE = Path("/var/lib/myha/compose-set-up")
HAPROXY = Path("/var/lib/haproxy-config")  # what HAProxy's own container sees as SEEN_AS
SEEN_AS = Path("/usr/local/etc/haproxy")


def make_accounts(config: Config) -> None:
    """The client's and the health check's accounts, past the binary log: no node may differ."""
    admin, app = config.accounts.admin(), config.accounts.drill()
    for node in config.nodes.values():
        with pymysql.connect(
            host=node.host,
            port=node.port,
            user=admin.user,
            password=admin.password.get_secret_value(),
            connect_timeout=10,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute(
                "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s",
                (app.user, app.password.get_secret_value()),
            )
            cursor.execute("GRANT ALL ON app.* TO %s@'%%'", (app.user,))
            # The health check's, from inside the container: it may log in, and nothing else.
            cursor.execute("CREATE USER IF NOT EXISTS health@'127.0.0.1'")


def myha(*words: str) -> str:
    """What the command prints; it says itself what is wrong."""
    command = ("myha", "--config", str(CONFIG), *words)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def configure_balancers(config: Config) -> None:
    """What each balancer's container reads: in a folder of its name where there are several."""
    for name in config.balancers:
        place = name if len(config.balancers) > 1 else "."
        folder = HAPROXY / place
        folder.mkdir(exist_ok=True)
        (folder / "await.lua").write_text(myha("balancer", "await-script"))
        script = str(SEEN_AS / place / "await.lua")
        rendered = myha("balancer", "render", name, "--await-script", script)
        (folder / "haproxy.cfg").write_text(rendered)
        if config.address.ip:
            rendered = myha("balancer", "render", name, "--keepalived")
            (folder / "keepalived.conf").write_text(rendered)


def main() -> int:
    if DONE.exists():
        print("the pair is set up already; to do it again stop the supervisor and run `myha setup`")
        return 0
    try:
        config = load(CONFIG)
        make_accounts(config)
        print(myha("setup", "--yes"), flush=True)
        configure_balancers(config)
        DONE.touch()
    except subprocess.CalledProcessError as error:
        return error.returncode
    except (MyhaError, OSError, pymysql.Error) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
