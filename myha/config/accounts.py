"""Logins: who they are in myha.toml, and their passwords from the environment or from files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from myha.config.values import FilePath, Table, User
from myha.core.values import value
from myha.errors import ConfigError

PASSWORD_LIMIT_BYTES = 4096
REPLICATION_PASSWORD_LIMIT_CHARS = 32  # what CHANGE REPLICATION SOURCE / CHANGE MASTER accept

Role = Literal["admin", "supervisor", "replication", "drill"]


@value(frozen=True, slots=True)
class Account:
    """A login; `password.get_secret_value()` gives the password, which repr and str hide."""

    user: str
    password: SecretStr


class AccountsConfig(Table):
    """Logins. A password comes from its file, or from MYHA_<ROLE>_PASSWORD, which wins."""

    admin_user: User = Field(
        "root",
        description="Administrator on both nodes, for setup, repair and reseed; the supervisor "
        "itself never uses it.",
    )
    admin_password_file: FilePath = Field(
        Path("secrets/admin"),
        description="File with its password; or environment MYHA_ADMIN_PASSWORD.",
    )
    supervisor_user: User = Field(
        "myha", description="The daemon's account, which setup makes with least privileges."
    )
    supervisor_password_file: FilePath = Field(
        Path("secrets/supervisor"),
        description="File with its password; or environment MYHA_SUPERVISOR_PASSWORD.",
    )
    replication_user: User = Field(
        "myha_repl", description="The account with which the nodes replicate; setup makes it."
    )
    replication_password_file: FilePath = Field(
        Path("secrets/replication"),
        description="File with its password, at most 32 characters; "
        "or environment MYHA_REPLICATION_PASSWORD.",
    )
    drill_user: User = Field(
        "app",
        description="An application's account for the drill's clients; only the drill uses it.",
    )
    drill_password_file: FilePath = Field(
        Path("secrets/app"),
        description="File with its password; or environment MYHA_DRILL_PASSWORD.",
    )
    tls: Literal["auto", "require", "off"] = Field(
        "auto",
        description='Encryption: "auto" (TLS where the server offers it), "require", "off".',
    )

    _source: Path = PrivateAttr(default=Path("myha.toml"))

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._source = context["path"]

    @model_validator(mode="before")
    @classmethod
    def _default_files(cls, data: object) -> object:
        # Defaults too count from the file's folder: give them as text, as if the user had.
        if isinstance(data, dict):
            files = {k: str(f.default) for k, f in cls.model_fields.items() if k.endswith("_file")}
            return files | data
        return data

    def admin(self) -> Account:
        """The administrator's login; ConfigError when its password cannot be read."""
        return self._account("admin")

    def supervisor(self) -> Account:
        """The daemon's login; ConfigError when its password cannot be read."""
        return self._account("supervisor")

    def replication(self) -> Account:
        """The nodes' login to each other; ConfigError when its password cannot be read or used."""
        account = self._account("replication")
        length = len(account.password.get_secret_value())
        if length > REPLICATION_PASSWORD_LIMIT_CHARS:
            raise ConfigError(
                f"{self._source}: accounts.replication_password_file: the password has {length} "
                f"characters, replication takes at most {REPLICATION_PASSWORD_LIMIT_CHARS}; "
                "choose a shorter one"
            )
        return account

    def drill(self) -> Account:
        """The drill's clients' login; ConfigError when its password cannot be read."""
        return self._account("drill")

    def _account(self, role: Role) -> Account:
        user: str = getattr(self, f"{role}_user")
        variable = f"MYHA_{role.upper()}_PASSWORD"
        from_environment = os.environ.get(variable, "")
        if from_environment:
            return Account(user, SecretStr(from_environment))
        file: Path = getattr(self, f"{role}_password_file")
        try:
            return Account(user, SecretStr(read_password(file)))
        except PasswordError as error:
            raise ConfigError(
                f"{self._source}: accounts.{role}_password_file: {error} (or set {variable})"
            ) from None


class PasswordError(Exception):
    """Why a password file does not serve, with the remedy, without the key."""


def read_password(file: Path) -> str:
    """The one line of a password file that only its owner can read."""
    try:
        status = file.stat()
    except OSError as error:
        raise PasswordError(
            f"cannot read {file} ({error.strerror}); put the password into it and chmod 600 it"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise PasswordError(f"{file} is not a file; name a file that holds the password")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise PasswordError(f"others can read {file} (mode {mode:04o}); run: chmod 600 {file}")
    if status.st_size > PASSWORD_LIMIT_BYTES:
        raise PasswordError(
            f"{file} is longer than {PASSWORD_LIMIT_BYTES} bytes; it must hold one line"
        )
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise PasswordError(
            f"cannot read {file} ({error.strerror}); let this user own it"
        ) from None
    except UnicodeDecodeError:
        raise PasswordError(f"{file} is not UTF-8 text; write the password as text") from None
    if not text:
        raise PasswordError(f"{file} is empty; put the password into it")
    if "\n" in text or "\r" in text or "\0" in text:
        raise PasswordError(f"{file} has more than one line; leave only the password in it")
    return text
