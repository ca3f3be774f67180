"""A failover on real servers, told by mail and over HTTP while two other channels do not work."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.conftest import MakeCluster
from tests.real.pair import Pair
from tests.receivers import free_port, http_receiver, mail_receiver, silent_receiver
from tests.waiting import until

pytestmark = pytest.mark.real

HOOK = 'echo "$MYHA_EVENT $MYHA_SUBJECT $MYHA_PAIR $MYHA_NODE" >> {}'


def test_a_failover_is_told_and_nobody_waits_for_that(
    cluster: MakeCluster, flavour: str, tmp_path: Path
) -> None:
    made, ran = cluster(flavour=flavour), tmp_path / "ran"
    with ExitStack() as stack:
        http, mail = stack.enter_context(http_receiver()), stack.enter_context(mail_receiver())
        urls = {
            "chat": http.url,
            "mail": mail.url,
            "silent": stack.enter_context(silent_receiver()),
            "away": f"json://127.0.0.1:{free_port()}/hidden-token",
        }
        text = [made.config_path.read_text()]
        for name, url in urls.items():
            file = tmp_path / name
            file.write_text(f"{url}\n")
            file.chmod(0o600)
            text.append(f'[notify.{name}]\nurl_file = "{file}"\nper_minute = 60\n')
        script = HOOK.format(ran)
        text.append(
            '[hooks.note]\non = ["plan:failover", "plan-done:failover"]\n'
            f"command = ['sh', '-c', '{script}']\n"
            '[hooks.slow]\non = ["plan:failover"]\ncommand = ["sleep", "600"]\n'
            "timeout_seconds = 1\n"
        )
        made.config_path.write_text("\n".join(text))
        made.up(output=lambda _line: None)
        pair = Pair(made)
        pair.await_healthy()
        made.servers["a"].kill()
        pair.await_event("plan-done", "fail over from a to b")
        for receiver in (http, mail):
            told = receiver.until("done: fail over from a to b")
            assert told[-1]["title"].startswith("[sandbox] critical: ")
        until(lambda: ran.exists() and len(ran.read_text().splitlines()) == 2, "the hook has run")
        assert ran.read_text().splitlines() == [
            "plan failover sandbox b",
            "plan-done failover sandbox b",
        ]
        pair.await_event("hook-failed", "slow has not ended within 1 s")
        pair.await_event("notify-failed", "away: A Connection error")
        until(lambda: pair.status()["notify"]["away"]["failure"], "the channel is seen to fail")
        assert pair.status()["hooks"]["note"]["runs"] == 2
        assert "hidden-token" not in str(pair.events()) + str(pair.status())
        assert "notify away: " in pair.myha("status").stdout
        os.kill(pair.status()["pid"], signal.SIGKILL)
        assert http.until("ended without a word")[-1]["type"] == "failure"
        made.start_supervisor()
        pair.await_event("unsupervised", "the supervisor before this one")
        assert http.until("before this one")[-1]["type"] == "failure"
