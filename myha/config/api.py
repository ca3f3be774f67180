"""[api]: where HTTP is answered, and who may ask and operate there. It is of the process."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from pydantic import Field, field_validator

from myha.config.values import OptionalPath, Problem, Table, Words, split_address

LOOPBACK = "127.0.0.1"


class ApiConfig(Table):
    """The HTTP API, with the page and the metrics: one for all pairs of a supervisor."""

    enabled: bool = Field(default=True, description="Whether HTTP is answered at all.")
    listen: str = Field(
        "",
        description='Where it is answered, as "address:port". Empty: on 127.0.0.1, on a free port '
        "that stays the same over restarts; `myha status --json` names it as url. Anything but "
        "loopback needs tls_certificate, tls_key and tokens_file.",
    )
    tls_certificate: OptionalPath = Field(
        None, description="File with the certificate and its chain, in PEM; empty: no TLS."
    )
    tls_key: OptionalPath = Field(None, description="File with its private key, in PEM.")
    tokens_file: OptionalPath = Field(
        None,
        description="File of the tokens, which `myha api token` changes. "
        "Empty: api.tokens in the state folder.",
    )
    names: Words = Field(
        (),
        description="Further names that a browser may call this supervisor by on loopback, as "
        "where a proxy is in front of it. Others are refused, against DNS rebinding.",
    )
    requests_per_second: int = Field(
        2000,
        ge=1,
        le=100_000,
        description="How many requests of one address are answered in a second; what exceeds them "
        "is told to wait.",
    )

    @field_validator("listen")
    @classmethod
    def _address(cls, listen: str) -> str:
        if listen:
            host, _ = split_address(listen)
            if host != "localhost":
                try:
                    ip_address(host)
                except ValueError:
                    raise ValueError(
                        'must be "address:port" with an IP address of this machine, or '
                        '"localhost:port"'
                    ) from None
        return listen

    @property
    def host(self) -> str:
        """The address that it listens at."""
        return split_address(self.listen)[0] if self.listen else LOOPBACK

    @property
    def port(self) -> int:
        """The port; 0: any that is free."""
        return split_address(self.listen)[1] if self.listen else 0

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


def api_problems(api: ApiConfig) -> Iterator[Problem]:
    """Contradictions between its keys."""
    if (api.tls_certificate is None) != (api.tls_key is None):
        missing = "tls_key" if api.tls_key is None else "tls_certificate"
        yield f"api.{missing}", "is empty; a certificate and its key go together"
    if not api.enabled or api.on_loopback:
        return
    for key in ("tls_certificate", "tls_key", "tokens_file"):
        if getattr(api, key) is None:
            yield (
                f"api.{key}",
                f"is empty; {api.listen} is not loopback, and there TLS and tokens are required",
            )
