"""A reseed from the look at both servers to a node that has the donor's data and history.

Order, and why: everything that can be refused is checked while the node is as it was. Then what
only the node has is on disk in the quarantine. Then, for a method that works inside the node's
server, its history becomes a mark that no server shares: data that is half made is nobody's, and
whoever looks at the node sees a transaction that nobody has, until the reseed has been run again
and ended. The donor's history is set last. At every point the whole may be begun again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from myha.binlog.errors import HealRefusedError
from myha.core.events import Kind
from myha.core.gtid import GtidSet, MariadbGtidSet
from myha.core.settings import is_on
from myha.errors import ConfigError, MyhaError
from myha.operations.heal.reseed import finish
from myha.operations.heal.reseed.backup import Backup
from myha.operations.heal.reseed.choose import choose
from myha.operations.heal.reseed.clone import Clone, end_earlier
from myha.operations.heal.reseed.dump import objects
from myha.operations.heal.reseed.dump.copy import Dump
from myha.operations.heal.reseed.errant_quarantine import errant_of, quarantine_errant
from myha.operations.heal.reseed.order import Method, ReseedOrder, ReseedPlan, ReseedReport
from myha.operations.heal.reseed.process import NodeProcess, session_or_none
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import Meter, Reporter


def plan_reseed(order: ReseedOrder) -> ReseedPlan:
    """Which method would be used and what it would copy; changes nothing.

    Raises HealRefusedError when no method fits, MyhaError when a server cannot be asked.
    """
    with _donor(order) as donor:
        node = session_or_none(order.config, order.node)
        try:
            return choose(order, donor, node)
        finally:
            if node is not None:
                node.close()


def reseed_node(order: ReseedOrder, reporter: Reporter) -> ReseedReport:
    """Replace the node's data; it is left closed, not replicating, with the donor's history.

    Raises HealRefusedError when that is not possible, with the node's data as it was; MyhaError
    when it did not reach its end: the node is closed, and the reseed may be run again.
    """
    return _Reseed(order, reporter).run()


@contextmanager
def _donor(order: ReseedOrder) -> Iterator[ReseedSession]:
    try:
        donor = ReseedSession(order.config, order.donor)
    except ConfigError as error:
        raise HealRefusedError(f"a reseed needs the administrator's account: {error}") from error
    with donor:
        yield donor


class _Reseed:
    """One run; the methods are its steps, in order."""

    def __init__(self, order: ReseedOrder, reporter: Reporter) -> None:
        self._order = order
        self._config = order.config
        self._reporter = reporter
        self._process = NodeProcess(order.config, order.node, reporter)
        self._quarantine: Path | None = None
        self._fresh = False  # the node's data directory was made by this run
        self._state = ""  # what the node's history is set to

    def run(self) -> ReseedReport:
        began = time.monotonic()
        with _donor(self._order) as donor, ExitStack() as stack:
            self._clear_up(donor)
            node = self._ready_node(donor)
            stack.callback(lambda: node.close() if node is not None else None)
            plan = choose(self._order, donor, node)
            self._reporter.event(Kind.RESEED, f"{self._order.node} gets {plan}, from {donor.name}")
            if node is not None:
                finish.close(node)
                self._keep(donor, node)
            self._reporter.permit.require()
            try:
                copied, history = self._copy(plan, donor, node)
                Meter(self._reporter, "finish")
                self._finish(plan, history)
            except BaseException:
                self._close_again()
                raise
            self._process.forget_aside()
        return ReseedReport(
            plan.method, copied, time.monotonic() - began, str(history), self._quarantine
        )

    # --- before

    def _clear_up(self, donor: ReseedSession) -> None:
        """What an earlier run left on disk that this one can see, before anything is looked at."""
        process = self._process
        if not donor.flavour.backs_up or not process.is_ours or process.running():
            return
        if process.data_dir is not None:
            Backup.leftovers(process.host, process.data_dir)

    def _ready_node(self, donor: ReseedSession) -> ReseedSession | None:
        """A session on the node's server; None where none is needed: its files will be replaced."""
        order = self._order
        end_earlier(self._config, order.node, self._process)
        node = session_or_none(self._config, order.node)
        if node is None:
            node = self._bring_up(donor)
        if node is None:
            return None
        try:
            self._check(donor, node)
        except BaseException:
            node.close()
            raise
        return node

    def _bring_up(self, donor: ReseedSession) -> ReseedSession | None:
        name = self._order.node
        process = self._process
        if not process.is_ours:
            raise HealRefusedError(
                f"{name}: its server does not run, and myha cannot start it; start it on its "
                f"host, or set {self._config.table_of(name)}.start_command with pid_file or "
                "stop_command"
            )
        if process.data_is_lost:
            text = f"{name}: the data directory {process.data_dir} is lost"
            self._reporter.event(Kind.RESEED, f"{text}; there is nothing to quarantine")
            try:
                plan = choose(self._order, donor, None)
            except HealRefusedError as error:
                raise HealRefusedError(f"{text}; {error.reason}") from error
            if plan.method is Method.BACKUP:
                return None
            process.initialise()
            self._fresh = True
        Meter(self._reporter, "start the server")
        try:
            process.start()
            return process.session()
        except MyhaError as error:
            if self._fresh or not self._order.accept_loss:
                raise HealRefusedError(
                    f"{name}: its server does not start, so its errant transactions cannot be put "
                    f"into quarantine: {error}"
                ) from error
            self._reporter.event(Kind.LOSS, f"accepted: {name} does not start: {error}")
            return self._begin_anew(donor)

    def _begin_anew(self, donor: ReseedSession) -> ReseedSession | None:
        """A server that does not start, and whose data may be lost: with an empty directory."""
        if choose(self._order, donor, None).method is Method.BACKUP:
            return None
        self._process.move_data_aside()
        self._process.initialise()
        self._fresh = True
        self._process.start()
        return self._process.session()

    def _check(self, donor: ReseedSession, node: ReseedSession) -> None:
        identity = "SELECT @@GLOBAL.server_id AS i, @@GLOBAL.port AS p, @@GLOBAL.hostname AS h"
        if node.flavour is not donor.flavour:
            raise HealRefusedError(f"{node.name} and {donor.name} are not the same kind of server")
        if node.query_named(identity) == donor.query_named(identity):
            raise HealRefusedError(f"{node.name} and {donor.name} are the same server")
        if self._order.seed or self._fresh:
            return
        if not is_on(str(node.value("SELECT @@GLOBAL.read_only"))):
            raise HealRefusedError(
                f"{node.name} takes writes; fence it first: myha fence {node.name}"
            )

    def _keep(self, donor: ReseedSession, node: ReseedSession) -> None:
        if self._order.seed or self._fresh:
            return
        errant = errant_of(node, donor)
        if errant.is_empty():
            return
        Meter(self._reporter, "quarantine", total=float(errant.count()), unit="transactions")
        try:
            self._quarantine = quarantine_errant(
                self._config, node, donor, errant, self._order.incident
            )
        except HealRefusedError as error:
            if not self._order.accept_loss:
                raise
            self._reporter.event(Kind.LOSS, f"accepted: {error.reason}")
            return
        self._reporter.event(
            Kind.QUARANTINE,
            f"{errant.count()} transactions of {node.name} are in {self._quarantine}",
            path=str(self._quarantine),
        )
        # Fewer than before there may be: a donor whose log was reset gives their names anew.
        if not errant.contains(errant_of(node, donor)):
            raise MyhaError(
                f"{node.name}: another session writes to it; nothing was replaced; run this again"
            )

    # --- the copy

    def _copy(
        self, plan: ReseedPlan, donor: ReseedSession, node: ReseedSession | None
    ) -> tuple[int, GtidSet]:
        if plan.method is Method.BACKUP:
            return self._back_up(plan, donor)
        if node is None:
            raise HealRefusedError(f"{self._order.node}: its server does not run")
        if plan.method is Method.CLONE:
            return self._clone(plan, donor, node)
        return self._dump(donor, node)

    def _clone(
        self, plan: ReseedPlan, donor: ReseedSession, node: ReseedSession
    ) -> tuple[int, GtidSet]:
        finish.fix_settings(self._config, node.name, donor.name, only_before=True)
        work = Clone(self._config, donor, node, self._process, self._reporter)
        try:
            work.prepare()
            # Until its server ends: dropping the old data is a write like any other.
            node.do("let_us_write")
            node.mark()
            node.roll_back_prepared()
            # The clone would do so itself, but fails at names that it does not quote rightly.
            objects.drop_all(node, self._reporter)
            return work.run(plan.size_bytes)
        finally:
            work.clean_up()

    def _dump(self, donor: ReseedSession, node: ReseedSession) -> tuple[int, GtidSet]:
        if not self._order.seed:
            finish.fix_settings(self._config, node.name, donor.name, only_before=True)
        with closing(Dump(self._config, donor.name, node.name, self._reporter)) as work:
            history = work.prepare()
            self._state = _state(donor, history)
            with node.writable():
                node.forget_replication()
                node.mark()
                node.roll_back_prepared()
                work.run()
            return work.copied_bytes, history

    def _back_up(self, plan: ReseedPlan, donor: ReseedSession) -> tuple[int, GtidSet]:
        work = Backup(self._config, donor, self._process, self._reporter)
        work.clear_up()
        try:
            copied, written = work.make(plan.size_bytes)
            self._reporter.permit.require()
            Meter(self._reporter, "exchange")
            self._process.stop()
            work.exchange()
            self._process.start()
        except BaseException:
            work.undo()
            raise
        with self._process.session() as node:
            finish.close(node)
            applied = MariadbGtidSet.parse(str(node.value("SELECT @@GLOBAL.gtid_slave_pos")))
            history = written.union(applied)
        self._state = _state(donor, history)
        work.forget_old()
        return copied, history

    # --- afterwards

    def _close_again(self) -> None:
        """After a failure; silent: a node that cannot be reached starts closed."""
        with suppress(MyhaError):
            node = session_or_none(self._config, self._order.node)
            if node is not None:
                with node:
                    finish.close(node)

    def _finish(self, plan: ReseedPlan, history: GtidSet) -> None:
        with self._process.session() as node:
            finish.close(node)
            finish.clean(node)
        if not self._order.seed:
            finish.fix_settings(self._config, self._order.node, self._order.donor)
        with self._process.session() as node:
            if plan.method is not Method.CLONE:
                with node.writable():
                    node.set_history(history, self._state)
            finish.close(node)
            finish.check(node, history)


def _state(donor: ReseedSession, history: GtidSet) -> str:
    """What the node's history is set to, to be what it is on the donor. Raises MyhaError."""
    try:
        return donor.flavour.history(donor, history)
    except ValueError as error:
        raise MyhaError(f"{donor.name}: its history cannot be taken over: {error}") from error
