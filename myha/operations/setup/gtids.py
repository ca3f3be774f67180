"""The first steps of an adoption: a pair that replicates is made to replicate by GTID, as it runs.

Which step comes next is told by the servers alone, so setup may be stopped after any of them and
run again. Each is safe by itself: on MySQL no server produces transactions with GTIDs before both
take them (`OFF_PERMISSIVE`), and none refuses those without before the last has arrived. A channel
finds its place by GTID only once it has been seen to have all that its source had.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from myha.config import Config
from myha.database.flavours.base import Channel
from myha.errors import MyhaError
from myha.operations.setup.actions import Action, Stage
from myha.operations.setup.adoption import needs_gtids
from myha.operations.setup.apply import Sessions, in_order
from myha.operations.setup.facts import Facts
from myha.operations.setup.session import AdminSession
from myha.progress import Tell
from myha.waiting import wait_until

START, DRAIN, PLACE = "start_replication", "drain", "place_by_gtid"
MODES = ("OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
LOOK_SECONDS = 0.1
ARRIVE_SLICE_SECONDS = 2
CONNECT_DEADLINE_SECONDS = 30.0
STUCK_SECONDS = 60.0


def adopting(config: Config, pair: tuple[Facts, Facts]) -> list[Action]:
    """What comes before everything else on a pair that replicates; nothing where that is so."""
    found = [*_stop_waiting(pair)]
    for facts, peer in (pair, pair[::-1]):
        found += _starting(config, facts, peer)
    found += _switch_on(pair)
    for facts, peer in (pair, pair[::-1]):
        found += _placing(config, facts, peer)
    return found


def _stop_waiting(pair: tuple[Facts, Facts]) -> Iterator[Action]:
    for facts in pair:
        if facts.on(f"rpl_semi_sync_{facts.flavour.source_word}_enabled"):
            sentence = (
                "let commits no longer wait for an acknowledgement (semi-sync), which its replica "
                "cannot give while it is changed; the supervisor makes them wait again"
            )
            yield Action(Stage.GTID, facts.node, sentence, "stop_waiting")


def _starting(config: Config, facts: Facts, peer: Facts) -> Iterator[Action]:
    """Stopped by an administrator, or by a setup that was stopped itself."""
    channel = facts.channel_to(peer, config.nodes[peer.node].replication_address)
    if channel is not None and "OFF" in (channel.receiver, channel.applier):
        sentence = f"start its replication from {peer.node}, which is stopped"
        yield Action(Stage.GTID, facts.node, sentence, START)


def _switch_on(pair: tuple[Facts, Facts]) -> Iterator[Action]:
    if not any(needs_gtids(facts) for facts in pair):
        return
    for facts in pair:
        if facts.variables.get("enforce_gtid_consistency", "ON").upper() != "ON":
            why = "a statement that no GTID can name is refused from then on"
            yield _set(facts, "enforce_gtid_consistency", "ON", why)
    present = {facts.node: MODES.index(facts.variables["gtid_mode"].upper()) for facts in pair}
    for level, why in (
        (1, "transactions with GTIDs are taken"),
        (2, "new transactions get GTIDs"),
    ):
        for facts in pair:
            if present[facts.node] < level:
                yield _set(facts, "gtid_mode", MODES[level], why)
    for facts in (*pair, *pair):  # twice: what came back to where it began is in the log again
        sentence = "wait until the last transaction without a GTID has ended and arrived"
        yield Action(Stage.GTID, facts.node, sentence, DRAIN)
    for facts in pair:
        if present[facts.node] < len(MODES) - 1:
            yield _set(facts, "gtid_mode", "ON", "every transaction has a GTID")


def _set(facts: Facts, variable: str, value: str, why: str) -> Action:
    return Action(
        Stage.GTID,
        facts.node,
        f"set {variable} = {value} now and at boot ({why})",
        "set_now_and_at_boot",
        words={"variable": variable, "value": value},
    )


def _placing(config: Config, facts: Facts, peer: Facts) -> Iterator[Action]:
    channel = facts.channel_to(peer, config.nodes[peer.node].replication_address)
    if channel is None:
        return
    behind = not facts.flavour.parse(facts.variables.get("gtid_slave_pos", "")).contains(
        peer.executed
    )
    if not channel.by_gtid or (facts.flavour.keeps_replica_position and behind):
        sentence = f"replicate from {peer.node} by GTID from where it is, in place of a position"
        if channel.by_gtid:
            sentence = f"note where it is in {peer.node}'s history, its own transactions included"
        yield Action(Stage.GTID, facts.node, sentence, PLACE)


def carry_out(sessions: Sessions, actions: list[Action], tell: Tell) -> None:
    """Every step of `adopting`, in order. MyhaError says what was done and how to go on."""
    in_order(
        actions,
        lambda action: _step(sessions, action, tell),
        tell,
        what="setup",
        then="the pair serves as before: correct this and run `myha setup` again, it continues "
        "here",
    )


def _step(sessions: Sessions, action: Action, tell: Tell) -> None:
    session = sessions[action.node]
    peer = next(one for name, one in sessions.items() if name != action.node)
    if action.block == START:
        _start(session)
    elif action.block == DRAIN:
        _drain(session, peer, tell)
    elif action.block == PLACE:
        _begin_by_gtid(session, peer, tell)
    else:
        with session.writable():
            session.carry_out(action.block, action.values, **action.words)


# --- MySQL: transactions without a GTID ---------------------------------------------------------


def _drain(session: AdminSession, peer: AdminSession, tell: Tell) -> None:
    """Until all of them have ended here, and the peer has applied what the binary log has then."""

    def ended() -> bool:
        rows = session.query("SHOW GLOBAL STATUS LIKE 'Ongoing_anonymous_transaction_count'")
        return int(rows[0][1]) == 0

    if not wait_until(ended, STUCK_SECONDS, LOOK_SECONDS):
        raise MyhaError(
            f"transactions that began before the switch are open after {STUCK_SECONDS:.0f} s: see "
            "information_schema.INNODB_TRX, and let them end, or end them"
        )
    if not peer.flavour.channels(peer):
        return  # it has none from here: nothing of this goes there
    _await_arrival(session, peer, tell)


def _await_arrival(session: AdminSession, peer: AdminSession, tell: Tell) -> None:
    """Until the peer has applied all that the log here has now; as long as it makes headway."""
    name, size, *_ = session.query("SHOW BINARY LOGS")[-1]
    values = {"file": str(name), "offset": int(size), "seconds": ARRIVE_SLICE_SECONDS}
    _start(peer)
    moved, before = time.monotonic(), ""
    while True:
        (found,) = peer.query(_await_position(peer), values)[0]
        if found is not None and int(found) >= 0:
            return
        row = peer.query_named("SHOW REPLICA STATUS")[0]
        now = f"{row['Relay_Source_Log_File']}:{row['Exec_Source_Log_Pos']}"
        if now != before:
            moved, before = time.monotonic(), now
            tell(f"waiting for {peer.name} to apply what {session.name} wrote: it is at {now}")
        if time.monotonic() - moved > STUCK_SECONDS:
            why = row["Last_SQL_Error"] or row["Last_IO_Error"] or "without an error"
            raise MyhaError(f"{peer.name} has applied nothing for {STUCK_SECONDS:.0f} s: {why}")
        if found is None:
            time.sleep(LOOK_SECONDS)  # its applier does not run: it may only just have been started


def _await_position(session: AdminSession) -> str:
    (statement,) = session.flavour.statements("setup").all("await_position")
    return statement


# --- the place of a channel ---------------------------------------------------------------------


def _begin_by_gtid(session: AdminSession, peer: AdminSession, tell: Tell) -> None:
    if session.flavour.keeps_replica_position:
        _set_gtid_position(session, peer)
    else:
        _await_same_set(session, peer, tell)
    session.carry_out("start_replication")


def _set_gtid_position(session: AdminSession, peer: AdminSession) -> None:
    """MariaDB: the source says which GTIDs its log has up to the byte where this one is."""
    session.carry_out("stop_replication")
    row = session.query_named("SHOW SLAVE STATUS")[0]
    at = (str(row["Relay_Master_Log_File"]), int(row["Exec_Master_Log_Pos"]))
    position = peer.value("SELECT BINLOG_GTID_POS(%s, %s)", at) if at[0] else None
    if position is None:
        session.carry_out("start_replication")
        raise MyhaError(
            f"{peer.name} does not know what its binary log {at[0]} has up to byte {at[1]}: see "
            f"SHOW BINARY LOGS there, and SHOW SLAVE STATUS on {session.name}"
        )
    session.carry_out("place_by_gtid", {"position": str(position)})


def _await_same_set(session: AdminSession, peer: AdminSession, tell: Tell) -> None:
    """MySQL: its own set has to have all that the source had, or old transactions would come again.

    One that was made from a dump without its GTIDs never gets there.
    """
    _start(session)
    wanted = peer.executed()
    _await_arrival(peer, session, tell)
    missing = wanted.minus(session.executed())
    if not missing.is_empty():
        raise MyhaError(
            f"{session.name} replicates from {peer.name} and has applied all of it, but does not "
            f"have the GTIDs {missing}, as if made from a copy without them: by GTID it would "
            "apply these a second time. If that is so, tell it: SET GLOBAL gtid_purged = "
            f"'+{missing}' on {session.name}; setup compares the rows after that"
        )
    session.carry_out("stop_replication")
    session.carry_out("place_by_gtid")


def _start(session: AdminSession) -> None:
    """Replication runs. MyhaError with what the server says where it does not."""
    if _runs(session):
        return
    session.carry_out("start_replication")
    if not wait_until(lambda: _runs(session), CONNECT_DEADLINE_SECONDS, LOOK_SECONDS):
        errors = "; ".join(one.error for one in session.flavour.channels(session) if one.error)
        raise MyhaError(f"{session.name} does not replicate: {errors or 'without an error'}")


def _runs(session: AdminSession) -> bool:
    channels: tuple[Channel, ...] = session.flavour.channels(session)
    return all(one.receiver == one.applier == "ON" for one in channels)
