"""RESULTS.md from the numbers in results/*.json."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.load import server
from benchmarks.parts import PARTS, REPORTED_ONLY, part
from myha.drill.following import FOLLOW_LIMIT_MS

Report = dict[str, Any]

# What is to be reached, in ms: (median, maximum); None: no limit was set.
TARGETS: dict[tuple[str, str], tuple[float | None, float | None]] = {
    ("crash", "mysql"): (250, 500),
    ("crash", "mariadb"): (150, 500),
    ("switchover", "mysql"): (30, 150),
    ("switchover", "mariadb"): (20, 150),
    ("hang", "mysql"): (None, 2000),
    ("hang", "mariadb"): (None, 2000),
    ("crash, two writers", "mysql"): (150, 350),
    ("crash, two writers", "mariadb"): (80, 350),
    ("standby-crash, two writers", "mysql"): (150, 350),
    ("standby-crash, two writers", "mariadb"): (80, 350),
    ("standby-crash", "mysql"): (None, 300),
    ("standby-crash", "mariadb"): (None, 300),
    **{
        (scenario, flavour): (None, most)
        for flavour in ("mysql", "mariadb")
        for scenario, most in (
            ("balancer-crash, network", 500),
            ("partition-writer", 2000),
            ("partition-writer, async, watchdog", 4500),
            ("leader-and-writer-crash, etcd", 4000),
        )
    },
}

HEAD = """# Measured

Written by `make bench` (`python -m benchmarks.run`); the numbers behind it are in `results/`.

## Method

Each series runs in a sandbox of its own: two servers, HAProxy and the supervisor on one machine,
all at their defaults (`lossless`, deadtime 1.5 s), except that the guard against flapping is raised
so that many rounds fit in a row. Clients are threads of one separate process. Each has one
connection to the writer port of HAProxy and writes small transactions as fast as they go (two
INSERTs, COMMIT), keeps every OK with its time in a ledger on disk, and after an error connects
again. Its login is the handshake and one statement (from commit e4f743b on; two more before): in a
change of writer all clients log in at once, and that is part of what is measured. Clients, servers,
HAProxy and the supervisor share the machine's cores, which are saturated. Before a lost node
returns the clients slow down, as `docs/drill.md` says.

`outage` is the longest time without any acknowledgement, over all clients together, from the fault
until the pair is whole again: a stall while the lost node returns counts too. `one client` is the
longest time that any one of them had to wait. Phases count from the fault (the moment before the
signal is sent) and are read from the supervisor's journal, on the same monotonic clock; `gone` is
when an idle connection to the killed server hung up, before which nobody can know of its death;
`written` is the first acknowledgement after `routed`. After every round each acknowledged row must
be on both nodes exactly once.

In every other round of `supervisor-crash` the writer is killed too while there is no supervisor,
which is started again a second later: that outage is the time without one. It has rows of its own.
"""


def write_results(folder: Path, path: Path) -> None:
    """Write the page anew from all reports that are there."""
    reports = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    drills = [one for report in reports if "rounds" in report for one in _split(report)]
    sections = [HEAD, _machines(reports), _outages(drills), _switchovers(drills), _errant(drills)]
    sections += [_histories(drills), _following(drills)]
    for name in (*PARTS, *REPORTED_ONLY):
        if found := [report for report in reports if report.get("part") == name]:
            sections.append(part(name).section(found))
    sections.append(_phases(drills))
    path.write_text("\n".join(one for one in sections if one))


def _switchovers(drills: list[Report]) -> str:
    """What of the outage is the switchover's, and what these servers do to these clients anyway."""
    lines = [
        "## Switchovers, ms: min / median / max",
        "",
        "`outage` as above: the longest gap until the pair is armed again, a second or more later."
        " `change`: the longest gap that began before the first write on the new writer."
        " `control`: the longest gap in as long a time before it, when nothing happened.",
        "",
        "| server | rounds | outage | change | control | target of the change |",
        "|---|--:|--:|--:|--:|---|",
    ]
    found = [one for one in drills if one["scenario"] == "switchover"]
    for one in found:
        changes = _values(one, "change_ms")
        if not changes:
            continue
        columns = (_values(one, "outage_ms"), changes, _values(one, "before_ms"))
        shown = " | ".join(
            f"{min(c):.0f} / {statistics.median(c):.0f} / {max(c):.0f}" for c in columns
        )
        lines.append(
            f"| {server(one)} | {len(one['rounds'])} | {shown} | {_target(one, changes)} |"
        )
    return "\n".join([*lines, ""]) if found else ""


