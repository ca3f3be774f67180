"""`myha release` from beginning to end: look, check, show, ask, do, set the record aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing

from myha.config import Config
from myha.core.events import Kind
from myha.core.record import Membership, Record
from myha.errors import MyhaError, RefusedError, ServerError
from myha.operations.release.plan import Kind as StepKind
from myha.operations.release.plan import Step, Wishes, left, plan
from myha.operations.setup.apply import in_order, install
from myha.operations.setup.facts import Facts
from myha.operations.setup.gather import gather
from myha.operations.setup.session import AdminSession
from myha.progress import Tell
from myha.stores.factory import (
    forget,
    open_journal,
    require_record,
    store_location,
    supervisor_lease,
)
from myha.waiting import wait_until

ARRIVE_DEADLINE_SECONDS = 60.0
LOOK_SECONDS = 0.1
OVERRIDE = "--force"


class Release:
    """One run. `tell` shows a line; `confirm` asks whether to go on."""

    def __init__(
        self, config: Config, wishes: Wishes, tell: Tell, confirm: Callable[[], bool]
    ) -> None:
        """ConfigError when the administrator's password cannot be read."""
        self._config = config
        self._wishes = wishes
        self._tell = tell
        self._confirm = confirm
        self._admin = config.accounts.admin()

    def run(self, *, plan_only: bool = False, force: bool = False) -> None:
        """Raises MyhaError; RefusedError where `force` would go on."""
        record = require_record(self._config)
        with ExitStack() as stack:
            if not plan_only:
                self._keep_supervisors_away(stack)
            sessions = dict(self._sessions(stack, record, force=force))
            found = gather(self._config, sessions)
            refusals = [*self._standing(record), *self._channels(record, found)]
            if refusals and not force:
                raise RefusedError("\n".join(refusals), OVERRIDE)
            for one in refusals:
                self._tell(f"warning: {one}")
            steps = plan(self._config, found, record.writer, self._wishes)
            self._show(steps, found, record.writer)
            if plan_only:
                return
            if not self._confirm():
                self._tell("nothing was changed")
                return
            in_order(
                steps,
                lambda step: self._step(step, sessions, record),
                self._tell,
                what="release",
                then="correct this and run `myha release` again, it continues here; or `myha "
                "setup`, to keep the pair",
            )
            self._tell(
                "released: they replicate without myha. `myha setup` would take the pair over again"
            )

    def _keep_supervisors_away(self, stack: ExitStack) -> None:
        lease = supervisor_lease(self._config)
        try:
            lease.acquire()
        except MyhaError as error:
            raise MyhaError(f"{error}; stop the supervisor before the pair is released") from None
        stack.callback(lease.release)

    # --- looking

    def _sessions(
        self, stack: ExitStack, record: Record, *, force: bool
    ) -> Iterator[tuple[str, AdminSession]]:
        """On each server; one that is not reached is left out if that is so wished."""
        failures = []
        for name in (*self._config.names, *self._config.replicas):
            try:
                yield name, stack.enter_context(AdminSession(self._config, name, self._admin))
            except ServerError as error:
                failures.append((name, str(error)))
        if any(name == record.writer for name, _ in failures):
            raise MyhaError("\n".join(text for _, text in failures))
        if failures and not force:
            raise RefusedError("\n".join(text for _, text in failures), OVERRIDE)
        for name, text in failures:
            self._tell(
                f"warning: {text}: it is left as it is: read-only and not replicating when it "
                f"starts, with myha's settings and accounts; {name} is then yours to set up"
            )

    def _standing(self, record: Record) -> Iterator[str]:
        for name, entry in record.nodes:
            if entry.membership is not Membership.MEMBER:
                yield (
                    f"{name}: is {entry.membership} on record ({entry.reason}): let the supervisor "
                    "bring it back, or heal it, first"
                )

    def _channels(self, record: Record, found: Mapping[str, Facts]) -> Iterator[str]:
        """What does not replicate now would not afterwards, and nobody would tell."""
        for name in self._config.names:
            if name not in found or (name == record.writer and self._wishes.one_way):
                continue
            facts = found[name]
            if not any(one.receiver == one.applier == "ON" for one in facts.channels):
                errors = "".join(f" ({one.error})" for one in facts.channels if one.error)
                yield f"{name}: does not replicate{errors}: see `myha explain`, START REPLICA"

    # --- telling

    def _show(self, steps: list[Step], found: Mapping[str, Facts], writer: str) -> None:
        self._tell(f"the plan, {len(steps)} steps; {writer} serves meanwhile:")
        for step in steps:
            self._tell(f"  {step}")
        self._tell("what stays:")
        for line in left(self._config, found, writer, self._wishes):
            self._tell(f"  {line}")

    # --- doing

    def _step(self, step: Step, sessions: Mapping[str, AdminSession], record: Record) -> None:
        session = sessions[step.node]
        if step.kind is StepKind.RECORD:
            self._set_aside(record)
        elif step.kind is StepKind.FRAGMENT:
            file = self._config.servers[step.node].option_file
            assert file is not None
            install(file, step.text)
        elif step.kind is StepKind.SCHEMA:
            self._drop_schema(session, sessions, step)
        else:
            with session.writable():
                session.carry_out(step.block, step.values)

    def _drop_schema(
        self, session: AdminSession, sessions: Mapping[str, AdminSession], step: Step
    ) -> None:
        with session.writable(), session.logged():
            session.carry_out(step.block)
        dropped = session.executed()
        for name, other in sessions.items():
            if not other.flavour.channels(other):
                continue
            arrived = wait_until(
                lambda one=other: one.executed().contains(dropped),  # type: ignore[misc]
                ARRIVE_DEADLINE_SECONDS,
                LOOK_SECONDS,
            )
            if not arrived and name in self._config.nodes:
                raise MyhaError(f"{name} has not caught up after {ARRIVE_DEADLINE_SECONDS:.0f} s")

    def _set_aside(self, record: Record) -> None:
        with closing(open_journal(self._config)) as journal:
            text = f"released in epoch {record.epoch}; {record.writer} was the writer"
            journal.note(Kind.SETUP, text, {"at": f"{time.time():.0f}"})
        forget(self._config)
        self._tell(f"the record in {store_location(self._config)} is set aside")
