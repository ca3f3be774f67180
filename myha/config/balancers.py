"""The kinds of [balancers.NAME]: each has a table of its own, `kind` says which."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails

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


BalancerConfig: TypeAlias = HAProxyConfig  # with several kinds their union
BALANCER_KINDS: dict[str, type[BalancerConfig]] = {"haproxy": HAProxyConfig}


def _of_its_kind(table: object, info: ValidationInfo) -> object:
    """The table checked as that of its kind. pydantic's own union has no default kind."""
    if not isinstance(table, dict):
        return table
    kind = table.get("kind", DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in BALANCER_KINDS:
        known = " or ".join(repr(one) for one in BALANCER_KINDS)
        unknown = InitErrorDetails(
            type="literal_error", loc=("kind",), input=kind, ctx={"expected": known}
        )
        raise ValidationError.from_exception_data("balancer", [unknown])
    return BALANCER_KINDS[kind].model_validate(table, context=info.context)


OfItsKind = BeforeValidator(_of_its_kind)