def _values(one: Report, name: str) -> list[float]:
    return [r[name] for r in one["rounds"] if r.get(name) is not None]


def _errant(drills: list[Report]) -> str:
    """What became of the rows that were written where they should not have been."""
    found = [one for one in drills if any(r.get("errant") for r in one["rounds"])]
    names = ("errant", "quarantined", "merged", "destroyed", "conflicts")
    lines = [
        "## Errant rows",
        "",
        "Rows that were written on a node that had been replaced, or overwritten by a repair, and"
        " what became of them (`docs/drill.md`). None may be destroyed.",
        "",
        f"| scenario | server | rounds | {' | '.join(names)} | returned |",
        f"|---|---|--:|{'--:|' * len(names)}---|",
    ]
    for one in found:
        counts = [str(sum(r.get(name, 0) for r in one["rounds"])) for name in names]
        returned = ", ".join(sorted({r["returned"] for r in one["rounds"] if r["returned"]})) or "-"
        lines.append(
            f"| {one['scenario']} | {server(one)} | {len(one['rounds'])} | {' | '.join(counts)}"
            f" | {returned} |"
        )
    return "\n".join([*lines, ""]) if found else ""


def _histories(drills: list[Report]) -> str:
    """What the clients' histories say of the series that break more than servers."""
    found = [one for one in drills if any("overlapping" in r for r in one["rounds"])]
    counts = (
        ("lost", "acknowledged_lost"),
        ("overlapping", "overlapping"),
        ("destroyed", "destroyed"),
        ("stale reads", "stale_reads"),
        ("errant", "errant"),
        ("kept", "quarantined"),
    )
    lines = [
        "## Histories",
        "",
        "Transactions that were acknowledged, and of these: lost; acknowledged by two nodes in"
        " epochs that overlap; errant ones, in quarantine (`kept`) or destroyed. Reads through the"
        " writer pool, and those that did not show what their client knew to be there."
        " `unexplained`: waits of a single client longer than the fault is a reason for, and the"
        " longest of them.",
        "",
        f"| scenario | server | rounds | OKs | {' | '.join(word for word, _ in counts)} | reads"
        " | unexplained |",
        f"|---|---|--:|--:|{'--:|' * len(counts)}--:|---|",
    ]
    for one in found:
        rounds = one["rounds"]
        shown = [str(sum(r.get(name, 0) for r in rounds)) for _, name in counts]
        waits = [wait["length_ms"] for r in rounds for wait in r.get("long_waits", ())]
        lines.append(
            f"| {one['scenario']} | {server(one)} | {len(rounds)}"
            f" | {sum(r['acknowledged'] for r in rounds)} | {' | '.join(shown)}"
            f" | {sum(r.get('reads', 0) for r in rounds)}"
            f" | {f'{len(waits)}, {max(waits) / 1000:.1f} s' if waits else '-'} |"
        )
    return "\n".join([*lines, ""]) if found else ""


