"""Commands that show what the running daemon sees: status, explain, events."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from myha.cli import overview
from myha.cli.events import line_of
from myha.cli.pairs import of_a_pair, pair_config, pair_named
from myha.config import Config, load_all
from myha.core.node import Contact
from myha.core.policy import Mode
from myha.core.record import Cause, Membership
from myha.errors import MyhaError, SupervisorAwayError
from myha.stores.factory import read_record
from myha.supervisor.client import Client
from myha.supervisor.status import (
    BalancerStatus,
    IncidentStatus,
    JobStatus,
    NodeStatus,
    RefusalStatus,
    ReplicaStatus,
    SeenNodeStatus,
    SeenReplicaStatus,
    SemiSyncStatus,
    Status,
    ThreadStatus,
)

WATCH_SECONDS = 0.5


def _status(config: Config, *, announce: bool = True) -> Status:
    """The supervisor's word; where it answers nothing, the record and a look of our own.

    With `announce` that there was no answer is said at once: the look may take seconds itself.
    """
    try:
        return Client(config).status()
    except SupervisorAwayError as error:
        record = read_record(config)
        if record is None:
            raise
        if announce:
            click.echo(f"myha: {error}", err=True)
        from myha.cli.own_look import own_look  # noqa: PLC0415  # brings every adapter with it

        return own_look(config, record, str(error))


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@of_a_pair
@click.pass_context
def status(ctx: click.Context, watch: bool, as_json: bool) -> None:
    """Show the pair and its read replicas, or a line for each of many pairs, the worst first.

    Exit status 1 when one of them is not healthy.
    """
    if pair_named(ctx) is None:
        whole = load_all(ctx.obj["config_path"])
        if not whole.alone and len(whole.pairs) != 1:
            ctx.exit(0 if overview.show(whole, as_json=as_json, watch=watch) else 1)
    config = pair_config(ctx)
    seen = _status(config)
    if as_json:
        click.echo(json.dumps(seen.as_json(), indent=2))
    elif watch:
        _watch(config, seen)
        return
    else:
        Console().print(picture(seen))
    healthy = seen.healthy and all(one.healthy for one in seen.replicas.values())
    ctx.exit(0 if healthy else 1)


def _watch(config: Config, seen: Status) -> None:
    console = Console()
    if not console.is_terminal:  # a pipe gets one picture after the other
        console.print(picture(seen))
        while True:
            time.sleep(WATCH_SECONDS)
            console.print(_picture_now(config))
    with Live(picture(seen), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_picture_now(config), refresh=True)


def _picture_now(config: Config) -> RenderableType:
    """The status, or why there is none: a supervisor that restarts does not end a watch."""
    try:
        seen = _status(config, announce=False)
        away = [Text(seen.supervisor, style="bold red")] if seen.supervisor else []
        return Group(*away, picture(seen))
    except MyhaError as error:
        return Text(str(error), style="bold red")


def picture(seen: Status) -> RenderableType:
    """The whole status for a terminal."""
    style = "green" if seen.healthy else "yellow"
    head = Text.assemble((f"{seen.name}: ", "bold"), (seen.verdict, f"bold {style}"), "\n")
    if seen.supervisor:
        head.append("From the record, and from what this command itself sees:\n")
    head.append(seen.sentence + "\n")
    maintenance = ", maintenance" if seen.maintenance else ""
    head.append(
        f"{seen.mode}, {seen.durability}, epoch {seen.epoch}, writer {seen.writer}, "
        f"{seen.sync}{maintenance}"
    )
    if seen.running:
        head.append(f"\nunder way: {seen.running}", style="cyan")
    for job in seen.jobs:
        head.append(f"\n{job_line(job)}", style="cyan")
    for refusal in seen.refusals:
        head.append(f"\nrefused: {refusal.reason}", style="red")
        if refusal.override:
            head.append(f"\n  to override: {refusal.override}", style="red")
    if seen.lease_failure:
        head.append(f"\nthe lease: {seen.lease_failure}; this may be old", style="bold red")
    for line in own_troubles(seen):
        head.append(f"\n{line}", style="yellow")
    replicas = [_replicas(seen)] if seen.replicas else []
    return Group(head, _nodes(seen), *replicas, _balancers(seen))


def own_troubles(seen: Status) -> list[str]:
    """What the supervisor cannot do, beside its work on the pair."""
    lines = []
    if seen.config_changed:
        lines.append("the configuration file has changed since the start")
    if seen.journal_failure:
        lines.append(seen.journal_failure)
    if seen.dns_failure:
        lines.append(f"the name does not follow the writer: {seen.dns_failure}")
    if seen.messages_failure:
        lines.append(f"messages and hooks: {seen.messages_failure}")
    for name, one in seen.notify.items():
        if one.failure:
            lines.append(f"notify {name}: {one.failure}; {one.waiting} events wait")
    for name, hook in seen.hooks.items():
        if hook.failure:
            lines.append(f"hook {hook.failure}")
        if hook.dropped:
            lines.append(f"hook {name}: {hook.dropped} events were too many at once")
    return lines


def job_line(job: JobStatus) -> str:
    """What a job does and how far it is: `heal of db2 by rewind, for 3 s: read 40%, 5 s left`."""
    words = [job.kind]
    if job.node:
        words.append(f"of {job.node}")
    if job.method:
        words.append(f"by {job.method}")
    return f"{' '.join(words)}, for {job.seconds:.0f} s: {job.text}"


def _nodes(seen: Status) -> RenderableType:
    columns = ("node", "role", "contact", "writes", "receiver", "applier", "lag", "waits")
    table, dual = Table(*columns, box=SIMPLE), seen.mode is Mode.DUAL_WRITER
    notes: list[Text] = []
    for name, node in seen.nodes.items():
        if node.reason:
            notes.append(Text(f"{name}: {node.reason}", style="red"))
        role = "writer" if name == seen.writer else node.membership or "?"
        if not isinstance(node, SeenNodeStatus) or node.contact is not Contact.ANSWERING:
            table.add_row(name, role, node.contact, "", "", "", "", "")
            continue
        semisync = node.semisync
        table.add_row(
            name,
            role if role != "member" else "writer" if dual else "standby",
            node.contact,
            "open" if node.open else "closed",
            _thread(node.receiver),
            _thread(node.applier),
            "" if role == "writer" and not dual else _lag(node),
            "yes" if semisync.source_waits else "no",
        )
    return Group(table, *notes)


def _replicas(seen: Status) -> RenderableType:
    columns = ("replica", "follows", "contact", "verdict", "receiver", "applier", "lag", "reads")
    table = Table(*columns, box=SIMPLE)
    notes: list[Text] = []
    for name, one in seen.replicas.items():
        there = isinstance(one, SeenReplicaStatus) and one.contact is Contact.ANSWERING
        threads = ("", "", "")
        if there and isinstance(one, SeenReplicaStatus):
            threads = (_thread(one.receiver), _thread(one.applier), _lag(one))
        reads = {True: "yes", False: "no", None: "as it is"}[one.wanted["reader"]]
        style = "" if one.healthy else "yellow"
        verdict = Text(one.verdict.removeprefix("replica-"), style=style)
        table.add_row(name, one.follows or "nobody", one.contact, verdict, *threads, reads)
        if not one.healthy:
            notes.append(Text(f"{name}: {one.sentence}", style="yellow"))
        notes += [Text(job_line(job), style="cyan") for job in one.jobs]
        notes += [Text(f"{name}: refused: {no.reason}", style="red") for no in one.refusals]
    return Group(table, *notes)


def _thread(thread: ThreadStatus) -> str:
    return str(thread.state) + (f" ({thread.errno})" if thread.errno else "")


def _lag(node: SeenNodeStatus) -> str:
    seconds = "?" if node.lag_seconds is None else f"{node.lag_seconds:.2f} s"
    behind = node.lag_transactions
    return seconds + (f" ({behind} to apply)" if behind else "")


def _balancers(seen: Status) -> Table:
    table = Table("balancer", "writer pool", "reader pool", box=SIMPLE)
    shared = any(one.address for one in seen.balancers.values())
    if shared:
        table.add_column("address")
    for name, balancer in seen.balancers.items():
        if not balancer.answering:
            table.add_row(name, Text(balancer.error or "not seen yet", style="red"), "")
            continue
        pools = {"writer": [], "reader": []}  # type: dict[str, list[str]]
        for route in balancer.routes:
            if route.takes_traffic and route.pool in pools:
                pools[route.pool].append(f"{route.node} ({route.sessions} sessions)")
        cells = [", ".join(pools[pool]) or "nobody" for pool in pools]
        table.add_row(name, *cells, *([_address(balancer)] if shared else []))
    return table


def _address(balancer: BalancerStatus) -> str:
    """Whether it has the shared address, and what keepalived reads there."""
    seen = balancer.address
    if seen is None:
        return "not asked"
    words = ("here" if seen.holds else "", "preferred" if seen.preferred else "")
    return ", ".join(filter(None, (*words, "" if seen.told else "not told"))) or "-"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@of_a_pair
@click.pass_context
def explain(ctx: click.Context, as_json: bool) -> None:
    """Explain the verdict: what was observed, and what follows.

    Also what is refused, why, and the command that overrides it.
    """
    config = pair_config(ctx)
    seen = _status(config)
    recent = [] if seen.supervisor else Client(config).events(15)
    if as_json:
        click.echo(json.dumps({"status": seen.as_json(), "events": recent}, indent=2))
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
    if seen.running:
        lines.append(f"  under way: {seen.running}")
    lines += [f"  {job_line(job)}" for job in seen.jobs]
    lines += _refused(seen.refusals)
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
    if one.running:
        lines.append(f"  under way: {one.running}")
    lines += [f"  {job_line(job)}" for job in one.jobs]
    lines += _refused(one.refusals)
    return lines + [f"  {line}" for line in _by_hand(name, one, one.refusals, option)]


def _refused(refusals: Sequence[RefusalStatus]) -> list[str]:
    lines: list[str] = []
    for refusal in refusals:
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
        f"{'takes writes' if node.open else 'closed'}; receiver {_thread(node.receiver)}, "
        f"applier {_thread(node.applier)}, lag {_lag(node)}"
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
