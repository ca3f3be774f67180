"""A heal's permit: it may go on for as long as the record says that it is under way."""

from __future__ import annotations

import time

from myha.config import Config
from myha.core.record import Cause
from myha.errors import MyhaError
from myha.permit import Permit
from myha.ports import JobOrder
from myha.stores.factory import read_follower, read_record, store_location

RECORD_EVERY_SECONDS = 0.05


def off_record(config: Config, order: JobOrder) -> str:
    """Why the record does not say that this heal is under way; empty when it does."""
    record = read_record(config)
    if record is None:
        return f"there is no record in {store_location(config)}"
    if (record.writer, record.epoch) != (order.writer, order.epoch):
        return f"the writer on record is {record.writer} since epoch {record.epoch}"
    if record.term != order.term:
        return "another supervisor has taken over"
    if order.node in config.replicas:
        replica = read_follower(config, order.node)
        if replica is None:
            return f"{order.node} is not on record"
        entry = replica.entry
    else:
        entry = record.node(order.node)
    if entry.cause is not Cause.HEALING or entry.heal is None:
        return f"{order.node} is not on record as being healed: it is {entry.membership}"
    if (entry.heal.id, entry.heal.method) != (order.id, order.method):
        return f"{order.node} is being healed by {entry.heal.method} on record, for another reason"
    return ""


class HealPermit(Permit):
    """The job's permit, which the record withdraws too. Once it does, it is so for good."""

    def __init__(self, job: Permit, config: Config, order: JobOrder) -> None:
        super().__init__()
        self._job = job
        self._config = config
        self._order = order
        self._asked_at = float("-inf")
        self._off_record = ""

    def refusal(self) -> str:
        now = time.monotonic()
        if now - self._asked_at >= RECORD_EVERY_SECONDS:
            self._asked_at = now
            self._ask_record()
        return self._withdrawn or self._job.refusal()

    def require_record(self) -> None:
        """Raises `MyhaError` with the reason; asked anew just before something is changed."""
        self._ask_record()
        if self._off_record:
            raise MyhaError(f"nothing was changed: {self._off_record}")

    def _ask_record(self) -> None:
        self._off_record = self._off_record or off_record(self._config, self._order)
        if self._off_record:
            self.withdraw(f"by the record: {self._off_record}")
