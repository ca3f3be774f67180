"""Carrying a plan of setup out, action by action. Every failure says how far it came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from myha.config import Config
from myha.database.codes import NO_SUCH_THREAD, in_known_words, tolerated
from myha.errors import MyhaError
from myha.files import replacing
from myha.operations.setup.actions import Action, Stage, fragment_is_due
from myha.operations.setup.desired import fragment
from myha.operations.setup.facts import Facts
from myha.operations.setup.gather import stale_sessions
from myha.operations.setup.session import AdminSession
from myha.progress import Tell

FILE_MODE = 0o644  # the server reads it as its own user, and no password is in it

Sessions = Mapping[str, AdminSession]
T = TypeVar("T")


def carry_out(config: Config, sessions: Sessions, actions: list[Action], tell: Tell) -> None:
    """Do every action but the joining, in order. MyhaError says what was done and how to go on."""
    in_order(
        [action for action in actions if action.stage is not Stage.JOIN],
        lambda action: _carry_out(config, sessions[action.node], action),
        tell,
        what="setup",
        then="the steps before it are done: correct this and run `myha setup` again, it continues "
        "here",
    )


def in_order(
    steps: Sequence[T], carry_out: Callable[[T], None], tell: Tell, *, what: str, then: str
) -> None:
    """Every step, with its number told. MyhaError says at which one `what` stopped, and what `then`
    is to be done."""
    for number, step in enumerate(steps, 1):
        tell(f"[{number}/{len(steps)}] {step}")
        try:
            carry_out(step)
        except MyhaError as error:
            raise MyhaError(
                f"{what} stopped at step {number} of {len(steps)} ({step}): {error}; {then}"
            ) from None


def _carry_out(config: Config, session: AdminSession, action: Action) -> None:
    if action.stage is Stage.FILE:
        file = config.servers[action.node].option_file
        if file is not None:
            install(file, action.text)
    elif action.stage is Stage.HISTORY:
        _begin_anew(session, action)
    elif action.stage is Stage.SESSION:
        for stale in stale_sessions(config, session):
            _end_session(session, action.block, stale.number)
    elif action.stage is Stage.NOTE:
        # From a connection made after the change: whoever is older than it has the old settings.
        with AdminSession(config, action.node, config.accounts.admin()) as later:
            later.carry_out(action.block)
    elif action.needs_stopped:
        _while_stopped(session, action)
    else:
        with session.writable():
            session.carry_out(action.block, _values(action), **action.words)


def _end_session(session: AdminSession, block: str, number: int) -> None:
    with tolerated(NO_SUCH_THREAD):
        session.carry_out(block, {"number": number})


def _values(action: Action) -> dict[str, object]:
    values = dict(action.values)
    if action.secret is not None:
        values["password"] = action.secret.password.get_secret_value()
    return values


def _begin_anew(session: AdminSession, action: Action) -> None:
    def carry_out(block: str) -> None:
        session.carry_out(block, action.values, **action.words)

    with session.writable():
        in_known_words(carry_out, action.block, session.flavour.statements("setup").names())


def _while_stopped(session: AdminSession, action: Action) -> None:
    """Rest the replication threads meanwhile; whatever ran before runs again after."""
    before = next((c for c in session.flavour.channels(session) if not c.name), None)
    ran = before is not None and (before.receiver != "OFF" or before.applier != "OFF")
    if ran:
        session.carry_out("stop_replication")
    with session.writable():
        session.carry_out(action.block, _values(action), **action.words)
    if ran:
        session.carry_out("start_replication")


def install(file: Path, text: str) -> None:
    """Put a file in place whole or not at all. Raises MyhaError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, FILE_MODE) as handle:
            handle.write(text.encode())
    except OSError as error:
        raise MyhaError(
            f"cannot write {file} ({error.strerror}); run setup as a user who may, or leave "
            "option_file empty and install the fragment by hand"
        ) from None


def show_fragment(config: Config, facts: Facts, source: Facts, tell: Tell) -> None:
    """The option file fragment of a server that replicates from `source`."""
    file = config.servers[facts.node].option_file
    where = f"installed as {file}" if file else "for you to install on its host"
    tell(f"option file fragment of {facts.node}, {where}:")
    for line in fragment(config, facts, source).splitlines():
        tell(f"    {line}")


def show_due_fragment(config: Config, facts: Facts, source: Facts, tell: Tell) -> None:
    """The same with the reason, where it is the user's to install it."""
    due = fragment_is_due(config, facts, source)
    if due is not None:
        tell(f"warning: {due}")
        show_fragment(config, facts, source, tell)
