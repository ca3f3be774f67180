"""Where the etcd cluster is that keeps the record, for `cluster.store = "etcd"`."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, field_validator, model_validator

from myha.config.accounts import PasswordError, read_password
from myha.config.values import OptionalPath, Table
from myha.errors import ConfigError

PASSWORD_VARIABLE = "MYHA_ETCD_PASSWORD"
_ENDPOINT = re.compile(r"https?://[^/\s]+:\d+")


class EtcdConfig(Table):
    """The etcd cluster of `cluster.store = "etcd"`. Without endpoints there is none."""

    endpoints: tuple[str, ...] = Field(
        (),
        strict=False,
        description="Client addresses of its members, `http://HOST:PORT` or `https://HOST:PORT`.",
    )
    prefix: str = Field(
        "/myha", description="What its keys begin with; the pair's name comes behind it."
    )
    lease_seconds: int = Field(
        2,
        ge=2,
        le=60,
        description="How long a supervisor that is lost keeps others from acting; it is renewed "
        "five times in that. etcd grants no less than one and a half of its election timeouts.",
    )
    call_deadline_seconds: float = Field(
        0.4, ge=0.05, le=10, description="After so long without an answer another member is asked."
    )
    ca_file: OptionalPath = Field(
        None, description="Certificates of the authorities that sign the members' certificates."
    )
    cert_file: OptionalPath = Field(
        None, description="This supervisor's certificate, where etcd asks for one."
    )
    key_file: OptionalPath = Field(None, description="The key of that certificate.")
    user: str = Field("", description="User of etcd's own authentication; empty without it.")
    password_file: OptionalPath = Field(
        None, description=f"File with its password; or environment {PASSWORD_VARIABLE}."
    )

    _source: Path = PrivateAttr(default=Path("myha.toml"))

    def model_post_init(self, context: Any, /) -> None:
        if context:
            self._source = context["path"]

    @field_validator("endpoints")
    @classmethod
    def _are_addresses(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        for one in endpoints:
            if not _ENDPOINT.fullmatch(one):
                raise ValueError(f"{one!r} is no http://HOST:PORT or https://HOST:PORT")
        if len({one.split(":", 1)[0] for one in endpoints}) > 1:
            raise ValueError("either all members are https, or none")
        return endpoints

    @field_validator("prefix")
    @classmethod
    def _is_a_path(cls, prefix: str) -> str:
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise ValueError("begins with a slash and ends without one, like /myha")
        return prefix

    @model_validator(mode="after")
    def _files_fit(self) -> EtcdConfig:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        plain = bool(self.endpoints) and self.endpoints[0].startswith("http:")
        if plain and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file are of no use with http:// endpoints")
        return self

    def tls(self) -> ssl.SSLContext | None:
        """None for plain http. ConfigError when a file cannot be used."""
        if not self.endpoints or self.endpoints[0].startswith("http:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self._source}: etcd: its certificates or key cannot be read: {error}"
            ) from None
        return context

    def password(self) -> str:
        """ConfigError when it cannot be read."""
        found = os.environ.get(PASSWORD_VARIABLE)
        if found is not None:
            return found
        if self.password_file is None:
            raise ConfigError(
                f"{self._source}: etcd.user needs etcd.password_file, or {PASSWORD_VARIABLE}"
            )
        try:
            return read_password(self.password_file)
        except PasswordError as error:
            raise ConfigError(f"{self._source}: etcd.password_file: {error}") from None
