"""Signals that are told to a thread, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

# Each line it prints says what it was told; the main thread holds a lock that the teller wants.
PROGRAM = """
import signal, sys, threading, time
from myha.hosts.signals import heard_by_a_thread
lock = threading.Lock()
ends = threading.Event()
def tell(number):
    with lock:
        print(number.name, flush=True)
    if number is signal.SIGINT:
        ends.set()
with heard_by_a_thread((signal.SIGTERM, signal.SIGINT), tell):
    print("ready", flush=True)
    while not ends.is_set():
        with lock:
            threading.Thread(target=time.sleep, args=(0,)).start()
print("over", flush=True)
signal.raise_signal(signal.SIGTERM)
"""


def test_many_signals_are_told_and_none_waits_for_the_thread_that_it_hit() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(300):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    said = process.stdout.read().split()
    assert process.wait(20) == -signal.SIGTERM  # what was there before the block is there again
    assert said.count("SIGTERM") > 1
    assert "SIGINT" in said  # the kernel hands out the lower number first: not always the last
    assert said[-1] == "over"
    assert not process.stderr.read()
    process.stdout.close()
    process.stderr.close()


FAILING = """
import signal, threading
from myha.hosts.signals import heard_by_a_thread
ends = threading.Event()
def tell(number):
    if number is signal.SIGINT:
        ends.set()
    raise RuntimeError("of the one that was told")
with heard_by_a_thread((signal.SIGTERM, signal.SIGINT), tell):
    print("ready", flush=True)
    ends.wait()
"""


def test_a_defect_of_the_one_that_is_told_is_shown_and_the_next_signal_is_heard() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAILING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    while "of the one that was told" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.stdout.close()
    process.stderr.close()
