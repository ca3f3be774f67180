"""What a run that was interrupted leaves of sandboxes: the process that began it takes them down.

A worker of pytest-xdist that is ended in the middle of a test ends nothing of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from unittest import mock

import pytest

from myha.errors import MyhaError
from myha.sandbox import registry
from myha.sandbox.cluster import Cluster


def name_run(config: pytest.Config) -> str:
    """The name that this run has in all of its processes; the one that begins it makes it up."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        return str(worker["testrunuid"])
    if not getattr(config.option, "testrunuid", None):
        config.option.testrunuid = uuid.uuid4().hex
    return str(config.option.testrunuid)


def state_folder(run: str) -> Path:
    """Where the sandboxes of a run's tests are, apart from the user's."""
    return Path(tempfile.gettempdir()) / f"myha-tests-{os.geteuid()}-{run}"


def end_sandboxes(run: str) -> list[str]:
    """Take down what is left of a run's sandboxes; returns a line for each that cannot be."""
    folder = state_folder(run)
    if not folder.exists():
        return []
    failures = []
    with mock.patch.dict(os.environ, XDG_STATE_HOME=str(folder)):
        for directory in registry.sandboxes():
            try:
                Cluster.open(directory).down()
            except (MyhaError, OSError) as error:
                failures.append(f"{directory} is left: {error}")
    if not failures:
        shutil.rmtree(folder, ignore_errors=True)
    return failures
