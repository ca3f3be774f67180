"""The alert rules and the dashboard, by real programs of Prometheus."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from myha.sandbox.programs import Program
from tests.api.test_metrics import RULES, dashboard_expressions
from tests.real.known_pairs import status, told_server
from tests.test_config_effects import free_port
from tests.waiting import until

pytestmark = pytest.mark.real

DEADLINE_SECONDS = 60.0

# A pair that is well, as series of samples 15 s apart, for an hour and a half.
LONG = "x360"
WELL = {
    'up{job="myha"}': f"1{LONG}",
    "myha_supervisor_up": f"1{LONG}",
    'myha_pair_supervised{pair="p"}': f"1{LONG}",
    'myha_pair_lease_held{pair="p"}': f"1{LONG}",
    'myha_pair_healthy{pair="p"}': f"1{LONG}",
    'myha_pair_info{pair="p",durability="lossless"}': f"1{LONG}",
    'myha_pair_armed{pair="p"}': f"1{LONG}",
    'myha_pair_refusals{pair="p"}': f"0{LONG}",
    'myha_pair_epoch{pair="p"}': f"4{LONG}",
    'myha_pair_journal_failed{pair="p"}': f"0{LONG}",
    'myha_pair_verdict{pair="p",verdict="writer-dead",severity="critical"}': f"0{LONG}",
    'myha_node_open{pair="p",node="a"}': f"1{LONG}",
    'myha_node_open{pair="p",node="b"}': f"0{LONG}",
    'myha_node_writes_stalled_seconds{pair="p",node="a"}': f"0{LONG}",
    'myha_node_up{pair="p",node="b"}': f"1{LONG}",
    'myha_node_fenced{pair="p",node="b"}': f"0{LONG}",
    'myha_node_thread_running{pair="p",node="b",thread="applier"}': f"1{LONG}",
    'myha_node_lag_seconds{pair="p",node="b"}': f"0{LONG}",
    'myha_balancer_up{pair="p",balancer="lb1"}': f"1{LONG}",
    'myha_conflicts_total{pair="p"}': f"0{LONG}",
    'myha_quarantine_incidents{pair="p"}': f"2{LONG}",
    'myha_loop_turn_seconds_bucket{pair="p",le="0.1"}': "0+10x360",
    'myha_loop_turn_seconds_bucket{pair="p",le="1.0"}': "0+10x360",
    'myha_loop_turn_seconds_bucket{pair="p",le="+Inf"}': "0+10x360",
}
STEP = "4x340 5x20"  # one more, five minutes before the end
# What has to happen for each alert, in series that begin so.
ILL = {
    "MyhaSupervisorAway": {"myha_supervisor_up": f"0{LONG}"},
    "MyhaPairUnsupervised": {"myha_pair_supervised": f"0{LONG}"},
    "MyhaLeaseNotHeld": {"myha_pair_lease_held": f"0{LONG}"},
    "MyhaVerdictCritical": {"myha_pair_verdict": f"1{LONG}"},
    "MyhaNobodyTakesWrites": {'myha_node_open{pair="p",node="a"}': f"0{LONG}"},
    "MyhaWritesStalled": {"myha_node_writes_stalled_seconds": f"9{LONG}"},
    "MyhaUnhealthy": {"myha_pair_healthy": f"0{LONG}"},
    "MyhaSolo": {"myha_pair_armed": f"0{LONG}"},
    "MyhaRefuses": {"myha_pair_refusals": f"1{LONG}"},
    "MyhaWriterChanged": {"myha_pair_epoch": STEP},
    "MyhaFlapping": {"myha_pair_epoch": "4x330 5x5 6x5 7x20", "MyhaWriterChanged": ""},
    "MyhaNodeAway": {"myha_node_up": f"0{LONG}"},
    "MyhaNodeFenced": {"myha_node_fenced": f"1{LONG}"},
    "MyhaReplicationStopped": {"myha_node_thread_running": f"0{LONG}"},
    "MyhaLag": {"myha_node_lag_seconds": f"31{LONG}"},
    "MyhaBalancerAway": {"myha_balancer_up": f"0{LONG}"},
    "MyhaConflicts": {"myha_conflicts_total": "0x340 3x20"},
    "MyhaQuarantineGrew": {"myha_quarantine_incidents": "2x340 3x20"},
    "MyhaJournalFails": {"myha_pair_journal_failed": f"1{LONG}"},
    "MyhaLoopSlow": {'myha_loop_turn_seconds_bucket{pair="p",le="0.1"}': f"0{LONG}"},
}


@pytest.fixture(scope="module")
def promtool(programs: Callable[[str], Program]) -> list[str]:
    return list(programs("promtool").argv)


def alerts() -> list[str]:
    lines = RULES.read_text().splitlines()
    return [line.split(":")[1].strip() for line in lines if line.strip().startswith("- alert:")]


def case(changed: dict[str, str], *expected: str) -> dict[str, Any]:
    """A test for promtool: which alerts fire at the end."""
    series = {
        name: next((new for start, new in changed.items() if name.startswith(start)), usual)
        for name, usual in WELL.items()
    }
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "90m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected
                ],
            }
        ],
    }


def test_there_is_a_case_for_each_alert() -> None:
    assert [*ILL] == alerts()


def test_the_rules_are_right_and_each_alert_fires_for_its_own_reason_alone(
    promtool: list[str], tmp_path: Path
) -> None:
    cases = [case({})]
    for name, changed in ILL.items():
        series = {start: values for start, values in changed.items() if values}
        cases.append(case(series, name, *(start for start in changed if not changed[start])))
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": cases}))  # which is YAML
    for words in (["check", "rules", "--lint-fatal", str(RULES)], ["test", "rules", str(file)]):
        done = subprocess.run([*promtool, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def prometheus(
    programs: Callable[[str], Program], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """A real one, and what it scrapes."""
    folder = tmp_path_factory.mktemp("prometheus")
    with told_server(folder, "main") as told:
        told.tell(status("main"))
        target = urllib.parse.urlsplit(told.url).netloc
        config = folder / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [
                        {"job_name": "myha", "static_configs": [{"targets": [target]}]}
                    ],
                }
            )
        )
        port = free_port()
        process = subprocess.Popen(
            [
                *programs("prometheus").argv,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        try:
            yield f"http://127.0.0.1:{port}", told.url
        finally:
            process.terminate()
            process.wait(30)


def query(url: str, expression: str) -> Any:
    answer = urllib3.request("GET", f"{url}/api/v1/query", fields={"query": expression})
    data = answer.json()
    assert data["status"] == "success", (expression, data)
    return data["data"]["result"]


def ready(url: str) -> bool:
    try:
        return bool(query(url, 'myha_pair_healthy{pair="main"}'))
    except (urllib3.exceptions.HTTPError, ValueError, AssertionError):
        return False


def test_a_real_prometheus_scrapes_it_and_every_panel_has_a_right_query(
    prometheus: tuple[str, str], promtool: list[str]
) -> None:
    url, scraped = prometheus
    until(lambda: ready(url), "Prometheus has scraped", DEADLINE_SECONDS)
    text = urllib3.request("GET", f"{scraped}/metrics").data
    words = [*promtool, "check", "metrics"]
    linted = subprocess.run(words, input=text, capture_output=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert query(url, 'myha_node_up{node="a"}')[0]["value"][1] == "1"
    for expression in dashboard_expressions():
        filled = expression.replace("$pair", ".*").replace("$__rate_interval", "1m")
        query(url, filled.replace("$__range", "1h"))
