"""What an administrator does on a node that has been replaced, and should not: writes on it.

All of it goes into the ledger of errant rows once the server has said OK. The node is cut off from
its peer first, as it would be by whatever had isolated it, and made to wait for nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from myha.database.codes import UNKNOWN_VARIABLE, tolerated
from myha.database.session import Session
from myha.database.statements import Statements
from myha.drill.errant import ERRANT_CLIENT, ErrantLedger, ErrantRow, ErrantTable, in_flight
from myha.drill.rows import IdRow, Row
from myha.drill.target import Target
from myha.drill.worker import payload
from myha.errors import MyhaError, ServerError, ServerGoneError

OPEN_DEADLINE_SECONDS = 15.0
RETRY_SECONDS = 0.1
CHANGES = 10  # of each kind, each a transaction of its own
READ_ONLY = 1290
ERRANT_TABLE = "myha_drill_errant"


class Administrator:
    """Writes on one node of a target and notes it. Raises ServerError with one line."""

    def __init__(self, target: Target, node: str, ledger: ErrantLedger, seed: int) -> None:
        self._target = target
        self._node = node
        self._ledger = ledger
        self._seed = seed
        self._statements: Statements = target.flavour.statements("drill")

    def diverge(self, *, ddl: bool = False) -> int:
        """Errant inserts, deletes and updates on the node; how many rows they are.

        With `ddl` a table is made among them, which no undo takes back.
        """
        with ExitStack() as stack:
            session = self._isolated(stack)
            self._write(session, self._insert, range(1, CHANGES + 1))
            oldest = self._values(session, "drill_oldest", below=ERRANT_CLIENT, limit=2 * CHANGES)
            rows = [Row(*values) for values in oldest]
            if len(rows) < 2 * CHANGES:
                raise MyhaError(
                    f"node {self._node} has only {len(rows)} rows to update and delete:"
                    " let the clients write for longer"
                )
            if ddl:
                self._make_table(session)
            self._write(session, self._update, rows[:CHANGES])
            self._write(session, self._delete, rows[CHANGES:])
            held = self._target.tables_in(session)
        writer = next(name for name in self._target.config.nodes if name != self._node)
        # Read in this order: what the peer has by now is not errant.
        self._ledger.add(*in_flight(held, self._target.tables(writer), self._ledger.all().rows))
        return len(self._ledger.all())

    # -- one change each, all in one transaction -------------------------------------------------

    def _insert(self, session: Session, number: int) -> list[ErrantRow]:
        values = {
            "client": ERRANT_CLIENT,
            "number": number,
            "payload": payload(self._seed, ERRANT_CLIENT, number),
        }
        session.query(self._statements.one("drill_insert") % values)
        session.query(self._statements.one("drill_insert_id") % values)
        row = ErrantRow(None, self._row(session, ERRANT_CLIENT, number))
        return [row, *(ErrantRow(None, one) for one in self._ids(session, values))]

    def _update(self, session: Session, before: Row) -> list[ErrantRow]:
        after = before.spoilt(payload(self._seed, ERRANT_CLIENT + before.client, before.number))
        values = {"client": after.client, "number": after.number, "payload": after.payload}
        session.query(self._statements.one("drill_update") % values)
        return [ErrantRow(before, after)]

    def _delete(self, session: Session, before: Row) -> list[ErrantRow]:
        values = {"client": before.client, "number": before.number}
        ids = self._ids(session, values)
        for statement in self._statements.all("drill_delete"):
            session.query(statement % values)
        return [ErrantRow(before, None), *(ErrantRow(one, None) for one in ids)]

    def _make_table(self, session: Session) -> None:
        statement = self._statements.one("drill_errant_table")
        session.query(statement)
        self._ledger.add(ErrantTable(ERRANT_TABLE, statement))

    def _write(
        self,
        session: Session,
        change: Callable[[Session, Any], list[ErrantRow]],
        of: Sequence[Any],
    ) -> None:
        for one in of:
            session.query("BEGIN")
            errant = change(session, one)
            session.query("COMMIT")
            self._ledger.add(*errant)

    # -- looking ---------------------------------------------------------------------------------

    def _values(self, session: Session, name: str, **values: int) -> list[tuple[Any, ...]]:
        return session.query(self._statements.one(name) % values)

    def _row(self, session: Session, client: int, number: int) -> Row:
        (values,) = self._values(session, "drill_row_of", client=client, number=number)
        return Row(*values)

    def _ids(self, session: Session, values: dict[str, Any]) -> list[IdRow]:
        found = session.query(self._statements.one("drill_ids_of") % values)
        return [IdRow(*one) for one in found]

    # -- getting there ---------------------------------------------------------------------------

    def _isolated(self, stack: ExitStack) -> Session:
        """A session whose writes are taken, which ends with the stack.

        What the supervisor had sent to the node while it was frozen may be carried out only now,
        the end of all sessions among it.
        """
        ends = time.monotonic() + OPEN_DEADLINE_SECONDS
        while True:
            with ExitStack() as trying:
                try:
                    session = trying.enter_context(self._target.administrator(self._node))
                    self._isolate(session, ends)
                except ServerGoneError:
                    if time.monotonic() > ends:
                        raise
                    time.sleep(RETRY_SECONDS)
                    continue
                stack.push(trying.pop_all())
                return session

    def _isolate(self, session: Session, ends: float) -> None:
        """Until a write would be taken."""
        session.query(self._statements.one("drill_origin"))
        while not self._may_write(session, last=time.monotonic() > ends):
            time.sleep(RETRY_SECONDS)

    def _may_write(self, session: Session, *, last: bool) -> bool:
        for name in ("drill_wait_for_nobody", "drill_cut_off", "drill_let_administrators_write"):
            for statement in self._statements.all(name):
                _try(session, statement)
        try:
            session.query(self._statements.one("drill_touch"))
        except ServerError as error:
            if last or error.code != READ_ONLY:
                raise
            return False
        return True


def _try(session: Session, statement: str) -> None:
    """A server without semi-sync has none to turn off."""
    with tolerated(UNKNOWN_VARIABLE):
        session.query(statement)
