"""`python -m myha.sandbox.initdata DIR NODE`: an empty data directory for a node that lost its own.

The `init_command` of a sandbox's nodes. Exit status 0 means that it is there, with its accounts.
"""

import sys
from pathlib import Path

from myha.errors import MyhaError
from myha.sandbox.cluster import Cluster
from myha.sandbox.servers import remake_data_dir


def main() -> int:
    directory, name = sys.argv[1:]
    try:
        cluster = Cluster.open(Path(directory))
        remake_data_dir(cluster.machines[name], cluster.secret("admin"), cluster.secret("app"))
    except MyhaError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
