"""Ten thousand histories of the simulator, the scenarios that once broke, and its own honesty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.cli.simulate import save_scenario, simulate
from myha.core.policy import Durability, Mode
from myha.sim.history import run_history
from myha.sim.parameters import KINDS, LOST_LOGS, OLDER, Parameters, draw
from myha.sim.runner import Batch, run_many, trace_lines
from tests.sim.mistakes import MISTAKES

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.json"))
RUNS = 10_000
# pytest-xdist has a worker for every core already.
PROCESSES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


@pytest.mark.timeout(600)
@pytest.mark.timeout(3600)  # a minute of both cores, on a machine that has nothing else to do
def test_ten_thousand_histories_keep_every_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    summary = run_many(Batch(0, RUNS), PROCESSES)
    with capsys.disabled():
        speed = summary.runs_per_cpu_second
        print(f"\n{summary.runs} histories, {speed:.0f} per second of CPU")  # noqa: T201
    assert summary.runs == RUNS
    for outcome in summary.failures[:1]:
        pytest.fail(
            "\n".join([f"seed {outcome.parameters.seed}", *trace_lines(outcome.parameters)])
        )
    missing = {
        "failover",
        "switchover",
        "release",
        "rejoin",
        "reinstate",
        "install",
        "heal",
        "start-heal",
        "healed",
        "next-heal",
    } - set(summary.plans)
    assert not missing, "the histories no longer come to these plans"


def test_lossless_loses_nothing_unless_a_person_or_a_second_failure_allows_it() -> None:
    lost = 0
    for seed in range(1500):
        parameters = draw(seed, mode=Mode.SINGLE_WRITER, durability=Durability.LOSSLESS)
        strikes = [one for one in parameters.faults if one.what not in ("slow", "full")]
        if len(strikes) == 1 and strikes[0].what in (
            "crash",
            "hang",
            "supervisor-dies",
            "cut-pair",
        ):
            outcome = run_history(parameters)
            assert outcome.good
            lost += outcome.lost
    assert lost == 0


def test_async_does_lose_in_the_simulator_so_that_it_would_be_seen() -> None:
    batch = Batch(0, 400, mode=Mode.SINGLE_WRITER, durability=Durability.ASYNC)
    assert run_many(batch).lost > 0


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_that_once_broke(path: Path) -> None:
    outcome = run_history(Parameters.from_json(path.read_text()))
    assert outcome.violations == []


def test_a_seed_says_all() -> None:
    for seed in (3, 845, 4402):
        first, second = run_history(draw(seed), trace=True), run_history(draw(seed), trace=True)
        assert first.trace == second.trace
        assert first.acknowledged == second.acknowledged


def test_every_kind_of_fault_is_drawn() -> None:
    drawn = {fault.what for seed in range(500) for fault in draw(seed).faults}
    more = {"disk-stalls", "isolate-supervisor", OLDER, *LOST_LOGS}
    assert drawn == {*(kind for kind, _, _ in KINDS), *more}


def test_a_failing_history_becomes_a_scenario_file(tmp_path: Path) -> None:
    mutation = MISTAKES["armed recorded before it waits"]
    failing = next(
        outcome for seed in range(50) if not (outcome := run_history(draw(seed), mutation)).good
    )
    path = save_scenario(failing, tmp_path)
    again = run_history(Parameters.from_json(path.read_text()), mutation)
    assert again.violations == failing.violations


def test_the_command_runs_and_reports() -> None:
    result = CliRunner().invoke(simulate, ["--runs", "20", "--seed", "7"])
    assert result.exit_code == 0, result.output
    assert "20 histories" in result.output
    assert "histories per second of CPU" in result.output


def test_the_command_replays_a_scenario() -> None:
    result = CliRunner().invoke(simulate, ["--scenario", str(SCENARIOS[0])])
    assert result.exit_code == 0, result.output
    assert "no invariant was broken" in result.output


def test_the_command_refuses_what_cannot_be_had() -> None:
    arguments = ["--mode", "dual-writer", "--durability", "lossless"]
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code != 0
    assert "lossless needs --mode single-writer" in str(result.exception)


def test_the_command_refuses_a_file_that_is_no_scenario(tmp_path: Path) -> None:
    path = tmp_path / "no.json"
    path.write_text("{}")
    result = CliRunner().invoke(simulate, ["--scenario", str(path)])
    assert "is no scenario file" in str(result.exception)
