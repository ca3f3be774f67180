"""myha.toml as frozen values: every key with its meaning, bounds and default, and how keys relate.

Passwords are not part of the values: they are read when an account is asked for, from the
environment or from a file that only its owner can read. Every complaint is a ConfigError that names
the file, the dotted key and the remedy, one line for each problem.
"""

from myha.config.accounts import REPLICATION_PASSWORD_LIMIT_CHARS, Account
from myha.config.api import ApiConfig
from myha.config.balancers import BalancerConfig, HAProxyConfig
from myha.config.document import Config
from myha.config.load import DEFAULT_PATHS, load, load_all, load_ordered
from myha.config.messages import HookConfig, NotifyConfig
from myha.config.supervisor import ProcessConfig, SupervisorConfig
from myha.config.tables import TABLES, shown_default, toml_value
from myha.config.values import is_unix_socket, join_address, split_address

__all__ = [
    "DEFAULT_PATHS",
    "REPLICATION_PASSWORD_LIMIT_CHARS",
    "TABLES",
    "Account",
    "ApiConfig",
    "BalancerConfig",
    "Config",
    "HAProxyConfig",
    "HookConfig",
    "NotifyConfig",
    "ProcessConfig",
    "SupervisorConfig",
    "is_unix_socket",
    "join_address",
    "load",
    "load_all",
    "load_ordered",
    "shown_default",
    "split_address",
    "toml_value",
]
