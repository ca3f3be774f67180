"""[dns]: a name that follows the writer, for clients that no balancer of this site reaches."""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from myha.config.accounts import PasswordError, read_password
from myha.config.values import OptionalPath, Table, split_address
from myha.errors import ConfigError


class DnsConfig(Table):
    """A name in DNS that points to where the writer is, changed by dynamic update (RFC 2136)."""

    server: str = Field(
        "",
        description='The server that takes updates of the zone, as "address:port" with an IP '
        "address; empty: no name is changed.",
    )
    zone: str = Field("", description='The zone, like "example.com".')
    name: str = Field("", description='The name in it that is changed, like "db.example.com".')
    ttl_seconds: int = Field(
        5, ge=0, le=86400, description="For how long others may keep the answer."
    )
    key_name: str = Field("", description="Name of the TSIG key that updates are signed with.")
    key_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        "hmac-sha256", description="Its algorithm."
    )
    key_file: OptionalPath = Field(
        None,
        description="File with the key's secret in base64; empty: updates are not signed.",
    )
    timeout_seconds: float = Field(
        5.0,
        ge=0.1,
        le=60,
        description="How long one question or update may take; one that fails is tried again.",
    )

    @field_validator("server")
    @classmethod
    def _address(cls, server: str) -> str:
        if not server:
            return server
        host, _ = split_address(server)
        try:
            ip_address(host)
        except ValueError:
            raise ValueError(
                'must be "address:port" with an IP address, since a name would have to be asked '
                "for first"
            ) from None
        return server

    def secret(self) -> SecretStr | None:
        """The key, in base64; None where updates are not signed. ConfigError when its file does
        not serve."""
        if self.key_file is None:
            return None
        try:
            text = read_password(self.key_file)
        except PasswordError as error:
            raise ConfigError(f"dns.key_file: {error}") from None
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error:
            raise ConfigError(
                f"dns.key_file: {self.key_file} does not hold a key in base64; put there what "
                "`tsig-keygen` prints as its secret"
            ) from None
        return SecretStr(text)
