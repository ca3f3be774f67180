"""myha: a replication manager for MySQL and MariaDB master-master pairs."""

__version__ = "0.2.0.dev0"
