"""[address]: one address in front of several balancers, which keepalived on their hosts moves."""

from __future__ import annotations

import re
from ipaddress import IPv4Interface
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from myha.config.accounts import PasswordError, read_password
from myha.config.values import OptionalPath, Table
from myha.errors import ConfigError

PASSWORD_LIMIT_CHARS = 8  # what an advertisement of VRRP 2 has room for


class AddressConfig(Table):
    """The address that clients connect to, shared by the balancers; keepalived moves it."""

    ip: str = Field(
        "",
        description='The address with the length of its network, "10.0.0.100/24"; empty: there is '
        "none. Needs two balancers or more, each with interface.",
    )
    router_id: int = Field(
        51,
        ge=1,
        le=255,
        description="Number of the address among all that VRRP moves on the same network.",
    )
    transport: Literal["unicast", "multicast"] = Field(
        "unicast",
        description='How the balancers\' hosts tell each other that they live: "unicast" (each '
        'balancer needs host), or "multicast" (the network has to pass it on).',
    )
    advert_seconds: float = Field(
        0.1,
        ge=0.02,
        le=40,
        description="Time between two such words of the host that has the address. One that is "
        "silent for three times as long, and a little, has lost it.",
    )
    password_file: OptionalPath = Field(
        None,
        description="File with a password of at most 8 characters that they go with; empty: none. "
        "Only version 2 of VRRP has one, and needs advert_seconds in whole seconds.",
    )
    answer_seconds: float = Field(
        0.5,
        ge=0.1,
        le=10,
        description="A HAProxy that does not answer its own host for this long has hung, and the "
        "address moves.",
    )
    preference_seconds: float = Field(
        3.0,
        ge=0.5,
        le=300,
        description="How long a balancer is preferred when the supervisor does not say so again.",
    )
    auto_failback: bool = Field(
        default=False,
        description="Give the address back to the preferred balancer.",
    )
    preferred: str = Field("", description="The balancer that should have it; empty: any.")
    failback_after_seconds: float = Field(
        300.0,
        ge=0,
        le=604800,
        description="For how long that balancer must have routed as it should before that.",
    )

    @field_validator("ip")
    @classmethod
    def _with_network(cls, ip: str) -> str:
        if not ip:
            return ip
        try:
            found = IPv4Interface(ip)
        except ValueError:
            found = None
        if found is None or "/" not in ip:
            raise ValueError(
                'must be an IPv4 address with the length of its network, like "10.0.0.100/24"'
            )
        return str(found)

    @property
    def host(self) -> str:
        """The address alone, as clients use it. ValueError when there is none."""
        return str(IPv4Interface(self.ip).ip)

    def password(self) -> SecretStr | None:
        """None where there is none. ConfigError when its file does not serve."""
        if self.password_file is None:
            return None
        key = "address.password_file"
        try:
            text = read_password(self.password_file)
        except PasswordError as error:
            raise ConfigError(f"{key}: {error}") from None
        if len(text) > PASSWORD_LIMIT_CHARS or not re.fullmatch(r"[A-Za-z0-9._+-]+", text):
            raise ConfigError(
                f"{key}: the password in {self.password_file} must be of at most "
                f"{PASSWORD_LIMIT_CHARS} letters, digits, ., _, + and -; choose another"
            )
        return SecretStr(text)
