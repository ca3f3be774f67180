"""Before a node's data goes: the transactions that only it has are in quarantine, as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from myha.binlog.errant import read_errant
from myha.binlog.errors import HealRefusedError
from myha.binlog.node import Node
from myha.config import Config
from myha.core.gtid import GtidSet
from myha.errors import ServerError
from myha.operations.heal.reseed.session import ReseedSession, without_mark
from myha.operations.log_in import connector
from myha.undo import quarantine

DEADLINE_SECONDS = 3600.0


def errant_of(node: ReseedSession, donor: ReseedSession) -> GtidSet:
    """What only the node has; it is asked first: what the donor gets meanwhile is no error."""
    executed = without_mark(node.flavour, node.executed())
    return executed.minus(donor.executed())


def quarantine_errant(
    config: Config,
    session: ReseedSession,
    donor: ReseedSession,
    errant: GtidSet,
    incident: Mapping[str, object],
) -> Path:
    """Write the transactions into the quarantine. HealRefusedError when not all can be kept."""
    connect = connector(config, session.name, config.accounts.admin())
    node = Node(connect, session.flavour, DEADLINE_SECONDS)
    try:
        # Both have these: a difference would not say which server wrote MariaDB's last one.
        kept = without_mark(session.flavour, session.executed()).intersection(donor.executed())
        return quarantine.write_raw(
            config.cluster.state_dir / quarantine.FOLDER,
            flavour=session.flavour,
            transactions=read_errant(node, errant, kept),
            incident={**incident, "node": session.name, "errant": str(errant)},
            query=node.query,
        )
    except (HealRefusedError, ServerError, ValueError) as error:
        raise HealRefusedError(
            f"{session.name}: its {errant.count()} errant transactions ({_short(errant)}) "
            f"cannot be put into quarantine, and would be lost: {error}"
        ) from error
    finally:
        node.close()


def _short(gtids: GtidSet) -> str:
    text = str(gtids)
    return text if len(text) <= 200 else f"{text[:200]}..."
