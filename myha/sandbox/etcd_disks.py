"""A member of etcd whose disk is lost, and how it comes back, as an operator does it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from myha.errors import MyhaError
from myha.sandbox.etcd import Member, process_of
from myha.sandbox.programs import Program
from myha.stores.etcd.client import EtcdClient
from myha.waiting import wait_until

CALL_SECONDS, POLL_SECONDS = 10.0, 0.5
JOINS = ("--initial-cluster-state", "existing")  # counts while its data folder is empty


class _Administration(EtcdClient):
    """The calls by which the cluster's members change."""

    def number_of(self, peer: str) -> str:
        """The member that is reached there; empty: none is."""
        for one in self._call("cluster/member/list", {})["members"]:
            if peer in one.get("peerURLs", ()):
                return str(one["ID"])
        return ""

    def remove(self, number: str) -> None:
        self._call("cluster/member/remove", {"ID": number})

    def add(self, peer: str) -> None:
        self._call("cluster/member/add", {"peerURLs": [peer]})


@dataclass(frozen=True)
class EtcdDisks:
    """The data folders of the members. Every method raises MyhaError."""

    members: tuple[Member, ...]
    program: Program

    def lose(self, name: str) -> None:
        """Of a member that does not run."""
        shutil.rmtree(self._member(name).directory / "data")

    def lost(self) -> frozenset[str]:
        have = (one.name for one in self.members if (one.directory / "data").exists())
        return frozenset(one.name for one in self.members) - frozenset(have)

    def replace(self, name: str, deadline_seconds: float) -> None:
        """Take the member out of the cluster, put it in again as one that has nothing, start it.

        The others have to agree to either, so that a majority of the cluster has to be up; for some
        seconds after they have come up they still refuse (unhealthy cluster).
        """
        member = self._member(name)
        others = [one for one in self.members if one.name != name]
        trouble: list[MyhaError] = []

        def joins() -> bool:
            client = _Administration(tuple(one.endpoint for one in others), seconds=CALL_SECONDS)
            try:
                number = client.number_of(member.peer)
                if number:
                    client.remove(number)
                client.add(member.peer)
            except MyhaError as error:
                trouble.append(error)
                return False
            return True

        if not wait_until(others[0].reached(joins), deadline_seconds, POLL_SECONDS):
            raise trouble[-1]
        process_of(member, self.members, self.program, *JOINS).start(deadline_seconds)

    def _member(self, name: str) -> Member:
        return next(one for one in self.members if one.name == name)
