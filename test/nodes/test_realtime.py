"""Real-time priority of a node's process."""

import os
import subprocess
import sys

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
