"""The programs that a sandbox or a test may need: how each is known, and which packages have it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How one program is found, judged and fetched."""

    name: str
    executables: tuple[str, ...]  # names on PATH, best first; the first one is the fetched one's
    minimum: tuple[int, ...]
    packages: tuple[str, ...]
    suites: tuple[str, ...] = ("bookworm", "sid")  # Debian suites, tried in this order
    prefix: str = ""  # the recipe whose prefix also holds this program, if not its own
    version_option: str = "--version"
    any_suite: bool = True  # whether MYHA_DEBIAN may name another one
    refuse: str = ""  # a word in the version line that says it is another product
    require: str = ""
    perl: bool = False

    @property
    def prefix_name(self) -> str:
        return self.prefix or self.name


_MARIADB_PACKAGES = (
    "mariadb-server-core",
    "mariadb-client-core",
    "mariadb-client",
    "mariadb-backup",
)
RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mysql",
            executables=("mysqld",),
            minimum=(8, 0, 26),
            packages=("mysql-server-core", "mysql-client-core"),
            suites=("sid",),  # Debian's stable suites have no MySQL
            refuse="MariaDB",
        ),
        Recipe(
            name="mariadb",
            executables=("mariadbd", "mysqld"),
            minimum=(10, 11),
            packages=_MARIADB_PACKAGES,
            require="MariaDB",
        ),
        Recipe(
            name="mariadb-backup",
            executables=("mariadb-backup",),
            minimum=(10, 11),
            packages=_MARIADB_PACKAGES,
            prefix="mariadb",
        ),
        Recipe(
            name="haproxy",
            executables=("haproxy",),
            minimum=(2, 4),
            packages=("haproxy",),
            version_option="-v",
        ),
        Recipe(
            name="faketime",
            executables=("faketime",),
            minimum=(0, 9, 9),  # the first that steps a running process by a file
            packages=("faketime", "libfaketime"),
        ),
        Recipe(
            name="sysbench",
            executables=("sysbench",),
            minimum=(1, 0),
            packages=("sysbench",),
        ),
        Recipe(
            name="etcd",
            executables=("etcd",),
            minimum=(3, 4),
            packages=("etcd-server", "etcd-client"),
        ),
        Recipe(
            name="percona-toolkit",
            executables=("pt-table-checksum",),
            minimum=(3, 0),
            packages=("percona-toolkit",),
            perl=True,
        ),
        Recipe(
            name="nftables",
            executables=("nft",),
            minimum=(1, 0),
            packages=("nftables",),
        ),
        Recipe(
            name="iproute2",
            executables=("ip",),
            minimum=(5, 0),
            packages=("iproute2",),
            version_option="-V",
        ),
        Recipe(
            name="bind9",
            executables=("named",),
            minimum=(9, 16),
            packages=("bind9",),
            version_option="-v",
        ),
        Recipe(
            name="keepalived",
            executables=("keepalived",),
            minimum=(2, 2),
            packages=("keepalived",),
        ),
        Recipe(
            name="prometheus",
            executables=("prometheus",),
            minimum=(2, 42),
            packages=("prometheus",),
        ),
        Recipe(
            name="promtool",
            executables=("promtool",),
            minimum=(2, 42),
            packages=("prometheus",),
            prefix="prometheus",
        ),
        Recipe(
            name="zsh",
            executables=("zsh",),
            minimum=(5, 8),
            packages=("zsh",),
            suites=("bookworm", "trixie"),
            any_suite=False,
        ),
        Recipe(
            name="fish",
            executables=("fish",),
            minimum=(3, 3),
            packages=("fish",),
            suites=("bookworm", "trixie"),
            any_suite=False,
        ),
        Recipe(
            name="sshd",
            executables=("sshd",),
            minimum=(9, 2),  # the first that tells its version
            packages=("openssh-server", "openssh-client"),
            suites=("bookworm",),
            any_suite=False,  # a later one starts a second program from a place of its own
            version_option="-V",
        ),
        Recipe(
            name="docker",
            executables=("dockerd",),
            minimum=(20, 10),
            packages=("docker.io", "iptables"),
            suites=("bookworm", "trixie"),  # its programs start each other with the machine's libc
            any_suite=False,
        ),
        Recipe(
            name="docker-compose",
            executables=("docker-compose",),
            minimum=(2,),  # 1.x is another program
            packages=("docker-compose",),
            suites=("sid",),
            any_suite=False,
            version_option="version",
        ),
    )
}
