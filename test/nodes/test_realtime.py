"""Real-time priority of a node's process."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mppi_maml_ros.ros import realtime

THREADS = """
import os, threading
from mppi_maml_ros.ros.realtime import prioritise

stay = threading.Event()
threading.Thread(target=stay.wait, daemon=True).start()
complaint = prioritise(7)
threading.Thread(target=stay.wait, daemon=True).start()
threads = os.listdir("/proc/self/task")
policies = {os.sched_getscheduler(int(thread)) for thread in threads}
print(complaint or "done", len(threads), policies == {os.SCHED_FIFO}, policies == {os.SCHED_OTHER})
"""


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="no scheduling policies here")
def test_every_thread_has_it_or_none_and_the_reason_is_told():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, timeout=60.0)
    *complaint, threads, all_have_it, none_has_it = done.stdout.split()
    assert int(threads) == 3, done.stderr
    if complaint == ["done"]:
        assert all_have_it == "True"
    else:
        assert none_has_it == "True" and "SCHED_FIFO 7 is refused" in " ".join(complaint)


def test_a_refusal_says_how_to_allow_it(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    complaint = realtime.prioritise(50)
    assert "SCHED_FIFO 50 is refused (Operation not permitted)" in complaint and "rtprio" in complaint


def test_zero_leaves_the_process_as_it_is(monkeypatch):
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: pytest.fail("it was asked for"))
    assert realtime.prioritise(0) == ""


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="no scheduling policies here")
def test_the_controller_asks_for_the_priority_that_it_is_given(node_process):
    process = node_process("mppi_controller", "-p", "thread_priority:=7")
    while "rollouts" not in (line := process.process.stdout.readline()):
        assert line, "it ended"
    pid, deadline = process.process.pid, time.monotonic() + 5.0
    while os.sched_getscheduler(pid) == os.SCHED_OTHER and time.monotonic() < deadline:
        os.sched_yield()
    policy, priority = os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority
    code, output = process.end(signal.SIGINT)
    assert code == 0
    assert (policy, priority) == (os.SCHED_FIFO, 7) or "no real-time priority: SCHED_FIFO 7" in output
