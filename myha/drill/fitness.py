"""Whether a cluster is fit for a scenario, and whether it is whole."""

from __future__ import annotations

from myha.core.policy import Durability
from myha.core.record import Sync
from myha.drill.options import Options
from myha.drill.stage import Scenario
from myha.drill.target import Target
from myha.errors import MyhaError, RefusedError
from myha.hosts.docker import DockerHost
from myha.supervisor.status import Status
from myha.waiting import wait_until


def check(target: Target, scenario: Scenario, options: Options) -> None:
    """Refuse what would only do harm; each with its reason."""
    if why_not := misfit(target, scenario):
        raise RefusedError(why_not)
    if scenario.needs_administrator or target.config.replicas:
        target.config.accounts.admin()  # raises with the file that is missing
    limit = target.config.failover.flap_limit
    if scenario.unattended_failover and options.rounds > limit and not options.force:
        raise RefusedError(
            f"{options.rounds} rounds are more failovers than failover.flap_limit ({limit}) allows"
            " in a row: the supervisor would refuse some",
            "fewer --rounds, or --force",
        )
    if not options.force and not _becomes_whole(target):
        raise RefusedError(f"the cluster is not healthy: {why_not_whole(target)}", "--force")


def misfit(target: Target, scenario: Scenario) -> str:
    """Why a scenario cannot be played on this cluster at all; empty when it can."""
    config = target.config
    if why_not := scenario.other_mode(config.cluster.mode.value):
        return why_not
    if why_not := _not_the_drills(target, scenario):
        return why_not
    if why_not := _misplaced(target, scenario):
        return why_not
    if scenario.fit is not None and scenario.fit is not target.fit:
        return f"{scenario.name} needs a sandbox that was made for it: use --sandbox"
    if scenario.needs_host:
        for name in config.nodes:
            if name not in target.hosts:
                return (
                    f"{scenario.name} acts on the servers' processes, and the configuration does"
                    f" not say how to reach {name}'s: set nodes.{name}.pid_file and start_command,"
                    " on another machine shell, start_command and stop_command, in a Docker"
                    " container its container"
                )
    if scenario.heals and not set(scenario.heals) & set(config.heal.policy):
        return (
            f"{scenario.name} leaves a node that only {' or '.join(scenario.heals)} can bring back,"
            f" but heal.policy ({', '.join(config.heal.policy)}) has none of these: the node would"
            " stay fenced"
        )
    return ""


def _not_the_drills(target: Target, scenario: Scenario) -> str:
    """What only a cluster of the drill's own may suffer, or one of processes."""
    if target.in_containers:
        return not_in_containers(scenario)
    if target.supervisor is not None:
        return ""
    if scenario.sandbox_only:
        return f"{scenario.name} would {scenario.hurts}: that is for sandboxes only, use --sandbox"
    if scenario.needs_supervisor_process:
        return f"{scenario.name} needs a supervisor that the drill may end and start: use --sandbox"
    return ""


def not_in_containers(scenario: Scenario) -> str:
    """Why it cannot be played with --containers at all; empty when it can."""
    of_processes = scenario.sandbox_only and not scenario.needs_supervisors
    reasons = (
        (of_processes or scenario.needs_supervisor_process, "needs a sandbox of processes"),
        (scenario.needs_network or scenario.needs_address, "cuts links: use --network"),
        (scenario.fit is not None, "needs servers that are made for it"),
        (scenario.dual_writer_only, "needs two writers, which compose.yaml does not make"),
    )
    why = next((reason for hit, reason in reasons if hit), "")
    return f"{scenario.name} {why}; it is not played with --containers" if why else ""


def _in_containers(target: Target) -> bool:
    return all(isinstance(target.hosts.get(name), DockerHost) for name in target.config.nodes)


def _misplaced(target: Target, scenario: Scenario) -> str:
    """What it lacks of hosts, an address and limits that only some clusters have."""
    if scenario.needs_containers and not _in_containers(target):
        return (
            f"{scenario.name} hits a limit of memory, which only containers have: use --containers,"
            " or name those of the nodes (nodes.NAME.container)"
        )
    cluster = target.cluster
    if scenario.needs_network and (cluster is None or cluster.network is None):
        return f"{scenario.name} cuts links, and this cluster has none of its own: use --network"
    if scenario.needs_address and (cluster is None or not cluster.state.address):
        return f"{scenario.name} needs balancers that share an address: use --sandbox --network"
    if scenario.needs_supervisor_process and cluster is not None and len(cluster.supervisors) > 1:
        return f"{scenario.name} acts on the only supervisor: leave --supervisors out"
    if scenario.needs_supervisors and target.quorum is None:
        return f"{scenario.name} needs several supervisors on etcd: use --sandbox"
    return ""


def _becomes_whole(target: Target) -> bool:
    return wait_until(lambda: is_whole(target, target.status()), 5.0)


def is_whole(target: Target, status: Status) -> bool:
    """Healthy, nothing under way, and the writer waits for the standby if it shall."""
    lossless = target.config.cluster.durability is Durability.LOSSLESS
    replicas = all(one.healthy for one in status.replicas.values())
    healthy = status.healthy and replicas and not status.maintenance
    return healthy and (not lossless or status.sync is Sync.ARMED)


def why_not_whole(target: Target) -> str:
    """The supervisor's own sentence, with its refusals, or that there is no supervisor."""
    try:
        status = target.status()
    except MyhaError as error:
        return str(error)
    if status.maintenance:
        return "maintenance is on: the supervisor observes and does not act"
    refusals = "; ".join(one.reason for one in status.refusals)
    replicas = [one.sentence for one in status.replicas.values() if not one.healthy]
    return "; ".join([status.sentence + (f" ({refusals})" if refusals else ""), *replicas])