def _following(drills: list[Report]) -> str:
    """How soon read replicas replicated from the new writer."""
    lines = [
        "## Replicas that follow, ms: min / median / max",
        "",
        "From the new writer's first client until a replica replicates from it with both threads,"
        " by its own word, asked a hundred times a second; 0 when it did so before. Each replica of"
        " each round counts, but for those that had more than the new writer and were healed"
        " first.",
        "",
        "| scenario | server | rounds | followed | healed | after | target |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    found = [one for one in drills if any(r.get("replicas") for r in one["rounds"])]
    for one in found:
        replicas = [each for r in one["rounds"] for each in r["replicas"].values()]
        unhealed = [each for each in replicas if not each["healed"]]
        times = [each["follows_ms"] for each in unhealed if each["follows_ms"] is not None]
        met = len(times) == len(unhealed) and max(times, default=0.0) <= FOLLOW_LIMIT_MS
        after = f"{min(times):.0f} / {statistics.median(times):.0f} / {max(times):.0f}"
        lines.append(
            f"| {one['scenario']} | {server(one)} | {len(one['rounds'])} | {len(times)}"
            f" | {len(replicas) - len(unhealed)} | {after if times else '-'}"
            f" | max {FOLLOW_LIMIT_MS:.0f}: {'met' if met else '**not met**'} |"
        )
    return "\n".join([*lines, ""]) if found else ""


def _split(report: Report) -> list[Report]:
    """The supervisor's crash with and without the writer's are two different things; and each
    scenario is another one with two writers, or with another durability than the default."""
    words = [report["scenario"]]
    if report["mode"] == "dual-writer" and report["scenario"] != "conflict":
        words.append("two writers")
    elif report["mode"] == "single-writer" and report["durability"] != "lossless":
        words.append(report["durability"])
    words += report.get("extras", ())
    report = {**report, "scenario": ", ".join(words)}
    if not report["scenario"].startswith("supervisor-crash"):
        return [report]
    found = []
    kind = report["scenario"]
    for lost, name in ((False, kind), (True, f"{kind}, writer lost too")):
        rounds = [one for one in report["rounds"] if one["writer_lost"] is lost]
        if rounds:
            found.append({**report, "scenario": name, "rounds": rounds})
    return found


def _machines(reports: list[Report]) -> str:
    seen = {
        f"- {m['date']}, commit {m['commit']}: {m['cores']} cores, Linux {m['kernel']},"
        f" Python {m['python']}"
        for m in (report.get("machine") for report in reports)
        if m
    }
    return "\n".join(["## Where", "", *sorted(seen), ""])


def _outages(drills: list[Report]) -> str:
    lines = [
        "## Outages, ms",
        "",
        "| scenario | server | rounds | min | median | max | one client, max | target | OKs"
        " | lost | twice | returned | whole again, s | equal |",
        "|---|---|--:|--:|--:|--:|--:|---|--:|--:|--:|---|--:|---|",
    ]
    for one in drills:
        rounds = one["rounds"]
        outages = [r["outage_ms"] for r in rounds]
        whole = [r["whole_ms"] for r in rounds if r["whole_ms"] is not None]
        returned = ", ".join(sorted({r["returned"] for r in rounds if r["returned"]})) or "-"
        if undone := sum(r.get("undone", 0) for r in rounds):
            returned += f"; {undone} undone before"
        lines.append(
            f"| {one['scenario']} | {server(one)} | {len(rounds)} | {min(outages):.0f}"
            f" | {statistics.median(outages):.0f} | {max(outages):.0f}"
            f" | {max(r['client_outage_ms_max'] for r in rounds):.0f} | {_target(one, outages)}"
            f" | {sum(r['acknowledged'] for r in rounds)}"
            f" | {sum(r['acknowledged_lost'] for r in rounds)}"
            f" | {sum(r['duplicated'] for r in rounds)} | {returned}"
            f" | {f'{statistics.median(whole) / 1000:.1f}' if whole else 'never'}"
            f" | {_equal(rounds)} |"
        )
    return "\n".join([*lines, ""]) if drills else ""


def _equal(rounds: list[Report]) -> str:
    good = sum(r["converged"] and not r["problems"] for r in rounds)
    return "yes" if good == len(rounds) else f"{good} of {len(rounds)}"


def _target(one: Report, outages: list[float]) -> str:
    median, most = TARGETS.get((one["scenario"], one["flavour"]), (None, None))
    if median is None and most is None:
        return "-"
    met = (median is None or statistics.median(outages) <= median) and (
        most is None or max(outages) <= most
    )
    said = [f"median {median:.0f}"] if median is not None else []
    said += [f"max {most:.0f}"] if most is not None else []
    return f"{', '.join(said)}: {'met' if met else '**not met**'}"


def _phases(drills: list[Report]) -> str:
    lines = ["## Phases, ms from the fault: min / median / max", ""]
    for one in drills:
        rounds = one["rounds"]
        names = {name for r in rounds for name in r["phases_ms"]}
        if not names:
            continue
        times = {n: [r["phases_ms"][n] for r in rounds if n in r["phases_ms"]] for n in names}
        lines += [f"{one['scenario']}, {server(one)}", "", "| phase | min | median | max |"]
        lines += ["|---|--:|--:|--:|"]
        for name, at in sorted(
            times.items(), key=lambda item: (statistics.median(item[1]), item[0])
        ):
            lines.append(
                f"| {name} | {min(at):.1f} | {statistics.median(at):.1f} | {max(at):.1f} |"
            )
        lines.append("")
    return "\n".join(lines) if drills else ""
