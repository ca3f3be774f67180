"""Kinds of values in myha.toml: addresses, paths, names, each checked when it is read."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

SOCKET_PATH_LIMIT_BYTES = 96  # 107 in the kernel; HAProxy binds it under a longer, temporary name
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")

Problem = tuple[str, str]  # dotted key; what is wrong with it and what to do


def split_address(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` in its parts; ValueError when it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('must put an IPv6 address in brackets, like "[::1]:3307"')
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not colon or not host or any(c.isspace() for c in host) or not 1 <= number <= 65535:
        raise ValueError('must be "host:port" with a port from 1 to 65535, like "127.0.0.1:3307"')
    return host, number


def join_address(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_unix_socket(socket: str) -> bool:
    """Whether a balancer's `socket` is a path rather than `host:port`."""
    return "/" in socket


def _rooted(value: object, info: ValidationInfo) -> object:
    """A path counted from the configuration file's folder; an empty one is None."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    folder = info.context["folder"] if info.context else Path.cwd()
    return folder / Path(value).expanduser()


def _host(value: str) -> str:
    if not value:
        raise ValueError("is empty; put the machine's name or address here")
    if any(c.isspace() or c in "/,;'\"" for c in value):
        raise ValueError("must be one host name or address, without a port")
    return value


def _own_ipv4(value: str) -> str:
    try:
        return str(IPv4Address(value)) if value else value
    except ValueError:
        raise ValueError("must be an IPv4 address, without a port") from None


def _address(value: str) -> str:
    split_address(value)
    return value


def _socket(value: str) -> str:
    if not is_unix_socket(value):
        split_address(value)
    elif not value.startswith("/"):
        raise ValueError('must be an absolute path, or "host:port"')
    elif len(value.encode()) > SOCKET_PATH_LIMIT_BYTES:
        raise ValueError(f"must be a path of at most {SOCKET_PATH_LIMIT_BYTES} bytes; shorten it")
    return value


def _user(value: str) -> str:
    if not 1 <= len(value) <= 32 or any(c in "'\"`\\" or not c.isprintable() for c in value):
        raise ValueError("must be 1 to 32 printable characters without quotes")
    return value


Host = Annotated[str, AfterValidator(_host)]
OwnIPv4 = Annotated[str, AfterValidator(_own_ipv4)]  # or empty
Port = Annotated[int, Field(ge=1, le=65535)]
Address = Annotated[str, AfterValidator(_address)]
User = Annotated[str, AfterValidator(_user)]
SocketAddress = Annotated[str, AfterValidator(_socket)]
FilePath = Annotated[Path, BeforeValidator(_rooted)]
OptionalPath = Annotated[Path | None, BeforeValidator(_rooted)]
Words = Annotated[tuple[str, ...], Field(strict=False)]


class Table(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        defer_build=True,  # most are only ever read as part of another, and built as that
    )
