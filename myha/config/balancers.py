"""The kinds of [balancers.NAME]: each has a table of its own, `kind` says which."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from myha.config.values import Address, OwnIPv4, SocketAddress, Table

DEFAULT_KIND = "haproxy"


class HAProxyConfig(Table):
    """One balancer in front of the pair."""

    ends_sessions: ClassVar[bool] = True  # those that are open on a node that is taken out

    kind: Literal["haproxy"] = Field("haproxy", description='What it is: "haproxy".')
    socket: SocketAddress = Field(
        description='Its runtime socket with level admin: an absolute path, or "host:port".'
    )
    writer_listen: Address = Field(description='Where clients that write connect: "host:port".')
    reader_listen: Address = Field(description='Where clients that read connect: "host:port".')
    host: OwnIPv4 = Field(
        "",
        description="Its host's own address, beside address.ip, for the other balancers' hosts.",
    )
    interface: str = Field(
        "",
        pattern=r"^([^\s/\"']{1,15})?$",
        description='The network interface of its host that address.ip is put on, like "eth0".',
    )
    check_port: int = Field(
        9101,
        ge=1,
        le=65534,
        description="keepalived on its host asks HAProxy at this port of 127.0.0.1, with "
        "the right to read only, and reports at the next one.",
    )


def _kind(table: object) -> object:
    """`kind` of a table or of what was made of one; None for what is no table."""
    if isinstance(table, dict):
        return table.get("kind", DEFAULT_KIND)
    return getattr(table, "kind", None)


# With several kinds: their union, each with its tag.
AnyBalancer: TypeAlias = Annotated[HAProxyConfig, Tag("haproxy")]
BalancerConfig: TypeAlias = Annotated[AnyBalancer, Discriminator(_kind)]
BALANCER_KINDS: dict[str, type[AnyBalancer]] = {"haproxy": HAProxyConfig}
