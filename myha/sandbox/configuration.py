"""The myha.toml of a sandbox, as text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from myha.sandbox.address import INTERFACE, WITH_NETWORK
from myha.sandbox.node_files import NodeFiles
from myha.sandbox.servers import ADMIN_USER, APP_USER

_quoted = json.dumps  # a TOML basic string is written like JSON's


@dataclass(frozen=True)
class BalancerAddresses:
    """Where one balancer listens: for myha (a path or "host:port"), for writers, for readers."""

    name: str
    socket: str
    writer: tuple[str, int]
    reader: tuple[str, int]


@dataclass(frozen=True)
class ConfigurationText:
    """What the file is made of. `fences`: whether a node's process may be ended to fence it.
    `address`: whether the balancers, each on a host of its own, share one."""

    directory: Path  # the sandbox's
    mode: str
    durability: str
    state_dir: Path
    nodes: Mapping[str, NodeFiles]
    replicas: Mapping[str, NodeFiles]
    balancers: Iterable[BalancerAddresses]
    fences: bool
    address: bool = False
    etcd: tuple[str, ...] = ()  # its endpoints; none: the record is a file
    api: bool = True

    def text(self) -> str:
        lines = [
            "# A myha sandbox: everything in this file was made by `myha sandbox up`.",
            "[cluster]",
            f"name = {_quoted('sandbox')}",
            f"mode = {_quoted(self.mode)}",
            f"durability = {_quoted(self.durability)}",
            f"state_dir = {_quoted(str(self.state_dir))}",
            *(['store = "etcd"', "", "[etcd]"] if self.etcd else []),
            *([f"endpoints = {_quoted(list(self.etcd))}"] if self.etcd else []),
            "",
        ]
        for name, node in self.nodes.items():
            lines += [f"[nodes.{name}]", *self._server(node), *self._node(node), ""]
        for name, node in self.replicas.items():
            lines += [f"[replicas.{name}]", *self._server(node), ""]
        lines += [
            "[accounts]",
            f"admin_user = {_quoted(ADMIN_USER)}",
            f"drill_user = {_quoted(APP_USER)}",
            "",
        ]
        for balancer in self.balancers:
            lines += [
                f"[balancers.{balancer.name}]",
                f"socket = {_quoted(balancer.socket)}",
                f"writer_listen = {_quoted('{}:{}'.format(*balancer.writer))}",
                f"reader_listen = {_quoted('{}:{}'.format(*balancer.reader))}",
            ]
            if self.address:
                host, _ = balancer.writer
                lines += [f"host = {_quoted(host)}", f"interface = {_quoted(INTERFACE)}"]
            lines.append("")
        if self.address:
            lines += ["[address]", f"ip = {_quoted(WITH_NETWORK)}", ""]
        if not self.api:
            lines += ["[api]", "enabled = false", ""]
        return "\n".join(lines)

    def _server(self, node: NodeFiles) -> Iterator[str]:
        yield f"host = {_quoted(node.host)}"
        yield f"port = {node.port}"
        yield f"option_file = {_quoted(str(node.fragment))}"
        yield f"pid_file = {_quoted(str(node.pid_file))}"
        yield f"start_command = {_quoted([*node.launcher, *node.argv])}"
        yield f"data_dir = {_quoted(str(node.data_dir))}"
        yield f"init_command = {_quoted(self._module('initdata', node))}"
        if backup := node.program.companion("mariabackup"):
            yield f"backup_command = {_quoted([*node.launcher, *backup])}"

    def _node(self, node: NodeFiles) -> Iterator[str]:
        if node.replication_host:
            yield f"replication_host = {_quoted(node.replication_host)}"
        if self.fences:
            yield f"fence_command = {_quoted(self._module('fence', node))}"

    def _module(self, name: str, node: NodeFiles) -> list[str]:
        """The command line of a program of the sandbox package that acts on one node."""
        return [sys.executable, "-m", f"myha.sandbox.{name}", str(self.directory), node.name]
