"""Carries a replica's plans out: under the pair's epoch, and the replica's own record."""

from __future__ import annotations

from typing import Any

from myha.core.followers.plans import ChangeFollower, Follow, StopAcknowledging
from myha.core.plans import Step
from myha.errors import StoreConflictError
from myha.ports import FollowerStore, FollowingServer
from myha.supervisor.executor import Executor, Performer, Run, Tools


class FollowerExecutor(Executor):
    """Of the replica `server`. `tools` has it among its servers, with adapters of its own for the
    nodes of the pair: what is done here waits for no session that the pair's plans use."""

    def __init__(self, tools: Tools, server: FollowingServer, followers: FollowerStore) -> None:
        self.server = server
        self.followers = followers
        super().__init__(tools)

    def _standing(self, run: Run) -> tuple[int, int] | None:
        """The pair's epoch; its version may change under the plan: the pair arms, or a node of it
        comes and goes, and that is nothing to a replica."""
        record, own = self.tools.store.read(), self.followers.read(run.plan.node)
        return None if record is None or own is None else (record.epoch, own.version)

    def _table(self) -> dict[type[Step], Performer]:
        return {
            **super()._table(),
            ChangeFollower: self._change_follower,
            Follow: self._follow,
            StopAcknowledging: self._stop_acknowledging,
        }

    def _change_follower(self, run: Run, step: Any) -> None:
        own = self.followers.read(step.node)
        if own is None or own.version != run.version:
            raise StoreConflictError(f"something else has changed the record of {step.node}")
        changed = own.with_entry(step.entry)
        self.followers.compare_and_set(step.node, own.version, changed)
        run.version = changed.version

    def _follow(self, _run: Run, step: Any) -> None:
        self.server.follow(step.source, step.deadline_seconds, clears_filters=step.clears_filters)

    def _stop_acknowledging(self, _run: Run, step: Any) -> None:
        self.server.stop_acknowledging(step.deadline_seconds)
