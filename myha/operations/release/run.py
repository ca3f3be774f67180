"""`myha release` from beginning to end: look, check, show, ask, do, set the record aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace

from myha.config import Config
from myha.core.events import Kind
from myha.core.policy import Mode
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
from myha.words import listed

ARRIVE_DEADLINE_SECONDS = 60.0
LOOK_SECONDS = 0.1
OVERRIDE = "--force"
AS_IT_IS = (
    "is left as it is: read-only and not replicating when it starts, with myha's settings and "
    "accounts; it is then yours to set up"
)


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
            refuse_others(self._config, record, found)
            found, wishes = self._in_order(record, found, force=force)
            sessions = {name: sessions[name] for name in found}
            steps = plan(self._config, found, record.writer, wishes)
            self._show(steps, found, record.writer, wishes)
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
            left_out = any(name not in found for name in self._config.names)
            how = f"{record.writer} serves" if left_out else "they replicate"
            self._tell(f"released: {how} without myha. `myha setup` would take the pair over again")

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
            raise MyhaError(
                "\n".join(text for _, text in failures)
                + f"\n{record.writer} is the writer on record: without it nothing is given back; "
                "start it, or let the supervisor fail over first"
            )
        if failures and not force:
            raise RefusedError("\n".join(text for _, text in failures), OVERRIDE)
        for name, text in failures:
            self._tell(f"warning: {text}: {name} {AS_IT_IS}")

    def _in_order(
        self, record: Record, found: Mapping[str, Facts], *, force: bool
    ) -> tuple[dict[str, Facts], Wishes]:
        """Those that are given back, and how. RefusedError names the others, unless they are left.

        What the other node holds beyond the writer nobody has looked at then: its next start must
        not bring that to the writer.
        """
        amiss = dict(self._standing(record))
        amiss |= {name: why for name, why in self._channels(record, found) if name not in amiss}
        lines = [f"{name}: {why}" for name, why in amiss.items() if name in found]
        if lines and not force:
            raise RefusedError("\n".join(lines), OVERRIDE)
        for line in lines:
            name = line.partition(":")[0]
            rest = "its replication ends" if name == record.writer else f"{name} {AS_IT_IS}"
            self._tell(f"warning: {line}; {rest}")
        given = {n: one for n, one in found.items() if n == record.writer or n not in amiss}
        doubt = record.writer in amiss or not set(self._config.names) <= given.keys()
        return given, replace(self._wishes, one_way=self._wishes.one_way or doubt)

    def _standing(self, record: Record) -> Iterator[tuple[str, str]]:
        for name, entry in record.nodes:
            if entry.membership is not Membership.MEMBER:
                yield (
                    name,
                    f"is {entry.membership} on record ({entry.reason}): let the supervisor bring "
                    "it back, or heal it, first",
                )

    def _channels(self, record: Record, found: Mapping[str, Facts]) -> Iterator[tuple[str, str]]:
        """What does not replicate now would not afterwards, and nobody would tell."""
        for name, facts in found.items():
            if name == record.writer and self._wishes.one_way:
                continue
            if not any(one.receiver == one.applier == "ON" for one in facts.channels):
                errors = "".join(f" ({one.error})" for one in facts.channels if one.error)
                yield name, f"does not replicate{errors}: see `myha explain`, START REPLICA"

    # --- telling

    def _show(
        self, steps: list[Step], found: Mapping[str, Facts], writer: str, wishes: Wishes
    ) -> None:
        self._tell(f"the plan, {len(steps)} steps; {writer} serves meanwhile:")
        for step in steps:
            self._tell(f"  {step}")
        self._tell("what stays:")
        for line in left(self._config, found, writer, wishes):
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
            if name == step.node:
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


def refuse_others(config: Config, record: Record, found: Mapping[str, Facts]) -> None:
    """MyhaError when these are not the servers of the record, or not where the file has them.

    Nothing overrides that: it would open the wrong one for writes.
    """
    for name, facts in found.items():
        if record.store and facts.claim is not None and facts.claim[0] != record.store:
            raise MyhaError(
                f"{name}: the supervisor of another record has it ({facts.claim[1]}), not of that "
                f"in {store_location(config)}: release it with that one's configuration"
            )
    if config.cluster.mode is not Mode.SINGLE_WRITER or record.writer not in found:
        return
    opened = [name for name in config.names if name in found and not found[name].on("read_only")]
    if opened and record.writer not in opened:
        raise MyhaError(
            f"{record.writer}, the writer on record, is closed for writes, and {listed(opened)} is "
            "open: see whether the file has the address of the one for the other; or start the "
            "supervisor, which brings them in order, and stop it again"
        )
