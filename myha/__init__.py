"""myha: a replication manager for MySQL and MariaDB master-master pairs."""

__version__ = "0.1.0"
