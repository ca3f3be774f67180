"""Commands that show what the running daemon sees: status, explain, events."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from myha.cli.own_look import own_look
from myha.config import load
from myha.errors import MyhaError, SupervisorAwayError
from myha.stores.factory import read_record
from myha.supervisor.control import ask, socket_path

Data = dict[str, Any]
WATCH_SECONDS = 0.5


def _ask(ctx: click.Context, **fields: Any) -> Data:
    config = load(ctx.obj["config_path"])
    answer = ask(socket_path(config.cluster.state_dir), fields)
    if not answer.get("ok"):
        raise MyhaError(str(answer.get("text")))
    return answer


def _status(ctx: click.Context, *, say: bool = True) -> Data:
    """The supervisor's word; where it answers nothing, the record and a look of our own.

    With `say` that there was no answer is said at once: the look may take seconds itself.
    """
    try:
        return _ask(ctx, do="status")
    except SupervisorAwayError as error:
        config = load(ctx.obj["config_path"])
        record = read_record(config)
        if record is None:
            raise
        if say:
            click.echo(f"myha: {error}", err=True)
        return own_look(config, record, str(error))


@click.command()
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, watch: bool, as_json: bool) -> None:
    """Show the pair. Exit status 1 when it is not healthy."""
    data = _status(ctx)
    if as_json:
        click.echo(json.dumps(data, indent=2))
    elif watch:
        _watch(ctx, data)
        return
    else:
        Console().print(picture(data))
    ctx.exit(0 if data["healthy"] else 1)


def _watch(ctx: click.Context, data: Data) -> None:
    console = Console()
    if not console.is_terminal:  # a pipe gets one picture after the other
        console.print(picture(data))
        while True:
            time.sleep(WATCH_SECONDS)
            console.print(_picture_now(ctx))
    with Live(picture(data), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_picture_now(ctx), refresh=True)


def _picture_now(ctx: click.Context) -> RenderableType:
    """The status, or why there is none: a supervisor that restarts does not end a watch."""
    try:
        data = _status(ctx, say=False)
        away = [Text(data["supervisor"], style="bold red")] if data.get("supervisor") else []
        return Group(*away, picture(data))
    except MyhaError as error:
        return Text(str(error), style="bold red")


def picture(data: Data) -> RenderableType:
    """The whole status for a terminal."""
    style = "green" if data["healthy"] else "yellow"
    head = Text.assemble(
        (f"{data.get('name', '')}: ", "bold"), (data["verdict"], f"bold {style}"), "\n"
    )
    if data.get("supervisor"):
        head.append("From the record, and from what this command itself sees:\n")
    head.append(data["sentence"] + "\n")
    maintenance = ", maintenance" if data["maintenance"] else ""
    head.append(
        f"{data['mode']}, {data['durability']}, epoch {data['epoch']}, writer {data['writer']}, "
        f"{data['sync']}{maintenance}"
    )
    if data["running"]:
        head.append(f"\nunder way: {data['running']}", style="cyan")
    for job in data["jobs"]:
        head.append(f"\n{job_line(job)}", style="cyan")
    for refusal in data["refusals"]:
        head.append(f"\nrefused: {refusal['reason']}", style="red")
        if refusal["override"]:
            head.append(f"\n  to override: {refusal['override']}", style="red")
    for name in ("config_changed", "journal_failure"):
        if data.get(name):
            note = {"config_changed": "the configuration file has changed since the start"}
            head.append(f"\n{note.get(name, data[name])}", style="yellow")
    return Group(head, _nodes(data), _balancers(data))


def job_line(job: Data) -> str:
    """What a job does and how far it is: `heal of db2 by rewind, for 3 s: read 40%, 5 s left`."""
    words = [job["kind"]]
    if job["node"]:
        words.append(f"of {job['node']}")
    if job["method"]:
        words.append(f"by {job['method']}")
    return f"{' '.join(words)}, for {job['seconds']:.0f} s: {job['text']}"


def _nodes(data: Data) -> Table:
    columns = ("node", "role", "contact", "writes", "receiver", "applier", "lag", "waits")
    table = Table(*columns, box=SIMPLE)
    for name, node in data["nodes"].items():
        role = "writer" if name == data["writer"] else node["membership"] or "?"
        if "open" not in node or node["contact"] != "answering":
            table.add_row(name, role, node["contact"], "", "", "", "", "")
            if node["reason"]:
                table.add_row("", Text(node["reason"], style="red"))
            continue
        semisync = node["semisync"]
        table.add_row(
            name,
            role if role != "member" else "standby" if data["mode"] != "dual-writer" else "writer",
            node["contact"],
            "open" if node["open"] else "closed",
            _thread(node["receiver"]),
            _thread(node["applier"]),
            "" if role == "writer" and data["mode"] != "dual-writer" else _lag(node),
            "yes" if semisync["source_waits"] else "no",
        )
        if node["reason"]:
            table.add_row("", Text(node["reason"], style="red"))
    return table


def _thread(thread: Data) -> str:
    return str(thread["state"]) + (f" ({thread['errno']})" if thread["errno"] else "")


def _lag(node: Data) -> str:
    seconds = "?" if node["lag_seconds"] is None else f"{node['lag_seconds']:.2f} s"
    behind = node["lag_transactions"]
    return seconds + (f" ({behind} to apply)" if behind else "")


def _balancers(data: Data) -> Table:
    table = Table("balancer", "writer pool", "reader pool", box=SIMPLE)
    for name, balancer in data["balancers"].items():
        if not balancer["answering"]:
            table.add_row(name, Text(balancer["error"] or "not seen yet", style="red"), "")
            continue
        pools = {"writer": [], "reader": []}  # type: dict[str, list[str]]
        for route in balancer["routes"]:
            if route["takes_traffic"] and route["pool"] in pools:
                pools[route["pool"]].append(f"{route['node']} ({route['sessions']} sessions)")
        table.add_row(name, *(", ".join(pools[pool]) or "nobody" for pool in pools))
    return table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def explain(ctx: click.Context, as_json: bool) -> None:
    """Explain the verdict: what was observed, and what follows.

    Also what is refused, why, and the command that overrides it.
    """
    data = _status(ctx)
    recent = [] if data.get("supervisor") else _ask(ctx, do="events", limit=15)["events"]
    if as_json:
        click.echo(json.dumps({"status": data, "events": recent}, indent=2))
        return
    for line in explanation(data):
        click.echo(line)
    if recent:
        click.echo("\nLatest events:")
    for event in recent:
        click.echo("  " + line_of(event))


def explanation(data: Data) -> list[str]:
    """The verdicts in force, what was seen, and what follows, as lines."""
    lines = [f"Verdict: {data['verdict']}", f"  {data['sentence']}"]
    lines += [f"Also: {one['name']}\n  {one['sentence']}" for one in data["verdicts"][1:]]
    lines.append("Seen:")
    for name, node in data["nodes"].items():
        lines += [f"  {name}: {fact}" for fact in _facts(node)]
        if node.get("failure"):
            lines += [f"    {line}" for line in node["failure"]["lines"]]
        elif "errant" in node.get("reason", "") or node.get("applier", {}).get("errno"):
            lines.append(f"  {name}: for the rows, run `myha divergence show {name}`")
    for name, balancer in data["balancers"].items():
        lines.append(f"  {name}: {'answering' if balancer['answering'] else balancer['error']}")
    lines.append("What follows:")
    if data["running"]:
        lines.append(f"  under way: {data['running']}")
    lines += [f"  {job_line(job)}" for job in data["jobs"]]
    for refusal in data["refusals"]:
        lines.append(f"  refused: {refusal['reason']}")
        if refusal["override"]:
            lines.append(f"    to override: {refusal['override']}")
    if lines[-1] == "What follows:":
        lines.append("  nothing to do")
    return lines + _failed(data)


def _failed(data: Data) -> list[str]:
    """Plans that have failed and not succeeded since: of the past, whatever holds now."""
    if not data["incidents"]:
        return []
    return [
        "Failed lately:",
        *(
            f"  {one['ago_seconds']:.0f} s ago, {one['plan']} {one['node']}"
            f"{_attempts(one['attempts'])}: {one['reason']}"
            for one in data["incidents"]
        ),
    ]


def _attempts(count: int) -> str:
    return f" (attempt {count})" if count > 1 else ""


def _facts(node: Data) -> list[str]:
    since = f" for {node['contact_seconds']} s"
    facts = [node["contact"] + since + (f": {node['error']}" if node["error"] else "")]
    if node["membership"] != "member":
        facts.append(f"{node['membership']} on record: {node['reason']}")
    if node["contact"] != "answering" or "open" not in node:
        return facts
    facts.append(
        f"{'takes writes' if node['open'] else 'closed'}; receiver {_thread(node['receiver'])}, "
        f"applier {_thread(node['applier'])}, lag {_lag(node)}"
    )
    facts += [node[kind]["error"] for kind in ("receiver", "applier") if node[kind]["error"]]
    semisync = node["semisync"]
    facts.append(
        f"waits for acknowledgements: {'yes' if semisync['source_waits'] else 'no'}, "
        f"{_acknowledging(semisync)}, {semisync['waiting_sessions']} waiting"
    )
    return facts


def _acknowledging(semisync: Data) -> str:
    names = ", ".join(one["name"] for one in semisync["acknowledgers"])
    wait_for = semisync["source_wait_count"]
    several = f", {wait_for} of them waited for" if wait_for > 1 else ""
    return f"{semisync['source_clients']} acknowledging" + (f" ({names}{several})" if names else "")


@click.command()
@click.option(
    "-n", "limit", default=50, show_default=True, help="Show this many events, the latest."
)
@click.option("--follow", "-f", is_flag=True, help="Keep showing new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.pass_context
def events(ctx: click.Context, limit: int, follow: bool, as_json: bool) -> None:
    """Show the journal: verdicts, plans, steps, refusals, requests."""
    last = 0
    while True:
        for event in _ask(ctx, do="events", limit=limit, after=last)["events"]:
            click.echo(json.dumps(event) if as_json else line_of(event))
            last = event["id"]
        if not follow:
            return
        time.sleep(WATCH_SECONDS)


def line_of(event: Data) -> str:
    stamp = datetime.fromtimestamp(event["wall"], UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    took = f" ({event['took_ms']} ms)" if "took_ms" in event else ""
    return f"{stamp}Z {event['kind']:<14} {event['text']}{took}"
