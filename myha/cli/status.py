"""Commands that show what the running daemon sees: status, explain, events."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console

from myha.cli import overview
from myha.cli.asking import status_of
from myha.cli.events import line_of
from myha.cli.options import json_option
from myha.cli.pairs import of_a_pair, pair_config, pair_named
from myha.cli.picture import is_utf8, job_line, lag_text, picture, thread_text
from myha.cli.screen import watch_pair
from myha.config import load_all
from myha.core.node import Contact
from myha.core.record import Cause, Membership
from myha.supervisor.client import Client
from myha.supervisor.status import (
    IncidentStatus,
    NodeStatus,
    RefusalStatus,
    ReplicaStatus,
    SeenNodeStatus,
    SemiSyncStatus,
    Status,
)


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@json_option
@of_a_pair
@click.pass_context
def status(ctx: click.Context, watch: bool, as_json: bool) -> None:
    """Show the pair and its read replicas, or a line for each of many pairs, the worst first.

    Exit status 1 when one of them is not healthy.
    """
    if pair_named(ctx) is None:
        whole = load_all(ctx.obj["config_path"])
        if not whole.alone and len(whole.pairs) != 1:
            ctx.exit(0 if overview.print_overview(whole, as_json=as_json, watch=watch) else 1)
    config = pair_config(ctx)
    if watch and not as_json:
        watch_pair(config)
        return
    seen = status_of(config)
    if as_json:
        click.echo(json.dumps(seen.as_json(), indent=2))
    else:
        console = Console()
        console.print(picture(seen, console.width, plain=not is_utf8(console)))
    healthy = seen.healthy and all(one.healthy for one in seen.replicas.values())
    ctx.exit(0 if healthy else 1)


@click.command()
@json_option
@of_a_pair
@click.pass_context
def explain(ctx: click.Context, as_json: bool) -> None:
    """Explain the verdict: what was observed, and what follows.

    Also what is refused, why, and the command that overrides it.
    """
    config = pair_config(ctx)
    seen = status_of(config)
    recent = [] if seen.supervisor else Client(config).events(15)
    if as_json:
        found = {"status": seen.as_json(), "events": [one.as_json() for one in recent]}
        click.echo(json.dumps(found, indent=2))
        return
    for line in explanation(seen, config.option):
        click.echo(line)
    if recent:
        click.echo("\nLatest events:")
    for event in recent:
        click.echo("  " + line_of(event))


def explanation(seen: Status, option: str = "") -> list[str]:
    """The verdicts in force, what was seen, and what follows, as lines.

    `option` is what a command needs to find the pair.
    """
    lines = [f"Verdict: {seen.verdict}", f"  {seen.sentence}"]
    lines += [f"Also: {one.name}\n  {one.sentence}" for one in seen.verdicts[1:]]
    lines.append("Seen:")
    for name, node in seen.nodes.items():
        lines += [f"  {name}: {fact}" for fact in _facts(node)]
        if node.failure is not None:
            lines += [f"    {line}" for line in node.failure.lines]
        elif "errant" in node.reason or (isinstance(node, SeenNodeStatus) and node.applier.errno):
            lines.append(f"  {name}: for the rows, run `myha divergence show {name}{option}`")
    for name, balancer in seen.balancers.items():
        lines.append(f"  {name}: {'answering' if balancer.answering else balancer.error}")
    lines.append("What follows:")
    lines += _under_way(seen)
    for name, node in seen.nodes.items():
        lines += [f"  {name}: {line}" for line in _by_hand(name, node, seen.refusals, option)]
    if lines[-1] == "What follows:":
        lines.append("  nothing to do")
    for name, one in seen.replicas.items():
        lines += _explained_replica(name, one, option)
    return lines + _failed((*seen.incidents, *_of_replicas(seen)))


def _explained_replica(name: str, one: ReplicaStatus, option: str) -> list[str]:
    lines = [f"Replica {name}: {one.verdict}", f"  {one.sentence}"]
    lines += [f"  Also: {more.name}\n    {more.sentence}" for more in one.verdicts[1:]]
    lines += [f"  {fact}" for fact in _facts(one)]
    lines += _under_way(one)
    return lines + [f"  {line}" for line in _by_hand(name, one, one.refusals, option)]


def _under_way(seen: Status | ReplicaStatus) -> list[str]:
    """What is being done, and what is refused."""
    lines = [f"  under way: {seen.running}"] if seen.running else []
    lines += [f"  {job_line(job)}" for job in seen.jobs]
    for refusal in seen.refusals:
        lines.append(f"  refused: {refusal.reason}")
        if refusal.override:
            lines.append(f"    to override: {refusal.override}")
    return lines


def _by_hand(
    name: str, node: NodeStatus, refusals: Sequence[RefusalStatus], option: str
) -> list[str]:
    """The command for a fenced node, where no refusal names one."""
    if not node.fenced or node.cause is Cause.HEALING or any(one.override for one in refusals):
        return []
    if node.cause is Cause.BY_HAND:
        return [f"to let it back: myha unfence {name}{option}"]
    method = " --method reseed" if node.cause is Cause.BROKEN else ""
    return [
        f"to heal it by hand: myha heal {name}{method}{option} (with --plan: what that would do)"
    ]


def _of_replicas(seen: Status) -> list[IncidentStatus]:
    return [incident for one in seen.replicas.values() for incident in one.incidents]


def _failed(incidents: Sequence[IncidentStatus]) -> list[str]:
    """Plans that have failed and not succeeded since: of the past, whatever holds now."""
    if not incidents:
        return []
    return [
        "Failed lately:",
        *(
            f"  {one.ago_seconds:.0f} s ago, {one.plan} {one.node}"
            f"{_attempts(one.attempts)}: {one.reason}"
            for one in incidents
        ),
    ]


def _attempts(count: int) -> str:
    return f" (attempt {count})" if count > 1 else ""


def _facts(node: NodeStatus) -> list[str]:
    since = f" for {node.contact_seconds} s"
    facts = [node.contact + since + (f": {node.error}" if node.error else "")]
    if node.membership is not Membership.MEMBER:
        facts.append(f"{node.membership} on record: {node.reason}")
    if node.contact is not Contact.ANSWERING or not isinstance(node, SeenNodeStatus):
        return facts
    facts.append(
        f"{'takes writes' if node.open else 'closed'}; receiver {thread_text(node.receiver)}, "
        f"applier {thread_text(node.applier)}, lag {lag_text(node)}"
    )
    facts += [thread.error for thread in (node.receiver, node.applier) if thread.error]
    semisync = node.semisync
    facts.append(
        f"waits for acknowledgements: {'yes' if semisync.source_waits else 'no'}, "
        f"{_acknowledging(semisync)}, {semisync.waiting_sessions} waiting"
    )
    return facts


def _acknowledging(semisync: SemiSyncStatus) -> str:
    names = ", ".join(one.name for one in semisync.acknowledgers)
    wait_for = semisync.source_wait_count
    several = f", {wait_for} of them waited for" if wait_for > 1 else ""
    return f"{semisync.source_clients} acknowledging" + (f" ({names}{several})" if names else "")
