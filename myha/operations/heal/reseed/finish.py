"""After the copy: the node is itself again, closed, with its own settings and replication."""

from __future__ import annotations

from myha.config import Config
from myha.core.gtid import GtidSet
from myha.errors import MyhaError
from myha.operations.heal.reseed.clone import clean_up_copy
from myha.operations.heal.reseed.dump.objects import leave_events, stop_scheduler
from myha.operations.heal.reseed.session import ReseedSession
from myha.operations.setup.actions import Stage, plan, preparing
from myha.operations.setup.apply import carry_out
from myha.operations.setup.gather import gather
from myha.operations.setup.history import History
from myha.operations.setup.session import AdminSession
from myha.stores.factory import read_record

_OWN = frozenset(
    {Stage.PLUGIN, Stage.SETTING, Stage.FILE, Stage.ACCOUNT, Stage.SCHEMA, Stage.CHANNEL}
)
_BEFORE = frozenset({Stage.PLUGIN, Stage.SETTING, Stage.FILE})


def close(node: ReseedSession) -> None:
    """Read-only for everybody that it can be for, replication stopped."""
    node.do("let_us_write")  # read_only first: nothing lets a client in on the way
    node.do("close")
    node.stop_replication()


def fix_settings(config: Config, name: str, donor: str, *, only_before: bool = False) -> None:
    """What setup wants of this node and does not find: settings, plugins, accounts, its channel.

    `only_before`: what has to be there before a copy makes the server start anew, so that it starts
    fenced. A read replica's channel is left to whoever lets it replicate. Raises MyhaError.
    """
    admin = config.accounts.admin()
    stages = _BEFORE if only_before else _OWN
    names = (name, donor) if name in config.replicas else config.names
    sessions = {one: AdminSession(config, one, admin) for one in names}
    try:
        facts = gather(config, sessions)
        first, second = (facts[one] for one in names)
        if name in config.replicas:
            actions = sorted(preparing(config, first, second), key=lambda one: one.stage)
        else:
            record = read_record(config)  # None while setup seeds, which sees to claims itself
            store = "" if record is None else record.store
            pair = (first, second)
            actions = plan(config, pair, History.ON_RECORD, None, store=store, kick=False)
        own = [action for action in actions if action.node == name and action.stage in stages]
        carry_out(config, sessions, own, lambda _text: None)
    finally:
        for session in sessions.values():
            session.close()


def clean(node: ReseedSession) -> None:
    """Remove what a copy of the donor's files brought that is the donor's own."""
    stop_scheduler(node)
    with node.writable():
        if node.flavour.clones:
            clean_up_copy(node)
        else:
            node.forget_replication()
        leave_events(node)


def check(node: ReseedSession, history: GtidSet) -> None:
    """Raises MyhaError unless the node has exactly this history, closed and not replicating."""
    now = node.executed()
    if now != history:
        raise MyhaError(f"{node.name}: after the reseed its history is {now}, not {history}")
    if int(node.value("SELECT @@GLOBAL.read_only")) != 1:
        raise MyhaError(f"{node.name}: is open for writes after the reseed; fence it")
