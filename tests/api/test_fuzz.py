"""Requests made from the API's own schema find no server error and no answer of another form.

A few of them, each time the same; a full run is for the hand: see docs/testing.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest import mock

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from myha.supervisor import client
from myha.supervisor.control import CLIENT_TIMEOUT_SECONDS
from tests.api.world import PAIR, PORT, Supervised, supervised

EXAMPLES = 6
# One never ends, the other says by its status what it is asked for.
NOT_FUZZED = ("/api/v1/stream", "/health")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    # On a busy machine a ping may take longer than the time after which a supervisor hangs.
    patient = mock.patch.object(client, "PING_TIMEOUT_SECONDS", CLIENT_TIMEOUT_SECONDS)
    made_in = tmp_path_factory.mktemp("fuzz")
    with patient, supervised(made_in, requests_per_second=100_000) as made:
        guard: Any = made.client.app
        guard._operations._burst = guard._failures._burst = 1e9
        yield made


def test_what_the_schema_allows_and_what_it_does_not(one: Supervised) -> None:
    headers = {**one.operate, "host": f"127.0.0.1:{PORT}"}
    path = "/api/v1/openapi.json"
    schema = schemathesis.openapi.from_asgi(path, one.client.app, headers=headers)
    tried: set[str] = set()
    number = count()

    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if operation.path.startswith(NOT_FUZZED):
            continue

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def asked(case: Any) -> None:
            if "pair" in (case.path_parameters or {}) and next(number) % 2:
                case.path_parameters["pair"] = PAIR  # else there would be hardly any answer
            response = case.call(headers=headers)
            case.validate_response(response, checks=CHECKS)
            tried.add(operation.label)  # noqa: B023  # run before the next one

        asked()
    assert len(tried) > 15
